import { Inject, Injectable } from '@nestjs/common';
import { QueryFailedError, type EntityManager } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Page } from '#libs/contracts/admin/answers.js';
import type { LinkView } from '#libs/contracts/admin/claims.js';
import type { Gate, LinkKey } from '#libs/contracts/claims.js';
import { formatUsd, parseUsd } from '#libs/money/nano.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { lockCampaign } from '../accounts/account.writer.js';
import { CampaignPromises } from '../accounts/campaign.promises.js';
import { LinkProjector } from '../accounts/link.projector.js';
import { newestFirst } from '../accounts/newest-first.js';
import { newLinkId, newLinkToken } from '../domain/account-id.js';
import { AdminError } from '../domain/admin.error.js';
import { strangerAmong } from '../domain/key-terms.js';
import { missingFor } from '../domain/gate.js';
import { showLink } from '../domain/link.js';
import { budgetOf, covers, keysLeft, type Promised } from '../domain/promise.js';
import type { ChangeLink, CreateLink } from '../schemas/claim.schemas.js';
import type { List } from '../schemas/list.schemas.js';
import { Campaign } from '../store/entities/campaign.entity.js';
import { ClaimLink } from '../store/entities/claim-link.entity.js';
import { UnitOfWork, type Unit } from '../store/unit-of-work.js';
import { narrowReachOf, visitorsUrl } from '../visitors-url.js';

/** Links of one campaign, with those that ended. */
const LINKS_MAX = 1_000;

type Terms = CreateLink['key'];

/** The operator's writes to claim links. */
@Injectable()
export class LinkService {
  private readonly url: string;
  private readonly narrowReach: string | null;
  private readonly missing: (gate: Gate) => string | null;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    private readonly work: UnitOfWork,
    private readonly promises: CampaignPromises,
    private readonly projector: LinkProjector,
  ) {
    this.url = visitorsUrl(config);
    this.narrowReach = narrowReachOf(config);
    this.missing = (gate) => missingFor(gate, config);
  }

  async create(slug: string, request: CreateLink): Promise<LinkView> {
    this.refuseUnset(request.gates);
    return this.work.run(async (unit) => {
      const { manager } = unit;
      // The lock keeps the campaign's models and budget as they are, until the commit.
      const campaign = await lockCampaign(manager, slug, 'pessimistic_read');
      if (campaign.status === 'closed')
        throw new AdminError('conflict', `campaign: '${slug}' is closed.`, { param: 'campaign' });
      if ((await manager.countBy(ClaimLink, { campaignId: campaign.id })) >= LINKS_MAX)
        throw new AdminError('conflict', `A campaign has at most ${LINKS_MAX} links, and '${slug}' has them.`);
      const now = new Date();
      const key = keyOf(request.key, null, campaign);
      const promised = await this.promises.of(manager, campaign);
      const link = Object.assign(new ClaimLink(), {
        id: newLinkId(),
        campaignId: campaign.id,
        name: request.name,
        token: request.token ?? newLinkToken(),
        status: request.status,
        gates: request.gates,
        github: request.github,
        email: request.email,
        key,
        maxClaims: request.max_claims,
        claimed: 0,
        opened: 0,
        startsAt: request.starts_at,
        expiresAt: request.expires_at,
        perIpPerDay: request.per_ip_per_day,
        origins: request.origins,
        redirectUris: request.redirect_uris,
        budgetGone: !covers(promised, budgetOf(key)),
        version: 1,
        projectedVersion: 0,
        createdAt: now,
        updatedAt: now,
      });
      await manager.insert(ClaimLink, link).catch(refuseTakenToken(link.token));
      return this.announce(unit, link, campaign, promised);
    });
  }

  async change(id: string, request: ChangeLink): Promise<LinkView> {
    this.refuseUnset(request.gates ?? []);
    return this.work.run(async (unit) => {
      const { manager } = unit;
      const { campaign, link } = await lockLink(manager, id);
      const key = request.key === undefined ? link.key : keyOf(request.key, link.key, campaign);
      const promised = await this.promises.of(manager, campaign);
      const next = Object.assign(new ClaimLink(), link, {
        name: request.name ?? link.name,
        status: request.status ?? link.status,
        gates: request.gates ?? link.gates,
        github: request.github ?? link.github,
        email: request.email ?? link.email,
        key,
        maxClaims: request.max_claims ?? link.maxClaims,
        startsAt: request.starts_at === undefined ? link.startsAt : request.starts_at,
        expiresAt: request.expires_at === undefined ? link.expiresAt : request.expires_at,
        perIpPerDay: request.per_ip_per_day ?? link.perIpPerDay,
        origins: request.origins ?? link.origins,
        redirectUris: request.redirect_uris ?? link.redirectUris,
        budgetGone: !covers(promised, budgetOf(key)),
        version: link.version + 1,
        updatedAt: new Date(),
      });
      refuseImpossible(next);
      const { id: _id, ...columns } = next;
      await manager.update(ClaimLink, { id }, columns);
      return this.announce(unit, next, campaign, promised);
    });
  }

  /** Its keys stay, and so does its page: it says that the link has ended. */
  close(id: string): Promise<LinkView> {
    return this.change(id, { status: 'closed' });
  }

  async read(id: string): Promise<LinkView> {
    const { link, campaign } = await findLink(this.work.manager, id);
    return showLink(link, campaign.slug, this.url);
  }

  async list(slug: string, page: List): Promise<Page<LinkView>> {
    const campaign = await this.work.manager.findOneBy(Campaign, { slug });
    if (!campaign) throw new AdminError('not_found', `There is no campaign '${slug.slice(0, 100)}'.`);
    const query = this.work.manager
      .createQueryBuilder(ClaimLink, 'link')
      .where('link.campaign_id = :id', { id: campaign.id });
    return newestFirst(query, page, (rows) => Promise.resolve(rows.map((row) => showLink(row, slug, this.url))));
  }

  private refuseUnset(gates: readonly Gate[]): void {
    for (const gate of gates) {
      const missing = this.missing(gate);
      if (missing !== null)
        throw new AdminError('conflict', `gates: the gate '${gate}' needs ${missing}. Nothing was changed.`, {
          param: 'gates',
        });
    }
  }

  private announce(unit: Unit, link: ClaimLink, campaign: Campaign, promised: Promised): LinkView {
    unit.committed.push(() => this.bringIntoForce());
    return { ...showLink(link, campaign.slug, this.url), warnings: this.warningsOf(link, promised) };
  }

  private async bringIntoForce(): Promise<void> {
    try {
      await this.projector.projectPending();
    } catch {
      throw new AdminError(
        'not_projected',
        'The link is stored and will come into force by itself; at the moment Redis does not take it. Do not send it again, unless under its Idempotency-Key, which tells its answer.',
      );
    }
  }

  private warningsOf(link: ClaimLink, promised: Promised): string[] {
    const warnings: string[] = [];
    const missing = this.missing(link.gates[0]!);
    if (missing !== null)
      warnings.push(`gates: the gate '${link.gates[0]!}' needs ${missing}, so that nobody passes it`);
    if (this.narrowReach !== null)
      warnings.push(`url: nobody set DAYPASS_PUBLIC_URL, so the link works ${this.narrowReach}`);
    const wanted = link.maxClaims - link.claimed;
    const left = keysLeft(promised, budgetOf(link.key));
    if (link.status !== 'closed' && left < wanted)
      warnings.push(
        `max_claims: the campaign's budget covers ${left} more keys of ${link.key.budget_usd} dollars, and the link would give out ${wanted}`,
      );
    if (link.status !== 'closed' && link.expiresAt !== null && link.expiresAt <= new Date())
      warnings.push('expires_at: this time is over, so the link gives out no keys');
    return warnings;
  }
}

