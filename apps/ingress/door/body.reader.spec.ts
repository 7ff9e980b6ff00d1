import { describe, expect, it } from '@jest/globals';
import type { FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { setImmediate as nextTick } from 'node:timers/promises';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { FileStore } from '#libs/holds/file.store.js';
import type { HoldStore } from '#libs/holds/hold.store.js';
import { VisitorLeft } from '../refusals.js';
import { StepLine } from '../step.line.js';
import type { Visitor } from './authenticator.service.js';
import { BodyReader, type ReadBody } from './body.reader.js';
import { KeyBytes } from './key.bytes.js';
import { setVisitor } from './visitor.js';

const LIMITS = { bodyBytes: 100_000, bodiesBytes: 300_000 };

class Uploads {
  private readonly reader: BodyReader;

  constructor(limits: Partial<DaypassConfig['limits']> = {}, countBytes: unknown = () => Promise.resolve('ok')) {
    const config = { limits: { ...LIMITS, ...limits } } as DaypassConfig;
    const holds = { countBytes } as unknown as HoldStore;
    this.reader = new BodyReader(config, new StepLine(), new KeyBytes(config, holds), {} as FileStore);
  }

  begin(
    key: string,
    headers: Record<string, string> = {},
    url = '/v1/chat/completions',
    method = 'POST',
  ): { pipe: PassThrough; read: Promise<ReadBody> } {
    const request = { headers, method, routeOptions: { url } } as unknown as FastifyRequest;
    setVisitor(request, { key: { id: key }, campaign: { id: `${key}'s` } } as Visitor);
    const pipe = new PassThrough();
    const read = this.reader.read(request, pipe as unknown as IncomingMessage);
    read.catch(() => undefined);
    return { pipe, read };
  }

  /** A body that has come but for its end. */
  async open(key: string, text: string): Promise<{ pipe: PassThrough; read: Promise<ReadBody> }> {
    const upload = this.begin(key);
    upload.pipe.write(text);
    await nextTick();
    return upload;
  }

  async whole(key: string, text: string, url?: string): Promise<ReadBody> {
    const { pipe, read } = this.begin(key, {}, url);
    pipe.end(text);
    return read;
  }
}

const textOf = (bytes: number): string => `"${'x'.repeat(bytes - 2)}"`;
const codeOf = (read: Promise<ReadBody>): Promise<string> =>
  read.then(
    () => 'read',
    (error: DaypassError | VisitorLeft) => (error instanceof DaypassError ? error.code : 'left'),
  );

describe('a body', () => {
  it('may be missing where something is deleted, and nowhere else', async () => {
    const uploads = new Uploads();
    const empty = (method: string): Promise<ReadBody> => {
      const { pipe, read } = uploads.begin('key_a', {}, '/v1/responses/:id', method);
      pipe.end();
      return read;
    };
    expect(await empty('DELETE')).toMatchObject({ json: undefined, bytes: 0 });
    expect(await codeOf(empty('POST'))).toBe('invalid_json');
  });

  it('may hold the tokens of an embeddings call where it comes to that, and nowhere else', async () => {
    const uploads = new Uploads({ bodyBytes: 1_000_000, bodiesBytes: 3_000_000 });
    const tokens = JSON.stringify({ input: Array.from({ length: 300_000 }, () => 7) });
    expect(await codeOf(uploads.whole('a', tokens, '/v1/embeddings'))).toBe('read');
    expect(await codeOf(uploads.whole('b', tokens))).toBe('invalid_request');
  });

  it('is read, however it comes', async () => {
    const { pipe, read } = new Uploads().begin('a');
    const text = JSON.stringify({ a: ['语', { b: 'x'.repeat(90_000) }] });
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += 7_919) pipe.write(bytes.subarray(at, at + 7_919));
    pipe.end();
    const body = await read;
    expect(body).toMatchObject({ json: JSON.parse(text), bytes: bytes.length });
  });

  it('of the largest size is read, and a byte more is refused at its end', async () => {
    const uploads = new Uploads();
    (await uploads.whole('a', textOf(100_000))).place.leave();
    const { pipe, read } = await uploads.open('a', textOf(100_001));
    const code = codeOf(read);
    const early = await Promise.race([code, nextTick('open')]);
    pipe.end();
    expect([early, await code]).toEqual(['open', 'request_too_large']);
  });

  it('that goes on and on is refused before its end', async () => {
    const { pipe, read } = await new Uploads().open('a', textOf(150_000));
    pipe.write(textOf(100_000));
    expect(await codeOf(read)).toBe('request_too_large');
  });

  it('that announces twice the largest size is refused at once, and so is a compressed one', async () => {
    const uploads = new Uploads();
    expect(await codeOf(uploads.begin('a', { 'content-length': '200001' }).read)).toBe('request_too_large');
    expect(await codeOf(uploads.begin('a', { 'content-encoding': 'gzip' }).read)).toBe('unsupported_content_type');
  });

  it.each(['end', 'destroy'] as const)('that breaks off is told apart from one that is broken: %s', async (how) => {
    const { pipe, read } = await new Uploads().open('a', '{"a":');
    pipe[how]();
    expect(await codeOf(read)).toBe(how === 'end' ? 'invalid_json' : 'left');
  });
});

