import 'reflect-metadata';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { InjectOptions } from 'fastify';
import { loadConfig, type DaypassConfig } from '#libs/config/config.js';
import type { DeskPayload, HeldCalls } from '#libs/contracts/claims.js';
import { Money } from '#libs/holds/money.fixture.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { createVirtualKey, hashVirtualKey, isWellFormed } from '#libs/secrets/virtual-key.js';
import { createLogger } from '#libs/service/logger.js';
import { createRegistry } from '#libs/service/ops-server.js';
import { until } from '#libs/testing/until.js';
import { FakeDesk } from '../desk/desk.fixture.js';
import { createIngress } from '../ingress.app.js';

let money: Money;
let config: DaypassConfig;
let app: NestFastifyApplication;
let desk: FakeDesk;
let virtualKey: string;
const logged: string[] = [];
beforeAll(async () => {
  money = await Money.start();
  config = loadConfig('ingress', {
    REDIS_URL: money.url,
    DAYPASS_SECRET: 'a secret that only tests know, long enough',
  });
  const logger = createLogger('ingress', 'info', { write: (line: string) => void logged.push(line) });
  app = await createIngress(config, logger, createRegistry('ingress'));
  await app.listen(0, '127.0.0.1');
  desk = new FakeDesk(money.url, money.redis, app.get(ContentBox));
});
afterAll(async () => {
  await desk?.close();
  await app?.close();
  await money?.stop();
});
beforeEach(async () => {
  await money.reset();
  await money.campaign({ models: ['gpt-5.4-mini'] });
  virtualKey = createVirtualKey();
  await putKey();
  desk.asked.length = 0;
  desk.answers = () => ({ ok: true, data: {} });
});

const putKey = (changes: Parameters<Money['key']>[0] = {}) =>
  money.key({ tokenHash: hashVirtualKey(virtualKey, config.secrets.tokenPepper), ...changes });

// The shape differs by route, and a test asserts what it needs of it.
// oxlint-disable-next-line typescript/no-explicit-any
type Body = any;
async function ask(
  method: 'GET' | 'POST',
  path: string,
  more: InjectOptions = {},
): Promise<{ status: number; body: Body }> {
  const headers = { authorization: `Bearer ${virtualKey}`, ...more.headers };
  const answer = await app
    .getHttpAdapter()
    .getInstance()
    .inject({ method, url: path, ...more, headers });
  return { status: answer.statusCode, body: JSON.parse(answer.body) as Body };
}
/** Its details are those beside the address of its explanation, which each error has. */
const codeOf = ({ status, body: { error } }: { status: number; body: Body }) => {
  const { help, ...details } = error?.daypass ?? {};
  if (error) expect(help).toMatch(new RegExp(`^http://localhost:\\d+/help#${error.code}$`));
  return [status, error?.code, Object.keys(details).length === 0 ? undefined : details];
};

describe('GET /v1/key', () => {
  it('names the project and whom to ask, where the campaign has a claim page', async () => {
    const page = { title: 'Try Acme', project_url: 'https://acme.example', contact: 'a@acme.example' };
    expect((await ask('GET', '/v1/key')).body.data).toMatchObject({ title: null, project_url: null, contact: null });
    await money.campaign({ page });
    expect((await ask('GET', '/v1/key')).body.data).toMatchObject(page);
    // A campaign from before it has no such field.
    await money.redis.hdel(redisKeys.campaign('c'), 'page');
    expect((await ask('GET', '/v1/key')).body.data).toMatchObject({ title: null });
  });

  it('shows why calls were refused, and not what else went wrong', async () => {
    const call = (payload: object) => ask('POST', '/v1/chat/completions', { payload });
    const messages = [{ role: 'user', content: 'a secret prompt' }];
    await call({ model: 'nobody-knows', messages });
    await putKey({ status: 'suspended' });
    await call({ model: 'gpt-5.4-mini', messages });
    await ask('POST', '/v1/key/rotate', { payload: '{', headers: { 'content-type': 'application/json' } });
    const refusals = async () => (await ask('GET', '/v1/key')).body.data.recent_refusals as Body[];
    await until('two refusals', async () => (await refusals()).length === 2);
    expect(await refusals()).toEqual([
      { at: expect.any(String), code: 'key_suspended', details: {}, request_id: expect.stringMatching(/^req_/) },
      { at: expect.any(String), code: 'model_not_found', details: {}, request_id: expect.stringMatching(/^req_/) },
    ]);
  });

  it('works while the door is shut, when no call does', async () => {
    await money.redis.set(redisKeys.doorSwitch, 'shut');
    expect((await ask('GET', '/v1/key')).status).toBe(200);
    expect((await ask('GET', '/v1/models')).status).toBe(200);
    const payload = { model: 'gpt-5.4-mini', messages: [{ role: 'user', content: 'hi' }] };
    expect(codeOf(await ask('POST', '/v1/chat/completions', { payload }))).toEqual([503, 'paused', undefined]);
  });
});

