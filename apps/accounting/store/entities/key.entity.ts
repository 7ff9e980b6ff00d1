import { Check, Column, Entity, Index, JoinColumn, ManyToOne, PrimaryColumn, Unique } from 'typeorm';
import type { StoredLimits, KeyStatus } from '#libs/contracts/key-state.js';
import type { ModerationPolicy } from '#libs/contracts/policy.js';
import { Campaign } from './campaign.entity.js';
import { ClaimLink } from './claim-link.entity.js';
import { Claimant } from './claimant.entity.js';
import { nanoTransformer } from './nano.transformer.js';

@Entity({ schema: 'access', name: 'keys' })
@Unique('keys_token_hash_key', ['tokenHash'])
@Index('keys_created_idx', ['createdAt', 'id'])
@Index('keys_campaign_idx', ['campaignId', 'createdAt', 'id'])
@Index('keys_claimant_idx', ['claimantId'], { where: 'claimant_id IS NOT NULL' })
@Index('keys_link_idx', ['linkId'], { where: 'link_id IS NOT NULL' })
@Index('keys_pending_idx', ['id'], { where: 'projected_version < version' })
@Index('keys_settle_idx', ['returnDueAt'], { where: 'settle_at IS NOT NULL' })
@Check('keys_budget_check', 'budget_nano >= 0')
@Check('keys_returned_check', 'returned_nano >= 0')
@Check('keys_ttl_from_use_check', 'ttl_from_use_seconds > 0')
@Check('keys_status_check', `status = ANY (ARRAY['active'::text, 'suspended'::text, 'revoked'::text])`)
export class Key {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'keys_pkey' })
  id!: string;

  @Column('text', { name: 'campaign_id' })
  campaignId!: string;

  @ManyToOne(() => Campaign, { onDelete: 'NO ACTION', onUpdate: 'NO ACTION', nullable: false })
  @JoinColumn({ name: 'campaign_id', foreignKeyConstraintName: 'keys_campaign_id_fkey' })
  campaign?: Campaign;

  @Column('text')
  label!: string;

  @Column('text')
  status!: KeyStatus;

  /** Why a person suspended or reinstated it. */
  @Column('text', { name: 'status_note', nullable: true })
  statusNote!: string | null;

  /** When it was revoked; null: it is not, or an older Daypass did it. */
  @Column('timestamp with time zone', { name: 'revoked_at', precision: 3, nullable: true })
  revokedAt!: Date | null;

  /** When a person reinstated it: earlier strikes no longer count. */
  @Column('timestamp with time zone', { name: 'strikes_since', precision: 3, nullable: true })
  strikesSince!: Date | null;

  @Column('text', { name: 'token_hash' })
  tokenHash!: string;

  /** The hash that the last rotation replaced. Every projection removes its entry in Redis. */
  @Column('text', { name: 'former_token_hash', nullable: true })
  formerTokenHash!: string | null;

  @Column('text')
  prefix!: string;

  @Column('timestamp with time zone', { name: 'expires_at', precision: 3, nullable: true })
  expiresAt!: Date | null;

  /** Before it the key is refused; null: it may call at once. */
  @Column('timestamp with time zone', { name: 'starts_at', precision: 3, nullable: true })
  startsAt!: Date | null;

  /** Its time to live where it begins with the first call, which sets `expires_at`. null: it has a fixed end. */
  @Column('int', { name: 'ttl_from_use_seconds', nullable: true })
  ttlFromUseSeconds!: number | null;

  /** Its first call, where its time began with it. */
  @Column('timestamp with time zone', { name: 'first_used_at', precision: 3, nullable: true })
  firstUsedAt!: Date | null;

  @Column('bigint', { name: 'budget_nano', transformer: nanoTransformer })
  budgetNano!: bigint;

  /** What the ended key returned to its campaign; its budget is without it. */
  @Column('bigint', { name: 'returned_nano', transformer: nanoTransformer })
  returnedNano!: bigint;

  /** Since then the key's time is over, no call runs and no budget is left. */
  @Column('timestamp with time zone', { name: 'closed_at', precision: 3, nullable: true })
  closedAt!: Date | null;

  /** At this time accounting checks whether the key returns budget. */
  @Column('timestamp with time zone', { name: 'settle_at', precision: 3, nullable: true })
  returnDueAt!: Date | null;

  /** null: every model of the campaign. */
  @Column('jsonb', { nullable: true })
  models!: string[] | null;

  @Column('jsonb')
  limits!: StoredLimits;

  /** Only what the key tightens; null: the campaign's policy. */
  @Column('jsonb', { nullable: true })
  moderation!: Partial<ModerationPolicy> | null;

  /** Whose key it is; null: nobody identified its holder. */
  @Column({ type: 'text', name: 'claimant_id', nullable: true, collation: 'C' })
  claimantId!: string | null;

  @ManyToOne(() => Claimant, { onDelete: 'NO ACTION', onUpdate: 'NO ACTION', nullable: true })
  @JoinColumn({ name: 'claimant_id', foreignKeyConstraintName: 'keys_claimant_id_fkey' })
  claimant?: Claimant | null;

  /** The claim link that made it; null: an operator did. */
  @Column({ type: 'text', name: 'link_id', nullable: true, collation: 'C' })
  linkId!: string | null;

  @ManyToOne(() => ClaimLink, { onDelete: 'NO ACTION', onUpdate: 'NO ACTION', nullable: true })
  @JoinColumn({ name: 'link_id', foreignKeyConstraintName: 'keys_link_id_fkey' })
  link?: ClaimLink | null;

  @Column('int')
  version!: number;

  @Column('int', { name: 'projected_version', default: 0 })
  projectedVersion!: number;

  @Column('timestamp with time zone', { name: 'created_at', precision: 3 })
  createdAt!: Date;

  @Column('timestamp with time zone', { name: 'updated_at', precision: 3 })
  updatedAt!: Date;
}
