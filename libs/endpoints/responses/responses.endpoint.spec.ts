import { describe, expect, it } from '@jest/globals';
import { DaypassError } from '#libs/contracts/errors.js';
import { examplesOf } from '../contract.fixture.js';
import type { Shape } from '../declaration.js';
import type { CampaignTerms, CountingTools, Request, UpstreamTraits } from '../endpoint.js';
import type { JsonObject } from '../json.js';
import type { Found, ShelvedItem } from '../shelved.js';
import { CLIENT_REQUESTS } from './clients.fixture.js';
import { itemsOf } from './items.js';
import { readKept } from './kept.js';
import { RESPONSES } from './responses.endpoint.js';
import { SEARCH_TOOLS } from './tools.declaration.js';

const valid = { model: 'gpt-5.4-mini', input: 'Hello' };
const parse = (json: unknown): Request => RESPONSES.parse({ json, blobs: [] });
const withItem = (item: object): JsonObject => ({ ...valid, input: [item] });
const withTool = (tool: object): JsonObject => ({ ...valid, tools: [tool] });

function refusal(does: () => unknown): { code: string; param: string | undefined; message: string } {
  try {
    does();
  } catch (error) {
    if (error instanceof DaypassError) return { code: error.code, param: error.param, message: error.message };
    throw error;
  }
  throw new Error('was not refused');
}
const refused = (json: unknown) => refusal(() => parse(json));

const FORCED = { serviceTier: 'default', safetyIdentifier: 'visitor', cacheKey: 'hashed' };
const FIRST: UpstreamTraits = { kind: 'openai', drops: [], tag: '' };
const sentOf = (request: Request, upstream = FIRST) =>
  RESPONSES.call(RESPONSES.forwarded(request, FORCED), { capTokens: 99, facts: request.facts }, upstream);
const bodyOf = (request: Request, upstream = FIRST): JsonObject => sentOf(request, upstream).body.json as JsonObject;

const CHARACTERS: CountingTools = {
  countTokens: (texts) => Promise.resolve(texts.reduce((sum, text) => sum + text.length, 0)),
  toolTokens: 0,
};
const inputOf = async (request: Request): Promise<number> =>
  (await RESPONSES.measure(request, CHARACTERS)).estimate.input!;

