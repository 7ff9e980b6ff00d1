import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Apps get keys of a link at the addresses that the link names. */
export class RedirectUris1763942400165 implements MigrationInterface {
  name = 'RedirectUris1763942400165';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE access.claim_links ADD COLUMN redirect_uris jsonb NOT NULL DEFAULT '[]'::jsonb`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
