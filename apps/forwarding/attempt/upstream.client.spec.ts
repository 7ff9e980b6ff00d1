/** @modules own */
import { describe, expect, it, jest } from '@jest/globals';
import OpenAI, { APIError } from 'openai';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { CHAT } from '#libs/endpoints/chat/chat.endpoint.js';
import { MisshapenAnswer, type Endpoint } from '#libs/endpoints/endpoint.js';
import type { JsonObject } from '#libs/endpoints/json.js';
import { ENDPOINTS } from '#libs/endpoints/registry.js';
import type { FileStore } from '#libs/holds/file.store.js';
import { reactTo } from '../domain/upstream-failure.js';
import type { Ready } from './parallel.input.js';
import { failureOf, UpstreamClient } from './upstream.client.js';

const ticket = { model: 'm', stream: false, capTokens: 9, facts: {} } as unknown as Ticket;
const message = { role: 'assistant', content: 'a', reasoning_content: 'so' };

type Sent = { url: string; body: Record<string, unknown> };

/** A client whose two upstreams are at this address, and what they are sent. */
function clientFor(
  baseURL: string,
  { main = [], drops = [], key = 'sk-x' }: { main?: string[]; drops?: string[]; key?: string } = {},
): { client: UpstreamClient; sent: Sent[] } {
  const sent: Sent[] = [];
  const first = new OpenAI({
    apiKey: key,
    baseURL,
    fetch: (input, init) => {
      sent.push({
        url: input instanceof Request ? input.url : input.toString(),
        body: JSON.parse(init!.body as string) as Record<string, unknown>,
      });
      return Promise.resolve(new Response('{}'));
    },
  });
  const upstreams = [{ name: 'other', base_url: baseURL, keyless: true, models: { m: 'theirs' }, drops }];
  const config = { file: { main: { drops: main }, upstreams }, upstreamKeys: {} } as unknown as DaypassConfig;
  return { client: new UpstreamClient(config, first, {} as FileStore), sent };
}

const ready = (json: object = {}): Ready => ({
  ticket,
  body: { json: { model: 'm', messages: [message], ...json } as JsonObject, blobs: [] },
});

/** What an upstream at this address is sent. */
async function sentTo(baseURL: string, upstream = 'openai'): Promise<Sent> {
  const { client, sent } = clientFor(baseURL);
  await client.open(upstream, ready(), new AbortController().signal);
  return sent[0]!;
}

describe('an upstream', () => {
  it('that is OpenAI gets no reasoning of an earlier answer, which it refuses', async () => {
    for (const host of ['api.openai.com', 'eu.api.openai.com']) {
      const { url, body } = await sentTo(`https://${host}/v1`);
      expect([url, body]).toEqual([
        `https://${host}/v1/chat/completions`,
        { model: 'm', messages: [{ role: 'assistant', content: 'a' }], max_completion_tokens: 9 },
      ]);
    }
  });

  it('that is compatible gets it, under the name that it has for the model', async () => {
    for (const host of ['example.org', 'api.openai.com.example.org', 'fakeopenai.com'])
      expect((await sentTo(`https://${host}/v1`, 'other')).body).toMatchObject({
        model: 'theirs',
        messages: [message],
      });
  });

  it('has a tag that tells nothing of its name; the first has none', async () => {
    const { client } = clientFor('https://example.org/v1');
    const tagOf = async (name: string) => (await client.open(name, ready(), new AbortController().signal)).tag;
    expect(await tagOf('openai')).toBe('');
    expect(await tagOf('other')).toMatch(/^[0-9a-f]{8}$/);
  });

  it('that cannot be sent a call is not asked', async () => {
    const { client, sent } = clientFor('https://example.org/v1');
    const refused = new DaypassError('invalid_request', 'Another upstream made this.', { param: 'input' });
    const refuse = (): never => {
      throw refused;
    };
    (ENDPOINTS as Endpoint[]).push({ ...CHAT, name: 'refusing', call: refuse });
    const call = { ...ready(), ticket: { ...ticket, endpoint: 'refusing' } };
    await expect(client.open('openai', call, new AbortController().signal)).rejects.toMatchObject({
      name: 'Unsendable',
      error: refused,
    });
    expect(sent).toEqual([]);
  });

  it('that nobody configured is asked nothing', async () => {
    await expect(sentTo('https://example.org/v1', 'nobody')).rejects.toThrow("no upstream is called 'nobody'");
  });

  it('is told from another address and from another key, and shows neither', () => {
    const accounts = [
      clientFor('https://example.org/v1').client.accountOf('openai'),
      clientFor('https://example.org/v1').client.accountOf('other'),
      clientFor('https://example.com/v1').client.accountOf('openai'),
      clientFor('https://example.org/v1', { key: 'sk-y' }).client.accountOf('openai'),
    ];
    expect(new Set(accounts).size).toBe(4);
    expect(clientFor('https://example.org/v1').client.accountOf('openai')).toBe(accounts[0]);
    for (const account of accounts) expect(account).toMatch(/^[\w-]{16}$/);
  });
});

