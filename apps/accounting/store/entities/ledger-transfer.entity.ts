import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { TransferKind } from '../../domain/transfer.js';

@Entity({ schema: 'ledger', name: 'transfers' })
@Index('transfers_key_idx', ['keyId', 'at', 'id'])
@Index('transfers_at_idx', ['at'])
@Index('transfers_presumed_idx', ['at'], { where: `kind = 'presume'` })
export class LedgerTransfer {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'transfers_pkey', collation: 'C' })
  id!: string;

  /** The month of the partition. */
  @PrimaryColumn('date', { primaryKeyConstraintName: 'transfers_pkey' })
  period!: string;

  @Column('text')
  kind!: TransferKind;

  @Column({ type: 'text', name: 'request_id', nullable: true, collation: 'C' })
  requestId!: string | null;

  @Column({ type: 'text', name: 'key_id', nullable: true, collation: 'C' })
  keyId!: string | null;

  @Column({ type: 'text', name: 'campaign_id', collation: 'C' })
  campaignId!: string;

  @Column('timestamp with time zone', { precision: 3 })
  at!: Date;

  @Column('date', { name: 'budget_day', nullable: true })
  budgetDay!: string | null;

  @Column('jsonb')
  detail!: Record<string, unknown>;

  /** The id of the journal's entry; null for what accounting booked by itself. */
  @Column('text', { name: 'journal_id', nullable: true })
  journalId!: string | null;

  @Column('timestamp with time zone', { name: 'recorded_at', precision: 3, default: () => 'now()' })
  recordedAt!: Date;
}
