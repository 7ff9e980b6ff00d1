import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The role that the service works under: it may add to the ledger and change nothing in it. */
export const SERVICE_ROLE = 'daypass_service';

const TRANSFER_COLUMNS =
  'id, period, kind, request_id, key_id, campaign_id, at, budget_day, detail, journal_id, recorded_at';

/**
 * Splits the ledger into months. It adds what keeps its cost flat: balances, the attempts of dispatched calls, and the
 * id up to which accounting booked the journal. The rows of the former tables move over.
 */
export class MonthPartitions1763942400000 implements MigrationInterface {
  name = 'MonthPartitions1763942400000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE ledger.entries RENAME TO former_entries`);
    await runner.query(`ALTER TABLE ledger.transfers RENAME TO former_transfers`);
    for (const index of [
      'transfers_key_idx',
      'transfers_campaign_idx',
      'transfers_request_idx',
      'transfers_hold_idx',
      'entries_account_idx',
    ])
      await runner.query(`DROP INDEX ledger.${index}`);
    await runner.query(`ALTER TABLE ledger.former_entries RENAME CONSTRAINT entries_pkey TO former_entries_pkey`);
    await runner.query(`ALTER TABLE ledger.former_transfers RENAME CONSTRAINT transfers_pkey TO former_transfers_pkey`);
    await createTables(runner);
    await createPartitions(runner);
    await moveFormerRows(runner);
    await createTriggers(runner);
    await createRole(runner);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}

async function createTables(runner: QueryRunner): Promise<void> {
  // The period follows from the id (period.ts). So nothing books an id twice, although the key contains the period.
  await runner.query(`
    CREATE TABLE ledger.transfers (
      id text COLLATE "C" NOT NULL,
      period date NOT NULL,
      kind text NOT NULL,
      request_id text COLLATE "C",
      key_id text COLLATE "C",
      campaign_id text COLLATE "C" NOT NULL,
      at timestamptz(3) NOT NULL,
      budget_day date,
      detail jsonb NOT NULL,
      journal_id text,
      recorded_at timestamptz(3) NOT NULL DEFAULT now(),
      CONSTRAINT transfers_pkey PRIMARY KEY (id, period)
    ) PARTITION BY RANGE (period)`);
  await runner.query(`CREATE INDEX transfers_key_idx ON ledger.transfers (key_id, at, id)`);
  await runner.query(`CREATE INDEX transfers_at_idx ON ledger.transfers (at)`);
  await runner.query(`
    CREATE TABLE ledger.entries (
      transfer_id text COLLATE "C" NOT NULL,
      account text COLLATE "C" NOT NULL,
      amount_nano bigint NOT NULL,
      period date NOT NULL,
      CONSTRAINT entries_pkey PRIMARY KEY (transfer_id, account, period)
    ) PARTITION BY RANGE (period)`);
  await runner.query(`
    CREATE TABLE ledger.attempts (
      request_id text COLLATE "C" NOT NULL,
      attempt integer NOT NULL,
      kind text NOT NULL,
      period date NOT NULL,
      at timestamptz(3) NOT NULL,
      CONSTRAINT attempts_pkey PRIMARY KEY (request_id, attempt, kind, period),
      CONSTRAINT attempts_kind_check CHECK (kind IN ('dispatch', 'defer'))
    ) PARTITION BY RANGE (period)`);
  // Free space on each page, so that a change of a balance touches no index.
  await runner.query(`
    CREATE TABLE ledger.balances (
      owner text COLLATE "C" NOT NULL,
      spent_nano bigint NOT NULL,
      held_nano bigint NOT NULL,
      CONSTRAINT balances_pkey PRIMARY KEY (owner)
    ) WITH (fillfactor = 50)`);
  await runner.query(`
    CREATE TABLE ledger.drained (
      only_row boolean NOT NULL DEFAULT true,
      ms bigint NOT NULL,
      seq bigint NOT NULL,
      at timestamptz(3) NOT NULL,
      CONSTRAINT drained_pkey PRIMARY KEY (only_row),
      CONSTRAINT drained_only_row_check CHECK (only_row)
    )`);
}

