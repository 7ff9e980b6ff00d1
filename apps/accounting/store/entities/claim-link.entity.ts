import { Check, Column, Entity, Index, JoinColumn, ManyToOne, PrimaryColumn, Unique } from 'typeorm';
import type { EmailRules, Gate, GithubRules, LinkKey, LinkStatus } from '#libs/contracts/claims.js';
import { Campaign } from './campaign.entity.js';

@Entity({ schema: 'access', name: 'claim_links' })
@Unique('claim_links_token_key', ['token'])
@Index('claim_links_campaign_idx', ['campaignId', 'createdAt', 'id'])
@Index('claim_links_pending_idx', ['id'], { where: 'projected_version < version' })
@Check('claim_links_status_check', `status = ANY (ARRAY['open'::text, 'paused'::text, 'closed'::text])`)
@Check('claim_links_claimed_check', 'claimed >= 0 AND claimed <= max_claims')
export class ClaimLink {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'claim_links_pkey', collation: 'C' })
  id!: string;

  @Column('text', { name: 'campaign_id' })
  campaignId!: string;

  @ManyToOne(() => Campaign, { onDelete: 'NO ACTION', onUpdate: 'NO ACTION', nullable: false })
  @JoinColumn({ name: 'campaign_id', foreignKeyConstraintName: 'claim_links_campaign_id_fkey' })
  campaign?: Campaign;

  @Column('text')
  name!: string;

  @Column({ type: 'text', collation: 'C' })
  token!: string;

  @Column('text', { default: 'open' })
  status!: LinkStatus;

  @Column('jsonb')
  gates!: Gate[];

  @Column('jsonb', { default: { min_account_age_days: 30 } })
  github!: GithubRules;

  @Column('jsonb', { default: { domains: [] } })
  email!: EmailRules;

  @Column('jsonb')
  key!: LinkKey;

  @Column('int', { name: 'max_claims' })
  maxClaims!: number;

  @Column('int', { default: 0 })
  claimed!: number;

  /** How often browsers opened its page. */
  @Column('int', { default: 0 })
  opened!: number;

  @Column('timestamp with time zone', { name: 'starts_at', precision: 3, nullable: true })
  startsAt!: Date | null;

  @Column('timestamp with time zone', { name: 'expires_at', precision: 3, nullable: true })
  expiresAt!: Date | null;

  /** 0: no bound. */
  @Column('int', { name: 'per_ip_per_day' })
  perIpPerDay!: number;

  @Column('jsonb')
  origins!: string[];

  /** Where apps may get a key of it. */
  @Column('jsonb', { name: 'redirect_uris', default: [] })
  redirectUris!: string[];

  /** The campaign's budget does not cover another key of this link. */
  @Column('boolean', { name: 'budget_gone', default: false })
  budgetGone!: boolean;

  /** Each change raises it, also one of its campaign that visitors see. */
  @Column('int')
  version!: number;

  /** Redis has at least this version. */
  @Column('int', { name: 'projected_version', default: 0 })
  projectedVersion!: number;

  @Column('timestamp with time zone', { name: 'created_at', precision: 3 })
  createdAt!: Date;

  @Column('timestamp with time zone', { name: 'updated_at', precision: 3 })
  updatedAt!: Date;
}