describe('the bytes that a key may send', () => {
  it('are counted before a large body is parsed, also of one in chunks', async () => {
    const counted: number[] = [];
    const countBytes = (_: string, bytes: number) => {
      counted.push(bytes);
      return Promise.resolve(counted.length > 1 ? { code: 'bytes', limit: 1, waitMs: 60_000, need: bytes } : 'ok');
    };
    const uploads = new Uploads({}, countBytes);
    expect(await uploads.whole('a', textOf(80_000))).toMatchObject({ isCounted: true });
    // What is no JSON would be refused as such, if anybody read it.
    expect(await codeOf(uploads.whole('a', '{'.repeat(80_000)))).toBe('rate_limit_exceeded');
    expect(counted).toEqual([80_000, 80_000]);
    expect(await uploads.whole('a', textOf(1_000))).toMatchObject({ isCounted: false });
  });
});

describe('the room for bodies', () => {
  it('belongs to one key by a quarter at most, and by one largest body at least', async () => {
    const uploads = new Uploads({ bodiesBytes: 800_000 });
    await uploads.open('a', textOf(100_000));
    await uploads.open('a', textOf(100_000));
    const third = await uploads.open('a', '"');
    third.pipe.end();
    await expect(third.read).rejects.toMatchObject({
      code: 'rate_limit_exceeded',
      retryAfterMs: 1_000,
      message: expect.stringContaining('200000 bytes'),
    });
    expect((await uploads.whole('b', textOf(100_000))).bytes).toBe(100_000);
    expect(await codeOf(new Uploads({ bodiesBytes: 100_000 }).whole('a', textOf(100_000)))).toBe('read');
  });

  it('is bounded for all keys together', async () => {
    const uploads = new Uploads();
    // One more than fit, because each of them has nothing else there.
    for (const key of ['a', 'b', 'c', 'd']) await uploads.open(key, textOf(100_000));
    await expect(uploads.whole('e', textOf(100_000))).rejects.toMatchObject({
      code: 'overloaded',
      retryAfterMs: 5_000,
    });
  });

  it.each<[string, (upload: { pipe: PassThrough; read: Promise<ReadBody> }) => Promise<unknown>]>([
    ['breaks off', async ({ pipe, read }) => [pipe.destroy(), await codeOf(read)]],
    ['is no JSON', async ({ pipe, read }) => [pipe.end(), await codeOf(read)]],
    ['is too large, while it still comes', async ({ pipe }) => [pipe.write(textOf(50_000)), await nextTick()]],
    ['belongs to a call that has its hold', async ({ pipe, read }) => [pipe.end('"'), (await read).place.leave()]],
  ])('is free again when a body %s', async (_, end) => {
    const uploads = new Uploads();
    const upload = await uploads.open('a', `"${'x'.repeat(90_000)}`);
    expect(await codeOf(uploads.whole('a', textOf(20_000)))).toBe('rate_limit_exceeded');
    await end(upload);
    const body = await uploads.whole('a', textOf(100_000));
    // A place is given back once.
    body.place.leave();
    body.place.leave();
    await uploads.whole('a', textOf(100_000));
    expect(await codeOf(uploads.whole('a', '1'))).toBe('rate_limit_exceeded');
  });

  it('is held by a body until its call has its hold', async () => {
    const uploads = new Uploads();
    await uploads.whole('a', textOf(100_000));
    expect(await codeOf(uploads.whole('a', '1'))).toBe('rate_limit_exceeded');
  });
});
