import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { redisKeys } from '#libs/redis/keys.js';
import { FLAGGED_PHRASE } from '#libs/rehearsal/rehearsal.moderation.js';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
const PNG = 'data:image/png;base64,iVBORw0KGgo=';

describe('the moderation endpoint for visitors', () => {
  let daypass: SharedDaypass;
  let key: TestKey;
  let openai: OpenAI;
  let redis: Redis;

  beforeAll(async () => {
    daypass = await shareDaypass();
    key = await daypass.createKey();
    openai = clientOf(key);
    redis = new Redis(daypass.redisUrl);
  });
  afterAll(async () => {
    redis?.disconnect();
    await daypass?.stop();
  });
  beforeEach(async () => {
    daypass.rehearsal.reset();
    // What earlier tests asked must not count here.
    await redis.del(redisKeys.laneInquiries('moderation'));
  });

  const clientOf = ({ key: apiKey }: TestKey, more: object = {}): OpenAI =>
    new OpenAI({ apiKey, baseURL: daypass.baseUrl, maxRetries: 0, ...more });
  const asked = (): unknown[] => daypass.rehearsal.moderationCalls().map(({ body }) => body.input);
  const chat = (of: TestKey, content: string): Promise<unknown> =>
    clientOf(of).chat.completions.create({ model, max_tokens: 5, messages: [{ role: 'user', content }] });

  it('gives its own answer to a string, to strings and to parts: free, without a hold, and in the record', async () => {
    const flagged = await openai.moderations.create({ input: `a ${FLAGGED_PHRASE}` }).withResponse();
    expect(flagged.data).toMatchObject({ id: expect.stringMatching(/^modr-/), model: expect.stringMatching(/^omni-/) });
    expect(flagged.data.results).toMatchObject([{ flagged: true, categories: { violence: true } }]);
    expect(flagged.response.headers.get('x-daypass-moderation')).toBe('input=off; output=off');
    expect(flagged.response.headers.get('x-daypass-cost-usd')).toMatch(/^0(\.0+)?$/);
    const many = await openai.moderations.create({ model: 'omni-moderation-2024-09-26', input: ['a', 'b', 'c'] });
    expect(many).toMatchObject({ model: 'omni-moderation-2024-09-26' });
    expect(many.results.map((result) => result.flagged)).toEqual([false, false, false]);
    const parts = await openai.moderations.create({
      input: [
        { type: 'text', text: 'look' },
        { type: 'image_url', image_url: { url: PNG } },
      ],
    });
    expect(parts.results[0]!.category_applied_input_types.violence).toEqual(['text', 'image']);
    // The endpoint judges each afresh.
    await openai.moderations.create({ input: ['a', 'b', 'c'] });
    expect(asked()).toHaveLength(4);

    const id = flagged.response.headers.get('x-request-id')!;
    await until('it is in the record', async () => (await daypass.admin(`/admin/v1/requests/${id}`)).status === 200);
    const { body } = await daypass.admin(`/admin/v1/requests/${id}`);
    expect(body).toMatchObject({ endpoint: 'moderations.create', checks: [], transfers: [], key: key.id });
    const { body: shown } = await daypass.admin(`/admin/v1/keys/${key.id}`);
    expect(shown).toMatchObject({ spent_usd: '0.00', held_usd: '0.00', strikes: 0 });
    expect(await booksAtRest(daypass)).not.toContainEqual(expect.objectContaining({ request_id: id }));
  });

  it("counts against the key's limits, and refuses by name what it does not take", async () => {
    const slow = clientOf(await daypass.createKey({ key: { limits: { rpm: 1, tpm: 100 } } }));
    expect(await errorOf(slow.moderations.create({ input: 'a'.repeat(500) }))).toMatchObject({
      code: 'rate_limit_exceeded',
      error: { daypass: { limit: 'tpm' } },
    });
    await slow.moderations.create({ input: 'a' });
    expect(await errorOf(slow.moderations.create({ input: 'a' }))).toMatchObject({
      status: 429,
      error: { daypass: { limit: 'rpm' } },
    });
    expect(await errorOf(openai.moderations.create({ model: 'text-moderation-stable', input: 'a' }))).toMatchObject({
      code: 'model_not_found',
    });
    const tooLarge = await errorOf(openai.moderations.create({ input: 'a'.repeat(12_000) }));
    expect(tooLarge).toMatchObject({ code: 'rate_limit_exceeded', error: { daypass: { limit: 'moderation' } } });
    expect(tooLarge.headers!.get('x-should-retry')).toBe('false');
    expect(asked()).toHaveLength(1);
  });

  it("tells the endpoint's trouble without its words", async () => {
    daypass.rehearsal.onModeration = () => ({
      status: 400,
      error: { message: 'sk-secret of org-1', code: 'bad_image' },
    });
    const refused = await errorOf(openai.moderations.create({ input: 'a' }));
    expect(refused).toMatchObject({ status: 400, code: 'invalid_request', param: 'input' });
    expect(refused.message).toContain('bad_image');
    expect(refused.message).not.toContain('secret');
    daypass.rehearsal.onModeration = () => ({
      status: 401,
      error: { message: 'Incorrect API key provided: sk-secret' },
    });
    expect(await errorOf(openai.moderations.create({ input: 'a' }))).toMatchObject({
      status: 503,
      code: 'moderation_unavailable',
    });
    daypass.rehearsal.onModeration = () => ({
      status: 429,
      error: { message: 'Slow down', code: 'rate_limit_exceeded' },
    });
    expect(await errorOf(openai.moderations.create({ input: 'a' }))).toMatchObject({ status: 429 });
    // The lane itself goes on: only inquiries wait.
    daypass.rehearsal.onModeration = undefined;
    await chat(key, 'verdicts go on after a 429 to an inquiry');
  });

  it('sent without a pause does not keep the calls of others waiting', async () => {
    const [attacker, other] = await Promise.all([daypass.createKey(), daypass.createKey()]);
    daypass.rehearsal.onModeration = async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return undefined;
    };
    let sent = 0;
    let stop = false;
    const flood = Array.from({ length: 40 }, async () => {
      const client = clientOf(attacker, { defaultHeaders: { 'x-daypass-max-wait-ms': '2000' } });
      while (!stop) {
        await client.moderations.create({ input: `flood ${sent++}` }).catch(() => undefined);
      }
    });
    await until('the flood is on', () => sent > 60);
    const tookMs: number[] = [];
    for (let n = 0; n < 10; n++) {
      const begun = performance.now();
      await chat(other, `a call in the flood ${n}`);
      tookMs.push(performance.now() - begun);
    }
    stop = true;
    await Promise.all(flood);
    const verdictAt = (n: number) =>
      asked().some((input) => JSON.stringify(input).includes(`a call in the flood ${n}`));
    expect(tookMs.every((_, n) => verdictAt(n))).toBe(true);
    expect(tookMs.toSorted((a, b) => a - b)[5]).toBeLessThan(1_000);
    // A quarter of the first tier's requests, and no more.
    expect(
      asked().filter((input) => JSON.stringify(input).includes('flood ') && !JSON.stringify(input).includes('call'))
        .length,
    ).toBeLessThanOrEqual(126);
  });
});
