import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect } from 'node:net';
import OpenAI, { NotFoundError, toFile } from 'openai';
import { WebSocket } from 'undici';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { notOffered } from '../apps/ingress/domain/not-offered.js';
import { errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';

let daypass: SharedDaypass;
let key: TestKey;
let origin: string;
beforeAll(async () => {
  daypass = await shareDaypass();
  key = await daypass.createKey();
  origin = new URL(daypass.baseUrl).origin;
});
afterAll(() => daypass?.stop());

describe('what Daypass does not offer', () => {
  /** The official client as it comes: it would try twice more. */
  function client(apiKey: string): { openai: OpenAI; sent: string[] } {
    const sent: string[] = [];
    const counting: typeof fetch = (input, init) => {
      const { origin: to, pathname } = new URL(input as string);
      // Before its first form the client asks this machine what it can do.
      if (to === origin) sent.push(`${init?.method ?? 'GET'} ${pathname}`);
      return fetch(input, init);
    };
    return { openai: new OpenAI({ apiKey, baseURL: daypass.baseUrl, fetch: counting }), sent };
  }
  const file = (): Promise<File> => toFile(Buffer.alloc(100_000), 'a.txt');
  const asks: [string, (openai: OpenAI) => Promise<unknown>][] = [
    ['files.create', async (openai) => openai.files.create({ file: await file(), purpose: 'user_data' })],
    ['files.list', (openai) => openai.files.list()],
    [
      'uploads.create',
      (openai) => openai.uploads.create({ bytes: 1, filename: 'a', mime_type: 'text/plain', purpose: 'user_data' }),
    ],
    ['vectorStores.create', (openai) => openai.vectorStores.create({ name: 'a' })],
    ['batches.list', (openai) => openai.batches.list()],
    ['beta.assistants.list', (openai) => openai.beta.assistants.list()],
    ['beta.threads.create', (openai) => openai.beta.threads.create()],
    ['videos.create', (openai) => openai.videos.create({ prompt: 'a cat' })],
    ['images.generate', (openai) => openai.images.generate({ model: 'gpt-image-2.5', prompt: 'a cat' })],
    ['images.createVariation', async (openai) => openai.images.createVariation({ image: await file() })],
    [
      'audio.transcriptions.create',
      async (openai) => openai.audio.transcriptions.create({ model: 'gpt-transcribe', file: await file() }),
    ],
    [
      'audio.translations.create',
      async (openai) => openai.audio.translations.create({ model: 'whisper-1', file: await file() }),
    ],
    ['audio.speech.create', (openai) => openai.audio.speech.create({ model: 'tts-1', voice: 'alloy', input: 'hi' })],
    ['moderations.create', (openai) => openai.moderations.create({ input: 'hi' })],
    ['completions.create', (openai) => openai.completions.create({ model, prompt: 'hi' })],
    ['realtime.clientSecrets.create', (openai) => openai.realtime.clientSecrets.create({})],
    ['containers.list', (openai) => openai.containers.list()],
    ['fineTuning.jobs.list', (openai) => openai.fineTuning.jobs.list()],
    ['evals.list', (openai) => openai.evals.list()],
    ['skills.list', (openai) => openai.skills.list()],
    ['chat.completions.list', (openai) => openai.chat.completions.list()],
    ['chat.completions.retrieve', (openai) => openai.chat.completions.retrieve('chatcmpl-1')],
    ['chat.completions.delete', (openai) => openai.chat.completions.delete('chatcmpl-1')],
    ['responses.cancel', (openai) => openai.responses.cancel('resp_1')],
    ['responses.inputTokens.count', (openai) => openai.responses.inputTokens.count({ model, input: 'hi' })],
  ];

  it.each(asks)('%s gets NotFoundError, and the official client does not try again', async (_, ask) => {
    for (const apiKey of [key.key, 'no-key-of-daypass']) {
      const { openai, sent } = client(apiKey);
      const error = await ask(openai).then(
        () => null,
        (thrown: InstanceType<typeof OpenAI.APIError>) => thrown,
      );
      // A later version may serve it: then its row is gone.
      const [method, path] = sent[0]!.split(' ') as [string, string];
      if (notOffered(method, path) === null) {
        expect(error?.code).not.toBe('endpoint_not_offered');
        continue;
      }
      expect(error).toBeInstanceOf(NotFoundError);
      expect(error).toMatchObject({ code: 'endpoint_not_offered', type: 'invalid_request_error' });
      expect(error!.message).toContain(`Daypass does not offer ${sent[0]!}`);
      expect(error!.headers!.get('x-should-retry')).toBe('false');
      expect(sent).toHaveLength(1);
    }
  });

  it('says since when OpenAI has not had it either, and what replaces it', async () => {
    const { openai } = client(key.key);
    expect((await errorOf(openai.beta.assistants.list())).message).toMatch(/2026-08-26.*\/v1\/conversations/);
    expect((await errorOf(openai.videos.list())).message).toContain('2026-09-24');
    expect((await errorOf(openai.images.createVariation({ image: await file() }))).message).toMatch(
      /2026-05-12.*images\/edits/,
    );
  });

  it.each(['/v1/%66iles', '/openai/v1/files/', '/files', '/openai/deployments/any/files', '/v1/files/%zz'])(
    'is found however its path is written: %s',
    async (path) => {
      const response = await fetch(`${origin}${path}`, { method: 'PUT', body: '{"broken":' });
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ error: { code: 'endpoint_not_offered' } });
      expect(response.headers.get('access-control-allow-origin')).toBe('*');
      expect(response.headers.get('x-request-id')).toMatch(/^req_/);
    },
  );

  it('is counted under no API, whatever its path says', async () => {
    await fetch(`${daypass.baseUrl}/files/file-of-nobody`);
    await fetch(`${daypass.baseUrl}/invented-by-a-visitor`);
    await fetch(`${daypass.baseUrl}/chat/completions`, { method: 'POST' });
    const text = await (await fetch(`${daypass.opsUrls.ingress}/metrics`)).text();
    for (const [code, endpoint] of [
      ['endpoint_not_offered', 'none'],
      ['unknown_url', 'none'],
      ['invalid_api_key', 'chat.completions'],
    ])
      expect(text).toMatch(new RegExp(`^daypass_refusals_total\\{code="${code}",endpoint="${endpoint}"`, 'm'));
    expect(text).not.toMatch(/invented|of-nobody/);
  });

  it('is Anthropic’s API, too', async () => {
    const response = await fetch(`${daypass.baseUrl}/messages?beta=true`, { method: 'POST', body: '{}' });
    expect(response.status).toBe(404);
    expect(await response.text()).toContain('Anthropic');
  });

  it('is answered before its body comes, and holds up no request that follows', async () => {
    const wire = connectTo(origin);
    wire.send(
      `POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data\r\ncontent-length: 2000000\r\n\r\n`,
    );
    await until('it is answered', () => wire.received().includes('endpoint_not_offered'));
    wire.send('x'.repeat(2_000_000));
    wire.send(`GET /v1/key HTTP/1.1\r\nhost: x\r\napi-key: ${key.key}\r\n\r\n`);
    await until('the next one is answered', () => wire.received().includes(key.id));
    wire.close();
  });
});

