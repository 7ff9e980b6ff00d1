import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The share of turns that a campaign's keys get in a full lane. */
export class Weights1763942400060 implements MigrationInterface {
  name = 'Weights1763942400060';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `ALTER TABLE access.campaigns ADD COLUMN weight double precision NOT NULL DEFAULT 1 CHECK (weight > 0)`,
    );
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
