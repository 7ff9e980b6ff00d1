import { isDeepStrictEqual } from 'node:util';
import { Inject, Injectable } from '@nestjs/common';
import { QueryFailedError, type EntityManager } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import { formatUsd, MAX_AMOUNT_NANO } from '#libs/money/nano.js';
import { PriceBook } from '#libs/money/prices.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountWriter, lockCampaign, type Decision } from './account.writer.js';
import { AdminError } from '../domain/admin.error.js';
import { campaignPartsSchema, type ChangeCampaign, type CreateCampaign } from '../schemas/campaign.schemas.js';
import { parseOrRefuse } from '../schemas/parse.js';
import type { List } from '../schemas/list.schemas.js';
import { newCampaignId } from '../domain/account-id.js';
import { campaignBudgetTransfers } from '../domain/budget-transfer.js';
import type { Page } from '#libs/contracts/admin/answers.js';
import { mergePatch } from '../domain/merge-patch.js';
import type { CampaignView } from '#libs/contracts/admin/answers.js';
import { showCampaign, type KeyCounts, type KeyTotals } from '../domain/campaign.view.js';
import { Campaign } from '../store/entities/campaign.entity.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { LiveBalanceReader } from '../books/live-balance.reader.js';
import { AuditRepository } from '../record/audit.repository.js';
import { LinkProjector } from './link.projector.js';
import { newestFirst } from './newest-first.js';

/** Of a campaign that names none. */
const DEFAULT_WEIGHT = 1;
const NOTE_MAX_CHARACTERS = 1_000;

type Decide = (current: Campaign, manager: EntityManager) => Decision<Campaign> | Promise<Decision<Campaign>>;

