import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { startDaypass, type Daypass } from '#libs/testing/daypass.js';
import { booksAtRest, cancelledUpstream, errorOf, type CallInLedger } from './at-rest.js';

const model = 'gpt-5.4-mini';
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Say hello' }];

describe('an upstream that fails', () => {
  let daypass: Daypass;
  let client: OpenAI;
  const booked = async (error: { headers?: Headers | undefined }): Promise<CallInLedger | undefined> => {
    const calls = await booksAtRest(daypass);
    return calls.find((call) => call.request_id === error.headers?.get('x-request-id'));
  };

  beforeAll(async () => {
    daypass = await startDaypass({
      config: {
        lanes: {
          narrow: { rpm: 3, burst_seconds: 60, models: ['gpt-5.4-nano'] },
          small: { tpm: 1_000, models: ['gpt-5.4'] },
        },
      },
    });
    const key = await daypass.createKey({ campaign: { models: [model, 'gpt-5.4-nano', 'gpt-5.4'] } });
    client = new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 0 });
  });
  afterAll(() => daypass?.stop());
  beforeEach(() => daypass.rehearsal.reset());

  it('with 429 is asked again after as long as it said, unseen by the visitor, and booked once', async () => {
    let asked = 0;
    daypass.rehearsal.onChat = () =>
      ++asked === 1
        ? {
            refuse: {
              status: 429,
              headers: { 'retry-after-ms': '400' },
              error: { message: 'Rate limit reached', code: 'rate_limit_exceeded' },
            },
          }
        : { content: 'the answer to the second try' };
    const { data, response } = await client.chat.completions.create({ model, messages }).withResponse();
    expect(data.choices[0]?.message.content).toBe('the answer to the second try');
    const [first, second] = daypass.rehearsal.chatCalls();
    expect(second!.startedAtMs - first!.startedAtMs).toBeGreaterThanOrEqual(395);
    expect(await booked(response)).toMatchObject({ kinds: ['hold', 'post'] });
  });

  it('that is out of money tells the visitor nothing of it, and is not asked again', async () => {
    daypass.rehearsal.onChat = () => ({
      refuse: { status: 429, error: { message: 'You exceeded your quota, org-AbC123456', code: 'insufficient_quota' } },
    });
    const error = await errorOf(client.chat.completions.create({ model, messages }));
    expect(error).toMatchObject({ status: 503, code: 'upstream_unavailable' });
    expect(error.headers?.get('x-should-retry')).toBe('false');
    expect(JSON.stringify(error.error)).not.toMatch(/org-|quota/);
    expect(daypass.rehearsal.chatCalls()).toHaveLength(1);
    expect(await booked(error)).toMatchObject({ kinds: ['hold', 'void'], paid: 0n });
    const metrics = await (await fetch(`${daypass.opsUrls.forwarding}/metrics`)).text();
    expect(metrics).toMatch(/daypass_account_trouble_total\{[^}]*\} 1/);
  });

  it('with 400 has its own message passed on, cleaned of ids', async () => {
    daypass.rehearsal.onChat = () => ({
      refuse: {
        status: 400,
        error: { message: "'temperature' is too hot for proj_secret99", param: 'temperature', code: 'invalid_value' },
      },
    });
    const error = await errorOf(client.chat.completions.create({ model, messages, temperature: 3 }));
    expect(error).toMatchObject({
      status: 400,
      code: 'invalid_value',
      param: 'temperature',
      message: expect.stringContaining('too hot for [removed]'),
    });
    expect(await booked(error)).toMatchObject({ kinds: ['hold', 'void'] });
  });

  it("with an unknown 403 has its words passed on, and keeps the visitor's own", async () => {
    daypass.rehearsal.onChat = () => ({
      refuse: {
        status: 403,
        error: {
          message: 'user_A1b2C3d4E5f6G7h8 may not see key_points',
          type: 'org-A1b2C3d4E5f6G7h8',
          code: 'not_yours',
        },
      },
    });
    const content = 'Say hello to user_A1b2C3d4E5f6G7h8';
    const error = await errorOf(client.chat.completions.create({ model, messages: [{ role: 'user', content }] }));
    expect(error).toMatchObject({ status: 403, code: 'not_yours', type: '[removed]' });
    expect(error.message).toContain('user_A1b2C3d4E5f6G7h8 may not see key_points');
    expect(error.headers?.get('x-should-retry')).toBe('false');
    expect(await booked(error)).toMatchObject({ kinds: ['hold', 'void'], paid: 0n });
  });

  it('with 429 for a request above its whole limit is not asked again, and no other call waits', async () => {
    daypass.rehearsal.onChat = ({ max_tokens: cap }) =>
      cap === 7
        ? {
            refuse: {
              status: 429,
              headers: { 'retry-after': '20' },
              error: {
                message: 'Request too large in organization org-A1b2C3d4: Limit 30000, Requested 40000.',
                type: 'tokens',
                code: 'rate_limit_exceeded',
              },
            },
          }
        : undefined;
    const error = await errorOf(client.chat.completions.create({ model, messages, max_tokens: 7 }));
    expect(error).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    expect(error.message).toContain('Limit 30000, Requested 40000');
    expect(error.message).not.toContain('org-');
    expect(error.headers?.get('x-should-retry')).toBe('false');
    expect(daypass.rehearsal.chatCalls()).toHaveLength(1);
    const { body } = await daypass.admin('/admin/v1/lanes');
    expect(body.data).toContainEqual(expect.objectContaining({ lane: 'default', frozen_until: null }));
    expect(await booked(error)).toMatchObject({ kinds: ['hold', 'void'], paid: 0n });
  });

  it('with 500 becomes 502 that may be retried, and the hold goes back', async () => {
    daypass.rehearsal.onChat = () => ({ refuse: { status: 500, error: { message: 'The server had an error' } } });
    const error = await errorOf(client.chat.completions.create({ model, messages }));
    expect(error).toMatchObject({ status: 502, code: 'upstream_error' });
    expect(error.headers?.get('x-should-retry')).toBe('true');
    expect(await booked(error)).toMatchObject({ kinds: ['hold', 'void'] });
  });

  it('that breaks off in mid-stream is never asked again; the bound is booked', async () => {
    daypass.rehearsal.onChat = () => ({ content: 'word '.repeat(50), cutAfterFrames: 10 });
    const error = await errorOf(client.chat.completions.create({ model, messages, stream: true }));
    expect(error).toMatchObject({ status: 502, code: 'upstream_outcome_unknown' });
    expect(error.headers?.get('x-should-retry')).toBe('false');
    expect(daypass.rehearsal.chatCalls()).toHaveLength(1);
    expect(await booked(error)).toMatchObject({ kinds: ['hold', 'presume'] });
  });

  it('that is slower than the lane allows makes calls wait their turn, and those refused at once that would wait too long', async () => {
    const ask = (wait: string) =>
      client.chat.completions.create(
        { model: 'gpt-5.4-nano', messages, max_tokens: 5 },
        { headers: { 'x-daypass-max-wait-ms': wait } },
      );
    await Promise.all([ask('5000'), ask('5000'), ask('5000')]);
    const begun = Date.now();
    const error = await errorOf(ask('25000'));
    expect(error).toMatchObject({ status: 429, code: 'queue_full' });
    expect(Date.now() - begun).toBeLessThan(20_000);
    const waitMs = Number(error.headers?.get('retry-after-ms'));
    expect(waitMs).toBeGreaterThan(30_000);
    // The official SDKs ignore a wait above 60 s and would retry far too early.
    expect(error.headers?.get('x-should-retry')).toBe(String(waitMs <= 60_000));
    expect(daypass.rehearsal.chatCalls()).toHaveLength(3);
    expect(await booked(error)).toMatchObject({ kinds: ['hold', 'void'] });
  });

  it('has room for a short call without a cap in a small lane', async () => {
    await client.chat.completions.create({ model: 'gpt-5.4', messages });
    expect(daypass.rehearsal.chatCalls()[0]?.body.max_completion_tokens).toBeLessThan(1_000);
  });

  it('that reasons unseen is paid for it when the visitor hangs up meanwhile', async () => {
    const before = new Set((await booksAtRest(daypass)).map((call) => call.request_id));
    daypass.rehearsal.onChat = () => ({ firstTokenMs: 60_000 });
    const abort = new AbortController();
    const begun = performance.now();
    setTimeout(() => abort.abort(), 2_000);
    await expect(
      client.chat.completions.create({ model, messages, stream: true }, { signal: abort.signal }),
    ).rejects.toThrow(/abort/i);
    await cancelledUpstream(daypass);
    const mostMs = performance.now() - begun;
    const [booked, ...others] = (await booksAtRest(daypass)).filter((call) => !before.has(call.request_id));
    // About a second and a half beyond the prefill, at 200 tokens a second and 4,500 nano-dollars each.
    expect(others).toEqual([]);
    expect(booked!.paid).toBeGreaterThan(900_000n);
    // No more than for the time that went by, and for its few words of input.
    expect(booked!.paid).toBeLessThan(BigInt(Math.ceil(((mostMs - 500) / 1_000) * 200)) * 4_500n + 200_000n);
  });

  it('without a wait is asked at once where there is room', async () => {
    const { response } = await client.chat.completions
      .create({ model, messages }, { headers: { 'x-daypass-max-wait-ms': '0' } })
      .withResponse();
    expect(response.status).toBe(200);
  });

  it('is never sent a call that is larger than its whole limit', async () => {
    const error = await errorOf(client.chat.completions.create({ model: 'gpt-5.4', messages, max_tokens: 2_000 }));
    expect(error).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    expect(error.headers?.get('x-should-retry')).toBe('false');
    expect(daypass.rehearsal.chatCalls()).toHaveLength(0);
  });
});