describe('the calls of a key', () => {
  const call = {
    ...{ id: 'req_1', at: '2026-11-26T12:00:00.000Z', endpoint: 'chat', model: 'gpt-5.4-mini', input_tokens: 3 },
    ...{ output_tokens: 4, cost_usd: '0.0001', input: ['pass'], output: [], waited_ms: 5, result: 'posted' },
  };

  it('are asked of accounting by page, also after the end of the key', async () => {
    const page: HeldCalls = { data: [call], next_cursor: 'next' };
    desk.answers = () => ({ ok: true, data: page });
    expect(await ask('GET', '/v1/key/calls')).toEqual({ status: 200, body: page });
    await putKey({ status: 'revoked' });
    expect(await ask('GET', '/v1/key/calls?cursor=next&limit=100')).toEqual({ status: 200, body: page });
    expect(desk.asked).toEqual([
      { kind: 'key.calls', key: 'k', cursor: null, limit: 25 },
      { kind: 'key.calls', key: 'k', cursor: 'next', limit: 100 },
    ]);
  });

  it.each([
    ['limit=0', 'invalid_request', 'limit'],
    ['limit=101', 'invalid_request', 'limit'],
    ['limit=x', 'invalid_request', 'limit'],
    [`cursor=${'x'.repeat(501)}`, 'invalid_request', 'cursor'],
    ['cursor=a&cursor=b', 'invalid_request', 'cursor'],
    ['page=2', 'unknown_parameter', 'page'],
  ])('with ?%s are refused', async (query, code, param) => {
    const { status, body } = await ask('GET', `/v1/key/calls?${query}`);
    expect([status, body.error.code, body.error.param]).toEqual([400, code, param]);
    expect(desk.asked).toEqual([]);
  });

  it('may be asked for four times at once, and others are not held up', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    desk.answers = async () => {
      await promise;
      return { ok: true, data: { data: [], next_cursor: null } };
    };
    const asking = Array.from({ length: 4 }, () => ask('GET', '/v1/key/calls'));
    await until('four questions', () => desk.asked.length === 4);
    expect(codeOf(await ask('GET', '/v1/key/calls'))).toEqual([429, 'rate_limit_exceeded', { limit: 'desk' }]);
    resolve();
    for (const { status } of await Promise.all(asking)) expect(status).toBe(200);
    expect((await ask('GET', '/v1/key/calls')).status).toBe(200);
  });
});

describe('the holder of a key', () => {
  it('replaces it: accounting gets the hash of the new one', async () => {
    const { status, body } = await ask('POST', '/v1/key/rotate');
    const { key } = body.data;
    expect([status, isWellFormed(key), body.data]).toEqual([200, true, { id: 'k', key, prefix: key.slice(0, 9) }]);
    const tokenHash = hashVirtualKey(key, config.secrets.tokenPepper);
    const former = hashVirtualKey(virtualKey, config.secrets.tokenPepper);
    expect(desk.asked).toEqual([
      { kind: 'key.rotate', key: 'k', token_hash: tokenHash, prefix: key.slice(0, 9), former_hash: former },
    ]);
    expect(logged.join('')).not.toContain(key.slice(9));
  });

  it('gets the new key also where nobody knows whether it is in force', async () => {
    desk.answers = () => null;
    const { status, body } = await ask('POST', '/v1/key/rotate');
    expect([status, body.error.code]).toEqual([503, 'recovering']);
    const [{ token_hash: asked }] = desk.asked as [Extract<DeskPayload, { kind: 'key.rotate' }>];
    expect(hashVirtualKey(body.error.daypass.key, config.secrets.tokenPepper)).toBe(asked);
    expect(logged.join('')).not.toContain(body.error.daypass.key.slice(9));
  });

  it('ends it, and erases what it asked and got', async () => {
    desk.answers = ({ kind }) => ({ ok: true, data: { done: kind } });
    for (const what of ['revoke', 'erase'])
      expect(await ask('POST', `/v1/key/${what}`, { payload: {} })).toEqual({
        status: 200,
        body: { data: { done: `key.${what}` } },
      });
    expect(desk.asked).toEqual([
      { kind: 'key.revoke', key: 'k' },
      { kind: 'key.erase', key: 'k' },
    ]);
  });

  it('is told what accounting refuses', async () => {
    desk.answers = () => ({
      ok: false,
      code: 'invalid_request',
      message: 'It waits for the review.',
      details: { until: 'x' },
    });
    expect(codeOf(await ask('POST', '/v1/key/erase'))).toEqual([400, 'invalid_request', { until: 'x' }]);
  });

  it.each([
    ['calls', 'GET', [200, 401]],
    ['rotate', 'POST', [401, 401]],
    ['revoke', 'POST', [401, 401]],
    ['erase', 'POST', [200, 401]],
  ] as const)('of an ended key, and a stranger, may ask for %s as %o %o', async (what, method, statuses) => {
    desk.answers = () => ({ ok: true, data: { data: [], next_cursor: null } });
    await putKey({ status: 'revoked' });
    const own = await ask(method, `/v1/key/${what}`);
    const stranger = await ask(method, `/v1/key/${what}`, {
      headers: { authorization: `Bearer ${createVirtualKey()}` },
    });
    expect([own.status, stranger.status]).toEqual(statuses);
    // Suspended keys may be ended and replaced all the same.
    await putKey({ status: 'suspended' });
    expect((await ask(method, `/v1/key/${what}`)).status).toBe(200);
  });
});
