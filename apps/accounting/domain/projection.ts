import type { CampaignProjection, KeyProjection } from '#libs/holds/account.store.js';
import type { ModerationPolicy } from '#libs/contracts/policy.js';
import type { Campaign } from '../store/entities/campaign.entity.js';
import type { Key } from '../store/entities/key.entity.js';

export function campaignProjection(campaign: Campaign): CampaignProjection {
  const { id, version, budgetNano, slug, status, models, moderation, toolPrices, weight, origins, retentionDays } =
    campaign;
  const closedMs = campaign.closedAt?.getTime() ?? 0;
  return {
    id,
    version,
    budgetNano,
    slug,
    status,
    models,
    policy: moderation,
    toolPrices,
    weight,
    origins,
    closedMs,
    retentionDays,
    page: pageOf(campaign.claim),
  };
}

/** What the page of a key shows of the project. */
function pageOf(claim: Campaign['claim']): CampaignProjection['page'] {
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);
  return (
    claim && { title: text(claim.title) ?? '', project_url: text(claim.project_url), contact: text(claim.contact) }
  );
}

export function keyProjection(key: Key): KeyProjection {
  const { id, version, budgetNano, campaignId, label, status, limits, models, tokenHash } = key;
  return {
    id,
    version,
    budgetNano,
    campaignId,
    label,
    status,
    limits,
    models,
    tokenHash,
    expiresMs: key.expiresAt?.getTime() ?? 0,
    revokedMs: key.revokedAt?.getTime() ?? 0,
    startsMs: key.startsAt?.getTime() ?? 0,
    ttlFromUseMs: key.firstUsedAt === null ? (key.ttlFromUseSeconds ?? 0) * 1_000 : 0,
    strikesSinceMs: key.strikesSince?.getTime() ?? 0,
    claimantId: key.claimantId,
    policy: key.moderation === null ? null : tightened(key.moderation),
    formerTokenHash: key.formerTokenHash ?? undefined,
  };
}

/** Fills in the laxest policy. A key's policy only tightens, so that the laxest value changes nothing. */
function tightened(moderation: Partial<ModerationPolicy>): ModerationPolicy {
  return { input: 'off', output: 'off', thresholds: {}, on_unavailable: 'open', ...moderation };
}
