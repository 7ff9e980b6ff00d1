import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { Rehearsal } from './rehearsal.js';
import { FLAGGED_PHRASE } from './rehearsal.moderation.js';

const model = 'gpt-5.4-mini';
const messages = [{ role: 'user' as const, content: 'What is the weather in Lisbon?' }];
const tools = [
  {
    type: 'function' as const,
    function: {
      name: 'get_weather',
      parameters: {
        type: 'object',
        properties: { city: { type: 'string' }, days: { type: 'integer' } },
        required: ['city'],
      },
    },
  },
];

describe('the rehearsal upstream', () => {
  let rehearsal: Rehearsal;
  let openai: OpenAI;
  beforeAll(async () => {
    rehearsal = await Rehearsal.start();
    openai = new OpenAI({ apiKey: 'any', baseURL: rehearsal.url, maxRetries: 0 });
  });
  afterEach(() => rehearsal.reset());
  afterAll(() => rehearsal.stop());

  it('answers in several sentences that quote the prompt, with usage', async () => {
    const answer = await openai.chat.completions.create({ model, messages });
    const text = answer.choices[0]?.message.content ?? '';
    expect(text).toContain('weather in Lisbon');
    expect(text.split('. ').length).toBeGreaterThan(4);
    expect(answer.choices[0]?.finish_reason).toBe('stop');
    expect(answer.usage?.completion_tokens).toBeGreaterThan(20);
    expect(answer.usage?.total_tokens).toBe(answer.usage!.prompt_tokens + answer.usage!.completion_tokens);
    expect(rehearsal.chatCalls()).toMatchObject([{ state: 'finished', body: { messages }, usage: answer.usage }]);
  });

  it('streams the same text in frames, and its usage last where asked', async () => {
    const whole = await openai.chat.completions.create({ model, messages });
    const stream = await openai.chat.completions.create({
      model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    const usages = [];
    for await (const frame of stream) {
      text += frame.choices[0]?.delta.content ?? '';
      if (frame.usage) usages.push([frame.choices.length, frame.usage]);
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(usages).toEqual([[0, whole.usage]]);
  });

  it('gives n choices that differ, streamed or not', async () => {
    const whole = await openai.chat.completions.create({ model, messages, n: 2 });
    const texts = whole.choices.map((choice) => choice.message.content);
    expect(new Set(texts).size).toBe(2);
    const runner = openai.chat.completions.stream({ model, messages, n: 2 });
    const streamed = await runner.finalChatCompletion();
    expect(streamed.choices.map((choice) => choice.message.content)).toEqual(texts);
  });

  it('calls a tool that the message asks for, streamed or not, and answers once it has the result', async () => {
    const whole = await openai.chat.completions.create({ model, messages, tools });
    expect(whole.choices[0]?.finish_reason).toBe('tool_calls');
    const call = whole.choices[0]?.message.tool_calls?.[0];
    expect(call).toMatchObject({
      type: 'function',
      function: { name: 'get_weather', arguments: '{"city":"Lisbon","days":1}' },
    });
    const streamed = await openai.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
    expect(streamed.choices[0]?.message.tool_calls?.[0]).toMatchObject({
      function: { name: 'get_weather', arguments: '{"city":"Lisbon","days":1}' },
    });
    const after = await openai.chat.completions.create({
      model,
      tools,
      messages: [...messages, whole.choices[0]!.message, { role: 'tool', tool_call_id: call!.id, content: 'Sunny' }],
    });
    expect(after.choices[0]?.finish_reason).toBe('stop');
  });

  it('stops at the output limit, fits a JSON schema, and reports log probabilities', async () => {
    const short = await openai.chat.completions.create({ model, messages, max_completion_tokens: 5, logprobs: true });
    expect(short.choices[0]).toMatchObject({ finish_reason: 'length' });
    expect(short.choices[0]?.logprobs?.content).toHaveLength(5);
    expect(short.usage?.completion_tokens).toBe(5);
    const schema = { type: 'object', properties: { city: { type: 'string' }, sure: { type: 'boolean' } } };
    const json = await openai.chat.completions.create({
      model,
      messages,
      response_format: { type: 'json_schema', json_schema: { name: 'place', schema } },
    });
    expect(JSON.parse(json.choices[0]?.message.content ?? '')).toEqual({ city: 'Lisbon', sure: true });
  });

  it('bills an aborted stream for what was generated', async () => {
    rehearsal.onChat = () => ({ tokensPerSecond: 50 });
    const stream = await openai.chat.completions.create({ model, messages, stream: true });
    let frames = 0;
    for await (const _ of stream) if (++frames === 5) break;
    while (rehearsal.chatCalls()[0]?.state === 'running') await new Promise((resolve) => setTimeout(resolve, 5));
    expect(rehearsal.chatCalls()[0]).toMatchObject({ state: 'aborted' });
    expect(rehearsal.chatCalls()[0]?.usage?.completion_tokens).toBeLessThan(10);
  });

  it('refuses, and reports other usage, where a test says so', async () => {
    rehearsal.onChat = () => ({
      refuse: {
        status: 429,
        headers: { 'retry-after-ms': '500' },
        error: { message: 'slow down', code: 'rate_limit_exceeded' },
      },
    });
    await expect(openai.chat.completions.create({ model, messages })).rejects.toMatchObject({
      status: 429,
      code: 'rate_limit_exceeded',
    });
    rehearsal.onChat = () => ({
      content: 'Yes.',
      usage: { prompt_tokens: 100, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 64 } },
    });
    const answer = await openai.chat.completions.create({ model, messages });
    expect(answer).toMatchObject({
      choices: [{ message: { content: 'Yes.' } }],
      usage: { prompt_tokens: 100, completion_tokens: 7, total_tokens: 107 },
    });
    expect(answer.usage?.prompt_tokens_details?.cached_tokens).toBe(64);
  });

  it('gives one moderation result per text, one for a list of parts, and flags the documented phrase', async () => {
    const flagged = `please ${FLAGGED_PHRASE} now`;
    const one = await openai.moderations.create({ input: flagged });
    expect(one.results).toMatchObject([
      { flagged: true, categories: { violence: true, hate: false }, category_scores: { violence: 0.99 } },
    ]);
    expect(Object.keys(one.results[0]!.category_scores)).toHaveLength(13);
    const many = await openai.moderations.create({ input: ['fine', flagged, 'fine too'] });
    expect(many.results.map((result) => result.flagged)).toEqual([false, true, false]);
    const image = { type: 'image_url' as const, image_url: { url: 'data:image/png;base64,AAAA' } };
    const parts = await openai.moderations.create({ input: [{ type: 'text', text: flagged }, image] });
    expect(parts.results.map((result) => result.flagged)).toEqual([true]);
    expect(parts.results[0]!.category_applied_input_types.violence).toEqual(['text', 'image']);
    await expect(openai.moderations.create({ input: [image, image] })).rejects.toMatchObject({
      status: 400,
      code: 'too_many_images',
    });
    expect(rehearsal.moderationCalls().map((call) => call.status)).toEqual([200, 200, 200, 400]);
  });

  it('reports what it served by minute and model, and bills it by day, to who has an admin key', async () => {
    const admin = new OpenAI({ adminAPIKey: 'sk-admin-x', apiKey: null, baseURL: rehearsal.url, maxRetries: 0 });
    const { usage } = await openai.chat.completions.create({ model, messages });
    const from = Math.floor(Date.now() / 60_000) * 60 - 120;
    const query = { start_time: from, end_time: from + 240, bucket_width: '1m' as const, group_by: ['model' as const] };
    const read = async (more: object = {}) => {
      const { data, has_more } = await admin.admin.organization.usage.completions({ ...query, ...more });
      return { buckets: data.length, results: data.flatMap(({ results }) => results), has_more };
    };
    const { buckets, results } = await read();
    expect(buckets).toBe(4);
    expect(results).toMatchObject([
      { model, input_tokens: usage!.prompt_tokens, output_tokens: usage!.completion_tokens, num_model_requests: 1 },
    ]);
    const first = await admin.admin.organization.usage.completions({ ...query, limit: 3 });
    const second = await admin.admin.organization.usage.completions({ ...query, limit: 3, page: first.next_page! });
    expect([first.data.length, first.has_more, second.data.length, second.has_more]).toEqual([3, true, 1, false]);
    expect((await read({ api_key_ids: ['key_of_somebody_else'] })).results).toEqual([]);
    const { data } = await admin.admin.organization.usage.costs({
      start_time: from - (from % 86_400),
      group_by: ['line_item'],
    });
    const dollars = (usage!.prompt_tokens * 0.75 + usage!.completion_tokens * 4.5) / 1e6;
    expect(data.flatMap((bucket) => bucket.results)).toMatchObject([
      { amount: { value: dollars, currency: 'usd' }, line_item: model },
    ]);
    rehearsal.reports.lagMs = 60_000;
    expect((await read()).results).toEqual([]);
    await expect(read({ limit: 1_441 })).rejects.toMatchObject({ status: 400 });
    const visitor = new OpenAI({ adminAPIKey: 'sk-other', apiKey: null, baseURL: rehearsal.url, maxRetries: 0 });
    await expect(visitor.admin.organization.usage.completions(query)).rejects.toMatchObject({ status: 401 });
  });

  it('leaves the other endpoints to aimock', async () => {
    expect((await openai.models.list()).data.length).toBeGreaterThan(0);
  });
});
