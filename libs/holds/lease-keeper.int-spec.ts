import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Door } from './door.js';
import { LEASE_MS, type CallClaim } from './hold.types.js';
import { redisKeys } from '#libs/redis/keys.js';
import { LeaseKeeper } from './lease-keeper.js';
import { Money } from './money.fixture.js';
import { until } from '#libs/testing/until.js';

let money: Money;
let keeper: LeaseKeeper;
const errors: unknown[] = [];
beforeAll(async () => {
  money = await Money.start();
});
afterAll(() => money.stop());
beforeEach(async () => {
  await money.reset();
  await money.campaign();
  await money.key();
  errors.length = 0;
  keeper = new LeaseKeeper(money.redis, money.holds, (error) => errors.push(error));
});
afterEach(() => {
  keeper.stop();
  jest.useRealTimers();
});

const running = (requestId: string): CallClaim => ({
  requestId,
  keyId: 'k',
  campaignId: 'c',
  lane: 'lane',
  replyTo: 'door',
  amountNano: 1_000n,
  day: 1,
  attempt: 1,
});
const lease = async (requestId: string) => {
  const score = await money.redis.zscore(redisKeys.leases, requestId);
  return score === null ? null : Number(score);
};

/** One turn of the keeper's clock, with everything but its interval left real. */
async function turn(): Promise<void> {
  jest.useFakeTimers({
    doNotFake: [
      'setTimeout',
      'clearTimeout',
      'setImmediate',
      'clearImmediate',
      'nextTick',
      'queueMicrotask',
      'Date',
      'performance',
      'hrtime',
    ],
  });
  keeper.start();
  jest.advanceTimersByTime(LEASE_MS / 3);
  jest.useRealTimers();
  await sleep(50);
}

describe('the leases of a process', () => {
  it('are renewed to their full length, three times within each', async () => {
    await money.take('r');
    await money.lapse('r');
    keeper.keepRunning(running('r'));
    await turn();
    await until('the lease is renewed', async () => (await lease('r')) !== 1);
    const [seconds] = await money.redis.time();
    expect((await lease('r'))! - Number(seconds) * 1_000).toBeGreaterThan(LEASE_MS - 1_000);
    expect(await money.holds.expired(10)).toEqual([]);
  });

  it('are left to run out once it has let go', async () => {
    await money.take('r');
    await money.lapse('r');
    keeper.keepRunning(running('r'));
    keeper.release('r');
    await turn();
    expect(await lease('r')).toBe(1);
  });

  it('are left to run out once it has stopped', async () => {
    await money.take('r');
    await money.lapse('r');
    keeper.keepRunning(running('r'));
    keeper.start();
    keeper.stop();
    await sleep(20);
    expect(await lease('r')).toBe(1);
  });

  it('are never given to a hold that has ended: it would be swept again and again', async () => {
    await money.dispatched('r');
    await money.end('r', 'post', { costNano: 1n });
    keeper.keepRunning(running('r'));
    keeper.keepWaiting('nobody');
    await turn();
    expect(await money.redis.zcard(redisKeys.leases)).toBe(0);
  });

  it('are renewed for thousands of calls', async () => {
    const ids = Array.from({ length: 2_500 }, (_, index) => `r${index}`);
    await money.redis.zadd(redisKeys.leases, ...ids.flatMap((id) => [1, id]));
    for (const id of ids) keeper.keepRunning(running(id));
    await turn();
    // Renewals of so many take longer than the turn waits.
    await until('all leases are renewed', async () => (await money.redis.zcount(redisKeys.leases, '-inf', 1)) === 0);
  });

  it('of a call that waits are renewed by its door only until a worker has dispatched it', async () => {
    for (const id of ['held', 'sent']) await money.take(id);
    await money.start('sent');
    for (const id of ['held', 'sent']) {
      await money.lapse(id);
      keeper.keepWaiting(id);
    }
    await turn();
    await until('the lease is renewed', async () => (await lease('held')) !== 1);
    // The worker that dispatched it is silent, and the door that still waits must not hide that from the sweep.
    expect((await money.holds.expired(10)).map(({ requestId }) => requestId)).toEqual(['sent']);
  });

  it('report it when Redis does not answer, and go on', async () => {
    await money.take('r');
    keeper.keepRunning(running('r'));
    await money.redis.del(redisKeys.leases);
    await money.redis.set(redisKeys.leases, 'not a sorted set');
    await turn();
    await until('it is reported', () => errors.length > 0);
  });
});

describe('a keeper that finds the door closed', () => {
  const door = () => new Door(money.redis);

  it('waits for it, claims what its process runs under the new number, once, and tells when it is open', async () => {
    let reopened = 0;
    keeper.whenReopened(() => reopened++);
    keeper.keepRunning(running('r'));
    await turn();
    expect(await money.redis.exists(redisKeys.hold('r'))).toBe(0);
    await door().close();
    await turn();
    expect(await money.redis.exists(redisKeys.hold('r'))).toBe(0);
    await door().set('settling', 2);
    await until('the call is claimed', async () => (await money.redis.exists(redisKeys.hold('r'))) === 1);
    expect(await money.redis.hget(redisKeys.hold('r'), 'state')).toBe('dispatched');
    expect(reopened).toBe(0);
    await door().set('open', 2);
    await turn();
    await until('it tells that the door is open', () => reopened > 0);
    await turn();
    expect([reopened, (await money.journal()).map(({ kind }) => kind)]).toEqual([1, ['hold', 'dispatch']]);
  });
});
