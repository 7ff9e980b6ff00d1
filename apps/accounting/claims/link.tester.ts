import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { EntityManager } from 'typeorm';
import type { z } from 'zod';
import type { DaypassConfig } from '#libs/config/config.js';
import type { linkTestAnswer } from '#libs/contracts/admin/claims.js';
import { createVirtualKey, hashVirtualKey, visiblePrefix } from '#libs/secrets/virtual-key.js';
import { Door } from '#libs/holds/door.js';
import { PriceBook } from '#libs/money/prices.js';
import { redisKeys } from '#libs/redis/keys.js';
import { CONFIG, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { CampaignPromises } from '../accounts/campaign.promises.js';
import { LedgerRepository } from '../books/ledger.repository.js';
import { claimIdOf, keyIdOfClaim } from '../domain/account-id.js';
import { missingFor } from '../domain/gate.js';
import { linkUrl, refusalOf } from '../domain/link.js';
import { budgetOf, keysLeft } from '../domain/promise.js';
import type { Campaign } from '../store/entities/campaign.entity.js';
import { ClaimCode } from '../store/entities/claim-code.entity.js';
import { ClaimLink } from '../store/entities/claim-link.entity.js';
import { Key } from '../store/entities/key.entity.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { narrowReachOf, visitorsUrl } from '../visitors-url.js';
import { ClaimBooks } from './claim.books.js';
import { lockForClaim } from './claim.service.js';
import { findLink } from './link.service.js';

export type LinkTest = z.output<typeof linkTestAnswer>['data'];
type Step = LinkTest['steps'][number];

/** Ends the transaction of a claim that nobody made. */
class Undone extends Error {}

/** Tells an operator whether a visitor who opens the link now would get a key. */
@Injectable()
export class LinkTester {
  private readonly prices: PriceBook;
  private readonly door: Door;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly work: UnitOfWork,
    private readonly promises: CampaignPromises,
    private readonly ledger: LedgerRepository,
    private readonly books: ClaimBooks,
  ) {
    this.prices = new PriceBook(config.file.prices);
    this.door = new Door(redis);
  }

  async test(id: string): Promise<LinkTest> {
    const { link, campaign } = await findLink(this.work.manager, id);
    const steps = [
      linkStep(link, campaign),
      await this.budgetStep(link, campaign),
      this.modelsStep(link, campaign),
      this.gateStep(link),
      ...(link.gates.includes('code') ? [await this.codesStep(link)] : []),
      await this.doorStep(),
      await this.pageStep(link),
      await this.mintStep(link),
      this.addressStep(link),
    ];
    return { ok: steps.every(({ ok }) => ok), steps };
  }

  private async budgetStep(link: ClaimLink, campaign: Campaign): Promise<Step> {
    const left = keysLeft(await this.promises.of(this.work.manager, campaign), budgetOf(link.key));
    const keys = `${left} more keys of ${link.key.budget_usd} dollars`;
    return step(
      'budget',
      left > 0,
      `The campaign's budget covers ${keys}.`,
      `The campaign's budget covers no further key of ${link.key.budget_usd} dollars. Fund the campaign, or end keys that nobody uses.`,
    );
  }

  private modelsStep(link: ClaimLink, campaign: Campaign): Step {
    const { models } = link.key;
    const offered = models === null ? campaign.models : campaign.models.filter((model) => models.includes(model));
    const unpriced = offered.filter((model) => !this.prices.find(model));
    const fault =
      offered.length === 0
        ? 'The campaign has none of the models of this link any more.'
        : `Nobody knows what ${unpriced.join(', ')} costs. Set a price in DAYPASS_CONFIG.`;
    const text = `Its keys may call ${offered.join(', ')}.`;
    return step('models', offered.length > 0 && unpriced.length === 0, text, fault);
  }

  private gateStep({ gates: [gate] }: ClaimLink): Step {
    const missing = missingFor(gate!, this.config);
    const fault = `The gate '${gate!}' needs ${String(missing)}. Set them, or give the link another gate.`;
    return step('gate', missing === null, `Visitors can pass the gate '${gate!}'.`, fault);
  }

  private async codesStep({ id }: ClaimLink): Promise<Step> {
    const free = await this.work.manager
      .createQueryBuilder(ClaimCode, 'code')
      .where('code.link_id = :id AND code.used_at IS NULL AND code.voided_at IS NULL', { id })
      .andWhere('(code.expires_at IS NULL OR code.expires_at > :now)', { now: new Date() })
      .getCount();
    return step('codes', free > 0, `${free} codes are free.`, 'No code is free. Make some: POST links/<id>/codes.');
  }

  private async doorStep(): Promise<Step> {
    const [shut, open] = await Promise.all([this.redis.get(redisKeys.doorSwitch), this.door.isOpen()]);
    const fault =
      shut === 'shut'
        ? 'The door switch is shut: no call and no claim comes in.'
        : 'Accounting is checking Redis, so that no claim comes in yet. Try again shortly.';
    return step('door', shut !== 'shut' && open, 'The door is open.', fault);
  }

  private async pageStep({ token }: ClaimLink): Promise<Step> {
    const known = (await this.redis.exists(redisKeys.link(token))) === 1;
    return step('page', known, 'Visitors see the link.', 'Redis does not have the link yet. Try again shortly.');
  }

  /** Takes the way of a claim up to the booking. A savepoint undoes it, also within a larger transaction. */
  private async mintStep({ id, claimed, maxClaims }: ClaimLink): Promise<Step> {
    if (claimed >= maxClaims) return step('key', false, '', 'All keys are taken, so that accounting did not try.');
    let error: unknown;
    await this.work.manager
      .transaction((manager) => this.mint(manager, id))
      .catch((thrown: unknown) => (error = thrown));
    if (error instanceof Undone) return step('key', true, 'Accounting made a key of $0, and undid it.', '');
    return step(
      'key',
      false,
      '',
      `Accounting could not make a key: ${error instanceof Error ? error.message : 'unknown'}`,
    );
  }

  private async mint(manager: EntityManager, linkId: string): Promise<never> {
    const { campaign, link } = await lockForClaim(manager, linkId);
    const token = createVirtualKey();
    const minting = {
      campaign,
      link,
      claimId: claimIdOf(token),
      keyId: keyIdOfClaim(token),
      tokenHash: hashVirtualKey(token, this.config.secrets.tokenPepper),
      prefix: visiblePrefix(token),
      code: null,
      claimantId: null,
      ipTag: '',
      budgetNano: 0n,
      now: new Date(),
    };
    const { key, transfers } = this.books.keyOf(minting);
    await manager.insert(Key, key);
    await this.ledger.book(manager, transfers);
    await this.books.enter(manager, minting, await this.promises.of(manager, campaign));
    throw new Undone();
  }

  private addressStep({ token }: ClaimLink): Step {
    const url = linkUrl(visitorsUrl(this.config), token);
    const reach = narrowReachOf(this.config);
    const { publicUrl, networkUrl } = this.config;
    const isReached = publicUrl !== undefined || networkUrl !== undefined;
    const narrow = `Nobody set DAYPASS_PUBLIC_URL, so ${url} works ${reach}.`;
    return step('address', isReached, reach === null ? `Visitors open ${url}.` : narrow, narrow);
  }
}

function linkStep(link: ClaimLink, campaign: Campaign): Step {
  const refusal = refusalOf(link, campaign, new Date());
  const text = `The link is open, and ${link.maxClaims - link.claimed} of ${link.maxClaims} keys are left.`;
  return step('link', refusal === null, text, refusal?.message ?? '');
}

function step(name: string, ok: boolean, text: string, fault: string): Step {
  return { name, ok, text: ok ? text : fault };
}