/** The terms of a link's keys. What the request does not name, the link has already, or the campaign's defaults. */
function keyOf(given: Terms, current: LinkKey | null, campaign: Campaign): LinkKey {
  const { keyDefaults: defaults } = campaign;
  const budget = given.budget_usd ?? current?.budget_usd ?? defaults.budget_usd;
  if (budget === undefined)
    throw refused('key.budget_usd', "is required, because the campaign's key_defaults name no budget_usd");
  if (parseUsd(budget) === 0n) throw refused('key.budget_usd', 'must be more than 0');
  if (parseUsd(budget) > campaign.budgetNano)
    throw refused(
      'key.budget_usd',
      `${budget} is more than the budget of the campaign '${campaign.slug}', ${formatUsd(campaign.budgetNano)}`,
    );
  const models = given.models === undefined ? (current?.models ?? null) : given.models;
  const stranger = strangerAmong(given.models, campaign.models);
  if (stranger !== undefined)
    throw refused('key.models', `'${stranger}' is not a model of the campaign '${campaign.slug}'`);
  return {
    budget_usd: formatUsd(parseUsd(budget)),
    ttl_seconds:
      given.ttl_seconds === undefined
        ? current
          ? current.ttl_seconds
          : (defaults.ttl_seconds ?? null)
        : given.ttl_seconds,
    limits: { ...(current ? current.limits : defaults.limits), ...given.limits },
    models,
  };
}

function refuseImpossible({ maxClaims, claimed, startsAt, expiresAt }: ClaimLink): void {
  if (maxClaims < claimed)
    throw new AdminError('conflict', `max_claims: ${claimed} keys are claimed already. Nothing was changed.`, {
      param: 'max_claims',
    });
  if (startsAt !== null && expiresAt !== null && startsAt >= expiresAt)
    throw refused('expires_at', 'must lie after starts_at');
}

function refused(param: string, why: string): AdminError {
  return new AdminError('invalid_request', `${param}: ${why}. Nothing was changed.`, { param });
}

function refuseTakenToken(token: string): (error: unknown) => never {
  return (error) => {
    if (
      error instanceof QueryFailedError &&
      (error.driverError as { constraint?: string }).constraint === 'claim_links_token_key'
    )
      throw new AdminError('conflict', `token: there is already a link '${token}', or there was one.`, {
        param: 'token',
      });
    throw error;
  };
}

/** @throws AdminError `not_found` */
export async function findLink(manager: EntityManager, id: string): Promise<{ link: ClaimLink; campaign: Campaign }> {
  const link = await manager.findOne(ClaimLink, { where: { id: id.slice(0, 200) }, relations: { campaign: true } });
  if (!link?.campaign) throw unknownLink(id);
  return { link, campaign: link.campaign };
}

/** Locks the campaign against changes, and the link. A claim locks them in this order, too. */
async function lockLink(manager: EntityManager, id: string): Promise<{ link: ClaimLink; campaign: Campaign }> {
  const { campaign: found } = await findLink(manager, id);
  const campaign = await lockCampaign(manager, found.slug, 'pessimistic_read');
  const link = await manager.findOneOrFail(ClaimLink, { where: { id }, lock: { mode: 'pessimistic_write' } });
  return { link, campaign };
}

export const unknownLink = (id: string): AdminError =>
  new AdminError('not_found', `There is no link '${id.slice(0, 100)}'.`, { param: 'link' });
