import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import OpenAI, { APIConnectionError, APIConnectionTimeoutError, APIError } from 'openai';
import { Agent } from 'undici';
import type { AskEndpoint } from '#libs/moderation/moderator.js';
import { until } from '#libs/testing/until.js';
import { moderationEndpoint } from './moderation.endpoint.js';
import { plainFetch } from './plain-fetch.js';
import { plainPost } from './plain-post.js';

let server: Server | undefined;
const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
afterAll(() => agent.destroy());
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

type Respond = (response: ServerResponse, request: IncomingMessage) => void;

async function endpoint(respond: Respond): Promise<{ ask: AskEndpoint; client: OpenAI }> {
  server = createServer((request, response) => {
    request.resume().on('end', () => respond(response, request));
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const baseURL = `http://127.0.0.1:${port}/v1/`;
  const client = new OpenAI({
    apiKey: 'sk-x',
    baseURL,
    maxRetries: 0,
    defaultHeaders: { 'x-of-the-operator': 'yes' },
    fetch: plainFetch(agent),
  });
  return { client, ask: moderationEndpoint(client, plainPost(agent)) };
}

const QUESTION = { model: 'omni', input: ['Grüße 😀'] };
/** Long, so that only a test that tells a time meets its end. */
const LONG_MS = 60_000;
const ask = async (respond: Respond, timeoutMs = LONG_MS): Promise<unknown> =>
  (await endpoint(respond)).ask(QUESTION, timeoutMs);
const failed = (respond: Respond, timeoutMs?: number): Promise<unknown> =>
  ask(respond, timeoutMs).then(
    () => 'an answer',
    (error: unknown) => error,
  );

describe('the moderation endpoint without the official client', () => {
  it('is asked as the client asks it: the address, the headers and the body', async () => {
    const heard: object[] = [];
    const { ask, client } = await endpoint((response, request) => {
      const names = ['authorization', 'content-type', 'accept', 'user-agent', 'x-of-the-operator', 'content-length'];
      heard.push([request.method, request.url, names.map((name) => request.headers[name])]);
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"results":[{"ä":1}]}');
    });
    expect(await ask(QUESTION, LONG_MS)).toEqual({ results: [{ ä: 1 }] });
    await client.moderations.create(QUESTION);
    expect(heard[0]).toEqual(heard[1]);
    expect(heard[0]).toMatchObject(['POST', '/v1/moderations', expect.arrayContaining(['Bearer sk-x', 'yes'])]);
  });

  it.each([
    ['a refusal', 429, '{"error":{"message":"slow down","code":"rate_limit_exceeded"}}', 'rate_limit_exceeded'],
    ['words of another gateway', 422, '{"detail":"no such model"}', undefined],
    ['nothing', 503, '', undefined],
  ])("gets the client's own error for %s", async (_, status, body, code) => {
    const headers = { 'content-type': 'application/json', 'retry-after-ms': '20' };
    const respond: Respond = (response) => response.writeHead(status, headers).end(body);
    const { ask, client } = await endpoint(respond);
    const errors = (await Promise.all(
      [ask(QUESTION, LONG_MS), client.moderations.create(QUESTION)].map((asked) =>
        asked.catch((error: unknown) => error),
      ),
    )) as APIError[];
    const [own, its] = errors.map(({ constructor, message, status, code }) => ({ constructor, message, status, code }));
    expect(own).toEqual(its);
    expect(errors[0]).toBeInstanceOf(APIError);
    expect([errors[0]!.status, errors[0]!.code, errors[0]!.headers?.get('retry-after-ms')]).toEqual([
      status,
      code,
      '20',
    ]);
  });

  it('shows no plain text beside a 5xx, which a proxy wrote, and quotes no answer that is not JSON', async () => {
    const said = 'no healthy upstream at 10.0.0.1';
    for (const status of [503, 200]) {
      const respond: Respond = (response) => response.writeHead(status, { 'content-type': 'text/plain' }).end(said);
      const error = await failed(respond);
      expect(error).toBeInstanceOf(Error);
      expect(String(error)).not.toContain('10.0.0.1');
      server!.close();
    }
  });

  it.each([
    ['without an answer', (): void => undefined],
    ['in the middle of an answer', (response: ServerResponse): void => void response.writeHead(200).write('{"res')],
  ])('gives up when its time is over, %s, and lets the connection go', async (_, respond) => {
    let closed = false;
    const startedMs = performance.now();
    const error = await failed((response) => {
      response.on('close', () => (closed = true));
      respond(response);
    }, 200);
    expect(error).toBeInstanceOf(APIConnectionTimeoutError);
    expect(performance.now() - startedMs).toBeGreaterThan(190);
    await until('the connection is closed', () => closed);
  });

  it('waits for a slow answer as long as its time allows', async () => {
    const respond: Respond = (response) => {
      response.writeHead(200).write('{"results"');
      setTimeout(() => response.end(':[]}'), 300);
    };
    expect(await ask(respond)).toEqual({ results: [] });
  });

  it('tells of a broken or missing connection', async () => {
    expect(await failed((response) => response.destroy())).toBeInstanceOf(APIConnectionError);
    const client = new OpenAI({ apiKey: 'sk-x', baseURL: 'http://127.0.0.1:1/v1' });
    const error = await moderationEndpoint(client, plainPost(agent))(QUESTION, 5_000).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(APIConnectionError);
    expect(String((error as APIConnectionError).cause)).toContain('ECONNREFUSED');
  });

  it('reads what was compressed unasked, but no more than its bound of what a few bytes unpack to', async () => {
    const packed =
      (bytes: Buffer): Respond =>
      (response) =>
        response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(bytes));
    expect(await ask(packed(Buffer.from('{"results":[]}')))).toEqual({ results: [] });
    server!.close();
    const before = process.memoryUsage().rss;
    expect(String(await failed(packed(Buffer.alloc(200 * 1_048_576))))).toContain('larger than');
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1_048_576);
  });

  it('reads the begin of an endless error, and breaks off', async () => {
    let closed = false;
    const error = await failed((response) => {
      response.writeHead(500, { 'content-type': 'application/json' }).on('close', () => (closed = true));
      const more = (): void => {
        while (!closed && response.write('x'.repeat(16_384)));
        if (!closed) response.once('drain', more);
      };
      more();
    });
    expect(error).toMatchObject({ status: 500 });
    await until('the connection is closed', () => closed);
  });
});
