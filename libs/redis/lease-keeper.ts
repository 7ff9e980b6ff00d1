import type { Redis } from 'ioredis';
import { LEASE_MS } from './hold.store.js';
import { redisKeys } from './keys.js';

/**
 * Renews the leases of the calls that this process answers for, all in one command. Only existing leases are renewed:
 * an ended hold has none. A process that dies stops renewing, and the sweeper ends its holds by their state.
 */
export class LeaseKeeper {
  private readonly running = new Set<string>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly redis: Redis,
    private readonly onError: (error: unknown) => void,
  ) {}

  start(): void {
    this.timer ??= setInterval(() => void this.renew(), LEASE_MS / 3).unref();
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  keep(requestId: string): void {
    this.running.add(requestId);
  }

  release(requestId: string): void {
    this.running.delete(requestId);
  }

  private async renew(): Promise<void> {
    if (this.running.size === 0) return;
    try {
      const [seconds] = (await this.redis.time()) as unknown as [string];
      const until = Number(seconds) * 1000 + LEASE_MS;
      await this.redis.zadd(redisKeys.leases, 'XX', ...[...this.running].flatMap((requestId) => [until, requestId]));
    } catch (error) {
      this.onError(error);
    }
  }
}
