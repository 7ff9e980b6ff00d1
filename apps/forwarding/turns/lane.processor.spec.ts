import { expect, it } from '@jest/globals';
import type { Job } from 'bullmq';
import type { DaypassConfig } from '#libs/config/config.js';
import { createLogger } from '#libs/service/logger.js';
import { createLaneProcessor } from './lane.processor.js';

it('runs the calls of a job at once, never more than it may, and goes on while some wait', async () => {
  const config = { redisUrl: 'redis://none', limits: { concurrency: 3 } } as DaypassConfig;
  let [left, running, most] = [10, 0, 0];
  const line = {
    heads: (_: string, count: number) => Promise.resolve(Array.from({ length: Math.min(count, left) }, () => ({}))),
  };
  const taker = {
    start: (ticket: object) => Promise.resolve(left-- > 0 ? { state: 'started', call: { ticket } } : { state: 'over' }),
  };
  const attempts = {
    run: async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running--;
    },
  };
  const Processor = createLaneProcessor('lane', config) as unknown as new (...parts: unknown[]) => {
    process(job: Job): Promise<void>;
  };
  const processor = new Processor(taker, attempts, line, createLogger('test', 'silent'));
  const job = { data: { lane: 'lane', turns: 2 } } as Job;
  await Promise.all([processor.process(job), processor.process(job), processor.process(job)]);
  expect([most, left, running]).toEqual([3, 0, 0]);
});
