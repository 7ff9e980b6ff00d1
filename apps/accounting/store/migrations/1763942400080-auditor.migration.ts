import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The role that reads the views at a console, and nothing else. It gets its password at the start
 * (data-source.factory.ts).
 */
export const AUDITOR_ROLE = 'auditor';

const VIEWS = [
  ...['statement_by_key', 'statement_by_campaign', 'daily_spend', 'daily_drift', 'trial_balance'].map(
    (name) => `ledger.${name}`,
  ),
  ...[
    'flagged',
    'by_visitor',
    'moderation_latency',
    'calls',
    'measures',
    'policies_in_force',
    'erasures',
    'chain',
    'seals',
  ].map((name) => `audit.${name}`),
];
const USD = (nano: string, name: string): string => `round(${nano} / 1e9, 9) AS ${name}_usd`;

/** The views that answer an auditor's questions (docs/audit.md), and a role that reads nothing else. */
export class Auditor1763942400080 implements MigrationInterface {
  name = 'Auditor1763942400080';

  async up(runner: QueryRunner): Promise<void> {
    // One row for each call: its visitor, its policy, the decisions and its cost.
    await runner.query(`
      CREATE VIEW audit.calls AS
      SELECT asked.id AS request_id, asked.at, campaign.slug AS campaign, asked.key_id, key.label AS key_label, asked.visitor_id, asked.model, asked.stream,
             asked.policy_version, coalesce(judged.checks, 0) AS checks, judged.input, judged.output, booked.kinds AS bookings,
             ${USD('coalesce(booked.held, 0)', 'held')}, ${USD('coalesce(booked.spent, 0)', 'spent')}
        FROM audit.requests asked
        LEFT JOIN access.keys key ON key.id = asked.key_id
        LEFT JOIN access.campaigns campaign ON campaign.id = asked.campaign_id
        LEFT JOIN LATERAL (
          SELECT count(*) AS checks, array_agg(DISTINCT decision) FILTER (WHERE direction = 'input') AS input,
                 array_agg(DISTINCT decision) FILTER (WHERE direction = 'output') AS output
            FROM audit.checks WHERE checks.request_id = asked.id
        ) judged ON true
        LEFT JOIN LATERAL (
          SELECT array_agg(DISTINCT transfer.kind) AS kinds,
                 sum(entry.amount_nano) FILTER (WHERE transfer.kind = 'hold' AND entry.account = 'inflight') AS held,
                 sum(entry.amount_nano) FILTER (WHERE entry.account LIKE 'upstream:%' OR entry.account = 'absorbed') AS spent
            FROM ledger.transfers transfer JOIN ledger.entries entry ON entry.transfer_id = transfer.id AND entry.period = transfer.period
           WHERE transfer.request_id = asked.id
        ) booked ON true`);
    await runner.query(`
      CREATE VIEW audit.measures AS
      SELECT strike.at, 'strike' AS cause, strike.step AS measure, strike.key_id, campaign.slug AS campaign, strike.request_id, strike.strikes, strike.cooldown_until
        FROM access.strikes strike LEFT JOIN access.campaigns campaign ON campaign.id = strike.campaign_id
      UNION ALL
      SELECT safety.at, 'provider: ' || safety.type, safety.outcome, safety.key_id, campaign.slug, NULL, NULL, NULL
        FROM access.safety_cases safety LEFT JOIN access.keys key ON key.id = safety.key_id
        LEFT JOIN access.campaigns campaign ON campaign.id = key.campaign_id`);
    await runner.query(
      `CREATE VIEW audit.policies_in_force AS SELECT version AS policy_version, policy, recorded_at AS since FROM audit.policies`,
    );
    await runner.query(`CREATE VIEW audit.erasures AS SELECT at, kind, subject, before, note FROM audit.acts`);
    await runner.query(`
      CREATE VIEW audit.chain AS
      SELECT seq, 'request' AS kind, id, at, encode(hash, 'hex') AS hash FROM audit.requests
      UNION ALL SELECT seq, 'check', id, at, encode(hash, 'hex') FROM audit.checks
      UNION ALL SELECT seq, 'act', id, at, encode(hash, 'hex') FROM audit.acts`);
    // A seal whose row is gone, or has another hash, shows that somebody edited the record.
    await runner.query(`
      CREATE VIEW audit.seals AS
      SELECT seal.seq, seal.at, encode(seal.hash, 'hex') AS sealed_hash, encode(seal.signature, 'base64') AS signature, coalesce(found.hash = seal.hash, false) AS holds
        FROM audit.checkpoints seal
        LEFT JOIN LATERAL (
          SELECT hash FROM audit.requests WHERE requests.seq = seal.seq
          UNION ALL SELECT hash FROM audit.checks WHERE checks.seq = seal.seq
          UNION ALL SELECT hash FROM audit.acts WHERE acts.seq = seal.seq
        ) found ON true`);
    await runner.query(`
      DO $$ BEGIN
        BEGIN
          CREATE ROLE ${AUDITOR_ROLE} NOLOGIN;
        EXCEPTION
          WHEN duplicate_object THEN NULL;
          WHEN insufficient_privilege THEN RAISE WARNING 'the role ${AUDITOR_ROLE} cannot be created: create it, and grant it SELECT on the views of docs/audit.md';
        END;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = '${AUDITOR_ROLE}') THEN
          GRANT USAGE ON SCHEMA ledger, audit TO ${AUDITOR_ROLE};
          GRANT SELECT ON ${VIEWS.join(', ')} TO ${AUDITOR_ROLE};
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'daypass_service') THEN GRANT SELECT ON ALL TABLES IN SCHEMA audit TO daypass_service; END IF;
      END $$`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
