import { Injectable } from '@nestjs/common';
import { In } from 'typeorm';
import { redisKeys } from '#libs/redis/keys.js';
import { AdminError } from '../domain/admin.error.js';
import type { List, ListKeys } from '../schemas/list.schemas.js';
import { isKeyId } from '../domain/account-id.js';
import { pageOf, type Page } from '../domain/cursor.js';
import { showKey, type KeyView } from '../domain/key.view.js';
import { showStrike, type StrikeView } from '../domain/strike.js';
import { showTransfer, type TransferView } from '../domain/transfer.view.js';
import { Campaign } from '../store/entities/campaign.entity.js';
import { Key } from '../store/entities/key.entity.js';
import { LedgerRepository } from '../books/ledger.repository.js';
import { StrikeRepository } from '../books/strike.repository.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { LiveBalanceReader } from '../books/live-balance.reader.js';
import { newestFirst } from './newest-first.js';

/** Keys as the admin API shows them: their terms from Postgres, their balances from Redis. */
@Injectable()
export class KeyReader {
  constructor(
    private readonly work: UnitOfWork,
    private readonly ledger: LedgerRepository,
    private readonly live: LiveBalanceReader,
    private readonly struck: StrikeRepository,
  ) {}

  async read(id: string): Promise<KeyView> {
    return this.showOne(await this.find(id));
  }

  async list({ cursor, limit, campaign, status, label }: ListKeys): Promise<Page<KeyView>> {
    const query = this.work.manager.createQueryBuilder(Key, 'key').where('true');
    if (campaign !== undefined)
      query.andWhere('key.campaign_id = (SELECT id FROM access.campaigns WHERE slug = :campaign)', { campaign });
    if (label !== undefined) query.andWhere('key.label = :label', { label });
    if (status === 'expired') query.andWhere(`key.status = 'active' AND key.expires_at <= now()`);
    else if (status === 'active')
      query.andWhere(`key.status = 'active' AND (key.expires_at IS NULL OR key.expires_at > now())`);
    else if (status !== undefined) query.andWhere('key.status = :status', { status });
    return newestFirst(query, { cursor, limit }, (rows) => this.show(rows));
  }

  async transfers(id: string, { cursor, limit }: List): Promise<Page<TransferView>> {
    const key = await this.find(id);
    const rows = await this.ledger.transfersOfKey(key.id, limit + 1, cursor ?? null);
    return pageOf(rows, limit, (row) => ({ at: row.at, id: row.id }), showTransfer);
  }

  async strikes(id: string, { cursor, limit }: List): Promise<Page<StrikeView>> {
    const key = await this.find(id);
    const rows = await this.struck.ofKey(this.work.manager, key.id, limit + 1, cursor ?? null);
    return pageOf(rows, limit, (row) => ({ at: row.at, id: row.requestId }), showStrike);
  }

  async showOne(key: Key): Promise<KeyView> {
    return (await this.show([key]))[0]!;
  }

  async show(keys: readonly Key[]): Promise<KeyView[]> {
    const campaignIds = [...new Set(keys.map(({ campaignId }) => campaignId))];
    const [balances, campaigns] = await Promise.all([
      this.live.balancesOf(keys.map(({ id }) => redisKeys.key(id))),
      this.work.manager.find(Campaign, { where: { id: In(campaignIds) }, select: { id: true, slug: true } }),
    ]);
    const slugs = new Map(campaigns.map(({ id, slug }) => [id, slug]));
    const now = new Date();
    return keys.map((key, index) => showKey(key, slugs.get(key.campaignId) ?? '', balances[index]!, now));
  }

  private async find(id: string): Promise<Key> {
    const key = isKeyId(id) ? await this.work.manager.findOneBy(Key, { id }) : null;
    if (!key) throw new AdminError('not_found', `There is no key '${id.slice(0, 100)}'.`);
    return key;
  }
}