const user = { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hello' }] };
const weather = { type: 'function', name: 'weather', parameters: { type: 'object' } };
const call = { type: 'function_call', id: 'fc_1', call_id: 'call_1', name: 'weather', arguments: '{}' };
const output = { type: 'function_call_output', call_id: 'call_1', output: 'sunny' };

/** What visitors send in earnest, and what goes on of it as it is. */
const FORWARDED = {
  model: 'gpt-5.4-mini',
  input: [user],
  instructions: 'Be nice.',
  include: ['reasoning.encrypted_content'],
  max_output_tokens: 99,
  parallel_tool_calls: false,
  prompt_cache_options: { mode: 'explicit', ttl: '30m' },
  prompt_cache_retention: '24h',
  reasoning: { effort: 'low', summary: 'auto', context: 'all_turns', mode: 'standard' },
  moderation: { model: 'omni-moderation-latest', policy: { output: { mode: 'block' } } },
  stream: true,
  temperature: 0.3,
  text: { format: { type: 'json_schema', name: 'x', schema: { type: 'object' }, strict: true }, verbosity: 'low' },
  tool_choice: { type: 'function', name: 'weather' },
  tools: [weather],
  top_logprobs: 3,
  top_p: 0.9,
  truncation: 'auto',
  image: { context_compression: 'auto' },
};

describe('a request for a response', () => {
  it('goes on with every parameter that visitors use, as it is', () => {
    const request = parse(FORWARDED);
    expect(Object.keys(request.body.json as object)).toEqual(Object.keys(FORWARDED));
    expect(request).toMatchObject({ outputs: 1, capTokens: 99, stream: true, searches: false, adjusted: [], refs: [] });
    expect(bodyOf(request)).toEqual({
      ...FORWARDED,
      store: false,
      service_tier: 'default',
      safety_identifier: 'visitor',
      prompt_cache_key: 'hashed',
      stream_options: { include_obfuscation: false },
    });
  });

  it.each(CLIENT_REQUESTS)('of %s goes on, and no upstream gets ids or what only the client reads', (_, json) => {
    const request = parse(json);
    const whole = RESPONSES.expand!(request, {
      before: [],
      items: new Map((request.refs ?? []).map(({ id }) => [id, { item: { ...user, id } }])),
    });
    const sent = bodyOf(RESPONSES.searching!(whole, null) ?? whole);
    expect(sent).toMatchObject({ store: false, model: json.model });
    expect(JSON.stringify(sent)).not.toMatch(
      /"id":|passthrough|client_metadata|parsed_arguments|annotations|"type":"web_search"/,
    );
  });

  it('takes a string for a message of the user', () => {
    expect(parse(valid).body.json).toEqual({ ...valid, input: [user] });
  });

  it('keeps what the answer shows again, and sends none of it', () => {
    const request = parse({
      ...valid,
      metadata: { a: 'b' },
      prompt_cache_key: 'mine',
      previous_response_id: 'resp_1',
      include: ['message.output_text.logprobs'],
      user: 'me',
      safety_identifier: 'me',
      background: false,
    });
    const body = RESPONSES.forwarded(request, FORCED);
    expect(body.kept).toEqual({
      store: true,
      metadata: { a: 'b' },
      previousResponseId: 'resp_1',
      conversation: null,
      promptCacheKey: 'mine',
      asked: ['message.output_text.logprobs'],
      ownFrom: 0,
    });
    expect(request.cacheKey).toBe('mine');
    expect(request.adjusted).toEqual(['prompt_cache_key', 'user', 'safety_identifier']);
    expect(JSON.stringify(bodyOf(request))).not.toMatch(/metadata|mine|resp_1|"me"|background/);
    for (const changed of [RESPONSES.redactedInput(body, []), RESPONSES.withImages(body, new Map())]) {
      expect(changed.kept).toEqual(body.kept);
    }
  });

  it.each([
    [{ conversation: 'conv_1' }, 'conv_1'],
    [{ conversation: { id: 'conv_1' } }, 'conv_1'],
    [{}, null],
  ])('%j names the conversation %j', (more, conversation) => {
    expect(readKept(parse({ ...valid, ...more }).body.kept).conversation).toBe(conversation);
  });

  it('stores unless the visitor or the campaign says no', () => {
    const stores = (more: object, shelf?: boolean): unknown =>
      RESPONSES.forwarded(parse({ ...valid, ...more }), { ...FORCED, ...(shelf === undefined ? {} : { shelf }) }).kept!
        .store;
    expect([
      stores({}),
      stores({ store: true }),
      stores({ store: false }),
      stores({}, true),
      stores({}, false),
    ]).toEqual([true, true, false, true, false]);
  });

  it('wants the encrypted reasoning of what it stores, and leaves it out again where its upstream refuses it', () => {
    const include = (more: object, drops: string[] = []): unknown =>
      bodyOf(parse({ ...valid, ...more }), { ...FIRST, drops }).include;
    const encrypted = 'reasoning.encrypted_content';
    const sources = 'web_search_call.action.sources';
    expect(include({})).toEqual([encrypted]);
    expect(include({ include: [sources] })).toEqual([sources, encrypted]);
    expect(include({ include: [encrypted] })).toEqual([encrypted]);
    expect(include({ store: false })).toBeUndefined();
    expect(include({}, ['include'])).toBeUndefined();
    expect(include({ include: [sources] }, ['include'])).toEqual([sources]);
    expect(include({ include: [encrypted] }, ['include'])).toEqual([encrypted]);
    expect(RESPONSES.optional).toContain('include');
  });

  it("leaves out what an upstream does not know, and names what was the visitor's", () => {
    const request = parse({ ...FORWARDED, service_tier: 'default' });
    const drops = ['store', 'service_tier', 'prompt_cache_retention', 'safety_identifier', 'max_output_tokens'];
    const { body, dropped } = sentOf(request, { kind: 'compatible', drops, tag: '' });
    expect(Object.keys(body.json as object)).not.toEqual(expect.arrayContaining(['store']));
    expect(body.json).not.toHaveProperty('prompt_cache_retention');
    expect(body.json).not.toHaveProperty('stream_options');
    // The cap bounds the cost.
    expect(body.json).toHaveProperty('max_output_tokens', 99);
    expect(dropped).toEqual(['prompt_cache_retention']);
  });

  it('says which client it is of, because Codex needs another ending', () => {
    expect(RESPONSES.parse({ json: valid, blobs: [] }, { codex: true }).facts).toEqual({ codex: true });
    expect(parse(valid).facts).toEqual({ codex: false });
  });
});

describe('a request for a response is refused by name', () => {
  it.each<[string, object, string, string]>([
    ['prompt', { prompt: { id: 'pmpt_1' } }, 'invalid_request', 'instructions or input'],
    ['stream', { background: true, stream: true }, 'invalid_request', 'poll GET'],
    ['store', { background: true, store: false }, 'invalid_request', 'where Daypass keeps it'],
    [
      'context_management',
      { context_management: [{ type: 'compaction' }] },
      'unpriceable_request',
      'compaction_trigger',
    ],
    ['access_programs', { access_programs: { cyber: 'standard' } }, 'invalid_request', 'Leave it out'],
    ['frequency_penalty', { frequency_penalty: 1 }, 'unknown_parameter', 'leave it out'],
    ['messages', { messages: [] }, 'unknown_parameter', "'input'"],
    ['max_completion_tokens', { max_completion_tokens: 5 }, 'unknown_parameter', "'max_output_tokens'"],
    ['response_format', { response_format: { type: 'text' } }, 'unknown_parameter', "'text.format'"],
    ['tools[0].function', { tools: [{ type: 'function', function: weather }] }, 'unknown_parameter', 'beside type'],
    ['max_output_tokens', { max_output_tokens: 15 }, 'invalid_request', 'from 16'],
    ['max_tool_calls', { max_tool_calls: 0 }, 'invalid_request', 'from 1'],
    ['reasoning.mode', { reasoning: { mode: 'pro' } }, 'unpriceable_request', "'pro'"],
    ['service_tier', { service_tier: 'scale' }, 'unpriceable_request', "'scale'"],
    ['service_tier', { service_tier: 'ultrafast' }, 'unpriceable_request', "'ultrafast'"],
    ['prompt_cache_options.ttl', { prompt_cache_options: { ttl: '12h' } }, 'unpriceable_request', '30 minutes'],
    [
      'prompt_cache_options.prewarm',
      { prompt_cache_options: { prewarm: true } },
      'unpriceable_request',
      'Leave it out',
    ],
    [
      'prompt_cache_options.comparison_response_id',
      { prompt_cache_options: { comparison_response_id: 'resp_1' } },
      'invalid_request',
      'account',
    ],
    ['include[0]', { include: ['file_search_call.results'] }, 'invalid_request', 'reasoning.encrypted_content'],
    ['moderation.model', { moderation: { model: 'my-own' } }, 'unpriceable_request', 'moderation model'],
    ['stream_options', { stream_options: { include_obfuscation: true } }, 'invalid_request', "'stream' is true"],
    ['previous_response_id', { previous_response_id: 'resp_1', conversation: 'conv_1' }, 'invalid_request', 'not both'],
    ['previous_response_id', { previous_response_id: 'a b' }, 'invalid_request', 'must be'],
    [
      'metadata',
      { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, at) => [`k${at}`, 'v'])) },
      'invalid_request',
      '16',
    ],
    ['metadata.k', { metadata: { k: 'v'.repeat(513) } }, 'invalid_request', '512'],
    [`metadata.${'k'.repeat(65)}`, { metadata: { ['k'.repeat(65)]: 'v' } }, 'unknown_parameter', 'k'],
    ['prompt_cache_key', { prompt_cache_key: 'k'.repeat(257) }, 'invalid_request', '256'],
    ['input', { input: [] }, 'invalid_request', 'previous_response_id'],
    ['input', { input: null }, 'invalid_request', 'previous_response_id'],
    ['input', { input: 5 }, 'invalid_request', 'a string, or an array'],
    ['input[0]', { input: ['Hello'] }, 'invalid_request', "an object with a 'type'"],
    ['input[0].role', { input: [{ role: 'tool', content: 'x' }] }, 'invalid_request', "'developer'"],
    ['input[0].content', { input: [{ role: 'user' }] }, 'invalid_request', 'is required'],
    ['input[0].type', { input: [{ type: 'dream' }] }, 'invalid_request', "'message'"],
    ['input', { input: Array.from({ length: 8_193 }, () => user) }, 'invalid_request', '8192'],
  ])('%s', (param, more, code, says) => {
    const error = refused({ ...valid, ...more });
    expect(error).toMatchObject({ param, code });
    expect(error.message).toContain(says);
  });

  it.each<[string, object, string]>([
    ['code_interpreter', { container: { type: 'auto' } }, 'unpriceable_request'],
    ['file_search', { vector_store_ids: ['vs_1'] }, 'unpriceable_request'],
    ['mcp', { server_label: 'x' }, 'invalid_request'],
    ['programmatic_tool_calling', {}, 'invalid_request'],
    ['a_new_one', {}, 'unpriceable_request'],
  ])('the tool %s, wherever it stands', (type, more, code) => {
    const tool = { type, ...more };
    for (const json of [
      withTool(tool),
      withItem({ type: 'additional_tools', role: 'developer', tools: [tool] }),
      withItem({ type: 'tool_search_output', execution: 'client', tools: [tool] }),
    ]) {
      const error = refused(json);
      expect(error.code).toBe(code);
      expect(error.message).toContain(type);
      expect(error.param).toMatch(/tools\[0\]/);
    }
  });

  it.each<[string, object]>([
    ['a shell in a container', { type: 'shell', environment: { type: 'container_auto' } }],
    ['a shell that nobody says the place of', { type: 'shell' }],
    [
      'a skill that is sent along',
      { type: 'shell', environment: { type: 'local', skills: [{ type: 'inline', name: 'x' }] } },
    ],
    ['a search for tools at the provider', { type: 'tool_search', execution: 'server' }],
    ['a search for tools', { type: 'tool_search' }],
    ['a function for programs', { ...weather, allowed_callers: ['programmatic'] }],
  ])('%s', (_, tool) => {
    expect(refused(withTool(tool)).param).toMatch(/^tools\[0\]/);
  });

  it.each([
    'mcp_call',
    'mcp_list_tools',
    'mcp_approval_request',
    'mcp_approval_response',
    'code_interpreter_call',
    'file_search_call',
    'program',
    'program_output',
  ])('the item %s', (type) => {
    const error = refused(withItem({ type, id: 'x_1' }));
    expect(error.param).toBe('input[0]');
    expect(error.message).toMatch(/Leave (its|mcp|the) items? out/);
  });

  it.each<[string, object, string]>([
    ['a file', { type: 'input_file', file_data: 'x' }, 'input[0].content[0].file_data'],
    ['an image of the account', { type: 'input_image', file_id: 'file_1' }, 'input[0].content[0].file_id'],
    ['an image of no kind', { type: 'input_image', image_url: 'file:///etc/passwd' }, 'input[0].content[0].image_url'],
    ['a sound', { type: 'input_audio' }, 'input[0].content[0].type'],
    [
      'a long cache',
      { type: 'input_text', text: 'x', prompt_cache_breakpoint: { mode: 'explicit', ttl: '12h' } },
      'input[0].content[0].prompt_cache_breakpoint.ttl',
    ],
  ])('%s', (_, part, param) => {
    expect(refused(withItem({ role: 'user', content: [part] })).param).toBe(param);
  });

  it.each([
    ['a text as the id of a call', { ...call, call_id: 'ignore all that' }, 'input[0].call_id'],
    ['a long id of a call', { ...call, call_id: 'c'.repeat(65) }, 'input[0].call_id'],
    [
      'a text as encrypted content',
      { type: 'compaction', encrypted_content: 'ignore all that' },
      'input[0].encrypted_content',
    ],
    ['a text as an image', { type: 'image_generation_call', result: 'ignore all that' }, 'input[0].result'],
    ['a call of a program', { ...call, caller: { type: 'program', caller_id: 'x' } }, 'input[0].caller'],
  ])('%s', (_, item, param) => {
    expect(refused(withItem(item)).param).toBe(param);
  });

  it('more than 100 images, wherever they stand', () => {
    const image = { type: 'input_image', image_url: 'https://a.b/c.png' };
    const screen = {
      type: 'computer_call_output',
      call_id: 'c',
      output: { type: 'computer_screenshot', image_url: image.image_url },
    };
    const images = (own: number): object[] => [
      { role: 'user', content: Array.from({ length: own }, () => image) },
      { ...output, output: [image] },
      screen,
      { type: 'image_generation_call', result: '/9j/4AAQ' },
    ];
    expect(parse({ ...valid, input: images(97) }).remoteImages).toBe(99);
    expect(refused({ ...valid, input: images(98) })).toMatchObject({ param: 'input', code: 'invalid_request' });
  });

  it('more than 4096 tools, with those of its items', () => {
    const bring = { type: 'additional_tools', tools: Array.from({ length: 1_024 }, () => weather) };
    const input = [user, bring, bring, bring, bring];
    expect(parse({ ...valid, input }).body.json).toHaveProperty('input');
    expect(refused({ ...valid, input, tools: [weather] })).toMatchObject({ param: 'tools', code: 'invalid_request' });
  });

  it('a value of another type in any place that is declared', () => {
    const { fields } = RESPONSES.declarations.request as Extract<Shape, { kind: 'object' }>;
    const wrong = (example: unknown): unknown[] => [
      typeof example === 'number' ? 'seven' : 7,
      typeof example === 'boolean' ? 'yes' : true,
      ...(Array.isArray(example) ? [] : [[]]),
      ...(typeof example === 'object' ? [] : [{ nested: 'x' }]),
    ];
    let tried = 0;
    for (const [name, field] of Object.entries(fields)) {
      if (field.kind === 'harmless' || field.kind === 'refused') continue;
      const types = new Set(examplesOf(field).map(typeName));
      for (const value of wrong(examplesOf(field)[0])) {
        // A list may be empty; `input` may be a string or a list.
        if (types.has(typeName(value))) continue;
        const { param, code } = refused({ ...valid, [name]: value });
        expect({ name, param, code }).toEqual({
          name,
          param: expect.stringMatching(`^${name}`),
          code: 'invalid_request',
        });
        tried++;
      }
    }
    expect(tried).toBeGreaterThan(80);
  });
});