@Injectable()
export class CampaignService {
  private readonly prices: PriceBook;
  private readonly hasMail: boolean;
  private readonly guards: ReadonlySet<string>;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    private readonly work: UnitOfWork,
    private readonly writer: AccountWriter,
    private readonly live: LiveBalanceReader,
    private readonly links: LinkProjector,
    private readonly audit: AuditRepository,
  ) {
    this.prices = new PriceBook(config.file.prices);
    this.hasMail = config.mail !== undefined;
    this.guards = new Set(config.file.guards.map(({ name }) => name));
  }

  async create(request: CreateCampaign): Promise<CampaignView> {
    this.refuseUnpriced(request.models);
    this.refuseWaitlist(request.claim?.waitlist === true);
    const now = new Date();
    const campaign = Object.assign(new Campaign(), {
      id: newCampaignId(),
      slug: request.slug,
      name: request.name,
      status: 'active',
      closedAt: null,
      budgetNano: request.budget_usd,
      models: request.models,
      keyDefaults: request.key_defaults,
      moderation: request.moderation,
      toolPrices: request.tool_prices,
      claim: request.claim,
      origins: request.origins,
      retentionDays: request.retention_days,
      weight: request.weight,
      version: 1,
      projectedVersion: 0,
      createdAt: now,
      updatedAt: now,
    });
    const transfers = campaignBudgetTransfers({
      campaignId: campaign.id,
      deltaNano: campaign.budgetNano,
      version: 0,
      at: now,
    });
    try {
      await this.writer.create(() => Promise.resolve({ accounts: [campaign], transfers }));
    } catch (error) {
      if (isDuplicateSlug(error))
        throw new AdminError('conflict', `slug: there is already a campaign '${request.slug}'.`, { param: 'slug' });
      throw error;
    }
    return this.showWithWarnings(campaign);
  }

  async change(slug: string, request: ChangeCampaign): Promise<CampaignView> {
    this.refuseUnpriced(request.models ?? []);
    this.refuseWaitlist(request.claim?.waitlist === true);
    const campaign = await this.write(slug, async (current, manager) => {
      const [status, budgetNano] = [request.status ?? current.status, request.budget_usd ?? current.budgetNano];
      if (status === 'closed' && budgetNano > current.budgetNano) throw closed(current, 'budget_usd');
      const change = {
        name: request.name ?? current.name,
        models: request.models ?? current.models,
        ...mergedParts(current, request),
        origins: request.origins === undefined ? current.origins : request.origins,
        weight: request.weight === undefined ? current.weight : (request.weight ?? DEFAULT_WEIGHT),
        retentionDays: request.retention_days === undefined ? current.retentionDays : request.retention_days,
        status,
        closedAt: status === 'active' ? null : (current.closedAt ?? new Date()),
        budgetNano,
      };
      const note = policyNote(current.moderation, change.moderation);
      if (note !== null) await this.audit.appendAct(manager, { act: 'terms', subject: current.id, note });
      return { change, transfers: (version) => budgetTransfers(current, budgetNano, version) };
    });
    return this.showWithWarnings(campaign);
  }

  async fund(slug: string, amountNano: bigint): Promise<CampaignView> {
    const campaign = await this.write(slug, (current) => {
      if (current.status === 'closed') throw closed(current, 'amount_usd');
      const budgetNano = current.budgetNano + amountNano;
      if (budgetNano > MAX_AMOUNT_NANO) {
        throw new AdminError(
          'conflict',
          `amount_usd: the budget would be ${formatUsd(budgetNano)}; the most is ${formatUsd(MAX_AMOUNT_NANO)} dollars.`,
          { param: 'amount_usd' },
        );
      }
      return { change: { budgetNano }, transfers: (version) => budgetTransfers(current, budgetNano, version) };
    });
    return this.showOne(campaign);
  }

  async read(slug: string): Promise<CampaignView> {
    const campaign = await this.work.manager.findOneBy(Campaign, { slug });
    if (!campaign) throw new AdminError('not_found', `There is no campaign '${slug.slice(0, 100)}'.`);
    return this.showOne(campaign);
  }

  async list({ cursor, limit }: List): Promise<Page<CampaignView>> {
    const query = this.work.manager.createQueryBuilder(Campaign, 'campaign');
    return newestFirst(query, { cursor, limit }, (rows) => this.show(rows));
  }

  /** Its links show the change, too. */
  private write(slug: string, decide: Decide): Promise<Campaign> {
    return this.work.run(async (unit) => {
      const campaign = await this.writer.change((manager) => lockCampaign(manager, slug), decide);
      await this.links.touch(unit.manager, campaign);
      unit.committed.push(() => Promise.resolve(this.links.projectSoon()));
      return campaign;
    });
  }

  /** @throws AdminError `invalid_request` that names a model without a known price */
  private refuseUnpriced(models: readonly string[]): void {
    const unpriced = models.find((model) => !this.prices.find(model));
    if (unpriced !== undefined)
      throw new AdminError(
        'invalid_request',
        `models: nobody has told Daypass what '${unpriced}' costs, so no call to it could have a bound. Set its price in DAYPASS_CONFIG (prices) and restart, or leave the model out. Nothing was changed.`,
        { param: 'models' },
      );
  }

  /** @throws AdminError `conflict` where nobody could be invited */
  private refuseWaitlist(waitlist: boolean): void {
    if (waitlist && !this.hasMail)
      throw new AdminError(
        'conflict',
        'claim.waitlist: a waitlist invites by mail, and needs DAYPASS_SMTP_URL and DAYPASS_MAIL_FROM, which nobody set. Nothing was changed.',
        { param: 'claim.waitlist' },
      );
  }

  private async showWithWarnings(campaign: Campaign): Promise<CampaignView> {
    const warnings = campaign.models.flatMap((model) => {
      const priced = this.prices.find(model);
      if (!priced)
        return [
          `models: nobody knows what '${model}' costs, so calls to it are refused; set its price in DAYPASS_CONFIG`,
        ];
      const unpricedSearch = priced.searches && !campaign.toolPrices.web_search;
      return unpricedSearch
        ? [`models: '${model}' searches the web for a fee, so calls to it are refused; set tool_prices.web_search`]
        : [];
    });
    const unknown = (campaign.moderation.guards ?? []).filter((name) => !this.guards.has(name));
    warnings.push(
      ...unknown.map(
        (name) =>
          `moderation.guards: DAYPASS_CONFIG has no guard '${name}', so calls have no verdict of it (on_unavailable decides)`,
      ),
    );
    return { ...(await this.showOne(campaign)), warnings };
  }

  private async showOne(campaign: Campaign): Promise<CampaignView> {
    return (await this.show([campaign]))[0]!;
  }

  private async show(campaigns: readonly Campaign[]): Promise<CampaignView[]> {
    const [balances, keys] = await Promise.all([
      this.live.balancesOf(campaigns.map(({ id }) => redisKeys.campaign(id))),
      this.countKeys(campaigns),
    ]);
    return campaigns.map((campaign, index) => showCampaign(campaign, balances[index]!, keys.get(campaign.id)));
  }

  private async countKeys(campaigns: readonly Campaign[]): Promise<Map<string, KeyTotals>> {
    const rows = await this.work.manager.query<(KeyCounts & { campaign_id: string; budget: string })[]>(
      `SELECT campaign_id, count(*)::int AS total,
              count(*) FILTER (WHERE status = 'active' AND (expires_at IS NULL OR expires_at > now()))::int AS active,
              count(*) FILTER (WHERE status = 'suspended')::int AS suspended,
              count(*) FILTER (WHERE status = 'revoked')::int AS revoked,
              count(*) FILTER (WHERE status = 'active' AND expires_at <= now())::int AS expired,
              sum(budget_nano)::text AS budget
         FROM access.keys WHERE campaign_id = ANY ($1) GROUP BY campaign_id`,
      [campaigns.map(({ id }) => id)],
    );
    return new Map(
      rows.map(({ campaign_id, budget, ...counts }) => [campaign_id, { counts, budgetNano: BigInt(budget) }]),
    );
  }
}

