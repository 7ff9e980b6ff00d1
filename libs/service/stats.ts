import { randomBytes } from 'node:crypto';
import type { OnApplicationBootstrap, OnApplicationShutdown } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { atEndOfTurn } from '#libs/redis/turn.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';

const EVERY_MS = 1_000;
/** A process that counted nothing says so rarely that it lives. */
const BEAT_EVERY_MS = 2_000;
/** A process that said nothing for so long is taken for dead. */
export const PROCESS_LIFE_MS = 5_000;
/** The stats of a minute live so long. What is older stands in the books. */
export const STATS_LIFE_MS = 2 * 3_600_000;
/** Within one minute a process counts so many campaigns apart, and all further ones as `other`. */
export const CAMPAIGNS_MAX = 200;
export const OTHER_CAMPAIGNS = 'other';
/** Counts that Redis has not taken yet: two of each campaign, one of each error code, one of each opened link. More are dropped. */
const FIELDS_MAX = 1_000;

export type Count = 'calls' | 'spent' | 'flagged' | 'claims';

/**
 * Counts what happens in this process, and adds it to Redis once a second, where consoles read it. These figures are for
 * the eye: a process that dies takes its last second with it. Money is in the books.
 */
export class Stats implements OnApplicationBootstrap, OnApplicationShutdown {
  private counts = new Map<string, bigint>();
  private campaigns = new Set<string>();
  private minute = 0;
  private timer: NodeJS.Timeout | undefined;
  private silentMs = 0;
  private readonly process: string;
  private readonly script: Script;

  constructor(
    service: string,
    private readonly redis: Redis,
  ) {
    this.process = `${service}:${randomBytes(6).toString('hex')}`;
    this.script = defineScript(redis, 'add-stats');
  }

  /** `by`: calls and the like, or nano-dollars. */
  add(field: Count | `refused:${string}` | `opened:${string}`, by = 1n): void {
    this.count(field, by);
  }

  /** In all, and of the campaign. */
  addOf(campaignId: string, field: 'calls' | 'spent', by = 1n): void {
    this.count(field, by);
    this.count(`${field}:${this.campaignOf(campaignId)}`, by);
  }

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => this.beat(), EVERY_MS).unref();
    void this.flush();
  }

  /** Both commands leave in this turn, in this order, and so before the connection closes. */
  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    const flushed = this.flush();
    await new Promise<void>((resolve) =>
      atEndOfTurn(() => {
        const left = this.redis.zrem(redisKeys.processes, this.process);
        left.then(() => resolve()).catch(() => resolve());
      }),
    );
    await flushed;
  }

  async flush(): Promise<void> {
    const counts = this.counts;
    this.counts = new Map();
    const flat = [...counts].flatMap(([field, by]) => [field, by.toString()]);
    try {
      await this.script(
        [redisKeys.processes, redisKeys.statsPrefix],
        [this.process, PROCESS_LIFE_MS, STATS_LIFE_MS, ...flat],
      );
    } catch {
      // Redis is away: the next second adds them. Where only the answer was lost, they count twice.
      for (const [field, by] of counts) this.count(field, by);
    }
  }

  private beat(): void {
    this.silentMs += EVERY_MS;
    if (this.counts.size === 0 && this.silentMs < BEAT_EVERY_MS) return;
    this.silentMs = 0;
    void this.flush();
  }

  private count(field: string, by: bigint): void {
    const former = this.counts.get(field);
    if (former !== undefined || this.counts.size < FIELDS_MAX) this.counts.set(field, (former ?? 0n) + by);
  }

  private campaignOf(id: string): string {
    const minute = Math.floor(Date.now() / 60_000);
    if (minute !== this.minute) {
      this.minute = minute;
      this.campaigns = new Set();
    }
    if (this.campaigns.has(id)) return id;
    if (this.campaigns.size >= CAMPAIGNS_MAX) return OTHER_CAMPAIGNS;
    this.campaigns.add(id);
    return id;
  }
}