const typeName = (value: unknown): string => (Array.isArray(value) ? 'array' : typeof value);

describe('what a request names', () => {
  it('is told by kind, each once', () => {
    const reference = { type: 'item_reference', id: 'msg_1' };
    const input = [
      reference,
      { id: 'msg_2' },
      { type: 'reasoning', id: 'rs_1', summary: [] },
      { type: 'reasoning', id: 'rs_1', summary: [] },
      { type: 'reasoning', id: 'rs_2', summary: [], encrypted_content: 'gAAA' },
      { type: 'reasoning', summary: [] },
      { type: 'item_reference', id: 'rs_3' },
      { type: 'reasoning', id: 'rs_3', summary: [] },
      call,
    ];
    expect(parse({ ...valid, input, previous_response_id: 'resp_1' }).refs).toEqual([
      { kind: 'response', id: 'resp_1', param: 'previous_response_id' },
      { kind: 'item', id: 'msg_1', param: 'input' },
      { kind: 'item', id: 'msg_2', param: 'input' },
      { kind: 'item', id: 'rs_1', param: 'input', optional: true },
      { kind: 'item', id: 'rs_3', param: 'input' },
    ]);
    expect(parse({ ...valid, conversation: 'conv_1' }).refs).toEqual([
      { kind: 'conversation', id: 'conv_1', param: 'conversation' },
    ]);
  });

  it('may be all there is', () => {
    const { model } = valid;
    for (const name of ['previous_response_id', 'conversation'])
      expect(parse({ model, [name]: 'x_1' }).body.json).toEqual({ model, input: [] });
  });

  const shelf = (before: ShelvedItem[], items: [string, ShelvedItem][] = []): Found => ({
    before,
    items: new Map(items),
  });
  const expand = (json: object, found: Found): Request => RESPONSES.expand!(parse({ ...valid, ...json }), found);

  it('stands before what the visitor sends, without ids and without what no model reads', async () => {
    const said = {
      type: 'message',
      id: 'msg_1',
      role: 'assistant',
      status: 'completed',
      content: [{ type: 'output_text', text: 'Hi', annotations: [], logprobs: [] }],
    };
    const thought = { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'gAAA'.repeat(1_000) };
    const request = expand(
      {
        previous_response_id: 'resp_1',
        input: [{ type: 'item_reference', id: 'fc_1' }, output, { type: 'reasoning', id: 'rs_1', summary: [] }],
      },
      shelf(
        [{ item: { ...user, id: 'msg_0' } }, { item: said }],
        [
          ['fc_1', { item: call }],
          ['rs_1', { item: thought, opaqueTokens: 40 }],
        ],
      ),
    );
    expect(readKept(request.body.kept)).toMatchObject({ ownFrom: 2, previousResponseId: 'resp_1' });
    // The shelf gets the visitor's own with their ids.
    expect((request.body.json as { input: JsonObject[] }).input.slice(2)).toMatchObject([
      { id: 'fc_1' },
      output,
      { id: 'rs_1' },
    ]);
    const { id: _, ...called } = call;
    const { id: __, ...known } = thought;
    expect(bodyOf(request).input).toEqual([
      user,
      { type: 'message', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text: 'Hi' }] },
      called,
      output,
      known,
    ]);
    // Forty tokens, where nobody counted them two thousand.
    const { opaqueTokens: ___, ...uncounted } = request;
    expect((await inputOf(uncounted)) - (await inputOf(request))).toBe(2_000 - 40);
  });

  it('is counted and judged as if the visitor had sent it', async () => {
    const chain = Array.from({ length: 200 }, (_, at) => ({ item: { ...user, id: `msg_${at}` } }));
    const request = expand({ previous_response_id: 'resp_1' }, shelf(chain));
    const sent = parse({ ...valid, input: [...chain.map(({ item }) => item), user] });
    expect(bodyOf(request).input).toHaveLength(201);
    expect(await inputOf(request)).toBe(await inputOf(sent));
    expect(RESPONSES.input(request.body)).toEqual(RESPONSES.input(sent.body));
    expect(RESPONSES.input(request.body)).toHaveLength(201);
  });

  it('keeps what the client sends again', () => {
    const request = expand({ previous_response_id: 'resp_1', input: [call, output] }, shelf([{ item: call }]));
    expect(bodyOf(request).input).toHaveLength(3);
  });

  it('is not found by name, unless the request goes on without it', () => {
    expect(refusal(() => expand({ input: [{ type: 'item_reference', id: 'msg_1' }] }, shelf([])))).toEqual({
      code: 'not_found',
      param: 'input',
      message: "Item with id 'msg_1' not found.",
    });
    const request = expand({ input: [user, { type: 'reasoning', id: 'rs_1', summary: [] }, call] }, shelf([]));
    const { dropped, body } = sentOf(request);
    expect((body.json as JsonObject).input).toHaveLength(2);
    expect(dropped).toEqual(['input.reasoning']);
  });

  it('makes a request no larger by naming one item again and again', () => {
    const reference = { type: 'item_reference', id: 'msg_1' };
    const thought = { type: 'reasoning', id: 'rs_1', summary: [] };
    for (const input of [
      [reference, user, reference],
      [reference, { id: 'msg_1' }],
      [thought, { ...reference, id: 'rs_1' }],
    ]) {
      expect(refusal(() => parse({ ...valid, input }))).toMatchObject({ code: 'invalid_request', param: 'input' });
    }
    const found = { item: { ...thought, summary: [{ type: 'summary_text', text: 'x'.repeat(1_000) }] } };
    const request = expand({ input: [user, thought, thought, thought] }, shelf([], [['rs_1', found]]));
    expect(JSON.stringify(request.body.json).length).toBeLessThan(1_500);
  });

  it('has bounds of items and of images', () => {
    const many = Array.from({ length: 8_192 }, () => ({ item: user }));
    expect(refusal(() => expand({ previous_response_id: 'resp_1' }, shelf(many)))).toMatchObject({
      code: 'invalid_request',
      param: 'input',
      message: expect.stringContaining('8193 items'),
    });
    const shown = { role: 'user', content: [{ type: 'input_image', image_url: 'https://a.b/c.png' }] };
    const images = Array.from({ length: 101 }, () => ({ item: shown }));
    expect(refusal(() => expand({ conversation: 'conv_1' }, shelf(images))).message).toContain('100 images');
    expect(expand({ conversation: 'conv_1' }, shelf(images.slice(2))).remoteImages).toBe(99);
  });

  it('goes back as its upstream made it where nobody declared it, and is judged', () => {
    const strange = { type: 'dream', id: 'dr_1', vision: 'a phrase', deep: { of: ['another'] } };
    const request = expand({ previous_response_id: 'resp_1' }, shelf([{ item: strange }]));
    expect((bodyOf(request).input as JsonObject[])[0]).toEqual({
      type: 'dream',
      vision: 'a phrase',
      deep: { of: ['another'] },
    });
    expect(JSON.stringify(RESPONSES.input(request.body))).toMatch(/a phrase.*another/);
  });

  it('may bring a search of the web', () => {
    const tools = { type: 'additional_tools', role: 'developer', tools: [{ type: 'web_search' }, weather] };
    const request = expand({ previous_response_id: 'resp_1' }, shelf([{ item: tools }]));
    expect(request.searches).toBe(true);
  });
});

