import type { KeyObject } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { z } from 'zod';
import type { DaypassConfig } from '#libs/config/config.js';
import type { KeyStatus } from '#libs/contracts/key-state.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { createVirtualKey, hashVirtualKey, visiblePrefix } from '#libs/secrets/virtual-key.js';
import { AccountProjector } from './account.projector.js';
import { AccountWriter, lockCampaign, lockKey } from './account.writer.js';
import { AuditRepository } from '../record/audit.repository.js';
import { ReviewQueue } from '../record/review.queue.js';
import { AdminError } from '../domain/admin.error.js';
import { keyModeration } from '../schemas/field.schemas.js';
import { type ChangeKey, type CreateKey } from '../schemas/key.schemas.js';
import { parseOrRefuse } from '../schemas/parse.js';
import { isKeyId, newKeyId } from '../domain/account-id.js';
import { keyBudgetTransfers } from '../domain/budget-transfer.js';
import { changedTerms, patchLimits, strangerAmong, termsOf } from '../domain/key-terms.js';
import { mergePatch } from '../domain/merge-patch.js';
import { keyAct, statusChange } from '../domain/key-status.js';
import type { KeyView, NewKeyView } from '#libs/contracts/admin/answers.js';
import { Campaign } from '../store/entities/campaign.entity.js';
import { Key } from '../store/entities/key.entity.js';
import { Claimants } from './claimants.js';
import { KeyReader } from './key.reader.js';
import { newKey } from './new.key.js';

/** The operator's writes to keys. */
@Injectable()
export class KeyService {
  private readonly pepper: KeyObject;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    private readonly writer: AccountWriter,
    private readonly projector: AccountProjector,
    private readonly reader: KeyReader,
    private readonly audit: AuditRepository,
    private readonly claimants: Claimants,
    private readonly reviews: ReviewQueue,
  ) {
    this.pepper = config.secrets.tokenPepper;
  }

  /** A key for each label, all or none. Each answer has the virtual key, which nothing can show again. */
  async create(request: Omit<CreateKey, 'label'>, labels: readonly string[]): Promise<NewKeyView[]> {
    const now = new Date();
    const tokens = labels.map(() => createVirtualKey());
    const keys = await this.writer.create(async (manager) => {
      // The lock keeps the campaign open, and its models as they are, until the commit.
      const campaign = await lockCampaign(manager, request.campaign, 'pessimistic_read');
      if (campaign.status === 'closed')
        throw new AdminError('conflict', `campaign: '${campaign.slug}' is closed.`, { param: 'campaign' });
      refuseStrangers(request.models, campaign);
      const { claimant } = request;
      const claimantId = claimant === undefined ? null : (await this.claimants.ofLabel(manager, claimant)).id;
      const given = { campaign, claimantId, now };
      const accounts = labels.map((label, index) => this.make({ ...request, label }, given, tokens[index]!));
      return { accounts, transfers: accounts.flatMap((key) => budgetTransfers(key, key.budgetNano, 0)) };
    });
    const views = await this.reader.show(keys);
    return views.map((view, index) => withToken(view, tokens[index]!));
  }

  async change(id: string, request: ChangeKey): Promise<KeyView> {
    const key = await this.writer.change(
      (manager) => find(manager, id),
      async (current, manager) => {
        refuseRevoked(current);
        const campaign = await manager.findOneByOrFail(Campaign, { id: current.campaignId });
        refuseStrangers(request.models, campaign);
        const terms = changedTerms(request, current, new Date());
        if (terms === 'over') throw over(current);
        if (terms === 'never') throw neverOpen();
        return {
          change: {
            label: request.label === undefined ? current.label : (request.label ?? ''),
            limits: patchLimits(request.limits, current.limits, campaign.keyDefaults),
            models: request.models === undefined ? current.models : request.models,
            moderation: mergedModeration(current.moderation, request.moderation),
            ...terms,
          },
          transfers: (version) => budgetTransfers(current, terms.budgetNano - current.budgetNano, version),
        };
      },
    );
    return this.reader.showOne(key);
  }

  /** Records what a person does. The safety desk records what a notice of the provider leads to. */
  async setStatus(
    id: string,
    status: KeyStatus,
    note: string | null,
    by: 'person' | 'provider' = 'person',
  ): Promise<KeyView> {
    const key = await this.writer.change(
      (manager) => find(manager, id),
      async (current, manager) => {
        if (status !== 'revoked') refuseRevoked(current);
        if (by === 'person' && (current.status !== status || note !== null))
          await this.audit.appendActs(manager, [keyAct(id, status, note)]);
        if (by === 'person') await this.reviews.decided(manager, [current.claimantId ?? id]);
        return { change: statusChange(current, status, note, new Date()) };
      },
    );
    return this.reader.showOne(key);
  }

  /** Makes a new virtual key. The old one stops working at once. The record keeps the note. */
  async rotate(id: string, note: string | null): Promise<NewKeyView> {
    const token = createVirtualKey();
    const secret = { tokenHash: hashVirtualKey(token, this.pepper), prefix: visiblePrefix(token) };
    return withToken(await this.replaceSecret(id, secret, note), token);
  }

  /**
   * The key works with a virtual key that somebody else made. A repeat changes nothing. `formerHash`: of the virtual key
   * that asks. Of two requests with one virtual key the first wins: each would show a new one, and one works.
   */
  async replaceSecret(
    id: string,
    secret: Pick<Key, 'tokenHash' | 'prefix'>,
    note: string | null,
    formerHash?: string,
  ): Promise<KeyView> {
    const key = await this.writer.change(
      (manager) => find(manager, id),
      async (current, manager) => {
        refuseRevoked(current);
        if (current.tokenHash === secret.tokenHash) return { change: {} };
        if (formerHash !== undefined && current.tokenHash !== formerHash) throw replacedBefore(id);
        await this.audit.appendActs(manager, [keyAct(id, 'rotated', note)]);
        // The row remembers only one former key. The rotation before this one must have reached Redis.
        if (current.projectedVersion < current.version) await this.projector.send(current);
        return { change: { ...secret, formerTokenHash: current.tokenHash } };
      },
    );
    return this.reader.showOne(key);
  }

  private make(
    request: CreateKey,
    { campaign, claimantId, now }: { campaign: Campaign; claimantId: string | null; now: Date },
    token: string,
  ): Key {
    const terms = termsOf(request, campaign, now);
    if (request.ttl_from === 'first_use' && terms.ttlFromUseSeconds === null) throw withoutTtl();
    return newKey({
      id: newKeyId(),
      campaignId: campaign.id,
      label: request.label,
      tokenHash: hashVirtualKey(token, this.pepper),
      prefix: visiblePrefix(token),
      models: request.models ?? null,
      moderation: request.moderation ?? null,
      claimantId,
      linkId: null,
      terms,
      now,
    });
  }
}

