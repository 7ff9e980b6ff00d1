import { Inject, Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { DaypassConfig } from '#libs/config/config.js';
import { formatUsd } from '#libs/money/nano.js';
import { MINUTE_MS, Reports, type Finding } from '#libs/money/reconcile.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { redisNowMs } from '#libs/redis/clock.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import { AccountingMetrics } from '../accounting.metrics.js';
import { evidenceFor, stretchesOf } from '../domain/evidence.js';
import { dayOf } from '../domain/period.js';
import { Periodic } from '../periodic.js';
import { ReconcileRepository, type DayDrift, type OpenPresumption, type Run } from './reconcile.repository.js';
import { ReportClient, STRETCH_MAX_MS } from './report.client.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A call that nobody could judge by then keeps its bound. */
const GIVEN_UP_MS = 7 * DAY_MS;
/** Ours and the provider's clock, at most; beyond half of it nothing is judged. */
const SLACK_MS = MINUTE_MS;
/** A call whose caller hung up may go on at the provider, and is counted when it ends there. */
const LONGEST_CALL_MS = HOUR_MS;
/** How far around the calls quiet moments are looked for. */
const AROUND_MS = 3 * HOUR_MS;
const SPAN_MS = 6 * HOUR_MS;
const COST_DAYS = 30;

export interface RunFigures {
  /** Calls judged in this run, and what went back to their visitors. */
  judged: number;
  refunded_usd: string;
  /** Presumed calls that wait for a report, or for one that says more. */
  waiting: number;
  incomplete: number;
}

/**
 * Compares the books with the provider's reports: presumed calls are corrected to what the reports leave of them, and the
 * drift between bookings and bills is shown. Off without an admin key.
 */
@Injectable()
export class Reconciler implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly client: ReportClient | null;
  private readonly loop: Periodic;
  /** Whose usage is looked at; '' where that of the whole organization is. */
  readonly scope: string;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly holds: HoldStore,
    private readonly repository: ReconcileRepository,
    private readonly metrics: AccountingMetrics,
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

  /** One round; it may be repeated at any time. @throws where a store or the provider fails; what was done until then stays */
  async run(): Promise<RunFigures | 'off' | 'busy'> {
    const { client } = this;
    if (!client) return 'off';
    return this.repository.exclusively(async () => {
      const ranAt = new Date();
      try {
        const figures = await this.judgeDue(client);
        await this.compareCosts(client);
        await this.told({ ranAt, outcome: 'ok', figures: { ...figures } });
        return figures;
      } catch (error) {
        await this.told({ ranAt, outcome: error instanceof Error ? error.message : String(error), figures: {} }).catch(
          () => undefined,
        );
        throw error;
      }
    });
  }

  /** The days that were billed, newest first. */
  drift(): Promise<DayDrift[]> {
    return this.repository.drift(this.scope, COST_DAYS);
  }

  private async told(run: Run): Promise<void> {
    this.metrics.reconciled(run.outcome === 'ok');
    await this.repository.saveRun(run);
  }

  private async judgeDue(client: ReportClient): Promise<RunFigures> {
    const nowMs = await redisNowMs(this.redis);
    const finalMs = Math.floor((nowMs - this.config.reconcile.reportDelayMs) / MINUTE_MS) * MINUTE_MS;
    const open = await this.repository.openPresumptions(new Date(nowMs - GIVEN_UP_MS));
    const figures = { judged: 0, refundedNano: 0n, waiting: 0, incomplete: 0 };
    for (const stretch of stretchesOf(open, SPAN_MS)) {
      const due = stretch.filter((call) => latestOf(call) + SLACK_MS <= finalMs);
      figures.waiting += stretch.length - due.length;
      if (due.length > 0) await this.judge(client, due, finalMs, figures);
    }
    this.metrics.presumedWaiting(figures.waiting + figures.incomplete);
    return {
      judged: figures.judged,
      refunded_usd: formatUsd(figures.refundedNano),
      waiting: figures.waiting,
      incomplete: figures.incomplete,
    };
  }

  private async judge(
    client: ReportClient,
    calls: readonly OpenPresumption[],
    finalMs: number,
    figures: { judged: number; refundedNano: bigint; waiting: number; incomplete: number },
  ): Promise<void> {
    const fromMs = Math.floor((calls[0]!.sentFromMs - SLACK_MS - AROUND_MS) / MINUTE_MS) * MINUTE_MS;
    const { rows, clockMs } = await client.usage(fromMs, Math.min(finalMs, fromMs + STRETCH_MAX_MS));
    this.checkClock(clockMs, await redisNowMs(this.redis));
    await this.repository.saveReports(rows);
    // Only what was counted later proves that the reports have come so far, and are about this account.
    const reachedMs = rows.reduce((latest, { minuteMs }) => Math.max(latest, minuteMs + MINUTE_MS), fromMs);
    const toMs = Math.min(reachedMs, Math.max(...calls.map(latestOf)) + SLACK_MS + AROUND_MS);
    const known = await this.repository.known(fromMs, toMs);
    const byModel = new Map<string, Reports>();
    for (const call of calls) {
      const reports =
        byModel.get(call.model) ??
        new Reports(evidenceFor(call.model, rows, known, fromMs, floorMinute(toMs)), SLACK_MS);
      byModel.set(call.model, reports);
      const finding = reports.judge({
        boundNano: call.heldNano,
        rates: call.rates,
        feeNano: call.feeNano,
        fromMs: call.sentFromMs,
        toMs: latestOf(call),
      });
      if (finding.kind === 'uncovered') figures.waiting++;
      else if (finding.kind === 'incomplete') {
        figures.incomplete++;
        this.logger.warn(
          { requestId: call.requestId, left: finding.left },
          'the provider’s reports lack calls that certainly ran; the presumed call waits',
        );
      } else {
        figures.judged++;
        figures.refundedNano += await this.settle(call, finding, { fromMs, toMs });
      }
    }
  }

  /** The judgement is written first: whatever is interrupted, the same sum is kept. Returns what was refunded. */
  private async settle(
    call: OpenPresumption,
    finding: Finding & { kind: 'judged' },
    stretch: { fromMs: number; toMs: number },
  ): Promise<bigint> {
    const { requestId, keyId, campaignId, heldNano, day } = call;
    const evidence = { left: finding.left, from: new Date(stretch.fromMs), to: new Date(stretch.toMs) };
    const keptNano = await this.repository.saveJudgement({ requestId, heldNano, keptNano: finding.keptNano, evidence });
    this.metrics.judged(keptNano < heldNano ? 'refunded' : 'confirmed');
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
    // The worker came back with the truth, or a run that died had got so far.
    if (outcome === 'repeated') return 0n;
    throw new Error(`a judged call could not be corrected: ${outcome} ${state}`);
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
    // What the account was billed before Daypass came is nothing that could be booked.
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
