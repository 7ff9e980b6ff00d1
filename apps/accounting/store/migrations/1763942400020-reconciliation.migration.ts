import type { MigrationInterface, QueryRunner } from 'typeorm';
import { SERVICE_ROLE } from './1763942400000-month-partitions.migration.js';

/**
 * The provider's reports, the assessments that follow from them, and the books beside the bills; also the campaigns'
 * prices of hosted tools.
 */
export class Reconciliation1763942400020 implements MigrationInterface {
  name = 'Reconciliation1763942400020';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE ledger.reports (
        minute timestamptz(3) NOT NULL,
        model text COLLATE "C" NOT NULL,
        service_tier text COLLATE "C" NOT NULL,
        fetched_at timestamptz(3) NOT NULL DEFAULT now(),
        requests bigint NOT NULL,
        uncached_tokens bigint NOT NULL,
        cached_tokens bigint NOT NULL,
        cache_write_tokens bigint NOT NULL,
        output_tokens bigint NOT NULL,
        CONSTRAINT reports_pkey PRIMARY KEY (minute, model, service_tier, fetched_at)
      )`);
    await runner.query(`
      CREATE TABLE ledger.costs (
        day date NOT NULL,
        line_item text COLLATE "C" NOT NULL,
        scope text COLLATE "C" NOT NULL,
        fetched_at timestamptz(3) NOT NULL DEFAULT now(),
        amount_nano bigint NOT NULL,
        CONSTRAINT costs_pkey PRIMARY KEY (day, line_item, scope, fetched_at)
      )`);
    await runner.query(`
      CREATE TABLE ledger.judgements (
        request_id text COLLATE "C" NOT NULL,
        held_nano bigint NOT NULL,
        kept_nano bigint NOT NULL,
        evidence jsonb NOT NULL,
        at timestamptz(3) NOT NULL DEFAULT now(),
        CONSTRAINT judgements_pkey PRIMARY KEY (request_id)
      )`);
    await runner.query(`
      CREATE TABLE access.reconciliation (
        only_row boolean NOT NULL DEFAULT true,
        ran_at timestamptz(3) NOT NULL,
        outcome text NOT NULL,
        figures jsonb NOT NULL,
        CONSTRAINT reconciliation_pkey PRIMARY KEY (only_row),
        CONSTRAINT reconciliation_only_row_check CHECK (only_row)
      )`);
    await runner.query(`ALTER TABLE access.campaigns ADD COLUMN tool_prices jsonb NOT NULL DEFAULT '{}'`);
    // Both are rare among millions of rows, and every run needs them.
    await runner.query(`CREATE INDEX transfers_presumed_idx ON ledger.transfers (at) WHERE kind = 'presume'`);
    await runner.query(`CREATE INDEX entries_absorbed_idx ON ledger.entries (transfer_id) WHERE account = 'absorbed'`);
    for (const table of ['reports', 'costs', 'judgements']) {
      await runner.query(`
        CREATE TRIGGER ${table}_append_only BEFORE UPDATE OR DELETE ON ledger.${table} FOR EACH ROW EXECUTE FUNCTION ledger.refuse_row_change()`);
      await runner.query(
        `CREATE TRIGGER ${table}_kept BEFORE TRUNCATE ON ledger.${table} FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_row_change()`,
      );
    }
    // A day's calls are those that took their hold on it, with their later refunds.
    await runner.query(`
      CREATE VIEW ledger.daily_drift AS
      SELECT cost.day, cost.scope, booked.nano::numeric / 1000000000 AS booked_usd, cost.nano::numeric / 1000000000 AS billed_usd,
             (booked.nano - cost.nano)::numeric / 1000000000 AS drift_usd
        FROM (SELECT day, scope, sum(amount_nano) AS nano
                FROM (SELECT DISTINCT ON (day, line_item, scope) day, line_item, scope, amount_nano FROM ledger.costs
                       ORDER BY day, line_item, scope, fetched_at DESC) latest
               GROUP BY day, scope) cost
       CROSS JOIN LATERAL (
         SELECT coalesce((SELECT spent_nano FROM ledger.balances WHERE owner = 'operator:day:' || cost.day), 0)
              - coalesce((SELECT sum(entry.amount_nano) FROM ledger.entries entry JOIN ledger.transfers t ON t.id = entry.transfer_id AND t.period = entry.period
                           WHERE entry.account = 'absorbed' AND t.budget_day = cost.day), 0) AS nano) booked`);
    await runner.query(`
      DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = '${SERVICE_ROLE}') THEN
          GRANT SELECT, INSERT ON ledger.reports, ledger.costs, ledger.judgements TO ${SERVICE_ROLE};
          GRANT SELECT ON ledger.daily_drift TO ${SERVICE_ROLE};
          GRANT SELECT, INSERT, UPDATE ON access.reconciliation TO ${SERVICE_ROLE};
        END IF;
      END $$`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
