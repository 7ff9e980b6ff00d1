import type { LinkView } from '#libs/contracts/admin/claims.js';
import type { CampaignClaim, LinkState } from '#libs/contracts/claims.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Campaign } from '../store/entities/campaign.entity.js';
import type { ClaimLink } from '../store/entities/claim-link.entity.js';

/** Of a campaign that has no claim page. */
const DEFAULTS: Omit<CampaignClaim, 'title'> = {
  text: '',
  logo: null,
  project_url: null,
  open_url: null,
  contact: null,
  privacy_url: null,
  snippet: null,
  per_claimant: 1,
  renew_after_seconds: null,
  overbook: 1,
  claims_per_hour: 100,
  waitlist: false,
};

export const claimOf = ({ claim, name }: Pick<Campaign, 'claim' | 'name'>): CampaignClaim =>
  claim ?? { ...DEFAULTS, title: name };

/** A link as ingress reads it. `hasMail`: somebody sends the mails of a waitlist. */
export function linkStateOf(link: ClaimLink, campaign: Campaign, hasMail: boolean): LinkState {
  const { per_claimant: _claims, renew_after_seconds: _renewal, overbook: _overbook, ...rest } = claimOf(campaign);
  const { claims_per_hour, waitlist, ...page } = rest;
  return {
    id: link.id,
    token: link.token,
    version: link.version,
    campaign: campaign.id,
    slug: campaign.slug,
    status: campaign.status === 'closed' ? 'closed' : link.status,
    gates: link.gates,
    github: link.github,
    email: link.email,
    key: link.key,
    max_claims: link.maxClaims,
    claimed: link.claimed,
    starts_ms: link.startsAt?.getTime() ?? 0,
    expires_ms: link.expiresAt?.getTime() ?? 0,
    per_ip_per_day: link.perIpPerDay,
    claims_per_hour,
    origins: link.origins,
    redirect_uris: link.redirectUris,
    budget_gone: link.budgetGone,
    waitlist: waitlist && hasMail,
    page,
  };
}

/** A link as the admin API shows it. */
export function showLink(link: ClaimLink, campaignSlug: string, visitorsUrl: string): LinkView {
  return {
    id: link.id,
    campaign: campaignSlug,
    name: link.name,
    token: link.token,
    url: linkUrl(visitorsUrl, link.token),
    status: link.status,
    gates: link.gates,
    github: link.github,
    email: link.email,
    key: link.key,
    max_claims: link.maxClaims,
    claimed: link.claimed,
    opened: link.opened,
    starts_at: link.startsAt?.toISOString() ?? null,
    expires_at: link.expiresAt?.toISOString() ?? null,
    per_ip_per_day: link.perIpPerDay,
    origins: link.origins,
    redirect_uris: link.redirectUris,
    created_at: link.createdAt.toISOString(),
    updated_at: link.updatedAt.toISOString(),
  };
}

export const linkUrl = (visitorsUrl: string, token: string): string => `${visitorsUrl}/c/${token}`;

/** What of the link's own state keeps a visitor from a key; null: nothing does. */
export function refusalOf(link: ClaimLink, campaign: Pick<Campaign, 'status'>, now: Date): DaypassError | null {
  const { startsAt, expiresAt } = link;
  if (campaign.status === 'closed' || link.status === 'closed' || (expiresAt !== null && expiresAt <= now))
    return new DaypassError('link_ended', 'This link has ended. It gives out no more keys.');
  if (link.status === 'paused')
    return new DaypassError('link_paused', 'The operator paused this link. Try again later.');
  if (startsAt !== null && startsAt > now)
    return new DaypassError('link_not_started', `This link gives out keys from ${startsAt.toISOString()} on.`, {
      details: { starts_at: startsAt.toISOString() },
    });
  if (link.claimed >= link.maxClaims) return exhausted('claims', `All ${link.maxClaims} keys of this link are taken.`);
  return null;
}

export const budgetGone = (): DaypassError =>
  exhausted('budget', 'The budget of this campaign is given out. It covers no further key.');

/** Ingress adds whether visitors may wait. */
function exhausted(why: 'claims' | 'budget', message: string): DaypassError {
  return new DaypassError('claims_exhausted', message, { details: { why } });
}
