import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { LeaseKeeper } from '#libs/holds/lease-keeper.js';
import { MONEY_REDIS } from './platform.tokens.js';

/** Leases are renewed while the service runs; the connection closes last, after running calls have settled. */
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
    // Whoever still settles at this moment does so within the commands already sent.
    void this.redis.quit().catch(() => this.redis.disconnect());
  }
}
