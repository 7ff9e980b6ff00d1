import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import type { DaypassConfig } from '#libs/config/config.js';
import { createLogger } from '#libs/service/logger.js';
import { redisKeys } from '#libs/redis/keys.js';
import { borrowRedis } from '#libs/testing/borrowed.js';
import { until } from '#libs/testing/until.js';
import { CancelListener, VisitorLeft } from './cancel.listener.js';

let redisUrl: string;
let redis: Redis;
let cancels: CancelListener;
beforeAll(async () => {
  redisUrl = await borrowRedis();
  redis = new Redis(redisUrl);
  cancels = new CancelListener({ redisUrl } as DaypassConfig, createLogger('forwarding', 'silent'));
  // The moment at which ioredis sends a subscription, though its connection is not ready yet.
  await once((cancels as unknown as { subscriber: Redis }).subscriber, 'connect');
  await cancels.onApplicationBootstrap();
});
afterAll(async () => {
  cancels.onApplicationShutdown();
  redis.disconnect();
});

/** What became of them once their visitor has left. */
async function left(requestId: string, ...controllers: AbortController[]): Promise<boolean[]> {
  // Redis tells them in this order, so that the first was heard once the second is.
  const nextId = randomUUID();
  const next = cancels.track(nextId);
  await redis.publish(redisKeys.cancelChannel, requestId);
  await redis.publish(redisKeys.cancelChannel, nextId);
  await until('the next one is heard', () => next.signal.aborted);
  cancels.forget(nextId, next);
  return controllers.map(({ signal }) => signal.reason instanceof VisitorLeft);
}

describe('a visitor who left', () => {
  it('ends the call, and no other', async () => {
    const [call, other] = [cancels.track('r'), cancels.track('s')];
    expect(await left('r', call, other)).toEqual([true, false]);
    cancels.forget('r', call);
    cancels.forget('s', other);
  });

  it('ends a call whose dispatch this process hears of only afterwards, for some seconds', async () => {
    await left('r');
    const late = cancels.track('r');
    expect(late.signal.reason).toBeInstanceOf(VisitorLeft);
    cancels.forget('r', late);
    const other = cancels.track('other');
    expect(other.signal.aborted).toBe(false);
    cancels.forget('other', other);
    // As if it had left a while ago.
    const leavers = (cancels as unknown as { left: Map<string, number> }).left;
    leavers.set('r', performance.now() - 10_001);
    expect(cancels.track('r').signal.aborted).toBe(false);
    await redis.publish(redisKeys.cancelChannel, 'another');
    await until('the old one is forgotten', () => Promise.resolve(!leavers.has('r')));
  });

  it('ends the attempt that runs, though the one before it came to its end later', async () => {
    const former = cancels.track('again');
    const running = cancels.track('again');
    cancels.forget('again', former);
    expect(await left('again', former, running)).toEqual([false, true]);
    cancels.forget('again', running);
    expect(await left('again', former)).toEqual([false]);
  });
});
