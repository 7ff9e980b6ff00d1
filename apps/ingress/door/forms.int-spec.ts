/** @modules own */
import 'reflect-metadata';
import { FORMS_PATH } from './form.fixture.js';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { loadConfig, type DaypassConfig } from '#libs/config/config.js';
import { readBody } from '#libs/endpoints/body.js';
import type { Body } from '#libs/endpoints/endpoint.js';
import { FileStore } from '#libs/holds/file.store.js';
import { Money } from '#libs/holds/money.fixture.js';
import { redisKeys } from '#libs/redis/keys.js';
import { png } from '#libs/rehearsal/png.js';
import { wav } from '#libs/rehearsal/wav.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { createVirtualKey, hashVirtualKey } from '#libs/secrets/virtual-key.js';
import { createLogger } from '#libs/service/logger.js';
import { createRegistry } from '#libs/service/ops-server.js';
import { until } from '#libs/testing/until.js';
import { createIngress } from '../ingress.app.js';

const model = 'text-embedding-3-small';
const UPLOAD_BYTES = 3_000_000;
const ARRIVAL_MS = 5_000;
let money: Money;
let config: DaypassConfig;
let app: NestFastifyApplication;
let url: URL;
const token = createVirtualKey();
beforeAll(async () => {
  money = await Money.start();
  config = loadConfig('ingress', {
    REDIS_URL: money.url,
    DAYPASS_SECRET: 'a secret that only tests know, long enough',
    DAYPASS_LOG_LEVEL: 'silent',
    DAYPASS_MAX_UPLOAD_BYTES: String(UPLOAD_BYTES),
    DAYPASS_UPLOADS_MAX_BYTES: '12000000',
    DAYPASS_REQUEST_TIMEOUT_MS: String(ARRIVAL_MS),
    DAYPASS_KEY_BYTES_PER_HOUR: '0',
  });
  app = await createIngress(config, createLogger('ingress', 'silent'), createRegistry('ingress'));
  await app.listen(0, '127.0.0.1');
  url = new URL(await app.getUrl());
});
afterAll(async () => {
  app?.getHttpServer().closeAllConnections();
  await app?.close();
  await money?.stop();
});
beforeEach(async () => {
  await money.reset();
  await money.campaign({ models: [model], policy: { input: 'off' } });
  await money.key({ tokenHash: hashVirtualKey(token, config.secrets.tokenPepper) });
});

type Part = readonly [name: string, content: string | Buffer, filename?: string];
const BOUNDARY = 'xBOUNDARYx';
const FIELDS: readonly Part[] = [
  ['model', model],
  ['input', 'Hi'],
];
const file = (content: Buffer, name = 'file', filename = 'a.png'): Part => [name, content, filename];
function written(parts: readonly Part[], end = `--${BOUNDARY}--\r\n`): Buffer {
  return Buffer.concat([
    ...parts.flatMap(([name, content, filename]) => [
      Buffer.from(
        `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${filename === undefined ? '' : `; filename="${filename}"`}\r\n\r\n`,
      ),
      Buffer.from(content),
      Buffer.from('\r\n'),
    ]),
    Buffer.from(end),
  ]);
}
const TYPE = `multipart/form-data; boundary=${BOUNDARY}`;
async function post(
  body: Buffer,
  { type = TYPE, key = token, headers = {} }: { type?: string; key?: string; headers?: Record<string, string> } = {},
): Promise<Response> {
  return fetch(new URL(FORMS_PATH, url), {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': type, ...headers },
    body: new Uint8Array(body),
  });
}
const faultOf = async (
  asked: Promise<Response>,
): Promise<{ status: number; code: string; param: string | null; message: string }> => {
  const response = await asked;
  const { error } = (await response.json()) as { error: { code: string; param: string | null; message: string } };
  return { status: response.status, ...error };
};
const kept = async (): Promise<string[]> =>
  (await money.redis.keys('*')).filter((key) =>
    [redisKeys.filesLine, redisKeys.files(''), redisKeys.bodyPrefix].some((prefix) => key.startsWith(prefix)),
  );

