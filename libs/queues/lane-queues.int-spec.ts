import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Queue } from 'bullmq';
import { laneQueue, TURNS_MAX, type Ticket, type TurnJob } from '#libs/contracts/jobs.js';
import type { Entered, LaneLine } from '#libs/pacing/lane-line.js';
import { borrowRedis } from '#libs/testing/borrowed.js';
import { bullOptions } from './bull.options.js';
import { LaneQueues } from './lane-queues.js';

let redisUrl: string;
let queue: Queue<TurnJob>;
beforeAll(async () => {
  redisUrl = await borrowRedis();
  queue = new Queue(laneQueue('lane'), bullOptions(redisUrl));
  await queue.waitUntilReady();
});
afterAll(async () => {
  await queue.close();
});

const line = { enter: () => Promise.resolve({ code: 'entered', before: 0, waitMs: 0 }) } as unknown as LaneLine;
const queues = (): LaneQueues => new LaneQueues(['lane'], [queue], line);
const enqueue = (to: LaneQueues, ids: readonly string[]) =>
  Promise.all(ids.map((requestId) => to.enqueue({ requestId, lane: 'lane' } as Ticket)));
const ids = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${prefix}${n}`);
const turns = async (): Promise<number[]> =>
  (await queue.getWaiting()).map(({ data }) => data.turns).sort((a, b) => a - b);
/** A lane that refuses a call enqueues no turn for it. */
async function turnsOnce(expected: number): Promise<number> {
  for (let n = 0; n < 200 && (await turns()).length < expected; n++) await sleep(5);
  return (await turns()).length;
}

describe('the turns of a lane', () => {
  it('are one job for the calls of a tick, a bounded number in each', async () => {
    await enqueue(queues(), ids('a', 5));
    expect(await turns()).toEqual([5]);
    await enqueue(queues(), ids('c', TURNS_MAX + 3));
    expect(await turns()).toEqual([3, 5, TURNS_MAX]);
  });

  it('leave without waiting for what becomes of the call, behind it', async () => {
    const entered = Promise.withResolvers<Entered>();
    const waiting = new LaneQueues(['lane'], [queue], { enter: () => entered.promise } as unknown as LaneLine);
    const before = await turns();
    const end = enqueue(waiting, ['early']);
    expect(await turnsOnce(before.length + 1)).toBe(before.length + 1);
    entered.resolve({ code: 'entered', before: 0, waitMs: 0 });
    await end;
  });

  it('are none for calls that did not join, once a lane has turned one away', async () => {
    let code: Entered['code'] = 'late';
    const lanes = new LaneQueues(['lane'], [queue], {
      enter: () => Promise.resolve({ code, before: 0, waitMs: 0 }),
    } as unknown as LaneLine);
    const before = (await turns()).length + 1;
    await enqueue(lanes, ['first']);
    expect(await turnsOnce(before)).toBe(before);
    await enqueue(lanes, ['second']);
    expect((await turns()).length).toBe(before);
    code = 'entered';
    await enqueue(lanes, ['third']);
    await enqueue(lanes, ['fourth']);
    expect((await turns()).length).toBe(before + 2);
  });

  it('are there for a call that comes with one whose turn is still running', async () => {
    const before = (await turns()).length;
    await enqueue(queues(), ['again']);
    await enqueue(queues(), ['again', 'new']);
    expect((await turns()).length).toBe(before + 2);
  });
});
