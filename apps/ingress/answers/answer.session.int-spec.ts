import 'reflect-metadata';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Redis } from 'ioredis';
import type { Registry } from 'prom-client';
import { loadConfig, type DaypassConfig } from '#libs/config/config.js';
import { errorAnswer } from '#libs/contracts/answers.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { sealOfFrame, type Reply } from '#libs/contracts/reply.js';
import { createLogger } from '#libs/service/logger.js';
import { createRegistry } from '#libs/service/ops-server.js';
import { redisKeys } from '#libs/redis/keys.js';
import { Money } from '#libs/holds/money.fixture.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { createVirtualKey, hashVirtualKey } from '#libs/secrets/virtual-key.js';
import { FaultProxy } from '#libs/testing/fault-proxy.js';
import { until } from '#libs/testing/until.js';
import { createIngress } from '../ingress.app.js';

const model = 'gpt-5.4-mini';
/** A leaving is said once a second; after this long without one it is said no more. */
const QUIET_MS = 1_500;
const FRAME = 'data: {}\n\n';
const LAST_FRAME = 'data: {}\n\ndata: [DONE]\n\n';

let money: Money;
let proxy: FaultProxy;
let config: DaypassConfig;
let registry: Registry;
let app: NestFastifyApplication;
let subscriber: Redis;
const token = createVirtualKey();
/** Request ids that the ingress has said were left, in order. */
const said: string[] = [];

beforeAll(async () => {
  money = await Money.start();
  await money.reset();
  proxy = await FaultProxy.start(Number(new URL(money.url).port));
  config = loadConfig('ingress', {
    OPENAI_API_KEY: 'unused',
    REDIS_URL: `redis://127.0.0.1:${proxy.port}`,
    DAYPASS_SECRET: 'a secret that only tests know, long enough',
    DAYPASS_LOG_LEVEL: 'silent',
  });
  await money.campaign({ models: [model], budgetNano: 10_000_000_000n, policy: { input: 'off', output: 'off' } });
  await money.key({ budgetNano: 10_000_000_000n, tokenHash: hashVirtualKey(token, config.secrets.tokenPepper) });
  const logger = createLogger('ingress', 'silent');
  registry = createRegistry('ingress');
  app = await createIngress(config, logger, registry);
  await app.listen(0, '127.0.0.1');
  subscriber = new Redis(money.url);
  subscriber.on('message', (_, requestId) => said.push(requestId));
  await subscriber.subscribe(redisKeys.cancelChannel);
});
afterAll(async () => {
  subscriber?.disconnect();
  // One that is about to be idle would stay for its 72 s.
  app?.getHttpServer().closeAllConnections();
  await app?.close();
  await proxy?.stop();
  await money?.stop();
});
beforeEach(() => {
  said.length = 0;
  registry.resetMetrics();
});
afterEach(() => proxy.heal());

/** A visitor who asks for a stream. The call runs at a worker, which is the test. */
async function askedStream(): Promise<{ requestId: string; responded: Promise<unknown[]> }> {
  const address = new URL(await app.getUrl());
  const asking = request({
    host: address.hostname,
    port: address.port,
    path: '/v1/chat/completions',
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  });
  asking.end(JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }], max_tokens: 20, stream: true }));
  asking.on('error', () => undefined);
  const responded = once(asking, 'response');
  responded.catch(() => undefined);
  await until('the call is admitted', async () => (await money.redis.zcard(redisKeys.leases)) === 1);
  const [requestId] = await money.redis.zrange(redisKeys.leases, 0, 0);
  expect((await money.start(requestId!)).code).toBe('started');
  return { requestId: requestId!, responded };
}

/** The same, where the first frames are there. */
async function runningStream(frame: string, last = false): Promise<{ requestId: string; visitor: IncomingMessage }> {
  const { requestId, responded } = await askedStream();
  await reply(requestId, { type: 'open', meta: { moderation: { input: 'off', output: 'off' }, queueMs: 1 } });
  await reply(requestId, { type: 'frames', n: 0, text: frame, ...(last ? { last } : {}) });
  const [visitor] = (await responded) as [IncomingMessage];
  visitor.on('error', () => undefined);
  const [shown] = (await once(visitor, 'data')) as [Buffer];
  expect(shown.toString()).toBe(frame);
  return { requestId, visitor };
}

