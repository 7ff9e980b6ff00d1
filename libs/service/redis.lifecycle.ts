import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { LeaseKeeper } from '#libs/holds/lease-keeper.js';
import { MONEY_REDIS } from './platform.tokens.js';

/** Renews leases while the service runs. It closes the connection last, after running calls have ended. */
@Injectable()
export class RedisLifecycle implements OnApplicationBootstrap, OnApplicationShutdown {
  constructor(
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly leases: LeaseKeeper,
  ) {}

  onApplicationBootstrap(): void {
    this.leases.start();
  }

  onApplicationShutdown(): void {
    this.leases.stop();
    // Calls that end at this moment use only commands that are on their way already.
    void this.redis.quit().catch(() => this.redis.disconnect());
  }
}
