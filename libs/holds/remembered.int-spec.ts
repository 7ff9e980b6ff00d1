import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { redisNowMs } from '#libs/redis/clock.js';
import { redisKeys } from '#libs/redis/keys.js';
import { Money } from './money.fixture.js';

/** A caller who remembers a key from an earlier call, and takes a hold without another look at it. */
describe('a hold for a key that its caller remembers', () => {
  let money: Money;
  let remembered: { key: string; campaign: string };

  beforeAll(async () => {
    money = await Money.start();
  });
  afterAll(() => money.stop());
  beforeEach(async () => {
    await money.reset();
    await money.campaign();
    await money.key({ claimantId: 'vis_1' });
    const read = await money.holds.readKey('token-of-k');
    if (read.code !== 'ok') throw new Error(read.code);
    remembered = { key: read.key.version, campaign: read.campaign.version };
  });

  const soonMs = async () => (await redisNowMs(money.redis)) + 60_000;
  const field = async (hash: string, name: string, value: string | number) => {
    await money.redis.hset(hash, name, value);
  };

  it('is taken while nothing has changed, also after other calls have moved the balances', async () => {
    await money.take('before');
    expect(await money.take('r', { remembered })).toMatchObject({ code: 'ok', availableNano: 998_000n });
    expect((await money.take('r', { remembered })).code).toBe('ok');
    expect(await money.balance(redisKeys.key('k'))).toEqual({ spent: 0, held: 2_000 });
    expect(await money.redis.hget(redisKeys.key('k'), 'running')).toBe('2');
  });

  it.each<[what: string, change: () => Promise<unknown>]>([
    ['another limit', () => money.key({ limits: { rpm: 1, tpm: 0, concurrent: 0 } })],
    ['a rotation', () => money.key({ tokenHash: 'another', formerTokenHash: 'token-of-k' })],
    ['its revocation', () => money.key({ status: 'revoked' })],
    ['its suspension by a person', () => money.key({ status: 'suspended' })],
    ['its suspension by a strike', () => field(redisKeys.key('k'), 'status', 'suspended')],
    ['the suspension of its visitor', () => field(redisKeys.visitor('vis_1'), 'status', 'suspended')],
    ['its rest', async () => field(redisKeys.key('k'), 'cooldown_until', await soonMs())],
    ['the rest of its visitor', async () => field(redisKeys.visitor('vis_1'), 'cooldown_until', await soonMs())],
    ['its expiry', () => field(redisKeys.key('k'), 'expires_ms', 1)],
    ['a later start', async () => field(redisKeys.key('k'), 'starts_ms', await soonMs())],
    ['another policy of its campaign', () => money.campaign({ policy: { input: 'off' } })],
    ['other models of its campaign', () => money.campaign({ models: [] })],
    ['the end of its campaign', () => money.campaign({ status: 'closed' })],
    ['a Redis that no longer has it', () => money.redis.del(redisKeys.key('k'))],
  ])('is refused as stale after %s, and takes and counts nothing', async (_, change) => {
    await change();
    const before = await money.everything();
    const asked = { remembered, sentBytes: 100 };
    expect(await money.take('r', asked, { keyBytesPerHour: 1_000 })).toEqual({ code: 'stale' });
    expect(await money.everything()).toEqual(before);
  });

  it('is taken again once a rest is over', async () => {
    await field(redisKeys.key('k'), 'cooldown_until', 1);
    await field(redisKeys.visitor('vis_1'), 'cooldown_until', 1);
    expect((await money.take('r', { remembered })).code).toBe('ok');
  });

  it('finds the door shut before anything else', async () => {
    await money.redis.set(redisKeys.doorSwitch, 'shut');
    await money.key({ status: 'revoked' });
    expect(await money.take('r', { remembered })).toEqual({ code: 'paused' });
  });
});
