import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import OpenAI from 'openai';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
const FLAG = 'DAYPASS-REHEARSAL-FLAG';
const MODERATION = {
  output: 'off',
  strikes: { cooldown_after: 50, cooldown_seconds: 60, suspend_after: 3, window_seconds: 600 },
};

describe('a claimant with two keys', () => {
  let daypass: SharedDaypass;
  let campaign: string;
  let [first, second, stranger]: TestKey[] = [];
  let visitor: string;

  beforeAll(async () => {
    daypass = await shareDaypass();
    const claimant = `Ada ${randomUUID()}`;
    first = await daypass.createKey({ campaign: { moderation: MODERATION }, key: { claimant } });
    ({ campaign } = first);
    second = await daypass.createKey({ campaign, key: { claimant: claimant.toUpperCase() } });
    stranger = await daypass.createKey({ campaign });
    visitor = (await read(`keys/${first.id}`)).claimant as string;
  });
  afterAll(() => daypass?.stop());

  const read = async (path: string) => (await daypass.admin(`/admin/v1/${path}`)).body;
  const act = (path: string, body: object = {}) => daypass.admin(`/admin/v1/${path}`, { body });
  const clientOf = (key: TestKey): OpenAI => new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 0 });
  const ask = async (key: TestKey, content: string): Promise<string> => {
    const { response } = await clientOf(key)
      .chat.completions.create({ model, messages: [{ role: 'user', content }] })
      .withResponse();
    return response.headers.get('x-request-id')!;
  };
  const refused = async (key: TestKey) => {
    const error = await errorOf(ask(key, `${FLAG} ${randomUUID()}`));
    return { code: error.code, strikes: error.headers?.get('x-daypass-strikes') ?? null };
  };
  const heldKey = async (key: TestKey): Promise<{ status: string; strikes: number }> => {
    const response = await fetch(`${daypass.baseUrl}/key`, { headers: { authorization: `Bearer ${key.key}` } });
    return ((await response.json()) as { data: { status: string; strikes: number } }).data;
  };
  const identifierOf = async (key: TestKey): Promise<unknown> => {
    await ask(key, `hello ${randomUUID()}`);
    return daypass.rehearsal.chatCalls().at(-1)!.body.safety_identifier;
  };

  it('is one visitor for the provider, and another one than a stranger', async () => {
    expect(visitor).toMatch(/^vis_/);
    expect((await read(`keys/${second!.id}`)).claimant).toBe(visitor);
    const [mine, too, others] = [
      await identifierOf(first!),
      await identifierOf(second!),
      await identifierOf(stranger!),
    ];
    expect(mine).toEqual(expect.any(String));
    expect(too).toBe(mine);
    expect(others).not.toBe(mine);
    expect(mine).not.toContain(visitor);
  });

  it('has one count of strikes: both keys are suspended, and reinstated together', async () => {
    expect(await refused(first!)).toEqual({ code: 'moderation_blocked', strikes: '1' });
    expect(await refused(second!)).toEqual({ code: 'moderation_blocked', strikes: '2' });
    expect(await heldKey(first!)).toMatchObject({ status: 'active', strikes: 2 });
    expect(await refused(first!)).toEqual({ code: 'moderation_blocked', strikes: '3' });
    // At once, before the books say so.
    expect((await errorOf(ask(second!, 'hello'))).code).toBe('key_suspended');
    expect((await heldKey(second!)).status).toBe('suspended');
    await ask(stranger!, 'hello');
    await until('the books have it', async () => (await read(`keys/${second!.id}`)).status === 'suspended');
    expect((await read(`visitors/${visitor}`)).blocked_at).not.toBeNull();
    const waiting = `requests?visitor=${visitor}&reviewed=false&decision=blocked`;
    await until('the record has the refusals', async () => (await read(waiting)).data.length === 3);

    expect((await act(`visitors/${visitor}/reinstate`, { note: 'a joke' })).body.data.keys_changed).toBe(2);
    for (const key of [first!, second!]) {
      await ask(key, `hello ${randomUUID()}`);
      expect(await heldKey(key)).toMatchObject({ status: 'active', strikes: 0 });
    }
    expect((await read(`requests?visitor=${visitor}&reviewed=false`)).data).toEqual([]);
    expect(await refused(second!)).toEqual({ code: 'moderation_blocked', strikes: '1' });
  });

  it('is erased as one: no text of either key can be read again', async () => {
    const calls = [await ask(first!, `a secret ${randomUUID()}`), await ask(second!, `a secret ${randomUUID()}`)];
    for (const id of calls)
      await until('the call is on record', async () => (await read(`requests/${id}`)).visitor === visitor);
    const opened = await act(`requests/${calls[1]!}/open`, { reason: 'the holder asked' });
    expect(JSON.stringify(opened.body.asked)).toContain('a secret');
    const opening = { act: 'opened', subject: calls[1]!, note: 'the holder asked' };
    expect((await read(`acts?subject=${calls[1]!}`)).data).toEqual([expect.objectContaining(opening)]);
    await act(`keys/${first!.id}/revoke`);
    expect((await act(`visitors/${visitor}/erase`, { note: 'asked' })).status).toBe(409);
    await act(`visitors/${visitor}/revoke`);
    expect((await act(`visitors/${visitor}/erase`, { note: 'asked' })).status).toBe(200);
    for (const id of calls) {
      expect(await read(`requests/${id}`)).toMatchObject({ texts: 'erased', asked: null });
      expect((await act(`requests/${id}/open`)).body).toMatchObject({ texts: 'erased', asked: null });
    }
    expect(await read(`visitors/${visitor}`)).toMatchObject({ label: null, keys: 2, keys_active: 0 });
    expect(await read('audit/verify')).toMatchObject({ ok: true });
  });
});
