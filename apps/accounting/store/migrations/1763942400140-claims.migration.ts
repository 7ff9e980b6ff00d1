import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Claim links, their codes, the people who claim, and what they claimed. `claimants.hash` stays when a claimant is
 * erased, so that nobody claims twice. What older versions stored in `campaigns.claim` had no effect, and is no claim page.
 */
export class Claims1763942400140 implements MigrationInterface {
  name = 'Claims1763942400140';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`UPDATE access.campaigns SET claim = NULL WHERE claim IS NOT NULL`);
    await runner.query(`
      CREATE TABLE access.claim_links (
        id text COLLATE "C" NOT NULL,
        campaign_id text NOT NULL,
        name text NOT NULL,
        token text COLLATE "C" NOT NULL,
        status text NOT NULL DEFAULT 'open',
        gates jsonb NOT NULL,
        key jsonb NOT NULL,
        max_claims integer NOT NULL,
        claimed integer NOT NULL DEFAULT 0,
        opened integer NOT NULL DEFAULT 0,
        starts_at timestamptz(3),
        expires_at timestamptz(3),
        per_ip_per_day integer NOT NULL,
        origins jsonb NOT NULL,
        budget_gone boolean NOT NULL DEFAULT false,
        version integer NOT NULL,
        projected_version integer NOT NULL DEFAULT 0,
        created_at timestamptz(3) NOT NULL,
        updated_at timestamptz(3) NOT NULL,
        CONSTRAINT claim_links_pkey PRIMARY KEY (id),
        CONSTRAINT claim_links_token_key UNIQUE (token),
        CONSTRAINT claim_links_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES access.campaigns (id),
        CONSTRAINT claim_links_status_check CHECK (status = ANY (ARRAY['open'::text, 'paused'::text, 'closed'::text])),
        CONSTRAINT claim_links_claimed_check CHECK (claimed >= 0 AND claimed <= max_claims)
      )`);
    await runner.query(`CREATE INDEX claim_links_campaign_idx ON access.claim_links (campaign_id, created_at, id)`);
    await runner.query(
      `CREATE INDEX claim_links_pending_idx ON access.claim_links (id) WHERE projected_version < version`,
    );
    await runner.query(`
      CREATE TABLE access.claimants (
        id text COLLATE "C" NOT NULL,
        hash text COLLATE "C" NOT NULL,
        kind text NOT NULL,
        label_sealed bytea,
        blocked_at timestamptz(3),
        created_at timestamptz(3) NOT NULL,
        CONSTRAINT claimants_pkey PRIMARY KEY (id),
        CONSTRAINT claimants_hash_key UNIQUE (hash)
      )`);
    await runner.query(`
      ALTER TABLE access.keys
        ADD COLUMN claimant_id text COLLATE "C",
        ADD COLUMN link_id text COLLATE "C",
        ADD CONSTRAINT keys_claimant_id_fkey FOREIGN KEY (claimant_id) REFERENCES access.claimants (id),
        ADD CONSTRAINT keys_link_id_fkey FOREIGN KEY (link_id) REFERENCES access.claim_links (id)`);
    await runner.query(`CREATE INDEX keys_claimant_idx ON access.keys (claimant_id) WHERE claimant_id IS NOT NULL`);
    await runner.query(`CREATE INDEX keys_link_idx ON access.keys (link_id) WHERE link_id IS NOT NULL`);
    await runner.query(`
      CREATE TABLE access.claim_codes (
        id text COLLATE "C" NOT NULL,
        link_id text COLLATE "C" NOT NULL,
        hash text COLLATE "C" NOT NULL,
        label text NOT NULL DEFAULT '',
        expires_at timestamptz(3),
        used_at timestamptz(3),
        voided_at timestamptz(3),
        created_at timestamptz(3) NOT NULL,
        CONSTRAINT claim_codes_pkey PRIMARY KEY (id),
        CONSTRAINT claim_codes_hash_key UNIQUE (hash),
        CONSTRAINT claim_codes_link_id_fkey FOREIGN KEY (link_id) REFERENCES access.claim_links (id)
      )`);
    await runner.query(`CREATE INDEX claim_codes_link_idx ON access.claim_codes (link_id, created_at, id)`);
    await runner.query(`
      CREATE TABLE access.claims (
        id text COLLATE "C" NOT NULL,
        link_id text COLLATE "C" NOT NULL,
        campaign_id text NOT NULL,
        key_id text NOT NULL,
        claimant_id text COLLATE "C",
        code_id text COLLATE "C",
        kind text NOT NULL,
        at timestamptz(3) NOT NULL,
        ip_tag text NOT NULL,
        CONSTRAINT claims_pkey PRIMARY KEY (id),
        CONSTRAINT claims_link_id_fkey FOREIGN KEY (link_id) REFERENCES access.claim_links (id),
        CONSTRAINT claims_key_id_fkey FOREIGN KEY (key_id) REFERENCES access.keys (id),
        CONSTRAINT claims_claimant_id_fkey FOREIGN KEY (claimant_id) REFERENCES access.claimants (id),
        CONSTRAINT claims_code_id_fkey FOREIGN KEY (code_id) REFERENCES access.claim_codes (id)
      )`);
    await runner.query(`CREATE INDEX claims_at_idx ON access.claims (at, id)`);
    await runner.query(`CREATE UNIQUE INDEX claims_code_idx ON access.claims (code_id) WHERE code_id IS NOT NULL`);
    await runner.query(`CREATE INDEX claims_link_idx ON access.claims (link_id, at, id)`);
    await runner.query(`CREATE INDEX claims_campaign_idx ON access.claims (campaign_id, at, id)`);
    await runner.query(`CREATE INDEX claims_claimant_idx ON access.claims (claimant_id) WHERE claimant_id IS NOT NULL`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
