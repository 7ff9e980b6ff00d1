import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { setImmediate as turn } from 'node:timers/promises';
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

  async onApplicationShutdown(): Promise<void> {
    this.leases.stop();
    // Scripts that others call at this moment leave at the end of this turn.
    await turn();
    await turn();
    void this.redis.quit().catch(() => this.redis.disconnect());
  }
}
