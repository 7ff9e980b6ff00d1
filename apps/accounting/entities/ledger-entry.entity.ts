import { Column, Entity, Index, JoinColumn, ManyToOne, PrimaryColumn } from 'typeorm';
import { LedgerTransfer } from './ledger-transfer.entity.js';
import { nanoTransformer } from './nano.transformer.js';

@Entity({ schema: 'ledger', name: 'entries' })
@Index('entries_account_idx', ['account'])
export class LedgerEntry {
  @PrimaryColumn('text', { name: 'transfer_id', primaryKeyConstraintName: 'entries_pkey' })
  transferId!: string;

  @ManyToOne(() => LedgerTransfer, { onDelete: 'NO ACTION', onUpdate: 'NO ACTION', nullable: false })
  @JoinColumn({ name: 'transfer_id', foreignKeyConstraintName: 'entries_transfer_id_fkey' })
  transfer?: LedgerTransfer;

  @PrimaryColumn('text', { primaryKeyConstraintName: 'entries_pkey' })
  account!: string;

  @Column('bigint', { name: 'amount_nano', transformer: nanoTransformer })
  amountNano!: bigint;
}