function find(manager: EntityManager, id: string): Promise<Key> {
  if (!isKeyId(id)) throw new AdminError('not_found', `There is no key '${id.slice(0, 100)}'.`);
  return lockKey(manager, id);
}

function refuseRevoked(key: Key): void {
  if (key.status === 'revoked')
    throw new AdminError('conflict', `The key '${key.id}' is revoked, which is final. Create a new one.`);
}

function replacedBefore(id: string): AdminError {
  return new AdminError(
    'conflict',
    `The virtual key of '${id}' was replaced a moment ago. Use the one in the answer to that request. Nothing was changed.`,
  );
}

function refuseStrangers(models: readonly string[] | null | undefined, campaign: Campaign): void {
  const stranger = strangerAmong(models, campaign.models);
  if (stranger !== undefined)
    throw new AdminError(
      'invalid_request',
      `models: '${stranger}' is not a model of the campaign '${campaign.slug}'.`,
      { param: 'models' },
    );
}

function withoutTtl(): AdminError {
  return new AdminError(
    'invalid_request',
    "ttl_from: 'first_use' needs a time to live: give ttl_seconds, or set it in the campaign's key_defaults.",
    { param: 'ttl_from' },
  );
}

function neverOpen(): AdminError {
  return new AdminError(
    'invalid_request',
    'starts_at: the key would end before it starts. Give a later expires_at or ttl_seconds. Nothing was changed.',
    { param: 'starts_at' },
  );
}

/** @throws AdminError `invalid_request` when the merged policy is none */
function mergedModeration(current: Key['moderation'], patch: ChangeKey['moderation']): Key['moderation'] {
  if (patch === undefined) return current;
  const given: unknown = mergePatch({ moderation: current }, { moderation: patch });
  return parseOrRefuse(z.object({ moderation: keyModeration.nullable().default(null) }), given).moderation;
}

function over({ id }: Key): AdminError {
  return new AdminError(
    'conflict',
    `budget_usd: the time of the key '${id}' is over, and what it did not spend goes back to its campaign. Give ttl_seconds or expires_at as well to extend it. Nothing was changed.`,
    { param: 'budget_usd' },
  );
}

function budgetTransfers(key: Key, deltaNano: bigint, version: number) {
  return keyBudgetTransfers({ campaignId: key.campaignId, keyId: key.id, deltaNano, version, at: new Date() });
}

/** Puts the virtual key right after the id, where a person expects it. */
function withToken({ id, ...view }: KeyView, key: string): NewKeyView {
  return { id, key, ...view };
}
