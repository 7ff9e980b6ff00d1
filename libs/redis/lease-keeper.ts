import type { Redis } from 'ioredis';
import { LEASE_MS } from './hold.store.js';
import { redisKeys } from './keys.js';
import { defineScript, type Script } from './scripts.js';

/** Bounds how long one renewal may occupy Redis. */
const RENEW_MAX = 1_000;

/** `waiting`: only while the call is held. Whoever dispatched it answers for it from then on. */
export type Answers = 'always' | 'waiting';

/**
 * Renews the leases of the calls that this process answers for, many in one command. Only existing leases are renewed:
 * an ended hold has none. A process that dies stops renewing, and the sweeper ends its holds by their state.
 */
export class LeaseKeeper {
  private readonly running = new Map<string, Answers>();
  private readonly script: Script;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    redis: Redis,
    private readonly onError: (error: unknown) => void,
  ) {
    this.script = defineScript(redis, 'renew-leases');
  }

  start(): void {
    this.timer ??= setInterval(() => void this.renew(), LEASE_MS / 3).unref();
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  keep(requestId: string, answers: Answers = 'always'): void {
    this.running.set(requestId, answers);
  }

  release(requestId: string): void {
    this.running.delete(requestId);
  }

  private async renew(): Promise<void> {
    try {
      await Promise.all((['always', 'waiting'] as const).flatMap((answers) => this.renewAll(answers)));
    } catch (error) {
      this.onError(error);
    }
  }

  private renewAll(answers: Answers): Promise<unknown>[] {
    const ids = [...this.running].filter(([, kept]) => kept === answers).map(([requestId]) => requestId);
    const commands: Promise<unknown>[] = [];
    for (let start = 0; start < ids.length; start += RENEW_MAX) {
      const state = answers === 'waiting' ? 'held' : '';
      commands.push(this.script([redisKeys.leases], [LEASE_MS, state, redisKeys.hold(''), ...ids.slice(start, start + RENEW_MAX)]));
    }
    return commands;
  }
}
