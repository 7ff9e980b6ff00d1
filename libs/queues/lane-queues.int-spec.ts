import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Queue } from 'bullmq';
import { laneQueue, TURNS_MAX, type Ticket, type TurnJob } from '#libs/contracts/jobs.js';
import type { Entered, LaneLine } from '#libs/pacing/lane-line.js';
import { startTestRedis, type TestRedis } from '#libs/testing/stores.js';
import { bullOptions } from './bull.options.js';
import { LaneQueues } from './lane-queues.js';

let store: TestRedis;
let queue: Queue<TurnJob>;
beforeAll(async () => {
  store = await startTestRedis();
  queue = new Queue(laneQueue('lane'), bullOptions(store.redisUrl));
  await queue.waitUntilReady();
});
afterAll(async () => {
  await queue.close();
  await store.stop();
});

const line = (code: Entered['code']): LaneLine => ({ enter: () => Promise.resolve({ code, before: 0, waitMs: 0 }) }) as unknown as LaneLine;
const queues = (code: Entered['code'] = 'entered'): LaneQueues => new LaneQueues(['lane'], [queue], line(code));
const enqueue = (to: LaneQueues, ids: readonly string[]) => Promise.all(ids.map((requestId) => to.enqueue({ requestId, lane: 'lane' } as Ticket)));
const ids = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${prefix}${n}`);
const turns = async (): Promise<number[]> => (await queue.getWaiting()).map(({ data }) => data.turns).sort((a, b) => a - b);

describe('the turns of a lane', () => {
  it('are one job for the calls of a tick, a bounded number in each, and none for calls that did not join', async () => {
    await enqueue(queues(), ids('a', 5));
    expect(await turns()).toEqual([5]);
    await enqueue(queues('late'), ids('b', 5));
    expect(await turns()).toEqual([5]);
    await enqueue(queues(), ids('c', TURNS_MAX + 3));
    expect(await turns()).toEqual([3, 5, TURNS_MAX]);
  });

  it('are not there twice where the same calls are enqueued again', async () => {
    const before = await turns();
    await enqueue(queues(), ids('a', 5));
    expect(await turns()).toEqual(before);
  });
});
