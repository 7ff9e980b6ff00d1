import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Strikes of keys, and notices to the operator. */
export class Strikes1763942400030 implements MigrationInterface {
  name = 'Strikes1763942400030';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE access.keys ADD COLUMN strikes_since timestamptz(3)`);
    await runner.query(`
      CREATE TABLE access.strikes (
        request_id text COLLATE "C" NOT NULL,
        key_id text COLLATE "C" NOT NULL,
        campaign_id text COLLATE "C" NOT NULL,
        at timestamptz(3) NOT NULL,
        strikes integer NOT NULL,
        step text NOT NULL,
        detail jsonb NOT NULL,
        CONSTRAINT strikes_pkey PRIMARY KEY (request_id)
      )`);
    await runner.query(`CREATE INDEX strikes_key_idx ON access.strikes (key_id, at)`);
    await runner.query(`
      CREATE TABLE access.notices (
        id text COLLATE "C" NOT NULL,
        at timestamptz(3) NOT NULL,
        body jsonb NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        next_at timestamptz(3) NOT NULL DEFAULT now(),
        CONSTRAINT notices_pkey PRIMARY KEY (id)
      )`);
    await runner.query(`CREATE INDEX notices_due_idx ON access.notices (next_at)`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
