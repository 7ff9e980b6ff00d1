import { Inject, Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { Logger } from '#libs/observability/logger.js';
import { LOGGER, MONEY_REDIS } from '#libs/platform/platform.tokens.js';
import { redisKeys } from '#libs/redis/keys.js';
import { Periodic } from './periodic.js';
import { RedisRebuild } from './redis.rebuild.js';

const EVERY_MS = 1_000;

/** A Redis without an epoch has lost what it held, or never had it: nobody may take a hold until it is rebuilt. */
@Injectable()
export class EpochKeeper implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly loop: Periodic;

  constructor(
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @Inject(LOGGER) logger: Logger,
    private readonly rebuild: RedisRebuild,
  ) {
    this.loop = new Periodic(
      EVERY_MS,
      () => this.check(),
      (error) => logger.warn({ err: error }, 'Redis could not be checked or rebuilt; trying again'),
    );
  }

  onApplicationBootstrap(): void {
    this.loop.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.loop.stop();
  }

  async hasEpoch(): Promise<boolean> {
    return (await this.redis.exists(redisKeys.epoch)) === 1;
  }

  private async check(): Promise<void> {
    if (!(await this.hasEpoch())) await this.rebuild.run();
  }
}
