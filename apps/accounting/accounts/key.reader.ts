import { Injectable } from '@nestjs/common';
import { In, type SelectQueryBuilder } from 'typeorm';
import { redisKeys } from '#libs/redis/keys.js';
import { AdminError } from '../domain/admin.error.js';
import type { List, ListKeys } from '../schemas/list.schemas.js';
import { isKeyId } from '../domain/account-id.js';
import type { Page } from '#libs/contracts/admin/answers.js';
import { cutPage, pageOf, writeRank, type Rank } from '../domain/cursor.js';
import type { KeyView } from '#libs/contracts/admin/answers.js';
import { showKey } from '../domain/key.view.js';
import type { StrikeView } from '#libs/contracts/admin/answers.js';
import { showStrike } from '../domain/strike.js';
import type { TransferView } from '#libs/contracts/admin/answers.js';
import { showTransfer } from '../domain/transfer.view.js';
import { Campaign } from '../store/entities/campaign.entity.js';
import { Key } from '../store/entities/key.entity.js';
import { BalanceRepository } from '../books/balance.repository.js';
import { LedgerRepository } from '../books/ledger.repository.js';
import { StrikeRepository } from '../books/strike.repository.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { LiveBalanceReader } from '../books/live-balance.reader.js';
import { filterKeys } from './key.filter.js';
import { newestFirst } from './newest-first.js';

/** Keys as the admin API shows them: their terms from Postgres, their balances from Redis. */
@Injectable()
export class KeyReader {
  constructor(
    private readonly work: UnitOfWork,
    private readonly ledger: LedgerRepository,
    private readonly live: LiveBalanceReader,
    private readonly struck: StrikeRepository,
    private readonly booked: BalanceRepository,
  ) {}

  async read(id: string): Promise<KeyView> {
    return this.showOne(await this.find(id));
  }

  async list({ cursor, rank, sort, limit, ...filter }: ListKeys): Promise<Page<KeyView>> {
    const query = this.work.manager.createQueryBuilder(Key, 'key').where('true');
    filterKeys(query, filter);
    if (sort === undefined) return newestFirst(query, { cursor, limit }, (rows) => this.show(rows));
    const { entities, raw } = await rankedBy(sort, query, rank, limit).getRawAndEntities<{ rank: string }>();
    const views = new Map((await this.show(entities)).map((view) => [view.id, view]));
    const rows = entities.map(({ id }, index) => ({ id, value: raw[index]!.rank }));
    return cutPage(
      rows,
      limit,
      (row) => writeRank(sort, row),
      ({ id }) => views.get(id)!,
    );
  }

  async transfers(id: string, { cursor, limit }: List): Promise<Page<TransferView>> {
    const key = await this.find(id);
    const rows = await this.ledger.transfersOfKey(key.id, limit + 1, cursor ?? null);
    return pageOf(rows, limit, (row) => ({ at: row.at, id: row.id }), showTransfer);
  }

  async strikes(id: string, { cursor, limit }: List): Promise<Page<StrikeView>> {
    const key = await this.find(id);
    const rows = await this.struck.ofKeys(this.work.manager, [key.id], limit + 1, cursor ?? null);
    return pageOf(rows, limit, (row) => ({ at: row.at, id: row.requestId }), showStrike);
  }

  async showOne(key: Key): Promise<KeyView> {
    return (await this.show([key]))[0]!;
  }

  async show(keys: readonly Key[]): Promise<KeyView[]> {
    const campaignIds = [...new Set(keys.map(({ campaignId }) => campaignId))];
    const ids = keys.map(({ id }) => id);
    const [balances, lastCalls, strikes, campaigns] = await Promise.all([
      this.live.balancesOf(ids.map((id) => redisKeys.key(id))),
      this.booked.lastCalls(this.work.manager, ids),
      this.struck.countsOf(this.work.manager, ids),
      this.work.manager.find(Campaign, { where: { id: In(campaignIds) }, select: { id: true, slug: true } }),
    ]);
    const slugs = new Map(campaigns.map(({ id, slug }) => [id, slug]));
    const now = new Date();
    return keys.map((key, index) => {
      const seen = { lastCallAt: lastCalls.get(key.id) ?? null, strikes: strikes.get(key.id) ?? 0 };
      return showKey(key, slugs.get(key.campaignId) ?? '', balances[index]!, seen, now);
    });
  }

  private async find(id: string): Promise<Key> {
    const key = isKeyId(id) ? await this.work.manager.findOneBy(Key, { id }) : null;
    if (!key) throw new AdminError('not_found', `There is no key '${id.slice(0, 100)}'.`);
    return key;
  }
}

const OF_KEY = `FROM ledger.balances balance WHERE balance.owner = 'key:' || key.id`;
/** What a list of keys is sorted by, as whole numbers: nano-dollars, or milliseconds since the epoch. As booked. */
const RANKS = {
  '-spent': `coalesce((SELECT balance.spent_nano ${OF_KEY}), 0)`,
  '-last_call': `coalesce((SELECT (extract(epoch FROM balance.last_at) * 1000)::bigint ${OF_KEY}), -1)`,
} as const;

function rankedBy(
  sort: keyof typeof RANKS,
  query: SelectQueryBuilder<Key>,
  after: Rank | undefined,
  limit: number,
): SelectQueryBuilder<Key> {
  if (after) query.andWhere(`(${RANKS[sort]}, key.id) < (:value::bigint, :id)`, after);
  return query
    .addSelect(RANKS[sort], 'rank')
    .orderBy('rank', 'DESC')
    .addOrderBy('key.id', 'DESC')
    .limit(limit + 1);
}
