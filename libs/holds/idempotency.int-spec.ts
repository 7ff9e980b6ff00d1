import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { redisKeys } from '#libs/redis/keys.js';
import type { HoldRequest, KeptReply } from './hold.types.js';
import { Money } from './money.fixture.js';

let money: Money;
beforeAll(async () => {
  money = await Money.start();
});
afterAll(() => money.stop());
beforeEach(async () => {
  await money.reset();
  await money.campaign();
  await money.key();
});

const named = (fingerprint = 'body') => ({ idempotency: { nameHash: 'name', fingerprint } });
const record = redisKeys.idempotency('k', 'name');
const keep = (packed: string | Buffer, more: Partial<KeptReply> = {}): KeptReply => ({
  packed: Buffer.from(packed as string),
  shownBytes: 1_000,
  bounds: { all: 100_000, ofKey: 20_000 },
  ...more,
});
/** A call that was posted, with its answer for repeats. */
const answered = async (id: string, kept: KeptReply, call: Partial<HoldRequest> = named()) => {
  await money.take(id, call);
  await money.start(id, { keyId: call.keyId ?? 'k' });
  await money.end(id, 'post', { costNano: 1n, keyId: call.keyId ?? 'k', keep: kept });
};

describe('a call under an idempotency key', () => {
  it('runs once: an equal one is told to wait, another one is refused, and nothing is held for either', async () => {
    await money.take('first', named());
    expect(await money.take('second', named())).toEqual({ code: 'in_progress' });
    expect(await money.take('third', named('other'))).toEqual({ code: 'reused' });
    expect(await money.balance(redisKeys.key('k'))).toEqual({ spent: 0, held: 1_000 });
    expect((await money.take('first', named())).code).toBe('ok');
    expect(await money.redis.pttl(record)).toBeGreaterThan(23 * 3_600_000);
  });

  it('is told as answered once its answer is kept, and its own answer comes back', async () => {
    await answered('first', keep('whole stream'));
    const after = { availableNano: 999_999n, windowRequests: 2, windowTokens: 100 };
    expect(await money.take('again', named())).toEqual({ code: 'answered', requestId: 'first', ...after });
    expect(await money.holds.keptAnswer('k', 'name')).toEqual({ sealed: Buffer.from('whole stream'), isPacked: true });
    // Not under another body.
    expect(await money.take('again', named('other'))).toEqual({ code: 'reused' });
  });

  it('gets an answer that the version before kept', async () => {
    await money.take('first', named());
    await money.redis.hset(record, 'state', 'answered', 'answer', 'as it was');
    expect(await money.take('again', named())).toMatchObject({ code: 'answered', requestId: 'first' });
    expect(await money.holds.keptAnswer('k', 'name')).toEqual({ sealed: Buffer.from('as it was'), isPacked: false });
  });

  it.each(['post', 'presume'] as const)(
    'is told as unanswered where it was paid for and no answer could be kept (%s)',
    async (transition) => {
      await money.take('first', named());
      await money.start('first');
      await money.end('first', transition, { costNano: 1n });
      expect(await money.take('again', named())).toEqual({ code: 'unanswered' });
    },
  );

  it('frees the key where it cost nothing, unless its answer is kept', async () => {
    await money.take('first', named());
    await money.end('first', 'void');
    expect((await money.take('second', named())).code).toBe('ok');
    await money.end('second', 'void', { reply: Buffer.from('blocked'), keep: keep('blocked') });
    expect(await money.take('third', named())).toMatchObject({ code: 'answered', requestId: 'second' });
  });

  it.each([
    ['posted', 'unanswered'],
    ['presumed', 'unanswered'],
    ['voided', 'ok'],
    ['dispatched', 'in_progress'],
  ] as const)('that came back out of the ledger as %s, nameless, is not billed again (%s)', async (state, code) => {
    await money.take('first', named());
    await money.redis.del(redisKeys.hold('first'));
    const paidNano = state === 'posted' || state === 'presumed' ? 1_000n : 0n;
    await money.holds.restore({
      requestId: 'first',
      keyId: 'k',
      campaignId: 'c',
      amountNano: 1_000n,
      state,
      paidNano,
      absorbedNano: 0n,
      day: 1,
      attempt: 1,
    });
    expect((await money.take('second', named())).code).toBe(code);
  });

  it('that Redis lost does not stand in the way, nor does its late end touch the one that came after', async () => {
    await money.take('lost', named());
    await money.redis.rename(redisKeys.hold('lost'), 'aside');
    expect((await money.take('next', named())).code).toBe('ok');
    await money.redis.rename('aside', redisKeys.hold('lost'));
    await money.end('lost', 'void');
    expect(await money.take('again', named())).toEqual({ code: 'in_progress' });
  });
});

