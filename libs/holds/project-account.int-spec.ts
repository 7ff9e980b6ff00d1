import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { redisKeys } from '#libs/redis/keys.js';
import { Money } from './money.fixture.js';

let money: Money;
beforeAll(async () => {
  money = await Money.start();
});
afterAll(() => money.stop());
beforeEach(async () => {
  await money.reset();
  await money.campaign({ version: 1 });
});

const key = (version: number, changes: Parameters<Money['key']>[0] = {}) => money.key({ version, ...changes });
const read = (tokenHash = 'token-of-k') => money.holds.readKey(tokenHash);

describe('projecting a key', () => {
  it('makes a new one known by its token, with nothing spent', async () => {
    expect(
      await key(1, {
        label: 'desk 4',
        limits: { rpm: 5, tpm: 6, concurrent: 7 },
        models: ['m'],
        policy: { input: 'off' },
        expiresMs: 42,
      }),
    ).toEqual({
      code: 'projected',
      usedNano: 0n,
    });
    const answer = await read();
    expect(answer).toMatchObject({
      code: 'ok',
      key: {
        id: 'k',
        campaign: 'c',
        label: 'desk 4',
        status: 'active',
        rpm: 5,
        tpm: 6,
        concurrent: 7,
        models: ['m'],
        policy: { input: 'off' },
        expires_ms: 42,
        budget: 1_000_000n,
        spent: 0n,
        held: 0n,
        running: 0,
        strike_times: [],
      },
      campaign: { id: 'c', slug: 'demo', status: 'active', models: ['m'] },
    });
  });

  it('revokes one in a full Redis, which takes no further one', async () => {
    await key(1);
    await money.redis.config('SET', 'maxmemory', '1');
    try {
      expect(await key(2, { status: 'revoked' })).toEqual({ code: 'projected', usedNano: 0n });
      await expect(key(1, { id: 'k2' })).rejects.toThrow('OOM');
    } finally {
      await money.redis.config('SET', 'maxmemory', '0');
    }
    expect(await read()).toMatchObject({ key: { status: 'revoked' } });
    expect(await money.redis.exists(redisKeys.key('k2'))).toBe(0);
  });

  it('keeps the end that its first call set, where Postgres has not heard of that call', async () => {
    const waiting = { ttlFromUseMs: 60_000 };
    await key(1, waiting);
    const end = async () => {
      const answer = await read();
      return answer.code === 'ok' ? answer.key.expires_ms : answer.code;
    };
    expect(await end()).toBe(0);
    await money.take('r');
    const first = (await end()) as number;
    expect(first).toBeGreaterThan(Date.now());
    await key(2, { ...waiting, label: 'changed meanwhile' });
    expect(await end()).toBe(first);
    // A longer time of the same key still counts from its first call.
    await key(3, { ttlFromUseMs: 90_000 });
    expect(await end()).toBe(first + 30_000);
    // A fixed end, or none, is the operator's word.
    await key(4, { expiresMs: first + 5 });
    expect(await end()).toBe(first + 5);
    await key(5);
    expect(await end()).toBe(0);
  });

  it('twice is the same as once', async () => {
    await key(1);
    const before = await money.everything();
    expect(await key(1)).toEqual({ code: 'projected', usedNano: 0n });
    expect(await money.everything()).toEqual(before);
  });

  it('changes the definition and keeps the balances that calls move', async () => {
    await key(1);
    await money.dispatched('r1');
    await money.end('r1', 'post', { costNano: 300n, strike: true });
    await money.take('r2');
    expect(await key(2, { budgetNano: 5_000n, label: 'renamed' })).toEqual({ code: 'projected', usedNano: 1_300n });
    expect(await read()).toMatchObject({
      key: {
        label: 'renamed',
        budget: 5_000n,
        spent: 300n,
        held: 1_000n,
        running: 1,
        strike_times: [expect.any(Number)],
      },
    });
  });

  it('changes nothing where a newer version is there already', async () => {
    await key(3, { label: 'newest' });
    const before = await money.everything();
    expect(await key(2, { label: 'older', tokenHash: 'older-token' })).toEqual({ code: 'stale', usedNano: 0n });
    expect(await money.everything()).toEqual(before);
  });

  it('refuses a budget below what is spent and held, says what is used, and changes nothing', async () => {
    await key(1);
    await money.take('r');
    const before = await money.everything();
    expect(
      await key(2, { budgetNano: 999n, label: 'changed', formerTokenHash: 'token-of-k', tokenHash: 'new' }),
    ).toEqual({ code: 'below', usedNano: 1_000n });
    expect(await money.everything()).toEqual(before);
    expect(await key(2, { budgetNano: 1_000n })).toEqual({ code: 'projected', usedNano: 1_000n });
    expect(await money.take('r2')).toMatchObject({ code: 'insufficient', freeNano: 0n });
  });

  it('lets a key be changed although its budget is overdrawn, as long as the budget does not fall', async () => {
    await key(1, { budgetNano: 1_000n });
    await money.redis.hset(redisKeys.key('k'), 'spent', 1_200);
    expect(await key(2, { budgetNano: 1_000n, status: 'revoked' })).toMatchObject({ code: 'projected' });
    expect(await key(3, { budgetNano: 1_100n })).toMatchObject({ code: 'projected' });
  });
});

