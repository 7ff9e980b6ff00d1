import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The provider's safety cases and their outcome; and the end of a rest after a strike. */
export class Safety1763942400050 implements MigrationInterface {
  name = 'Safety1763942400050';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE access.safety_cases (
        id text COLLATE "C" NOT NULL,
        type text NOT NULL,
        at timestamptz(3) NOT NULL,
        key_id text COLLATE "C",
        reason text,
        outcome text,
        attempts integer NOT NULL DEFAULT 0,
        next_at timestamptz(3) NOT NULL DEFAULT now(),
        CONSTRAINT safety_cases_pkey PRIMARY KEY (id)
      )`);
    await runner.query(`ALTER TABLE access.strikes ADD COLUMN cooldown_until timestamptz(3)`);
    await runner.query(`CREATE INDEX safety_cases_due_idx ON access.safety_cases (next_at) WHERE outcome IS NULL`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
