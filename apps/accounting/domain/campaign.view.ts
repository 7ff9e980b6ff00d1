import { formatUsd } from '#libs/money/nano.js';
import type { Balance } from './balance.js';
import type { Campaign } from '../store/entities/campaign.entity.js';

export interface KeyCounts {
  total: number;
  active: number;
  suspended: number;
  revoked: number;
  expired: number;
}

const NO_KEYS: KeyCounts = { total: 0, active: 0, suspended: 0, revoked: 0, expired: 0 };

/** A campaign as the admin API shows it. */
export function showCampaign(
  campaign: Campaign,
  { spentNano, heldNano, absorbedNano }: Balance,
  keys: KeyCounts = NO_KEYS,
) {
  return {
    id: campaign.id,
    slug: campaign.slug,
    name: campaign.name,
    status: campaign.status,
    budget_usd: formatUsd(campaign.budgetNano),
    spent_usd: formatUsd(spentNano),
    held_usd: formatUsd(heldNano),
    // What its calls cost beyond their holds. The operator absorbed it, and it counts against the campaign's budget.
    absorbed_usd: formatUsd(absorbedNano),
    available_usd: formatUsd(campaign.budgetNano - spentNano - heldNano - absorbedNano),
    models: campaign.models,
    key_defaults: campaign.keyDefaults,
    moderation: campaign.moderation,
    tool_prices: campaign.toolPrices,
    claim: campaign.claim,
    origins: campaign.origins,
    weight: campaign.weight,
    retention_days: campaign.retentionDays,
    keys,
    created_at: campaign.createdAt.toISOString(),
    updated_at: campaign.updatedAt.toISOString(),
  };
}

/** The answer to a write has `warnings`: what will not work as the operator asked. */
export type CampaignView = ReturnType<typeof showCampaign> & { warnings?: string[] };
