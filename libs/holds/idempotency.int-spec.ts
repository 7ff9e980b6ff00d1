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
  await money.campaign();
  await money.key();
});

const named = (fingerprint = 'body') => ({ idempotency: { nameHash: 'name', fingerprint } });
const record = redisKeys.idempotency('k', 'name');

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
    for (const [id, keep] of [
      ['reply', 'reply' as const],
      ['other', Buffer.from('whole stream')],
    ] as const) {
      await money.redis.del(record);
      await money.take(id, named());
      await money.start(id);
      await money.end(id, 'post', { costNano: 1n, reply: Buffer.from('encrypted'), keep });
      expect(await money.take('again', named())).toEqual({ code: 'answered', requestId: id });
      expect((await money.holds.keptAnswer('k', 'name'))?.toString()).toBe(
        keep === 'reply' ? 'encrypted' : 'whole stream',
      );
      // Not under another body.
      expect(await money.take('again', named('other'))).toEqual({ code: 'reused' });
    }
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
    await money.end('second', 'void', { reply: Buffer.from('blocked'), keep: 'reply' });
    expect(await money.take('third', named())).toEqual({ code: 'answered', requestId: 'second' });
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