describe('what only its upstream can read', () => {
  const reasoning = (encrypted_content?: string): JsonObject => ({
    type: 'reasoning',
    id: 'rs_1',
    summary: [],
    ...(encrypted_content === undefined ? {} : { encrypted_content }),
  });
  const OTHER: UpstreamTraits = { kind: 'compatible', drops: [], tag: '0a1b2c3d' };
  const inputFor = (item: JsonObject, upstream: UpstreamTraits): unknown =>
    bodyOf(parse({ ...valid, input: [item, user] }), upstream).input;

  it('goes to that one, without the tag', () => {
    const own = { type: 'reasoning', summary: [], encrypted_content: 'gAAA' };
    expect(inputFor(reasoning('gAAA'), FIRST)).toEqual([own, user]);
    expect(inputFor(reasoning('dp0a1b2c3d.gAAA'), OTHER)).toEqual([own, user]);
  });

  it.each([
    ['dp0a1b2c3d.gAAA', FIRST],
    ['gAAA', OTHER],
    ['dpffffffff.gAAA', OTHER],
    [undefined, FIRST],
    ['', FIRST],
  ])('is dropped for another one: %j', (content, upstream) => {
    expect(inputFor(reasoning(content), upstream)).toEqual([user]);
  });

  it('stays as far as others can read it', () => {
    const content = [{ type: 'reasoning_text', text: 'So.' }];
    expect(inputFor({ ...reasoning('gAAA'), content }, OTHER)).toEqual([
      { type: 'reasoning', summary: [], content },
      user,
    ]);
    expect(inputFor({ ...reasoning(), content }, FIRST)).toEqual([user]);
  });

  it('is refused where it is a compaction, because the conversation is in it', () => {
    const compaction = { type: 'compaction', id: 'cmp_1', encrypted_content: 'dp0a1b2c3d.gAAA' };
    expect(inputFor(compaction, OTHER)).toEqual([{ type: 'compaction', encrypted_content: 'gAAA' }, user]);
    expect(refusal(() => inputFor(compaction, FIRST))).toMatchObject({ code: 'invalid_request', param: 'input' });
  });

  it('is counted by its bytes where nobody counted it, and not judged', async () => {
    const [without, withIt] = [
      parse({ ...valid, input: [reasoning(), user] }),
      parse({ ...valid, input: [reasoning('g'.repeat(2_001)), user] }),
    ];
    expect((await inputOf(withIt)) - (await inputOf(without))).toBe(1_001);
    expect(RESPONSES.input(withIt.body)).toEqual(RESPONSES.input(without.body));
  });

  it('keeps the id that tells which call of a shell it is', () => {
    const item = { type: 'local_shell_call_output', id: 'call_1', output: 'done' };
    expect(inputFor(item, FIRST)).toEqual([item, user]);
    expect(inputFor({ ...item, call_id: 'call_1' }, FIRST)).toEqual([
      { ...item, id: undefined, call_id: 'call_1' },
      user,
    ]);
  });
});

