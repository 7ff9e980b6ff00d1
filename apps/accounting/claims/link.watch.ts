import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { CampaignPromises } from '../accounts/campaign.promises.js';
import { LinkProjector } from '../accounts/link.projector.js';
import { NANO_OF_USD } from '../domain/promise.js';
import { DueWork } from '../due.work.js';
import { Periodic, PeriodicService } from '../periodic.js';
import { Campaign } from '../store/entities/campaign.entity.js';

const EVERY_MS = 1_000;
/** Keys return budget at any time. It takes so long until links show it. */
const BUDGETS_EVERY_MS = 10_000;

/** Sends again what Redis did not take of links, and notices budget that came back, or that an operator's keys took. */
@Injectable()
export class LinkWatch extends PeriodicService {
  protected readonly loop: Periodic;
  private budgetsAtMs = -Infinity;

  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(LOGGER) logger: Logger,
    private readonly promises: CampaignPromises,
    private readonly links: LinkProjector,
    private readonly dueWork: DueWork,
  ) {
    super();
    this.loop = new Periodic(
      EVERY_MS,
      () => this.run(),
      (error) => logger.warn({ err: error }, 'accounting could not bring claim links up to date; it tries again'),
    );
  }

  private async run(): Promise<void> {
    if (performance.now() - this.budgetsAtMs >= BUDGETS_EVERY_MS) {
      this.budgetsAtMs = performance.now();
      await this.watchBudgets();
    }
    if ((await this.dueWork.now()).links) await this.links.projectPending();
  }

  async watchBudgets(): Promise<void> {
    const campaigns = await this.source.manager
      .createQueryBuilder(Campaign, 'campaign')
      .where(`campaign.status = 'active'`)
      .andWhere(`EXISTS (SELECT FROM access.claim_links WHERE campaign_id = campaign.id AND status = 'open')`)
      .getMany();
    for (const campaign of campaigns) if (await this.isOff(campaign)) await this.mend(campaign.id);
  }

  private async isOff(campaign: Campaign): Promise<boolean> {
    const { promisedNano, limitNano } = await this.promises.of(this.source.manager, campaign);
    const [off] = await this.source.query<unknown[]>(
      `SELECT FROM access.claim_links WHERE campaign_id = $1 AND budget_gone <> (${NANO_OF_USD} > $2) LIMIT 1`,
      [campaign.id, (limitNano - promisedNano).toString()],
    );
    return off !== undefined;
  }

  private async mend(campaignId: string): Promise<void> {
    await this.source.transaction(async (manager) => {
      const campaign = await manager.findOneOrFail(Campaign, {
        where: { id: campaignId },
        lock: { mode: 'for_no_key_update' },
      });
      await this.links.markBudget(manager, campaignId, await this.promises.of(manager, campaign));
    });
  }
}
