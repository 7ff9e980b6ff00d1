import type { CampaignView } from '#libs/contracts/admin/answers.js';
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

/** The keys of a campaign, and the sum of their budgets. */
export interface KeyTotals {
  counts: KeyCounts;
  budgetNano: bigint;
}

const NO_KEYS: KeyTotals = { counts: { total: 0, active: 0, suspended: 0, revoked: 0, expired: 0 }, budgetNano: 0n };

/** A campaign as the admin API shows it. */
export function showCampaign(
  campaign: Campaign,
  { spentNano, heldNano, absorbedNano }: Balance,
  { counts, budgetNano }: KeyTotals = NO_KEYS,
): CampaignView {
  const promisedNano = budgetNano - spentNano - heldNano;
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
    promised_usd: formatUsd(promisedNano > 0n ? promisedNano : 0n),
    available_usd: formatUsd(campaign.budgetNano - spentNano - heldNano - absorbedNano),
    models: campaign.models,
    key_defaults: campaign.keyDefaults,
    moderation: campaign.moderation,
    tool_prices: campaign.toolPrices,
    claim: campaign.claim,
    origins: campaign.origins,
    weight: campaign.weight,
    retention_days: campaign.retentionDays,
    keys: counts,
    created_at: campaign.createdAt.toISOString(),
    updated_at: campaign.updatedAt.toISOString(),
  };
}