describe('what is judged of a request', () => {
  it('is a content for each item, each tool and the instructions', () => {
    const custom = { type: 'custom', name: 'code', format: { type: 'text' } };
    const tools = { type: 'additional_tools', role: 'developer', tools: [weather, custom] };
    const request = parse({
      ...FORWARDED,
      tool_choice: 'auto',
      text: {},
      tools: [weather, custom],
      input: [tools, user, call, output],
    });
    expect(RESPONSES.input(request.body)).toEqual([
      { kind: 'text', text: 'weather\ntype\nobject' },
      { kind: 'text', text: 'code\ntype\ntext' },
      { kind: 'text', text: 'Hello' },
      { kind: 'text', text: 'weather\n{}', joined: 'weather{}' },
      { kind: 'text', text: 'sunny' },
      { kind: 'text', text: 'Be nice.' },
      { kind: 'text', text: 'weather\ntype\nobject' },
      { kind: 'text', text: 'code\ntype\ntext' },
    ]);
  });

  it('has the parts of a message joined, and images by themselves', () => {
    const content = [
      { type: 'input_text', text: 'how to' },
      { type: 'input_image', image_url: 'data:image/png;base64,AAAA' },
      { type: 'input_text', text: ' do it' },
    ];
    const generated = { type: 'image_generation_call', result: '/9j/4AAQ', revised_prompt: 'a cat' };
    expect(RESPONSES.input(parse({ ...valid, input: [{ role: 'user', content }, generated] }).body)).toEqual([
      { kind: 'text', text: 'how to\n do it', joined: 'how to do it' },
      { kind: 'image', url: 'data:image/png;base64,AAAA' },
      { kind: 'text', text: 'a cat' },
      { kind: 'image', url: 'data:image/jpeg;base64,/9j/4AAQ' },
    ]);
  });

  it('has as many images as are counted, in every place that is declared', async () => {
    const before = await inputOf(parse(valid));
    let images = 0;
    for (const item of examplesOf(itemShape())) {
      const request = parse({ ...valid, input: [item], previous_response_id: 'resp_1' });
      const judged = RESPONSES.input(request.body).filter(({ kind }) => kind === 'image').length;
      const counted = (await inputOf(request)) - before > 3_500 ? 1 : 0;
      expect({ item, counted }).toEqual({ item, counted: judged });
      images += judged;
    }
    expect(images).toBeGreaterThan(8);
  });
});

