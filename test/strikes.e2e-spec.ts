import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHmac } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import pg from 'pg';
import { startDaypass, type Daypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
const SECRET = 'a secret of the webhook';
const bad: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'DAYPASS-REHEARSAL-FLAG' }];
const good: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Say hello' }];

interface Heard {
  id: string;
  signed: boolean;
  body: { type: string; text: string; data: Record<string, unknown> };
}

describe('strikes', () => {
  let daypass: Daypass;
  let hook: Server;
  const heard: Heard[] = [];
  let refusals = 0;

  beforeAll(async () => {
    hook = createServer((request, response) => {
      void (async () => {
        let text = '';
        for await (const piece of request) text += String(piece);
        if (refusals-- > 0) {
          response.writeHead(500).end('not now');
          return;
        }
        const id = String(request.headers['webhook-id']);
        const signature = createHmac('sha256', SECRET)
          .update(`${id}.${String(request.headers['webhook-timestamp'])}.${text}`)
          .digest('base64');
        heard.push({
          id,
          signed: request.headers['webhook-signature'] === `v1,${signature}`,
          body: JSON.parse(text) as Heard['body'],
        });
        response.end('ok');
      })();
    });
    await new Promise<void>((resolve) => hook.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/hook`;
    daypass = await startDaypass({ config: { operator: { webhook: { url, secret: SECRET } } } });
  });
  afterAll(async () => {
    await daypass?.stop();
    hook?.close();
  });

  const clientOf = (key: TestKey): OpenAI => new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 0 });
  const refused = async (client: OpenAI) => {
    const error = await errorOf(client.chat.completions.create({ model, messages: bad }));
    return { code: error.code, strikes: error.headers?.get('x-daypass-strikes') };
  };
  const shown = async (key: TestKey) => {
    const response = await fetch(`${daypass.baseUrl}/key`, { headers: { authorization: `Bearer ${key.key}` } });
    return (
      (await response.json()) as {
        data: { status: string; suspended_until: string | null; strikes: number; strikes_suspend_at: number | null };
      }
    ).data;
  };

  it('are told with each refusal, make the key rest, then suspend it, and a person reinstates it; the operator hears of each step once', async () => {
    const key = await daypass.createKey({
      campaign: {
        moderation: {
          output: 'off',
          strikes: { cooldown_after: 2, cooldown_seconds: 5, suspend_after: 3, window_seconds: 600 },
        },
      },
    });
    const client = clientOf(key);
    refusals = 1;
    expect(await refused(client)).toEqual({ code: 'moderation_blocked', strikes: '1' });
    expect(await refused(client)).toEqual({ code: 'moderation_blocked', strikes: '2' });

    const resting = await errorOf(client.chat.completions.create({ model, messages: good }));
    expect(resting).toMatchObject({
      status: 403,
      code: 'key_suspended',
      error: { daypass: { reason: 'strikes', until: expect.any(String) } },
    });
    expect(resting.headers?.get('x-should-retry')).toBe('false');
    expect(await shown(key)).toMatchObject({
      strikes_suspend_at: 3,
      status: 'suspended',
      suspended_until: (resting.error as { daypass: { until: string } }).daypass.until,
      strikes: 2,
    });
    await until('the key has rested', async () => (await shown(key)).status === 'active');
    expect((await client.chat.completions.create({ model, messages: good })).choices).toHaveLength(1);

    expect(await refused(client)).toEqual({ code: 'moderation_blocked', strikes: '3' });
    expect(await errorOf(client.chat.completions.create({ model, messages: good }))).toMatchObject({
      status: 403,
      code: 'key_suspended',
    });
    await until(
      'the books know of it',
      async () => (await daypass.admin(`/admin/v1/keys/${key.id}`)).body.status === 'suspended',
    );
    expect((await daypass.admin(`/admin/v1/keys/${key.id}`)).body.status_note).toBe('strikes: 3 refused inputs');

    await until('the operator is told', () => heard.length === 3);
    expect(heard.map(({ body }) => body.type).toSorted()).toEqual(['strike.cooldown', 'strike.suspend', 'strike.warn']);
    expect(heard.every(({ signed }) => signed)).toBe(true);
    const last = heard.find(({ body }) => body.type === 'strike.suspend')!;
    expect(last.body.text).toBe(
      `Daypass: the key ${key.id} is suspended until a person reinstates it, after 3 refused inputs (violence).`,
    );
    expect(JSON.stringify(heard)).not.toContain('REHEARSAL');
    const metrics = async (service: 'accounting' | 'moderation') =>
      (await fetch(`${daypass.opsUrls[service]}/metrics`)).text();
    for (const step of ['warn', 'cooldown', 'suspend'])
      expect(await metrics('accounting')).toMatch(new RegExp(`daypass_strikes_total\\{step="${step}"[^}]*\\} 1\\n`));
    expect(await metrics('moderation')).toMatch(
      /daypass_moderation_flags_total\{direction="input",category="violence"[^}]*\} 3\n/,
    );

    const list = async (query = '') =>
      (await daypass.admin(`/admin/v1/keys/${key.id}/strikes${query}`)).body as {
        data: { strikes: number; step: string }[];
        next_cursor: string | null;
      };
    expect((await list()).data.map(({ strikes, step }) => [strikes, step])).toEqual([
      [3, 'suspend'],
      [2, 'cooldown'],
      [1, 'warn'],
    ]);
    const first = await list('?limit=2');
    expect((await list(`?limit=2&cursor=${first.next_cursor}`)).data).toMatchObject([
      { strikes: 1, detail: { categories: ['violence'] } },
    ]);

    const reinstated = await daypass.admin(`/admin/v1/keys/${key.id}/reinstate`, { body: { note: 'we talked' } });
    expect(reinstated.body).toMatchObject({ status: 'active', status_note: 'we talked' });
    expect(await shown(key)).toMatchObject({ status: 'active', strikes: 0 });
    expect(await refused(client)).toEqual({ code: 'moderation_blocked', strikes: '1' });
    await booksAtRest(daypass);
  });

  it('come from what the provider refuses for its safety, too', async () => {
    const key = await daypass.createKey({ campaign: { moderation: { output: 'off' } } });
    const client = clientOf(key);
    daypass.rehearsal.onChat = () => ({
      refuse: { status: 400, error: { message: 'We refuse this.', code: 'cyber_policy' } },
    });
    const error = await errorOf(client.chat.completions.create({ model, messages: good }));
    expect(error).toMatchObject({ status: 400, code: 'cyber_policy' });
    expect(error.headers?.get('x-daypass-strikes')).toBe('1');
    daypass.rehearsal.onChat = () => ({
      refuse: { status: 400, error: { message: 'No such thing.', code: 'invalid_value' } },
    });
    await errorOf(client.chat.completions.create({ model, messages: good }));
    expect((await shown(key)).strikes).toBe(1);
    daypass.rehearsal.onChat = () => ({
      content: 'some words that go on',
      errorAfterFrames: { frames: 3, error: { message: 'We stop here.', code: 'bio_policy' } },
    });
    const stream = await client.chat.completions.create({ model, messages: good, stream: true });
    await expect(async () => {
      for await (const chunk of stream) void chunk;
    }).rejects.toThrow('We stop here.');
    expect((await shown(key)).strikes).toBe(2);
    daypass.rehearsal.reset();
    await booksAtRest(daypass);
  });

  it('are forgotten once they are older than the window', async () => {
    const key = await daypass.createKey({
      campaign: { moderation: { output: 'off', strikes: { suspend_after: 2, window_seconds: 4 } } },
    });
    expect(await refused(clientOf(key))).toEqual({ code: 'moderation_blocked', strikes: '1' });
    expect((await shown(key)).strikes).toBe(1);
    await until('the strike is too old', async () => (await shown(key)).strikes === 0);
    expect(await refused(clientOf(key))).toEqual({ code: 'moderation_blocked', strikes: '1' });
  });

  it('survive a Redis that loses everything, and so does a rest', async () => {
    const resting = await daypass.createKey({
      campaign: { moderation: { output: 'off', strikes: { cooldown_after: 1, cooldown_seconds: 600 } } },
    });
    await refused(clientOf(resting));
    const key = await daypass.createKey({ campaign: { moderation: { output: 'off', strikes: { suspend_after: 3 } } } });
    const client = clientOf(key);
    await refused(client);
    await refused(client);
    const database = new pg.Client({ connectionString: daypass.databaseUrl });
    await database.connect();
    const booked = async () =>
      Number(
        (
          await database.query<{ n: string }>('SELECT count(*) AS n FROM access.strikes WHERE key_id = ANY ($1)', [
            [key.id, resting.id],
          ])
        ).rows[0]!.n,
      );
    await until('the strikes are booked', async () => (await booked()) === 3);
    await database.end();
    const redis = new Redis(daypass.redisUrl);
    await redis.flushall();
    redis.disconnect();
    await until('the strikes come back', async () => (await shown(key).catch(() => null))?.strikes === 2);
    expect(await refused(client)).toEqual({ code: 'moderation_blocked', strikes: '3' });
    expect(await errorOf(client.chat.completions.create({ model, messages: good }))).toMatchObject({
      code: 'key_suspended',
    });
    expect(await shown(resting)).toMatchObject({ status: 'suspended', suspended_until: expect.any(String) });
  });
});
