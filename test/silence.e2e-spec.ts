import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { shareDaypass, startDaypass, type Daypass, type SharedDaypass } from '#libs/testing/daypass.js';
import { booksAtRest, errorOf } from './at-rest.js';
import { UpstreamHands } from './upstream-hands.js';

const model = 'gpt-5.4-mini';
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Say hello' }];
const SILENCE_MS = 400;
/** The proxy cuts a connection that has been silent for this long. */
const CUT_MS = 3_000;
/** The upstream is silent for longer, before the first token and between tokens. */
const THINKING_MS = 5_000;
const BETWEEN_MS = 4_000;
const SLOW = { content: 'one', firstTokenMs: THINKING_MS, tokensPerSecond: 1_000 / BETWEEN_MS };

/** Cuts a connection whose server says nothing, as proxies on the way do. */
class ImpatientProxy {
  private constructor(private readonly server: Server) {}

  static async start(target: number): Promise<ImpatientProxy> {
    const server = createServer((client) => {
      const upstream = connect(target, '127.0.0.1');
      const timer = setTimeout(() => client.destroy(), CUT_MS);
      client.on('data', () => timer.refresh()).pipe(upstream);
      upstream.on('data', () => timer.refresh()).pipe(client);
      for (const [one, other] of [
        [client, upstream],
        [upstream, client],
      ] as const)
        one
          .on('error', () => undefined)
          .on('close', () => {
            clearTimeout(timer);
            other.destroy();
          });
    });
    const proxy = new ImpatientProxy(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  stop(): void {
    this.server.close();
  }
}

interface Seen {
  status: number;
  headers: Headers;
  /** The stream's parts, each a comment or an event. */
  parts: string[];
}

async function streamOf(baseUrl: string, key: string, headers: Record<string, string> = {}): Promise<Seen> {
  const answer = await fetch(`${baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model, messages, stream: true, max_tokens: 100 }),
  });
  const parts = (await answer.text()).split('\n\n').filter(Boolean);
  return { status: answer.status, headers: answer.headers, parts };
}

const isComment = (part: string): boolean => part.startsWith(':');

describe('a stream whose upstream is silent for longer than proxies wait', () => {
  let daypass: Daypass;
  let proxy: ImpatientProxy;
  beforeAll(async () => {
    daypass = await startDaypass({ env: { DAYPASS_SILENCE_MS: String(SILENCE_MS) } });
    proxy = await ImpatientProxy.start(Number(new URL(daypass.baseUrl).port));
  });
  afterEach(() => daypass.rehearsal.reset());
  afterAll(async () => {
    proxy?.stop();
    await daypass?.stop();
  });
  const throughProxy = (): string => `http://127.0.0.1:${proxy.port}/v1`;

  it('is read through by the official client, in every mode, for its comments', async () => {
    daypass.rehearsal.onChat = () => SLOW;
    const quiet = await daypass.createKey({ campaign: { moderation: { input: 'off', output: 'off' } } });
    const reading = streamOf(throughProxy(), quiet.key);
    const modes = [
      ...['off', 'gate', 'window', 'trail', 'observe'].map((output) => ({ input: 'off', output })),
      { input: 'parallel', output: 'trail' },
    ];
    const texts = await Promise.all(
      modes.map(async (moderation) => {
        const { key } = await daypass.createKey({ campaign: { moderation } });
        const client = new OpenAI({ apiKey: key, baseURL: throughProxy(), maxRetries: 0 });
        let text = '';
        for await (const chunk of await client.chat.completions.create({ model, messages, stream: true }))
          text += chunk.choices[0]?.delta.content ?? '';
        return text;
      }),
    );
    expect(texts).toEqual(modes.map(() => 'one'));
    const { status, headers, parts } = await reading;
    expect(status).toBe(200);
    expect(headers.get('x-accel-buffering')).toBe('no');
    expect(headers.get('cache-control')).toBe('no-cache');
    expect(headers.get('x-request-id')).toMatch(/^req_/);
    expect(headers.get('x-daypass-moderation')).toBe('input=off; output=off');
    const said = parts.findIndex((part) => part.includes('"one"'));
    const first = parts.findIndex((part) => !isComment(part));
    expect(first).toBeGreaterThanOrEqual(3);
    expect(parts.slice(first, said).filter(isComment).length).toBeGreaterThanOrEqual(3);
    expect(parts.slice(said).filter(isComment).length).toBeGreaterThanOrEqual(3);
    expect(parts.at(-1)).toBe('data: [DONE]');
  });

  it('gets comments while a verdict holds its frames back', async () => {
    daypass.rehearsal.onModeration = async () => {
      await sleep(THINKING_MS);
      return undefined;
    };
    const { key } = await daypass.createKey({ campaign: { moderation: { input: 'off', output: 'gate' } } });
    const { parts } = await streamOf(throughProxy(), key);
    expect(parts.findIndex((part) => !isComment(part))).toBeGreaterThanOrEqual(3);
    expect(parts.at(-1)).toBe('data: [DONE]');
  });

  it('tells an error in the stream once its head is out', async () => {
    daypass.rehearsal.onChat = async () => {
      await sleep(4 * SILENCE_MS);
      return { refuse: { status: 400, error: { message: 'No such thing.', type: 'invalid_request_error' } } };
    };
    const { key } = await daypass.createKey();
    const { status, parts } = await streamOf(throughProxy(), key);
    expect(status).toBe(200);
    expect(isComment(parts[0]!)).toBe(true);
    expect(JSON.parse(parts.at(-1)!.slice('data: '.length))).toMatchObject({ error: { message: 'No such thing.' } });
    const client = new OpenAI({ apiKey: key, baseURL: throughProxy(), maxRetries: 0 });
    const read = async (): Promise<void> => {
      for await (const _ of await client.chat.completions.create({ model, messages, stream: true }));
    };
    expect(await errorOf(read())).toMatchObject({ message: 'No such thing.' });
  });

  it('gets comments while it waits for money, and then the refusal', async () => {
    const hands = new UpstreamHands(daypass);
    const poor = await daypass.createKey({ key: { budget_usd: '0.000001' } });
    const { error } = JSON.parse((await streamOf(daypass.baseUrl, poor.key)).parts.join(''));
    const { key } = await daypass.createKey({ key: { budget_usd: error.daypass.needed_usd } });
    const running = streamOf(throughProxy(), key);
    await hands.came(1);
    const waiting = streamOf(throughProxy(), key, { 'x-daypass-max-wait-ms': String(THINKING_MS) });
    const { status, headers, parts } = await waiting;
    hands.endAll(1);
    await running;
    expect(status).toBe(200);
    expect(headers.get('x-request-id')).toMatch(/^req_/);
    expect(parts.filter(isComment).length).toBeGreaterThanOrEqual(3);
    expect(JSON.parse(parts.at(-1)!.slice('data: '.length))).toMatchObject({ error: { code: 'insufficient_quota' } });
  });

  it('has no comment in an answer in one piece', async () => {
    daypass.rehearsal.onChat = async () => {
      await sleep(4 * SILENCE_MS);
      return { content: 'one' };
    };
    const { key } = await daypass.createKey();
    const client = new OpenAI({ apiKey: key, baseURL: throughProxy(), maxRetries: 0 });
    const { data, response } = await client.chat.completions.create({ model, messages }).withResponse();
    expect(data.choices[0]?.message.content).toBe('one');
    expect(response.headers.get('x-accel-buffering')).toBeNull();
    await booksAtRest(daypass);
  });
});

describe('a stream that fails before it was silent for too long', () => {
  let daypass: SharedDaypass;
  beforeAll(async () => {
    daypass = await shareDaypass();
  });
  afterAll(() => daypass?.stop());

  it('is answered with the status of its error', async () => {
    daypass.rehearsal.onChat = async () => {
      await sleep(1_000);
      return { refuse: { status: 400, error: { message: 'No such thing.', type: 'invalid_request_error' } } };
    };
    const { key } = await daypass.createKey();
    const { status, parts } = await streamOf(daypass.baseUrl, key);
    expect(status).toBe(400);
    expect(JSON.parse(parts.join(''))).toMatchObject({ error: { message: 'No such thing.' } });
  });
});
