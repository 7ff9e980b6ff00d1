import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { ALL_CAMPAIGNS, type Traffic } from '../domain/traffic.js';
import { PreparedStatement } from '../store/prepared.statement.js';

const ADD = new PreparedStatement(`
  INSERT INTO access.traffic AS former (campaign_id, hour, calls, spent_nano, refused, flagged)
  SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
  ON CONFLICT (campaign_id, hour) DO UPDATE SET calls = former.calls + excluded.calls, spent_nano = former.spent_nano + excluded.spent_nano,
    refused = former.refused + excluded.refused, flagged = former.flagged + excluded.flagged`);

export interface TrafficPoint {
  at: Date;
  calls: number;
  spentNano: bigint;
  refused: number;
  flagged: number;
}

/** Sums of calls by campaign and hour, kept beside the rows that they sum up: charts of a month read few rows. */
@Injectable()
export class TrafficRepository {
  /** In the order of `sumTraffic`. */
  async add(manager: EntityManager, traffic: readonly Traffic[]): Promise<void> {
    if (traffic.length === 0) return;
    await ADD.run(manager, [
      traffic.map(({ campaignId }) => campaignId),
      traffic.map(({ hour }) => hour.toISOString()),
      traffic.map(({ calls }) => calls),
      traffic.map(({ spentNano }) => spentNano.toString()),
      traffic.map(({ refused }) => refused),
      traffic.map(({ flagged }) => flagged),
    ]);
  }

  /** By hour or day in UTC, oldest first; hours without traffic are not there. */
  async read(
    manager: EntityManager,
    bucket: 'hour' | 'day',
    since: Date,
    until: Date,
    campaignId: string = ALL_CAMPAIGNS,
  ): Promise<TrafficPoint[]> {
    const rows = await manager.query<
      { at: Date; calls: string; spent_nano: string; refused: string; flagged: string }[]
    >(
      `SELECT date_trunc('${bucket}', hour, 'UTC') AS at, sum(calls) AS calls, sum(spent_nano) AS spent_nano, sum(refused) AS refused, sum(flagged) AS flagged
         FROM access.traffic WHERE campaign_id = $3 AND hour >= $1 AND hour < $2 GROUP BY 1 ORDER BY 1`,
      [since, until, campaignId],
    );
    return rows.map(({ at, calls, spent_nano, refused, flagged }) => ({
      at,
      calls: Number(calls),
      spentNano: BigInt(spent_nano),
      refused: Number(refused),
      flagged: Number(flagged),
    }));
  }
}