describe('parameters that an upstream does not know', () => {
  const given = {
    store: false,
    service_tier: 'default',
    safety_identifier: 'v',
    prompt_cache_key: 'theirs',
    stream_options: { include_usage: true },
  };
  const refusal = (status: number, unknown: string[]) =>
    APIError.generate(status, { error: { message: 'no', unknown } }, undefined, new Headers());
  const open = (client: UpstreamClient, name: string, json: object = given, without: string[] = []) =>
    client.open(name, ready(json), new AbortController().signal, without);

  it('are left out where the operator says so, of each upstream its own', async () => {
    const { client, sent } = clientFor('https://example.org/v1', {
      main: ['prompt_cache_key'],
      drops: ['store', 'safety_identifier', 'temperature'],
    });
    // Ingress has told the visitor of this one already, because it replaces it.
    expect((await open(client, 'openai')).dropped).toEqual([]);
    expect(sent[0]!.body).toMatchObject({ store: false, service_tier: 'default', safety_identifier: 'v' });
    expect(sent[0]!.body).not.toHaveProperty('prompt_cache_key');
    expect((await open(client, 'other', { ...given, temperature: 1 })).dropped).toEqual(['temperature']);
    expect(sent[1]!.body).toMatchObject({ service_tier: 'default', prompt_cache_key: 'theirs' });
    for (const name of ['store', 'safety_identifier', 'temperature']) expect(sent[1]!.body).not.toHaveProperty(name);
  });

  it('never are the cap, which goes on under its former name, nor a tier that the visitor asked for', async () => {
    const { client, sent } = clientFor('https://example.org/v1');
    const without = ['max_completion_tokens', 'service_tier'];
    await open(client, 'other', { ...given, service_tier: 'flex', max_completion_tokens: 7 }, without);
    expect(sent[0]!.body).toMatchObject({ max_tokens: 9, service_tier: 'flex' });
    expect(sent[0]!.body).not.toHaveProperty('max_completion_tokens');
    await open(client, 'other', { ...given, max_tokens: 7 }, ['max_tokens']);
    expect(sent[1]!.body).toMatchObject({ max_tokens: 9 });
  });

  it('are left out for a day once they were learned, for all calls', async () => {
    jest.useFakeTimers();
    try {
      const { client, sent } = clientFor('https://example.org/v1');
      client.remember('other', 'm', ['store']);
      await open(client, 'other');
      await open(client, 'openai');
      jest.setSystemTime(Date.now() + 86_400_001);
      await open(client, 'other');
      expect(sent.map(({ body }) => 'store' in body)).toEqual([false, true, true]);
    } finally {
      jest.useRealTimers();
    }
  });

  it('has `include` among them where a model has no encrypted reasoning, OpenAI too, for that model only', async () => {
    const { client, sent } = clientFor('https://api.openai.com/v1');
    const respond = (model = 'm', asked: string[] = []): Ready => ({
      ticket: { ...ticket, endpoint: 'responses', model },
      body: { json: { model, input: [] }, blobs: [], kept: { store: true, asked } },
    });
    const needless = (error: object, call = respond()) =>
      client.needless('openai', call, APIError.generate(400, { error }, undefined, new Headers()));
    const message = 'Encrypted content is not supported with this model.';
    expect(needless({ message, param: 'include' })).toEqual(['include']);
    expect(needless({ message })).toEqual(['include']);
    expect(needless({ message: 'no', param: 'include[0]' })).toEqual(['include']);
    expect(needless({ message: 'The encrypted content could not be verified.', param: 'input' })).toEqual([]);
    expect(needless({ message: 'no', param: 'included' })).toEqual([]);
    // What the visitor asked for would be refused again.
    expect(needless({ message, param: 'include' }, respond('m', ['reasoning.encrypted_content']))).toEqual([]);
    client.remember('openai', 'm', ['include']);
    for (const model of ['m', 'n']) await client.open('openai', respond(model), new AbortController().signal);
    expect(sent.map(({ body }) => 'include' in body)).toEqual([false, true]);
  });

  it('are needless only where Daypass can do without them', () => {
    const { client } = clientFor('https://example.org/v1');
    const needless = (error: unknown) => client.needless('other', ready(given), error);
    expect(needless(refusal(422, ['store', 'temperature', 'messages']))).toEqual(['store']);
    expect(needless(refusal(400, ['service_tier', 'max_completion_tokens']))).toEqual([
      'service_tier',
      'max_completion_tokens',
    ]);
    expect(needless(refusal(500, ['store']))).toEqual([]);
    expect(needless(refusal(400, []))).toEqual([]);
    expect(needless(new Error('store'))).toEqual([]);
    expect(
      clientFor('https://api.openai.com/v1').client.needless('openai', ready(given), refusal(400, ['store'])),
    ).toEqual([]);
  });
});

describe('a 200 that is no answer', () => {
  const reactionTo = (error: Record<string, unknown> | null) => reactTo(failureOf(new MisshapenAnswer('none', error)));

  it('is tried again, with the words of the upstream where it has some', () => {
    expect(reactionTo(null)).toMatchObject({ kind: 'retry', error: { code: 'upstream_error' } });
    expect(reactionTo({ message: 'overloaded', code: 'server_is_overloaded' })).toMatchObject({
      kind: 'retry',
      error: { message: 'overloaded' },
    });
  });

  it('means what its error object means elsewhere', () => {
    expect(reactionTo({ message: 'slow down', code: 'rate_limit_exceeded' })).toMatchObject({ kind: 'defer' });
    expect(reactionTo({ message: 'no', code: 'content_filter' })).toMatchObject({ kind: 'pass_on', strike: true });
    expect(reactionTo({ message: 'pay', code: 'insufficient_quota' })).toMatchObject({ kind: 'account' });
  });
});
