import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The double-entry ledger, which only grows. */
export class Ledger1763856000001 implements MigrationInterface {
  name = 'Ledger1763856000001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE SCHEMA IF NOT EXISTS ledger`);
    await runner.query(`
      CREATE TABLE ledger.transfers (
        id text NOT NULL,
        kind text NOT NULL,
        request_id text,
        key_id text,
        campaign_id text NOT NULL,
        at timestamptz(3) NOT NULL,
        detail jsonb NOT NULL,
        journal_id text,
        recorded_at timestamptz(3) NOT NULL DEFAULT now(),
        CONSTRAINT transfers_pkey PRIMARY KEY (id)
      )`);
    await runner.query(`CREATE INDEX transfers_key_idx ON ledger.transfers (key_id, at, id)`);
    await runner.query(`CREATE INDEX transfers_campaign_idx ON ledger.transfers (campaign_id, at, id)`);
    await runner.query(`CREATE INDEX transfers_request_idx ON ledger.transfers (request_id)`);
    await runner.query(`CREATE INDEX transfers_hold_idx ON ledger.transfers (at) WHERE kind = 'hold'`);
    await runner.query(`
      CREATE TABLE ledger.entries (
        transfer_id text NOT NULL,
        account text NOT NULL,
        amount_nano bigint NOT NULL,
        CONSTRAINT entries_pkey PRIMARY KEY (transfer_id, account),
        CONSTRAINT entries_transfer_id_fkey FOREIGN KEY (transfer_id) REFERENCES ledger.transfers (id)
      )`);
    await runner.query(`CREATE INDEX entries_account_idx ON ledger.entries (account)`);
    await runner.query(`
      CREATE TABLE ledger.rejected_events (
        journal_id text NOT NULL,
        raw jsonb NOT NULL,
        reason text NOT NULL,
        recorded_at timestamptz(3) NOT NULL DEFAULT now(),
        CONSTRAINT rejected_events_pkey PRIMARY KEY (journal_id)
      )`);
    await runner.query(`
      CREATE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        RAISE EXCEPTION 'ledger.% is append-only: book a correcting transfer instead', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
      END $$`);
    for (const table of ['transfers', 'entries', 'rejected_events']) {
      await runner.query(`
        CREATE TRIGGER ${table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.${table}
        FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()`);
    }
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
