/** @modules own */
import 'reflect-metadata';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { loadConfig, type DaypassConfig } from '#libs/config/config.js';
import { readBody } from '#libs/endpoints/body.js';
import { CHAT } from '#libs/endpoints/chat/chat.endpoint.js';
import type { Endpoint } from '#libs/endpoints/endpoint.js';
import type { JsonObject } from '#libs/endpoints/json.js';
import { ENDPOINTS } from '#libs/endpoints/registry.js';
import type { Ref } from '#libs/endpoints/shelved.js';
import { Money } from '#libs/holds/money.fixture.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { createVirtualKey, hashVirtualKey } from '#libs/secrets/virtual-key.js';
import { createLogger } from '#libs/service/logger.js';
import { createRegistry } from '#libs/service/ops-server.js';
import { message, shelved } from '#libs/shelf/shelf.fixture.js';
import { ShelfStore } from '#libs/shelf/shelf.store.js';
import { until } from '#libs/testing/until.js';
import { createIngress } from '../ingress.app.js';

const model = 'gpt-5.4-mini';
const textOf = ({ role, content }: JsonObject) => ({ role, content: (content as [{ text: string }])[0].text });
/** Chat with names: what a response has is put before its messages. */
const NAMING: Endpoint = {
  ...CHAT,
  name: 'naming',
  path: '/v1/naming',
  parse: ({ json, ...body }) => {
    const { refs, ...chat } = json as { refs?: Ref[] };
    return { ...CHAT.parse({ json: chat, ...body }), refs: refs ?? [] };
  },
  expand: (request, { before, items }) => {
    const json = request.body.json as { messages: unknown[] };
    const found = [...before, ...items.values()].map(({ item }) => textOf(item));
    return { ...request, body: { ...request.body, json: { ...json, messages: [...found, ...json.messages] } } };
  },
  forwarded: (request, forced) => {
    const body = CHAT.forwarded(request, forced);
    return { ...body, kept: { shelf: forced.shelf ?? null } };
  },
};

let money: Money;
let config: DaypassConfig;
let app: NestFastifyApplication;
let url: string;
beforeAll(async () => {
  (ENDPOINTS as Endpoint[]).push(NAMING);
  money = await Money.start();
  config = loadConfig('ingress', {
    REDIS_URL: money.url,
    DAYPASS_SECRET: 'a secret that only tests know, long enough',
    DAYPASS_LOG_LEVEL: 'silent',
    DAYPASS_MAX_BODY_BYTES: '1000000',
    DAYPASS_BODIES_MAX_BYTES: '40000000',
    DAYPASS_KEY_BYTES_PER_HOUR: '0',
  });
  app = await createIngress(config, createLogger('ingress', 'silent'), createRegistry('ingress'));
  await app.listen(0, '127.0.0.1');
  url = `${await app.getUrl()}/v1/naming`;
});
afterAll(async () => {
  // Clients keep their connections, and nobody waits for these here.
  app?.getHttpServer().closeAllConnections();
  await app?.close();
  await money?.stop();
});

let key: string;
beforeEach(async () => {
  await money.reset();
  await money.campaign({ models: [model], policy: { input: 'off' }, budgetNano: 10n ** 12n });
  key = createVirtualKey();
  await newKey('k', key);
});

const newKey = (id: string, token: string, changes = {}) =>
  money.key({
    id,
    tokenHash: hashVirtualKey(token, config.secrets.tokenPepper),
    budgetNano: 10n ** 12n,
    ...changes,
  });
const put = (record = shelved('a'), keyId = 'k') => app.get(ShelfStore).put({ keyId, campaignId: 'c' }, record);
const previous = (id = 'a'): Ref => ({ kind: 'response', id: `resp_${id}`, param: 'previous_response_id' });
const post = (body: object, signal?: AbortSignal, token = key) =>
  fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'and now?' }], max_tokens: 20, ...body }),
    ...(signal ? { signal } : {}),
  });
const faultOf = async (body: object) => {
  const response = await post(body);
  const { error } = (await response.json()) as { error: { code: string; param: string | null; message: string } };
  return `${response.status} ${error.code} ${error.param ?? ''}: ${error.message}`;
};

interface Admitted {
  texts: string[];
  kept: unknown;
  inputTokens: number;
  repeatHash?: string;
}

