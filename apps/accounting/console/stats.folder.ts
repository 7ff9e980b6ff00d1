import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { Redis } from 'ioredis';
import { DataSource } from 'typeorm';
import { redisNowMs } from '#libs/redis/clock.js';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { STATS_LIFE_MS } from '#libs/service/stats.js';
import { TrafficRepository } from '../books/traffic.repository.js';
import { ALL_CAMPAIGNS, sumTraffic } from '../domain/traffic.js';
import { Periodic, PeriodicService } from '../periodic.js';
import { MINUTE_MS } from './stats.reader.js';

const EVERY_MS = 5_000;
const OPENED = 'opened:';
/** All processes have added what they counted of a minute when it ended so long ago. */
const SETTLED_AFTER_MINUTES = 2;

interface Taken {
  minute: number;
  refused: number;
  opened: Map<string, number>;
}

/**
 * Brings counts that only Redis has into the books: refusals, and how often each claim link was opened. Several
 * processes may do so: a script gives each count to one of them.
 */
@Injectable()
export class StatsFolder extends PeriodicService {
  protected readonly loop: Periodic;
  private readonly script: Script;
  /** The last minute that nobody adds to any more, and that this process has folded. */
  private done = 0;

  constructor(
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @Inject(LOGGER) logger: Logger,
    @InjectDataSource() private readonly source: DataSource,
    private readonly traffic: TrafficRepository,
  ) {
    super();
    this.script = defineScript(redis, 'fold-stats');
    this.loop = new Periodic(
      EVERY_MS,
      () => this.fold(),
      (error) => logger.warn({ err: error }, 'accounting could not keep counts of refusals and opened links'),
    );
  }

  async fold(): Promise<void> {
    const now = Math.floor((await redisNowMs(this.redis)) / MINUTE_MS);
    const settled = now - SETTLED_AFTER_MINUTES;
    const first = Math.max(this.done + 1, now - STATS_LIFE_MS / MINUTE_MS);
    for (let minute = first; minute <= now; minute++) await this.foldMinute(minute, minute <= settled);
    this.done = settled;
  }

  private async foldMinute(minute: number, isOver: boolean): Promise<void> {
    const [refused, ...flat] = (await this.script([redisKeys.stats(minute)], [isOver ? 1 : 0])) as [
      number,
      ...string[],
    ];
    const opened = new Map<string, number>();
    for (let index = 0; index < flat.length; index += 2)
      opened.set(flat[index]!.slice(OPENED.length), Number(flat[index + 1]));
    if (refused === 0 && opened.size === 0) return;
    try {
      await this.keep({ minute, refused, opened });
    } catch (error) {
      await this.giveBack({ minute, refused, opened });
      throw error;
    }
  }

  private async keep({ minute, refused, opened }: Taken): Promise<void> {
    await this.source.transaction(async (manager) => {
      if (opened.size > 0)
        // In one order, so that two processes wait for each other.
        await manager.query(
          `UPDATE access.claim_links link SET opened = link.opened + given.count
             FROM (SELECT link.id, given.count FROM access.claim_links link JOIN unnest($1::text[], $2::bigint[]) AS given (id, count) ON given.id = link.id
                    ORDER BY link.id FOR UPDATE OF link) given
            WHERE link.id = given.id`,
          [[...opened.keys()], [...opened.values()]],
        );
      if (refused > 0)
        await this.traffic.add(
          manager,
          sumTraffic([{ campaignId: ALL_CAMPAIGNS, at: new Date(minute * MINUTE_MS), refused }]),
        );
    });
  }

  private async giveBack({ minute, refused, opened }: Taken): Promise<void> {
    const pipeline = this.redis.pipeline();
    for (const [id, count] of opened) pipeline.hincrby(redisKeys.stats(minute), OPENED + id, count);
    if (refused > 0) pipeline.hdel(redisKeys.stats(minute), 'folded');
    await pipeline.pexpire(redisKeys.stats(minute), STATS_LIFE_MS).exec();
  }
}
