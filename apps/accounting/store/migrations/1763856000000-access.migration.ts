import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Campaigns, keys, and the numbers that must outlive Redis. */
export class Access1763856000000 implements MigrationInterface {
  name = 'Access1763856000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE SCHEMA IF NOT EXISTS access`);
    await runner.query(`
      CREATE TABLE access.campaigns (
        id text NOT NULL,
        slug text NOT NULL,
        name text NOT NULL,
        status text NOT NULL,
        budget_nano bigint NOT NULL,
        models jsonb NOT NULL,
        key_defaults jsonb NOT NULL,
        moderation jsonb NOT NULL,
        claim jsonb,
        origins jsonb,
        version integer NOT NULL,
        projected_version integer NOT NULL DEFAULT 0,
        created_at timestamptz(3) NOT NULL,
        updated_at timestamptz(3) NOT NULL,
        CONSTRAINT campaigns_pkey PRIMARY KEY (id),
        CONSTRAINT campaigns_slug_key UNIQUE (slug),
        CONSTRAINT campaigns_budget_check CHECK (budget_nano >= 0),
        CONSTRAINT campaigns_status_check CHECK (status IN ('active', 'closed'))
      )`);
    await runner.query(`CREATE INDEX campaigns_created_idx ON access.campaigns (created_at, id)`);
    await runner.query(`CREATE INDEX campaigns_pending_idx ON access.campaigns (id) WHERE projected_version < version`);
    await runner.query(`
      CREATE TABLE access.keys (
        id text NOT NULL,
        campaign_id text NOT NULL,
        label text NOT NULL,
        status text NOT NULL,
        status_note text,
        token_hash text NOT NULL,
        former_token_hash text,
        prefix text NOT NULL,
        expires_at timestamptz(3),
        budget_nano bigint NOT NULL,
        models jsonb,
        limits jsonb NOT NULL,
        moderation jsonb,
        version integer NOT NULL,
        projected_version integer NOT NULL DEFAULT 0,
        created_at timestamptz(3) NOT NULL,
        updated_at timestamptz(3) NOT NULL,
        CONSTRAINT keys_pkey PRIMARY KEY (id),
        CONSTRAINT keys_token_hash_key UNIQUE (token_hash),
        CONSTRAINT keys_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES access.campaigns (id),
        CONSTRAINT keys_budget_check CHECK (budget_nano >= 0),
        CONSTRAINT keys_status_check CHECK (status IN ('active', 'suspended', 'revoked'))
      )`);
    await runner.query(`CREATE INDEX keys_created_idx ON access.keys (created_at, id)`);
    await runner.query(`CREATE INDEX keys_campaign_idx ON access.keys (campaign_id, created_at, id)`);
    await runner.query(`CREATE INDEX keys_pending_idx ON access.keys (id) WHERE projected_version < version`);
    await runner.query(
      `CREATE TABLE access.state (name text NOT NULL, value integer NOT NULL, CONSTRAINT state_pkey PRIMARY KEY (name))`,
    );
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