/** As a worker puts it on the ingress' reply stream. */
async function reply(requestId: string, message: Reply): Promise<void> {
  const replyTo = await money.redis.hget(redisKeys.hold(requestId), 'reply_to');
  const payload = new ContentBox(config.secrets.contentKey).seal(JSON.stringify(message), requestId);
  await money.redis.xadd(redisKeys.reply(replyTo!), '*', 'id', requestId, 'payload', payload);
}

const endedAs = async (): Promise<string | undefined> =>
  /daypass_calls_total\{.*outcome="([^"]+)".*\} 1/.exec(await registry.metrics())?.[1];

/** A large whole answer, in its parts. */
const META = { moderation: { input: 'off', output: 'off' }, queueMs: 1, costNano: '5' } as const;
const BODY = Buffer.from(`{"data":"${'x'.repeat(9_000_000)}"}`);
const FRAME_BYTES = 524_288;
const open = {
  type: 'open',
  status: 200,
  contentType: 'application/json',
  headers: {},
  bytes: BODY.length,
  meta: META,
} as const;
const frames = Array.from({ length: Math.floor(BODY.length / FRAME_BYTES) }, (_, n) =>
  BODY.subarray(n * FRAME_BYTES, (n + 1) * FRAME_BYTES),
);
const last = BODY.subarray(frames.length * FRAME_BYTES);
const end = { type: 'end', frames: frames.length, last: last.toString('base64') } as const;

