import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { borrowRedis } from '#libs/testing/borrowed.js';
import { until } from '#libs/testing/until.js';
import { bullOptions, workerOptions } from './bull.options.js';
import { passOwnMarker } from './own.marker.js';
import { startAtOnce } from './prompt.start.js';

let redisUrl: string;
let redis: Redis;
let queue: Queue<{ name: string }>;
const closing: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  redisUrl = await borrowRedis();
  redis = new Redis(redisUrl);
  queue = new Queue('prompt', bullOptions(redisUrl));
  await queue.waitUntilReady();
});
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});
afterAll(async () => {
  await queue.obliterate({ force: true });
  await queue.close();
  redis.disconnect();
});

/** A worker that waits for its first job. */
async function idleWorker(process: (name: string) => Promise<void>): Promise<{ wakes: number }> {
  const worker = new Worker<{ name: string }>('prompt', ({ data }) => process(data.name), {
    ...workerOptions(redisUrl, 100),
    // Without the time limit of the house's connections, whose timer outlives them.
    connection: new Redis(redisUrl, { maxRetriesPerRequest: null }),
  });
  closing.push(async () => {
    await worker.close();
    (worker.opts.connection as Redis).disconnect();
  });
  startAtOnce(worker);
  const woken = { wakes: 0 };
  passOwnMarker(worker, { sleeps: () => undefined, woken: () => woken.wakes++ });
  await worker.waitUntilReady();
  await waits();
  return woken;
}

/** The commands since the last reset, in the order in which Redis did them; a fetch or an end is `evalsha`. */
async function commandsOf(): Promise<string[]> {
  const log = (await redis.call('SLOWLOG', 'GET', '128')) as [number, number, number, string[]][];
  return log.map(([, , , words]) => words.slice(0, 2).join(' ').toLowerCase()).toReversed();
}

async function waits(): Promise<void> {
  const isBlocked = async (): Promise<boolean> => /cmd=bzpopmin/i.test((await redis.client('LIST')) as string);
  for (let tries = 0; tries < 200 && !(await isBlocked()); tries++) await sleep(10);
  // It blocks again after each marker that it finds nothing behind.
  await sleep(100);
}

describe('a worker that had nothing to do', () => {
  it('starts a job without asking for a further one first', async () => {
    // The slow log tells of every command, in the order in which Redis did them.
    await redis.config('SET', 'slowlog-log-slower-than', '0');
    closing.push(() => redis.config('SET', 'slowlog-log-slower-than', '10000'));
    const started: string[] = [];
    await idleWorker(async (name) => {
      await redis.echo(name);
      started.push(name);
    });
    // The first one has Redis load the scripts.
    for (const name of ['first', 'second', 'third']) {
      await redis.call('SLOWLOG', 'RESET');
      await queue.add('job', { name });
      await until('the job has started', () => started.includes(name));
      const commands = await commandsOf();
      expect(commands).toContain(`echo ${name}`);
      const before = commands.slice(0, commands.indexOf(`echo ${name}`));
      // One script adds it, and one fetches it.
      if (name !== 'first') expect(before.filter((command) => command.startsWith('evalsha'))).toHaveLength(2);
      await waits();
    }
  });

  it('gets all jobs that come at once or while others run, and loses none', async () => {
    const ended: string[] = [];
    const runs = new Set<string>();
    const free = Promise.withResolvers<void>();
    await idleWorker(async (name) => {
      runs.add(name);
      if (name.startsWith('long')) await free.promise;
      ended.push(name);
    });
    const names = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${prefix}${n}`);
    await queue.addBulk(names('long', 10).map((name) => ({ name: 'job', data: { name } })));
    await until('all of them run beside each other', () => runs.size === 10);
    for (const name of names('short', 20)) {
      await queue.add('job', { name });
      if (runs.size % 3 === 0) await sleep(5);
    }
    await until('short jobs end beside long ones', () => ended.length === 20);
    free.resolve();
    await until('all have ended', () => ended.length === 30);
    expect(new Set(ended)).toEqual(new Set([...names('long', 10), ...names('short', 20)]));
  });

  it('sleeps after its job without another script, and hears of the next job', async () => {
    await redis.config('SET', 'slowlog-log-slower-than', '0');
    closing.push(() => redis.config('SET', 'slowlog-log-slower-than', '10000'));
    const ended: string[] = [];
    const woken = await idleWorker((name) => Promise.resolve(void ended.push(name)));
    for (const name of ['first', 'second', 'third']) {
      const before = woken.wakes;
      await redis.call('SLOWLOG', 'RESET');
      await queue.add('job', { name });
      await until('the job has ended', () => ended.includes(name));
      await waits();
      expect(woken.wakes - before).toBe(1);
      // One script adds it, one fetches it, and one ends it.
      const scripts = (await commandsOf()).filter((command) => command.startsWith('evalsha'));
      if (name !== 'first') expect(scripts).toHaveLength(3);
    }
  });

  it('starts a delayed job in time, also where another came meanwhile', async () => {
    const ended: string[] = [];
    await idleWorker((name) => Promise.resolve(void ended.push(name)));
    await queue.add('job', { name: 'later' }, { delay: 800 });
    await queue.add('job', { name: 'now' });
    await until('the job has ended', () => ended.includes('now'));
    // A worker that forgot it would sleep for five seconds.
    await until('the delayed job has ended', () => ended.includes('later'), 4_000);
  });
});