describe('a WebSocket', () => {
  const handshake = (path: string, ...headers: string[]): string =>
    [
      `GET ${path} HTTP/1.1`,
      'host: x',
      'sec-websocket-version: 13',
      'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
      ...headers,
      '',
      '',
    ].join('\r\n');
  const UPGRADE = ['connection: keep-alive, Upgrade', 'upgrade: WebSocket'];

  it.each([
    ['/v1/responses', 426, 'websocket_not_supported'],
    ['/v1/responses?model=gpt-5.4-mini', 426, 'websocket_not_supported'],
    ['/openai/v1/realtime?model=gpt-realtime', 404, 'endpoint_not_offered'],
    ['/v1/responses/resp_1', 404, 'endpoint_not_offered'],
    ['/v1/models', 404, 'endpoint_not_offered'],
    ['/nothing', 404, 'endpoint_not_offered'],
  ])('of %s gets %i %s, and its connection is closed', async (path, status, code) => {
    for (const headers of [[], [`authorization: Bearer ${key.key}`]]) {
      const wire = connectTo(origin);
      // A client may send frames at once.
      wire.send(handshake(path, ...UPGRADE, ...headers) + '\x81\x05hello');
      await until('the connection is closed', () => wire.isClosed());
      const [head, body] = wire.received().split('\r\n\r\n') as [string, string];
      expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(head).toMatch(/^connection: close$/im);
      expect(head).not.toMatch(/^upgrade:/im);
      expect(head).toMatch(/^access-control-allow-origin: \*$/im);
      expect(head).toMatch(/^x-request-id: req_/im);
      expect(head).toMatch(/^x-should-retry: false$/im);
      expect(JSON.parse(body)).toMatchObject({ error: { code, type: 'invalid_request_error' } });
    }
  });

  it('whose proxy took the header Upgrade away gets the same', async () => {
    const wire = connectTo(origin);
    wire.send(handshake('/v1/responses', 'connection: close'));
    await until('the connection is closed', () => wire.isClosed());
    expect(wire.received()).toMatch(/^HTTP\/1.1 426 [^]*websocket_not_supported/);
  });

  it('is not what a client of HTTP/2 asks for', async () => {
    const wire = connectTo(origin);
    const upgrade = ['connection: Upgrade, HTTP2-Settings', 'upgrade: h2c', 'http2-settings: AAMAAABkAAQAAP__'];
    wire.send(['GET /v1/key HTTP/1.1', 'host: x', `api-key: ${key.key}`, ...upgrade, '', ''].join('\r\n'));
    await until('it is served', () => wire.received().includes(key.id));
    wire.close();
  });

  it('of a real client fails at once, and many leave nothing behind', async () => {
    const before = await openConnections();
    const address = `${daypass.baseUrl.replace('http', 'ws')}/responses`;
    const closes = Array.from({ length: 50 }, () => closed(new WebSocket(address)));
    expect(await Promise.all(closes)).toEqual(closes.map(() => ({ opened: false, code: 1006 })));
    await until('no connection is left', async () => (await openConnections()) <= before);
    expect(daypass.logs('ingress')).not.toContain('MaxListenersExceeded');
  });

  function closed(socket: WebSocket): Promise<{ opened: boolean; code: number }> {
    let opened = false;
    socket.addEventListener('open', () => (opened = true));
    return new Promise((resolve) =>
      socket.addEventListener('close', ({ code }: { code: number }) => resolve({ opened, code })),
    );
  }

  async function openConnections(): Promise<number> {
    const text = await (await fetch(`${daypass.opsUrls.ingress}/metrics`)).text();
    return Number(/^nodejs_active_resources\{type="TCPSocketWrap".*\} (\d+)/m.exec(text)?.[1] ?? Number.NaN);
  }
});

/** A connection that sends what no client would. */
function connectTo(address: string) {
  const { hostname, port } = new URL(address);
  const socket = connect(Number(port), hostname);
  let text = '';
  let isClosed = false;
  socket.on('data', (data) => (text += data.toString()));
  socket.on('error', () => undefined);
  socket.on('close', () => (isClosed = true));
  return {
    send: (bytes: string) => void socket.write(bytes, 'latin1'),
    received: () => text,
    isClosed: () => isClosed,
    close: () => void socket.destroy(),
  };
}
