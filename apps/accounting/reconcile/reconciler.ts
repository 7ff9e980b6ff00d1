import { Inject, Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { DaypassConfig } from '#libs/config/config.js';
import { knownEndpoint } from '#libs/endpoints/registry.js';
import { formatUsd } from '#libs/money/nano.js';
import { MINUTE_MS, Reports, type Finding } from '#libs/money/reconcile.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { redisNowMs } from '#libs/redis/clock.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import { ReconcileMetrics } from './reconcile.metrics.js';
import { evidenceFor, stretchesOf, withoutTokens } from '../domain/evidence.js';
import { dayOf } from '../domain/period.js';
import { Periodic } from '../periodic.js';
import { ReconcileRepository, type DayDrift, type OpenPresumption, type Run } from './reconcile.repository.js';
import { COUNTS_CALLS_ONLY, ReportClient, STRETCH_MAX_MS, type ReportName } from './report.client.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A presumed call that no report decided by then keeps its bound. */
const GIVEN_UP_MS = 7 * DAY_MS;
/** The clocks of Redis and of the provider differ by less. Beyond half of it, a run assesses nothing. */
const SLACK_MS = MINUTE_MS;
/** A call whose caller hung up may go on at the provider. The provider counts it at its end. */
const LONGEST_CALL_MS = HOUR_MS;
/** So far around the calls a run searches for quiet moments. */
const AROUND_MS = 3 * HOUR_MS;
const SPAN_MS = 6 * HOUR_MS;
const COST_DAYS = 30;

export interface RunFigures {
  /** Calls that this run assessed, and what went back to their visitors. A field of the admin API. */
  judged: number;
  refunded_usd: string;
  /** Presumed calls that wait for a report, or for a fuller one. */
  waiting: number;
  incomplete: number;
}

/**
 * Compares the books with the provider's reports. It corrects presumed calls to what the reports leave of them, and
 * shows the drift between bookings and bills. It is off without an admin key.
 */
@Injectable()
export class Reconciler implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly client: ReportClient | null;
  private readonly loop: Periodic;
  /** The projects and API keys whose reports count; '': the whole organization's. */
  readonly scope: string;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly holds: HoldStore,
    private readonly repository: ReconcileRepository,
    private readonly metrics: ReconcileMetrics,
  ) {
    const { adminKey, adminBaseUrl, everyMs, ...scope } = config.reconcile;
    this.client = adminKey === undefined ? null : new ReportClient({ adminKey, baseUrl: adminBaseUrl }, scope);
    this.scope = [...scope.projectIds, ...scope.apiKeyIds].toSorted().join(' ');
    this.loop = new Periodic(
      everyMs,
      async () => void (await this.run()),
      (error) => logger.warn({ err: error }, 'the books could not be compared with the provider’s reports'),
    );
  }

  get enabled(): boolean {
    return this.client !== null;
  }

  onApplicationBootstrap(): void {
    if (this.client) this.loop.start();
    else
      this.logger.info(
        'OPENAI_ADMIN_KEY is not set: presumed calls keep their bound, and the books are not compared with the provider’s reports',
      );
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.loop.stop();
  }

  /**
   * One round; a caller may repeat it at any time. @throws where a store or the provider fails; earlier corrections
   * stay
   */
  async run(): Promise<RunFigures | 'off' | 'busy'> {
    const { client } = this;
    if (!client) return 'off';
    return this.repository.exclusively(async () => {
      const ranAt = new Date();
      try {
        const figures = await this.assessDue(client);
        await this.compareCosts(client);
        await this.saveRun({ ranAt, outcome: 'ok', figures: { ...figures } });
        return figures;
      } catch (error) {
        await this.saveRun({
          ranAt,
          outcome: error instanceof Error ? error.message : String(error),
          figures: {},
        }).catch(() => undefined);
        throw error;
      }
    });
  }

  /** The days that the provider billed, newest first. */
  drift(): Promise<DayDrift[]> {
    return this.repository.drift(this.scope, COST_DAYS);
  }

  private async saveRun(run: Run): Promise<void> {
    this.metrics.reconciled(run.outcome === 'ok');
    await this.repository.saveRun(run);
  }

  private async assessDue(client: ReportClient): Promise<RunFigures> {
    const nowMs = await redisNowMs(this.redis);
    const finalMs = Math.floor((nowMs - this.config.reconcile.reportDelayMs) / MINUTE_MS) * MINUTE_MS;
    const open = await this.repository.openPresumptions(new Date(nowMs - GIVEN_UP_MS));
    const figures = { judged: 0, refundedNano: 0n, waiting: 0, incomplete: 0 };
    for (const [report, calls] of Map.groupBy(open, reportOf)) {
      if (report === null) {
        figures.waiting += calls.length;
        continue;
      }
      for (const stretch of stretchesOf(calls, SPAN_MS)) {
        const due = stretch.filter((call) => latestOf(call) + SLACK_MS <= finalMs);
        figures.waiting += stretch.length - due.length;
        if (due.length > 0) await this.assess(client, report, due, finalMs, figures);
      }
    }
    this.metrics.presumedWaiting(figures.waiting + figures.incomplete);
    return {
      judged: figures.judged,
      refunded_usd: formatUsd(figures.refundedNano),
      waiting: figures.waiting,
      incomplete: figures.incomplete,
    };
  }

  /** `calls`: all in one report. How far another report reaches proves nothing of this one. */
  private async assess(
    client: ReportClient,
    report: ReportName,
    calls: readonly OpenPresumption[],
    finalMs: number,
    figures: { judged: number; refundedNano: bigint; waiting: number; incomplete: number },
  ): Promise<void> {
    const fromMs = Math.floor((calls[0]!.sentFromMs - SLACK_MS - AROUND_MS) / MINUTE_MS) * MINUTE_MS;
    const { rows, clockMs } = await client.usage(report, fromMs, Math.min(finalMs, fromMs + STRETCH_MAX_MS));
    this.checkClock(clockMs, await redisNowMs(this.redis));
    await this.repository.saveReports(rows);
    // Only a later count proves that the reports reach so far, and that they are about this account.
    const reachedMs = rows.reduce((latest, { minuteMs }) => Math.max(latest, minuteMs + MINUTE_MS), fromMs);
    const toMs = Math.min(reachedMs, Math.max(...calls.map(latestOf)) + SLACK_MS + AROUND_MS);
    const counted = await this.repository.measured(fromMs, toMs);
    const callsOnly = COUNTS_CALLS_ONLY.has(report);
    const measured = callsOnly ? counted.map(withoutTokens) : counted;
    const byModel = new Map<string, Reports>();
    for (const call of calls) {
      const reports =
        byModel.get(call.model) ??
        new Reports(evidenceFor(call.model, rows, measured, fromMs, floorMinute(toMs)), SLACK_MS);
      byModel.set(call.model, reports);
      const finding = reports.assess({
        boundNano: call.heldNano,
        // Where calls of a minute are left, nobody knows what they cost.
        rates: callsOnly ? null : call.rates,
        feeNano: call.feeNano,
        fromMs: call.sentFromMs,
        toMs: latestOf(call),
      });
      if (finding.kind === 'uncovered') figures.waiting++;
      else if (finding.kind === 'incomplete') {
        figures.incomplete++;
        this.logger.warn(
          { requestId: call.requestId, left: finding.left },
          'the provider’s reports lack calls that certainly ran; this presumed call waits for fuller reports',
        );
      } else {
        figures.judged++;
        figures.refundedNano += await this.correct(call, finding, { fromMs, toMs });
      }
    }
  }

  /** It saves the assessment first, so that a repeat after a crash corrects to the same sum. Returns the refund. */
  private async correct(
    call: OpenPresumption,
    finding: Finding & { kind: 'assessed' },
    stretch: { fromMs: number; toMs: number },
  ): Promise<bigint> {
    const { requestId, keyId, campaignId, heldNano, day } = call;
    const evidence = { left: finding.left, from: new Date(stretch.fromMs), to: new Date(stretch.toMs) };
    const keptNano = await this.repository.saveAssessment({
      requestId,
      heldNano,
      keptNano: finding.keptNano,
      evidence,
    });
    this.metrics.assessed(keptNano < heldNano ? 'refunded' : 'confirmed');
    if (keptNano === heldNano) return 0n;
    await this.holds.restore({
      requestId,
      keyId,
      campaignId,
      amountNano: heldNano,
      state: 'presumed',
      paidNano: heldNano,
      absorbedNano: 0n,
      day,
      attempt: 1,
    });
    const { outcome, state } = await this.holds.end({
      requestId,
      keyId,
      campaignId,
      lane: '',
      replyTo: '',
      ...(keptNano === 0n ? { transition: 'void' } : { transition: 'post', costNano: keptNano }),
      detail: { model: call.model, reason: 'usage report', left: finding.left },
    });
    if (outcome === 'corrected') return heldNano - keptNano;
    // The worker came back and posted the true cost, or a run that died had corrected the call.
    if (outcome === 'repeated') return 0n;
    throw new Error(`an assessed call could not be corrected: ${outcome} ${state}`);
  }

  private checkClock(clockMs: number, nowMs: number): void {
    const apartMs = Math.abs(clockMs - nowMs);
    if (apartMs > SLACK_MS / 2)
      throw new Error(
        `the clocks of Redis and of the provider are ${Math.round(apartMs / 1_000)} s apart: set the clock of Redis' machine`,
      );
  }

  private async compareCosts(client: ReportClient): Promise<void> {
    const finalDay = dayOf((await redisNowMs(this.redis)) - this.config.reconcile.reportDelayMs);
    // Daypass cannot have booked what the provider billed before its first call.
    const firstDay = Math.max(finalDay - COST_DAYS, (await this.repository.firstBookedDay()) ?? finalDay);
    if (firstDay < finalDay) await this.repository.saveCosts(this.scope, await client.costs(firstDay, finalDay));
    const days = await this.drift();
    const driftOf = (some: readonly DayDrift[]): bigint =>
      some.reduce((sum, { bookedNano, billedNano }) => sum + bookedNano - billedNano, 0n);
    if (days.length > 0) this.metrics.drift(driftOf(days.slice(0, 1)), driftOf(days));
  }
}

const floorMinute = (ms: number): number => Math.floor(ms / MINUTE_MS) * MINUTE_MS;
const latestOf = ({ sentToMs }: OpenPresumption): number => sentToMs + LONGEST_CALL_MS;

/**
 * null: only a later version knows the API, and its report. Its calls wait for that version. The report of completions says
 * nothing of calls that are booked at their bound, so that it must not refund them.
 */
function reportOf(call: OpenPresumption): ReportName | null {
  const api = knownEndpoint(call);
  return api ? (api.usageReport ?? (api.unreported ? null : 'completions')) : null;
}
