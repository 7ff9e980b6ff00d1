import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { Redis } from 'ioredis';
import { DataSource, type EntityManager } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import { LinkStore } from '#libs/holds/link.store.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { linkStateOf } from '../domain/link.js';
import { NANO_OF_USD, type Promised } from '../domain/promise.js';
import { OneAtATime } from '../one-at-a-time.js';
import type { Campaign } from '../store/entities/campaign.entity.js';
import { ClaimLink } from '../store/entities/claim-link.entity.js';
import { CampaignPromises } from './campaign.promises.js';

const BATCH = 500;

/** Brings claim links from Postgres to Redis, where ingress reads them. The newest version wins. */
@Injectable()
export class LinkProjector {
  private readonly links: LinkStore;
  private readonly once = new OneAtATime(() => this.send('link.projected_version < link.version'));

  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(MONEY_REDIS) redis: Redis,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly promises: CampaignPromises,
    @Inject(CONFIG) private readonly config: DaypassConfig,
  ) {
    this.links = new LinkStore(redis);
  }

  /** In the transaction that changes the campaign: its links show it, and its budget covers other keys than before. */
  async touch(manager: EntityManager, campaign: Campaign): Promise<void> {
    const { promisedNano, limitNano } = await this.promises.of(manager, campaign);
    await manager.query(
      `UPDATE access.claim_links SET version = version + 1, budget_gone = ${NANO_OF_USD} > $2 WHERE campaign_id = $1`,
      [campaign.id, (limitNano - promisedNano).toString()],
    );
  }

  /** Marks links whose keys the campaign's budget no longer covers, or covers again. The campaign has to be locked. */
  async markBudget(manager: EntityManager, campaignId: string, { promisedNano, limitNano }: Promised): Promise<void> {
    await manager.query(
      `UPDATE access.claim_links SET version = version + 1, budget_gone = NOT budget_gone
        WHERE campaign_id = $1 AND budget_gone <> (${NANO_OF_USD} > $2)`,
      [campaignId, (limitNano - promisedNano).toString()],
    );
  }

  /** Sends what Redis does not have yet. Callers at the same time share a run. @throws when a store does not answer */
  projectPending(): Promise<number> {
    return this.once.ask();
  }

  /** The same, for callers who need not wait: what fails now is sent shortly. */
  projectSoon(): void {
    this.projectPending().catch((error: unknown) =>
      this.logger.warn({ err: error }, 'accounting could not send claim links to Redis; it tries again'),
    );
  }

  /** Sends every link, after a loss of Redis. */
  projectAll(): Promise<number> {
    return this.send('true');
  }

  private async send(condition: string): Promise<number> {
    let sent = 0;
    for (let last = ''; ;) {
      const rows = await this.source.manager
        .createQueryBuilder(ClaimLink, 'link')
        .innerJoinAndSelect('link.campaign', 'campaign')
        .where(`${condition} AND link.id > :last`, { last })
        .orderBy('link.id')
        .take(BATCH)
        .getMany();
      for (const row of rows) await this.sendOne(row);
      sent += rows.length;
      if (rows.length < BATCH) return sent;
      last = rows.at(-1)!.id;
    }
  }

  private async sendOne(link: ClaimLink): Promise<void> {
    const had = await this.links.project(linkStateOf(link, link.campaign!, this.config.mail !== undefined));
    // A Postgres that was restored from a backup counts on from where Redis is. A change meanwhile is newer anyway.
    if (had > link.version)
      await this.source.query('UPDATE access.claim_links SET version = $3 + 1 WHERE id = $1 AND version = $2', [
        link.id,
        link.version,
        had,
      ]);
    // One row a statement: a change of a campaign locks several in another order.
    else
      await this.source.query(
        'UPDATE access.claim_links SET projected_version = $2 WHERE id = $1 AND projected_version < $2',
        [link.id, link.version],
      );
  }
}
