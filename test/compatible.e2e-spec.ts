import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { startDaypass, type Daypass } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-nano';
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Say hello' }];
type Sent = Record<string, unknown>;

/** A server with the same API that knows few parameters, refuses others as FastAPI does, and compresses unasked. */
class StrictServer {
  readonly sent: Sent[] = [];
  /** What it answers instead; undefined: a completion. */
  instead: ((body: Sent) => { status: number; type: string; body: string } | undefined) | undefined;
  /** Headers of its answers. */
  headers: Record<string, string> = {};
  private readonly server: Server;
  private readonly known = new Set(['model', 'messages', 'max_tokens', 'stream', 'temperature', 'stop']);

  constructor() {
    this.server = createServer((request, response) => {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => pieces.push(piece));
      request.on('end', () => this.answer(JSON.parse(Buffer.concat(pieces).toString()) as Sent, response));
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1`;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private answer(body: Sent, response: ServerResponse): void {
    this.sent.push(body);
    const detail = Object.keys(body)
      .filter((name) => !this.known.has(name))
      .map((name) => ({ type: 'extra_forbidden', loc: ['body', name], msg: 'Extra inputs are not permitted' }));
    const instead = this.instead?.(body);
    if (instead) return this.send(response, instead.status, instead.type, instead.body);
    if (detail.length > 0) return this.send(response, 422, 'application/json', JSON.stringify({ detail }));
    const head = { id: 'cmpl-1', created: 1, model: body.model };
    const text = 'Hello from the strict one.';
    if (body.stream !== true) {
      const choices = [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }];
      const usage = { prompt_tokens: 9, completion_tokens: 6, total_tokens: 15 };
      const answer = { ...head, object: 'chat.completion', choices, usage };
      return this.send(response, 200, 'application/json', JSON.stringify(answer));
    }
    const chunks = [...text.split(/(?= )/).map((content) => [{ content }, null] as const), [{}, 'stop'] as const].map(
      ([delta, finish_reason]) => ({
        ...head,
        object: 'chat.completion.chunk',
        choices: [{ index: 0, delta, finish_reason }],
      }),
    );
    const frames = chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join('');
    this.send(response, 200, 'text/event-stream', `${frames}data: [DONE]\n\n`);
  }

  private send(response: ServerResponse, status: number, type: string, body: string): void {
    response.writeHead(status, { 'content-type': type, 'content-encoding': 'gzip', ...this.headers });
    response.end(gzipSync(body));
  }
}

describe('a compatible upstream that is strict, and compresses unasked', () => {
  const server = new StrictServer();
  let daypass: Daypass;
  let client: OpenAI;
  const lane = async () =>
    (await daypass.admin('/admin/v1/lanes')).body.data.find((one: { lane: string }) => one.lane === 'own');
  const ask = (more: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming> = {}) =>
    client.chat.completions.create({ model, messages, ...more }).withResponse();

  beforeAll(async () => {
    const base_url = await server.start();
    daypass = await startDaypass({
      config: {
        lanes: { own: { elsewhere_only: true, models: [model] } },
        upstreams: [{ name: 'local', base_url, keyless: true, lanes: { own: {} }, drops: ['safety_identifier'] }],
      },
    });
    const key = await daypass.createKey({ campaign: { moderation: { input: 'off', output: 'off' } } });
    client = new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 0 });
  });
  afterAll(async () => {
    server.stop();
    await daypass?.stop();
  });
  beforeEach(() => {
    server.sent.length = 0;
    server.instead = undefined;
    server.headers = {};
  });

  it('is asked again once without what it does not know and nobody needs, and never again with it', async () => {
    const before = (await lane()).requests.used;
    const { data, response } = await ask({ prompt_cache_key: 'mine', max_completion_tokens: 50 });
    expect(data.choices[0]?.message.content).toBe('Hello from the strict one.');
    expect(server.sent).toHaveLength(2);
    expect(server.sent[0]).toMatchObject({ store: false, service_tier: 'default', max_completion_tokens: 50 });
    expect(server.sent[0]).not.toHaveProperty('safety_identifier');
    expect(server.sent[1]).toEqual({ model, messages, max_tokens: 50 });
    expect(response.headers.get('x-daypass-adjusted')).toBe('prompt_cache_key');
    expect(response.headers.get('content-encoding')).toBeNull();
    // The upstream counts both.
    expect((await lane()).requests.used - before).toBe(2);
    expect(daypass.logs('forwarding')).toMatch(/does not know these parameters/);

    const { response: second } = await ask({ max_tokens: 50 });
    expect(second.headers.get('x-daypass-adjusted')).toBeNull();
    expect(server.sent).toHaveLength(3);
  });

  it('has its refusal of what the visitor chose passed on, in words', async () => {
    const error = await errorOf(ask({ seed: 7, temperature: 1 }));
    expect(error).toMatchObject({ status: 422, param: 'seed', code: 'extra_forbidden' });
    expect(error.message).toContain('seed: Extra inputs are not permitted');
    expect(error.headers?.get('x-should-retry')).toBe('false');
  });

  it('has its streams read, whose cost is counted where it tells no usage', async () => {
    const { data, response } = await client.chat.completions
      .create({ model, messages, stream: true, max_tokens: 50 })
      .withResponse();
    let text = '';
    for await (const chunk of data) text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe('Hello from the strict one.');
    const booked = (await booksAtRest(daypass)).find(
      ({ request_id }) => request_id === response.headers.get('x-request-id'),
    );
    expect(booked!.kinds).toEqual(['hold', 'post']);
    expect(booked!.paid).toBeGreaterThan(0n);
  });

  it('is shown with its plain words, without hosts and ids, and without the page of a proxy', async () => {
    server.instead = () => ({
      status: 400,
      type: 'text/plain',
      body: 'context is full at http://10.0.0.5:8000/v1 (org-A1b2C3d4E5f6G7h8)',
    });
    expect((await errorOf(ask())).message).toContain('context is full at [removed] ([removed])');
    server.instead = () => ({ status: 400, type: 'text/html', body: '<html><h1>gateway-7.internal</h1></html>' });
    const error = await errorOf(ask());
    expect(error.message).toContain('The upstream refused the request with status 400.');
    expect(JSON.stringify(error.error)).not.toContain('gateway-7');
  });

  it('is held to the limit that it told, over a restart, and another server in its place is not', async () => {
    const limit = async () => (await lane()).tokens.limit;
    server.headers = { 'x-ratelimit-limit-tokens': '20' };
    await ask({ max_tokens: 5 });
    await until('the limit is learned', async () => (await limit()) === 20);
    expect(await errorOf(ask({ max_tokens: 500 }))).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    const restart = async (): Promise<void> => {
      await daypass.services.stop('forwarding');
      await daypass.services.start('forwarding');
    };
    await restart();
    expect(await limit()).toBe(20);
    server.headers = {};
    const path = daypass.env.DAYPASS_CONFIG!;
    writeFileSync(path, readFileSync(path, 'utf8').replace('http://127.0.0.1', 'http://localhost'));
    await restart();
    await until('the limit is forgotten', async () => (await limit()) === null);
    expect((await ask({ max_tokens: 500 })).response.status).toBe(200);
  });
});
