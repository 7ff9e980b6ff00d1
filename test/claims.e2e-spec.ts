import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { solveChallenge, type Challenge } from 'altcha-lib';
import { deriveKey } from 'altcha-lib/algorithms/pbkdf2';
import { Redis } from 'ioredis';
import { randomBytes } from 'node:crypto';
import OpenAI from 'openai';
import { redisKeys } from '#libs/redis/keys.js';
import { shareDaypass, type SharedDaypass } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Say hello' }];
const flagged: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'DAYPASS-REHEARSAL-FLAG' }];
const slug = `claims-${randomBytes(5).toString('hex')}`;

let daypass: SharedDaypass;
let redis: Redis;
let origin: string;
beforeAll(async () => {
  daypass = await shareDaypass();
  redis = new Redis(daypass.redisUrl);
  origin = new URL(daypass.baseUrl).origin;
  const claim = { title: 'Try Acme', project_url: 'https://acme.example/', contact: 'help@acme.example' };
  const body = { slug, name: slug, budget_usd: '5.00', models: [model], claim };
  expect((await daypass.admin('/admin/v1/campaigns', { body })).status).toBe(201);
});
afterAll(async () => {
  await redis?.del(redisKeys.doorSwitch);
  redis?.disconnect();
  await booksAtRest(daypass);
  await daypass?.stop();
});

interface Answer {
  status: number;
  headers: Headers;
  // The shape differs by route, and a test asserts what it needs of it.
  // oxlint-disable-next-line typescript/no-explicit-any
  body: any;
}
async function ask(path: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(`${origin}${path}`, init);
  return { status: response.status, headers: response.headers, body: await response.json() };
}
const ofKey = (key: string, what = '', method = 'GET'): Promise<Answer> =>
  ask(`/v1/key${what}`, { method, headers: { authorization: `Bearer ${key}` } });
const clientOf = (apiKey: string): OpenAI => new OpenAI({ apiKey, baseURL: `${origin}/v1`, maxRetries: 0 });
const newName = (): string => randomBytes(16).toString('hex');

async function newLink(terms: object = {}): Promise<{ id: string; token: string }> {
  const body = { name: 'README', key: { budget_usd: '0.50', ttl_seconds: 3_600 }, ...terms };
  const answer = await daypass.admin(`/admin/v1/campaigns/${slug}/links`, { body });
  expect([answer.status, answer.body.error]).toEqual([201, undefined]);
  return answer.body.data ?? answer.body;
}

async function claim(
  token: string,
  { name = newName(), code }: { name?: string; code?: string } = {},
): Promise<Answer> {
  const { challenge } = (await ask(`/claim/v1/links/${token}`)).body.data as { challenge: Challenge | null };
  const pow = challenge && { challenge, solution: await solveChallenge({ challenge, deriveKey }) };
  return ask(`/claim/v1/links/${token}/claims`, {
    method: 'POST',
    headers: { 'idempotency-key': name, 'content-type': 'application/json' },
    body: JSON.stringify({ ...(pow ? { pow } : {}), ...(code === undefined ? {} : { code }) }),
  });
}

