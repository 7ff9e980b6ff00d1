import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { visitorOf } from '#libs/contracts/key-state.js';
import { redisKeys } from '#libs/redis/keys.js';
import { Money } from './money.fixture.js';

/** Two keys of one claimant, and one that nobody claimed. */
describe('a claimant with several keys', () => {
  let money: Money;
  const policy = { cooldownAfter: 2, cooldownMs: 60_000, suspendAfter: 3, windowMs: 3_600_000 };

  beforeAll(async () => {
    money = await Money.start();
  });
  afterAll(() => money.stop());
  beforeEach(async () => {
    await money.reset();
    await money.campaign();
    await money.key({ id: 'a', claimantId: 'vis_1' });
    await money.key({ id: 'b', claimantId: 'vis_1' });
    await money.key({ id: 'alone' });
  });

  let calls = 0;
  const struck = async (keyId: string, strike: typeof policy | true = policy): Promise<void> => {
    const id = `r${++calls}`;
    expect((await money.take(id, { keyId })).code).toBe('ok');
    await money.holds.end({
      requestId: id,
      keyId,
      campaignId: 'c',
      lane: 'lane',
      replyTo: 'door',
      transition: 'void',
      detail: {},
      strike,
    });
  };
  const seen = async (keyId: string) => {
    const answer = await money.holds.readKey(`token-of-${keyId}`);
    if (answer.code !== 'ok') throw new Error(answer.code);
    const { key } = answer;
    return {
      visitor: visitorOf(key),
      status: key.status,
      strikes: key.strike_times.length,
      rests: key.cooldown_until > Date.now(),
    };
  };

  it('is one visitor, and a key that nobody claimed is its own', async () => {
    expect([(await seen('a')).visitor, (await seen('b')).visitor]).toEqual(['vis_1', 'vis_1']);
    expect((await seen('alone')).visitor).toBe('alone');
    // As the version before projected keys.
    await money.redis.hdel(redisKeys.key('alone'), 'visitor');
    expect((await seen('alone')).visitor).toBe('alone');
  });

  it('adds up the strikes of all keys, and what follows holds for each of them', async () => {
    await struck('a');
    expect(await seen('b')).toMatchObject({ strikes: 1, rests: false, status: 'active' });
    await struck('b');
    expect(await seen('a')).toMatchObject({ strikes: 2, rests: true, status: 'active' });
    await struck('a');
    for (const id of ['a', 'b']) {
      expect(await seen(id)).toMatchObject({ strikes: 3, status: 'suspended' });
      expect((await money.take(`late-${id}`, { keyId: id })).code).toBe('suspended');
    }
    expect(await seen('alone')).toMatchObject({ strikes: 0, rests: false, status: 'active' });
    expect((await money.take('free', { keyId: 'alone' })).code).toBe('ok');
    const strikes = (await money.journal()).filter(({ kind }) => kind === 'strike');
    expect(strikes.map(({ key, strikes: count, step }) => [key, count, step])).toEqual([
      ['a', '1', 'warn'],
      ['b', '2', 'cooldown'],
      ['a', '3', 'suspend'],
    ]);
  });

  it('gets no turn for a call of another key that waited when the strike came', async () => {
    await money.take('waiting', { keyId: 'b' });
    for (let round = 0; round < 3; round++) await struck('a');
    const start = await money.start('waiting', { keyId: 'b' });
    expect(start.code).toBe('suspended');
  });

  it('is pardoned with any of its keys, and a revoked key stays revoked', async () => {
    for (let round = 0; round < 3; round++) await struck('a');
    await money.key({ id: 'a', claimantId: 'vis_1', strikesSinceMs: 5 });
    expect(await seen('b')).toEqual({ visitor: 'vis_1', status: 'active', strikes: 0, rests: false });
    await struck('b');
    // A projection that says nothing new about a pardon forgets no strike.
    await money.key({ id: 'a', claimantId: 'vis_1', strikesSinceMs: 5 });
    expect(await seen('a')).toMatchObject({ strikes: 1 });
    for (let round = 0; round < 2; round++) await struck('b');
    await money.key({ id: 'b', claimantId: 'vis_1', status: 'revoked' });
    expect((await seen('b')).status).toBe('revoked');
    expect((await seen('a')).status).toBe('suspended');
  });
});
