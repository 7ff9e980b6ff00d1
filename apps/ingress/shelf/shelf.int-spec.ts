import 'reflect-metadata';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import OpenAI from 'openai';
import { z } from 'zod';
import { loadConfig, type DaypassConfig } from '#libs/config/config.js';
import type { JsonObject } from '#libs/endpoints/json.js';
import { Money } from '#libs/holds/money.fixture.js';
import { redisKeys } from '#libs/redis/keys.js';
import { createVirtualKey, hashVirtualKey } from '#libs/secrets/virtual-key.js';
import { createLogger } from '#libs/service/logger.js';
import { createRegistry } from '#libs/service/ops-server.js';
import { message, shelved } from '#libs/shelf/shelf.fixture.js';
import { ShelfStore } from '#libs/shelf/shelf.store.js';
import { UnreadAnswers } from '../answers/unread.answers.js';
import { createIngress } from '../ingress.app.js';
import { SHELF_ROUTES } from './shelf.routes.js';

let money: Money;
let config: DaypassConfig;
let app: NestFastifyApplication;
let baseURL: string;
beforeAll(async () => {
  money = await Money.start();
  config = loadConfig('ingress', {
    REDIS_URL: money.url,
    DAYPASS_SECRET: 'a secret that only tests know, long enough',
    DAYPASS_LOG_LEVEL: 'silent',
    DAYPASS_MAX_BODY_BYTES: '1000000',
  });
  app = await createIngress(config, createLogger('ingress', 'silent'), createRegistry('ingress'));
  await app.listen(0, '127.0.0.1');
  baseURL = `${await app.getUrl()}/v1`;
});
afterAll(async () => {
  // Clients keep their connections, and nobody waits for these here.
  app?.getHttpServer().closeAllConnections();
  await app?.close();
  await money?.stop();
});
beforeEach(async () => {
  await money.reset();
  await money.campaign({ policy: { input: 'off' } });
});

const owner = { keyId: 'k', campaignId: 'c' };
async function newKey(changes: Parameters<Money['key']>[0] = {}): Promise<string> {
  const key = createVirtualKey();
  await money.key({ tokenHash: hashVirtualKey(key, config.secrets.tokenPepper), ...changes });
  return key;
}
const clientOf = (apiKey: string): OpenAI => new OpenAI({ apiKey, baseURL, maxRetries: 0 });
const clientOfKey = async (changes = {}): Promise<OpenAI> => clientOf(await newKey(changes));
const put = (record = shelved('a')) => app.get(ShelfStore).put(owner, record);
const faultOf = (work: Promise<unknown>) =>
  work.then(
    () => 'none',
    ({ status, code, param, message: text }: InstanceType<typeof OpenAI.APIError>) => ({
      status,
      code,
      param,
      text: text.replace(/^\d+ /, ''),
    }),
  );
const refusal = async (path: string, key: string, init: RequestInit = {}) => {
  const response = await fetch(`${baseURL}${path}`, {
    ...init,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
  });
  const { error } = (await response.json()) as { error: { code: string; param: string | null } };
  return `${response.status} ${error.code} ${error.param ?? ''}`.trim();
};