async function waitingCall(): Promise<string> {
  let found: string | undefined;
  await until('a call waits', async () => {
    [found] = await money.redis.zrange(redisKeys.leases, 0, 0);
    return found !== undefined;
  });
  return found!;
}
/** The files of which the first piece is there. */
async function firstPiece(): Promise<string> {
  let found: string | undefined;
  await until('a piece is kept', async () => {
    [found] = await money.redis.keys(redisKeys.files('*'));
    return found !== undefined;
  });
  return found!;
}

/** Sends a form whose call then waits for a worker, and returns what waits. The visitor leaves in the end. */
async function waiting<T>(
  parts: readonly Part[],
  look: (requestId: string, body: Body) => Promise<T>,
  headers: Record<string, string> = {},
): Promise<T> {
  const leave = new AbortController();
  const asked = fetch(new URL(FORMS_PATH, url), {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': TYPE, ...headers },
    body: new Uint8Array(written(parts)),
    signal: leave.signal,
  });
  asked.catch(() => undefined);
  const requestId = await waitingCall();
  const sealed = await money.redis.getBuffer(redisKeys.body(requestId));
  const box = new ContentBox(config.secrets.contentKey);
  try {
    return await look(requestId, readBody(box.open(sealed!, requestId)));
  } finally {
    leave.abort();
    await until('nothing is kept', async () => (await kept()).length === 0);
  }
}

