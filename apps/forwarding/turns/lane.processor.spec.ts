import { describe, expect, it, beforeEach } from '@jest/globals';
import type { Job } from 'bullmq';
import type { DaypassConfig } from '#libs/config/config.js';
import { createLogger } from '#libs/service/logger.js';
import { until } from '#libs/testing/until.js';
import { createLaneProcessor } from './lane.processor.js';

const config = { redisUrl: 'redis://none', limits: { concurrency: 3 } } as DaypassConfig;
/** A quarter more than the concurrency. */
const PLACES = 4;

let left = 0;
let running: number;
let most: number;
let outcome: string;
let ends: (() => void)[];
let givenBack: number[];
let looks = 0;
beforeEach(() => {
  [left, running, most, outcome, ends, givenBack, looks] = [10, 0, 0, 'ok', [], [], 0];
});

function processorOf() {
  let made = 0;
  const ticket = () => ({ requestId: 'r', keyId: `k${++made}`, campaignId: `c${made}` });
  const start = (one: object = ticket()) => {
    left--;
    return Promise.resolve({ state: 'started', call: { ticket: one } });
  };
  const taker = {
    beginsInOneStep: () => true,
    start,
    next: (_: string, count: number) => {
      looks++;
      return Promise.resolve({ taken: Array.from({ length: Math.min(count, left) }, () => start()), waiting: left });
    },
  };
  // For the last places, which not every call gets.
  const line = { heads: () => Promise.resolve(left > 0 ? [ticket()] : []) };
  const attempts = {
    run: async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => ends.push(resolve));
      running--;
      return outcome;
    },
  };
  const queue = { add: (_: string, { turns }: { turns: number }) => Promise.resolve(givenBack.push(turns)) };
  const Processor = createLaneProcessor('lane', config) as unknown as new (...parts: unknown[]) => {
    process(job: Job): Promise<void>;
    beforeApplicationShutdown(): Promise<void>;
    woken(): void;
    sleeps(): void;
    worker: unknown;
  };
  const processor = new Processor(taker, attempts, line, queue, createLogger('test', 'silent'));
  Object.defineProperty(processor, 'worker', { value: { close: () => Promise.resolve() } });
  return processor;
}
const job = (turns: number) => ({ data: { lane: 'lane', turns } }) as Job;
const endOne = () => ends.shift()!();

describe('a job of turns', () => {
  it('ends when its calls have started, and each call takes the next that waits when it ends', async () => {
    const processor = processorOf();
    await processor.process(job(2));
    expect([running, left]).toEqual([2, 8]);
    while (left > 0 || running > 0) {
      await until('a call runs', () => Promise.resolve(ends.length > 0));
      endOne();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect([most, running, givenBack]).toEqual([2, 0, []]);
  });

  it('gives the turns back that get no place, and lets this process take no other until a call ends', async () => {
    const processor = processorOf();
    let isOver = false;
    const processing = processor.process(job(6)).then(() => (isOver = true));
    await until('all places are taken', () => Promise.resolve(running === PLACES));
    expect(givenBack).toEqual([2]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(isOver).toBe(false);
    left = 0;
    endOne();
    await processing;
  });

  it('is looked after no more where no other waits, but for a call that may be in the line again', async () => {
    left = 1;
    const processor = processorOf();
    await processor.process(job(1));
    outcome = 'deferred';
    endOne();
    await until('it was looked', () => Promise.resolve(looks === 2));
    left = 1;
    await processor.process(job(1));
    outcome = 'ok';
    endOne();
    await until('it has ended', () => Promise.resolve(running === 0));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(looks).toBe(3);
  });

  it('goes to another process where this one ends', async () => {
    const processor = processorOf();
    await processor.process(job(1));
    const ending = processor.beforeApplicationShutdown();
    await processor.process(job(2));
    expect(givenBack).toEqual([2]);
    endOne();
    await ending;
    expect(givenBack).toEqual([2, 1]);
  });

  it('has its one turn taken while the process fetches it', async () => {
    const processor = processorOf();
    processor.woken();
    await until('a call runs', () => Promise.resolve(running === 1));
    await processor.process(job(1));
    expect([running, left, looks, givenBack]).toEqual([1, 9, 1, []]);
  });

  it('has its turn taken anew where the call came after the look', async () => {
    left = 0;
    const processor = processorOf();
    processor.woken();
    await until('it was looked', () => Promise.resolve(looks === 1));
    left = 1;
    await processor.process(job(1));
    expect([running, left]).toEqual([1, 0]);
  });

  it('keeps its turn where the process took one for a job that another process got', async () => {
    const processor = processorOf();
    processor.woken();
    await until('a call runs', () => Promise.resolve(running === 1));
    processor.sleeps();
    await processor.process(job(1));
    expect([running, left]).toEqual([2, 8]);
  });

  it('has no turn taken early where many calls come together', async () => {
    const processor = processorOf();
    await processor.process(job(2));
    processor.woken();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([running, left]).toEqual([2, 8]);
  });
});
