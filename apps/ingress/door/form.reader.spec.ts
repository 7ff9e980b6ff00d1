import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { DaypassError } from '#libs/contracts/errors.js';
import { PIECE_BYTES, type FileOwner, type FileStore, type Kept } from '#libs/holds/file.store.js';
import { until } from '#libs/testing/until.js';
import { VisitorLeft } from '../refusals.js';
import { StepLine } from '../step.line.js';
import { BodyPlace } from './body.room.js';
import { FormReader, type ReadForm } from './form.reader.js';

const MIB = 1_048_576;
const HEADERS = { 'content-type': 'multipart/form-data; boundary=B' };
const owner: FileOwner = { requestId: 'r', keyId: 'k', lifeMs: 1_000 };

/** A store that notes what it holds, and takes its time. */
class Store {
  readonly mostOfKey = 1;
  pieces: Buffer[] = [];
  dropped = 0;
  underWay = 0;
  mostUnderWay = 0;
  answer: Kept = 'ok';
  gate: Promise<unknown> = Promise.resolve();

  async keep(_: FileOwner, piece: number, content: Buffer): Promise<Kept> {
    // Sealed before anything else happens.
    this.pieces[piece] = Buffer.from(content);
    this.mostUnderWay = Math.max(this.mostUnderWay, ++this.underWay);
    await this.gate;
    this.underWay--;
    return this.answer;
  }
  drop(): Promise<void> {
    this.dropped++;
    this.pieces = [];
    return Promise.resolve();
  }
}

function begin(store: Store, headers: Record<string, string> = HEADERS) {
  let held = 0;
  const place = new BodyPlace((bytes) => void (held += bytes));
  const payload = new PassThrough();
  const reader = new FormReader(store as unknown as FileStore, new StepLine(), {
    uploadBytes: 4 * MIB,
    fieldsBytes: 100_000,
    patienceMs: 2_000,
  });
  const read = reader.read({ headers } as unknown as FastifyRequest, payload as unknown as IncomingMessage, {
    owner,
    place,
    bytes: 0,
  });
  read.catch(() => undefined);
  return { payload, read, held: () => held };
}
const outcomeOf = (read: Promise<ReadForm>): Promise<ReadForm | string> =>
  read.catch((error: unknown) => {
    if (error instanceof DaypassError) return error.code;
    if (error instanceof VisitorLeft) return 'left';
    throw error;
  });
const part = (name: string, content: string | Buffer, filename?: string): Buffer =>
  Buffer.concat([
    Buffer.from(
      `--B\r\ncontent-disposition: form-data; name="${name}"${filename === undefined ? '' : `; filename="${filename}"`}\r\n\r\n`,
    ),
    Buffer.from(content),
    Buffer.from('\r\n'),
  ]);
/** As a socket does. */
function feed(payload: PassThrough, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; at += 65_536) payload.write(bytes.subarray(at, at + 65_536));
}
const END = Buffer.from('--B--\r\n');