describe('a stored response', () => {
  it('is read and deleted with the official client, by its own key only', async () => {
    const [client, other] = [await clientOfKey(), await clientOfKey({ id: 'k2' })];
    await put();
    const response = await client.responses.retrieve('resp_a');
    expect(response).toMatchObject({ id: 'resp_a', status: 'completed', output_text: 'answer of a' });
    const unknown = {
      status: 404,
      code: 'not_found',
      param: 'response_id',
      text: "Response with id 'resp_a' not found.",
    };
    expect(await faultOf(other.responses.retrieve('resp_a'))).toEqual(unknown);
    expect(await faultOf(other.responses.delete('resp_a'))).toEqual(unknown);
    expect(await client.responses.delete('resp_a')).toEqual({ id: 'resp_a', object: 'response', deleted: true });
    expect(await faultOf(client.responses.retrieve('resp_a'))).toEqual(unknown);
    expect(await faultOf(client.responses.delete('resp_a'))).toEqual(unknown);
    expect(await faultOf(client.responses.retrieve('msg_a_in'))).toMatchObject({ status: 404 });
  });

  it('shows encrypted thoughts only where somebody asks for them', async () => {
    const client = await clientOfKey();
    const shown = { type: 'reasoning', id: 'rs_1', summary: [] };
    const whole = { ...shown, encrypted_content: 'gAAA' };
    const response = { id: 'resp_a', object: 'response', output: [shown] };
    await put(shelved('a', { response, output: [{ item: whole }], input: [{ ...whole, id: 'rs_0' }] }));
    const include: OpenAI.Responses.ResponseIncludable[] = ['reasoning.encrypted_content'];
    expect((await client.responses.retrieve('resp_a')).output).toEqual([shown]);
    expect((await client.responses.retrieve('resp_a', { include })).output).toEqual([whole]);
    const items = async (query: object) => (await client.responses.inputItems.list('resp_a', query)).data;
    expect(await items({})).toEqual([{ ...shown, id: 'rs_0' }]);
    expect(await items({ include })).toEqual([{ ...whole, id: 'rs_0' }]);
    // Also where the first answer showed them.
    await put(shelved('b', { response: { ...response, id: 'resp_b', output: [whole] }, output: [{ item: whole }] }));
    expect((await client.responses.retrieve('resp_b')).output).toEqual([shown]);
  });

  it('lists its input in pages, newest first', async () => {
    const client = await clientOfKey();
    const input = Array.from({ length: 45 }, (_, at) => message(`msg_${at}`, `text ${at}`));
    await put(shelved('a', { input }));
    const all: unknown[] = [];
    for await (const one of client.responses.inputItems.list('resp_a')) all.push(one.id);
    expect(all).toEqual(input.map(({ id }) => id).toReversed());
    const page = await client.get<{ data: unknown[] }>('/responses/resp_a/input_items', {
      query: { order: 'asc', after: 'msg_1', limit: 2 },
    });
    expect(page).toMatchObject({ has_more: true, first_id: 'msg_2', last_id: 'msg_3', object: 'list' });
    expect(page.data[0]).toMatchObject({ type: 'message', role: 'user', status: 'completed' });
    expect((await client.responses.inputItems.list('resp_a', { order: 'asc', after: 'msg_42' })).has_more).toBe(false);
    const first = await client.responses.inputItems.list('resp_a');
    expect(first.data).toHaveLength(20);
    expect(
      await faultOf(Promise.resolve(client.responses.inputItems.list('resp_a', { after: 'msg_no' }))),
    ).toMatchObject({ status: 404, param: 'after' });
  });

  it.each([
    ['stream=true', 'invalid_request stream'],
    ['starting_after=3', 'invalid_request starting_after'],
    ['include_obfuscation=false', 'invalid_request include_obfuscation'],
    ['include[]=everything', 'invalid_request include'],
    ['expand=all', 'unknown_parameter expand'],
  ])('refuses ?%s by name', async (query, what) => {
    const key = await newKey();
    await put();
    expect(await refusal(`/responses/resp_a?${query}`, key)).toBe(`400 ${what}`);
  });

  it.each([
    ['limit=0', 'invalid_request limit'],
    ['limit=101', 'invalid_request limit'],
    ['limit=ten', 'invalid_request limit'],
    ['limit=1&limit=2', 'invalid_request limit'],
    ['order=newest', 'invalid_request order'],
    ['after=a&after=b', 'invalid_request after'],
    ['before=a', 'unknown_parameter before'],
  ])('refuses input_items?%s by name', async (query, what) => {
    const key = await newKey();
    await put();
    expect(await refusal(`/responses/resp_a/input_items?${query}`, key)).toBe(`400 ${what}`);
  });

  it('says stream=false like a client that always says it', async () => {
    const client = await clientOfKey();
    await put();
    expect(await client.responses.retrieve('resp_a', { stream: false })).toMatchObject({ id: 'resp_a' });
  });
});