async function createPartitions(runner: QueryRunner): Promise<void> {
  await runner.query(`
    CREATE FUNCTION ledger.refuse_row_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'ledger.% is append-only: book a correcting transfer instead', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END $$`);
  // It runs as its owner, because the service may not create tables.
  await runner.query(`
    CREATE FUNCTION ledger.ensure_partitions() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = ledger, pg_temp AS $$
    DECLARE
      month date;
      part text;
      root text;
      made integer := 0;
    BEGIN
      PERFORM pg_advisory_xact_lock(6582276);
      FOR offset_months IN -1..3 LOOP
        month := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => offset_months))::date;
        FOREACH root IN ARRAY ARRAY['transfers', 'entries', 'attempts'] LOOP
          part := format('%s_%s', root, to_char(month, 'YYYY_MM'));
          IF to_regclass('ledger.' || part) IS NULL THEN
            BEGIN
              EXECUTE format('CREATE TABLE ledger.%I PARTITION OF ledger.%I FOR VALUES FROM (%L) TO (%L)', part, root, month, (month + interval '1 month')::date);
              EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON ledger.%I FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_row_change()', part || '_kept', part);
              IF EXISTS (SELECT FROM pg_roles WHERE rolname = '${SERVICE_ROLE}') THEN
                EXECUTE format('GRANT SELECT ON ledger.%I TO ${SERVICE_ROLE}', part);
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
  for (const root of ['transfers', 'entries', 'attempts'])
    await runner.query(`CREATE TABLE ledger.${root}_default PARTITION OF ledger.${root} DEFAULT`);
  await runner.query(`SELECT ledger.ensure_partitions()`);
}

async function moveFormerRows(runner: QueryRunner): Promise<void> {
  // Former request ids have no time in them. All of a call's transfers lie in the default partition, so that an id
  // stays unique.
  const period = `CASE WHEN request_id IS NULL THEN date_trunc('month', at AT TIME ZONE 'UTC')::date ELSE DATE '1970-01-01' END`;
  await runner.query(`
    INSERT INTO ledger.transfers (${TRANSFER_COLUMNS})
    SELECT id, ${period}, kind, request_id, key_id, campaign_id, at, NULL, detail, journal_id, recorded_at FROM ledger.former_transfers`);
  await runner.query(`
    INSERT INTO ledger.entries (transfer_id, account, amount_nano, period)
    SELECT entry.transfer_id, entry.account, entry.amount_nano, transfer.period
      FROM ledger.former_entries entry JOIN ledger.transfers transfer ON transfer.id = entry.transfer_id`);
  const moved = (owner: string) => `
    INSERT INTO ledger.balances (owner, spent_nano, held_nano)
    SELECT ${owner},
           coalesce(sum(entry.amount_nano) FILTER (WHERE entry.account LIKE 'upstream:%' OR entry.account = 'absorbed'), 0),
           coalesce(sum(entry.amount_nano) FILTER (WHERE entry.account = 'inflight'), 0)
      FROM ledger.transfers t JOIN ledger.entries entry ON entry.transfer_id = t.id AND entry.period = t.period
     WHERE t.request_id IS NOT NULL GROUP BY 1`;
  await runner.query(moved(`'key:' || t.key_id`));
  await runner.query(moved(`'campaign:' || t.campaign_id`));
  await runner.query(moved(`'operator:total'`));
  await runner.query(`
    INSERT INTO ledger.drained (ms, seq, at)
    SELECT split_part(journal_id, '-', 1)::bigint, split_part(journal_id, '-', 2)::bigint, at FROM ledger.former_transfers
     WHERE journal_id IS NOT NULL ORDER BY 1 DESC, 2 DESC LIMIT 1`);
  await runner.query(`DROP TABLE ledger.former_entries, ledger.former_transfers`);
}

async function createTriggers(runner: QueryRunner): Promise<void> {
  for (const table of ['transfers', 'entries', 'attempts']) {
    // Triggers by row, because only they cover every partition.
    await runner.query(`
      CREATE TRIGGER ${table}_append_only BEFORE UPDATE OR DELETE ON ledger.${table} FOR EACH ROW EXECUTE FUNCTION ledger.refuse_row_change()`);
    for (const kept of [table, `${table}_default`]) {
      await runner.query(
        `CREATE TRIGGER ${kept}_kept BEFORE TRUNCATE ON ledger.${kept} FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_row_change()`,
      );
    }
  }
}

/**
 * Roles belong to the whole cluster, so that the role may exist already. A login that may not create roles goes on with
 * the triggers alone.
 */
async function createRole(runner: QueryRunner): Promise<void> {
  await runner.query(`
    DO $$
    BEGIN
      BEGIN
        CREATE ROLE ${SERVICE_ROLE} NOLOGIN;
      EXCEPTION
        WHEN duplicate_object THEN NULL;
        WHEN insufficient_privilege THEN
          RAISE WARNING 'the role ${SERVICE_ROLE} cannot be created: the ledger is append-only by its triggers alone';
      END;
      IF EXISTS (SELECT FROM pg_roles WHERE rolname = '${SERVICE_ROLE}') THEN
        BEGIN
          EXECUTE format('GRANT ${SERVICE_ROLE} TO %I', current_user);
        EXCEPTION WHEN insufficient_privilege OR invalid_grant_operation THEN NULL;
        END;
        GRANT USAGE ON SCHEMA access, ledger TO ${SERVICE_ROLE};
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA access TO ${SERVICE_ROLE};
        ALTER DEFAULT PRIVILEGES IN SCHEMA access GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ${SERVICE_ROLE};
        GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO ${SERVICE_ROLE};
        ALTER DEFAULT PRIVILEGES IN SCHEMA ledger GRANT SELECT ON TABLES TO ${SERVICE_ROLE};
        GRANT INSERT ON ledger.transfers, ledger.entries, ledger.attempts, ledger.rejected_events TO ${SERVICE_ROLE};
        GRANT INSERT, UPDATE ON ledger.balances, ledger.drained TO ${SERVICE_ROLE};
      END IF;
    END $$`);
}
