import 'reflect-metadata';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { loadConfig } from '#libs/config/config.js';
import { MODERATION_QUEUE } from '#libs/contracts/jobs.js';
import { bullOptions } from '#libs/queues/bull.options.js';
import { redisKeys } from '#libs/redis/keys.js';
import { createLogger } from '#libs/service/logger.js';
import { createRegistry } from '#libs/service/ops-server.js';
import { borrowRedis } from '#libs/testing/borrowed.js';
import { until } from '#libs/testing/until.js';
import { BEFORE, formerTicketSchema, restoreBefore, type FormerTicket } from '#libs/testing/version-before.js';
import { createIngress } from './ingress.app.js';

const model = 'gpt-5.4-mini';
const messages = [{ role: 'user', content: 'Hi' }];

let redis: Redis;
let queue: Queue<{ calls: unknown[] }>;
let app: NestFastifyApplication;
let url: string;
beforeAll(async () => {
  const redisUrl = await borrowRedis();
  redis = new Redis(redisUrl);
  await restoreBefore(redis);
  queue = new Queue(MODERATION_QUEUE, bullOptions(redisUrl));
  const config = loadConfig('ingress', {
    OPENAI_API_KEY: 'unused',
    REDIS_URL: redisUrl,
    DAYPASS_SECRET: BEFORE.secret,
    DAYPASS_LOG_LEVEL: 'silent',
  });
  const logger = createLogger('ingress', 'silent');
  app = await createIngress(config, logger, createRegistry('ingress'));
  await app.listen(0, '127.0.0.1');
  url = `${await app.getUrl()}/v1/chat/completions`;
});
afterAll(async () => {
  await app?.close();
  await queue?.close();
  redis?.disconnect();
});

/** `left`: the visitor hangs up then. */
const post = (key: string, body: object, headers: Record<string, string> = {}, left?: AbortSignal) =>
  fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
    ...(left ? { signal: left } : {}),
  });

/** What this version writes of a call, as the version before reads it. */
async function ticketOf(key: string, body: object, written: () => Promise<unknown[]>): Promise<FormerTicket> {
  const known = (await written()).length;
  const left = new AbortController();
  const answer = post(key, body, {}, left.signal).catch(() => undefined);
  await until('the call is on its way', async () => (await written()).length > known);
  const tickets = (await written()).map((ticket) => formerTicketSchema.parse(ticket));
  left.abort();
  await answer;
  return tickets.reduce((newest, ticket) => (ticket.acceptedMs > newest.acceptedMs ? ticket : newest));
}

describe('beside the version before', () => {
  it('a repeat gets the answer that was kept', async () => {
    const { name, body, text } = BEFORE.kept;
    const response = await post(BEFORE.keys.gated, body, { 'idempotency-key': name });
    expect(response.status).toBe(200);
    expect(response.headers.get('idempotent-replayed')).toBe('true');
    expect(response.headers.get('x-request-id')).toBe(BEFORE.calls.ended);
    expect(await response.text()).toBe(text);
    const other = await post(BEFORE.keys.gated, { ...body, max_tokens: 21 }, { 'idempotency-key': name });
    expect(other.status).toBe(409);
  });

  it.each([
    ['whole', { model, messages, max_tokens: 5, n: 2 }, { stream: false, includeUsage: false, choices: 2 }],
    [
      'streamed',
      { model, messages, max_tokens: 5, stream: true, stream_options: { include_usage: true } },
      { stream: true, includeUsage: true, choices: 1 },
    ],
  ])('its services can read new calls (%s)', async (_, body, expected) => {
    const ofJobs = async () => (await queue.getWaiting()).flatMap(({ data }) => data.calls);
    expect(await ticketOf(BEFORE.keys.gated, body, ofJobs)).toMatchObject({ ...expected, capTokens: 5 });

    const ofLane = async () =>
      (await redis.mget(await redis.keys(`${redisKeys.ticketPrefix}*`))).map((text) => JSON.parse(text!) as unknown);
    expect(await ticketOf(BEFORE.keys.unjudged, body, ofLane)).toMatchObject({ ...expected, capTokens: 5 });
  });
});