/** @throws AdminError `invalid_request` when the parts, merged, are not what a campaign can have */
function mergedParts(
  { keyDefaults, moderation, toolPrices, claim }: Campaign,
  { key_defaults, moderation: policy, tool_prices, claim: page }: ChangeCampaign,
): Pick<Campaign, 'keyDefaults' | 'moderation' | 'toolPrices' | 'claim'> {
  const merged = mergePatch(
    { key_defaults: keyDefaults, moderation, tool_prices: toolPrices, claim },
    { key_defaults, moderation: policy, tool_prices, claim: page },
  );
  const parts = parseOrRefuse(campaignPartsSchema, merged);
  return {
    keyDefaults: parts.key_defaults,
    moderation: parts.moderation,
    toolPrices: parts.tool_prices,
    claim: parts.claim,
  };
}

/** What changed in a policy, for the record; null: nothing. */
function policyNote(before: Campaign['moderation'], after: Campaign['moderation']): string | null {
  const [former, next] = [before, after].map((policy) => policy as Readonly<Record<string, unknown>>);
  const names = [...new Set([...Object.keys(former!), ...Object.keys(next!)])];
  const changed = names.filter((name) => !isDeepStrictEqual(former![name], next![name]));
  if (changed.length === 0) return null;
  const show = (value: unknown): string => (value === undefined ? 'none' : JSON.stringify(value));
  const changes = changed.map((name) => `${name} ${show(former![name])} → ${show(next![name])}`);
  return `moderation: ${changes.join('; ')}`.slice(0, NOTE_MAX_CHARACTERS);
}

function budgetTransfers(current: Campaign, budgetNano: bigint, version: number) {
  return campaignBudgetTransfers({
    campaignId: current.id,
    deltaNano: budgetNano - current.budgetNano,
    version,
    at: new Date(),
  });
}

function closed({ slug }: Campaign, param: string): AdminError {
  return new AdminError(
    'conflict',
    `${param}: the campaign '${slug}' is closed and takes no money. Give it "status": "active" first. Nothing was changed.`,
    {
      param,
    },
  );
}

function isDuplicateSlug(error: unknown): boolean {
  return (
    error instanceof QueryFailedError &&
    (error.driverError as { constraint?: string }).constraint === 'campaigns_slug_key'
  );
}
