import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { inBatches } from '../batches.js';

export interface PolicyView {
  policy_version: string;
  /** When the first call under it was booked. */
  since: string;
  policy: object;
}
export const POLICY_COLUMNS = ['policy_version', 'since', 'policy'] as const satisfies (keyof PolicyView)[];

/** The policies that judged calls, the oldest first. */
@Injectable()
export class PolicyList {
  constructor(@InjectDataSource() private readonly source: DataSource) {}

  /** One of before a period may judge its calls, too: a policy has no end. */
  async *before(until: Date | undefined): AsyncGenerator<PolicyView> {
    type Row = { policy_version: string; since: Date; policy: object };
    const rows = inBatches<Row, Row>(
      (after, count) =>
        this.source.query<Row[]>(
          `SELECT version AS policy_version, recorded_at AS since, policy FROM audit.policies
            WHERE recorded_at < coalesce($1::timestamptz, 'infinity') AND ($2::timestamptz IS NULL OR (recorded_at, version) > ($2, $3))
            ORDER BY recorded_at, version LIMIT $4`,
          [until ?? null, after?.since ?? null, after?.policy_version ?? null, count],
        ),
      (row) => row,
    );
    for await (const { since, ...row } of rows) yield { ...row, since: since.toISOString() };
  }
}
