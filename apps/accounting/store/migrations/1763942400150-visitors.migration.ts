import type { MigrationInterface, QueryRunner } from 'typeorm';
import { AUDITOR_ROLE } from './1763942400080-auditor.migration.js';

/**
 * Who did each act, which flagged calls a person has seen, and which visitors asked for their erasure. A claimant is
 * one visitor over all of its keys.
 */
export class Visitors1763942400150 implements MigrationInterface {
  name = 'Visitors1763942400150';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE audit.acts ADD COLUMN actor text`);
    await runner.query(`CREATE INDEX acts_at_idx ON audit.acts (at, id)`);
    await runner.query(`CREATE INDEX acts_subject_idx ON audit.acts (subject, at, id)`);
    await runner.query(`CREATE INDEX acts_actor_idx ON audit.acts (actor, at, id) WHERE actor IS NOT NULL`);
    await runner.query(`CREATE INDEX checks_visitor_idx ON audit.checks (visitor_id, at, id)`);
    // 'suspension' goes with a pardon; what a person blocked stays blocked.
    await runner.query(`
      ALTER TABLE access.claimants ADD COLUMN blocked_by text
        CONSTRAINT claimants_blocked_by_check CHECK (blocked_by = ANY (ARRAY['suspension'::text, 'person'::text]))`);
    await runner.query(`ALTER TABLE access.safety_cases ADD COLUMN visitor_id text COLLATE "C"`);
    // What a visitor did up to then is reviewed, because a person decided about it.
    await runner.query(`
      CREATE TABLE access.reviews (
        visitor_id text COLLATE "C" NOT NULL,
        reviewed_to timestamptz(3) NOT NULL,
        CONSTRAINT reviews_pkey PRIMARY KEY (visitor_id)
      )`);
    // A call that a person marked by itself.
    await runner.query(`
      CREATE TABLE access.reviewed_calls (
        request_id text COLLATE "C" NOT NULL,
        at timestamptz(3) NOT NULL,
        CONSTRAINT reviewed_calls_pkey PRIMARY KEY (request_id)
      )`);
    await runner.query(`
      CREATE TABLE access.erasures (
        visitor_id text COLLATE "C" NOT NULL,
        asked_at timestamptz(3) NOT NULL,
        due_at timestamptz(3) NOT NULL,
        next_at timestamptz(3) NOT NULL,
        CONSTRAINT erasures_pkey PRIMARY KEY (visitor_id)
      )`);
    await runner.query(`CREATE INDEX erasures_next_idx ON access.erasures (next_at)`);
    await createViews(runner);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}

async function createViews(runner: QueryRunner): Promise<void> {
  await runner.query(`
    CREATE OR REPLACE VIEW audit.measures AS
    SELECT strike.at, 'strike' AS cause, strike.step AS measure, strike.key_id, campaign.slug AS campaign, strike.request_id, strike.strikes,
           strike.cooldown_until, coalesce(key.claimant_id, strike.key_id) AS visitor_id, NULL::text AS actor
      FROM access.strikes strike LEFT JOIN access.keys key ON key.id = strike.key_id
      LEFT JOIN access.campaigns campaign ON campaign.id = strike.campaign_id
    UNION ALL
    SELECT safety.at, 'provider: ' || safety.type, safety.outcome, safety.key_id, campaign.slug, NULL, NULL, NULL,
           coalesce(safety.visitor_id, safety.key_id), NULL
      FROM access.safety_cases safety LEFT JOIN access.keys key ON key.id = safety.key_id
      LEFT JOIN access.campaigns campaign ON campaign.id = key.campaign_id
    UNION ALL
    SELECT act.at, 'person', act.note, CASE WHEN key.id IS NOT NULL THEN act.subject END, coalesce(campaign.slug, whole.slug), NULL, NULL, NULL,
           CASE WHEN act.kind = 'visitor' THEN act.subject WHEN key.id IS NOT NULL THEN coalesce(key.claimant_id, act.subject) END, act.actor
      FROM audit.acts act LEFT JOIN access.keys key ON key.id = act.subject
      LEFT JOIN access.campaigns campaign ON campaign.id = key.campaign_id
      LEFT JOIN access.campaigns whole ON whole.id = act.subject
     WHERE act.kind IN ('status', 'terms', 'visitor')`);
  await runner.query(`
    CREATE OR REPLACE VIEW audit.erasures AS
    SELECT at, kind, subject, before, note, actor FROM audit.acts WHERE kind IN ('retention', 'erasure')`);
  // Whoever reads a prompt stands here, too.
  await runner.query(`
    CREATE VIEW audit.opened AS
    SELECT act.at, act.subject AS request_id, asked.visitor_id, asked.key_id, act.actor, act.note
      FROM audit.acts act LEFT JOIN audit.requests asked ON asked.id = act.subject WHERE act.kind = 'opened'`);
  await runner.query(`
    DO $$ BEGIN
      IF EXISTS (SELECT FROM pg_roles WHERE rolname = '${AUDITOR_ROLE}') THEN GRANT SELECT ON audit.opened TO ${AUDITOR_ROLE}; END IF;
    END $$`);
}
