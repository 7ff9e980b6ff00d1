import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Overview, RANGES } from '#libs/contracts/admin/console.js';
import { formatUsd } from '#libs/money/nano.js';
import { LaneLine, type LaneView } from '#libs/pacing/lane-line.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { redisKeys } from '#libs/redis/keys.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { DoorSwitch } from '../accounts/door.switch.js';
import { LiveBalanceReader } from '../books/live-balance.reader.js';
import { TrafficRepository, type TrafficPoint } from '../books/traffic.repository.js';
import { LiveFigures } from './live.figures.js';
import { Needs } from './needs.js';
import { refusedIn, refusedOf, spentByCampaign, StatsReader, type Minute } from './stats.reader.js';

type Range = (typeof RANGES)[number];
type Series = Overview['series'];

const MINUTES = 60;
const HOUR_MS = 3_600_000;
/** The newest active ones. */
const CAMPAIGNS_MAX = 50;
const BARS: Record<Exclude<Range, '1h'>, { bucket: 'hour' | 'day'; lengthMs: number; count: number }> = {
  '24h': { bucket: 'hour', lengthMs: HOUR_MS, count: 24 },
  '30d': { bucket: 'day', lengthMs: 24 * HOUR_MS, count: 30 },
};

interface CampaignRow {
  id: string;
  slug: string;
  name: string;
  keys_active: number;
}

/** What the first page of the console shows: this moment from Redis, and what was before from the books. */
@Injectable()
export class OverviewReader {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @InjectDataSource() private readonly source: DataSource,
    private readonly door: DoorSwitch,
    private readonly stats: StatsReader,
    private readonly figures: LiveFigures,
    private readonly traffic: TrafficRepository,
    private readonly balances: LiveBalanceReader,
    private readonly lanes: LaneTable,
    private readonly line: LaneLine,
    private readonly needs: Needs,
  ) {}

  async read(range: Range): Promise<Overview> {
    const now = new Date();
    const [door, minutes, operator, queue, services, booksLagMs, keys, rows, flaggedToday, lanes] = await Promise.all([
      this.door.read(),
      this.stats.last(MINUTES),
      this.figures.operator(),
      this.figures.queue(),
      this.figures.services(),
      this.figures.booksLagMs(),
      this.keys(),
      this.campaignRows(),
      this.flaggedSince(startOf(now, 24 * HOUR_MS)),
      Promise.all(this.lanes.all().map((lane) => this.line.look(lane))),
    ]);
    const { budget_usd_per_day: dayBudgetNano, budget_usd_total: budgetNano } = this.config.file.operator;
    const campaigns = await this.campaigns(rows, spentByCampaign(minutes));
    const refused = refusedOf(minutes);
    return {
      at: now.toISOString(),
      door,
      rehearsed: this.config.rehearsed,
      operator: {
        spent_today_usd: formatUsd(operator.todayNano),
        budget_usd_per_day: dayBudgetNano === undefined ? null : formatUsd(dayBudgetNano),
        spent_total_usd: formatUsd(operator.totalNano),
        budget_usd_total: budgetNano === undefined ? null : formatUsd(budgetNano),
      },
      running: queue.running,
      waiting: { calls: queue.waiting, oldest_seconds: queue.oldestMs / 1_000 },
      flagged_today: flaggedToday,
      keys,
      series: range === '1h' ? minutes.map(pointOfMinute) : await this.bars(range, now),
      refused,
      campaigns: campaigns.map(({ shown }) => shown),
      lanes: lanes.map((lane) => ({ lane: lane.lane, used_percent: usedPercent(lane), waiting: lane.waitingCalls })),
      needs: await this.needs.list({
        services,
        booksLagMs,
        refused,
        campaigns: campaigns.map(({ shown, ...amounts }) => ({ ...shown, ...amounts })),
        operator: { ...operator, dayBudgetNano, budgetNano },
      }),
      services,
      books_lag_seconds: booksLagMs / 1_000,
    };
  }

  private async bars(range: Exclude<Range, '1h'>, now: Date): Promise<Series> {
    const { bucket, lengthMs, count } = BARS[range];
    const firstMs = startOf(now, lengthMs).getTime() - (count - 1) * lengthMs;
    const points = await this.traffic.read(this.source.manager, bucket, new Date(firstMs), now);
    const byTime = new Map(points.map((point) => [point.at.getTime(), point]));
    return Array.from({ length: count }, (_, index) => {
      const atMs = firstMs + index * lengthMs;
      return pointOf(byTime.get(atMs) ?? { ...NOTHING, at: new Date(atMs) });
    });
  }

  private async flaggedSince(since: Date): Promise<number> {
    const points = await this.traffic.read(this.source.manager, 'hour', since, new Date());
    return points.reduce((sum, { flagged }) => sum + flagged, 0);
  }

  private async keys(): Promise<Overview['keys']> {
    const [counts] = await this.source.query<Overview['keys'][]>(
      `SELECT count(*)::int AS total,
              count(*) FILTER (WHERE status = 'active' AND (expires_at IS NULL OR expires_at > now()))::int AS active,
              count(*) FILTER (WHERE status = 'suspended')::int AS suspended,
              count(*) FILTER (WHERE status = 'revoked')::int AS revoked,
              count(*) FILTER (WHERE status = 'active' AND expires_at <= now())::int AS expired
         FROM access.keys`,
    );
    return counts!;
  }

  private campaignRows(): Promise<CampaignRow[]> {
    return this.source.query<CampaignRow[]>(
      `SELECT id, slug, name,
              (SELECT count(*)::int FROM access.keys
                WHERE campaign_id = campaign.id AND status = 'active' AND (expires_at IS NULL OR expires_at > now())) AS keys_active
         FROM access.campaigns campaign WHERE status = 'active' ORDER BY created_at DESC LIMIT ${CAMPAIGNS_MAX}`,
    );
  }

  private async campaigns(rows: readonly CampaignRow[], spent: ReadonlyMap<string, bigint>) {
    const balances = await this.balances.balancesOf(rows.map(({ id }) => redisKeys.campaign(id)));
    return rows.map(({ id, slug, name, keys_active }, index) => {
      const { budgetNano, spentNano, heldNano, absorbedNano } = balances[index]!;
      const availableNano = budgetNano - spentNano - heldNano - absorbedNano;
      const hourNano = spent.get(id) ?? 0n;
      return {
        budgetNano,
        usedNano: spentNano + absorbedNano,
        shown: {
          slug,
          name,
          budget_usd: formatUsd(budgetNano),
          available_usd: formatUsd(availableNano),
          keys_active,
          usd_per_hour: formatUsd(hourNano),
          hours_left: hourNano > 0n ? hoursOf(availableNano, hourNano) : null,
        },
      };
    });
  }
}

