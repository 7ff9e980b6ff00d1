import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import type { z } from 'zod';
import type { funnelAnswer, spendAnswer } from '#libs/contracts/admin/console.js';
import { formatUsd } from '#libs/money/nano.js';
import { STATS_LIFE_MS } from '#libs/service/stats.js';
import { TrafficRepository } from '../books/traffic.repository.js';
import { AdminError } from '../domain/admin.error.js';
import type { SpendQuery } from '../schemas/console.schemas.js';
import { MINUTE_MS, StatsReader } from './stats.reader.js';

type Spend = z.output<typeof spendAnswer>['data'];
type Funnel = z.output<typeof funnelAnswer>['data'];

const LENGTH_MS = { minute: MINUTE_MS, hour: 3_600_000, day: 86_400_000 };
/** Without `since`. */
const POINTS = { minute: 60, hour: 24, day: 30 };
const POINTS_MAX = 1_000;
/** A key with less than a tenth of its budget left has spent it. */
const SPENT_PERCENT = 90;

/** What one campaign's page draws. */
@Injectable()
export class CampaignFigures {
  constructor(
    @InjectDataSource() private readonly source: DataSource,
    private readonly stats: StatsReader,
    private readonly traffic: TrafficRepository,
  ) {}

  /** A point for each minute, hour or day, oldest first; none is left out. */
  async spend(slug: string, { bucket, since, until = new Date() }: SpendQuery): Promise<Spend> {
    const lengthMs = LENGTH_MS[bucket];
    const endMs = Math.min(until.getTime(), Date.now());
    const lastMs = Math.floor(endMs / lengthMs) * lengthMs;
    const firstMs =
      since === undefined
        ? lastMs - (POINTS[bucket] - 1) * lengthMs
        : Math.floor(since.getTime() / lengthMs) * lengthMs;
    const count = Math.floor((lastMs - firstMs) / lengthMs) + 1;
    if (count < 1) throw refused('since', 'must be before until, and before now');
    if (count > POINTS_MAX)
      throw refused('since', `would make ${count} points; the most is ${POINTS_MAX}: take a longer bucket`);
    const id = await this.idOf(slug);
    const points = bucket === 'minute' ? await this.minutes(id, firstMs) : await this.hours(id, bucket, firstMs, endMs);
    return Array.from({ length: count }, (_, index) => {
      const atMs = firstMs + index * lengthMs;
      const { calls, spentNano } = points.get(atMs) ?? { calls: 0, spentNano: 0n };
      return { at: new Date(atMs).toISOString(), spent_usd: formatUsd(spentNano), calls };
    });
  }

  /** Of the keys that links made. */
  async funnel(slug: string): Promise<Funnel> {
    const [row] = await this.source.query<Record<keyof Funnel, string>[]>(
      `SELECT (SELECT coalesce(sum(opened), 0) FROM access.claim_links WHERE campaign_id = $1) AS opened,
              count(*) AS claimed,
              count(balance.last_at) AS first_call,
              count(*) FILTER (WHERE balance.spent_nano * 100 >= (key.budget_nano + key.returned_nano) * ${SPENT_PERCENT} AND balance.spent_nano > 0) AS spent
         FROM access.claims claim JOIN access.keys key ON key.id = claim.key_id
         LEFT JOIN ledger.balances balance ON balance.owner = 'key:' || claim.key_id
        WHERE claim.campaign_id = $1`,
      [await this.idOf(slug)],
    );
    const { opened, claimed, first_call, spent } = row!;
    return { opened: Number(opened), claimed: Number(claimed), first_call: Number(first_call), spent: Number(spent) };
  }

  private async minutes(id: string, firstMs: number) {
    if (firstMs < Date.now() - STATS_LIFE_MS)
      throw refused('since', 'minutes are there for the last two hours only: take "bucket": "hour" or "day"');
    const minutes = await this.stats.last(STATS_LIFE_MS / MINUTE_MS);
    return new Map(
      minutes.flatMap(({ atMs, campaigns }) => {
        const found = campaigns.get(id);
        return found ? [[atMs, found] as const] : [];
      }),
    );
  }

  private async hours(id: string, bucket: 'hour' | 'day', firstMs: number, endMs: number) {
    const points = await this.traffic.read(this.source.manager, bucket, new Date(firstMs), new Date(endMs), id);
    return new Map(points.map((point) => [point.at.getTime(), point]));
  }

  private async idOf(slug: string): Promise<string> {
    const [row] = await this.source.query<{ id: string }[]>('SELECT id FROM access.campaigns WHERE slug = $1', [slug]);
    if (!row) throw new AdminError('not_found', `There is no campaign '${slug.slice(0, 100)}'.`);
    return row.id;
  }
}

function refused(param: string, why: string): AdminError {
  return new AdminError('invalid_request', `${param}: ${why}.`, { param });
}
