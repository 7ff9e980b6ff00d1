import 'reflect-metadata';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { loadConfig, type DaypassConfig } from '#libs/config/config.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import { Money } from '#libs/holds/money.fixture.js';
import { redisKeys } from '#libs/redis/keys.js';
import { createVirtualKey, hashVirtualKey } from '#libs/secrets/virtual-key.js';
import { createLogger } from '#libs/service/logger.js';
import { createRegistry } from '#libs/service/ops-server.js';
import { until } from '#libs/testing/until.js';
import { createIngress } from '../ingress.app.js';

const model = 'gpt-5.4-mini';
const other = 'gpt-5.4-nano';
const off = { input: 'off', output: 'off' };
const token = createVirtualKey();

let money: Money;
let config: DaypassConfig;
let app: NestFastifyApplication;
let reads: jest.Spied<HoldStore['readKey']>;
beforeAll(async () => {
  money = await Money.start();
  config = loadConfig('ingress', {
    OPENAI_API_KEY: 'unused',
    REDIS_URL: money.url,
    DAYPASS_SECRET: 'a secret that only tests know, long enough',
    DAYPASS_LOG_LEVEL: 'silent',
  });
  await money.reset();
  app = await createIngress(config, createLogger('ingress', 'silent'), createRegistry('ingress'));
  await app.listen(0, '127.0.0.1');
  reads = jest.spyOn(app.get(HoldStore), 'readKey');
  await campaign();
  await key();
  await until('ingress reaches its queues', () =>
    called().then(
      () => true,
      () => false,
    ),
  );
});
afterAll(async () => {
  app?.getHttpServer().closeAllConnections();
  await app?.close();
  await money?.stop();
});

const campaign = (changes: Parameters<Money['campaign']>[0] = {}) =>
  money.campaign({ models: [model], budgetNano: 10_000_000_000n, policy: off, ...changes });
const key = (changes: Parameters<Money['key']>[0] = {}) =>
  money.key({
    budgetNano: 10_000_000_000n,
    tokenHash: hashVirtualKey(token, config.secrets.tokenPepper),
    limits: { rpm: 100, tpm: 0, concurrent: 0 },
    ...changes,
  });

beforeEach(async () => {
  await campaign();
  await key();
  // From here on ingress remembers the key.
  await called();
  reads.mockClear();
});
afterEach(async () => {
  await money.redis.del(redisKeys.doorSwitch, redisKeys.visitor('vis_1'), redisKeys.keyWindow('k'));
});

