import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';

const model = 'gpt-5.4-mini';
const LIVE_WITHIN_MS = 2_000;

describe('an open console', () => {
  let daypass: SharedDaypass;
  let key: TestKey;
  const leaving = new AbortController();
  // Events are read as a page reads them: without types.
  // oxlint-disable-next-line typescript/no-explicit-any
  const seen: { event: string; data: any; atMs: number }[] = [];

  beforeAll(async () => {
    daypass = await shareDaypass();
    key = await daypass.createKey({ campaign: { moderation: { input: 'gate', output: 'off' } } });
    void follow().catch(() => undefined);
    await until('the first beat', () => Promise.resolve(seen.length > 0));
  });
  afterAll(async () => {
    leaving.abort();
    await daypass?.stop();
  });

  async function follow(): Promise<void> {
    const { body } = await fetch(`${daypass.adminUrl}/admin/v1/stream`, {
      headers: { authorization: `Bearer ${daypass.adminToken}` },
      signal: leaving.signal,
    });
    let rest = '';
    for await (const piece of body!.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + piece).split('\n\n');
      rest = parts.pop()!;
      for (const part of parts) {
        const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(part) ?? [];
        if (event !== undefined) seen.push({ event, data: JSON.parse(data!), atMs: performance.now() });
      }
    }
  }

  const read = async (path: string) => (await daypass.admin(`/admin/v1/${path}`)).body.data;
  const ask = (content: string) =>
    new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 0 }).chat.completions.create({
      model,
      messages: [{ role: 'user', content }],
    });

  it('sees what a call spent within two seconds of its end, and so do its campaign’s figures', async () => {
    await ask('hello, console');
    const endedMs = performance.now();
    await until(
      'the key in the stream',
      () =>
        Promise.resolve(
          seen.some(({ event, data, atMs }) => event === 'key' && data.id === key.id && atMs > endedMs - 200),
        ),
      LIVE_WITHIN_MS,
    );
    await until(
      'the call in the beat',
      () =>
        Promise.resolve(
          seen.some(({ event, data, atMs }) => event === 'beat' && data.calls_per_min > 0 && atMs > endedMs),
        ),
      LIVE_WITHIN_MS,
    );
    const points = await read(`campaigns/${key.campaign}/spend?bucket=minute`);
    expect(points.reduce((sum: number, { calls }: { calls: number }) => sum + calls, 0)).toBe(1);
  });

  it('sees why calls are refused, by ingress and by workers alike', async () => {
    const before: Record<string, number> = (await read('overview')).refused;
    await expect(ask('DAYPASS-REHEARSAL-FLAG')).rejects.toMatchObject({ code: 'moderation_blocked' });
    const stranger = new OpenAI({ apiKey: 'dp_nobody', baseURL: daypass.baseUrl, maxRetries: 0 });
    await expect(stranger.models.list()).rejects.toMatchObject({ status: 401 });
    for (const code of ['moderation_blocked', 'invalid_api_key'])
      await until(
        `${code} in the overview`,
        async () => ((await read('overview')).refused[code] ?? 0) > (before[code] ?? 0),
        5_000,
      );
    expect(seen.some(({ event, data }) => event === 'flag' && data.key === key.id)).toBe(true);
  });

  it('sees every service alive', async () => {
    const { services } = await read('overview');
    expect(services.map(({ name, ready }: { name: string; ready: boolean }) => [name, ready])).toEqual(
      ['ingress', 'moderation', 'forwarding', 'accounting'].map((name) => [name, true]),
    );
  });
});
