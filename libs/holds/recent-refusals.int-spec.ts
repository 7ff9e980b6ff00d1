import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { errorAnswer } from '#libs/contracts/answers.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { redisKeys } from '#libs/redis/keys.js';
import { until } from '#libs/testing/until.js';
import { Money } from './money.fixture.js';
import { RecentRefusals, REFUSALS_MAX } from './recent-refusals.js';

let money: Money;
let refusals: RecentRefusals;
beforeAll(async () => {
  money = await Money.start();
});
afterAll(() => money.stop());
beforeEach(async () => {
  await money.reset();
  refusals = new RecentRefusals(money.redis);
});

const blocked = (details?: Record<string, unknown>) =>
  new DaypassError('moderation_blocked', 'A secret prompt was refused.', { details });

describe('the last refusals of a key', () => {
  it('say when and why, the newest first, without the message, and for a day', async () => {
    refusals.note('k', 'req_1', blocked({ categories: ['violence'] }).body().error);
    refusals.note('k', 'req_2', new DaypassError('key_suspended', 'No.').body().error);
    await until('written by itself', async () => (await refusals.of('k')).length === 2);
    expect(await refusals.of('k')).toEqual([
      { at: expect.stringMatching(/^\d{4}-.*Z$/), code: 'key_suspended', details: {}, request_id: 'req_2' },
      {
        at: expect.any(String),
        code: 'moderation_blocked',
        details: { categories: ['violence'] },
        request_id: 'req_1',
      },
    ]);
    expect(await refusals.of('other')).toEqual([]);
    expect(await money.redis.ttl(redisKeys.refusals('k'))).toBeGreaterThan(86_300);
    expect(JSON.stringify(await money.redis.lrange(redisKeys.refusals('k'), 0, -1))).not.toContain('secret');
  });

  it('are twenty at most, and their details are short', async () => {
    for (let round = 0; round < 2; round++) {
      for (let n = 0; n < 30; n++)
        refusals.note('k', `req_${round}_${n}`, blocked({ text: 'x'.repeat(3_000) }).body().error);
      await refusals.flush();
    }
    const all = await refusals.of('k');
    expect(all.map(({ request_id }) => request_id)).toEqual(
      Array.from({ length: REFUSALS_MAX }, (_, at) => `req_1_${29 - at}`),
    );
    expect(all[0]!.details).toEqual({});
    expect(await money.redis.llen(redisKeys.refusals('k'))).toBe(REFUSALS_MAX);
  });

  it('are of at most 1,000 keys between two writes', async () => {
    for (let n = 0; n <= 1_000; n++) refusals.note(`k${n}`, 'req', blocked().body().error);
    await refusals.flush();
    expect(await refusals.of('k999')).toHaveLength(1);
    expect(await refusals.of('k1000')).toEqual([]);
  });

  it('come from answers that are refusals of Daypass, and from no other', async () => {
    const meta = { moderation: { input: 'blocked', output: 'off' }, queueMs: 0 } as const;
    const answer = errorAnswer(blocked({ direction: 'input' }), meta);
    if (answer.type !== 'answer') throw new Error('an error is a whole answer');
    refusals.noteReply('k', 'req_1', answer);
    for (const body of ['not JSON', '{}', '{"error":{"code":"an_upstream_code","message":"a secret"}}', '[]'])
      refusals.noteReply('k', 'req_2', { ...answer, body });
    refusals.noteReply('k', 'req_3', { ...answer, status: 200 });
    refusals.noteReply('k', 'req_4', null);
    refusals.noteReply('k', 'req_5', { type: 'end', frames: 1 });
    await refusals.flush();
    expect(await refusals.of('k')).toMatchObject([{ request_id: 'req_1', details: { direction: 'input' } }]);
  });

  it('are lost, and nobody waits, while Redis is away', async () => {
    refusals.note('k', 'req_1', blocked().body().error);
    await money.redis.config('SET', 'maxmemory', '1');
    await refusals.flush();
    await money.redis.config('SET', 'maxmemory', '0');
    expect(await refusals.of('k')).toEqual([]);
  });
});
