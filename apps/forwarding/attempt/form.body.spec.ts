/** @modules own */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import OpenAI from 'openai';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { EMBEDDINGS } from '#libs/endpoints/embeddings/embeddings.endpoint.js';
import type { Blob, Endpoint } from '#libs/endpoints/endpoint.js';
import { ENDPOINTS } from '#libs/endpoints/registry.js';
import { FilesGone, type FileStore } from '#libs/holds/file.store.js';
import { readForm, type SentForm } from '#libs/rehearsal/rehearsal.http.js';
import { plainFetch } from '#libs/service/plain-fetch.js';
import { reactTo } from '../domain/upstream-failure.js';
import { formBody } from './form.body.js';
import type { Ready } from './parallel.input.js';
import { causeCode, failureOf, UpstreamClient } from './upstream.client.js';

const FORMS: Endpoint = {
  ...EMBEDDINGS,
  name: 'forms-sent',
  call: (body) => ({ path: '/forms', body, form: 'multipart', dropped: [] }),
};
const ticket = {
  requestId: 'r',
  model: 'm',
  endpoint: FORMS.name,
  stream: false,
  capTokens: 0,
  facts: {},
} as unknown as Ticket;
const content = randomBytes(1_300_000);
const blobs: Blob[] = [
  { ref: '0-3', bytes: content.length, type: 'audio/wav', field: 'file', filename: 'my "secret" name\r\n.wav' },
  { ref: '3-1', bytes: 4, type: '', field: 'image[]' },
];
const json = { model: 'visitor', n: 2, stream: true, list: ['a', 'b'], of: { 'a"b\r\n': 'ü' } };

let server: Server;
let came: { headers: IncomingHttpHeaders; form: SentForm | Error }[] = [];
beforeAll(async () => {
  (ENDPOINTS as Endpoint[]).push(FORMS);
  server = createServer((request, response) => {
    void readForm(request)
      .catch((error: Error) => error)
      .then((form) => {
        came.push({ headers: request.headers, form });
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => {
  (ENDPOINTS as Endpoint[]).pop();
  server.closeAllConnections();
  server.close();
});
afterEach(() => void (came = []));
/** The one request that came. */
function whole(): { headers: IncomingHttpHeaders; form: SentForm } {
  const [one, ...more] = came;
  if (more.length > 0 || !one || one.form instanceof Error) throw new Error('not one whole form');
  return { headers: one.headers, form: one.form };
}

async function* pieces(_: string, { ref }: Pick<Blob, 'ref'>): AsyncGenerator<Buffer> {
  if (ref === '3-1') yield Buffer.from('abcd');
  else for (let at = 0; at < content.length; at += 524_288) yield content.subarray(at, at + 524_288);
}
function clientWith(files: Pick<FileStore, 'pieces'>): UpstreamClient {
  const baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const first = new OpenAI({ apiKey: 'sk-x', baseURL, maxRetries: 0, fetch: plainFetch() });
  const config = { file: { main: { drops: [] }, upstreams: [] }, upstreamKeys: {} } as unknown as DaypassConfig;
  return new UpstreamClient(config, first, files as FileStore);
}
const ready: Ready = { ticket, body: { json, blobs } };

describe('a form for an upstream', () => {
  it('goes out piece by piece under its length, with all fields and files', async () => {
    const { response } = await clientWith({ pieces }).open('openai', ready, new AbortController().signal);
    expect(response.status).toBe(200);
    const { headers, form } = whole();
    expect(headers['transfer-encoding']).toBeUndefined();
    expect(Number(headers['content-length'])).toBeGreaterThan(content.length);
    expect(headers.authorization).toBe('Bearer sk-x');
    expect(form.fields).toEqual({
      model: ['m'],
      n: ['2'],
      stream: ['true'],
      'list[]': ['a', 'b'],
      'of[a"b\r\n]': ['ü'],
    });
    expect(form.files.map(({ field, type }) => [field, type])).toEqual([
      ['file', 'audio/wav'],
      ['image[]', 'application/octet-stream'],
    ]);
    expect(form.files[0]!.content.equals(content)).toBe(true);
    expect(form.files[1]!.content.toString()).toBe('abcd');
  });

  it('has no name that a visitor gave a file: nobody has judged it', async () => {
    await clientWith({ pieces }).open('openai', ready, new AbortController().signal);
    const { form } = whole();
    expect(form.files.map(({ filename }) => filename)).toEqual(['file.wav', 'file.bin']);
  });

  it('of which Redis lost a piece breaks off, and its upstream has no whole form', async () => {
    const lost = clientWith({
      async *pieces() {
        yield content.subarray(0, 524_288);
        throw new FilesGone();
      },
    });
    const error: unknown = await lost.open('openai', ready, new AbortController().signal).catch((one: unknown) => one);
    expect(causeCode(error)).toBe('FILES_GONE');
    expect(came.every(({ form }) => form instanceof Error)).toBe(true);
    // Without its cause it would be booked.
    expect(reactTo(failureOf(error)).kind).toBe('unknown');
  });

  it('is as long as it says, whatever it holds', async () => {
    for (const [fields, files] of [
      [{}, []],
      [json, []],
      [{}, blobs],
    ] as const) {
      const { headers, body } = formBody(fields, files, (blob) => pieces('r', blob));
      let bytes = 0;
      for await (const piece of body) bytes += piece.byteLength;
      expect(String(bytes)).toBe(headers['content-length']);
    }
  });
});
