import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Queue } from 'bullmq';
import { Registry } from 'prom-client';
import { MODERATION_QUEUE } from '#libs/contracts/jobs.js';
import { bullOptions } from '#libs/queues/bull.options.js';
import { borrowRedis } from '#libs/testing/borrowed.js';
import { JudgingPlaces } from './judging.places.js';
import { QueueMetrics } from './queue.metrics.js';

let redisUrl: string;
let queue: Queue;
const registry = new Registry();
const places = new JudgingPlaces(1);
beforeAll(async () => {
  redisUrl = await borrowRedis();
  queue = new Queue(MODERATION_QUEUE, bullOptions(redisUrl));
  queue.on('error', () => undefined);
  new QueueMetrics(registry, queue, places);
});
afterAll(async () => {
  await queue.close().catch(() => undefined);
});

describe('the line before moderation', () => {
  const value = async (line: RegExp): Promise<number> => Number(line.exec(await registry.metrics())?.[1]);
  const oldest = (): Promise<number> => value(/^daypass_moderation_queue_oldest_seconds (\S+)$/m);

  it('is empty at first', async () => {
    expect(await oldest()).toBe(0);
    expect(await value(/queue_jobs\{state="waiting"\} (\d+)/)).toBe(0);
  });

  it('tells how many wait, and how long the first of them has', async () => {
    for (const agoMs of [60_000, 1_000, 0]) await queue.add('moderate', {}, { timestamp: Date.now() - agoMs });
    expect(await value(/queue_jobs\{state="waiting"\} (\d+)/)).toBe(3);
    expect(Math.round(await oldest())).toBe(60);
    await queue.obliterate();
    expect(await oldest()).toBe(0);
  });

  it('counts the calls that wait for a place', async () => {
    const one = { keyId: 'k', campaignId: 'c' };
    await places.enter(one);
    const second = places.enter(one);
    expect(await oldest()).toBeGreaterThan(0);
    places.leave(one);
    await second;
    expect(await oldest()).toBe(0);
  });
});