describe('a claim link', () => {
  it('leads to a key that calls at once, and whose holder sees, replaces, ends and erases it', async () => {
    const { token } = await newLink();
    const name = newName();
    const first = await claim(token, { name });
    expect([first.status, first.body.error]).toEqual([201, undefined]);
    expect(first.body.data).toMatchObject({
      campaign: slug,
      budget_usd: '0.50',
      base_url: `${origin}/v1`,
      models: [model],
    });
    const { key } = first.body.data;
    expect((await claim(token, { name })).body.data).toEqual(first.body.data);
    expect((await ask(`/claim/v1/links/${token}`)).body.data).toMatchObject({ state: 'open', left: 99 });

    const answer = await clientOf(key).chat.completions.create({ model, messages });
    expect(answer.choices[0]!.message.content).not.toBe('');
    const blocked = clientOf(key).chat.completions.create({ model, messages: flagged });
    expect(await errorOf(blocked)).toMatchObject({ code: 'moderation_blocked' });
    await until('the refusal is there', async () => (await ofKey(key)).body.data.recent_refusals.length === 1);
    expect((await ofKey(key)).body.data).toMatchObject({
      ...{ status: 'active', title: 'Try Acme', project_url: 'https://acme.example/', contact: 'help@acme.example' },
      recent_refusals: [
        { code: 'moderation_blocked', details: { direction: 'input' }, request_id: expect.any(String) },
      ],
    });
    await until('both calls are in the books', async () => (await ofKey(key, '/calls')).body.data.length === 2);
    const { data } = (await ofKey(key, '/calls?limit=2')).body;
    expect(data).toMatchObject([{ input: expect.anything() }, { model, endpoint: expect.any(String) }]);
    expect(JSON.stringify(data)).not.toContain('Say hello');

    const rotated = await ofKey(key, '/rotate', 'POST');
    expect([rotated.status, rotated.body.error]).toEqual([200, undefined]);
    const { key: replaced } = rotated.body.data;
    expect((await ofKey(key)).status).toBe(401);
    expect((await ofKey(replaced)).body.data.spent_usd).not.toBe('0.00');
    expect((await ofKey(replaced, '/revoke', 'POST')).status).toBe(200);
    expect((await ofKey(replaced)).body.data).toMatchObject({ status: 'revoked' });
    expect((await ofKey(replaced, '/calls')).body.data).toHaveLength(2);
    const erased = await ofKey(replaced, '/erase', 'POST');
    expect([erased.status, erased.body.error]).toEqual([200, undefined]);
    for (const service of ['ingress', 'accounting'] as const)
      for (const secret of [key, replaced]) expect(daypass.logs(service)).not.toContain(secret.slice(9));
  });

  it('with codes gives one key for each, and says how many wrong ones may follow', async () => {
    const { id, token } = await newLink({ gates: ['code'] });
    const made = await daypass.admin(`/admin/v1/links/${id}/codes`, { body: { count: 1 } });
    const [{ code }] = made.body.data;
    expect((await claim(token, { code })).status).toBe(201);
    const used = await claim(token, { code });
    expect([used.status, used.body.error.code]).toEqual([403, 'code_invalid']);
    const [wrong, next] = [
      await claim(token, { code: '0000-0000-0000' }),
      await claim(token, { code: '1111-1111-1111' }),
    ];
    expect(wrong.body.error).toMatchObject({ code: 'code_invalid', daypass: { tries_left: expect.any(Number) } });
    expect(next.body.error.daypass.tries_left).toBe(wrong.body.error.daypass.tries_left - 1);
  });

  it('is exhausted once all keys are gone, and ended once its operator closes it', async () => {
    const { id, token } = await newLink({ max_claims: 1 });
    expect((await claim(token)).status).toBe(201);
    await until('the page knows', async () => (await ask(`/claim/v1/links/${token}`)).body.data.state === 'exhausted');
    expect((await claim(token)).body.error).toMatchObject({ code: 'claims_exhausted', daypass: { why: 'claims' } });
    await daypass.admin(`/admin/v1/links/${id}`, { method: 'DELETE' });
    await until('the page knows', async () => (await ask(`/claim/v1/links/${token}`)).body.data.state === 'ended');
  });
});

describe('the operator’s door', () => {
  it('shuts within a second for new calls and claims, and a call that runs goes on to its end', async () => {
    const { token } = await newLink();
    const { key } = (await claim(token)).body.data;
    const client = clientOf(key);
    const [reached, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    daypass.rehearsal.onChat = async () => {
      reached.resolve();
      await go.promise;
      return { content: 'An answer behind a shut door.' };
    };
    const running = client.chat.completions.create({ model, messages });
    await reached.promise;
    daypass.rehearsal.onChat = undefined;
    await redis.set(redisKeys.doorSwitch, 'shut');
    try {
      const refused = client.chat.completions.create({ model, messages });
      expect(await errorOf(refused)).toMatchObject({ status: 503, code: 'paused' });
      const later = await claim(token);
      expect([later.status, later.body.error.code, later.headers.get('retry-after')]).toEqual([503, 'paused', '30']);
      expect((await ask(`/claim/v1/links/${token}`)).body.data.state).toBe('door_shut');
      expect((await ofKey(key)).status).toBe(200);
      go.resolve();
      expect((await running).choices[0]!.message.content).toBe('An answer behind a shut door.');
    } finally {
      go.resolve();
      await redis.del(redisKeys.doorSwitch);
    }
    expect((await client.chat.completions.create({ model, messages })).choices).toHaveLength(1);
  });
});
