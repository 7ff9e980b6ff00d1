import type { MigrationInterface, QueryRunner } from 'typeorm';

/** When each owner's last call began, so that nobody looks for it in the ledger. No index: each call writes it. */
export class LastCalls1763942400121 implements MigrationInterface {
  name = 'LastCalls1763942400121';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE ledger.balances ADD COLUMN last_at timestamptz(3)`);
    await runner.query(`
      UPDATE ledger.balances SET last_at = (
        SELECT max(transfer.at) FROM ledger.transfers transfer
         WHERE transfer.key_id = substr(balances.owner, 5) AND transfer.kind = 'hold')
       WHERE owner LIKE 'key:%'`);
  }

  async down(): Promise<void> {
    throw new Error('migrations only go forward: restore a backup instead');
  }
}
