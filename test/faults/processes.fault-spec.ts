import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import { Queue } from 'bullmq';
import { encode } from 'gpt-tokenizer/encoding/cl100k_base';
import type { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Service } from '#libs/config/config.js';
import { laneQueue, TURN_JOB } from '#libs/contracts/jobs.js';
import { bullOptions } from '#libs/queues/bull.options.js';
import { functionName } from '#libs/redis/scripts.js';
import type { TestKey } from '#libs/testing/daypass.js';
import { cancelledUpstream } from '../at-rest.js';
import { Arena, type Outcome } from './arena.js';
import { blockEventLoop } from './block-event-loop.js';
import { scenario } from './scenario.js';

/** Of text-embedding-3-small, as the provider bills it. */
const NANO_OF_TOKEN = 20;
const BEGUN_TRIES = 5;
const WORDS = Array.from({ length: 200 }, (_, index) => `w${index} `).join('');

describe('processes', () => {
  let arena: Arena;
  beforeAll(async () => {
    // Node opens its inspector on a free port, which is how a test blocks an event loop for real.
    arena = await Arena.start({
      // As in production: long enough for streams to end.
      env: { DAYPASS_SHUTDOWN_DEADLINE_MS: '25000' },
      serviceEnv: { forwarding: { NODE_OPTIONS: '--inspect=127.0.0.1:0' } },
    });
  }, 90_000);
  afterAll(() => arena?.stop());
  afterEach(() => arena.clear());
  const { kill, whenReady } = {
    kill: (name: Service, signal: NodeJS.Signals = 'SIGKILL') => arena.daypass.services.kill(name, signal),
    whenReady: (name: Service) => arena.daypass.services.whenReady(name),
  };

  scenario(5, 'kill -9 of ingress after the hold', { quick: true }, async () => {
    const key = await arena.key();
    // The lane is closed, so that the call has its hold and nothing more.
    await arena.redis.hset('{dp}:window:lane:default', 'frozen_until_ms', String(Date.now() + 20_000));
    const call = arena.call(key);
    await arena.until(
      async () => (await arena.redis.hget(`{dp}:key:${key.id}`, 'running')) === '1',
      'the hold is taken',
    );
    kill('ingress');
    expect((await call).code).toBe('cut off');
    await whenReady('ingress');
    await arena.until(
      async () => (await arena.redis.hget(`{dp}:key:${key.id}`, 'held')) === '0',
      'the hold is given back',
      40_000,
    );
    await arena.redis.del('{dp}:window:lane:default');
    expect(arena.upstream.filter((sent) => JSON.stringify(sent.body).includes(key.id))).toEqual([]);
    return `hold given back by its lease, nothing sent; ${await arena.holds()}`;
  });

  scenario(6, 'kill -9 of forwarding after dispatch, before the first byte', {}, async () => {
    const key = await arena.key();
    arena.daypass.rehearsal.onChat = () => ({ firstTokenMs: 60_000 });
    const call = arena.call(key);
    await arena.upstreamRuns(1);
    kill('forwarding');
    const killedAt = performance.now();
    const outcome = await call;
    expect([outcome.status, outcome.code]).toEqual([502, 'upstream_outcome_unknown']);
    // A lease of 15 s, a sweep a second, and room for a slow machine.
    expect(performance.now() - killedAt).toBeLessThan(30_000);
    arena.daypass.rehearsal.onChat = undefined;
    await whenReady('forwarding');
    await arena.until(async () => {
      const { rows } = await arena.sql.query<{ kind: string }>(
        `SELECT kind FROM ledger.transfers WHERE key_id = $1 AND request_id IS NOT NULL`,
        [key.id],
      );
      return (
        rows.some(({ kind }) => kind === 'presume') && !rows.some(({ kind }) => kind === 'post' || kind === 'void')
      );
    }, 'it is presumed');
    return `told as 502, sent once, presumed; ${await arena.holds()}`;
  });

  /**
   * Ten calls that one step begins, and whose begin forwarding does not hear of: Redis' answer to it is lost. `between`:
   * happens then.
   */
  async function begunUnheard(key: TestKey, between: () => void): Promise<Outcome[] | undefined> {
    const others = await arena.key();
    // Each step may begin twice as many calls as the one before.
    for (let n = 0; n < 5; n++) expect((await arena.call(others)).status).toBe(200);
    const queue = new Queue(laneQueue('default'), bullOptions(arena.daypass.redisUrl));
    await queue.waitUntilReady();
    // After a job of one turn, the process would take one turn before it has the next job.
    await queue.add(TURN_JOB, { lane: 'default', turns: 2 });
    await arena.until(async () => (await queue.getJobCountByTypes('waiting', 'active')) === 0, 'these turns are over');
    kill('forwarding', 'SIGSTOP');
    const calls = Array.from({ length: 10 }, () => arena.call(key));
    await arena.until(async () => (await arena.redis.zcard('{dp}:lane:waiting:default')) === 10, 'ten calls wait');
    await queue.drain();
    await queue.add(TURN_JOB, { lane: 'default', turns: 10 });
    await queue.close();
    let begun = 0;
    const dropped = arena.daypass.redisProxy!.dropReplyTo(functionName('next-calls'), async () => {
      begun = 10 - (await arena.redis.zcard('{dp}:lane:waiting:default'));
      if (begun === 10) between();
    });
    kill('forwarding', 'SIGCONT');
    await dropped;
    const outcomes = await Promise.all(calls);
    return begun === 10 ? outcomes : undefined;
  }
  /** On a busy machine the job of one of the former calls may come last, and the process takes one turn before the next job. */
  async function begunTogether(between: () => void): Promise<{ key: TestKey; outcomes: Outcome[] }> {
    for (let tried = 0; tried < BEGUN_TRIES; tried++) {
      const key = await arena.key();
      const outcomes = await begunUnheard(key, between);
      if (outcomes) return { key, outcomes };
    }
    throw new Error(`no step began ten calls at once, ${BEGUN_TRIES} times`);
  }
  const sentOf = (key: TestKey): number =>
    arena.upstream.filter(({ body }) => JSON.stringify(body).includes(key.id)).length;

  scenario(33, 'kill -9 of forwarding after one step began ten calls', {}, async () => {
    const { key, outcomes } = await begunTogether(() => kill('forwarding'));
    // The books presume what nobody sent.
    arena.withoutUpstream.add(key.id);
    expect(outcomes.map(({ status, code }) => `${status} ${code}`)).toEqual(
      Array(10).fill('502 upstream_outcome_unknown'),
    );
    await whenReady('forwarding');
    expect(sentOf(key)).toBe(0);
    return `ten told as 502, none sent, booked at their bound; ${await arena.holds()}`;
  });

  scenario(34, 'the answer is lost to the step that began ten calls', { quick: true }, async () => {
    const { key, outcomes } = await begunTogether(() => undefined);
    expect(outcomes.map(({ status }) => status)).toEqual(Array(10).fill(200));
    expect(sentOf(key)).toBe(10);
    return `ten answered, each sent once; ${await arena.holds()}`;
  });

  scenario(7, 'kill -9 of forwarding in mid-stream', {}, async () => {
    const key = await arena.key();
    arena.daypass.rehearsal.onChat = () => ({ content: WORDS, tokensPerSecond: 20 });
    const call = arena.call(key, { stream: true, max_tokens: 400 });
    await arena.upstreamRuns(1);
    await sleep(1_500);
    kill('forwarding');
    const outcome = await call;
    expect(outcome).toMatchObject({ status: 200, done: false });
    expect(outcome.text).toContain('upstream_outcome_unknown');
    arena.daypass.rehearsal.onChat = undefined;
    await whenReady('forwarding');
    return `stream ends with an error frame, presumed; ${await arena.holds()}`;
  });

  scenario(27, 'kill -9 of forwarding in the middle of a large answer', { quick: true }, async () => {
    const model = 'text-embedding-3-small';
    const key = await arena.key('1.00', { campaign: { models: [model, 'gpt-5.4-mini'] } });
    // The arena compares chats only; this call is compared here.
    arena.withoutUpstream.add(key.id);
    const input = Array.from({ length: 2_048 }, (_, index) => `note ${index}`);
    // Ingress stands still from the dispatch on, so that forwarding waits for it in the middle of 17 MB.
    arena.daypass.rehearsal.onEmbeddings = () => {
      kill('ingress', 'SIGSTOP');
      return undefined;
    };
    const answer = fetch(`${arena.daypass.baseUrl}/embeddings`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model, input, encoding_format: 'base64' }),
    });
    await arena.until(async () => (await framesIn(arena.redis)) >= 8, 'forwarding waits for ingress');
    expect(await framesIn(arena.redis)).toBe(8);
    kill('forwarding');
    kill('ingress', 'SIGCONT');
    const response = await answer;
    expect(response.status).toBe(200);
    const length = Number(response.headers.get('content-length'));
    // A part that looks like the whole would be worse than none.
    await expect(response.arrayBuffer()).rejects.toThrow();
    const spent = async (): Promise<number> => Number(await arena.redis.hget(`{dp}:key:${key.id}`, 'spent'));
    await arena.until(async () => (await spent()) > 0, 'the call is presumed', 40_000);
    const tokens = input.reduce((sum, text) => sum + encode(text).length, 0);
    expect(await spent()).toBeGreaterThanOrEqual(tokens * NANO_OF_TOKEN);
    expect(arena.daypass.rehearsal.embeddingsCalls()).toHaveLength(1);
    return `${length} bytes broke off, booked at its bound; ${await arena.holds()}`;
  });

  scenario(8, 'the visitor hangs up in mid-stream', { quick: true }, async () => {
    const key = await arena.key();
    // Twenty seconds: a machine that stands still for a while does not end them before their visitors have left.
    arena.daypass.rehearsal.onChat = () => ({ content: WORDS, tokensPerSecond: 10 });
    const leave = new AbortController();
    const calls = Array.from({ length: 10 }, () =>
      arena.call(key, { stream: true, max_tokens: 400, signal: leave.signal }),
    );
    await arena.upstreamRuns(10);
    await sleep(700);
    leave.abort();
    const leftAt = performance.now();
    await Promise.all(calls);
    await cancelledUpstream(arena.daypass);
    const cancelledMs = performance.now() - leftAt;
    arena.daypass.rehearsal.onChat = undefined;
    return `10 upstream calls cancelled within ${cancelledMs.toFixed(0)} ms, billed for what was generated; ${await arena.holds()}`;
  });

  scenario(9, 'SIGSTOP of forwarding past its lock, then SIGCONT', {}, async () => {
    const key = await arena.key();
    arena.daypass.rehearsal.onChat = () => ({ firstTokenMs: 2_000, content: 'late' });
    const calls = Array.from({ length: 5 }, () => arena.call(key));
    await arena.upstreamRuns(5);
    kill('forwarding', 'SIGSTOP');
    await sleep(25_000);
    kill('forwarding', 'SIGCONT');
    const outcomes = await Promise.all(calls);
    arena.daypass.rehearsal.onChat = undefined;
    expect(outcomes.map(({ status }) => status)).toEqual(Array(5).fill(502));
    await arena.until(async () => {
      const { rows } = await arena.sql.query(`SELECT 1 FROM ledger.transfers WHERE key_id = $1 AND kind = 'correct'`, [
        key.id,
      ]);
      return rows.length === 5;
    }, 'what was presumed is corrected');
    return `5 calls presumed, then corrected by their worker, none sent twice; ${await arena.holds()}`;
  });

  scenario(10, 'an event loop blocked for 40 s', {}, async () => {
    const key = await arena.key();
    arena.daypass.rehearsal.onChat = () => ({ firstTokenMs: 1_000, content: 'late' });
    const calls = Array.from({ length: 5 }, () => arena.call(key));
    await arena.upstreamRuns(5);
    await blockEventLoop(arena.daypass.logs('forwarding'), 40_000);
    const outcomes = await Promise.all(calls);
    arena.daypass.rehearsal.onChat = undefined;
    expect(outcomes.map(({ status }) => status)).toEqual(Array(5).fill(502));
    return `5 calls presumed while it was blocked, none sent twice; ${await arena.holds()}`;
  });

  scenario(24, 'SIGTERM with 200 open streams', {}, async () => {
    const key = await arena.key('5.00');
    const all = Promise.withResolvers<void>();
    let came = 0;
    arena.daypass.rehearsal.onChat = async () => {
      if (++came === 200) all.resolve();
      await Promise.race([all.promise, sleep(15_000)]);
      return { content: WORDS.split(' ').slice(0, 20).join(' '), tokensPerSecond: 5 };
    };
    const calls = Array.from({ length: 200 }, () => arena.call(key, { stream: true, max_tokens: 400 }));
    await arena.upstreamRuns(200);
    await sleep(500);
    const begun = performance.now();
    await arena.daypass.services.stop('forwarding');
    const endedMs = performance.now() - begun;
    const outcomes = await Promise.all(calls);
    const whole = outcomes.filter(({ done }) => done).length;
    arena.daypass.rehearsal.onChat = undefined;
    await arena.daypass.services.start('forwarding');
    expect(whole).toBe(200);
    return `${whole} of 200 ended whole, the process in ${(endedMs / 1_000).toFixed(1)} s; ${await arena.holds()}`;
  });
});

/** Frames of large answers that no ingress has read. */
async function framesIn(redis: Redis): Promise<number> {
  const streams = (await redis.keys('{dp}:reply:*')).filter((key) => !key.endsWith(':read'));
  const entries = await Promise.all(streams.map((stream) => redis.xrangeBuffer(stream, '-', '+')));
  return entries.flat().filter(([, fields]) => fields.some((field) => field.toString() === 'frame')).length;
}
