import { Column, Entity, Index, JoinColumn, ManyToOne, PrimaryColumn, Unique } from 'typeorm';
import { ClaimLink } from './claim-link.entity.js';
import { Claimant } from './claimant.entity.js';

/** A one-time code. Nobody can read it back: only its hash is here. */
@Entity({ schema: 'access', name: 'claim_codes' })
@Unique('claim_codes_hash_key', ['hash'])
@Index('claim_codes_link_idx', ['linkId', 'createdAt', 'id'])
export class ClaimCode {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'claim_codes_pkey', collation: 'C' })
  id!: string;

  @Column({ type: 'text', name: 'link_id', collation: 'C' })
  linkId!: string;

  @ManyToOne(() => ClaimLink, { onDelete: 'NO ACTION', onUpdate: 'NO ACTION', nullable: false })
  @JoinColumn({ name: 'link_id', foreignKeyConstraintName: 'claim_codes_link_id_fkey' })
  link?: ClaimLink;

  @Column({ type: 'text', collation: 'C' })
  hash!: string;

  /** Names the claimant; '': the code is for anybody. */
  @Column('text', { default: '' })
  label!: string;

  /** Whom it was mailed to; null: nobody, its label may name somebody. */
  @Column({ type: 'text', name: 'claimant_id', nullable: true, collation: 'C' })
  claimantId!: string | null;

  @ManyToOne(() => Claimant, { onDelete: 'NO ACTION', onUpdate: 'NO ACTION', nullable: true })
  @JoinColumn({ name: 'claimant_id', foreignKeyConstraintName: 'claim_codes_claimant_id_fkey' })
  claimant?: Claimant | null;

  @Column('timestamp with time zone', { name: 'expires_at', precision: 3, nullable: true })
  expiresAt!: Date | null;

  @Column('timestamp with time zone', { name: 'used_at', precision: 3, nullable: true })
  usedAt!: Date | null;

  @Column('timestamp with time zone', { name: 'voided_at', precision: 3, nullable: true })
  voidedAt!: Date | null;

  @Column('timestamp with time zone', { name: 'created_at', precision: 3 })
  createdAt!: Date;
}