describe('a form that arrives', () => {
  it('is held by one piece at a time, whatever its store takes', async () => {
    const store = new Store();
    const gate = Promise.withResolvers<void>();
    store.gate = gate.promise;
    const { payload, read, held } = begin(store);
    const file = Buffer.alloc(3 * MIB, 'x');
    feed(payload, part('file', file, 'a').subarray(0, -2));
    await until('a piece is on its way', () => store.underWay === 1);
    for (let turns = 0; turns < 100; turns++) await turn();
    expect([store.pieces.length, store.underWay]).toEqual([1, 1]);
    // Nobody reads on while the first piece is on its way.
    expect(payload.readableLength + payload.writableLength).toBeGreaterThan(MIB);
    expect(held()).toBe(3 * PIECE_BYTES + 2 * MIB);
    gate.resolve();
    payload.end(Buffer.concat([Buffer.from('\r\n'), part('note', 'ten chars!'), END]));
    const form = await read;
    expect(store.mostUnderWay).toBe(1);
    expect(Buffer.concat(store.pieces).equals(file)).toBe(true);
    expect(form).toMatchObject({ json: { note: 'ten chars!' }, bytes: 10, blobs: [{ bytes: file.length }] });
    // Its fields wait on.
    expect(held()).toBe(10);
    expect(store.dropped).toBe(0);
  });

  it('whose sender sends a byte at a time takes no more memory, and is whole', async () => {
    const store = new Store();
    const { payload, read } = begin(store);
    const bytes = Buffer.concat([part('file', 'abc'.repeat(400), 'a'), part('n', '1'), END]);
    for (const [index] of bytes.entries()) {
      payload.write(bytes.subarray(index, index + 1));
      if (index % 100 === 0) await turn();
    }
    payload.end();
    expect(await read).toMatchObject({ json: { n: '1' }, blobs: [{ bytes: 1_200, ref: '0-1' }] });
  });

  it('is refused where its store has no room, or does not answer, and where it has too much text', async () => {
    for (const [answer, code] of [
      ['key', 'rate_limit_exceeded'],
      ['all', 'overloaded'],
      ['gone', 'recovering'],
    ] as const) {
      const store = new Store();
      store.answer = answer;
      const { payload, read } = begin(store);
      payload.end(Buffer.concat([part('file', 'x', 'a'), END]));
      expect(await outcomeOf(read)).toBe(code);
      expect(store.dropped).toBe(1);
    }
    const failing = new Store();
    failing.keep = () => Promise.reject(new Error('Redis is away'));
    const { payload, read } = begin(failing);
    payload.end(Buffer.concat([part('file', 'x', 'a'), END]));
    expect(await outcomeOf(read)).toBe('overloaded');
    const wordy = begin(new Store());
    wordy.payload.end(Buffer.concat([part('a', 'x'.repeat(60_000)), part('b', 'x'.repeat(60_000)), END]));
    expect(await outcomeOf(wordy.read)).toBe('request_too_large');
  });

  it('that is cut gives back what it took once its last piece has settled', async () => {
    const store = new Store();
    const gate = Promise.withResolvers<void>();
    store.gate = gate.promise;
    const { payload, read } = begin(store);
    feed(payload, part('file', Buffer.alloc(MIB), 'a').subarray(0, MIB));
    await until('a piece is on its way', () => store.underWay === 1);
    payload.destroy();
    for (let turns = 0; turns < 50; turns++) await turn();
    expect(store.dropped).toBe(0);
    gate.resolve();
    expect(await outcomeOf(read)).toBe('left');
    expect([store.dropped, store.pieces]).toEqual([1, []]);
  });

  it('ends, whatever it is made of and however it is cut, and leaves nothing where it is refused', async () => {
    const word = fc.constantFrom(
      '--B',
      '--B--',
      '\r\n',
      '\r\n--B',
      '\r\n--B\r\n',
      '\r\n--B--\r\n',
      'content-disposition: form-data; name="a"',
      '; filename="f"',
      '; filename=""',
      '; name=',
      'content-type: audio/wav',
      'content-type: text/plain; charset=utf-99',
      '\r\n\r\n',
      '-',
      'x',
      '\0',
      ': ',
      '"',
      'content-disposition: attachment',
    );
    const piece = fc.oneof(
      { weight: 5, arbitrary: word.map((text) => Buffer.from(text)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)) },
      { weight: 2, arbitrary: fc.constantFrom(part('a', 'x'), part('f', 'y', 'f'), part('a[b]', 'x'), END) },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 25 }),
        fc.integer({ min: 1, max: 60 }),
        fc.boolean(),
        async (pieces, chunkBytes, isCut) => {
          const store = new Store();
          const { payload, read } = begin(store);
          const bytes = Buffer.concat(pieces);
          for (let at = 0; at < bytes.length; at += chunkBytes) payload.write(bytes.subarray(at, at + chunkBytes));
          if (isCut) payload.destroy();
          else payload.end();
          const outcome = await outcomeOf(read);
          if (typeof outcome === 'string') expect(store.pieces).toEqual([]);
          else
            expect(outcome.blobs.reduce((sum, blob) => sum + blob.bytes, 0)).toBe(Buffer.concat(store.pieces).length);
        },
      ),
      { numRuns: 300 },
    );
  }, 60_000);
});
