import { Inject, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { DaypassConfig } from '#libs/config/config.js';
import type { LinkPageState, LinkView } from '#libs/contracts/claims.js';
import type { DaypassError } from '#libs/contracts/errors.js';
import { effectivePolicy } from '#libs/contracts/policy.js';
import { parseUsd } from '#libs/money/nano.js';
import type { PriceBook } from '#libs/money/prices.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { stepOf } from '../domain/claim-brake.js';
import { isLinkToken, linkRefusal, stateOf, unknownLink } from '../domain/claim-link.js';
import { mayReadFrom } from '../domain/claim-origin.js';
import { showApp, type AppAsk } from '../domain/link-app.js';
import { shortChats } from '#libs/money/short-chats.js';
import { TagCounts } from '../domain/tag-counts.js';
import { PRICE_BOOK } from '../ingress.tokens.js';
import { ModelOffer } from '../model.offer.js';
import { paused, recovering } from '../refusals.js';
import { ClaimAddress } from './claim.address.js';
import { originNotAllowed, tooMany } from './claim.refusals.js';
import { ClaimStore, type FoundLink } from './claim.store.js';
import { IdentityCookies } from './identity.cookies.js';
import { LinkOpens } from './link.opens.js';
import { ProofOfWork } from './proof.of.work.js';

/** So many unknown links one address may ask for within an hour. */
const UNKNOWN_LINKS_PER_HOUR = 60;
const NO_WISH = { input: false, output: false };

/** Who looks at a link. A page counts as opened where a person asks for it; nobody claims with a picture. */
export interface LinkVisit {
  request: FastifyRequest;
  as: 'page' | 'claimant' | 'picture';
}

/** Claim links as whoever opens them sees them. Looking at a link changes nothing of it. */
@Injectable()
export class LinkViews {
  /** A guesser of links then gets no answer at all, also for links that do exist. */
  private readonly unknown = new TagCounts(UNKNOWN_LINKS_PER_HOUR);

  constructor(
    private readonly store: ClaimStore,
    private readonly pow: ProofOfWork,
    private readonly offer: ModelOffer,
    private readonly address: ClaimAddress,
    private readonly opens: LinkOpens,
    private readonly cookies: IdentityCookies,
    @Inject(PRICE_BOOK) private readonly prices: PriceBook,
    @Inject(CONFIG) private readonly config: DaypassConfig,
  ) {}

  /**
   * null: there is no such link. Without a visit nobody can claim with the view.
   * @throws DaypassError `recovering` where Redis is away, or accounting has not brought the link back yet;
   * `claim_rate_limited` where the visitor's address tries out links; `origin_not_allowed` for pages of other origins
   */
  async view(token: string, visit?: LinkVisit): Promise<LinkView | null> {
    const found = await this.find(token, visit?.request);
    if (found === null) return null;
    if (visit?.as === 'claimant') refuseOthers(found, visit.request);
    if (visit?.as === 'page') this.opens.count(found.link.id, visit.request);
    return this.show(found, visit);
  }

  /** `claimName`: of a claim that may be in already. @throws DaypassError as `view` */
  async find(token: string, request?: FastifyRequest, claimName?: string): Promise<FoundLink | null> {
    const tag = request && this.address.tagOf(request, Date.now());
    if (tag !== undefined) this.refuseGuesser(tag);
    const found = isLinkToken(token)
      ? await this.store.find(token, claimName).catch(() => 'recovering' as const)
      : null;
    if (found === 'recovering') throw recovering();
    if (found === null && tag !== undefined) {
      // Guesses that were sent at once have all passed the first check.
      this.refuseGuesser(tag);
      this.unknown.count(tag, performance.now());
    }
    return found && this.withoutGate(found);
  }

  /** An operator took away what the gate needs: nobody can pass it. */
  private withoutGate(found: FoundLink): FoundLink {
    const { link } = found;
    const { github, mail } = this.config;
    const isOff = (link.gates.includes('github') && !github) || (link.gates.includes('email') && !mail);
    return isOff && link.status === 'open' ? { ...found, link: { ...link, status: 'paused' } } : found;
  }

  /** Of a page that has not yet sent its request. @throws DaypassError as `view`, or `link_unknown` */
  async refuseForeign(token: string, request: FastifyRequest): Promise<void> {
    const found = await this.find(token, request);
    if (found === null) throw unknownLink();
    refuseOthers(found, request);
  }

  private refuseGuesser(tag: string): void {
    const waitMs = this.unknown.waitMs(tag, performance.now());
    if (waitMs > 0) throw tooMany('links', waitMs);
  }

  private async show(found: FoundLink, visit: LinkVisit | undefined): Promise<LinkView> {
    const { link, campaign, claims } = found;
    const state = stateOfFound(found);
    const models = campaign ? this.offer.to({ models: modelsOf(found), campaign }).map(({ id }) => id) : [];
    const policy = campaign && effectivePolicy(campaign.policy, null, NO_WISH, false);
    const mayClaim = visit !== undefined && visit.as !== 'picture';
    const asksForWork = mayClaim && state === 'open' && link.gates.includes('pow');
    return {
      state,
      token: link.token,
      campaign: link.slug,
      page: link.page,
      gates: link.gates,
      github: link.github,
      email: link.email,
      signed_in: this.signedIn(found, visit),
      waitlist: link.waitlist && (state === 'exhausted' || state === 'budget_gone'),
      key: link.key,
      models,
      short_chats: this.shortChats(link.key.budget_usd, models),
      left: Math.max(0, link.max_claims - link.claimed),
      max_claims: link.max_claims,
      starts_at: time(link.starts_ms),
      expires_at: time(link.expires_ms),
      recorded: {
        input: policy?.input ?? 'gate',
        output: policy?.output ?? 'gate',
        retention_days: campaign?.retention_days || null,
      },
      base_url: this.address.baseUrlOf(visit?.request),
      challenge: asksForWork
        ? { ...(await this.pow.challenge(link.token, stepOf(claims, link.claims_per_hour))) }
        : null,
      app: mayClaim ? showApp((visit.request.query ?? {}) as AppAsk, link.redirect_uris) : null,
    };
  }

  /** Only a request of the page itself has the cookie. */
  private signedIn({ link }: FoundLink, visit: LinkVisit | undefined): LinkView['signed_in'] {
    const who = visit?.as === 'claimant' ? this.cookies.signedIn(visit.request)?.identity : undefined;
    return who && link.gates.includes(who.kind) ? { kind: who.kind, label: who.label } : null;
  }

  /** By the first model that people chat with, which the snippets name, too. */
  private shortChats(budgetUsd: string, models: readonly string[]): number | null {
    const priced = models.flatMap((id) => this.prices.find(id) ?? []).find(({ chats }) => chats);
    return priced ? shortChats(parseUsd(budgetUsd), priced.price) : null;
  }
}

function refuseOthers({ link }: FoundLink, { headers }: FastifyRequest): void {
  if (!mayReadFrom(headers, link.origins)) throw originNotAllowed(headers.origin);
}

/** Why nobody claims now. @throws where the link is open */
export function refusalOfFound(found: FoundLink): DaypassError {
  const state = stateOfFound(found);
  switch (state) {
    case 'open':
      throw new Error('the link is open');
    case 'door_shut':
      return paused();
    case 'recovering':
      return recovering();
    default:
      return linkRefusal(state, found.link);
  }
}

export function stateOfFound({ link, campaign, nowMs, isShut, isRecovering }: FoundLink): LinkPageState {
  // While accounting brings Redis back, a campaign may come after its links.
  const campaignIsActive = campaign === null ? isRecovering : campaign.status === 'active';
  return stateOf(link, { nowMs, campaignIsActive, isShut, isRecovering });
}

function modelsOf({ link, campaign }: FoundLink): readonly string[] {
  const all = campaign?.models ?? [];
  return link.key.models?.filter((model) => all.includes(model)) ?? all;
}

const time = (ms: number): string | null => (ms > 0 ? new Date(ms).toISOString() : null);
