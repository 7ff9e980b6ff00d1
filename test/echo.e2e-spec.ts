import { createHmac } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { transformSync } from '@swc/core';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { loadConfig } from '#libs/config/config.js';
import { PROJECT_ROOT } from '#libs/launch/project-root.js';
import { redisKeys } from '#libs/redis/keys.js';
import { FLAGGED_PHRASE } from '#libs/rehearsal/rehearsal.moderation.js';
import { startDaypass, type Daypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'echo-1';
const chatModel = 'gpt-5.4-mini';
/** Nano-dollars a token. The price of output is absurd, so that a single output token would show. */
const INPUT_NANO = 20n;
/** As the sketch bounds its input. */
const MARGIN_TOKENS = 64n;
const PRICES = { [model]: { input_usd_per_million: 0.02, output_usd_per_million: 1_000, encoding: 'o200k_base' } };
const RETRY_MS = 400;
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Hi' }];

/** What a new API takes: one folder, and one row of the registry. */
function treeWithEcho(): { root: string; registry: { before: string[]; after: string[] } } {
  const root = mkdtempSync(join(tmpdir(), 'daypass-echo-'));
  cpSync(join(PROJECT_ROOT, 'dist'), join(root, 'dist'), { recursive: true });
  cpSync(join(PROJECT_ROOT, 'package.json'), join(root, 'package.json'));
  symlinkSync(join(PROJECT_ROOT, 'node_modules'), join(root, 'node_modules'));
  const [from, to] = [join(import.meta.dirname, 'echo'), join(root, 'dist/libs/endpoints/echo')];
  mkdirSync(to);
  for (const file of readdirSync(from)) {
    const { code } = transformSync(readFileSync(join(from, file), 'utf8'), {
      jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
      module: { type: 'es6' },
    });
    writeFileSync(join(to, file.replace(/\.ts$/, '.js')), code);
  }
  const file = join(root, 'dist/libs/endpoints/registry.js');
  const before = readFileSync(file, 'utf8');
  const after = `import { ECHO } from './echo/echo.endpoint.js';\n${before.replace(/(ENDPOINTS = \[.*)\];/, '$1, ECHO];')}`;
  writeFileSync(file, after);
  return { root, registry: { before: before.split('\n'), after: after.split('\n') } };
}

interface EchoBody {
  model: string;
  input: string | string[];
  dimensions?: number;
}

interface Told {
  status: number;
  headers?: Record<string, string>;
  body: object;
}

/** The echo API in the test's hands; everything else goes on to the rehearsal. */
class EchoUpstream {
  readonly calls: EchoBody[] = [];
  /** What the next calls are told in place of an echo. */
  readonly told: Told[] = [];
  rehearsalUrl = '';

  private constructor(private readonly server: Server) {}

  static async start(): Promise<EchoUpstream> {
    const server = createServer((request, response) => {
      if (request.url === '/v1/echo') void upstream.echo(request, response);
      else upstream.passOn(request, response);
    });
    const upstream = new EchoUpstream(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return upstream;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1`;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private async echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString()) as EchoBody;
    this.calls.push(body);
    const { status, headers, body: answer } = this.told.shift() ?? { status: 200, body: echoOf(body) };
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(answer));
  }

  private passOn(request: IncomingMessage, response: ServerResponse): void {
    const { method, headers, url } = request;
    const onwards = httpRequest(new URL(url!, this.rehearsalUrl), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    onwards.on('error', () => response.destroy());
    request.pipe(onwards);
  }
}

const textsOf = ({ input }: EchoBody): string[] => [input].flat();
const wordsOf = (body: EchoBody): number => textsOf(body).join(' ').split(/\s+/).length;
/** The lengths of the texts, as a promise of the API's: numbers, and nothing to read. */
const echoOf = (body: EchoBody) => ({
  object: 'echo',
  data: textsOf(body).map(({ length }) => length),
  usage: { prompt_tokens: wordsOf(body) },
});

/** Everything that comes into a stream of Redis from now on, before its reader takes it away. */
async function listenTo(redis: Redis, key: string, entries: Record<string, string>[]): Promise<void> {
  for (let lastId = '$'; ;) {
    const read = (await redis.xread('BLOCK', 0, 'STREAMS', key, lastId).catch(() => null)) as
      [string, [string, string[]][]][] | null;
    if (read === null) return;
    for (const [id, flat] of read[0]![1]) {
      lastId = id;
      entries.push(Object.fromEntries(flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1]!]] : []))));
    }
  }
}

describe('an API of one folder and one row', () => {
  const tree = treeWithEcho();
  const journal: Record<string, string>[] = [];
  const record: Record<string, string>[] = [];
  const listening: Redis[] = [];
  let redis: Redis;
  let upstream: EchoUpstream;
  let daypass: Daypass;
  let key: TestKey;
  let chat: OpenAI;

  const post = async (body: object, headers: Record<string, string> = {}, path = '/echo') => {
    const response = await fetch(`${daypass.baseUrl}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    return {
      status: response.status,
      id: response.headers.get('x-request-id')!,
      header: (name: string): string | null => response.headers.get(name),
      body: (await response.json()) as Record<string, unknown> & { error?: Record<string, unknown> },
    };
  };
  const spentNano = async (): Promise<bigint> =>
    BigInt(Math.round(Number((await daypass.admin(`/admin/v1/keys/${key.id}`)).body.spent_usd) * 1e9));
  const paidFor = async (requestId: string) =>
    (await booksAtRest(daypass)).find((call) => call.request_id === requestId);

  beforeAll(async () => {
    upstream = await EchoUpstream.start();
    daypass = await startDaypass({ root: tree.root, upstream: { url: upstream.url }, config: { prices: PRICES } });
    upstream.rehearsalUrl = daypass.rehearsal.url;
    redis = new Redis(daypass.redisUrl);
    for (const [name, entries] of [
      [redisKeys.journal, journal],
      [redisKeys.audit, record],
    ] as const) {
      const blocked = redis.duplicate();
      listening.push(blocked);
      void listenTo(blocked, name, entries);
    }
    key = await daypass.createKey({ campaign: { models: [model, chatModel] } });
    chat = new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 0 });
  });
  afterAll(async () => {
    for (const one of [...listening, redis]) one?.disconnect();
    await daypass?.stop();
    upstream?.stop();
    rmSync(tree.root, { recursive: true, force: true });
  });
  beforeEach(() => {
    upstream.calls.length = 0;
    upstream.told.length = 0;
    daypass.rehearsal.reset();
  });

  it('changes one line of the registry, and imports it in another', () => {
    const { before, after } = tree.registry;
    const changed = after.slice(1).filter((line, index) => line !== before[index]);
    expect(after).toHaveLength(before.length + 1);
    expect(changed).toEqual([expect.stringMatching(/^export const ENDPOINTS = \[CHAT, .*ECHO\];$/)]);
  });

  it("answers with the upstream's answer, and costs its input alone", async () => {
    const before = await spentNano();
    const body: EchoBody = { model, input: ['one two three', 'four'], dimensions: 8 };
    const { status, id, header, body: answer } = await post(body, { 'x-daypass-moderate-output': 'true' });
    expect({ status, answer }).toEqual({ status: 200, answer: echoOf(body) });
    expect(upstream.calls).toEqual([{ ...body, user: expect.any(String) }]);
    expect(header('x-daypass-moderation')).toBe('input=pass; output=off');
    expect(daypass.rehearsal.moderationCalls().map(({ body: judged }) => judged.input)).toEqual([
      ['one two three\nfour'],
    ]);
    expect(header('x-daypass-output-cap')).toBeNull();

    // Its input with a margin, whatever it may answer.
    await until('the hold is in the journal', () => journal.some(({ request }) => request === id));
    expect(journal.find(({ request }) => request === id)).toMatchObject({
      kind: 'hold',
      amount: ((4n + MARGIN_TOKENS) * INPUT_NANO).toString(),
    });
    expect(await redis.hget(redisKeys.hold(id), 'cap')).toBe('0');

    const costNano = 4n * INPUT_NANO;
    expect(Number(header('x-daypass-cost-usd'))).toBeCloseTo(Number(costNano) / 1e9, 12);
    expect(await paidFor(id)).toMatchObject({ kinds: ['hold', 'post'], paid: costNano });
    expect((await spentNano()) - before).toBe(costNano);
  });

  it('stands by its name in the journal and in the record', async () => {
    const { id } = await post({ model, input: 'who asks?' });
    const { id: chatId } = await post({ model: chatModel, messages }, {}, '/chat/completions');
    const asked = (of: string) =>
      record.map(({ event }) => JSON.parse(event!) as Record<string, unknown>).find((event) => event.id === of);
    const held = (of: string) => journal.find(({ kind, request }) => kind === 'hold' && request === of);
    await until('both are in the streams', () => [id, chatId].every((of) => asked(of) && held(of)));
    expect(asked(id)).toMatchObject({ kind: 'request', endpoint: 'echo', model });
    expect(JSON.parse(held(id)!.detail!)).toMatchObject({ endpoint: 'echo', model });
    // As the version before wrote them.
    expect(asked(chatId)).not.toHaveProperty('endpoint');
    expect(JSON.parse(held(chatId)!.detail!)).not.toHaveProperty('endpoint');

    await booksAtRest(daypass);
    const { body: transfers } = await daypass.admin(`/admin/v1/keys/${key.id}/transfers?limit=100`);
    const booked = (transfers.data as { request_id: string; kind: string; detail: object }[]).find(
      ({ request_id, kind }) => request_id === id && kind === 'hold',
    );
    expect(booked!.detail).toMatchObject({ endpoint: 'echo' });
    const kept = async (of: string) => (await daypass.admin(`/admin/v1/requests/${of}`)).body;
    expect(await kept(id)).toMatchObject({ endpoint: 'echo', model, asked: { input: 'who asks?' } });
    expect(await kept(chatId)).toMatchObject({ endpoint: 'chat.completions', model: chatModel });
    expect((await daypass.admin('/admin/v1/audit/verify')).body).toMatchObject({ ok: true, problems: [] });
  });

  it('has its input judged, every text of it', async () => {
    const { status, body, id } = await post({ model, input: ['harmless', `and ${FLAGGED_PHRASE}`] });
    expect({ status, error: body.error }).toMatchObject({
      status: 400,
      error: { code: 'moderation_blocked', param: 'input' },
    });
    expect(upstream.calls).toEqual([]);
    expect(await paidFor(id)).toMatchObject({ kinds: ['hold', 'void'], paid: 0n });
  });

  it.each([
    ['unknown_parameter', 'messages', { messages }],
    ['unknown_parameter', 'stream', { stream: true }],
    ['invalid_request', 'dimensions', { dimensions: 1.5 }],
    ['invalid_request', 'input', { input: [] }],
  ])('refuses by name what it does not declare (%s: %s)', async (code, param, more) => {
    const { status, body } = await post({ model, input: 'Hi', ...more });
    expect({ status, error: body.error }).toMatchObject({ status: 400, error: { code, param } });
    expect(upstream.calls).toEqual([]);
  });

  it('holds what its input costs at most, and is never clamped', async () => {
    const poor = await daypass.createKey({ campaign: key.campaign, key: { budget_usd: '0.000001' } });
    const { status, body } = await post({ model, input: 'too dear' }, { authorization: `Bearer ${poor.key}` });
    expect({ status, error: body.error }).toMatchObject({ status: 429, error: { code: 'insufficient_quota' } });
    expect(upstream.calls).toEqual([]);
  });

  it('answers a repeat once more, and never under another path', async () => {
    const headers = { 'idempotency-key': 'echoed' };
    const body = { model, input: 'say it again' };
    const first = await post(body, headers);
    const again = await post(body, headers);
    expect(again).toMatchObject({ status: 200, id: first.id, body: first.body });
    expect(again.header('idempotent-replayed')).toBe('true');
    expect(upstream.calls).toHaveLength(1);
    const sameBody = await post(body, headers, '/chat/completions');
    expect(sameBody).toMatchObject({ status: 400, body: { error: { code: 'unknown_parameter', param: 'input' } } });
    const sameName = await post({ model: chatModel, messages }, headers, '/chat/completions');
    expect(sameName).toMatchObject({ status: 409, body: { error: { param: 'idempotency-key' } } });

    // No body is right for both paths, so that only what is kept can tell that the path is part of it.
    const [kept] = await redis.keys(redisKeys.idempotency(key.id, '*'));
    const asked = { endpoint: 'echo', body, wish: { input: false, output: false } };
    const { idempotencyPepper } = loadConfig('ingress', daypass.env).secrets;
    const fingerprint = createHmac('sha256', idempotencyPepper).update(JSON.stringify(asked)).digest('base64url');
    expect(await redis.hget(kept!, 'fingerprint')).toBe(fingerprint);
  });

  it('waits where the upstream has no room', async () => {
    upstream.told.push({
      status: 429,
      headers: { 'retry-after-ms': String(RETRY_MS) },
      body: { error: { message: 'Rate limit reached', type: 'requests', code: 'rate_limit_exceeded' } },
    });
    const begun = performance.now();
    const { status, id } = await post({ model, input: 'after you' });
    expect(status).toBe(200);
    expect(performance.now() - begun).toBeGreaterThanOrEqual(RETRY_MS);
    expect(upstream.calls).toHaveLength(2);
    expect(await paidFor(id)).toMatchObject({ paid: 2n * INPUT_NANO });
  });

  it.each([
    ['of another form', { object: 'list', data: [1] }],
    ['with texts that nobody judges', { object: 'echo', data: ['a text'], usage: { prompt_tokens: 1 } }],
    ['that is an error', { error: { message: 'The echo is broken' } }],
  ])('takes an answer %s for a failure of the upstream', async (_, body) => {
    upstream.told.push(...Array.from({ length: 3 }, () => ({ status: 200, body })));
    const answer = await post({ model, input: 'anybody there?' });
    expect(answer).toMatchObject({ status: 502, body: { error: { code: 'upstream_error' } } });
    expect(await paidFor(answer.id)).toMatchObject({ paid: 0n });
  });

  it('presumes the counted input where the answer does not say what it cost', async () => {
    upstream.told.push({ status: 200, body: { object: 'echo', data: [5] } });
    const { status, id } = await post({ model, input: 'hello' });
    expect(status).toBe(200);
    expect(await paidFor(id)).toMatchObject({ paid: INPUT_NANO });
  });

  it('stands beside chat completions, which are as they were', async () => {
    const [whole, stream] = await Promise.all([
      chat.chat.completions.create({ model: chatModel, messages }).withResponse(),
      chat.chat.completions.create({ model: chatModel, messages, stream: true }),
      post({ model, input: 'at the same time' }),
    ]);
    expect(whole.response.headers.get('x-daypass-moderation')).toBe('input=pass; output=pass');
    expect(whole.data.choices[0]!.message.content).not.toBe('');
    const reasons: unknown[] = [];
    for await (const chunk of stream) reasons.push(chunk.choices[0]!.finish_reason);
    expect(reasons.at(-1)).toBe('stop');
    expect(await errorOf(chat.post('/nowhere', { body: {} }))).toMatchObject({
      status: 404,
      message: expect.stringContaining('POST /v1/echo, '),
    });
    await booksAtRest(daypass);
  });
});
