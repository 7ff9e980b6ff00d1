import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { brotliCompressSync, constants, createGzip, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
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

  it('lets an upstream wait whose answer nobody reads, and gives all of it to a late reader', async () => {
    const piece = randomBytes(1_048_576);
    const pieces = 64;
    let sent = 0;
    const openai = await client((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const write = (): void => {
        while (sent < pieces) {
          sent++;
          if (!response.write(piece)) return void response.once('drain', write);
        }
        response.end();
      };
      write();
    });
    const raw = await openai.chat.completions.create({ ...asked, stream: true }).asResponse();
    // It stands still once the buffers of the sockets are full.
    for (let before = -1; before !== sent;) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(sent).toBeLessThan(pieces / 2);
    const bytes = await readBytes(raw);
    expect(Buffer.compare(bytes, Buffer.concat(Array<Buffer>(pieces).fill(piece)))).toBe(0);
  });

  it('breaks off where the connection does, and gives nothing after that', async () => {
    const openai = await client((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'content-length': '1000' });
      response.write('data: {}\n\n');
      setTimeout(() => response.destroy(), 50);
    });
    const raw = await openai.chat.completions.create({ ...asked, stream: true }).asResponse();
    const reader = (raw.body as unknown as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
    expect((await reader.next()).done).toBe(false);
    await expect(reader.next()).rejects.toThrow();
    await expect(reader.next()).rejects.toThrow();
  });

  it.each(['gzip', 'deflate', 'br', 'zstd', 'GZIP', 'gzip, br'])(
    'reads what an upstream compressed unasked, whole, in a stream and in an error: %s',
    async (encoding) => {
      const openai = await client((request, response) => {
        const pieces: Buffer[] = [];
        request.on('data', (piece: Buffer) => pieces.push(piece));
        request.on('end', () => {
          const { stream, n } = JSON.parse(Buffer.concat(pieces).toString()) as { stream?: boolean; n?: number };
          const text = n ? '{"error":{"message":"n is too large"}}' : stream ? 'data: [DONE]\n\n' : '{"id":"ä"}';
          const type = stream ? 'text/event-stream' : 'application/json';
          response
            .writeHead(n ? 400 : 200, { 'content-type': type, 'content-encoding': encoding })
            .end(packed(text, encoding));
        });
      });
      const { data, response } = await openai.chat.completions.create(asked).withResponse();
      expect([data.id, response.headers.get('content-encoding')]).toEqual(['ä', null]);
      const raw = await openai.chat.completions.create({ ...asked, stream: true }).asResponse();
      expect(Buffer.from(await readBytes(raw)).toString()).toBe('data: [DONE]\n\n');
      await expect(openai.chat.completions.create({ ...asked, n: 9 })).rejects.toMatchObject({
        status: 400,
        message: expect.stringContaining('n is too large'),
      });
    },
  );

  it('gives each part of a compressed stream when it comes', async () => {
    const openai = await client((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
      const gzip = createGzip();
      gzip.pipe(response);
      gzip.write('data: first\n\n');
      gzip.flush(constants.Z_SYNC_FLUSH);
    });
    const controller = new AbortController();
    const raw = await openai.chat.completions
      .create({ ...asked, stream: true }, { signal: controller.signal })
      .asResponse();
    const [first] = [(await (raw.body as unknown as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]().next()).value];
    expect(Buffer.from(first as Uint8Array).toString()).toBe('data: first\n\n');
    controller.abort();
  });

  it.each([200, 500])('reads no more than its bound of what a few bytes unpack to (%i)', async (status) => {
    const bomb = gzipSync(Buffer.alloc(400 * 1_048_576));
    expect(bomb.length).toBeLessThan(500_000);
    const openai = await client((_, response) => {
      response.writeHead(status, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(bomb);
    });
    const before = process.memoryUsage().rss;
    await expect(openai.chat.completions.create(asked).asResponse().then(readBytes)).rejects.toThrow();
    await expect(openai.chat.completions.create(asked)).rejects.toThrow();
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1_048_576);
  });

  it('breaks off where a compressed answer does', async () => {
    const openai = await client((_, response) => {
      const whole = gzipSync(`{"id":"${randomBytes(20_000).toString('hex')}"}`);
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
        .end(whole.subarray(0, 10_000));
    });
    await expect(openai.chat.completions.create(asked).asResponse().then(readBytes)).rejects.toThrow();
  });

  it.each([
    [
      '{"detail":[{"type":"missing","loc":["body","n"],"msg":"Field required"}]}',
      'application/json',
      'n: Field required',
    ],
    ['{"detail":"no such model"}', 'application/json', 'no such model'],
    ['model is loading', 'text/plain', 'model is loading'],
    ['<html>10.0.0.1</html>', 'text/html', 'status code (no body)'],
    [`${'x'.repeat(3_000_000)}`, 'text/plain', 'xxx'],
  ])("gives an error the client's own shape, whoever wrote it (%.30s)", async (body, type, message) => {
    const openai = await client((_, response) => response.writeHead(422, { 'content-type': type }).end(body));
    const error = (await openai.chat.completions.create(asked).catch((thrown: unknown) => thrown)) as APIError;
    expect(error.status).toBe(422);
    expect(error.message).toContain(message);
    expect(error.message.length).toBeLessThan(3_000);
  });

  it('shows no plain text beside a 5xx, which a proxy wrote', async () => {
    const openai = await client((_, response) =>
      response.writeHead(503, { 'content-type': 'text/plain' }).end('no healthy upstream at 10.0.0.1'),
    );
    const error = (await openai.chat.completions.create(asked).catch((thrown: unknown) => thrown)) as APIError;
    expect(error.message).not.toContain('10.0.0.1');
  });
});

function packed(text: string, encodings: string): Uint8Array {
  const pack: Record<string, (bytes: Uint8Array) => Uint8Array> = {
    gzip: gzipSync,
    deflate: deflateSync,
    br: brotliCompressSync,
    zstd: zstdCompressSync,
  };
  return encodings
    .toLowerCase()
    .split(', ')
    .reduce<Uint8Array>((bytes, encoding) => pack[encoding]!(bytes), Buffer.from(text));
}

async function readBytes(response: Response): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) pieces.push(piece);
  return Buffer.concat(pieces);
}
