import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createSecretKey } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { MODERATION_CATEGORIES } from '#libs/contracts/policy.js';
import { redisKeys } from '#libs/redis/keys.js';
import { laneUpstream } from '#libs/holds/money.fixture.js';
import { startTestRedis } from '#libs/testing/stores.js';
import { mergedResult, VerdictCache, type Asker, type Text, type VerdictCacheOptions } from './verdict-cache.js';
import type { ModerationResult } from './verdict.js';

const MODEL = 'omni';
const ANNA: Asker = { campaignId: 'workshop', keyId: 'anna' };
const BERTA: Asker = { campaignId: 'workshop', keyId: 'berta' };
const CARLA: Asker = { campaignId: 'another', keyId: 'carla' };
const BUCKET_MS = 60_000;

function result(score: number, changes: Partial<ModerationResult> = {}): ModerationResult {
  return {
    flagged: false,
    categories: {},
    category_scores: Object.fromEntries(MODERATION_CATEGORIES.map((name, index) => [name, score / (index + 1)])),
    ...changes,
  };
}

describe('the verdict cache', () => {
  let stores: Awaited<ReturnType<typeof startTestRedis>>;
  let redis: Redis;
  let nowMs: number;
  const cacheWith = (options: Partial<VerdictCacheOptions> = {}): VerdictCache =>
    new VerdictCache(redis, {
      pepper: createSecretKey('pepper', 'utf8'),
      bucketMs: BUCKET_MS,
      nowMs: () => nowMs,
      ...options,
    });
  /** Keeping is not waited for. What is sent a turn later is answered later. */
  const keep = async (
    cache: VerdictCache,
    texts: string[],
    results: ModerationResult[],
    asker = ANNA,
  ): Promise<void> => {
    cache.keep(texts.map((text, index) => ({ hash: cache.hash(MODEL, asker, text), verdict: results[index]!, asker })));
    await kept();
  };
  const kept = async (): Promise<void> => {
    await turn();
    await redis.ping();
  };
  const wish = (text: string, tokens = 1, asker = ANNA): Text => ({ text, asker, tokens, passing: false });
  const find = async (cache: VerdictCache, texts: string[], { model = MODEL, asker = ANNA } = {}) =>
    (
      await cache.find(
        model,
        texts.map((text) => wish(text, 1, asker)),
      )
    ).cached;

  beforeAll(async () => {
    stores = await startTestRedis();
    redis = new Redis(stores.redisUrl);
    nowMs = 0;
    // From then on Redis has the functions.
    await cacheWith().find(MODEL, []);
  });
  afterAll(async () => {
    redis.disconnect();
    await stores.stop();
  });
  beforeEach(async () => {
    await redis.flushall();
    nowMs = 1_000_000_000_000;
  });

  it('gives back the whole answer of the endpoint, for the same text under the same model alone', async () => {
    const cache = cacheWith();
    const flagged = result(0.5, {
      flagged: true,
      categories: { violence: true },
      category_scores: { ...result(0.123456789).category_scores, 'new/one': 0.25 },
    });
    await keep(cache, ['fine', 'bad'], [result(1e-7), flagged]);
    expect(await find(cache, ['bad', 'unknown', 'fine'])).toEqual([flagged, undefined, result(1e-7)]);
    expect(await find(cache, ['bad'], { model: 'another' })).toEqual([undefined]);
    expect(await find(cacheWith({ pepper: createSecretKey('other', 'utf8') }), ['bad'])).toEqual([undefined]);
  });

  it('tells nothing of the texts to who reads Redis', async () => {
    await keep(cacheWith(), ['my secret'], [result(0.1)]);
    for (const key of await redis.keys('*')) expect(JSON.stringify(await redis.hgetall(key))).not.toContain('secret');
  });

  it('forgets in time, and later what is asked for again', async () => {
    const cache = cacheWith();
    await keep(cache, ['once', 'again'], [result(0.1), result(0.2)]);
    nowMs += BUCKET_MS;
    expect(await find(cache, ['again'])).toEqual([result(0.2)]);
    await kept();
    nowMs += BUCKET_MS;
    expect(await find(cache, ['once', 'again'])).toEqual([undefined, result(0.2)]);
    for (const key of await redis.keys('*')) expect(await redis.pttl(key)).toBeGreaterThan(0);
  });

  it('takes no more than it has room for', async () => {
    const cache = cacheWith({ mostVerdicts: 3 });
    await keep(cache, ['a', 'b'], [result(0.1), result(0.1)]);
    await keep(cache, ['c', 'd'], [result(0.1), result(0.1)]);
    expect((await find(cache, ['a', 'b', 'c', 'd'])).map((known) => known !== undefined)).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });

  it('tells no campaign what another has asked, and judges what its own keys repeat once', async () => {
    const cache = cacheWith();
    await keep(cache, ['the system prompt'], [result(0.1)]);
    expect(await find(cache, ['the system prompt'], { asker: BERTA })).toEqual([result(0.1)]);
    expect(await find(cache, ['the system prompt'], { asker: CARLA })).toEqual([undefined]);
  });

  it('cannot be filled by one key, and counts what it has already only once', async () => {
    const cache = cacheWith({ mostVerdicts: 100, mostOfKey: 2 });
    const all = [result(0.1), result(0.1), result(0.1)];
    await keep(cache, ['a', 'a', 'b', 'c'], [...all, result(0.1)]);
    expect((await find(cache, ['a', 'b', 'c'])).map((known) => known !== undefined)).toEqual([true, true, false]);
    await keep(cache, ['d', 'e'], all, CARLA);
    expect(await find(cache, ['d', 'e'], { asker: CARLA })).toEqual([result(0.1), result(0.1)]);
  });

  it('keeps in one command what came in one tick', async () => {
    const cache = cacheWith();
    const scripts = async (): Promise<number> =>
      Number(/cmdstat_fcall:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
    await keep(cache, ['once'], [result(0.1)]);
    const before = await scripts();
    cache.keep([{ hash: cache.hash(MODEL, ANNA, 'a'), verdict: result(0.1), asker: ANNA }]);
    await keep(cache, ['b', 'c'], [result(0.2), result(0.3)]);
    expect((await scripts()) - before).toBe(1);
    expect(await find(cache, ['a', 'b', 'c'])).toEqual([result(0.1), result(0.2), result(0.3)]);
  });

  it('reserves room for what nobody knows, in calls of a bounded size, as far as there is some', async () => {
    const cache = cacheWith();
    await keep(cache, ['known'], [result(0.1)]);
    const upstream = laneUpstream({ slot: 'moderation', name: 'openai/moderation', tpm: 1_000, burstMs: 60_000 });
    const find = (texts: Text[], mostCalls = 9) =>
      cache.find(MODEL, texts, { upstream, mostTexts: 2, mostTokens: 300, mostCalls });
    const reserved = async (): Promise<(string | null)[]> => redis.hmget(redisKeys.laneWindow('moderation'), 'n', 't');
    expect((await find([wish('known', 100)])).groups).toEqual([]);
    expect(await reserved()).toEqual([null, null]);
    const passing = { text: 'known', asker: ANNA, tokens: 10, passing: true };
    expect(await find([wish('a', 10), wish('known', 100), passing, wish('c', 100), wish('d', 250)])).toMatchObject({
      cached: [undefined, result(0.1), undefined, undefined, undefined],
      groups: [2, 1, 1],
    });
    expect(await reserved()).toEqual(['3', '370']);
    // The second of these calls has to wait, and what comes after it does not pass.
    expect((await find([wish('e', 400), wish('f', 400), wish('g', 1)])).groups).toEqual([1]);
    expect(await reserved()).toEqual(['4', '770']);
    expect((await cache.find(MODEL, [wish('h', 1)])).groups).toEqual([]);
    expect((await find([wish('i', 100), wish('j', 100), wish('k', 1)], 1)).groups).toEqual([2]);
    expect(await reserved()).toEqual(['5', '970']);
  });

  it('knows nothing where Redis does not answer', async () => {
    const gone = new Redis(stores.redisUrl, {
      lazyConnect: true,
      enableOfflineQueue: false,
      retryStrategy: () => null,
    });
    gone.on('error', () => undefined);
    const cache = new VerdictCache(gone, { pepper: createSecretKey('pepper', 'utf8') });
    expect(await find(cache, ['a'])).toEqual([undefined]);
    cache.keep([{ hash: cache.hash(MODEL, ANNA, 'a'), verdict: result(0.1), asker: ANNA }]);
    await turn();
    gone.disconnect();
  });
});

describe('verdicts on parts', () => {
  it('together are no laxer than any of them', () => {
    const merged = mergedResult([
      { flagged: false, categories: { hate: false }, category_scores: { hate: 0.4, violence: null } },
      { flagged: true, categories: { hate: false, violence: true }, category_scores: { hate: 0.1, violence: 0.9 } },
    ]);
    expect(merged).toEqual({
      flagged: true,
      categories: { hate: false, violence: true },
      category_scores: { hate: 0.4, violence: 0.9 },
    });
  });
});