const NOTHING = { calls: 0, spentNano: 0n, refused: 0, flagged: 0 };

/** The start of the running hour or day, in UTC. */
const startOf = (now: Date, lengthMs: number): Date => new Date(Math.floor(now.getTime() / lengthMs) * lengthMs);

function pointOf({ at, spentNano, calls, refused, flagged }: TrafficPoint): Series[number] {
  return { at: at.toISOString(), spent_usd: formatUsd(spentNano), calls, refused, flagged };
}

function pointOfMinute(minute: Minute): Series[number] {
  return pointOf({ ...minute, at: new Date(minute.atMs), refused: refusedIn(minute) });
}

/** With one decimal. */
function hoursOf(availableNano: bigint, hourNano: bigint): number {
  return Math.max(0, Number((availableNano * 10n) / hourNano) / 10);
}

/** Of the requests or the tokens of a minute, whichever is nearer to its limit; null: it has no known limit. */
function usedPercent({ upstreams }: LaneView): number | null {
  const shares = (['rpm', 'tpm'] as const).flatMap((of) => {
    if (upstreams.length === 0 || upstreams.some((view) => view[of] === 0)) return [];
    const limit = upstreams.reduce((sum, view) => sum + view[of], 0);
    const used = upstreams.reduce((sum, view) => sum + (of === 'rpm' ? view.requests : view.tokens), 0);
    return [(100 * used) / limit];
  });
  return shares.length === 0 ? null : Math.round(Math.max(...shares));
}
