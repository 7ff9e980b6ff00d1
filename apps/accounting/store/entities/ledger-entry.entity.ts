import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { nanoTransformer } from './nano.transformer.js';

/** A foreign key would cost a third of the drain's speed. One statement writes both tables, and verify finds strays. */
@Entity({ schema: 'ledger', name: 'entries' })
@Index('entries_elsewhere_idx', ['transferId'], { where: `account LIKE 'upstream:%' AND account <> 'upstream:openai'` })
@Index('entries_absorbed_idx', ['transferId'], { where: `account = 'absorbed'` })
export class LedgerEntry {
  @PrimaryColumn('text', { name: 'transfer_id', primaryKeyConstraintName: 'entries_pkey', collation: 'C' })
  transferId!: string;

  @PrimaryColumn('text', { primaryKeyConstraintName: 'entries_pkey', collation: 'C' })
  account!: string;

  @Column('bigint', { name: 'amount_nano', transformer: nanoTransformer })
  amountNano!: bigint;

  @PrimaryColumn('date', { primaryKeyConstraintName: 'entries_pkey' })
  period!: string;
}