describe('what Redis keeps for repeats', () => {
  const LIFE_MS = 24 * 3_600_000;
  const name = (nameHash: string, keyId = 'k'): Partial<HoldRequest> => ({
    keyId,
    idempotency: { nameHash, fingerprint: 'body' },
  });
  const heard = async (nameHash: string, keyId = 'k') =>
    (await money.take(`again ${nameHash} ${keyId}`, name(nameHash, keyId))).code;
  /** As if `LIFE_MS` had passed for the named answer: Redis expires its record by itself. */
  const lapse = async (nameHash: string, keyId = 'k') => {
    await money.redis.zadd(redisKeys.kept, 'XX', 1, `${keyId} ${nameHash}`);
    await money.redis.del(redisKeys.idempotency(keyId, nameHash));
  };
  const LARGE = Buffer.alloc(8_000);

  it('has a bound for each key: beyond it a name has no answer, until others lapse', async () => {
    for (const nameHash of ['one', 'two', 'three']) await answered(nameHash, keep(LARGE), name(nameHash));
    expect([await heard('one'), await heard('two'), await heard('three')]).toEqual([
      'answered',
      'answered',
      'unanswered',
    ]);
    expect(await money.redis.hget(redisKeys.idempotency('k', 'three'), 'packed')).toBeNull();
    expect(await money.holds.keptBytes()).toBe(2 * (8_000 + 512));
    await lapse('one');
    await answered('four', keep(LARGE), name('four'));
    expect(await heard('four')).toBe('answered');
    expect(await money.holds.keptBytes()).toBe(2 * (8_000 + 512));
    expect(Number(await money.redis.zscore(redisKeys.kept, 'k four')) - Date.now()).toBeGreaterThan(LIFE_MS - 60_000);
  });

  it('leaves nothing of a call without cost whose answer has no room', async () => {
    await answered('one', keep(LARGE), name('one'));
    await money.take('free', name('free'));
    await money.end('free', 'void', { keep: keep(Buffer.alloc(16_000)) });
    expect(await money.redis.exists(redisKeys.idempotency('k', 'free'))).toBe(0);
    expect(await money.holds.keptBytes()).toBe(8_000 + 512);
    expect(await heard('free')).toBe('ok');
  });

  it('has a bound for all keys together, and one key leaves room for the others', async () => {
    await money.key({ id: 'other' });
    const bounds = { all: 3 * 8_600, ofKey: 2 * 8_600 };
    for (const nameHash of ['one', 'two', 'three']) await answered(nameHash, keep(LARGE, { bounds }), name(nameHash));
    await answered('a', keep(LARGE, { bounds }), name('a', 'other'));
    await answered('b', keep(LARGE, { bounds }), name('b', 'other'));
    expect([await heard('three'), await heard('a', 'other'), await heard('b', 'other')]).toEqual([
      'unanswered',
      'answered',
      'unanswered',
    ]);
    for (const [keyId, nameHash] of [
      ['k', 'one'],
      ['k', 'two'],
      ['other', 'a'],
    ] as const)
      await lapse(nameHash, keyId);
    expect(await money.holds.keptBytes()).toBe(0);
    expect(await money.redis.exists(redisKeys.keptPrefix + 'k', redisKeys.keptPrefix + 'other', redisKeys.kept)).toBe(
      0,
    );
  });

  it('says within an hour of a strike, too, that its answer was not kept', async () => {
    await money.take('blocked', name('blocked'));
    await money.end('blocked', 'void', { keep: keep(LARGE, { bounds: { all: 1, ofKey: 1 } }), strike: true });
    expect(await heard('blocked')).toBe('unanswered');
    expect(await money.redis.pttl(redisKeys.idempotency('k', 'blocked'))).toBeLessThanOrEqual(3_600_000);
  });

  it('takes none of the last memory, which running calls need', async () => {
    const used = Number(/used_memory:(\d+)/.exec(await money.redis.info('memory'))![1]);
    await money.redis.config('SET', 'maxmemory', Math.round(used / 0.7));
    try {
      await answered('with room', keep('small'), name('with room'));
      expect(await heard('with room')).toBe('answered');
      await money.redis.config('SET', 'maxmemory', Math.round(used / 0.79 + 8_000));
      await answered('without', keep(Buffer.alloc(used / 10), { bounds: { all: 1e9, ofKey: 1e9 } }), name('without'));
      expect(await heard('without')).toBe('unanswered');
    } finally {
      await money.redis.config('SET', 'maxmemory', '0');
    }
  });

  it.each([
    ['is revoked', { status: 'revoked' as const }],
    ['has expired', { expiresMs: 1 }],
    ['has a new secret', { tokenHash: 'new' }],
  ])('is gone with a key that %s, and no repeat is billed again', async (_, change) => {
    await money.key({ id: 'other' });
    await answered('first', keep('mine'), name('first'));
    await answered('of another', keep('of another'), name('of another', 'other'));
    await money.key(change);
    expect(await money.redis.hget(redisKeys.idempotency('k', 'first'), 'packed')).toBeNull();
    expect(await money.holds.keptBytes()).toBe('of another'.length + 512);
    await money.key({ tokenHash: 'tokenHash' in change ? 'new' : 'token-of-k' });
    expect(await heard('first')).toBe('unanswered');
    expect(await heard('of another', 'other')).toBe('answered');
  });

  it('is gone where accounting says so', async () => {
    await answered('first', keep('mine'), name('first'));
    await money.accounts.forgetAnswers('other');
    expect(await money.holds.keptBytes()).toBe('mine'.length + 512);
    await money.accounts.forgetAnswers('k');
    expect([await money.holds.keptBytes(), await heard('first')]).toEqual([0, 'unanswered']);
  });

  it('stays where a key only changes its label', async () => {
    await answered('first', keep('mine'), name('first'));
    await money.key({ label: 'new' });
    expect(await heard('first')).toBe('answered');
  });

  it('is nothing of a key that was revoked while its call ran', async () => {
    await money.take('first', name('first'));
    await money.start('first');
    await money.key({ status: 'revoked' });
    await money.end('first', 'post', { costNano: 1n, keep: keep('mine') });
    expect(await money.holds.keptBytes()).toBe(0);
    await money.key({ status: 'active' });
    expect(await heard('first')).toBe('unanswered');
  });

  it('counts against the limits of the key each time that it goes out', async () => {
    const limits = { rpm: 3, tpm: 0, concurrent: 0, bytes_per_hour: 2_500 };
    await money.key({ limits });
    await answered('first', keep('mine'), name('first'));
    expect([await heard('first'), await heard('first')]).toEqual(['answered', 'answered']);
    expect(await money.take('again', name('first'))).toMatchObject({ code: 'requests', limit: 3 });
    await money.key({ limits: { ...limits, rpm: 0 } });
    expect(await money.take('again', name('first'))).toMatchObject({ code: 'bytes', limit: 2_500, need: 1_000 });
    expect(await money.window(redisKeys.keyBytes('k'))).toEqual({ requests: 0, tokens: 2_000 });
  });
});
