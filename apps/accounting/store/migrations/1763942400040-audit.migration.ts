import type { MigrationInterface, QueryRunner } from 'typeorm';
import { SERVICE_ROLE } from './1763942400000-month-partitions.migration.js';

/** In months, by the month in a request id. */
const PARTITIONED = ['requests', 'checks', 'contents'];
/** Nobody changes or deletes rows. Accounting deletes contents after their retention; their rows still prove them. */
const APPEND_ONLY = ['requests', 'checks', 'acts', 'checkpoints', 'policies'];

/** The record: requests, checks and acts, each row chained to the one before it. */
export class Audit1763942400040 implements MigrationInterface {
  name = 'Audit1763942400040';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE SCHEMA audit`);
    await runner.query(`ALTER TABLE access.campaigns ADD COLUMN retention_days integer CHECK (retention_days > 0)`);
    await createTables(runner);
    await createPartitions(runner);
    await createTriggers(runner);
    await createViews(runner);
    await grant(runner);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}

async function createTables(runner: QueryRunner): Promise<void> {
  await runner.query(`
    CREATE TABLE audit.requests (
      id text COLLATE "C" NOT NULL,
      period date NOT NULL,
      seq bigint NOT NULL,
      hash bytea NOT NULL,
      at timestamptz(3) NOT NULL,
      visitor_id text COLLATE "C" NOT NULL,
      key_id text COLLATE "C" NOT NULL,
      campaign_id text COLLATE "C" NOT NULL,
      model text NOT NULL,
      stream boolean NOT NULL,
      policy_version text COLLATE "C" NOT NULL,
      content_hash bytea,
      recorded_at timestamptz(3) NOT NULL DEFAULT now(),
      CONSTRAINT requests_pkey PRIMARY KEY (id, period)
    ) PARTITION BY RANGE (period)`);
  await runner.query(`CREATE INDEX requests_seq_idx ON audit.requests (seq)`);
  await runner.query(`CREATE INDEX requests_visitor_idx ON audit.requests (visitor_id, at)`);
  await runner.query(`
    CREATE TABLE audit.checks (
      id text COLLATE "C" NOT NULL,
      period date NOT NULL,
      seq bigint NOT NULL,
      hash bytea NOT NULL,
      at timestamptz(3) NOT NULL,
      request_id text COLLATE "C" NOT NULL,
      visitor_id text COLLATE "C" NOT NULL,
      key_id text COLLATE "C" NOT NULL,
      campaign_id text COLLATE "C" NOT NULL,
      direction text NOT NULL,
      guard text NOT NULL,
      model text NOT NULL,
      decision text NOT NULL,
      categories text[] NOT NULL,
      scores jsonb NOT NULL,
      thresholds jsonb NOT NULL,
      policy_version text COLLATE "C" NOT NULL,
      latency_ms integer NOT NULL,
      reason text,
      content_hash bytea,
      recorded_at timestamptz(3) NOT NULL DEFAULT now(),
      CONSTRAINT checks_pkey PRIMARY KEY (id, period)
    ) PARTITION BY RANGE (period)`);
  await runner.query(`CREATE INDEX checks_seq_idx ON audit.checks (seq)`);
  await runner.query(`CREATE INDEX checks_at_idx ON audit.checks (at, id)`);
  await runner.query(`CREATE INDEX checks_key_idx ON audit.checks (key_id, at, id)`);
  await runner.query(`CREATE INDEX checks_campaign_idx ON audit.checks (campaign_id, at, id)`);
  await runner.query(`CREATE INDEX checks_request_idx ON audit.checks (request_id)`);
  await runner.query(`CREATE INDEX checks_decision_idx ON audit.checks (decision, at, id) WHERE decision <> 'pass'`);
  // Encrypted under the visitor's secret. It has its own table, so that a content can go while its row stays.
  await runner.query(`
    CREATE TABLE audit.contents (
      id text COLLATE "C" NOT NULL,
      period date NOT NULL,
      campaign_id text COLLATE "C" NOT NULL,
      at timestamptz(3) NOT NULL,
      sealed bytea NOT NULL,
      CONSTRAINT contents_pkey PRIMARY KEY (id, period)
    ) PARTITION BY RANGE (period)`);
  await runner.query(`CREATE INDEX contents_campaign_idx ON audit.contents (campaign_id, at)`);
  // Acts on the record itself: deleted contents and erased visitors.
  await runner.query(`
    CREATE TABLE audit.acts (
      id text COLLATE "C" NOT NULL,
      seq bigint NOT NULL,
      hash bytea NOT NULL,
      at timestamptz(3) NOT NULL,
      kind text NOT NULL,
      subject text COLLATE "C" NOT NULL,
      before timestamptz(3),
      note text,
      recorded_at timestamptz(3) NOT NULL DEFAULT now(),
      CONSTRAINT acts_pkey PRIMARY KEY (id)
    )`);
  await runner.query(`CREATE INDEX acts_seq_idx ON audit.acts (seq)`);
  await runner.query(`
    CREATE TABLE audit.policies (
      version text COLLATE "C" NOT NULL,
      policy jsonb NOT NULL,
      recorded_at timestamptz(3) NOT NULL DEFAULT now(),
      CONSTRAINT policies_pkey PRIMARY KEY (version)
    )`);
  await runner.query(`
    CREATE TABLE audit.visitors (
      id text COLLATE "C" NOT NULL,
      wrapped_key bytea,
      created_at timestamptz(3) NOT NULL DEFAULT now(),
      erased_at timestamptz(3),
      CONSTRAINT visitors_pkey PRIMARY KEY (id),
      CONSTRAINT visitors_key_check CHECK ((wrapped_key IS NULL) = (erased_at IS NOT NULL))
    )`);
  // The last link. Whoever adds to the chain locks this row.
  await runner.query(`
    CREATE TABLE audit.head (
      only_row boolean NOT NULL DEFAULT true,
      seq bigint NOT NULL,
      hash bytea NOT NULL,
      CONSTRAINT head_pkey PRIMARY KEY (only_row),
      CONSTRAINT head_only_row_check CHECK (only_row)
    )`);
  await runner.query(`INSERT INTO audit.head (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex'))`);
  await runner.query(`
    CREATE TABLE audit.checkpoints (
      seq bigint NOT NULL,
      hash bytea NOT NULL,
      at timestamptz(3) NOT NULL,
      signature bytea NOT NULL,
      CONSTRAINT checkpoints_pkey PRIMARY KEY (seq)
    )`);
}

async function createPartitions(runner: QueryRunner): Promise<void> {
  // It runs as its owner, because the service may not create tables.
  await runner.query(`
    CREATE FUNCTION audit.ensure_partitions() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = audit, pg_temp AS $$
    DECLARE
      month date;
      part text;
      root text;
      made integer := 0;
    BEGIN
      PERFORM pg_advisory_xact_lock(6582277);
      FOR offset_months IN -1..3 LOOP
        month := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => offset_months))::date;
        FOREACH root IN ARRAY ARRAY['${PARTITIONED.join("', '")}'] LOOP
          part := format('%s_%s', root, to_char(month, 'YYYY_MM'));
          IF to_regclass('audit.' || part) IS NULL THEN
            BEGIN
              EXECUTE format('CREATE TABLE audit.%I PARTITION OF audit.%I FOR VALUES FROM (%L) TO (%L)', part, root, month, (month + interval '1 month')::date);
              EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON audit.%I FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_row_change()', part || '_kept', part);
              IF EXISTS (SELECT FROM pg_roles WHERE rolname = '${SERVICE_ROLE}') THEN
                EXECUTE format('GRANT SELECT ON audit.%I TO ${SERVICE_ROLE}', part);
              END IF;
              made := made + 1;
            EXCEPTION WHEN check_violation THEN
              -- Rows of that month lie in the default partition already, and stay there.
              NULL;
            END;
          END IF;
        END LOOP;
      END LOOP;
      RETURN made;
    END $$`);
  await runner.query(`
    CREATE FUNCTION audit.refuse_row_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'audit.% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END $$`);
  for (const root of PARTITIONED)
    await runner.query(`CREATE TABLE audit.${root}_default PARTITION OF audit.${root} DEFAULT`);
  await runner.query(`SELECT audit.ensure_partitions()`);
}

async function createTriggers(runner: QueryRunner): Promise<void> {
  for (const table of APPEND_ONLY) {
    // Triggers by row, because only they cover every partition.
    await runner.query(
      `CREATE TRIGGER ${table}_append_only BEFORE UPDATE OR DELETE ON audit.${table} FOR EACH ROW EXECUTE FUNCTION audit.refuse_row_change()`,
    );
  }
  await runner.query(
    `CREATE TRIGGER contents_unchanged BEFORE UPDATE ON audit.contents FOR EACH ROW EXECUTE FUNCTION audit.refuse_row_change()`,
  );
  for (const table of [...APPEND_ONLY, ...PARTITIONED.map((root) => `${root}_default`), 'contents']) {
    await runner.query(
      `CREATE TRIGGER ${table}_kept BEFORE TRUNCATE ON audit.${table} FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_row_change()`,
    );
  }
}

/** Views for auditors. The admin API shows contents, because it has their secrets. */
async function createViews(runner: QueryRunner): Promise<void> {
  await runner.query(`
    CREATE VIEW audit.flagged AS
    SELECT check_row.at, check_row.id AS check_id, check_row.request_id, campaign.slug AS campaign, check_row.key_id, key.label AS key_label,
           check_row.visitor_id, check_row.direction, check_row.guard, check_row.model, check_row.decision, check_row.categories,
           (SELECT jsonb_object_agg(name, score) FROM jsonb_each(check_row.scores) AS given (name, score) WHERE name = ANY (check_row.categories)) AS scores,
           check_row.reason, check_row.policy_version, check_row.latency_ms
      FROM audit.checks check_row
      LEFT JOIN access.keys key ON key.id = check_row.key_id
      LEFT JOIN access.campaigns campaign ON campaign.id = check_row.campaign_id
     WHERE check_row.decision <> 'pass'`);
  await runner.query(`
    CREATE VIEW audit.by_visitor AS
    SELECT asked.visitor_id, visitor.erased_at, asked.requests, asked.first_at, asked.last_at,
           coalesce(judged.checks, 0) AS checks, coalesce(judged.blocked, 0) AS blocked, coalesce(judged.flagged, 0) AS flagged,
           coalesce(judged.redacted, 0) AS redacted, coalesce(judged.without_verdict, 0) AS without_verdict,
           round(coalesce(judged.struck, 0)::numeric / asked.requests, 4) AS share_of_requests_flagged
      FROM (SELECT visitor_id, count(*) AS requests, min(at) AS first_at, max(at) AS last_at FROM audit.requests GROUP BY visitor_id) asked
      LEFT JOIN (
        SELECT visitor_id, count(*) AS checks, count(*) FILTER (WHERE decision = 'blocked') AS blocked,
               count(*) FILTER (WHERE decision = 'flagged') AS flagged, count(*) FILTER (WHERE decision = 'redacted') AS redacted,
               count(*) FILTER (WHERE decision IN ('unchecked', 'unavailable')) AS without_verdict,
               count(DISTINCT request_id) FILTER (WHERE decision IN ('blocked', 'flagged')) AS struck
          FROM audit.checks GROUP BY visitor_id
      ) judged ON judged.visitor_id = asked.visitor_id
      LEFT JOIN audit.visitors visitor ON visitor.id = asked.visitor_id`);
  await runner.query(`
    CREATE VIEW audit.moderation_latency AS
    SELECT date_trunc('hour', at AT TIME ZONE 'UTC') AS hour, direction, guard, count(*) AS checks,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY latency_ms) AS p50_ms,
           percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_ms) AS p95_ms,
           percentile_disc(0.99) WITHIN GROUP (ORDER BY latency_ms) AS p99_ms,
           max(latency_ms) AS max_ms,
           count(*) FILTER (WHERE decision IN ('unchecked', 'unavailable')) AS without_verdict
      FROM audit.checks GROUP BY 1, 2, 3`);
}

async function grant(runner: QueryRunner): Promise<void> {
  await runner.query(`
    DO $$ BEGIN
      IF EXISTS (SELECT FROM pg_roles WHERE rolname = '${SERVICE_ROLE}') THEN
        GRANT USAGE ON SCHEMA audit TO ${SERVICE_ROLE};
        GRANT SELECT ON ALL TABLES IN SCHEMA audit TO ${SERVICE_ROLE};
        ALTER DEFAULT PRIVILEGES IN SCHEMA audit GRANT SELECT ON TABLES TO ${SERVICE_ROLE};
        GRANT INSERT ON audit.requests, audit.checks, audit.acts, audit.policies, audit.checkpoints TO ${SERVICE_ROLE};
        GRANT INSERT, DELETE ON audit.contents TO ${SERVICE_ROLE};
        GRANT INSERT, UPDATE ON audit.visitors TO ${SERVICE_ROLE};
        GRANT UPDATE ON audit.head TO ${SERVICE_ROLE};
      END IF;
    END $$`);
}
