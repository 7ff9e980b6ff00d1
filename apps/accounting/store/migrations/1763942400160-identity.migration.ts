import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Links whose gates tell who claims, and who waits for keys of a campaign. An address stands with its claimant, so that an
 * erasure takes it from here, too. `code_sealed` is there until the mail with the code is out.
 */
export class Identity1763942400160 implements MigrationInterface {
  name = 'Identity1763942400160';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE access.claim_links
        ADD COLUMN github jsonb NOT NULL DEFAULT '{"min_account_age_days": 30}',
        ADD COLUMN email jsonb NOT NULL DEFAULT '{"domains": []}'`);
    await runner.query(`
      ALTER TABLE access.claim_codes
        ADD COLUMN claimant_id text COLLATE "C",
        ADD CONSTRAINT claim_codes_claimant_id_fkey FOREIGN KEY (claimant_id) REFERENCES access.claimants (id)`);
    await runner.query(`
      CREATE TABLE access.waitlist (
        id text COLLATE "C" NOT NULL,
        campaign_id text NOT NULL,
        link_id text COLLATE "C" NOT NULL,
        claimant_id text COLLATE "C" NOT NULL,
        at timestamptz(3) NOT NULL,
        code_id text COLLATE "C",
        invited_at timestamptz(3),
        code_sealed bytea,
        attempts integer NOT NULL DEFAULT 0,
        next_at timestamptz(3),
        mailed_at timestamptz(3),
        CONSTRAINT waitlist_pkey PRIMARY KEY (id),
        CONSTRAINT waitlist_claimant_key UNIQUE (campaign_id, claimant_id),
        CONSTRAINT waitlist_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES access.campaigns (id),
        CONSTRAINT waitlist_link_id_fkey FOREIGN KEY (link_id) REFERENCES access.claim_links (id),
        CONSTRAINT waitlist_claimant_id_fkey FOREIGN KEY (claimant_id) REFERENCES access.claimants (id),
        CONSTRAINT waitlist_code_id_fkey FOREIGN KEY (code_id) REFERENCES access.claim_codes (id)
      )`);
    await runner.query(`CREATE INDEX waitlist_at_idx ON access.waitlist (at, id)`);
    await runner.query(`CREATE INDEX waitlist_campaign_idx ON access.waitlist (campaign_id, at, id)`);
    await runner.query(`CREATE INDEX waitlist_due_idx ON access.waitlist (next_at) WHERE code_sealed IS NOT NULL`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
