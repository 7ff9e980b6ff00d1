import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { Periodic, PeriodicService } from '../periodic.js';
import { AuditRepository } from './audit.repository.js';

const EVERY_MS = 60_000;
const DAY_MS = 86_400_000;
/** Whole UTC days, so that one act per day and campaign is enough. */
const BATCH = 5_000;

interface Due {
  id: string;
  retention_days: number;
}

/** Deletes contents after their campaign's retention. Their rows stay, and an act in the record names the deletion. */
@Injectable()
export class RetentionSweeper extends PeriodicService {
  protected readonly loop: Periodic;

  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly audit: AuditRepository,
  ) {
    super();
    this.loop = new Periodic(
      EVERY_MS,
      () => this.run(),
      (error) =>
        logger.warn({ err: error }, 'accounting could not delete contents after their retention; it tries again'),
    );
  }

  async run(): Promise<void> {
    const campaigns = await this.source.query<Due[]>(
      'SELECT id, retention_days FROM access.campaigns WHERE retention_days IS NOT NULL',
    );
    for (const { id, retention_days: days } of campaigns) {
      const beforeMs = Math.floor(Date.now() / DAY_MS - days) * DAY_MS;
      await this.deleteBefore(id, beforeMs, days);
    }
  }

  private async deleteBefore(campaignId: string, beforeMs: number, days: number): Promise<void> {
    const before = new Date(beforeMs);
    const [due] = await this.source.query<unknown[]>(
      'SELECT 1 FROM audit.contents WHERE campaign_id = $1 AND at < $2 LIMIT 1',
      [campaignId, before],
    );
    if (!due) return;
    // The act comes first: without it, the deletion would be a hole in the record.
    await this.source.transaction((manager) =>
      this.audit.appendAct(manager, { act: 'retention', subject: campaignId, beforeMs, note: `${days} days` }),
    );
    let deleted = 0;
    for (let count = BATCH; count === BATCH; deleted += count) {
      [, count] = await this.source.query<[unknown, number]>(
        'DELETE FROM audit.contents WHERE (id, period) IN (SELECT id, period FROM audit.contents WHERE campaign_id = $1 AND at < $2 LIMIT $3)',
        [campaignId, before, BATCH],
      );
    }
    this.logger.info({ campaignId, before, deleted }, 'accounting deleted contents after their retention');
  }
}