/** What waits for the upstream, with its ticket, of a call that is admitted. */
async function admitted(body: object): Promise<Admitted> {
  const left = new AbortController();
  const answer = post(body, left.signal).then(
    async (response) => new Error(await response.text()),
    () => undefined,
  );
  const { redis } = money;
  const tickets = () => redis.keys(`${redisKeys.ticketPrefix}*`);
  await until('the call waits in its lane', async () => (await tickets()).length > 0);
  const [ticket] = await tickets();
  const { requestId, inputTokens, repeatHash } = JSON.parse((await redis.get(ticket!))!) as Admitted & {
    requestId: string;
  };
  const sealed = (await redis.getBuffer(redisKeys.body(requestId)))!;
  const { json, kept } = readBody(new ContentBox(config.secrets.contentKey).open(sealed, requestId));
  left.abort();
  expect(await answer).toBeUndefined();
  await until('the call is given up', async () => (await tickets()).length === 0);
  const { messages } = json as { messages: { content: string }[] };
  return { texts: messages.map(({ content }) => content), kept, inputTokens, ...(repeatHash && { repeatHash }) };
}

describe('a call that names what its key may name', () => {
  it('is counted, held and sent with contents in the place of names', async () => {
    await put();
    await put(shelved('b', { parent: 'resp_a' }));
    const bare = await admitted({});
    expect(bare.texts).toEqual(['and now?']);
    const { texts, inputTokens, kept } = await admitted({ refs: [previous('b')] });
    expect(texts).toEqual(['question of a', 'answer of a', 'question of b', 'answer of b', 'and now?']);
    expect(inputTokens).toBeGreaterThan(bare.inputTokens + 20);
    expect(kept).toEqual({ shelf: null });
    const item: Ref = { kind: 'item', id: 'msg_a_out', param: 'input' };
    expect((await admitted({ refs: [item] })).texts).toEqual(['answer of a', 'and now?']);
  });

  it('is refused before a hold where something is not there', async () => {
    await put(shelved('a'), 'k2');
    expect(await faultOf({ refs: [previous()] })).toBe(
      "400 previous_response_not_found previous_response_id: Previous response with id 'resp_a' not found.",
    );
    expect(await money.balance(redisKeys.key('k'))).toEqual({ spent: 0, held: 0 });
    expect(await money.journal()).toEqual([]);
  });

  it('finds nothing where the campaign keeps nothing, and says so to whoever answers', async () => {
    await put();
    await money.campaign({ models: [model], policy: { input: 'off', shelf: 'off' }, budgetNano: 10n ** 12n });
    expect(await faultOf({ refs: [previous()] })).toContain('400 previous_response_not_found');
    const optional: Ref = { kind: 'item', id: 'msg_a_out', param: 'input', optional: true };
    expect(await admitted({ refs: [optional] })).toMatchObject({ texts: ['and now?'], kept: { shelf: false } });
  });

  it('may not be larger than a request with what it names', async () => {
    const half = 'x'.repeat(300_000);
    await put(shelved('a', { input: [message('msg_1', half)] }));
    await put(shelved('b', { input: [message('msg_2', half)], parent: 'resp_a' }));
    expect((await admitted({ refs: [previous('b')] })).texts).toHaveLength(5);
    await put(shelved('c', { input: [message('msg_3', half), message('msg_4', half)], parent: 'resp_b' }));
    expect(await faultOf({ refs: [previous('c')] })).toMatch(/^413 request_too_large .*has 12\d{5} bytes/);
    await put(shelved('d', { input: [message('msg_5', 'x'.repeat(900_000))], parent: 'resp_c' }));
    expect(await faultOf({ refs: [previous('d')] })).toMatch(/^413 request_too_large .*has 2\d{6} bytes/);
    // Of large responses it may name a small part.
    const small: Ref = { kind: 'item', id: 'msg_c_out', param: 'input' };
    expect((await admitted({ refs: [small] })).texts).toEqual(['answer of c', 'and now?']);
    // It reads one entry, and has its item twice.
    await put(shelved('e', { input: [message('msg_6', 'x'.repeat(600_000))] }));
    const again: Ref = { kind: 'item', id: 'msg_6', param: 'input' };
    expect(await faultOf({ refs: [previous('e'), again] })).toMatch(/^413 request_too_large .*has 12\d{5} bytes/);
  });

  it('counts what it names among the bytes that the key sends', async () => {
    await newKey('k', key, { limits: { rpm: 0, tpm: 0, concurrent: 0, bytes_per_hour: 100_000 } });
    await put(shelved('a', { input: [message('msg_1', 'x'.repeat(60_000))] }));
    await admitted({ refs: [previous()] });
    expect((await money.window(redisKeys.keyBytes('k'))).tokens).toBeGreaterThan(60_000);
    expect(await faultOf({ refs: [previous()] })).toMatch(/^429 rate_limit_exceeded .*100000 bytes an hour/);
    expect((await admitted({})).texts).toHaveLength(1);
  });

  it('is the same call for a repeat, whatever its names stand for by then', async () => {
    const policy = { input: 'off' as const, output: 'gate' as const };
    await money.campaign({ models: [model], policy, budgetNano: 10n ** 12n });
    await put();
    const first = await admitted({ refs: [previous()] });
    expect(await app.get(ShelfStore).deleteResponse('k', 'resp_a')).toBe(true);
    await put(shelved('a', { input: [message('msg_1', 'more was said')] }));
    const again = await admitted({ refs: [previous()] });
    expect(again.texts).not.toEqual(first.texts);
    expect(first.repeatHash).toMatch(/^.{16,}$/);
    expect(again.repeatHash).toBe(first.repeatHash);
    const other = [{ role: 'user', content: 'and then?' }];
    expect((await admitted({ refs: [previous()], messages: other })).repeatHash).not.toBe(first.repeatHash);
  });

  it('costs no command of Redis more where it names nothing', async () => {
    const scripts: string[] = [];
    const own = money.redis.duplicate();
    const monitor = await own.monitor();
    let markSeen = (): void => undefined;
    monitor.on('monitor', (_, args: string[], source: string) => {
      // A service counts every second, whatever a call does.
      if (source !== 'lua' && !args[1]?.endsWith('_add_stats')) scripts.push(args[0]!.toLowerCase());
      if (args[0]!.toLowerCase() === 'echo') markSeen();
    });
    // Redis tells a monitor late what it has done. A command of the test's own ends what it tells of the call.
    const seenAll = async (): Promise<void> => {
      const seen = new Promise<void>((resolve) => (markSeen = resolve));
      await money.redis.echo('the end of a call');
      await seen;
    };
    const commandsOf = async (body: object): Promise<number> => {
      await seenAll();
      scripts.length = 0;
      const response = await post(body);
      await response.text();
      await seenAll();
      return scripts.filter((name) => name === 'fcall').length;
    };
    await put();
    // Refused at the hold, so that nothing else of the call follows.
    await newKey('k', key, { budgetNano: 1n });
    const refused = { max_tokens: 20 };
    await commandsOf(refused);
    const [bare, naming] = [await commandsOf(refused), await commandsOf({ ...refused, refs: [previous()] })];
    expect([bare, naming]).toEqual([bare, bare + 1]);
    monitor.disconnect();
    own.disconnect();
  });
});

describe('many calls that name much', () => {
  it('let others pass, and get all the same answer', async () => {
    const text = 'what was said and heard that day '.repeat(60);
    for (let at = 0; at < 200; at++) {
      const parent = at === 0 ? null : `resp_r${at - 1}`;
      await put(shelved(`r${at}`, { input: [message(`msg_${at}`, text)], parent }));
    }
    // Nobody pays for it, so that each call ends at the hold.
    await newKey('k', key, { budgetNano: 1n });
    const other = createVirtualKey();
    await newKey('k2', other, { budgetNano: 1n });
    await put(shelved('own'), 'k2');
    let done = 0;
    const statusOf = async (ref: string, token: string): Promise<number> => {
      const response = await post({ refs: [previous(ref)] }, undefined, token);
      await response.text();
      return response.status;
    };
    const calls = Array.from({ length: 30 }, async () => {
      const status = await statusOf('r199', key);
      done++;
      return status;
    });
    expect(await statusOf('own', other)).toBe(429);
    expect(done).toBeLessThan(20);
    expect(await Promise.all(calls)).toEqual(Array(30).fill(429));
  });
});
