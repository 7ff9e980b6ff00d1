import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { createVirtualKey } from '#libs/secrets/virtual-key.js';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Say hello' }];

describe('a key', () => {
  let daypass: SharedDaypass;
  beforeAll(async () => {
    daypass = await shareDaypass();
  });
  afterAll(() => daypass?.stop());
  beforeEach(() => daypass.rehearsal.reset());

  const clientOf = ({ key }: Pick<TestKey, 'key'>) =>
    new OpenAI({ apiKey: key, baseURL: daypass.baseUrl, maxRetries: 0 });
  const get = async (path: string, { key }: Pick<TestKey, 'key'>) => {
    const response = await fetch(`${daypass.baseUrl}${path}`, { headers: { authorization: `Bearer ${key}` } });
    // A test asserts what it needs of the body.
    // oxlint-disable-next-line typescript/no-explicit-any
    return { status: response.status, body: (await response.json()) as any };
  };
  const refusalOf = async (key: Pick<TestKey, 'key'>) => {
    const error = await errorOf(clientOf(key).chat.completions.create({ model, messages }));
    const told = error.error as { daypass: { help: string; reason?: string; since?: string | null } };
    const { help, ...details } = told.daypass;
    expect(help).toBe(`${new URL(daypass.baseUrl).origin}/help#${error.code}`);
    return { status: error.status, code: error.code, message: error.message, details };
  };
  const closeTo = (iso: string | null | undefined, at: number) =>
    expect(Math.abs(new Date(iso ?? 0).getTime() - at)).toBeLessThan(60_000);

  it('that was revoked says so, and since when, to whoever holds it', async () => {
    const key = await daypass.createKey();
    await daypass.admin(`/admin/v1/keys/${key.id}/revoke`, { body: {} });
    const { details, ...refusal } = await refusalOf(key);
    expect(refusal).toMatchObject({
      status: 401,
      code: 'invalid_api_key',
      message: expect.stringContaining('revoked'),
    });
    expect(details.reason).toBe('revoked');
    closeTo(details.since, Date.now());
    const { status, body } = await get('/key', key);
    expect([status, body.data.status, body.data.ended_at]).toEqual([200, 'revoked', details.since]);
    expect((await get('/models', key)).status).toBe(401);
  });

  it('that has expired says so, and since when', async () => {
    const key = await daypass.createKey({ key: { ttl_seconds: 1 } });
    const before = (await get('/key', key)).body.data;
    expect(before).toMatchObject({ status: 'active', ended_at: null });
    await until('the key has expired', async () => (await get('/key', key)).body.data.status === 'expired');
    const { details, ...refusal } = await refusalOf(key);
    expect(refusal).toMatchObject({ status: 401, message: expect.stringContaining('has expired') });
    expect(details).toEqual({ reason: 'expired', since: before.expires_at });
    expect((await get('/key', key)).body.data.ended_at).toBe(before.expires_at);
  });

  it('of a closed campaign says so, and since when, until the campaign is open again', async () => {
    const key = await daypass.createKey();
    const become = (status: string) =>
      daypass.admin(`/admin/v1/campaigns/${key.campaign}`, { method: 'PATCH', body: { status } });
    await become('closed');
    const { details, ...refusal } = await refusalOf(key);
    expect(refusal).toMatchObject({ status: 401, message: expect.stringContaining('campaign') });
    expect(details.reason).toBe('campaign_closed');
    closeTo(details.since, Date.now());
    expect((await get('/key', key)).body.data.status).toBe('campaign_closed');
    await become('active');
    expect((await get('/key', key)).body.data).toMatchObject({ status: 'active', ended_at: null });
    await clientOf(key).chat.completions.create({ model, messages });
  });

  it('that nobody made, or that was rotated away, gets the same answer as any other', async () => {
    const key = await daypass.createKey();
    const revoked = await daypass.createKey();
    await daypass.admin(`/admin/v1/keys/${revoked.id}/revoke`, { body: {} });
    const unmade = { key: createVirtualKey() };
    const unknown = await refusalOf(unmade);
    expect(unknown).toMatchObject({ status: 401, code: 'invalid_api_key', details: {} });
    await daypass.admin(`/admin/v1/keys/${key.id}/rotate`, { body: {} });
    const altered = { key: `${revoked.key.slice(0, -1)}${revoked.key.endsWith('a') ? 'b' : 'a'}` };
    for (const stranger of [key, altered]) {
      expect(await refusalOf(stranger)).toEqual(unknown);
      expect((await get('/key', stranger)).status).toBe(401);
    }
  });

  it('tells its holder every limit that a call can meet', async () => {
    const key = await daypass.createKey({
      campaign: {
        models: [model, 'gpt-4o-mini-search-preview'],
        retention_days: 30,
        moderation: { input: 'observe', output: 'window' },
      },
      key: { limits: { rpm: 5, tpm: 10_000 }, moderation: { input: 'gate' } },
    });
    await clientOf(key).chat.completions.create({ model, messages, max_tokens: 20 });
    const { data } = (await get('/key', key)).body;
    expect(data).toMatchObject({
      status: 'active',
      ended_at: null,
      campaign_available: true,
      limits: {
        rpm: 5,
        tpm: 10_000,
        concurrent: expect.any(Number),
        body_bytes: expect.any(Number),
        output_tokens: { default: 4_096, least: 16, most: { [model]: 128_000 } },
      },
      remaining: { requests: 4, tokens: expect.any(Number) },
      models: [model],
      moderation: { input: 'gate', output: 'gate', stream_output: 'window', on_unavailable: 'closed' },
      retention_days: 30,
    });
    expect(data.limits.body_bytes).toBeGreaterThanOrEqual(2 * 1_048_576);
    expect(data.remaining.tokens).toBeLessThan(10_000);
    expect((await get('/key', await daypass.createKey())).body.data).toMatchObject({
      remaining: { requests: null, tokens: null },
      models: [model, 'gpt-5.4-nano'],
    });
  });

  it('lists the models that it can call, and no others', async () => {
    const search = 'gpt-4o-mini-search-preview';
    const key = await daypass.createKey({ campaign: { models: [model, search] } });
    const listed = async () => (await get('/models', key)).body.data.map(({ id }: { id: string }) => id);
    // It searches for a fee that the campaign has not priced.
    expect(await listed()).toEqual([model]);
    expect((await get(`/models/${search}`, key)).body.error.code).toBe('model_not_found');
    await daypass.admin(`/admin/v1/campaigns/${key.campaign}`, {
      method: 'PATCH',
      body: { tool_prices: { web_search: { usd_per_request: '0.01' } } },
    });
    expect(await listed()).toEqual([model, search]);
    expect((await get(`/models/${search}`, key)).body).toMatchObject({ id: search, object: 'model' });
    for (const id of await listed())
      await clientOf(key).chat.completions.create({ model: id, messages, max_tokens: 20 });
  });
});
