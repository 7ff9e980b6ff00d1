import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import type {
  Response,
  ResponseCreateParamsNonStreaming,
  ResponseInputItem,
  ResponseReasoningItem,
  ResponseStreamEvent,
  Tool,
} from 'openai/resources/responses/responses';
import { z } from 'zod';
import { until } from '#libs/testing/until.js';
import { countTextTokens } from '#libs/money/tokens.js';
import { Rehearsal } from './rehearsal.js';
import { REFUSED_PHRASE } from './rehearsal.responses.js';

const model = 'gpt-5.4-mini';
const input = 'What is the weather in Lisbon?';
const weather: Tool = {
  type: 'function',
  name: 'get_weather',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  strict: false,
};
const include = ['reasoning.encrypted_content' as const];

/** What does not differ between two answers to the same request. */
function comparable({ id: _id, created_at: _created, completed_at: _completed, output, ...rest }: Response): object {
  return { ...rest, output: output.map((item) => ({ ...item, id: '', call_id: '', encrypted_content: '' })) };
}

describe('POST /v1/responses of the rehearsal upstream', () => {
  let rehearsal: Rehearsal;
  let openai: OpenAI;

  beforeAll(async () => {
    rehearsal = await Rehearsal.start();
    openai = new OpenAI({ apiKey: 'any', baseURL: rehearsal.url, maxRetries: 0 });
  });
  afterEach(() => rehearsal.reset());
  afterAll(() => rehearsal.stop());

  const typesOf = async (body: Omit<ResponseCreateParamsNonStreaming, 'stream'>): Promise<ResponseStreamEvent[]> => {
    const events: ResponseStreamEvent[] = [];
    for await (const event of await openai.responses.create({ ...body, stream: true })) events.push(event);
    return events;
  };

  it('answers with a reasoning item and a message, and counts tokens as the model does', async () => {
    const answer = await openai.responses.create({ model, input, instructions: 'Be brief.' });
    expect(answer).toMatchObject({ status: 'completed', error: null, model, instructions: 'Be brief.' });
    expect(answer.output.map(({ type }) => type)).toEqual(['reasoning', 'message']);
    expect(answer.output_text).toContain('weather in Lisbon');
    const { output_tokens, output_tokens_details, input_tokens, total_tokens } = answer.usage!;
    expect(output_tokens).toBe(
      output_tokens_details.reasoning_tokens + (await countTextTokens([answer.output_text], 'o200k_base')),
    );
    expect(input_tokens).toBe((await countTextTokens([input, 'Be brief.'], 'o200k_base')) + 6);
    expect(total_tokens).toBe(input_tokens + output_tokens);
    expect(rehearsal.responsesCalls()).toMatchObject([{ state: 'finished', body: { input }, usage: answer.usage }]);
  });

  it.each<[string, Partial<ResponseCreateParamsNonStreaming>]>([
    ['a text', {}],
    ['a text with summaries', { reasoning: { summary: 'auto' }, include }],
    ['a text with log probabilities', { include: ['message.output_text.logprobs'], top_logprobs: 2 }],
    ['JSON', { text: { format: { type: 'json_object' } } }],
    ['a refusal', { input: REFUSED_PHRASE }],
    ['a function call', { tools: [weather] }],
    ['a custom tool', { tools: [{ type: 'custom', name: 'weather_script' }] }],
    ['a shell of the caller', { tools: [{ type: 'shell', environment: { type: 'local' } }], input: 'call shell' }],
    ['a patch', { tools: [{ type: 'apply_patch' }], input: 'call apply_patch' }],
    ['a search', { tools: [{ type: 'web_search' }], input: 'Please search it' }],
    ['a text that is cut', { max_output_tokens: 20 }],
    ['arguments that are cut', { tools: [weather], max_output_tokens: 16 }],
  ])('streams %s as it answers in one piece', async (_, more) => {
    const whole = await openai.responses.create({ model, input, ...more });
    const stream = openai.responses.stream({ model, input, ...more } as Parameters<typeof openai.responses.stream>[0]);
    const streamed = await stream.finalResponse();
    // Log probabilities are made up anew.
    const steady = (response: Response): unknown =>
      JSON.parse(JSON.stringify(comparable(response)).replace(/"logprob":[^,}]+/g, ''), (name, value: unknown) =>
        name === 'parsed' || name === 'parsed_arguments' || name === 'output_parsed' ? undefined : value,
      );
    const plain = JSON.stringify(comparable(whole));
    expect(plain.length).toBeGreaterThan(100);
    if (!plain.includes('"logprob":')) expect(steady(streamed)).toEqual(steady(whole));
    expect(streamed.output_text).toBe(whole.output_text);
    expect(streamed.usage).toEqual(whole.usage);
  });

  it('sends every event of a real stream, numbered, with padding unless told not to', async () => {
    const events = await typesOf({ model, input, reasoning: { summary: 'auto' }, include });
    const names = events.map(({ type }) => type).filter((type, index, all) => type !== all[index - 1]);
    expect(names).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.reasoning_summary_part.added',
      'response.reasoning_summary_text.delta',
      'response.reasoning_summary_text.done',
      'response.reasoning_summary_part.done',
      'response.output_item.done',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, index) => index));
    expect(JSON.stringify(events)).toContain('"obfuscation"');
    const bare = await typesOf({ model, input, stream_options: { include_obfuscation: false } } as never);
    expect(JSON.stringify(bare)).not.toContain('"obfuscation"');
  });

  it('calls all tools that the message names, or one where the caller wants one at a time, and goes on with results', async () => {
    const tools: Tool[] = [weather, { ...weather, name: 'get_time' }, { ...weather, name: 'send_mail' }];
    const both = 'call get_weather and get_time';
    const { output } = await openai.responses.create({ model, tools, input: both });
    const calls = output.filter((item) => item.type === 'function_call');
    expect(calls.map(({ name }) => name)).toEqual(['get_weather', 'get_time']);
    const one = await openai.responses.create({ model, tools, input: both, parallel_tool_calls: false });
    expect(one.output.filter(({ type }) => type === 'function_call')).toHaveLength(1);
    const results = calls.map(({ call_id }) => ({ type: 'function_call_output' as const, call_id, output: 'Sunny' }));
    const turn: ResponseInputItem[] = [
      { role: 'user', content: both },
      ...calls.map(({ id: _, ...call }) => call),
      ...results,
    ];
    expect((await openai.responses.create({ model, tools, input: turn })).output_text).toContain('Sunny');
    await expect(openai.responses.create({ model, tools, input: turn.slice(0, -1) })).rejects.toThrow(
      `No tool output found for function call ${calls[1]!.call_id}.`,
    );
    await expect(openai.responses.create({ model, tools, input: results })).rejects.toThrow('No tool call found for');
  });

  it('calls tools of a namespace, of the input and those that tool_choice names', async () => {
    const inner = { type: 'namespace' as const, name: 'city', description: 'Cities', tools: [weather] } as Tool;
    const spaced = await openai.responses.create({ model, input, tools: [inner] });
    expect(spaced.output.at(-1)).toMatchObject({ type: 'function_call', name: 'get_weather', namespace: 'city' });
    const added = [
      { type: 'additional_tools', role: 'developer', tools: [weather] },
      { role: 'user', content: input },
    ];
    const late = await openai.responses.create({ model, input: added as ResponseInputItem[] });
    expect(late.output.at(-1)).toMatchObject({ type: 'function_call', name: 'get_weather' });
    const other = { ...weather, name: 'other' };
    const chosen = { model, input, tools: [weather, other] };
    const named = await openai.responses.create({ ...chosen, tool_choice: { type: 'function', name: 'other' } });
    expect(named.output.at(-1)).toMatchObject({ name: 'other' });
    const none = await openai.responses.create({ ...chosen, tool_choice: 'none' });
    expect(none.output.at(-1)?.type).toBe('message');
  });

  it('fits a schema, and says in usage how often it searched', async () => {
    const format = zodTextFormat(z.object({ city: z.string() }), 'place');
    const parsed = await openai.responses.parse({ model, input, text: { format } });
    expect(parsed.output_parsed).toEqual({ city: 'Lisbon' });
    const searched = await openai.responses.create({ model, input: 'search it', tools: [{ type: 'web_search' }] });
    expect(searched.output.map(({ type }) => type)).toEqual(['reasoning', 'web_search_call', 'message']);
    expect(searched.tool_usage?.web_search.num_requests).toBe(1);
    expect(searched.output.at(-1)).toMatchObject({ content: [{ annotations: [{ type: 'url_citation' }] }] });
  });

  it('reads the contents that it has sealed, and no others', async () => {
    const first = await openai.responses.create({ model, input, include, store: false });
    const reasoning = first.output[0] as ResponseReasoningItem & { encrypted_content: string };
    expect(reasoning.encrypted_content).toMatch(/^gAAAAA[\w-]{40,}$/);
    const again = (content: string): Promise<Response> =>
      openai.responses.create({
        model,
        input: [
          { role: 'user', content: input },
          { ...reasoning, encrypted_content: content },
          { role: 'user', content: 'And?' },
        ],
      });
    const { usage } = await again(reasoning.encrypted_content);
    expect(usage!.input_tokens).toBeGreaterThan(first.usage!.output_tokens_details.reasoning_tokens);
    const forged = `${reasoning.encrypted_content.slice(0, -4)}AAAA`;
    await expect(again(forged)).rejects.toMatchObject({ status: 400, code: 'invalid_encrypted_content' });
    const stranger = await Rehearsal.start({ organization: 'another' });
    const theirs = new OpenAI({ apiKey: 'any', baseURL: stranger.url, maxRetries: 0 });
    const { output } = await theirs.responses.create({ model, input, include });
    await expect(again((output[0] as typeof reasoning).encrypted_content)).rejects.toMatchObject({ status: 400 });
    await stranger.stop();
    const compacted = await openai.responses.create({
      model,
      input: [{ role: 'user', content: input }, { type: 'compaction_trigger' }],
    });
    expect(compacted.output).toMatchObject([
      { type: 'compaction', encrypted_content: expect.stringMatching(/^gAAAAA/) },
    ]);
  });

  it.each<[string, object, object]>([
    ['a parameter that nobody knows', { extra: 1 }, { status: 400, code: 'unknown_parameter', param: 'extra' }],
    ['a wrong type', { temperature: 'hot' }, { status: 400, code: 'invalid_type', param: 'temperature' }],
    ['too small an output', { max_output_tokens: 15 }, { status: 400, param: 'max_output_tokens' }],
    ['sealed reasoning of a model without', { model: 'gpt-4.1-mini', include }, { status: 400, param: 'include' }],
    ['what nobody can include', { include: ['all'] }, { status: 400, code: 'invalid_value' }],
    [
      'an earlier response',
      { previous_response_id: 'resp_1' },
      { status: 400, code: 'previous_response_not_found', param: 'previous_response_id' },
    ],
    ['a conversation', { conversation: 'conv_1' }, { status: 404, param: 'conversation' }],
    ['an item by its id', { input: [{ type: 'item_reference', id: 'msg_1' }] }, { status: 404, param: 'input' }],
    ['reasoning by its id', { input: [{ type: 'reasoning', id: 'rs_1', summary: [] }] }, { status: 404 }],
    ['an item that nobody knows', { input: [{ type: 'letter' }] }, { status: 400, param: 'input[0].type' }],
    ['an id of another kind', { input: [{ role: 'user', id: 'x', content: 'hi' }] }, { param: 'input[0].id' }],
    ['nothing to answer', { input: [] }, { status: 400, code: 'missing_required_parameter' }],
  ])('refuses %s', async (_, more, error) => {
    await expect(
      openai.responses.create({ model, input, ...more } as ResponseCreateParamsNonStreaming),
    ).rejects.toMatchObject(error);
    expect(rehearsal.responsesCalls()).toMatchObject([{ state: 'refused', usage: undefined }]);
  });

  it('keeps nothing: what it has answered cannot be fetched or deleted', async () => {
    const { id } = await openai.responses.create({ model, input });
    await expect(openai.responses.retrieve(id)).rejects.toMatchObject({ status: 404 });
    await expect(openai.responses.delete(id)).rejects.toMatchObject({ status: 404 });
  });

  it('does what a test wants: refusals, headers, scripted events, other usage, a broken line, errors', async () => {
    rehearsal.onResponses = () => ({
      refuse: { status: 429, error: { message: 'slow', code: 'rate_limit_exceeded' } },
    });
    await expect(openai.responses.create({ model, input })).rejects.toMatchObject({ status: 429 });

    rehearsal.onResponses = () => ({
      headers: { 'x-own': '1' },
      content: 'Yes.',
      usage: { input_tokens: 9, output_tokens: 2 },
    });
    const { data, response } = await openai.responses.create({ model, input }).withResponse();
    expect([data.output_text, response.headers.get('x-own'), data.usage?.total_tokens]).toEqual(['Yes.', '1', 11]);

    rehearsal.onResponses = () => ({ events: [{ type: 'response.created', response: {} }, { type: 'unheard.of' }] });
    expect((await typesOf({ model, input })).map(({ type }) => type)).toEqual(['response.created', 'unheard.of']);

    rehearsal.onResponses = () => ({ cutAfterEvents: 9 });
    await expect(typesOf({ model, input })).rejects.toThrow();
    expect(rehearsal.responsesCalls().at(-1)).toMatchObject({ state: 'aborted' });

    rehearsal.onResponses = () => ({ errorAfterEvents: { events: 0, error: { code: 'server_error', message: 'no' } } });
    await expect(typesOf({ model, input })).rejects.toThrow('no');
    expect(rehearsal.responsesCalls().at(-1)).toMatchObject({ state: 'refused', usage: undefined });
    rehearsal.onResponses = () => ({
      errorAfterEvents: { events: 5, error: { code: 'server_error', message: 'no' }, as: 'failed' },
    });
    expect((await typesOf({ model, input })).at(-1)).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', error: { code: 'server_error' }, usage: { total_tokens: expect.any(Number) } },
    });
  });

  it('bills an aborted stream for what was generated', async () => {
    const before: string[] = [];
    rehearsal.onResponses = () => ({
      tokensPerSecond: 50,
      beforeEvent: async (event) => void before.push(event.type),
    });
    let seen = 0;
    for await (const _ of await openai.responses.create({ model, input, stream: true })) if (++seen === 10) break;
    await until('the call ends', () => rehearsal.responsesCalls()[0]?.state === 'aborted');
    const { usage } = rehearsal.responsesCalls()[0]!;
    expect(usage!.output_tokens).toBeGreaterThan(usage!.output_tokens_details.reasoning_tokens);
    expect(usage!.output_tokens).toBeLessThan(30);
    expect(before.slice(0, 2)).toEqual(['response.created', 'response.in_progress']);
  });
});