describe('a form', () => {
  it('waits as JSON with its files beside it, sealed, whatever the order of its parts', async () => {
    const [picture, sound] = [png(16, 16, 1), wav(1)];
    const text = `key=${'ä'.repeat(10)}`;
    const parts = [
      file(picture, 'image[]', 'pic.exe'),
      ...FIELDS,
      ['list[]', 'a'],
      file(sound, 'sound', 'a.png'),
      ['of[part]', text],
    ] as Part[];
    await waiting(parts, async (requestId, { json, blobs }) => {
      expect(json).toEqual({ model, input: 'Hi', list: ['a'], of: { part: text } });
      expect(blobs).toEqual([
        expect.objectContaining({
          field: 'image[]',
          filename: 'pic.exe',
          type: 'image/png',
          bytes: picture.length,
          ref: '0-1',
        }),
        expect.objectContaining({
          field: 'sound',
          filename: 'a.png',
          type: 'audio/wav',
          bytes: sound.length,
          ref: '1-1',
        }),
      ]);
      expect(blobs[0]!.seconds).toBeUndefined();
      expect(blobs[1]!.seconds).toBeCloseTo(1, 1);
      expect(Buffer.from(blobs[0]!.head!, 'base64').equals(picture.subarray(0, 64))).toBe(true);
      for (const [index, content] of [picture, sound].entries()) {
        expect((await app.get(FileStore).read(requestId, blobs[index]!)).equals(content)).toBe(true);
        expect(blobs[index]!.hash).toBe(createHash('sha256').update(content).digest('base64url'));
      }
      for (const sealed of Object.values(await money.redis.hgetallBuffer(redisKeys.files(requestId))))
        expect(sealed.includes(picture.subarray(20, 60)) || sealed.includes(sound.subarray(0, 60))).toBe(false);
    });
  });

  it('has large files in pieces, each whole, also one that holds the boundary’s begin again and again', async () => {
    const large = randomBytes(1_200_000);
    const tricky = Buffer.from(`\r\n--${BOUNDARY.slice(0, -1)}`.repeat(20_000));
    await waiting([file(large), ...FIELDS, file(tricky, 'other')], async (requestId, { blobs }) => {
      expect(blobs.map(({ ref, bytes }) => [ref, bytes])).toEqual([
        ['0-3', large.length],
        ['3-1', tricky.length],
      ]);
      expect((await app.get(FileStore).read(requestId, blobs[0]!)).equals(large)).toBe(true);
      expect((await app.get(FileStore).read(requestId, blobs[1]!)).equals(tricky)).toBe(true);
    });
  });

  it.each([
    ['no boundary', () => post(written(FIELDS), { type: 'multipart/form-data' }), 'names no boundary'],
    [
      'a boundary that is not in it',
      () => post(written(FIELDS), { type: 'multipart/form-data; boundary=other' }),
      'breaks off',
    ],
    ['no end', () => post(written([...FIELDS, file(randomBytes(700_000))], '')), 'breaks off'],
    ['nothing in it', () => post(Buffer.alloc(0)), 'breaks off'],
    ['a part that ends in its head', () => post(written(FIELDS, `--${BOUNDARY}\r\nContent-Disp`)), 'breaks off'],
    ['a field without a name', () => post(written([...FIELDS, ['', 'x']])), 'has no name'],
    [
      'a file without a name of its own',
      () => post(written([...FIELDS, file(png(4, 4, 1), 'file', '')])),
      "'file' has no name",
    ],
    [
      'an empty file',
      () => post(written([file(randomBytes(600_000)), ...FIELDS, file(Buffer.alloc(0), 'mask')])),
      "'mask' is empty",
    ],
    [
      'too many parts',
      () => post(written([...FIELDS, ...Array.from({ length: 63 }, (_, at): Part => [`f${at}`, 'x'])])),
      'more than 64 parts',
    ],
    [
      'a field that is too long',
      () => post(written([...FIELDS, ['note', 'x'.repeat(2_097_153)]])),
      "'note' is too long",
    ],
    [
      'a name that is too long',
      () => post(written([...FIELDS, ['n'.repeat(201), 'x']])),
      'name of the form is too long',
    ],
    [
      'names that make no sense',
      () => post(written([...FIELDS, ['a', '1'], ['a[b]', '2'], file(png(4, 4, 1))])),
      'both as a value and with parts',
    ],
    ['what its API refuses', () => post(written([['model', model], file(randomBytes(600_000))])), 'input'],
  ])('with %s is refused, told what to do, and leaves nothing', async (_, ask, message) => {
    const fault = await faultOf(ask());
    expect(fault).toMatchObject({ status: 400, code: 'invalid_request', message: expect.stringContaining(message) });
    expect(await kept()).toEqual([]);
    expect(await money.journal()).toEqual([]);
  });

  it('that is too large is refused, announced or not, and leaves nothing', async () => {
    for (const size of [UPLOAD_BYTES, 2 * UPLOAD_BYTES + 1]) {
      expect(await faultOf(post(written([...FIELDS, file(randomBytes(size))])))).toMatchObject({
        status: 413,
        code: 'request_too_large',
        message: expect.stringContaining('DAYPASS_MAX_UPLOAD_BYTES'),
      });
      expect(await kept()).toEqual([]);
    }
  });

  it('is refused where the API takes none, and JSON where it takes only forms', async () => {
    const chat = await fetch(new URL('/v1/chat/completions', url), {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': TYPE },
      body: new Uint8Array(written(FIELDS)),
    });
    expect(chat.status).toBe(415);
    expect(await chat.text()).toContain("send JSON with the header 'content-type: application/json'");
    const json = Buffer.from('{}');
    expect(await faultOf(post(json, { type: 'application/json' }))).toMatchObject({
      status: 415,
      message: expect.stringContaining('multipart/form-data'),
    });
    expect(await faultOf(post(json, { type: 'text/plain' }))).toMatchObject({ status: 415 });
    expect(await faultOf(post(written(FIELDS), { headers: { 'content-encoding': 'gzip' } }))).toMatchObject({
      status: 415,
    });
  });

  it('without a valid key is refused before any of it is read', async () => {
    const { socket, answered } = open(`Bearer ${createVirtualKey()}`, 2_000_000);
    expect(await answered).toContain('HTTP/1.1 401');
    socket.destroy();
    expect(await kept()).toEqual([]);
  });

  it('counts among the bytes that its key may send in an hour, refused or not', async () => {
    const key = createVirtualKey();
    const limits = { rpm: 0, tpm: 0, concurrent: 0, bytes_per_hour: 2_000_000 };
    await money.key({ id: 'bounded', tokenHash: hashVirtualKey(key, config.secrets.tokenPepper), limits });
    await faultOf(post(written([['model', model], file(randomBytes(1_500_000))]), { key }));
    expect(await faultOf(post(written([...FIELDS, file(randomBytes(1_000_000))]), { key }))).toMatchObject({
      status: 429,
      code: 'rate_limit_exceeded',
      message: expect.stringContaining('bytes an hour'),
    });
    expect(await kept()).toEqual([]);
  });

  it('has no room beside what other calls of its key hold', async () => {
    const files = app.get(FileStore);
    for (let piece = 0; piece < 6; piece++)
      await files.keep({ requestId: 'other', keyId: 'k', lifeMs: 60_000 }, piece, Buffer.alloc(450_000));
    expect(await faultOf(post(written([...FIELDS, file(randomBytes(900_000))])))).toMatchObject({
      status: 429,
      message: expect.stringContaining('bytes of files at most'),
    });
    expect(await money.redis.keys(redisKeys.files('*'))).toEqual([redisKeys.files('other')]);
    await files.drop('other');
    expect(await kept()).toEqual([]);
  });

  it('that its visitor breaks off leaves nothing', async () => {
    const { socket } = open(`Bearer ${token}`, 2_000_000);
    socket.write(written([...FIELDS, file(randomBytes(1_200_000))]).subarray(0, 1_200_000));
    await firstPiece();
    socket.destroy();
    await until('nothing is kept', async () => (await kept()).length === 0);
  });

  it('that comes too slowly gets 408, and leaves nothing', async () => {
    const { socket, answered } = open(`Bearer ${token}`, 2_000_000);
    socket.write(written([...FIELDS, file(randomBytes(600_000))]).subarray(0, 600_000));
    await firstPiece();
    expect(await answered).toContain('HTTP/1.1 408');
    await until('nothing is kept', async () => (await kept()).length === 0);
  });

  it('whose process dies lapses by itself', async () => {
    const { socket } = open(`Bearer ${token}`, 2_000_000);
    socket.write(written([...FIELDS, file(randomBytes(600_000))]).subarray(0, 600_000));
    const lifeMs = await money.redis.pttl(await firstPiece());
    expect(lifeMs).toBeGreaterThan(0);
    // The time for the rest of it, for its hold, and a margin.
    expect(lifeMs).toBeLessThanOrEqual(ARRIVAL_MS + 30_000 + 30_000);
    socket.destroy();
    await until('nothing is kept', async () => (await kept()).length === 0);
  });

  it('under an idempotency key is the same call only with the same files', async () => {
    const name = { headers: { 'idempotency-key': 'once' } };
    await waiting(
      [...FIELDS, file(png(4, 4, 1))],
      async (requestId) => {
        const codeOf = async (seed: number): Promise<string> =>
          (await faultOf(post(written([...FIELDS, file(png(4, 4, seed))]), name))).code;
        expect(await codeOf(1)).toBe('idempotency_in_progress');
        expect(await codeOf(2)).toBe('idempotency_conflict');
        // The files of the repeats are gone.
        expect(await money.redis.keys(redisKeys.files('*'))).toEqual([redisKeys.files(requestId)]);
      },
      name.headers,
    );
  });
});

/** A request whose head is sent, and whose body its test writes. */
function open(authorization: string, bytes: number): { socket: Socket; answered: Promise<string> } {
  const socket = connect(Number(url.port), url.hostname);
  socket.on('error', () => undefined);
  socket.write(
    `POST ${FORMS_PATH} HTTP/1.1\r\nhost: a\r\nauthorization: ${authorization}\r\ncontent-type: ${TYPE}\r\ncontent-length: ${bytes}\r\n\r\n`,
  );
  const answered = once(socket, 'data').then(([chunk]) => String(chunk));
  answered.catch(() => undefined);
  return { socket, answered };
}
