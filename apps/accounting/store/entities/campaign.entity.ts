import { Check, Column, Entity, Index, PrimaryColumn, Unique } from 'typeorm';
import type { CampaignClaim } from '#libs/contracts/claims.js';
import type { ModerationPolicy } from '#libs/contracts/policy.js';
import type { KeyLimits, ToolPrices } from '#libs/contracts/key-state.js';
import { nanoTransformer } from './nano.transformer.js';

/** What a key gets where its creator gives no value. Money is a decimal string of dollars. */
export interface KeyDefaults {
  budget_usd?: string | undefined;
  ttl_seconds?: number | undefined;
  ttl_from?: 'creation' | 'first_use' | undefined;
  limits?: { [Name in keyof KeyLimits]?: number | undefined } | undefined;
}

@Entity({ schema: 'access', name: 'campaigns' })
@Unique('campaigns_slug_key', ['slug'])
@Index('campaigns_created_idx', ['createdAt', 'id'])
@Index('campaigns_pending_idx', ['id'], { where: 'projected_version < version' })
@Check('campaigns_budget_check', 'budget_nano >= 0')
@Check('campaigns_retention_days_check', 'retention_days > 0')
@Check('campaigns_weight_check', 'weight > (0)::double precision')
@Check('campaigns_status_check', `status = ANY (ARRAY['active'::text, 'closed'::text])`)
export class Campaign {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'campaigns_pkey' })
  id!: string;

  @Column('text')
  slug!: string;

  @Column('text')
  name!: string;

  @Column('text')
  status!: 'active' | 'closed';

  /** When it was closed; null: it is open, or an older Daypass closed it. */
  @Column('timestamp with time zone', { name: 'closed_at', precision: 3, nullable: true })
  closedAt!: Date | null;

  @Column('bigint', { name: 'budget_nano', transformer: nanoTransformer })
  budgetNano!: bigint;

  @Column('jsonb')
  models!: string[];

  @Column('jsonb', { name: 'key_defaults' })
  keyDefaults!: KeyDefaults;

  @Column('jsonb')
  moderation!: ModerationPolicy;

  @Column('jsonb', { name: 'tool_prices', default: {} })
  toolPrices!: ToolPrices;

  @Column('jsonb', { nullable: true })
  claim!: CampaignClaim | null;

  @Column('jsonb', { nullable: true })
  origins!: string[] | null;

  /** Its keys' share of turns in a full lane, beside keys of weight 1. */
  @Column('double precision', { default: 1 })
  weight!: number;

  /** After so many days accounting deletes the contents in the record; null: never. */
  @Column('int', { name: 'retention_days', nullable: true })
  retentionDays!: number | null;

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
