import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The record names the API of each call. A row without a name is of chat completions, as all earlier rows are. */
export class Endpoints1763942400100 implements MigrationInterface {
  name = 'Endpoints1763942400100';

  async up(runner: QueryRunner): Promise<void> {
    // Without a default, so that no earlier row changes: their hashes cover no name.
    await runner.query(`ALTER TABLE audit.requests ADD COLUMN endpoint text COLLATE "C"`);
    // Postgres takes a new column of a view at its end alone.
    await runner.query(`
      CREATE OR REPLACE VIEW audit.calls AS
      SELECT asked.id AS request_id, asked.at, campaign.slug AS campaign, asked.key_id, key.label AS key_label, asked.visitor_id, asked.model, asked.stream,
             asked.policy_version, coalesce(judged.checks, 0) AS checks, judged.input, judged.output, booked.kinds AS bookings,
             round(coalesce(booked.held, 0) / 1e9, 9) AS held_usd, round(coalesce(booked.spent, 0) / 1e9, 9) AS spent_usd,
             coalesce(asked.endpoint, 'chat.completions') AS endpoint
        FROM audit.requests asked
        LEFT JOIN access.keys key ON key.id = asked.key_id
        LEFT JOIN access.campaigns campaign ON campaign.id = asked.campaign_id
        LEFT JOIN LATERAL (
          SELECT count(*) AS checks, array_agg(DISTINCT decision) FILTER (WHERE direction = 'input') AS input,
                 array_agg(DISTINCT decision) FILTER (WHERE direction = 'output') AS output
            FROM audit.checks WHERE checks.request_id = asked.id
        ) judged ON true
        LEFT JOIN LATERAL (
          SELECT array_agg(DISTINCT transfer.kind) AS kinds,
                 sum(entry.amount_nano) FILTER (WHERE transfer.kind = 'hold' AND entry.account = 'inflight') AS held,
                 sum(entry.amount_nano) FILTER (WHERE entry.account LIKE 'upstream:%' OR entry.account = 'absorbed') AS spent
            FROM ledger.transfers transfer JOIN ledger.entries entry ON entry.transfer_id = transfer.id AND entry.period = transfer.period
           WHERE transfer.request_id = asked.id
        ) booked ON true`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
