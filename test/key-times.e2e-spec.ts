import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';

let daypass: SharedDaypass;
beforeAll(async () => {
  daypass = await shareDaypass();
});
afterAll(() => daypass?.stop());

interface Answer {
  status: number;
  retry: string | null;
  // Answers are read as a client reads them: without types.
  // oxlint-disable-next-line typescript/no-explicit-any
  body: any;
}

const visit = async ({ key }: TestKey, path: string, body?: object): Promise<Answer> => {
  const answer = await fetch(`${daypass.baseUrl}/${path}`, {
    method: body ? 'POST' : 'GET',
    headers: { authorization: `Bearer ${key}`, ...(body ? { 'content-type': 'application/json' } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return { status: answer.status, retry: answer.headers.get('x-should-retry'), body: await answer.json() };
};
const chat = { model: 'gpt-5.4-mini', messages: [{ role: 'user', content: 'Is it time?' }] };

it('refuses a key before its start, and says when it starts, to whoever holds it', async () => {
  const { campaign } = await daypass.createKey();
  const startsAt = new Date(Date.now() + 4_000).toISOString();
  const key = await daypass.createKey({ campaign, key: { starts_at: startsAt } });
  const { status, retry, body } = await visit(key, 'chat/completions', chat);
  expect([status, retry]).toEqual([401, 'false']);
  expect(body.error).toMatchObject({
    code: 'invalid_api_key',
    message: expect.stringContaining(startsAt),
    daypass: { reason: 'not_started', starts_at: startsAt },
  });
  expect((await visit(key, 'key')).body.data).toMatchObject({ status: 'not_started', starts_at: startsAt });
  await sleep(Date.parse(startsAt) - Date.now() + 50);
  expect((await visit(key, 'chat/completions', chat)).status).toBe(200);
});

it('starts the time of a key with its first call, and tells its holder', async () => {
  const key = await daypass.createKey({ key: { ttl_seconds: 4, ttl_from: 'first_use' } });
  expect((await visit(key, 'key')).body.data).toMatchObject({ expires_at: null, ttl_seconds: 4 });
  await sleep(4_100);
  const began = Date.now();
  expect((await visit(key, 'chat/completions', chat)).status).toBe(200);
  const { expires_at, ttl_seconds } = (await visit(key, 'key')).body.data;
  expect(ttl_seconds).toBeNull();
  expect(Date.parse(expires_at)).toBeGreaterThanOrEqual(began + 4_000);
  expect(Date.parse(expires_at)).toBeLessThanOrEqual(Date.now() + 4_000);
  await sleep(Date.parse(expires_at) - Date.now() + 50);
  expect((await visit(key, 'chat/completions', chat)).body.error.code).toBe('invalid_api_key');
});
