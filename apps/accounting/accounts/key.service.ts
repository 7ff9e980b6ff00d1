import type { KeyObject } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import type { KeyStatus } from '#libs/contracts/key-state.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { createVirtualKey, hashVirtualKey, visiblePrefix } from '#libs/secrets/virtual-key.js';
import { AccountProjector } from './account.projector.js';
import { AccountWriter, lockCampaign, lockKey } from './account.writer.js';
import { AuditRepository } from '../record/audit.repository.js';
import { AdminError } from '../domain/admin.error.js';
import type { ChangeKey, CreateKey } from '../schemas/key.schemas.js';
import { isKeyId, newKeyId } from '../domain/account-id.js';
import { keyBudgetTransfers } from '../domain/budget-transfer.js';
import { changedTerms, mergeLimits, strangerAmong, termsOf } from '../domain/key-terms.js';
import type { KeyView, NewKeyView } from '../domain/key.view.js';
import { Campaign } from '../store/entities/campaign.entity.js';
import { Key } from '../store/entities/key.entity.js';
import { KeyReader } from './key.reader.js';

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
  ) {
    this.pepper = config.secrets.tokenPepper;
  }

  /** All or none. Each answer has the virtual key, which nothing can show again. */
  async create(request: CreateKey, count: number): Promise<NewKeyView[]> {
    const now = new Date();
    const tokens = Array.from({ length: count }, () => createVirtualKey());
    const keys = await this.writer.create(async (manager) => {
      // The lock keeps the campaign open, and its models as they are, until the commit.
      const campaign = await lockCampaign(manager, request.campaign, 'pessimistic_read');
      if (campaign.status === 'closed')
        throw new AdminError('conflict', `campaign: '${campaign.slug}' is closed.`, { param: 'campaign' });
      refuseStrangers(request.models, campaign);
      const accounts = tokens.map((token) => this.newKey(request, campaign, token, now));
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
        if (request.models)
          refuseStrangers(request.models, await manager.findOneByOrFail(Campaign, { id: current.campaignId }));
        const terms = changedTerms(request, current, new Date());
        if (terms === 'over') throw over(current);
        return {
          change: {
            label: request.label ?? current.label,
            limits: mergeLimits(request.limits, current.limits),
            models: request.models === undefined ? current.models : request.models,
            moderation: request.moderation === undefined ? current.moderation : request.moderation,
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
        const done = { suspended: 'suspended', active: 'reinstated', revoked: 'revoked' }[status];
        if (by === 'person' && (current.status !== status || note !== null))
          await this.audit.appendAct(manager, {
            act: 'status',
            subject: id,
            note: note === null ? done : `${done}: ${note}`,
          });
        const change = { status, statusNote: note ?? (current.status === status ? current.statusNote : null) };
        // The key's budget is due at once, whatever the clocks show.
        if (status === 'revoked' && current.status !== 'revoked')
          return { change: { ...change, returnDueAt: new Date(0) } };
        return { change: status === 'active' ? { ...change, strikesSince: new Date() } : change };
      },
    );
    return this.reader.showOne(key);
  }

  /** Makes a new virtual key. The old one stops working at once. */
  async rotate(id: string): Promise<NewKeyView> {
    const token = createVirtualKey();
    const key = await this.writer.change(
      (manager) => find(manager, id),
      async (current) => {
        refuseRevoked(current);
        // The row remembers only one former key. The rotation before this one must have reached Redis.
        if (current.projectedVersion < current.version) await this.projector.send(current);
        return {
          change: {
            tokenHash: hashVirtualKey(token, this.pepper),
            prefix: visiblePrefix(token),
            formerTokenHash: current.tokenHash,
          },
        };
      },
    );
    return withToken(await this.reader.showOne(key), token);
  }

  private newKey(request: CreateKey, campaign: Campaign, token: string, now: Date): Key {
    const terms = termsOf(request, campaign, now);
    return Object.assign(new Key(), {
      id: newKeyId(),
      campaignId: campaign.id,
      label: request.label,
      status: 'active',
      statusNote: null,
      tokenHash: hashVirtualKey(token, this.pepper),
      formerTokenHash: null,
      prefix: visiblePrefix(token),
      models: request.models ?? null,
      moderation: request.moderation ?? null,
      ...terms,
      returnedNano: 0n,
      closedAt: null,
      strikesSince: null,
      returnDueAt: terms.expiresAt,
      version: 1,
      projectedVersion: 0,
      createdAt: now,
      updatedAt: now,
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

function refuseStrangers(models: readonly string[] | null | undefined, campaign: Campaign): void {
  const stranger = strangerAmong(models, campaign.models);
  if (stranger !== undefined)
    throw new AdminError(
      'invalid_request',
      `models: '${stranger}' is not a model of the campaign '${campaign.slug}'.`,
      { param: 'models' },
    );
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