describe('a conversation', () => {
  it('is made, changed, filled, read and deleted with the official client', async () => {
    const client = await clientOfKey();
    const conversation = await client.conversations.create({
      metadata: { topic: 'tests' },
      items: [{ role: 'user', content: 'hello' }],
    });
    expect(conversation).toEqual({
      id: expect.stringMatching(/^conv_[0-9a-f]{32}$/),
      object: 'conversation',
      created_at: expect.any(Number),
      metadata: { topic: 'tests' },
    });
    const { id } = conversation;
    expect(await client.conversations.retrieve(id)).toEqual(conversation);
    const changed = { ...conversation, metadata: { topic: 'others' } };
    expect(await client.conversations.update(id, { metadata: { topic: 'others' } })).toEqual(changed);
    const added = await client.conversations.items.create(id, {
      items: [
        { type: 'message', role: 'assistant', content: 'hi' },
        { type: 'function_call_output', call_id: 'call_1', output: '7' },
      ],
    });
    expect(added).toMatchObject({ object: 'list', has_more: false, first_id: added.data[0]!.id });
    expect(added.data).toMatchObject([
      { type: 'message', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text: 'hi' }] },
      { type: 'function_call_output', output: '7', id: expect.stringMatching(/^fco_/) },
    ]);
    const all: OpenAI.Conversations.ConversationItem[] = [];
    for await (const one of client.conversations.items.list(id, { limit: 1, order: 'asc' })) all.push(one);
    expect(all[0]).toMatchObject({ role: 'user', content: [{ type: 'input_text', text: 'hello' }] });
    expect(all.slice(1)).toEqual(added.data);
    const one = { conversation_id: id };
    expect(await client.conversations.items.retrieve(all[0]!.id!, one)).toEqual(all[0]);
    expect(await client.conversations.items.delete(all[0]!.id!, one)).toEqual(changed);
    expect(await faultOf(client.conversations.items.retrieve(all[0]!.id!, one))).toMatchObject({
      status: 404,
      text: `Item with id '${all[0]!.id}' not found.`,
    });
    expect(await client.conversations.delete(id)).toEqual({ id, object: 'conversation.deleted', deleted: true });
    const gone = { status: 404, code: 'not_found', text: `Conversation with id '${id}' not found.` };
    for (const asked of [
      () => client.conversations.retrieve(id),
      () => client.conversations.update(id, { metadata: null }),
      () => client.conversations.delete(id),
      () => client.conversations.items.create(id, { items: [{ role: 'user', content: 'late' }] }),
      () => Promise.resolve(client.conversations.items.list(id)),
    ])
      expect(await faultOf(asked())).toMatchObject(gone);
  });

  it('begins empty, also without a body', async () => {
    const key = await newKey();
    const client = clientOf(key);
    const { id, metadata } = await client.conversations.create();
    expect([(await client.conversations.items.list(id)).data, metadata]).toEqual([[], {}]);
    const bare = await fetch(`${baseURL}/conversations`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}` },
    });
    expect([bare.status, ((await bare.json()) as JsonObject).object]).toEqual([200, 'conversation']);
  });

  it('has the items of a response that was made in it', async () => {
    const client = await clientOfKey();
    const { id } = await client.conversations.create({ items: [{ role: 'user', content: 'hello' }] });
    await put(shelved('a', { conversation: id }));
    const { data } = await client.conversations.items.list(id, { order: 'asc' });
    expect(data.map((one) => one.id).slice(1)).toEqual(['msg_a_in', 'msg_a_out']);
  });

  const of = (body: unknown) => ({ method: 'POST', body: JSON.stringify(body) });
  const items = (count: number) => Array.from({ length: count }, () => ({ role: 'user', content: 'x' }));
  it.each<[string, unknown, string]>([
    ['an array', [], '400 invalid_request'],
    ['an unknown field', { title: 'x' }, '400 unknown_parameter title'],
    ['metadata that is text', { metadata: 'x' }, '400 invalid_request metadata'],
    ['a number in metadata', { metadata: { a: 1 } }, '400 invalid_request metadata.a'],
    ['a long name in metadata', { metadata: { ['a'.repeat(65)]: '' } }, '400 invalid_request metadata'],
    ['a long value in metadata', { metadata: { a: 'x'.repeat(513) } }, '400 invalid_request metadata.a'],
    [
      '17 pairs',
      { metadata: Object.fromEntries(items(17).map((_, at) => [`n${at}`, ''])) },
      '400 invalid_request metadata',
    ],
    ['21 items', { items: items(21) }, '400 invalid_request items'],
    ['items that are text', { items: 'hello' }, '400 invalid_request items'],
    ['an item that is text', { items: ['hello'] }, '400 invalid_request items[0]'],
  ])('is not made of %s', async (_, body, fault) => {
    expect(await refusal('/conversations', await newKey(), of(body))).toBe(fault);
  });

  it('is not changed by a wrong body', async () => {
    const key = await newKey();
    const { id } = await clientOf(key).conversations.create({ metadata: { a: 'b' } });
    expect(await refusal(`/conversations/${id}`, key, of({}))).toBe('400 invalid_request metadata');
    expect(await refusal(`/conversations/${id}`, key, of({ items: [] }))).toBe('400 unknown_parameter items');
    expect(await refusal(`/conversations/${id}/items`, key, of({}))).toBe('400 invalid_request items');
    expect(await refusal(`/conversations/${id}/items`, key, of({ items: [] }))).toBe('400 invalid_request items');
    expect(await refusal(`/conversations/${id}/items?x=1`, key, of({ items: items(1) }))).toBe(
      '400 unknown_parameter x',
    );
    expect(await refusal(`/conversations/${id}`, key, { method: 'POST', body: '{' })).toBe('400 invalid_json');
    expect(await clientOf(key).conversations.retrieve(id)).toMatchObject({ metadata: { a: 'b' } });
  });
});

describe('/docs', () => {
  const routes = new Map(SHELF_ROUTES.map((route) => [route.operationId, route]));
  const takes = (schema: object, value: unknown): boolean =>
    z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]).safeParse(value).success;

  it('has the form of every answer', async () => {
    await money.campaign({ policy: { input: 'off' }, models: ['gpt-5.4-mini'] });
    const client = await clientOfKey();
    await put();
    const { id } = await client.conversations.create({ metadata: { a: 'b' }, items: [{ role: 'user', content: 'x' }] });
    const [item] = (await client.conversations.items.list(id)).data;
    for (const [operationId, route] of routes) {
      const of = operationId.startsWith('responses') ? 'resp_a' : id;
      const path = route.path.replace('/v1', '').replace('{id}', of).replace('{itemId}', String(item!.id));
      // What is cancelled runs in the background: test/background.e2e-spec.ts.
      if (route.method === 'DELETE' || operationId === 'responses.cancel') continue;
      const answer = await client[route.method === 'GET' ? 'get' : 'post'](path, { body: route.request?.sample });
      expect([operationId, answer, takes(route.answer, answer)]).toEqual([operationId, answer, true]);
    }
    for (const operationId of ['responses.delete', 'conversations.items.delete', 'conversations.delete']) {
      const { path, answer: schema } = routes.get(operationId)!;
      const of = operationId.startsWith('responses') ? 'resp_a' : id;
      const answer = await client.delete(path.replace('/v1', '').replace('{id}', of).replace('{itemId}', item!.id!));
      expect([operationId, answer, takes(schema, answer)]).toEqual([operationId, answer, true]);
      expect(takes(schema, {})).toBe(false);
    }
  });

  it.each<[string, unknown, string]>([
    ['conversations.create', {}, '200'],
    ['conversations.create', { items: [] }, '200'],
    ['conversations.create', { title: 'x' }, '400 unknown_parameter title'],
    ['conversations.create', { metadata: { a: 1 } }, '400 invalid_request metadata.a'],
    ['conversations.create', { metadata: { a: 'x'.repeat(513) } }, '400 invalid_request metadata.a'],
    ['conversations.create', { metadata: { ['a'.repeat(65)]: '' } }, '400 invalid_request metadata'],
    ['conversations.create', { items: [{ type: 'item_reference', id: 'msg_1' }] }, '400 invalid_request items[0]'],
    ['conversations.create', { items: [{ type: 'program' }] }, '400 invalid_request items[0]'],
    ['conversations.update', { metadata: null }, '200'],
    ['conversations.update', {}, '400 invalid_request metadata'],
    ['conversations.items.create', { items: [] }, '400 invalid_request items'],
    [
      'conversations.items.create',
      { items: [{ type: 'message', role: 'user' }] },
      '400 invalid_request items[0].content',
    ],
  ])('takes for %s what is taken: %j', async (operationId, asked, outcome) => {
    const key = await newKey();
    const { id } = await clientOf(key).conversations.create();
    const { path, request } = routes.get(operationId)!;
    const response = await fetch(`${baseURL}${path.replace('/v1', '').replace('{id}', id)}`, {
      method: 'POST',
      body: JSON.stringify(asked),
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    });
    const { error } = (await response.json()) as { error?: { code: string; param: string } };
    expect([response.status, ...(error ? [error.code, error.param] : [])].join(' ')).toBe(outcome);
    expect(takes(request!.schema, asked)).toBe(outcome === '200');
  });
});

describe('the limits of a key', () => {
  it('count requests to the shelf, which cost nothing', async () => {
    const client = await clientOfKey({ limits: { rpm: 3, tpm: 0, concurrent: 0 } });
    await put();
    for (let at = 0; at < 3; at++) await client.responses.retrieve('resp_a');
    const refused = await faultOf(client.responses.retrieve('resp_a'));
    expect(refused).toMatchObject({
      status: 429,
      code: 'rate_limit_exceeded',
      text: expect.stringContaining('3 requests'),
    });
    expect(await money.window(redisKeys.keyWindow('k'))).toEqual({ requests: 3, tokens: 0 });
    expect(await money.balance(redisKeys.key('k'))).toEqual({ spent: 0, held: 0 });
  });

  it('let nobody read more than four bodies may have', async () => {
    const client = await clientOfKey();
    await put(shelved('a', { input: [message('msg_a', 'x'.repeat(3_900_000))] }));
    await put(shelved('b', { input: [message('msg_b', 'x'.repeat(4_000_000))] }));
    expect(await client.responses.retrieve('resp_a')).toMatchObject({ id: 'resp_a' });
    expect(await faultOf(client.responses.retrieve('resp_b'))).toMatchObject({ code: 'request_too_large' });
  });

  it('of bytes are those of the service where the key has none of its own', async () => {
    const client = await clientOfKey();
    await put(shelved('a', { input: [message('msg_a', 'x'.repeat(1_000))] }));
    await client.responses.retrieve('resp_a');
    expect((await money.window(redisKeys.keyBytes('k'))).tokens).toBeGreaterThan(1_000);
  });

  it('hold for answers that nobody reads', async () => {
    const client = await clientOfKey();
    await put();
    const watch = jest.spyOn(app.get(UnreadAnswers), 'watch');
    await client.responses.retrieve('resp_a');
    expect(watch.mock.calls.map(([, holder]) => holder)).toEqual([owner]);
    watch.mockRestore();
  });

  it('count the bytes that come and those that go', async () => {
    const limits = { rpm: 0, tpm: 0, concurrent: 0, bytes_per_hour: 3_000 };
    const client = await clientOfKey({ limits });
    await put(shelved('a', { input: [message('msg_a', 'x'.repeat(1_000))] }));
    await client.conversations.create({ metadata: { a: 'x'.repeat(500) } });
    const { tokens: sent } = await money.window(redisKeys.keyBytes('k'));
    expect(sent).toBeGreaterThan(500);
    await client.responses.retrieve('resp_a');
    expect((await money.window(redisKeys.keyBytes('k'))).tokens).toBeGreaterThan(sent + 1_000);
    expect(await faultOf(client.responses.retrieve('resp_a'))).toMatchObject({
      status: 429,
      text: expect.stringContaining('3000 bytes an hour'),
    });
  });

  it('hold for bodies: one too large is refused, and their room is free again', async () => {
    const key = await newKey({ id: 'k3' });
    const body = (text: string) => ({
      method: 'POST',
      body: JSON.stringify({ items: [{ role: 'user', content: text }] }),
    });
    expect(await refusal('/conversations', key, body('x'.repeat(1_000_000)))).toBe('413 request_too_large');
    // Far more than the room for bodies has for one key.
    for (let at = 0; at < 45; at++) {
      const response = await fetch(`${baseURL}/conversations`, {
        ...body('x'.repeat(900_000)),
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      });
      expect(response.status).toBe(200);
    }
  });

  it('are those of a caller: whoever may not call does not read either', async () => {
    await put();
    expect(await refusal('/responses/resp_a', await newKey({ status: 'suspended' }))).toBe('403 key_suspended');
    expect(await refusal('/responses/resp_a', await newKey({ status: 'revoked' }))).toBe('401 invalid_api_key');
    expect(await refusal('/conversations', createVirtualKey(), { method: 'POST' })).toBe('401 invalid_api_key');
  });
});

describe('a campaign that keeps nothing', () => {
  it('knows no id, and makes no conversation', async () => {
    const client = await clientOfKey();
    await put();
    const { id } = await client.conversations.create();
    await money.campaign({ policy: { input: 'off', shelf: 'off' } });
    expect(await faultOf(client.responses.retrieve('resp_a'))).toMatchObject({ status: 404, code: 'not_found' });
    expect(await faultOf(client.conversations.retrieve(id))).toMatchObject({ status: 404, code: 'not_found' });
    const refused = await faultOf(client.conversations.create());
    expect(refused).toMatchObject({ status: 404, text: expect.stringContaining('keeps no conversations') });
  });

  it('may also be a single key of it', async () => {
    await put();
    const client = await clientOfKey({ policy: { shelf: 'off' } });
    expect(await faultOf(client.responses.retrieve('resp_a'))).toMatchObject({ status: 404, code: 'not_found' });
    expect(await faultOf(client.conversations.create())).toMatchObject({ status: 404 });
  });
});
