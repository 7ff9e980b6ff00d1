import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import OpenAI from 'openai';
import { readBody, writtenBody } from '#libs/endpoints/body.js';
import type { Endpoint } from '#libs/endpoints/endpoint.js';
import { CHAT } from '#libs/endpoints/chat/chat.endpoint.js';
import { RESPONSES } from '#libs/endpoints/responses/responses.endpoint.js';
import type { ContentBox } from '#libs/secrets/content-box.js';
import { createLogger, type Logger } from './logger.js';
import { moderationEndpoint } from './moderation.endpoint.js';
import { plainFetch } from './plain-fetch.js';

/** A start takes this much longer at most. */
const BUDGET_MS = 1_500;
/** After so many rounds V8 has compiled what it calls often; more rounds save little (measured). */
const ROUNDS_MAX = 150;
/** Pieces of work of one round that run at the same time, as calls do. */
const AT_ONCE = 4;
const ID = 'warm-up';
const MODEL = 'gpt-5.4-mini';
const TEXT = 'Somebody asks a question of about twenty words, and somebody else answers it in as many words. ';
const FORCED = { serviceTier: 'default', safetyIdentifier: ID, cacheKey: ID };
const UPSTREAM = { kind: 'openai', drops: [], tag: '' } as const;

/** Does once what a call does. It changes nothing outside of this process. */
export type WarmWork = () => unknown;

/**
 * Runs what calls run, before the first one comes. Without it the first 500 calls of a process cost two to three times
 * as much as later ones, because V8 compiles a function only when it is called often. It takes `budgetMs` at most, and
 * never stops a start.
 */
export async function warmUp(works: readonly WarmWork[], logger: Logger, budgetMs = BUDGET_MS): Promise<void> {
  const untilMs = performance.now() + budgetMs;
  const over = new AbortController();
  const late = sleep(budgetMs, undefined, { signal: over.signal }).catch(() => undefined);
  const rounds = async (): Promise<void> => {
    for (let round = 0; round < ROUNDS_MAX && performance.now() < untilMs; round++) {
      await Promise.all(works.flatMap((work) => Array.from({ length: AT_ONCE }, work)));
      // Who asks for the process' health gets an answer in between.
      await turn();
    }
  };
  try {
    await Promise.race([rounds(), late]);
  } catch (error) {
    logger.warn({ err: error }, 'the process could not warm itself up: its first calls take longer');
  } finally {
    over.abort();
  }
}

/** As `warmUp`, for a process that asks upstreams too. */
export async function warmUpWorker(works: readonly WarmWork[], logger: Logger, budgetMs = BUDGET_MS): Promise<void> {
  let upstream: LoopbackUpstream | undefined;
  try {
    upstream = await loopbackUpstream();
  } catch (error) {
    logger.warn({ err: error }, 'the process could not warm up its clients: its first calls take longer');
  }
  await warmUp([...works, ...(upstream ? [upstream.ask, upstream.judge] : [])], logger, budgetMs);
  upstream?.close();
}

/** Reading, sealing, judging and forwarding of one question to each API whose answers are text, and reading its answer. */
export function endpointWork(box: ContentBox): WarmWork {
  const all = [CHAT, RESPONSES].map((endpoint) => ({
    endpoint,
    asked: JSON.stringify(endpoint.sample(MODEL, TEXT)),
    answer: Buffer.from(JSON.stringify(answerOf(endpoint))),
  }));
  return () => {
    for (const { endpoint, asked, answer } of all) {
      const request = endpoint.parse({ json: JSON.parse(asked) as never, blobs: [] });
      const sealed = box.seal(writtenBody(endpoint.forwarded(request, FORCED)), ID);
      const body = readBody(box.open(sealed, ID));
      endpoint.input(body);
      endpoint.call(body, { capTokens: 99, facts: request.facts }, UPSTREAM);
      const { model, outputs, facts } = request;
      const whole = endpoint
        .reader({ requestId: ID, model, outputs, facts }, { sent: body.json, tag: '' })
        .whole(answer, 'application/json');
      const shown = whole.shown([]);
      if (typeof shown?.body === 'string') box.open(box.seal(shown.body, ID), ID);
    }
  };
}

/** Commands that only read, so that their way to Redis and back is warm. */
export function redisWork(redis: Redis): WarmWork {
  const text = TEXT.repeat(5);
  return () => Promise.all([redis.ping(text), redis.pingBuffer(text)]);
}

/** Lines that nobody gets. */
export function logWork(): WarmWork {
  const nowhere = createLogger(ID, 'info', { write: () => undefined });
  return () => nowhere.info({ requestId: ID, keyId: ID, model: MODEL, stream: false, ms: 1 }, 'warm-up');
}

export interface LoopbackUpstream {
  ask: WarmWork;
  judge: WarmWork;
  close: () => void;
}

/** An upstream on loopback, which this process alone asks, by the clients that it uses for calls and for verdicts. */
export async function loopbackUpstream(): Promise<LoopbackUpstream> {
  const answers = {
    '/v1/chat/completions': JSON.stringify(answerOf(CHAT)),
    '/v1/moderations': JSON.stringify({
      id: ID,
      model: ID,
      results: [{ flagged: false, categories: {}, category_scores: {} }],
    }),
  };
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      const text = answers[request.url as keyof typeof answers];
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
      response.end(text);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const client = new OpenAI({
    apiKey: ID,
    baseURL,
    organization: null,
    project: null,
    maxRetries: 0,
    fetch: plainFetch(),
  });
  const judge = moderationEndpoint(client);
  return {
    ask: async () => (await client.chat.completions.create(CHAT.sample(MODEL, TEXT) as never).asResponse()).text(),
    judge: () => judge({ model: ID, input: [TEXT] }, BUDGET_MS),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** An answer as the API gives it. */
function answerOf(endpoint: Endpoint): object {
  if (endpoint === CHAT)
    return {
      id: ID,
      object: 'chat.completion',
      created: 0,
      model: MODEL,
      choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: TEXT } }],
      usage: { prompt_tokens: 20, completion_tokens: 20, total_tokens: 40 },
    };
  return {
    id: ID,
    object: 'response',
    created_at: 0,
    status: 'completed',
    error: null,
    incomplete_details: null,
    model: MODEL,
    output: [
      {
        id: ID,
        type: 'message',
        role: 'assistant',
        status: 'completed',
        content: [{ type: 'output_text', text: TEXT, annotations: [], logprobs: [] }],
      },
    ],
    usage: {
      input_tokens: 20,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: 20,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 40,
    },
  };
}
