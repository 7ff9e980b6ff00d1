import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Keys that start later, and keys whose time begins with their first call. */
export class KeyTimes1763942400120 implements MigrationInterface {
  name = 'KeyTimes1763942400120';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE access.keys
        ADD COLUMN starts_at timestamptz(3),
        ADD COLUMN ttl_from_use_seconds integer,
        ADD COLUMN first_used_at timestamptz(3),
        ADD CONSTRAINT keys_ttl_from_use_check CHECK (ttl_from_use_seconds > 0)`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
