import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import OpenAI, { APIConnectionError, APIError, APIUserAbortError } from 'openai';
import { Agent } from 'undici';
import { plainFetch } from './plain-fetch.js';

let server: Server | undefined;
const agent = new Agent();
afterAll(() => agent.destroy());
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function client(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  timeout = 5_000,
): Promise<OpenAI> {
  server = createServer(answer);
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return new OpenAI({
    apiKey: 'sk-x',
    baseURL: `http://127.0.0.1:${port}/v1`,
    maxRetries: 0,
    timeout,
    fetch: plainFetch(agent),
  });
}

const asked = { model: 'm', messages: [{ role: 'user' as const, content: 'Grüße' }] };

describe('the plain fetch under the official client', () => {
  it('sends what is asked, and reads a whole answer', async () => {
    let received: unknown;
    const openai = await client((request, response) => {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => pieces.push(piece));
      request.on('end', () => {
        received = [
          request.method,
          request.url,
          request.headers.authorization,
          request.headers['content-type'],
          JSON.parse(Buffer.concat(pieces).toString()),
        ];
        response
          .writeHead(200, { 'content-type': 'application/json', 'x-request-id': 'r1' })
          .end('{"choices":[],"id":"ä"}');
      });
    });
    const { data, response } = await openai.chat.completions.create(asked).withResponse();
    expect(received).toEqual(['POST', '/v1/chat/completions', 'Bearer sk-x', 'application/json', asked]);
    expect([data.id, response.status, response.headers.get('X-Request-Id')]).toEqual(['ä', 200, 'r1']);
  });

  it('gives a stream as it comes', async () => {
    const openai = await client((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n');
      setTimeout(() => response.end('data: {"choices":[{"delta":{"content":"b"}}]}\n\ndata: [DONE]\n\n'), 50);
    });
    const raw = await openai.chat.completions.create({ ...asked, stream: true }).asResponse();
    const pieces: string[] = [];
    for await (const piece of raw.body as unknown as AsyncIterable<Uint8Array>)
      pieces.push(Buffer.from(piece).toString());
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces.join('')).toMatch(/"a".*\n\n.*"b".*\n\n.*\[DONE\]/s);
  });

  it("throws the client's own errors: of the provider, of the way to it, of time", async () => {
    const openai = await client((request, response) => {
      if (request.url?.endsWith('/models')) return;
      response
        .writeHead(429, { 'content-type': 'application/json', 'retry-after-ms': '20' })
        .end('{"error":{"message":"slow down","code":"rate_limit_exceeded"}}');
    }, 200);
    const refused = await openai.chat.completions.create(asked).catch((error: unknown) => error as APIError);
    expect(refused).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    expect((refused as APIError).headers?.get('retry-after-ms')).toBe('20');
    const begun = performance.now();
    await expect(openai.models.list()).rejects.toBeInstanceOf(APIConnectionError);
    expect(performance.now() - begun).toBeLessThan(2_000);
    const nobody = new OpenAI({
      apiKey: 'sk-x',
      baseURL: 'http://127.0.0.1:1/v1',
      maxRetries: 0,
      fetch: plainFetch(agent),
    });
    const unreached = await nobody.models.list().catch((error: unknown) => error as APIConnectionError);
    expect(unreached).toBeInstanceOf(APIConnectionError);
    expect(String((unreached as APIConnectionError).cause)).toContain('ECONNREFUSED');
  });

  it('ends with its signal, before the answer and in the middle of it, and a body that nobody reads lets its socket go', async () => {
    let open = 0;
    const openai = await client((_, response) => {
      open++;
      response.on('close', () => open--);
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {}\n\n');
    });
    const controller = new AbortController();
    const response = await openai.chat.completions
      .create({ ...asked, stream: true }, { signal: controller.signal })
      .asResponse();
    const reading = (async () => {
      for await (const _ of response.body as unknown as AsyncIterable<Uint8Array>) controller.abort();
    })();
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' });
    const unread = await openai.chat.completions.create({ ...asked, stream: true }).asResponse();
    await unread.body!.cancel();
    const left = openai.models.list({ signal: AbortSignal.abort() });
    await expect(left).rejects.toBeInstanceOf(APIUserAbortError);
    for (let tries = 0; open > 0 && tries < 100; tries++) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(open).toBe(0);
  });
});
