import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { TransferKind } from '../domain/transfer.js';

@Entity({ schema: 'ledger', name: 'transfers' })
@Index('transfers_key_idx', ['keyId', 'at', 'id'])
@Index('transfers_campaign_idx', ['campaignId', 'at', 'id'])
@Index('transfers_request_idx', ['requestId'])
@Index('transfers_hold_idx', ['at'], { where: `kind = 'hold'::text` })
export class LedgerTransfer {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'transfers_pkey' })
  id!: string;

  @Column('text')
  kind!: TransferKind;

  @Column('text', { name: 'request_id', nullable: true })
  requestId!: string | null;

  @Column('text', { name: 'key_id', nullable: true })
  keyId!: string | null;

  @Column('text', { name: 'campaign_id' })
  campaignId!: string;

  @Column('timestamp with time zone', { precision: 3 })
  at!: Date;

  @Column('jsonb')
  detail!: Record<string, unknown>;

  /** The id of the journal's entry; null for what accounting booked by itself. */
  @Column('text', { name: 'journal_id', nullable: true })
  journalId!: string | null;

  @Column('timestamp with time zone', { name: 'recorded_at', precision: 3, default: () => 'now()' })
  recordedAt!: Date;
}
