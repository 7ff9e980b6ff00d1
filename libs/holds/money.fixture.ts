import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { borrowRedis } from '#libs/testing/borrowed.js';
import { AccountStore, type CampaignProjection, type KeyProjection } from './account.store.js';
import { moneyConnection, whenReady } from '#libs/redis/connection.js';
import { HoldStore } from './hold.store.js';
import type {
  EndAnswer,
  EndRequest,
  HoldAnswer,
  HoldBounds,
  HoldRequest,
  StartAnswer,
  StartRequest,
} from './hold.types.js';
import type { LaneUpstream } from '#libs/pacing/lane.upstreams.js';
import { redisNowMs } from '#libs/redis/clock.js';
import { Door } from './door.js';
import { redisKeys } from '#libs/redis/keys.js';

export const BOUNDS: HoldBounds = {
  journalEntries: 100_000,
  auditBytes: 1e9,
  auditBytesOfKey: 1e9,
  keyBytesPerHour: 0,
  operatorDayNano: undefined,
  operatorTotalNano: undefined,
  patient: false,
};

/** 10 tokens in, 90 out at most; 100 fixed and 10 a token, so that it holds 1,000. */
export function holdRequest(requestId: string, changes: Partial<HoldRequest> = {}): HoldRequest {
  return {
    requestId,
    keyId: 'k',
    campaignId: 'c',
    fixedNano: 100n,
    perUnitNano: 10n,
    capTokens: 90,
    leastCapTokens: 90,
    inputTokens: 10,
    outputs: 1,
    maxWaitMs: 30_000,
    detail: '{}',
    lane: 'lane',
    replyTo: 'door',
    ...changes,
  };
}

export function laneUpstream(changes: Partial<LaneUpstream> = {}): LaneUpstream {
  const limits = { rpm: 0, tpm: 0, rpd: 0, tpd: 0, ipm: 0, audioSecondsPerMinute: 0, burstMs: 60_000 };
  return { name: 'openai', slot: 'lane', ...limits, corrects: true, fixed: false, ...changes };
}

/** A real Redis with the stores that move money, and short methods for what tests do often. */
export class Money {
  readonly holds: HoldStore;
  readonly accounts: AccountStore;
  private versions = 0;

  private constructor(
    readonly redis: Redis,
    readonly url: string,
  ) {
    this.holds = new HoldStore(redis);
    this.accounts = new AccountStore(redis);
  }

  static async start(): Promise<Money> {
    const url = await borrowRedis();
    const redis = moneyConnection(url);
    await whenReady(redis);
    return new Money(redis, url);
  }

  async stop(): Promise<void> {
    await this.redis.quit();
  }

  /** An empty Redis, open for calls. */
  async reset(): Promise<void> {
    await this.redis.flushall();
    await new Door(this.redis).set('open', 1);
  }

  campaign(changes: Partial<CampaignProjection> = {}) {
    return this.accounts.projectCampaign({
      id: 'c',
      version: ++this.versions,
      budgetNano: 1_000_000n,
      slug: 'demo',
      status: 'active',
      models: ['m'],
      policy: {},
      toolPrices: {},
      weight: 1,
      origins: null,
      ...changes,
    });
  }

  key(changes: Partial<KeyProjection> = {}) {
    const id = changes.id ?? 'k';
    return this.accounts.projectKey({
      id,
      version: ++this.versions,
      budgetNano: 1_000_000n,
      campaignId: 'c',
      label: '',
      status: 'active',
      expiresMs: 0,
      limits: { rpm: 0, tpm: 0, concurrent: 0 },
      models: null,
      policy: null,
      strikesSinceMs: 0,
      tokenHash: `token-of-${id}`,
      ...changes,
    });
  }

  take(requestId: string, changes: Partial<HoldRequest> = {}, bounds: Partial<HoldBounds> = {}): Promise<HoldAnswer> {
    return this.holds.take(holdRequest(requestId, changes), { ...BOUNDS, ...bounds });
  }

  start(requestId: string, changes: Partial<StartRequest> & Partial<LaneUpstream> = {}): Promise<StartAnswer> {
    const { rpm = 0, tpm = 0, rpd = 0, tpd = 0, burstMs = 60_000, corrects = true, ...call } = changes;
    const upstreams = [laneUpstream({ rpm, tpm, rpd, tpd, burstMs, corrects })];
    return this.holds.start({
      requestId,
      keyId: 'k',
      campaignId: 'c',
      lane: 'lane',
      tokens: 100,
      upstreams,
      nonce: randomUUID(),
      ...call,
    });
  }

  end(requestId: string, transition: EndRequest['transition'], changes: Partial<EndRequest> = {}): Promise<EndAnswer> {
    return this.holds.end({
      requestId,
      keyId: 'k',
      campaignId: 'c',
      lane: 'lane',
      replyTo: 'door',
      transition,
      detail: {},
      ...changes,
    });
  }

  async dispatched(requestId: string, changes: Partial<HoldRequest> = {}): Promise<void> {
    await this.take(requestId, changes);
    await this.start(requestId);
  }

  /** As if nobody had renewed the lease. */
  async lapse(requestId: string): Promise<void> {
    await this.redis.zadd(redisKeys.leases, 'XX', 1, requestId);
  }

  async balance(hash: string): Promise<{ spent: number; held: number }> {
    const [spent, held] = await this.redis.hmget(hash, 'spent', 'held');
    return { spent: Number(spent ?? 0), held: Number(held ?? 0) };
  }

  /** With a single key, the balances of key, campaign, operator's day and operator's total must be the same. */
  async balances(): Promise<{ spent: number; held: number }[]> {
    return Promise.all(
      [redisKeys.key('k'), redisKeys.campaign('c'), await this.today(), redisKeys.operatorTotal].map((hash) =>
        this.balance(hash),
      ),
    );
  }

  async today(): Promise<string> {
    return redisKeys.operatorPrefix + Math.floor((await redisNowMs(this.redis)) / 86_400_000);
  }

  async journal(): Promise<Record<string, string>[]> {
    const entries = await this.redis.xrange(redisKeys.journal, '-', '+');
    return entries.map(([, flat]) => pairs(flat));
  }

  /** What a window counts now: requests and tokens. */
  async window(hash: string): Promise<{ requests: number; tokens: number }> {
    const [requests, tokens] = await this.redis.hmget(hash, 'n', 't');
    return { requests: Number(requests ?? 0), tokens: Number(tokens ?? 0) };
  }

  /** All keys of Redis but empty windows: a refusal must not change them. */
  async everything(): Promise<Record<string, unknown>> {
    const all: Record<string, unknown> = {};
    for (const key of (await this.redis.keys('*')).sort()) {
      const type = await this.redis.type(key);
      if (key.includes(':window:')) {
        const window = await this.window(key);
        if (window.requests !== 0 || window.tokens !== 0) all[key] = window;
      } else if (type === 'hash') all[key] = await this.redis.hgetall(key);
      else if (type === 'zset') all[key] = await this.redis.zrange(key, 0, -1, 'WITHSCORES');
      else if (type === 'stream') all[key] = await this.redis.xrange(key, '-', '+');
      else all[key] = await this.redis.get(key);
    }
    return all;
  }
}

export function pairs(flat: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index]!, flat[2 * index + 1]!]),
  );
}
