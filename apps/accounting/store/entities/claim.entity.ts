import { Column, Entity, Index, JoinColumn, ManyToOne, PrimaryColumn } from 'typeorm';
import type { Gate } from '#libs/contracts/claims.js';
import { ClaimCode } from './claim-code.entity.js';
import { ClaimLink } from './claim-link.entity.js';
import { Claimant } from './claimant.entity.js';
import { Key } from './key.entity.js';

/** A link made a key. */
@Entity({ schema: 'access', name: 'claims' })
@Index('claims_at_idx', ['at', 'id'])
@Index('claims_code_idx', ['codeId'], { unique: true, where: 'code_id IS NOT NULL' })
@Index('claims_link_idx', ['linkId', 'at', 'id'])
@Index('claims_campaign_idx', ['campaignId', 'at', 'id'])
@Index('claims_claimant_idx', ['claimantId'], { where: 'claimant_id IS NOT NULL' })
export class Claim {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'claims_pkey', collation: 'C' })
  id!: string;

  @Column({ type: 'text', name: 'link_id', collation: 'C' })
  linkId!: string;

  @ManyToOne(() => ClaimLink, { onDelete: 'NO ACTION', onUpdate: 'NO ACTION', nullable: false })
  @JoinColumn({ name: 'link_id', foreignKeyConstraintName: 'claims_link_id_fkey' })
  link?: ClaimLink;

  @Column('text', { name: 'campaign_id' })
  campaignId!: string;

  @Column('text', { name: 'key_id' })
  keyId!: string;

  @ManyToOne(() => Key, { onDelete: 'NO ACTION', onUpdate: 'NO ACTION', nullable: false })
  @JoinColumn({ name: 'key_id', foreignKeyConstraintName: 'claims_key_id_fkey' })
  key?: Key;

  @Column({ type: 'text', name: 'claimant_id', nullable: true, collation: 'C' })
  claimantId!: string | null;

  @ManyToOne(() => Claimant, { onDelete: 'NO ACTION', onUpdate: 'NO ACTION', nullable: true })
  @JoinColumn({ name: 'claimant_id', foreignKeyConstraintName: 'claims_claimant_id_fkey' })
  claimant?: Claimant | null;

  @Column({ type: 'text', name: 'code_id', nullable: true, collation: 'C' })
  codeId!: string | null;

  @ManyToOne(() => ClaimCode, { onDelete: 'NO ACTION', onUpdate: 'NO ACTION', nullable: true })
  @JoinColumn({ name: 'code_id', foreignKeyConstraintName: 'claims_code_id_fkey' })
  code?: ClaimCode | null;

  /** The gate that the visitor passed. */
  @Column('text')
  kind!: Gate;

  @Column('timestamp with time zone', { precision: 3 })
  at!: Date;

  /** Tells addresses apart within a day. */
  @Column('text', { name: 'ip_tag' })
  ipTag!: string;
}