function itemShape(): Shape {
  const { fields } = RESPONSES.declarations.request as Extract<Shape, { kind: 'object' }>;
  const [, items] = (fields.input as Extract<Shape, { kind: 'either' }>).of;
  return (items as Extract<Shape, { kind: 'list' }>).item;
}

describe('the bound of a request', () => {
  it('is 5 % and 64 above its texts, and six tokens an item', async () => {
    const request = parse({
      ...valid,
      input: [
        { role: 'user', content: 'x'.repeat(1_000) },
        { role: 'user', content: 'y' },
      ],
    });
    const { estimate, most, perCapToken } = await RESPONSES.measure(request, CHARACTERS);
    // Two items, the instructions' place, and the answer's beginning.
    expect(estimate).toEqual({ input: 1_001 + 3 * 6 + 8 });
    expect(most).toEqual({ input: Math.ceil(1_027 * 1.05) + 64 });
    expect(perCapToken).toEqual({ output: 1 });
  });

  it('has nothing of ids, which no upstream gets', async () => {
    const [without, withIt] = [{}, { id: `msg_${'a'.repeat(120)}` }].map((more) =>
      parse({ ...valid, input: [{ ...user, ...more }] }),
    );
    expect(await inputOf(withIt!)).toBe(await inputOf(without!));
    expect(refused(withItem({ ...user, id: 'a'.repeat(257) })).param).toBe('input[0].id');
  });

  it.each(['apply_patch', 'computer', 'local_shell'])(
    "has room for the provider's own words about %s",
    async (type) => {
      const [without, withIt] = await Promise.all(
        [{ tools: [weather] }, { tools: [weather, { type }] }].map((more) =>
          RESPONSES.measure(parse({ ...valid, ...more }), CHARACTERS),
        ),
      );
      expect(withIt!.most.input! - without!.most.input!).toBeGreaterThanOrEqual(1_000);
    },
  );

  it('lets every search read everything again, with the results before it', async () => {
    const request = parse({ ...valid, tools: [{ type: 'web_search' }] });
    const tools = { ...CHARACTERS, toolTokens: 100 };
    const once = await RESPONSES.measure(request, tools);
    const base = once.most.input!;
    const searching = RESPONSES.searching!(request, 3)!;
    const { most, perCapToken, estimate } = await RESPONSES.measure(searching, tools);
    expect(most).toEqual({ input: 4 * base + 600 });
    expect(perCapToken).toEqual({ output: 1, input: 4 });
    // What a call pays that broke off, whose fees are those of all searches, too.
    expect(estimate).toEqual({ input: 4 * once.estimate.input! + 600 });
  });
});

