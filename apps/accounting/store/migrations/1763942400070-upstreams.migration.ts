import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Other upstreams' calls are not on the bill of OPENAI_API_KEY's account. */
export class Upstreams1763942400070 implements MigrationInterface {
  name = 'Upstreams1763942400070';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE INDEX entries_elsewhere_idx ON ledger.entries (transfer_id) WHERE account LIKE 'upstream:%' AND account <> 'upstream:openai'`);
    await runner.query(`
      CREATE OR REPLACE VIEW ledger.daily_drift AS
      SELECT cost.day, cost.scope, booked.nano::numeric / 1000000000 AS booked_usd, cost.nano::numeric / 1000000000 AS billed_usd,
             (booked.nano - cost.nano)::numeric / 1000000000 AS drift_usd
        FROM (SELECT day, scope, sum(amount_nano) AS nano
                FROM (SELECT DISTINCT ON (day, line_item, scope) day, line_item, scope, amount_nano FROM ledger.costs
                       ORDER BY day, line_item, scope, fetched_at DESC) latest
               GROUP BY day, scope) cost
       CROSS JOIN LATERAL (
         SELECT coalesce((SELECT spent_nano FROM ledger.balances WHERE owner = 'operator:day:' || cost.day), 0)
              - coalesce((SELECT sum(entry.amount_nano) FROM ledger.entries entry JOIN ledger.transfers t ON t.id = entry.transfer_id AND t.period = entry.period
                           WHERE entry.account = 'absorbed' AND t.budget_day = cost.day), 0)
              - coalesce((SELECT sum(entry.amount_nano) FROM ledger.entries entry JOIN ledger.transfers t ON t.id = entry.transfer_id AND t.period = entry.period
                           WHERE entry.account LIKE 'upstream:%' AND entry.account <> 'upstream:openai' AND t.budget_day = cost.day), 0) AS nano) booked`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
