import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Calls are refused by their origin. So campaigns that name origins are sent to Redis once more. */
export class Origins1763942400110 implements MigrationInterface {
  name = 'Origins1763942400110';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`UPDATE access.campaigns SET version = version + 1 WHERE origins IS NOT NULL`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