describe('rotating a key', () => {
  it('opens the door to the new token and closes it to the former one, in one step', async () => {
    await key(1, { tokenHash: 'a' });
    await money.take('r');
    await key(2, { tokenHash: 'b', formerTokenHash: 'a' });
    expect(await read('a')).toEqual({ code: 'unknown' });
    expect(await read('b')).toMatchObject({ code: 'ok', key: { id: 'k', held: 1_000n } });
  });

  it('closes it to every former token, although the projection of one rotation was lost', async () => {
    await key(1, { tokenHash: 'a' });
    await key(3, { tokenHash: 'c', formerTokenHash: 'b' });
    expect(await read('a')).toEqual({ code: 'unknown' });
    expect(await read('c')).toMatchObject({ code: 'ok' });
  });

  it('closes it although the former token was not named', async () => {
    await key(1, { tokenHash: 'a' });
    await key(2, { tokenHash: 'b' });
    expect(await read('a')).toEqual({ code: 'unknown' });
  });

  it('never closes the door to the token that it opens', async () => {
    await key(1, { tokenHash: 'a' });
    await key(2, { tokenHash: 'a', formerTokenHash: 'a' });
    expect(await read('a')).toMatchObject({ code: 'ok' });
  });
});

describe('projecting a campaign', () => {
  it('keeps its balances, and closes it for all its keys', async () => {
    await key(1);
    await money.take('r');
    expect(await money.campaign({ version: 2, status: 'closed' })).toEqual({ code: 'projected', usedNano: 1_000n });
    expect(await read()).toMatchObject({ campaign: { status: 'closed', held: 1_000n } });
    expect(await money.take('r2')).toEqual({ code: 'invalid' });
  });

  it('refuses a budget below what its keys have used together', async () => {
    await key(1);
    await key(1, { id: 'k2' });
    await money.take('r1');
    await money.take('r2', { keyId: 'k2' });
    expect(await money.campaign({ version: 2, budgetNano: 1_999n })).toEqual({ code: 'below', usedNano: 2_000n });
    expect(await money.campaign({ version: 2, budgetNano: 2_000n })).toMatchObject({ code: 'projected' });
  });

  it('of an older version changes nothing', async () => {
    await money.campaign({ version: 5, status: 'closed' });
    expect(await money.campaign({ version: 4, status: 'active' })).toMatchObject({ code: 'stale' });
    await key(1);
    expect(await read()).toMatchObject({ campaign: { status: 'closed' } });
  });
});

describe('reading a key', () => {
  it('says recovering where Redis holds no projection, whatever else it holds', async () => {
    await key(1);
    await money.redis.del(redisKeys.epoch);
    expect(await read()).toEqual({ code: 'recovering' });
  });

  it('says unknown for a token, a key or a campaign that is not there, one answer for all', async () => {
    expect(await read('nobody')).toEqual({ code: 'unknown' });
    await key(1);
    await money.redis.del(redisKeys.campaign('c'));
    expect(await read()).toEqual({ code: 'unknown' });
    await money.redis.del(redisKeys.key('k'));
    expect(await read()).toEqual({ code: 'unknown' });
  });

  it('writes nothing', async () => {
    await key(1);
    const before = await money.everything();
    await read();
    await read();
    expect(await money.everything()).toEqual(before);
  });
});
