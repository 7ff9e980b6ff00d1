import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import type { Body } from '#libs/endpoints/endpoint.js';
import { redisKeys } from '#libs/redis/keys.js';
import { startTestRedis } from '#libs/testing/stores.js';
import { ImageAllowance } from './image.allowance.js';
import { ImageFetchError, type ImageFetcher, type ImageFault } from './image.fetcher.js';
import { RemoteImages, type RemoteImagesParts } from './remote.images.js';

const HOUR_MS = 3_600_000;
const KIB = 1_024;
const part = (url: string): object => ({ type: 'image_url', image_url: { url } });
const bodyWith = (...urls: string[]): Body => ({
  json: { model: 'm', messages: [{ role: 'user', content: [{ type: 'text', text: 'see' }, ...urls.map(part)] }] },
  blobs: [],
});
const urlsOf = ({ json }: Body): string[] => JSON.stringify(json).match(/(data:|https?:)[^"]*/g) ?? [];

describe('the images that a request names by their addresses', () => {
  let stores: Awaited<ReturnType<typeof startTestRedis>>;
  let redis: Redis;
  let nowMs: number;
  let asked: string[];

  beforeAll(async () => {
    stores = await startTestRedis();
    redis = new Redis(stores.redisUrl);
  });
  afterAll(async () => {
    redis.disconnect();
    await stores.stop();
  });
  beforeEach(async () => {
    await redis.flushall();
    nowMs = 1_000_000 * HOUR_MS;
    asked = [];
  });

  /** `bytes`: what each address has. */
  const imagesOf = ({
    bytes = 100 * KIB,
    fault,
    ...more
  }: Partial<RemoteImagesParts> & { bytes?: number; fault?: ImageFault; bytesPerHour?: number } = {}): RemoteImages =>
    new RemoteImages({
      fetcher: {
        fetch: (url: string, { take }: Parameters<ImageFetcher['fetch']>[1]) => {
          asked.push(url);
          if (fault) return Promise.reject(new ImageFetchError(fault));
          return take(bytes)
            ? Promise.resolve(`data:image/png;base64,${url.length}`)
            : Promise.reject(new ImageFetchError('too_large'));
        },
      } as unknown as ImageFetcher,
      allowance: new ImageAllowance(redis, more.bytesPerHour ?? 10_000 * KIB, () => nowMs),
      observe: () => undefined,
      mostBytes: 1_000 * KIB,
      timeoutMs: 1_000,
      ...more,
    });
  const ticket = { keyId: 'key', remoteImages: 1 };
  const fetchedBytes = async (): Promise<number> =>
    Number(await redis.get(redisKeys.fetched('key', Math.floor(nowMs / HOUR_MS))));

  it('stand in the request as they were fetched, each once', async () => {
    const body = bodyWith('https://a.org/1', 'data:image/png;base64,AAAA', 'http://b.org/two', 'https://a.org/1');
    expect(urlsOf(await imagesOf().inlined(ticket, body))).toEqual([
      'data:image/png;base64,15',
      'data:image/png;base64,AAAA',
      'data:image/png;base64,16',
      'data:image/png;base64,15',
    ]);
    expect(asked.toSorted()).toEqual(['http://b.org/two', 'https://a.org/1']);
  });

  it('are looked for where an earlier version of ingress did not count them, and not where there are none', async () => {
    const body = bodyWith('https://a.org/1');
    expect(await imagesOf().inlined({ keyId: 'key', remoteImages: 0 }, body)).toBe(body);
    expect(asked).toEqual([]);
    expect(urlsOf(await imagesOf().inlined({ keyId: 'key' }, body))).toEqual(['data:image/png;base64,15']);
    const without = bodyWith('data:image/png;base64,AAAA');
    expect(await imagesOf().inlined({ keyId: 'key' }, without)).toBe(without);
  });

  it.each<[ImageFault, RegExp]>([
    ['unreachable', /not public/],
    ['not_an_image', /no png, jpeg, gif or webp/],
    ['too_large', /1024000 bytes/],
    ['too_slow', /within 1 seconds/],
  ])('are refused by name where one is %s', async (fault, said) => {
    const refused = imagesOf({ fault }).inlined(ticket, bodyWith('data:image/png;base64,AAAA', 'https://secret.org/1'));
    await expect(refused).rejects.toMatchObject({
      code: 'invalid_request',
      param: 'messages[0].content[2].image_url.url',
      details: { image: fault },
      message: expect.stringMatching(said),
    });
    await expect(refused).rejects.not.toThrow('secret.org');
  });

  it('have a bound together, and one that stands in several places counts in each', async () => {
    const eleven = Array.from({ length: 11 }, (_, index) => `https://a.org/${index}`);
    await expect(imagesOf().inlined(ticket, bodyWith(...eleven))).rejects.toMatchObject({
      details: { image: 'too_large' },
    });
    const same = Array<string>(11).fill('https://a.org/1');
    await expect(imagesOf().inlined(ticket, bodyWith(...same))).rejects.toMatchObject({
      details: { image: 'too_large' },
    });
    expect(await imagesOf().inlined(ticket, bodyWith(...eleven.slice(1)))).toBeDefined();
  });

  it('have a bound for each key and hour, which failures count against, too', async () => {
    const images = imagesOf({ bytesPerHour: 250 * KIB });
    await images.inlined(ticket, bodyWith('https://a.org/1'));
    expect(await fetchedBytes()).toBe(100 * KIB);
    const failing = imagesOf({ bytesPerHour: 250 * KIB, fault: 'unreachable' });
    await failing.inlined(ticket, bodyWith('https://a.org/1', 'https://a.org/2')).catch(() => undefined);
    expect(await fetchedBytes()).toBe(228 * KIB);
    // What is left of the hour is less than the image.
    await expect(images.inlined(ticket, bodyWith('https://a.org/1'))).rejects.toMatchObject({
      details: { image: 'too_large' },
    });
    nowMs += HOUR_MS / 2;
    await expect(images.inlined(ticket, bodyWith('https://a.org/1'))).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
      retryAfterMs: HOUR_MS / 2,
      retry: false,
    });
    expect(await images.inlined({ ...ticket, keyId: 'another' }, bodyWith('https://a.org/1'))).toBeDefined();
    nowMs += HOUR_MS / 2;
    expect(await images.inlined(ticket, bodyWith('https://a.org/1'))).toBeDefined();
    for (const key of await redis.keys('*')) expect(await redis.pttl(key)).toBeGreaterThan(0);
  });
});
