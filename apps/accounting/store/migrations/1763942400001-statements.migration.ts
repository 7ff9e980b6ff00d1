import type { MigrationInterface, QueryRunner } from 'typeorm';

const usd = (nano: string, name: string): string => `(${nano})::numeric / 1000000000 AS ${name}_usd`;
/** The same sums for a key's and for a campaign's statement. `own` is the account of the statement. */
const MOVEMENTS = (own: string): string => `
  sum(entry.amount_nano) FILTER (WHERE t.kind IN ('fund', 'grant') AND entry.account = ${own}) AS granted,
  -sum(entry.amount_nano) FILTER (WHERE t.kind IN ('return', 'expire') AND entry.account = ${own}) AS returned,
  sum(entry.amount_nano) FILTER (WHERE t.kind IN ('post', 'presume') AND entry.account LIKE 'upstream:%') AS billed,
  -sum(entry.amount_nano) FILTER (WHERE t.kind = 'correct' AND entry.account LIKE 'upstream:%') AS refunded,
  -sum(entry.amount_nano) FILTER (WHERE entry.account = 'absorbed') AS absorbed,
  sum(entry.amount_nano) FILTER (WHERE entry.account = 'inflight') AS held`;
const FIGURES = ['granted', 'returned', 'billed', 'refunded', 'absorbed', 'held'];
const COLUMNS = FIGURES.map((name) => usd(`coalesce(sums.${name}, 0)`, name)).join(', ');
/** What visitors paid: the cost upstream, less what the operator absorbed and what was refunded. */
const SPENT = usd('coalesce(sums.billed, 0) - coalesce(sums.refunded, 0) - coalesce(sums.absorbed, 0)', 'spent');

/** Statements for auditors: dollars with all their decimals, one row for each key, campaign, day or account. */
export class Statements1763942400001 implements MigrationInterface {
  name = 'Statements1763942400001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE VIEW ledger.statement_by_key AS
      SELECT key.id AS key_id, key.label, key.prefix, campaign.slug AS campaign, key.status, key.expires_at,
             ${usd('key.budget_nano', 'budget')}, ${COLUMNS}, ${SPENT}, coalesce(sums.calls, 0) AS calls, sums.first_at, sums.last_at
        FROM access.keys key JOIN access.campaigns campaign ON campaign.id = key.campaign_id
        LEFT JOIN (
          SELECT t.key_id, ${MOVEMENTS(`'key:' || t.key_id`)},
                 count(DISTINCT t.request_id) AS calls, min(t.at) AS first_at, max(t.at) AS last_at
            FROM ledger.transfers t JOIN ledger.entries entry ON entry.transfer_id = t.id AND entry.period = t.period
           WHERE t.key_id IS NOT NULL GROUP BY t.key_id
        ) sums ON sums.key_id = key.id`);
    await runner.query(`
      CREATE VIEW ledger.statement_by_campaign AS
      SELECT campaign.id AS campaign_id, campaign.slug AS campaign, campaign.name, campaign.status,
             ${usd('campaign.budget_nano', 'budget')}, ${usd('coalesce(sums.funded, 0)', 'funded')}, ${COLUMNS}, ${SPENT},
             coalesce(keys.keys, 0) AS keys, coalesce(sums.calls, 0) AS calls, sums.first_at, sums.last_at
        FROM access.campaigns campaign
        LEFT JOIN (SELECT campaign_id, count(*) AS keys FROM access.keys GROUP BY campaign_id) keys ON keys.campaign_id = campaign.id
        LEFT JOIN (
          SELECT t.campaign_id, ${MOVEMENTS(`'key:' || t.key_id`)}, -sum(entry.amount_nano) FILTER (WHERE entry.account = 'operator') AS funded,
                 count(DISTINCT t.request_id) AS calls, min(t.at) AS first_at, max(t.at) AS last_at
            FROM ledger.transfers t JOIN ledger.entries entry ON entry.transfer_id = t.id AND entry.period = t.period
           GROUP BY t.campaign_id
        ) sums ON sums.campaign_id = campaign.id`);
    await runner.query(`
      CREATE VIEW ledger.daily_spend AS
      SELECT (t.at AT TIME ZONE 'UTC')::date AS day, campaign.slug AS campaign, t.key_id,
             count(*) FILTER (WHERE t.kind IN ('post', 'presume') AND entry.account LIKE 'upstream:%') AS paid_calls,
             ${usd(`coalesce(sum(entry.amount_nano) FILTER (WHERE entry.account LIKE 'upstream:%' OR entry.account = 'absorbed'), 0)`, 'spent')},
             ${usd(`coalesce(-sum(entry.amount_nano) FILTER (WHERE entry.account = 'absorbed'), 0)`, 'absorbed')},
             ${usd(`coalesce(-sum(entry.amount_nano) FILTER (WHERE t.kind = 'correct' AND entry.account LIKE 'upstream:%'), 0)`, 'refunded')}
        FROM ledger.transfers t
        JOIN ledger.entries entry ON entry.transfer_id = t.id AND entry.period = t.period
        LEFT JOIN access.campaigns campaign ON campaign.id = t.campaign_id
       WHERE t.kind IN ('post', 'presume', 'correct') GROUP BY 1, 2, 3`);
    await runner.query(`
      CREATE VIEW ledger.trial_balance AS
      SELECT account, ${usd('sum(amount_nano) FILTER (WHERE amount_nano > 0)', 'debit')}, ${usd('-sum(amount_nano) FILTER (WHERE amount_nano < 0)', 'credit')},
             ${usd('sum(amount_nano)', 'balance')}
        FROM ledger.entries GROUP BY account`);
    await runner.query(`
      DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'daypass_service') THEN GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO daypass_service; END IF;
      END $$`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
