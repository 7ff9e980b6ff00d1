import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { Redis } from 'ioredis';
import { DataSource } from 'typeorm';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import { ShelfStore } from '#libs/shelf/shelf.store.js';
import { isKeptOnDisk, memoryUse } from '#libs/redis/connection.js';
import { BalanceRepository } from './balance.repository.js';
import { FiguresMetrics, type CampaignFigures, type KeyCount, type KeyFigures } from './figures.metrics.js';
import { campaignOwner } from '../domain/owner.js';
import { Periodic, PeriodicService } from '../periodic.js';

const EVERY_MS = 10_000;
/** Bounds of the labels: the newest active campaigns, and the keys that spent most. */
const CAMPAIGNS_MAX = 200;
const TOP_KEYS = 10;

/** Samples what no event carries: balances of campaigns, numbers of keys, and the state of Redis. */
@Injectable()
export class FiguresSampler extends PeriodicService {
  protected readonly loop: Periodic;

  constructor(
    @Inject(LOGGER) logger: Logger,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @InjectDataSource() private readonly source: DataSource,
    private readonly balances: BalanceRepository,
    private readonly holds: HoldStore,
    private readonly shelf: ShelfStore,
    private readonly metrics: FiguresMetrics,
  ) {
    super();
    this.loop = new Periodic(
      EVERY_MS,
      () => this.sample(),
      (error) => logger.warn({ err: error }, 'accounting could not sample the figures of campaigns and keys'),
    );
  }

  async sample(): Promise<void> {
    this.metrics.storeKept(await isKeptOnDisk(this.redis));
    this.metrics.redisMemory(await memoryUse(this.redis));
    this.metrics.keptAnswers(await this.holds.keptBytes());
    this.metrics.shelf(await this.shelf.bytes());
    this.metrics.campaigns(await this.campaigns());
    this.metrics.keys(await this.keyCounts());
    this.metrics.topKeys(await this.topKeys());
  }

  private async campaigns(): Promise<CampaignFigures[]> {
    const rows = await this.source.query<Record<'id' | 'slug' | 'budget_nano' | 'spent_nano' | 'held_nano', string>[]>(
      `SELECT campaign.id, campaign.slug, campaign.budget_nano, coalesce(balance.spent_nano, 0) AS spent_nano, coalesce(balance.held_nano, 0) AS held_nano
         FROM access.campaigns campaign LEFT JOIN ledger.balances balance ON balance.owner = 'campaign:' || campaign.id
        WHERE campaign.status = 'active' ORDER BY campaign.created_at DESC LIMIT $1`,
      [CAMPAIGNS_MAX],
    );
    const absorbed = await this.balances.absorbed(this.source.manager);
    return rows.map(({ id, slug, budget_nano, spent_nano, held_nano }) => ({
      id,
      slug,
      budgetNano: BigInt(budget_nano),
      spentNano: BigInt(spent_nano) + (absorbed.get(campaignOwner(id)) ?? 0n),
      heldNano: BigInt(held_nano),
    }));
  }

  private keyCounts(): Promise<KeyCount[]> {
    return this.source.query<KeyCount[]>(
      `SELECT CASE WHEN status = 'active' AND expires_at <= now() THEN 'expired' ELSE status END AS status, count(*) AS count FROM access.keys GROUP BY 1`,
    );
  }

  private async topKeys(): Promise<KeyFigures[]> {
    const rows = await this.source.query<Record<'id' | 'slug' | 'spent_nano', string>[]>(
      `SELECT key.id, campaign.slug, top.spent_nano
         FROM (SELECT owner, spent_nano FROM ledger.balances WHERE starts_with(owner, 'key:') AND spent_nano > 0 ORDER BY spent_nano DESC LIMIT $1) top
         JOIN access.keys key ON key.id = substr(top.owner, 5)
         JOIN access.campaigns campaign ON campaign.id = key.campaign_id`,
      [TOP_KEYS],
    );
    return rows.map(({ id, slug, spent_nano }) => ({ id, slug, spentNano: BigInt(spent_nano) }));
  }
}
