import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Adds what people did about keys to the view of measures, and keeps it out of the view of erasures. */
export class Measures1763942400090 implements MigrationInterface {
  name = 'Measures1763942400090';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE OR REPLACE VIEW audit.measures AS
      SELECT strike.at, 'strike' AS cause, strike.step AS measure, strike.key_id, campaign.slug AS campaign, strike.request_id, strike.strikes, strike.cooldown_until
        FROM access.strikes strike LEFT JOIN access.campaigns campaign ON campaign.id = strike.campaign_id
      UNION ALL
      SELECT safety.at, 'provider: ' || safety.type, safety.outcome, safety.key_id, campaign.slug, NULL, NULL, NULL
        FROM access.safety_cases safety LEFT JOIN access.keys key ON key.id = safety.key_id
        LEFT JOIN access.campaigns campaign ON campaign.id = key.campaign_id
      UNION ALL
      SELECT act.at, 'person', act.note, act.subject, campaign.slug, NULL, NULL, NULL
        FROM audit.acts act LEFT JOIN access.keys key ON key.id = act.subject
        LEFT JOIN access.campaigns campaign ON campaign.id = key.campaign_id
       WHERE act.kind = 'status'`);
    await runner.query(`
      CREATE OR REPLACE VIEW audit.erasures AS SELECT at, kind, subject, before, note FROM audit.acts WHERE kind IN ('retention', 'erasure')`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
