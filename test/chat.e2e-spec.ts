import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, cancelledUpstream, LONG } from './at-rest.js';

const model = 'gpt-5.4-mini';
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Say hello' }];

describe('chat completions through the official client', () => {
  let daypass: SharedDaypass;
  let key: TestKey;
  let client: OpenAI;

  beforeAll(async () => {
    daypass = await shareDaypass();
    key = await daypass.createKey({ key: { label: 'visitor', limits: { rpm: 100, tpm: 1_000_000, concurrent: 20 } } });
    client = new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 0 });
  });
  afterAll(() => daypass?.stop());
  beforeEach(() => daypass.rehearsal.reset());

  it('answers, with the cost and the verdicts in its headers', async () => {
    const { data, response } = await client.chat.completions.create({ model, messages }).withResponse();
    expect(data.choices[0]?.message.content).toContain('Say hello');
    const usage = data.usage!;
    const costNano = BigInt(usage.prompt_tokens) * 750n + BigInt(usage.completion_tokens) * 4_500n;
    expect(Number(response.headers.get('x-daypass-cost-usd'))).toBeCloseTo(Number(costNano) / 1e9, 12);
    expect(response.headers.get('x-daypass-moderation')).toBe('input=pass; output=pass');
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
    expect(response.headers.get('x-ratelimit-limit-requests')).toBe('100');
    expect(Number(response.headers.get('x-daypass-available-usd'))).toBeCloseTo(1 - Number(costNano) / 1e9, 9);
    const calls = await booksAtRest(daypass);
    expect(calls).toEqual([
      { request_id: response.headers.get('x-request-id'), kinds: ['hold', 'post'], paid: costNano },
    ]);
    expect(daypass.rehearsal.chatCalls()).toHaveLength(1);
  });

  it('streams, with usage only for those who ask', async () => {
    const collect = async (options?: OpenAI.ChatCompletionStreamOptions) => {
      let text = '';
      let usage: OpenAI.CompletionUsage | null | undefined;
      let finish: string | null | undefined;
      for await (const chunk of await client.chat.completions.create({
        model,
        messages,
        stream: true,
        ...(options ? { stream_options: options } : {}),
      })) {
        text += chunk.choices[0]?.delta.content ?? '';
        finish = chunk.choices[0]?.finish_reason ?? finish;
        if ('usage' in chunk) usage = chunk.usage;
      }
      return { text, usage, finish };
    };
    const asked = await collect({ include_usage: true });
    expect(asked).toMatchObject({
      text: expect.stringContaining('Say hello'),
      finish: 'stop',
      usage: { completion_tokens: expect.any(Number) },
    });
    const unasked = await collect();
    expect(unasked).toMatchObject({ text: expect.stringContaining('Say hello'), finish: 'stop', usage: undefined });
  });

  it('calls tools, streamed and whole', async () => {
    const tools: OpenAI.ChatCompletionTool[] = [
      {
        type: 'function',
        function: {
          name: 'get_weather',
          parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
        },
      },
    ];
    const ask = { model, tools, messages: [{ role: 'user' as const, content: 'What is the weather in Paris?' }] };
    const whole = await client.chat.completions.create(ask);
    expect(whole.choices[0]?.message.tool_calls?.[0]).toMatchObject({
      type: 'function',
      function: { name: 'get_weather' },
    });
    const stream = client.chat.completions.stream(ask);
    expect((await stream.finalChatCompletion()).choices[0]?.message.tool_calls?.[0]).toMatchObject({
      function: { name: 'get_weather' },
    });
  });

  it('gives several choices', async () => {
    const completion = await client.chat.completions.create({ model, messages, n: 2, logprobs: true });
    expect(completion.choices.map((choice) => choice.index)).toEqual([0, 1]);
    expect(completion.choices[1]?.logprobs?.content?.length).toBeGreaterThan(0);
  });

  it('looks at images, which moderation has seen before', async () => {
    const url =
      'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
    await client.chat.completions.create({
      model,
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is it?' },
            { type: 'image_url', image_url: { url } },
          ],
        },
      ],
    });
    expect(JSON.stringify(daypass.rehearsal.moderationCalls().map((call) => call.body.input))).toContain(url);
  });

  it('passes every parameter on untouched, but for what is not the visitor’s to choose', async () => {
    const body = {
      model,
      messages: [
        { role: 'developer', content: 'Be brief' },
        { role: 'user', name: 'Ann', content: [{ type: 'text', text: 'Hi' }] },
      ],
      n: 1,
      max_completion_tokens: 50,
      temperature: 0.3,
      top_p: 0.9,
      presence_penalty: 0.1,
      frequency_penalty: -0.1,
      logit_bias: { '50256': -100 },
      seed: 7,
      stop: ['###'],
      response_format: { type: 'json_object' },
      tools: [
        { type: 'function', function: { name: 'f', strict: true, parameters: { type: 'object', properties: {} } } },
      ],
      tool_choice: 'none',
      parallel_tool_calls: false,
      reasoning_effort: 'low',
      verbosity: 'low',
      user: 'someone',
      prompt_cache_key: 'k',
      store: true,
      metadata: { trace: 'mine' },
      safety_identifier: 'mine',
      moderateInput: true,
    };
    const response = await fetch(`${daypass.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(response.status).toBe(200);
    // Data is not stored at the provider, and OpenAI takes metadata with stored data only.
    const { moderateInput: _, metadata: __, user: ___, ...own } = body;
    expect(response.headers.get('x-daypass-adjusted')?.split(', ').sort()).toEqual([
      'metadata',
      'prompt_cache_key',
      'safety_identifier',
      'store',
      'user',
    ]);
    const sent = daypass.rehearsal.chatCalls()[0]?.body;
    expect(sent).toEqual({
      ...own,
      store: false,
      service_tier: 'default',
      safety_identifier: expect.stringMatching(/^[\w-]{43}$/),
      prompt_cache_key: expect.stringMatching(/^[\w-]{43}$/),
    });
  });

  it("looks for cached prefixes of its own visitor's calls only, whatever the visitor calls them", async () => {
    const other = await daypass.createKey({ campaign: key.campaign });
    const cacheKeyOf = async (apiKey: string, named?: string): Promise<unknown> => {
      const visitor = new OpenAI({ apiKey, baseURL: daypass.baseUrl, maxRetries: 0 });
      await visitor.chat.completions.create({ model, messages, ...(named ? { prompt_cache_key: named } : {}) });
      return daypass.rehearsal.chatCalls().at(-1)!.body.prompt_cache_key;
    };
    const keys = [
      await cacheKeyOf(key.key),
      await cacheKeyOf(other.key),
      await cacheKeyOf(key.key, 'docs'),
      await cacheKeyOf(other.key, 'docs'),
    ];
    expect(new Set(keys).size).toBe(4);
    expect(await cacheKeyOf(key.key, 'docs')).toBe(keys[2]);
  });

  it('cancels upstream when the visitor hangs up in mid-stream, and books what was generated', async () => {
    daypass.rehearsal.onChat = () => ({ content: LONG, tokensPerSecond: 100 });
    const watched = await daypass.createKey({ campaign: { moderation: { input: 'gate', output: 'off' } } });
    const streaming = new OpenAI({ apiKey: watched.key, baseURL: daypass.baseUrl, maxRetries: 0 });
    const stream = await streaming.chat.completions.create({ model, messages, stream: true });
    let seen = 0;
    for await (const _ of stream) if (++seen === 20) break;
    const [call] = await cancelledUpstream(daypass);
    expect(call!.usage!.completion_tokens).toBeLessThan(1_000);
    const books = await booksAtRest(daypass);
    const booked = books.at(-1)!;
    const transfers = await daypass.admin(`/admin/v1/keys/${watched.id}/transfers`);
    expect(transfers.status).toBe(200);
    const { prompt_tokens, completion_tokens } = call!.usage!;
    const bill = BigInt(prompt_tokens) * 750n + BigInt(completion_tokens) * 4_500n;
    const paid = books.find((entry) => JSON.stringify(transfers.body).includes(entry.request_id))!.paid;
    expect(booked.kinds).toContain('hold');
    expect(paid).toBeGreaterThanOrEqual(bill);
    // No more than the frames that were on their way when the visitor left.
    expect(paid).toBeLessThan(bill + 40n * 4_500n);
  });

  it('cancels upstream when the visitor hangs up while the worker hears of nobody', async () => {
    daypass.rehearsal.onChat = () => ({ content: LONG, tokensPerSecond: 100 });
    const watched = await daypass.createKey({ campaign: { moderation: { input: 'off', output: 'off' } } });
    const streaming = new OpenAI({ apiKey: watched.key, baseURL: daypass.baseUrl, maxRetries: 0 });
    const stream = await streaming.chat.completions.create({ model, messages, stream: true });
    const redis = new Redis(daypass.redisUrl);
    let seen = 0;
    for await (const _ of stream) {
      if (++seen < 20) continue;
      await redis.client('KILL', 'TYPE', 'pubsub');
      break;
    }
    redis.disconnect();
    await cancelledUpstream(daypass);
    await booksAtRest(daypass);
  });

  it('gives the hold back when the visitor hangs up before the call was sent', async () => {
    daypass.rehearsal.onModeration = async () => {
      await sleep(1_500);
      return undefined;
    };
    const abort = new AbortController();
    void until('its input is being judged', () => daypass.rehearsal.moderationCalls().length > 0).then(() =>
      abort.abort(),
    );
    await expect(
      client.chat.completions.create(
        { model, messages: [{ role: 'user', content: 'Nobody asked this before' }] },
        { signal: abort.signal },
      ),
    ).rejects.toThrow(/abort/i);
    const calls = await booksAtRest(daypass);
    expect(calls.filter((call) => call.kinds.includes('void'))).toHaveLength(1);
    await sleep(1_000);
    expect(daypass.rehearsal.chatCalls()).toHaveLength(0);
  });

  it('lists the models of the key, and only those', async () => {
    const narrow = await daypass.createKey({ key: { models: [model] } });
    const its = new OpenAI({ apiKey: narrow.key, baseURL: daypass.baseUrl, maxRetries: 0 });
    expect((await its.models.list()).data.map((entry) => entry.id)).toEqual([model]);
    expect((await its.models.retrieve(model)).id).toBe(model);
    await expect(its.models.retrieve('gpt-5.4-nano')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
    await expect(its.chat.completions.create({ model: 'gpt-5.4-nano', messages })).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
  });

  it('shows the holder its own state', async () => {
    const shown = (await (
      await fetch(`${daypass.baseUrl}/key`, { headers: { authorization: `Bearer ${key.key}` } })
    ).json()) as {
      data: Record<string, unknown>;
    };
    expect(shown.data).toMatchObject({
      id: key.id,
      label: 'visitor',
      campaign: key.campaign,
      status: 'active',
      expires_at: null,
      budget_usd: '1.00',
      held_usd: '0.00',
      limits: { rpm: 100, tpm: 1_000_000, concurrent: 20, bytes_per_hour: 62_914_560 },
      strikes: 0,
      strikes_suspend_at: null,
    });
    expect(Number(shown.data.spent_usd)).toBeGreaterThan(0);
  });

  it('writes neither content nor keys to any log', () => {
    for (const service of ['ingress', 'moderation', 'forwarding', 'accounting'] as const) {
      const log = daypass.logs(service);
      expect(log).not.toContain('Say hello');
      expect(log).not.toContain(key.key);
      expect(log).not.toContain(daypass.adminToken);
      expect(log).not.toContain('sk-rehearsal');
    }
    expect(daypass.logs('ingress')).toMatch(/"requestId":"req_/);
  });
});
