import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Since when a key is revoked and a campaign closed: whoever holds the secret is told. */
export class Ends1763942400130 implements MigrationInterface {
  name = 'Ends1763942400130';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE access.keys ADD COLUMN revoked_at timestamptz(3)`);
    await runner.query(`ALTER TABLE access.campaigns ADD COLUMN closed_at timestamptz(3)`);
    // Accounting sends them to Redis again, with what visitors now see of them.
    await runner.query(`UPDATE access.campaigns SET version = version + 1`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