/** A visitor whose call runs at a worker, which is the test. */
async function runningWhole(): Promise<{ requestId: string; answer: Promise<Response> }> {
  const answer = fetch(`${await app.getUrl()}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }], max_tokens: 20 }),
  });
  answer.catch(() => undefined);
  await until('the call is admitted', async () => (await money.redis.zcard(redisKeys.leases)) === 1);
  const [requestId] = await money.redis.zrange(redisKeys.leases, 0, 0);
  expect((await money.start(requestId!)).code).toBe('started');
  return { requestId: requestId!, answer };
}
async function frame(requestId: string, n: number, bytes: Buffer): Promise<string> {
  const replyTo = (await money.redis.hget(redisKeys.hold(requestId), 'reply_to'))!;
  const sealed = new ContentBox(config.secrets.contentKey).seal(bytes, sealOfFrame(requestId, n));
  return (await money.redis.xadd(redisKeys.reply(replyTo), '*', 'id', requestId, 'n', n, 'frame', sealed))!;
}

describe('a visitor who hangs up in mid-stream', () => {
  it('is said to have left, and no more when the worker has ended the call', async () => {
    const { requestId, visitor } = await runningStream(FRAME);
    visitor.destroy();
    await until('the leaving is said', () => said.length > 0);
    await money.end(requestId, 'post', { costNano: 5n });
    const before = said.length;
    await sleep(2 * QUIET_MS);
    // One may have been on its way.
    expect(said.length - before).toBeLessThanOrEqual(1);
    expect({ said: [...new Set(said)], as: await endedAs() }).toEqual({ said: [requestId], as: 'visitor left' });
  });

  it('is said to have left again and again until the worker has heard it', async () => {
    const { requestId, visitor } = await runningStream(FRAME);
    visitor.destroy();
    await until('the leaving is said three times', () => said.length >= 3);
    await money.end(requestId, 'post', { costNano: 5n });
    const before = said.length;
    await sleep(2 * QUIET_MS);
    expect(said.length - before).toBeLessThanOrEqual(1);
    expect(new Set(said)).toEqual(new Set([requestId]));
  });

  it('is said to have left when Redis is back', async () => {
    const { requestId, visitor } = await runningStream(FRAME);
    proxy.refuse();
    visitor.destroy();
    await until('the call has ended for the ingress', async () => (await endedAs()) === 'visitor left');
    await sleep(QUIET_MS);
    expect(said).toEqual([]);
    proxy.heal();
    await until('the leaving is said', () => said.length > 0);
    await money.end(requestId, 'post', { costNano: 5n });
    const before = said.length;
    await sleep(QUIET_MS);
    expect(said.length - before).toBeLessThanOrEqual(1);
    expect(new Set(said)).toEqual(new Set([requestId]));
  });
});

describe('a visitor who hangs up after the last frame', () => {
  it('has everything, and did not leave', async () => {
    const { requestId, visitor } = await runningStream(LAST_FRAME, true);
    visitor.destroy();
    await until('the call has ended for the ingress', async () => (await endedAs()) !== undefined);
    await sleep(QUIET_MS);
    expect({ said, as: await endedAs() }).toEqual({ said: [], as: 'ok' });
    await money.end(requestId, 'post', { costNano: 5n });
  });
});

describe('a large whole answer', () => {
  it('is shown whole, with its length and its cost, and its frames leave Redis at once', async () => {
    const { requestId, answer } = await runningWhole();
    const replyTo = (await money.redis.hget(redisKeys.hold(requestId), 'reply_to'))!;
    await reply(requestId, open);
    let id = '';
    for (const [n, bytes] of frames.entries()) id = await frame(requestId, n, bytes);
    await until(
      'it says that it has read them',
      async () => (await money.redis.get(redisKeys.replyRead(replyTo))) === id,
    );
    await until('they are gone', async () => (await money.redis.xlen(redisKeys.reply(replyTo))) <= 1);
    await money.end(requestId, 'post', { costNano: 5n });
    await reply(requestId, end);
    const response = await answer;
    expect(response.headers.get('content-length')).toBe(String(BODY.length));
    expect(response.headers.get('x-daypass-cost-usd')).toBe('0.000000005');
    expect(Buffer.from(await response.arrayBuffer()).equals(BODY)).toBe(true);
    await until('the call has ended for the ingress', async () => (await endedAs()) === 'ok');
    expect(said).not.toContain(requestId);
  });

  it.each<[string, (requestId: string) => Promise<unknown>]>([
    ['a frame of it is lost', (id) => frame(id, 2, frames[2]!)],
    ['its worker has died', (id) => reply(id, errorAnswer(new DaypassError('upstream_outcome_unknown', 'It died.')))],
    ['its worker gave it up', (id) => reply(id, { type: 'end', frames: 1 })],
    ['its end is not whole', (id) => reply(id, { ...end, frames: 1 })],
  ])('breaks off where %s: no visitor takes a part for the whole', async (_, breaks) => {
    const { requestId, answer } = await runningWhole();
    await reply(requestId, open);
    await frame(requestId, 0, frames[0]!);
    const response = await answer;
    expect(response.status).toBe(200);
    await breaks(requestId);
    await expect(response.arrayBuffer()).rejects.toThrow();
    await until('the call has ended for the ingress', async () => (await endedAs()) === 'upstream_outcome_unknown');
    await money.end(requestId, 'post', { costNano: 5n });
  });
});

describe('a whole answer that comes while it is made', () => {
  const opening = { type: 'open', status: 200, contentType: 'audio/mpeg', headers: {}, meta: META } as const;
  /** A visitor who has the first bytes of it. */
  async function runningFlow() {
    const { requestId, answer } = await runningWhole();
    await reply(requestId, opening);
    await frame(requestId, 0, Buffer.from('first '));
    const response = await answer;
    const reader = response.body!.getReader();
    const { value } = await reader.read();
    expect(Buffer.from(value!).toString()).toBe('first ');
    return { requestId, response, reader };
  }

  it('is shown as it comes, whatever the writer repeats, and ends with the end of its call', async () => {
    const { requestId, response, reader } = await runningFlow();
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'audio/mpeg']);
    for (const name of ['content-length', 'x-accel-buffering'])
      expect(response.headers.get(name)).toBe(name === 'content-length' ? null : 'no');
    await reply(requestId, opening);
    await frame(requestId, 0, Buffer.from('first '));
    await frame(requestId, 1, Buffer.from('last'));
    expect(Buffer.from((await reader.read()).value!).toString()).toBe('last');
    await money.end(requestId, 'post', { costNano: 5n });
    await reply(requestId, { type: 'end', frames: 2, whole: true });
    expect((await reader.read()).done).toBe(true);
    expect(await endedAs()).toBe('ok');
  });

  it.each<[string, string, (requestId: string) => Promise<unknown>]>([
    ['the upstream cut it', 'stream_error', (id) => reply(id, { type: 'end', frames: 1 })],
    ['a frame of it is lost', 'upstream_outcome_unknown', (id) => frame(id, 2, Buffer.from('last'))],
    ['its end counts others', 'upstream_outcome_unknown', (id) => reply(id, { type: 'end', frames: 2, whole: true })],
    [
      'its worker has died',
      'upstream_outcome_unknown',
      (id) => reply(id, errorAnswer(new DaypassError('upstream_outcome_unknown', 'It died.'))),
    ],
  ])('breaks off where %s', async (_, outcome, breaks) => {
    const { requestId, reader } = await runningFlow();
    await breaks(requestId);
    await expect(reader.read()).rejects.toThrow();
    await until('the call has ended for the ingress', async () => (await endedAs()) === outcome);
    await money.end(requestId, 'post', { costNano: 5n });
  });

  it('has a visitor who left', async () => {
    const { requestId, reader } = await runningFlow();
    await reader.cancel();
    await until('the leaving is said', () => said.includes(requestId));
    await money.end(requestId, 'post', { costNano: 5n });
  });
});

describe('an answer whose head Redis lost', () => {
  it.each<[string, Reply[]]>([
    [
      'in frames',
      [
        { type: 'frames', n: 0, text: LAST_FRAME },
        { type: 'end', frames: 1 },
      ],
    ],
    ['with its end', [{ type: 'end', frames: 0, text: LAST_FRAME, whole: true }]],
  ])('has another head where it is a stream that comes %s', async (_, replies) => {
    const { requestId, responded } = await askedStream();
    for (const one of replies) await reply(requestId, one);
    const [visitor] = (await responded) as [IncomingMessage];
    expect(visitor.statusCode).toBe(200);
    expect(visitor.headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'x-request-id': requestId,
      'x-daypass-moderation': 'input=off; output=off',
    });
    expect(Buffer.concat(await visitor.toArray()).toString()).toBe(LAST_FRAME);
    await money.end(requestId, 'post', { costNano: 5n });
  });

  it.each([
    ['with its first bytes', false],
    ['at its end', true],
  ])('is an error where it is a large whole one, which shows %s', async (_, onlyEnd) => {
    const { requestId, answer } = await runningWhole();
    if (!onlyEnd) await frame(requestId, 0, frames[0]!);
    else await reply(requestId, { type: 'end', frames: 0, last: last.toString('base64') });
    const response = await answer;
    expect([response.status, await response.json()]).toMatchObject([
      502,
      { error: { code: 'upstream_outcome_unknown' } },
    ]);
    await money.end(requestId, 'post', { costNano: 5n });
  });
});

describe('the last frames of a stream, which come with its end', () => {
  it.each([
    ['ok', 'all of the answer is there', { whole: true }],
    ['stream_error', 'they stand for what was to come', {}],
  ])('are counted as %s where %s', async (outcome, _, more) => {
    const { requestId, visitor } = await runningStream(FRAME);
    const rest: Buffer[] = [];
    visitor.on('data', (part: Buffer) => rest.push(part));
    const ended = once(visitor, 'end');
    await reply(requestId, { type: 'end', frames: 1, text: LAST_FRAME, ...more });
    await ended;
    expect(Buffer.concat(rest).toString()).toBe(LAST_FRAME);
    expect(await endedAs()).toBe(outcome);
    await money.end(requestId, 'post', { costNano: 5n });
    expect(said).not.toContain(requestId);
  });
});
