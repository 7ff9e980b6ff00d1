import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import Fastify from 'fastify';
import { until } from '#libs/testing/until.js';
import { AdminError } from '../domain/admin.error.js';
import { Downloads } from './downloads.js';

interface Row {
  id: number;
  text: string;
}

const app = Fastify();
let origin: string;
let downloads: Downloads;
/** How many rows were read of each open list, and how many lists have ended. */
let read: number;
let ended: number;
let rows: () => AsyncGenerator<Row>;

async function* endless(): AsyncGenerator<Row> {
  try {
    for (let id = 0; ; id++) {
      read += 1;
      yield { id, text: 'x'.repeat(1_000) };
    }
  } finally {
    ended += 1;
  }
}

async function* few(): AsyncGenerator<Row> {
  yield { id: 1, text: '=HYPERLINK("http://evil")' };
  yield { id: 2, text: 'a, "b"\nc' };
}

async function* broken(): AsyncGenerator<Row> {
  yield* few();
  throw new Error('Postgres went away');
}

beforeAll(async () => {
  app.get<{ Querystring: { format: 'csv' | 'jsonl' } }>('/', (request, reply) =>
    downloads.send(reply, { name: 'rows', columns: ['id', 'text'], format: request.query.format, rows: rows() }),
  );
  app.setErrorHandler((error, _, reply) =>
    reply.code(error instanceof AdminError ? error.status : 500).send({ code: (error as AdminError).code }),
  );
  await app.listen({ port: 0, host: '127.0.0.1' });
  origin = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
});
afterAll(() => app.close());
beforeEach(() => {
  downloads = new Downloads();
  [read, ended] = [0, 0];
});

/** A reader who has the head, and reads no further. */
async function open(format: string): Promise<IncomingMessage> {
  const [response] = (await once(get(`${origin}/?format=${format}`, { agent: false }), 'response')) as [
    IncomingMessage,
  ];
  return response;
}

describe('a download', () => {
  it('is a file of CSV, with formulas escaped, or of JSON Lines', async () => {
    rows = few;
    const csv = await fetch(`${origin}/?format=csv`);
    expect(csv.headers.get('content-disposition')).toBe('attachment; filename="rows.csv"');
    expect(csv.headers.get('content-type')).toBe('text/csv; charset=utf-8');
    expect(await csv.text()).toBe(`id,text\n1,"'=HYPERLINK(""http://evil"")"\n2,"a, ""b""\nc"\n`);
    const lines = await fetch(`${origin}/?format=jsonl`);
    expect(lines.headers.get('content-type')).toBe('application/x-ndjson');
    expect(
      (await lines.text())
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Row),
    ).toMatchObject([{ id: 1 }, { id: 2, text: 'a, "b"\nc' }]);
  });

  it.each(['csv', 'jsonl'])('as %s waits for a slow reader, and ends with him', async (format) => {
    rows = endless;
    const reader = await open(format);
    let before = -1;
    await until('it waits', () => {
      const isStill = read === before;
      before = read;
      return Promise.resolve(isStill && read > 0);
    });
    // What buffers of both sides hold, of rows of 1 kB.
    expect(read).toBeLessThan(20_000);
    reader.destroy();
    await until('the list ends', () => Promise.resolve(ended === 1));
  });

  it.each(['csv', 'jsonl'])('as %s that breaks is no whole file', async (format) => {
    rows = broken;
    await expect(
      fetch(`${origin}/?format=${format}`).then((answer) => (answer.ok ? answer.text() : 'refused')),
    ).rejects.toThrow();
    rows = few;
    expect((await fetch(`${origin}/?format=${format}`)).status).toBe(200);
  });

  it('has four others beside it at most, and leaves its place to the next', async () => {
    rows = endless;
    const readers = await Promise.all(Array.from({ length: 4 }, () => open('csv')));
    const fifth = await fetch(`${origin}/?format=csv`);
    expect([fifth.status, await fifth.json()]).toEqual([503, { code: 'too_busy' }]);
    readers[0]!.destroy();
    await until('a list ends', () => Promise.resolve(ended === 1));
    rows = few;
    expect((await fetch(`${origin}/?format=csv`)).status).toBe(200);
    for (const reader of readers) reader.destroy();
    await until('all lists end', () => Promise.resolve(ended === 4));
  });
});
