import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { Reply } from '#libs/contracts/reply.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { Money } from './money.fixture.js';
import { StoppedCalls } from './stopped.calls.js';

const ticket = { keyId: 'k', requestId: 'first', repeatHash: 'h' } as Ticket;
const replyOf = (body: string): Reply => ({
  type: 'answer',
  status: 200,
  contentType: 'application/json',
  headers: {},
  body,
  meta: { moderation: { input: 'pass', output: 'blocked' }, queueMs: 0, costNano: '0' },
});

let money: Money;
let stopped: StoppedCalls;
beforeAll(async () => {
  money = await Money.start();
  stopped = new StoppedCalls(money.redis, new ContentBox(Buffer.alloc(32, 7)));
});
afterAll(() => money.stop());
beforeEach(async () => {
  await money.reset();
  await money.campaign();
  await money.key({ limits: { rpm: 2, tpm: 0, concurrent: 0 } });
});

describe('a blocked answer', () => {
  it('is found by take-hold for the same call of the same key, which holds nothing', async () => {
    expect(await stopped.keep(ticket, replyOf('{}'))).toBe(true);
    const answer = await money.take('again', { repeatHash: 'h' });
    expect(answer).toMatchObject({ code: 'stopped', sealed: expect.any(String) });
    expect(stopped.read('k', 'h', (answer as { sealed: string }).sealed)).toEqual({
      requestId: 'first',
      reply: replyOf('{}'),
    });
    expect(await money.journal()).toEqual([]);
    expect(await money.redis.exists(redisKeys.hold('again'))).toBe(0);
    expect(await money.take('asks', { repeatHash: 'h', question: true })).toMatchObject({ code: 'stopped' });
    // The third within the minute.
    expect(await money.take('soon', { repeatHash: 'h' })).toMatchObject({ code: 'requests', limit: 2 });
  });

  it.each([
    ['another call', { repeatHash: 'other' }],
    ['a call whose output nobody stops', {}],
  ])('is none for %s', async (_, changes) => {
    await stopped.keep(ticket, replyOf('{}'));
    expect(await money.take('new', changes)).toMatchObject({ code: 'ok' });
  });

  it('counts as much as it shows, and its entry in the record', async () => {
    await money.key({ limits: { rpm: 0, tpm: 0, concurrent: 0, bytes_per_hour: 6_000 } });
    await stopped.keep(ticket, replyOf('{}'));
    expect(await money.take('once', { repeatHash: 'h' })).toMatchObject({ code: 'stopped' });
    expect(await money.take('twice', { repeatHash: 'h' })).toMatchObject({ code: 'bytes', limit: 6_000 });
  });

  it('comes after an idempotency key', async () => {
    const idempotency = { nameHash: 'n', fingerprint: 'f' };
    await money.take('first', { repeatHash: 'h', idempotency });
    await stopped.keep(ticket, replyOf('{}'));
    expect(await money.take('again', { repeatHash: 'h', idempotency })).toMatchObject({ code: 'in_progress' });
  });

  it('is not shown to a key that was revoked', async () => {
    await stopped.keep(ticket, replyOf('{}'));
    await money.key({ status: 'revoked' });
    expect(await money.take('again', { repeatHash: 'h' })).toMatchObject({ code: 'invalid' });
  });

  it('is not kept without a hash, where it is long, and where Redis is short of memory', async () => {
    expect(await stopped.keep({ ...ticket, repeatHash: undefined }, replyOf('{}'))).toBe(false);
    expect(await stopped.keep(ticket, replyOf('x'.repeat(65_536)))).toBe(false);
    const [, most] = (await money.redis.config('GET', 'maxmemory')) as [string, string];
    const used = Number(/used_memory:(\d+)/.exec(await money.redis.info('memory'))![1]);
    await money.redis.config('SET', 'maxmemory', Math.ceil(used * 1.1));
    try {
      expect(await stopped.keep(ticket, replyOf('{}'))).toBe(false);
      await money.redis.config('SET', 'maxmemory', '1');
      expect(await stopped.keep(ticket, replyOf('{}'))).toBe(false);
    } finally {
      await money.redis.config('SET', 'maxmemory', most);
    }
  });

  it('of another key, or altered, cannot be read', async () => {
    await stopped.keep(ticket, replyOf('{}'));
    const sealed = (await money.redis.get(redisKeys.stopped('k', 'h')))!;
    expect(() => stopped.read('other', 'h', sealed)).toThrow();
    expect(() => stopped.read('k', 'other', sealed)).toThrow();
  });

  it('of a key are at most 32, the newest', async () => {
    for (let call = 0; call < 34; call++) await stopped.keep({ ...ticket, repeatHash: `h${call}` }, replyOf('{}'));
    await stopped.keep({ ...ticket, repeatHash: 'h33' }, replyOf('{}'));
    const kept = await Promise.all([0, 1, 2, 33].map((call) => money.redis.exists(redisKeys.stopped('k', `h${call}`))));
    expect(kept).toEqual([0, 0, 1, 1]);
    expect(await money.redis.llen(redisKeys.stoppedOfKey('k'))).toBe(32);
    expect(await money.redis.pttl(redisKeys.stopped('k', 'h33'))).toBeGreaterThan(50_000);
  });
});
