import type { MigrationInterface, QueryRunner } from 'typeorm';

/** First answers that make admin writes repeatable, and columns for the return of a key's unspent budget. */
export class AdminWrites1763942400010 implements MigrationInterface {
  name = 'AdminWrites1763942400010';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE access.idempotent_writes (
        key text COLLATE "C" NOT NULL,
        fingerprint text NOT NULL,
        answer bytea NOT NULL,
        written text[] NOT NULL,
        expires_at timestamptz(3) NOT NULL,
        CONSTRAINT idempotent_writes_pkey PRIMARY KEY (key)
      )`);
    await runner.query(`CREATE INDEX idempotent_writes_expiry_idx ON access.idempotent_writes (expires_at)`);
    await runner.query(`
      ALTER TABLE access.keys
        ADD COLUMN returned_nano bigint NOT NULL DEFAULT 0,
        ADD COLUMN closed_at timestamptz(3),
        ADD COLUMN settle_at timestamptz(3),
        ADD CONSTRAINT keys_returned_check CHECK (returned_nano >= 0)`);
    await runner.query(`ALTER TABLE access.keys ALTER COLUMN returned_nano DROP DEFAULT`);
    await runner.query(
      `UPDATE access.keys SET settle_at = CASE WHEN status = 'revoked' THEN now() ELSE expires_at END`,
    );
    await runner.query(`CREATE INDEX keys_settle_idx ON access.keys (settle_at) WHERE settle_at IS NOT NULL`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