const post = (body: object, headers: Record<string, string> = {}, left?: AbortSignal): Promise<Response> =>
  fetch(`http://127.0.0.1:${(app.getHttpServer().address() as { port: number }).port}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }], max_tokens: 20, ...body }),
    ...(left ? { signal: left } : {}),
  });

const waiting = async (): Promise<Ticket[]> => {
  const names = await money.redis.keys(`${redisKeys.ticketPrefix}*`);
  const texts = names.length === 0 ? [] : await money.redis.mget(names);
  return texts.flatMap((text) => (text === null ? [] : [JSON.parse(text) as Ticket]));
};

/** The ticket of a call that ingress let in. Its visitor leaves then. */
async function called(body: object = {}, headers: Record<string, string> = {}): Promise<Ticket> {
  const left = new AbortController();
  const answer = post(body, headers, left.signal).then(
    async (response) => response.text(),
    () => 'left',
  );
  const known = new Set((await waiting()).map(({ requestId }) => requestId));
  let found: Ticket | undefined;
  await Promise.race([
    answer.then((text) => {
      if (found === undefined) throw new Error(`the call was refused: ${text}`);
    }),
    until('the call waits in its lane', async () => {
      found = (await waiting()).find(({ requestId }) => !known.has(requestId));
      return found !== undefined;
    }),
  ]);
  left.abort();
  await answer;
  await until('the call is given up', async () => !(await waiting()).some((one) => one.requestId === found!.requestId));
  return found!;
}

async function refused(body: object = {}, headers: Record<string, string> = {}) {
  const response = await post(body, headers);
  const { error } = (await response.json()) as { error: { code: string; message: string } };
  return { status: response.status, code: error.code, message: error.message, headers: response.headers };
}

describe('the next call of a key that ingress remembers', () => {
  it('takes its hold without another look at the key', async () => {
    await called();
    await called({ max_tokens: 30 });
    expect(reads).not.toHaveBeenCalled();
  });

  it.each<[what: string, change: () => Promise<unknown>, expected: { status: number; code: string }, message: RegExp]>([
    [
      'its revocation',
      () => key({ status: 'revoked', revokedMs: 1 }),
      { status: 401, code: 'invalid_api_key' },
      /revoked/,
    ],
    ['its suspension', () => key({ status: 'suspended' }), { status: 403, code: 'key_suspended' }, /./],
    ['its expiry', () => key({ expiresMs: 1 }), { status: 401, code: 'invalid_api_key' }, /expired/],
    [
      'the end of its campaign',
      () => campaign({ status: 'closed', closedMs: 1 }),
      { status: 401, code: 'invalid_api_key' },
      /closed/,
    ],
    [
      'a rotation',
      () => key({ tokenHash: 'another', formerTokenHash: hashVirtualKey(token, config.secrets.tokenPepper) }),
      { status: 401, code: 'invalid_api_key' },
      /./,
    ],
    ['a change of models', () => campaign({ models: [other] }), { status: 404, code: 'model_not_found' }, /./],
    [
      'a lower limit',
      () => key({ limits: { rpm: 1, tpm: 0, concurrent: 0 } }),
      { status: 429, code: 'rate_limit_exceeded' },
      /1 requests a minute/,
    ],
    [
      'a smaller budget',
      () => key({ budgetNano: 1n }),
      { status: 429, code: 'insufficient_quota' },
      /The budget of the key/,
    ],
    ['the pause of all', () => money.redis.set(redisKeys.doorSwitch, 'shut'), { status: 503, code: 'paused' }, /./],
    [
      'a rest after strikes',
      () => money.redis.hset(redisKeys.key('k'), 'cooldown_until', Date.now() + 60_000),
      { status: 403, code: 'key_suspended' },
      /until/i,
    ],
    [
      'a rest of its visitor',
      async () => {
        await key({ claimantId: 'vis_1' });
        await called();
        await money.redis.hset(redisKeys.visitor('vis_1'), 'cooldown_until', Date.now() + 60_000);
      },
      { status: 403, code: 'key_suspended' },
      /until/i,
    ],
  ])('is refused after %s, and learns why', async (_, change, expected, message) => {
    await change();
    const { headers, message: said, ...answer } = await refused();
    expect(answer).toEqual(expected);
    expect(said).toMatch(message);
    expect(headers.get('x-request-id')).toMatch(/^req_/);
    await money.redis.hdel(redisKeys.key('k'), 'cooldown_until');
  });

  it('may do at once what a change allows', async () => {
    expect(await refused({ model: other })).toMatchObject({ code: 'model_not_found' });
    await campaign({ models: [model, other], origins: ['https://a.example'] });
    expect((await called({ model: other })).model).toBe(other);
    expect(await refused({}, { origin: 'https://b.example' })).toMatchObject({ code: 'origin_not_allowed' });
    await campaign({ origins: ['https://b.example'] });
    await called({}, { origin: 'https://b.example' });
  });

  it('is judged by a policy that has just changed', async () => {
    await campaign({ policy: { input: 'parallel', output: 'trail' } });
    expect((await called()).policy).toMatchObject({ input: 'parallel', output: 'gate' });
  });

  it('says with a refusal what is left of its limits now', async () => {
    await called();
    const { headers } = await refused({ no_such_field: 1 });
    // Two calls: the one before this test, too.
    expect(headers.get('x-ratelimit-remaining-requests')).toBe('98');
    expect(headers.get('x-ratelimit-limit-requests')).toBe('100');
  });

  it('counts its bytes once, where it had to be asked again', async () => {
    const bytes = async () => (await money.window(redisKeys.keyBytes('k'))).tokens;
    const before = await bytes();
    await called();
    const ofOne = (await bytes()) - before;
    await campaign({ weight: 2 });
    await called();
    expect((await bytes()) - before).toBe(2 * ofOne);
  });
});

it('a route without a hold reads the key each time', async () => {
  const { port } = app.getHttpServer().address() as { port: number };
  for (let i = 0; i < 2; i++) {
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(`http://127.0.0.1:${port}/v1/models`, { headers })).status).toBe(200);
  }
  expect(reads).toHaveBeenCalledTimes(2);
});
