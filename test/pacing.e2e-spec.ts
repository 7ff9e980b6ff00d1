import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import OpenAI, { toFile } from 'openai';
import { Rehearsal } from '#libs/rehearsal/rehearsal.js';
import { wav } from '#libs/rehearsal/wav.js';
import { startDaypass, type Daypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { Simulator } from '#libs/testing/simulator.js';
import { booksAtRest, errorOf } from './at-rest.js';

const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'hello there' }];
const [paced, told] = ['gpt-5.4-mini', 'gpt-5.4-nano'];
const [draws, hears, talks] = ['gpt-image-2', 'whisper-1', 'gpt-5.4'];
const PLENTY = { rpm: 1e6, tpm: 1e9 };

describe('a lane', () => {
  let daypass: Daypass;
  let simulator: Simulator;
  let studio: Rehearsal;
  beforeAll(async () => {
    studio = await Rehearsal.start();
    simulator = await Simulator.start({ chat: { rpm: 10_000, tpm: 10_000_000 }, moderation: PLENTY, firstTokenMs: 20 });
    daypass = await startDaypass({
      upstream: { url: simulator.url },
      config: {
        lanes: {
          slow: { rpm: 60, burst_seconds: 1, fixed: true, models: [paced] },
          [told]: { rpm: 5 },
          drawing: { elsewhere_only: true, models: [draws] },
          hearing: { elsewhere_only: true, models: [hears] },
          talking: { elsewhere_only: true, models: [talks] },
        },
        upstreams: [
          {
            ...{ name: 'studio', base_url: studio.url, keyless: true },
            lanes: { drawing: { ipm: 2 }, hearing: { audio_seconds_per_minute: 5 }, talking: {} },
          },
        ],
      },
    });
  });
  afterAll(async () => {
    await daypass?.stop();
    await simulator?.stop();
    await studio?.stop();
  });

  const newKey = (): Promise<TestKey> =>
    daypass.createKey({ campaign: { moderation: { input: 'off', output: 'off' } } });
  const clientOf = ({ key }: TestKey): OpenAI => new OpenAI({ apiKey: key, baseURL: daypass.baseUrl, maxRetries: 0 });
  interface Lane {
    lane: string;
    requests: { limit: number | null; used: number };
    tokens: { limit: number | null };
    waiting: { calls: number };
    upstreams: readonly object[];
  }
  const laneOf = async (name: string): Promise<Lane> =>
    ((await daypass.admin('/admin/v1/lanes')).body.data as Lane[]).find(({ lane }) => lane === name)!;
  /** Waits until the lane's even rate has caught up. */
  const rested = () => sleep(1_500);

  it('tells a stream that waits its place and the time, in comments that clients pass over', async () => {
    const key = await newKey();
    const open = (n: number) =>
      fetch(`${daypass.baseUrl}/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: paced, messages: [{ role: 'user', content: `call ${n}` }], stream: true }),
      }).then((response) => response.text());
    const texts = await Promise.all([0, 1, 2, 3, 4, 5].map(open));
    const comments = texts.flatMap((text) => text.split('\n').filter((line) => line.startsWith(':')));
    expect(comments.length).toBeGreaterThanOrEqual(6);
    for (const comment of comments) expect(comment).toMatch(/^: queued position=\d+ eta_ms=\d+$/);
    for (const text of texts) expect(text).toMatch(/\ndata: \[DONE\]\n\n$/);
    await rested();
    const client = clientOf(key);
    const streams = await Promise.all(
      [0, 1, 2, 3].map(async () => {
        let content = '';
        for await (const chunk of await client.chat.completions.create({ model: paced, messages, stream: true }))
          content += chunk.choices[0]?.delta.content ?? '';
        return content;
      }),
    );
    expect(streams.every((content) => /^[a-z]+( |$)/.test(content))).toBe(true);
    await booksAtRest(daypass);
  });

  it('refuses at once what would come later than it may wait, and says when to come again', async () => {
    await rested();
    const key = await newKey();
    const client = clientOf(key);
    let served = 0;
    const waiting = Array.from({ length: 10 }, async () => {
      await client.chat.completions.create({ model: paced, messages });
      served++;
    });
    await until('calls wait', async () => (await laneOf('slow')).waiting.calls >= 7);
    const begun = Date.now();
    const error = await errorOf(
      client.chat.completions.create({ model: paced, messages }, { headers: { 'x-daypass-max-wait-ms': '4000' } }),
    );
    expect(Date.now() - begun).toBeLessThan(4_000);
    expect(error).toMatchObject({ status: 429, code: 'queue_full' });
    expect(Number(error.headers?.get('retry-after-ms'))).toBeGreaterThan(4_000);
    expect(error.headers?.get('x-should-retry')).toBe('true');
    // Another visitor's turn comes after one call of this one's.
    const other = clientOf(await newKey());
    const before = served;
    await other.chat.completions.create({ model: paced, messages });
    expect(served - before).toBeLessThanOrEqual(3);
    await Promise.all(waiting);
    await booksAtRest(daypass);
  });

  it('is left by a visitor who hangs up', async () => {
    await rested();
    const client = clientOf(await newKey());
    const calls = Array.from({ length: 6 }, () => {
      const controller = new AbortController();
      return {
        controller,
        done: client.chat.completions
          .create({ model: paced, messages }, { signal: controller.signal })
          .catch(() => undefined),
      };
    });
    await until('calls wait', async () => (await laneOf('slow')).waiting.calls >= 3);
    for (const { controller } of calls) controller.abort();
    await Promise.all(calls.map(({ done }) => done));
    await until('nobody waits', async () => (await laneOf('slow')).waiting.calls === 0);
    expect(await laneOf('slow')).toMatchObject({ waiting: { calls: 0 }, requests: { limit: 60 } });
    await booksAtRest(daypass);
  });

  it('serves calls whose turns were lost', async () => {
    const redis = new Redis(daypass.redisUrl);
    const client = clientOf(await newKey());
    await rested();
    await daypass.services.stop('forwarding');
    const call = client.chat.completions.create({ model: paced, messages });
    await until('the call waits', async () => (await laneOf('slow')).waiting.calls > 0);
    await sleep(200);
    for (const key of await redis.keys('{dp}:queue:lane-slow:*')) await redis.del(key);
    redis.disconnect();
    await daypass.services.start('forwarding');
    expect((await call).choices).toHaveLength(1);
    await booksAtRest(daypass);
  });

  it('keeps images and seconds of sound within their minute, and says when to come again', async () => {
    const campaign = { models: [draws, hears, talks], moderation: { input: 'off', output: 'off' } };
    const client = clientOf(await daypass.createKey({ campaign }));
    // Much less than the minute, and much longer than the first calls take.
    const soon = { headers: { 'x-daypass-max-wait-ms': '1000' } };
    const draw = (n: number, options = {}) =>
      client.images.generate({ model: draws, prompt: 'A garden', n, quality: 'low' }, options);
    const hear = async (seconds: number, options = {}) =>
      client.audio.transcriptions.create({ model: hears, file: await toFile(wav(seconds), 'a.wav') }, options);
    const used = async (): Promise<object> => (await laneOf('drawing')).upstreams[0]!;
    const talk = (input: string, options = {}) =>
      client.responses.create({ model: talks, input, tools: [{ type: 'image_generation', quality: 'low' }] }, options);
    // It might draw, and does not.
    await talk('Say hello');
    expect(await used()).toMatchObject({ images: { used: 0 } });
    await talk('Draw an image of a garden');
    expect(await used()).toMatchObject({ images: { used: 1 } });
    expect((await draw(1)).data).toHaveLength(1);
    expect((await hear(3)).text).not.toBe('');
    for (const refused of [draw(1, soon), talk('Draw an image', soon), hear(3, soon)]) {
      const error = await errorOf(refused);
      expect(error).toMatchObject({ status: 429, code: 'queue_full' });
      expect(error.headers?.get('x-should-retry')).toBe('true');
    }
    // Of the whole minute nobody gets more than there is.
    for (const larger of [draw(3), hear(6)])
      expect(await errorOf(larger)).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    // One that waits for images holds up none of its lane that draws nothing.
    const leaves = new AbortController();
    const patient = { headers: { 'x-daypass-max-wait-ms': '90000' }, signal: leaves.signal };
    const waits = talk('Draw an image', patient).catch((error: unknown) => error);
    await until('it waits', async () => (await laneOf('talking')).waiting.calls === 1);
    expect((await client.responses.create({ model: talks, input: 'Say hello' })).status).toBe('completed');
    expect((await laneOf('talking')).waiting.calls).toBe(1);
    leaves.abort();
    expect(await waits).toBeInstanceOf(OpenAI.APIUserAbortError);
    expect([studio.imagesCalls().length, studio.heardCalls().length]).toEqual([1, 1]);
    expect((await laneOf('drawing')).upstreams).toMatchObject([{ upstream: 'studio', images: { limit: 2, used: 2 } }]);
    expect((await laneOf('hearing')).upstreams).toMatchObject([{ audio_seconds: { limit: 5, used: 4 } }]);
    await booksAtRest(daypass);
  });

  it('takes its limits from what the upstream tells', async () => {
    expect(await laneOf(told)).toMatchObject({ requests: { limit: 5 } });
    const client = clientOf(await newKey());
    await client.chat.completions.create({ model: told, messages });
    await until('the limit is learned', async () => (await laneOf(told)).requests.limit !== 5);
    expect(await laneOf(told)).toMatchObject({ requests: { limit: 10_000 }, tokens: { limit: 10_000_000 } });
    const metrics = await (await fetch(`${daypass.opsUrls.forwarding}/metrics`)).text();
    expect(metrics).toMatch(/daypass_lane_limit_requests\{lane="gpt-5.4-nano"[^}]*\} 10000\n/);
    expect(metrics).toMatch(/daypass_lane_tokens_total\{lane="gpt-5.4-nano",campaign_id="cmp_[^"]+"[^}]*\} \d+\n/);
    expect(simulator.chat.log.filter(({ refused }) => refused)).toEqual([]);
  });
});