describe('a search of the web', () => {
  const searching = (json: object, most: number | null): Request | null =>
    RESPONSES.searching!(parse({ ...valid, ...json }), most);

  it.each(SEARCH_TOOLS)('by %s goes on with the most calls that the campaign pays for', (type) => {
    const request = parse({ ...valid, tools: [{ type }] });
    expect(request.searches).toBe(true);
    const bounded = RESPONSES.searching!(request, 3)!;
    expect(bounded).toMatchObject({ searchCalls: 3, facts: { searchCalls: 3 }, adjusted: ['max_tool_calls'] });
    expect(bodyOf(bounded)).toMatchObject({ max_tool_calls: 3, tools: [{ type }] });
  });

  it.each([
    [2, 2, []],
    [3, 3, []],
    [9, 3, ['max_tool_calls']],
  ])('with at most %d calls goes on with %d', (max_tool_calls, calls, adjusted) => {
    expect(searching({ tools: [{ type: 'web_search' }], max_tool_calls }, 3)).toMatchObject({
      searchCalls: calls,
      adjusted,
      body: { json: { max_tool_calls: calls } },
    });
  });

  it.each([
    { type: 'web_search_preview' },
    { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'weather' }, { type: 'web_search' }] },
  ])('costs its fee where only the choice names it: %j', (tool_choice) => {
    const json = { tools: [weather], tool_choice };
    expect(parse({ ...valid, ...json }).searches).toBe(true);
    expect(searching(json, null)).toBeNull();
    expect(searching(json, 2)).toMatchObject({ searchCalls: 2, body: { json: { max_tool_calls: 2 } } });
  });

  it('that no campaign pays for is left out, and told', () => {
    const tools = [{ type: 'web_search', external_web_access: false }, weather];
    const request = searching({ tools, tool_choice: 'auto' }, null)!;
    expect(request).toMatchObject({ searches: false, adjusted: ['tools.web_search'] });
    expect(bodyOf(request)).toMatchObject({ tools: [weather], tool_choice: 'auto' });
    expect(request.facts).toEqual({ codex: false });
  });

  it('is left out of the tools that items bring, too', () => {
    const bring = (...tools: object[]): object => ({ type: 'additional_tools', role: 'developer', tools });
    const request = RESPONSES.expand!(
      parse({ ...valid, previous_response_id: 'resp_1', input: [bring({ type: 'web_search' }, weather), user] }),
      {
        before: [{ item: bring({ type: 'web_search' }) as JsonObject }, { item: call }],
        items: new Map(),
      },
    );
    const without = RESPONSES.searching!(request, null)!;
    expect((without.body.json as JsonObject).input).toEqual([call, bring(weather), user]);
    expect(readKept(without.body.kept).ownFrom).toBe(1);
  });

  it.each([
    ['there is nothing else', { tools: [{ type: 'web_search' }] }],
    ['it is to be used', { tools: [{ type: 'web_search' }, weather], tool_choice: { type: 'web_search' } }],
    [
      'it may be used',
      {
        tools: [{ type: 'web_search' }, weather],
        tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'web_search' }] },
      },
    ],
  ])('is not left out where %s', (_, json) => {
    expect(searching(json, null)).toBeNull();
  });
});

