import type { MigrationInterface, QueryRunner } from 'typeorm';

/** For the list of calls, newest first: of all, of a campaign, of a key. Its visitor and its checks have theirs. */
export class CallLists1763942400122 implements MigrationInterface {
  name = 'CallLists1763942400122';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE INDEX requests_at_idx ON audit.requests (at, id)`);
    await runner.query(`CREATE INDEX requests_campaign_idx ON audit.requests (campaign_id, at, id)`);
    await runner.query(`CREATE INDEX requests_key_idx ON audit.requests (key_id, at, id)`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