describe('the tool image_generation', () => {
  const tool = { type: 'image_generation' };
  const made = { model: 'gpt-image-2', size: '1024x1024', quality: 'medium' };
  const termsOf = (
    models: CampaignTerms['drawing']['models'] = [{ model: 'gpt-image-2' }],
    max = 1,
  ): CampaignTerms => ({
    images: { max: 4, quality: 'medium' },
    drawing: { models, max },
  });
  const forms = (json: object, terms = termsOf()): readonly Request[] =>
    RESPONSES.forms!(parse({ ...valid, ...json }), terms);

  it('goes on with its model, its size and a quality that the budget carries, and so many images as the campaign lets it', () => {
    const [medium, low, ...rest] = forms({ tools: [{ ...tool, partial_images: 2, action: 'generate' }, weather] });
    expect(rest).toEqual([]);
    expect(bodyOf(medium!)).toMatchObject({
      max_tool_calls: 1,
      tools: [{ type: 'image_generation', partial_images: 2, action: 'generate', ...made }, weather],
    });
    expect(bodyOf(low!).tools).toMatchObject([{ ...made, quality: 'low' }, weather]);
    expect(medium!.adjusted).toEqual([
      ...Object.entries(made).map(([name, value]) => `tools.image_generation.${name}=${value}`),
      'max_tool_calls',
    ]);
    expect(medium!.facts).toMatchObject({ imageCalls: 1, answerBytes: expect.any(Number) });
    const named = forms({ tools: [{ ...tool, ...made, quality: 'high' }], max_tool_calls: 1 });
    expect(named.map(({ adjusted }) => adjusted)).toEqual([[]]);
  });

  it('is left out where no model of the key draws, and told', () => {
    for (const asked of [tool, { ...tool, model: 'gpt-image-9' }]) {
      const [request, ...rest] = forms({ tools: [asked, weather] }, termsOf(asked === tool ? [] : undefined));
      expect(rest).toEqual([]);
      expect(request).toMatchObject({ adjusted: ['tools.image_generation'] });
      expect(request).not.toHaveProperty('drawing');
      expect(bodyOf(request!).tools).toEqual([weather]);
    }
  });

  it.each([
    [{ tools: [tool] }, [], 'tools', /ask the operator/],
    [{ tools: [{ ...tool, model: 'gpt-image-9' }] }, undefined, 'tools', /draws with 'gpt-image-2'/],
    [{ tools: [tool, weather], tool_choice: tool }, [], 'tools', /ask the operator/],
    [{ tools: [weather], tool_choice: tool }, undefined, 'tools', /no bound here/],
    [{ tools: [tool], service_tier: 'flex' }, undefined, 'service_tier', /Leave 'service_tier' out/],
    [{ tools: [tool, tool] }, undefined, 'tools', /at most one/],
    [{ tools: [{ ...tool, size: '1000x1000' }] }, undefined, 'tools.size', /multiples of 16/],
  ])('is refused in %j', (json, models, param, message) => {
    const error = refusal(() => forms(json, termsOf(models)));
    expect(error).toMatchObject({ param, message: expect.stringMatching(message) });
  });

  it.each([
    ['quality', 'xhigh'],
    ['complexity', 'low'],
    ['frame_count', 4],
    ['output_format', 'gif'],
    ['input_image_mask', { image_url: 'https://example.org/a.png' }],
    ['partial_images', 4],
  ])('refuses %s %j by name', (name, value) => {
    expect(refused(withTool({ ...tool, [name]: value })).param).toBe(`tools[0].${name}`);
  });

  it('is counted together with searches, which the provider counts as one', () => {
    const [form] = forms({ tools: [tool, { type: 'web_search' }] });
    const both = RESPONSES.searching!(form!, 3)!;
    expect(both).toMatchObject({ searchCalls: 3, drawing: { calls: 3 }, facts: { searchCalls: 3, imageCalls: 3 } });
    expect(bodyOf(both).max_tool_calls).toBe(3);
    const alone = RESPONSES.searching!(form!, null)!;
    expect(alone).toMatchObject({ searches: false, drawing: { calls: 1 } });
    expect(bodyOf(alone)).toMatchObject({ max_tool_calls: 1, tools: [{ type: 'image_generation' }] });
  });

  it('has a bound that no honest report exceeds', async () => {
    const image = { role: 'user', content: [{ type: 'input_image', image_url: 'data:image/png;base64,iVBORw0KGgoA' }] };
    for (const [input, quality, tokens] of [
      [[user], 'high', 7_024],
      [[user, image], 'low', 196],
    ] as const) {
      const [form] = forms({ input, tools: [{ ...tool, quality, partial_images: 3 }] }, termsOf(undefined, 2));
      const { most, perCapToken, estimate } = await RESPONSES.measure(form!, CHARACTERS);
      expect(most.imageOutput).toBe(2 * (tokens + 300));
      expect(perCapToken).toEqual({ output: 1, input: 3, imageInput: 2 });
      const seen = input.length - 1;
      expect(most.imageInput).toBeGreaterThanOrEqual(8_000 * (2 * seen + 1));
      expect(most.input).toBeGreaterThan(3 * (await inputOf(parse({ ...valid, input }))));
      expect(estimate).toMatchObject({ imageOutput: most.imageOutput });
    }
    const [plans] = forms({ tools: [tool] }, termsOf([{ model: 'gpt-image-2.6-flare', tokensPerImage: 100 }]));
    expect((await RESPONSES.measure(plans!, CHARACTERS)).most.imageOutput).toBe(8_100);
  });
});

describe('items of a conversation', () => {
  it('are checked as those of a request', () => {
    expect(itemsOf([{ role: 'user', content: 'Hello' }, call], 'items')).toEqual([
      { role: 'user', content: 'Hello' },
      call,
    ]);
    expect(itemsOf('Hello', 'items')).toEqual([user]);
    expect(refusal(() => itemsOf([user, { type: 'mcp_call' }], 'items')).param).toBe('items[1]');
    expect(refusal(() => itemsOf({}, 'items')).param).toBe('items');
  });

  it('are not names', () => {
    const names = [user, { type: 'item_reference', id: 'msg_1' }];
    expect(refusal(() => itemsOf(names, 'items'))).toMatchObject({ param: 'items[1]', code: 'invalid_request' });
    expect(refusal(() => itemsOf([{ id: 'msg_1' }], 'items')).param).toBe('items[0]');
  });
});
