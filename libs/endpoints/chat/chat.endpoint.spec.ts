import { describe, expect, it } from '@jest/globals';
import { DaypassError } from '#libs/contracts/errors.js';
import { holdsAny, type Content } from '../content.js';
import type { CountingTools, Request } from '../endpoint.js';
import { CHAT } from './chat.endpoint.js';

const messages = [{ role: 'user', content: 'Hello' }];
const valid = { model: 'gpt-5.4-mini', messages };
const parse = (json: unknown): Request => CHAT.parse({ json, blobs: [] });

function refusal(json: unknown): { code: string; param: string | undefined } {
  try {
    parse(json);
  } catch (error) {
    if (error instanceof DaypassError) return { code: error.code, param: error.param };
    throw error;
  }
  throw new Error('was not refused');
}

/** What visitors send in earnest, and what goes on of it as it is. */
const FORWARDED = {
  ...valid,
  n: 2,
  max_completion_tokens: 100,
  temperature: 0.3,
  top_p: 0.9,
  frequency_penalty: 0.1,
  presence_penalty: -0.1,
  logprobs: true,
  top_logprobs: 3,
  stop: ['\n'],
  seed: 7,
  stream: true,
  tools: [
    {
      type: 'function',
      function: { name: 'weather', description: 'of a town', parameters: { type: 'object' }, strict: true },
    },
    { type: 'custom', custom: { name: 'code', format: { type: 'text' } } },
  ],
  tool_choice: 'auto',
  parallel_tool_calls: false,
  response_format: { type: 'json_schema', json_schema: { name: 'x', schema: {} } },
  reasoning_effort: 'low',
  verbosity: 'low',
  logit_bias: { '50256': -100 },
  modalities: ['text'],
  prediction: { type: 'content', content: 'Hello' },
  prompt_cache_retention: '24h',
  prompt_cache_options: { mode: 'implicit', ttl: '30m' },
  web_search_options: { search_context_size: 'low' },
  moderation: { model: 'omni-moderation-latest' },
};

describe('a chat request', () => {
  it('keeps every parameter that visitors use, as it is', () => {
    const request = parse(FORWARDED);
    expect(request.body.json).toEqual(FORWARDED);
    expect(request).toMatchObject({ outputs: 2, capTokens: 100, stream: true, searches: true, adjusted: [] });
  });

  it('says what it asks for', () => {
    expect(parse(valid)).toEqual({
      body: { json: valid, blobs: [] },
      remoteImages: 0,
      cacheKey: undefined,
      model: 'gpt-5.4-mini',
      stream: false,
      outputs: 1,
      capTokens: undefined,
      serviceTier: 'default',
      searches: false,
      params: { cap: 'max_completion_tokens', search: 'web_search_options', tier: 'service_tier' },
      wish: { input: false, output: false },
      adjusted: [],
      facts: { includeUsage: false },
    });
    expect(
      parse({ ...valid, stream: true, stream_options: { include_usage: true }, max_tokens: 5, service_tier: 'flex' }),
    ).toMatchObject({
      body: { json: { ...valid, stream: true, max_tokens: 5 } },
      capTokens: 5,
      serviceTier: 'flex',
      params: { cap: 'max_tokens' },
      adjusted: [],
      facts: { includeUsage: true },
    });
  });

  it('keeps what the relay decides from the upstream, and says which wishes it did not follow', () => {
    const request = parse({
      ...valid,
      moderateInput: true,
      moderateOutput: true,
      service_tier: 'auto',
      store: true,
      user: 'me',
      safety_identifier: 'me',
      prompt_cache_key: 'my documents',
    });
    expect(request.body.json).toEqual(valid);
    expect(request.wish).toEqual({ input: true, output: true });
    expect(request.serviceTier).toBe('default');
    expect([...request.adjusted].sort()).toEqual(['prompt_cache_key', 'safety_identifier', 'store', 'user']);
    expect(request.cacheKey).toBe('my documents');
    expect(parse({ ...valid, store: false }).adjusted).toEqual([]);
  });

  it('loses what has no effect, and says so', () => {
    const request = parse({
      ...valid,
      metadata: { a: 'b' },
      session_id: 's',
      client_metadata: {},
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'Hello', cache_control: { type: 'ephemeral' } }] },
        { role: 'assistant', content: 'Hi', id: 'x', annotations: [], parsed: { a: 1 } },
        { role: 'user', content: 'And?', provider_specific_fields: {} },
      ],
    });
    expect(request.body.json).toEqual({
      ...valid,
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
        { role: 'assistant', content: 'Hi' },
        { role: 'user', content: 'And?' },
      ],
    });
    expect([...request.adjusted].sort()).toEqual([
      'client_metadata',
      'messages.annotations',
      'messages.content.cache_control',
      'messages.id',
      'messages.parsed',
      'messages.provider_specific_fields',
      'metadata',
      'session_id',
    ]);
  });

  it('takes null for absent', () => {
    const nulls = Object.fromEntries(
      Object.keys(FORWARDED)
        .filter((name) => !(name in valid))
        .map((name) => [name, null]),
    );
    const assistant = {
      role: 'assistant',
      content: null,
      refusal: null,
      tool_calls: null,
      audio: null,
      function_call: null,
    };
    expect(
      parse({ ...valid, ...nulls, stream_options: null, audio: null, messages: [...messages, assistant] }),
    ).toMatchObject({
      body: { json: { ...valid, messages: [...messages, { role: 'assistant' }] } },
      stream: false,
      outputs: 1,
      capTokens: undefined,
      serviceTier: 'default',
      searches: false,
      adjusted: [],
    });
  });

  it('takes an answer back as clients send it', () => {
    const answer = {
      role: 'assistant',
      content: 'Hi',
      reasoning_content: 'hm',
      reasoning: 'hm',
      reasoning_details: [{ type: 'reasoning.text', text: 'hm' }],
      tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }],
    };
    const sent = {
      ...answer,
      parsed: null,
      annotations: [],
      audio: null,
      tool_calls: [{ ...answer.tool_calls[0], index: 0 }],
    };
    const { body } = parse({ ...valid, messages: [...messages, sent] });
    expect(body.json).toEqual({ ...valid, messages: [...messages, answer] });
  });

  const imagePart = (url: string, more: object = {}) => ({ type: 'image_url', image_url: { url, ...more } });
  const asked = (...parts: unknown[]) => ({ ...valid, messages: [{ role: 'user', content: parts }] });

  it.each([
    ['no object', [], undefined],
    ['null', null, undefined],
    ['a text', 'hi', undefined],
    ['no model', { messages }, 'model'],
    ['no messages', { model: 'm' }, 'messages'],
    ['empty messages', { model: 'm', messages: [] }, 'messages'],
    ['2,049 messages', { model: 'm', messages: Array(2_049).fill(messages[0]) }, 'messages'],
    ['a message that is text', { model: 'm', messages: ['hi'] }, 'messages[0]'],
    ['an unknown role', { model: 'm', messages: [{ role: 'god', content: '' }] }, 'messages[0].role'],
    ['a role in capitals', { model: 'm', messages: [{ role: 'User', content: '' }] }, 'messages[0].role'],
    ['a user who says nothing', { model: 'm', messages: [{ role: 'user' }] }, 'messages[0].content'],
    ['content that is a number', { model: 'm', messages: [{ role: 'user', content: 3 }] }, 'messages[0].content'],
    ['a part that is text', asked('x'), 'messages[0].content[0]'],
    ['an image by a file URL', asked(imagePart('file:///etc/passwd')), 'messages[0].content[0].image_url.url'],
    [
      'a detail of its own',
      asked(imagePart('https://x', { detail: 'huge' })),
      'messages[0].content[0].image_url.detail',
    ],
    ['an image by words', asked(imagePart('https://x and more')), 'messages[0].content[0].image_url.url'],
    ['an SVG image', asked(imagePart('data:image/svg+xml;base64,AAAA')), 'messages[0].content[0].image_url.url'],
    ['101 images', asked(...Array(101).fill(imagePart('https://x'))), 'messages'],
    ['3,000 parts', asked(...Array(3_000).fill({ type: 'text', text: 'x' })), 'messages[0].content'],
    ['n of 0', { ...valid, n: 0 }, 'n'],
    ['n of 1,000', { ...valid, n: 1000 }, 'n'],
    ['n of 1.5', { ...valid, n: 1.5 }, 'n'],
    ['negative max_tokens', { ...valid, max_tokens: -1 }, 'max_tokens'],
    ['max_tokens in words', { ...valid, max_tokens: '10' }, 'max_tokens'],
    ['modalities in words', { ...valid, modalities: 'audio' }, 'modalities'],
    [
      'a bias that is a list',
      { ...valid, logit_bias: JSON.parse(`${'['.repeat(5_000)}${']'.repeat(5_000)}`) as unknown },
      'logit_bias',
    ],
    ['two caps', { ...valid, max_tokens: 1, max_completion_tokens: 1 }, 'max_tokens'],
    ['search options in words', { ...valid, web_search_options: 'yes' }, 'web_search_options'],
    ['stream in words', { ...valid, stream: 'yes' }, 'stream'],
    ['stream_options without stream', { ...valid, stream_options: { include_usage: true } }, 'stream_options'],
    ['stream_options where there is no stream', { ...valid, stream: false, stream_options: {} }, 'stream_options'],
    ['moderation in words', { ...valid, moderation: 'yes' }, 'moderation'],
    ['moderateInput in words', { ...valid, moderateInput: 'yes' }, 'moderateInput'],
    ['a service tier in numbers', { ...valid, service_tier: 1 }, 'service_tier'],
    ['a tool choice that nobody knows', { ...valid, tool_choice: 'always' }, 'tool_choice'],
  ])('is refused as invalid with %s, naming the parameter', (_, body, param) => {
    expect(refusal(body)).toEqual({ code: 'invalid_request', param });
  });

  it.each([
    ['on top', { ...valid, best_off: 5 }, 'best_off'],
    ['among search options', { ...valid, web_search_options: { pages: 99 } }, 'web_search_options.pages'],
    [
      'on a message',
      { ...valid, messages: [{ role: 'user', content: 'hi', image_url: { url: 'https://x' } }] },
      'messages[0].image_url',
    ],
    [
      'for the type of a message',
      { ...valid, messages: [{ role: 'user', content: 'hi', type: 'image_url' }] },
      'messages[0].type',
    ],
    ['beside an image', asked({ ...imagePart('https://x'), text: 'hidden' }), 'messages[0].content[0].text'],
    ['in an image', asked(imagePart('https://x', { note: 'y' })), 'messages[0].content[0].image_url.note'],
    [
      'of an assistant, on a user',
      { ...valid, messages: [{ role: 'user', content: 'x', reasoning: 'y' }] },
      'messages[0].reasoning',
    ],
    [
      'in a tool',
      { ...valid, tools: [{ type: 'function', function: { name: 'f', hint: 'x' } }] },
      'tools[0].function.hint',
    ],
    ['among biases', { ...valid, logit_bias: { hello: 1 } }, 'logit_bias.hello'],
    ['that every object has', { ...valid, constructor: 1 }, 'constructor'],
  ])('is refused with a name that nobody knows %s', (_, body, param) => {
    expect(refusal(body)).toEqual({ code: 'unknown_parameter', param });
  });

  it.each([
    ['audio output', { ...valid, modalities: ['text', 'audio'] }, 'modalities[1]'],
    ['several attempts at each answer', { ...valid, best_of: 5 }, 'best_of'],
    ['an audio setting', { ...valid, audio: { voice: 'alloy' } }, 'audio'],
    ['audio input', asked({ type: 'input_audio', input_audio: {} }), 'messages[0].content[0].type'],
    [
      'an earlier audio answer',
      { ...valid, messages: [{ role: 'assistant', audio: { id: 'x' } }] },
      'messages[0].audio',
    ],
    ['a file', asked({ type: 'file', file: {} }), 'messages[0].content[0].type'],
    ['a hosted tool', { ...valid, tools: [{ type: 'web_search' }] }, 'tools[0].type'],
    ['a service tier that is a name of the language', { ...valid, service_tier: 'constructor' }, 'service_tier'],
    [
      'a prompt cache of half a day',
      { ...valid, prompt_cache_options: { mode: 'explicit', ttl: '12h' } },
      'prompt_cache_options.ttl',
    ],
    [
      'the same where a text ends',
      asked({ type: 'text', text: 'Hello', prompt_cache_breakpoint: { mode: 'explicit', ttl: '12h' } }),
      'messages[0].content[0].prompt_cache_breakpoint.ttl',
    ],
    [
      'the same where an image ends',
      asked({ type: 'image_url', image_url: { url: 'https://a.b/c.png' }, prompt_cache_breakpoint: { ttl: '12h' } }),
      'messages[0].content[0].prompt_cache_breakpoint.ttl',
    ],
    ['a service tier without a price', { ...valid, service_tier: 'ultrafast' }, 'service_tier'],
    ['a moderation model that may cost something', { ...valid, moderation: { model: 'gpt-5.4' } }, 'moderation.model'],
  ])('is refused as unpriceable with %s, naming the parameter', (_, body, param) => {
    expect(refusal(body)).toEqual({ code: 'unpriceable_request', param });
  });

  it('has a sample that is let in', () => {
    expect(parse(CHAT.sample('gpt-5.4-mini', 'Hello')).body.json).toEqual(valid);
  });
});

const inputOf = (json: unknown): readonly Content[] => CHAT.input(parse(json).body);
const textsOf = (contents: readonly Content[]): string =>
  contents.map((content) => (content.kind === 'text' ? content.text : content.url)).join('|');
const call = (args: string) => ({
  role: 'assistant',
  tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: args } }],
});

describe('what of a chat request is judged', () => {
  it.each([
    ['a system message', { messages: [{ role: 'system', content: 'MARK' }] }],
    ['an earlier message', { messages: [{ role: 'user', content: 'MARK' }, ...messages] }],
    ['a text part', { messages: [{ role: 'user', content: [{ type: 'text', text: 'MARK' }] }] }],
    ['a refusal part', { messages: [{ role: 'assistant', content: [{ type: 'refusal', refusal: 'MARK' }] }] }],
    ['a name', { messages: [{ role: 'user', name: 'MARK', content: 'hi' }] }],
    ["a call's arguments", { messages: [call('MARK')] }],
    ["an escaped value of a call's arguments", { messages: [call('{"a":["\\u004dARK"]}')] }],
    ["a key of a call's arguments", { messages: [call('{"M\\u0041RK":1}')] }],
    [
      "a former call's arguments",
      { messages: [{ role: 'assistant', function_call: { name: 'f', arguments: 'MARK' } }] },
    ],
    [
      "a custom call's input",
      {
        messages: [
          { role: 'assistant', tool_calls: [{ id: 'c', type: 'custom', custom: { name: 'f', input: 'MARK' } }] },
        ],
      },
    ],
    ['a tool result', { messages: [{ role: 'tool', tool_call_id: 'c', content: 'MARK' }] }],
    ['a refusal', { messages: [{ role: 'assistant', refusal: 'MARK' }] }],
    ['reasoning', { messages: [{ role: 'assistant', reasoning_content: 'MARK' }] }],
    ['details of reasoning', { messages: [{ role: 'assistant', reasoning_details: [{ MARK: 1 }] }] }],
    [
      'an image',
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://x/MARK.png' } }] }] },
    ],
    ['a tool definition', { messages, tools: [{ type: 'function', function: { name: 'f', description: 'MARK' } }] }],
    ['a former function', { messages, functions: [{ name: 'f', parameters: { MARK: 1 } }] }],
    [
      'a property name of a schema',
      {
        messages,
        response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { properties: { MARK: {} } } } },
      },
    ],
    ['predicted output', { messages, prediction: { type: 'content', content: 'MARK' } }],
    ['a stop', { messages, stop: ['a', 'MARK'] }],
    ['a choice of tools', { messages, tool_choice: { type: 'function', function: { name: 'MARK' } } }],
    ['allowed tools', { messages, tool_choice: { type: 'allowed_tools', allowed_tools: { tools: [{ MARK: 1 }] } } }],
    [
      'where a search is made for',
      { messages, web_search_options: { user_location: { type: 'approximate', approximate: { city: 'MARK' } } } },
    ],
    ['a number of a schema', { messages, functions: [{ name: 'f', parameters: { enum: [4111], MARK: 1 } }] }],
    [
      'an id of a call in words',
      { messages: [{ role: 'assistant', tool_calls: [{ ...call('').tool_calls[0], id: 'MARK.' }] }] },
    ],
    ['an id of a result in words', { messages: [{ role: 'tool', tool_call_id: 'MARK:', content: 'x' }] }],
    ['arguments with a key twice', { messages: [call('{"a":"M\\u0041RK","a":1}')] }],
  ])('includes %s', (_, body) => expect(textsOf(inputOf({ model: 'm', ...body }))).toContain('MARK'));

  it('is not what is dropped, nor what nobody reads', () => {
    const contents = inputOf({
      model: 'MARK',
      messages: [{ role: 'tool', tool_call_id: 'MARK', content: 'x', id: 'MARK' }],
      prompt_cache_key: 'MARK',
      user: 'MARK',
      metadata: { MARK: 'MARK' },
    });
    expect(contents).toEqual([{ kind: 'text', text: 'x' }]);
  });

  it('is each number of a value of the visitor’s own shape', () => {
    const functions = [{ name: 'f', parameters: { enum: [4111111111111111] } }];
    expect(textsOf(inputOf({ model: 'm', messages, functions }))).toContain('4111111111111111');
  });

  it('is one text for each message, however many parts it has, and the parts without their breaks', () => {
    const parts = Array.from({ length: 500 }, (_, index) => ({ type: 'text', text: `part ${index}` }));
    const contents = inputOf({
      model: 'm',
      messages: [
        { role: 'user', content: parts },
        { role: 'user', content: 'more' },
      ],
    });
    expect(contents).toHaveLength(2);
    expect(contents[0]).toMatchObject({
      text: expect.stringContaining('part 498\npart 499'),
      joined: expect.stringContaining('part 498part 499'),
    });
    expect(contents[1]).toEqual({ kind: 'text', text: 'more' });
  });

  it('is one text for each tool, and an image beside the text of its message', () => {
    const tool = (name: string) => ({ type: 'function', function: { name } });
    const content = [
      { type: 'text', text: 'look' },
      { type: 'image_url', image_url: { url: 'https://x' } },
    ];
    expect(inputOf({ model: 'm', messages: [{ role: 'user', content }], tools: [tool('a'), tool('b')] })).toEqual([
      { kind: 'text', text: 'look' },
      { kind: 'image', url: 'https://x' },
      { kind: 'text', text: 'a' },
      { kind: 'text', text: 'b' },
    ]);
  });
});

describe('what is taken out of a chat request', () => {
  const replacements = [{ find: 'a@b.co', replace: '"[email]"' }];

  it('goes wherever a model would read it, and nothing else changes', () => {
    const { body } = parse({
      model: 'm',
      temperature: 1,
      messages: [
        { role: 'user', name: 'a@b.co', content: 'I am a@b.co, yes a@b.co' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a@b.co' },
            { type: 'image_url', image_url: { url: 'https://x/?a@b.co' } },
          ],
        },
        call('{"to":"\\u0061@b.co","id":12345678901234567890}'),
        call('to a@b.co'),
      ],
      stop: ['a@b.co'],
      tools: [{ type: 'function', function: { name: 'f', parameters: { properties: { 'a@b.co': {} } } } }],
    });
    const redacted = CHAT.redactedInput(body, replacements);
    expect(holdsAny(CHAT.input(body), replacements)).toBe(true);
    expect(holdsAny(CHAT.input(redacted), replacements)).toBe(false);
    expect(redacted.json).toMatchObject({
      model: 'm',
      temperature: 1,
      messages: [
        { role: 'user', name: '"[email]"', content: 'I am "[email]", yes "[email]"' },
        { content: [{ type: 'text', text: '"[email]"' }, { image_url: { url: 'https://x/?a@b.co' } }] },
        { tool_calls: [{ id: 'c', function: { arguments: '{"to":"\\"[email]\\"","id":12345678901234567890}' } }] },
        { tool_calls: [{ function: { arguments: 'to \\"[email]\\"' } }] },
      ],
      stop: ['"[email]"'],
      tools: [{ function: { parameters: { properties: { '"[email]"': {} } } } }],
    });
  });

  it('stays where it cannot be taken out, and is found there', () => {
    const of = (args: string, find: string): boolean => {
      const taken = [{ find, replace: '-' }];
      return holdsAny(CHAT.input(CHAT.redactedInput(parse({ ...valid, messages: [call(args)] }).body, taken)), taken);
    };
    expect(of('{"card":4111111111111111}', '4111111111111111')).toBe(true);
    expect(of('{"to":"x","y":1}', 'x","y')).toBe(true);
    expect(of('{"card":"4111111111111111"}', '4111111111111111')).toBe(false);
  });

  it('is found over the border of two parts, out of which nobody can take it', () => {
    const parts = ['write to a@', 'b.co'].map((one) => ({ type: 'text', text: one }));
    const { body } = parse({ ...valid, messages: [{ role: 'user', content: parts }] });
    expect(holdsAny(CHAT.input(CHAT.redactedInput(body, replacements)), replacements)).toBe(true);
  });

  it('goes out of the numbers of a schema, which are strings then', () => {
    const functions = [{ name: 'f', parameters: { enum: [4111111111111111, 7] } }];
    const taken = [{ find: '4111111111111111', replace: '[card]' }];
    expect(CHAT.redactedInput(parse({ ...valid, functions }).body, taken).json).toMatchObject({
      functions: [{ parameters: { enum: ['[card]', 7] } }],
    });
  });

  it('is nothing where there is nothing to take out', () => {
    const { body } = parse(FORWARDED);
    expect(CHAT.redactedInput(body, [{ find: 'nowhere', replace: 'x' }])).toEqual(body);
  });
});

describe('what of a chat request is counted', () => {
  /** A token for each character. */
  const toolsOf = (toolTokens = 0): CountingTools & { counted: string[] } => {
    const counted: string[] = [];
    return {
      counted,
      toolTokens,
      countTokens: (texts) => {
        counted.push(...texts);
        return Promise.resolve(texts.join('').length);
      },
    };
  };
  const measured = (json: object, toolTokens?: number) =>
    CHAT.measure(parse({ ...valid, ...json }), toolsOf(toolTokens));
  const HELLO = 'Hello'.length + 6 + 8;

  it('is its text, what wraps its messages, and a margin for what an upstream adds unseen', async () => {
    expect(await measured({})).toEqual({
      estimate: { input: HELLO },
      most: { input: Math.ceil(HELLO * 1.05) + 64, output: 0 },
      perCapToken: { output: 1 },
      pacedTokens: HELLO,
    });
    expect((await measured({ messages: [...messages, ...messages] })).estimate.input).toBe(2 * (5 + 6) + 8);
  });

  it('is what wraps each part and each call beside that', async () => {
    const part = (of: string) => ({ type: 'text', text: of });
    const one = { id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } };
    const of = async (...more: object[]) =>
      (await measured({ messages: [...messages, ...more] })).estimate.input! - HELLO;
    expect(await of({ role: 'user', content: [part('a'), part('b'), part('c')] })).toBe('abc'.length + 6 + 3 * 2);
    expect(await of({ role: 'assistant', tool_calls: [one, one] })).toBe(2 * 'cf{}'.length + 6 + 2 * 8);
    expect(await of({ role: 'assistant', function_call: one.function })).toBe('f{}'.length + 6 + 8);
  });

  it('is each image as its model counts it, and the dearest where one asks for its original size', async () => {
    const image = (detail?: string) => ({
      type: 'image_url',
      image_url: { url: 'data:image/png;base64,AAAA', detail },
    });
    const of = async (model: string, ...details: (string | undefined)[]) =>
      (
        await measured({
          model,
          messages: [{ role: 'user', content: details.map((one) => JSON.parse(JSON.stringify(image(one)))) }],
        })
      ).estimate.input! -
      14 -
      2 * details.length;
    expect(await of('gpt-5.4-mini', undefined, 'low')).toBe(2 * 4_000);
    expect(await of('gpt-5.4-mini', undefined, 'original')).toBe(2 * 24_600);
    expect(await of('gpt-4o-mini', undefined)).toBe(48_200);
  });

  it('is what a hosted tool adds for each output, and a prediction that each may reject', async () => {
    const { estimate, most, perCapToken } = await measured(
      { n: 3, prediction: { type: 'content', content: 'x' } },
      100,
    );
    const prediction = JSON.stringify({ type: 'content', content: 'x' }).length;
    expect(estimate.input).toBe(HELLO + prediction + 3 * 100);
    expect(most.output).toBe(3 * prediction);
    expect(perCapToken).toEqual({ output: 3 });
  });

  it('is a quarter of its characters at least, as rate limits are', async () => {
    const tools: CountingTools = { toolTokens: 0, countTokens: () => Promise.resolve(1) };
    const request = parse({ ...valid, messages: [{ role: 'user', content: 'x'.repeat(4_000) }] });
    expect((await CHAT.measure(request, tools)).pacedTokens).toBe(1_000);
  });

  it('is all that is judged, names and punctuation of definitions among it', async () => {
    const tools = toolsOf();
    const schema = { type: 'object', properties: { MARK: { enum: [1, 2] } } };
    const tool = { type: 'function', function: { name: 'f', parameters: schema } };
    await CHAT.measure(
      parse({
        ...valid,
        messages: [
          ...messages,
          call('{"to": "M\\u0041RK"}'),
          { role: 'tool', tool_call_id: 'call_a1', content: 'found' },
        ],
        tools: [tool],
        stop: 'STOP',
      }),
      tools,
    );
    const counted = tools.counted.join('\n');
    for (const text of ['Hello', '{"to": "M\\u0041RK"}', 'call_a1', 'found', JSON.stringify(tool), 'STOP'])
      expect(counted).toContain(text);
  });
});

describe('what of a chat request goes upstream', () => {
  const forced = { serviceTier: 'flex', safetyIdentifier: 'hash', cacheKey: 'cache' };

  it('says what the relay decides, and asks for the usage of a stream', () => {
    const body = CHAT.forwarded(parse({ ...valid, store: true, user: 'me', service_tier: 'auto' }), forced);
    const decided = {
      store: false,
      service_tier: 'flex',
      safety_identifier: 'hash',
      prompt_cache_key: 'cache',
    };
    expect(body.json).toEqual({ ...valid, ...decided });
    const stream = parse({ ...valid, stream: true, stream_options: { include_usage: false } });
    expect(CHAT.forwarded(stream, forced).json).toEqual({
      ...valid,
      ...decided,
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  const callOf = (json: object, kind: 'openai' | 'compatible' = 'openai') =>
    CHAT.call({ json, blobs: [] }, { capTokens: 100, facts: {} }, { kind, drops: [], tag: '' });

  it('goes to the one path as JSON', () => {
    expect(callOf(valid)).toMatchObject({ path: '/chat/completions', form: 'json', body: { blobs: [] } });
    expect(CHAT.path).toBe('/v1/chat/completions');
  });

  it('has the cap under the name that the visitor used', () => {
    expect(callOf({ ...valid, max_tokens: 500 }).body.json).toEqual({ ...valid, max_tokens: 100 });
    expect(callOf({ ...valid, max_completion_tokens: 500 }).body.json).toEqual({
      ...valid,
      max_completion_tokens: 100,
    });
    expect(callOf({ ...valid, max_tokens: null }).body.json).toEqual({
      ...valid,
      max_tokens: null,
      max_completion_tokens: 100,
    });
    expect(callOf(valid).body.json).toEqual({ ...valid, max_completion_tokens: 100 });
  });

  it('has no reasoning of other providers for OpenAI, and all of it for the others', () => {
    const said = { role: 'assistant', content: 'Hi' };
    const thought = { ...said, reasoning_content: 'a', reasoning: 'b', reasoning_details: [] };
    const sent = { ...valid, messages: [...messages, thought] };
    expect(callOf(sent).body.json).toMatchObject({ messages: [messages[0], said] });
    expect((callOf(sent).body.json as typeof sent).messages[1]).toEqual(said);
    expect((callOf(sent, 'compatible').body.json as typeof sent).messages[1]).toEqual(thought);
  });

  it('asks OpenAI for a stream without padding, which other providers do not know', () => {
    const stream = { ...valid, stream: true, stream_options: { include_usage: true } };
    expect(callOf(stream).body.json).toMatchObject({
      stream_options: { include_usage: true, include_obfuscation: false },
    });
    expect((callOf(stream, 'compatible').body.json as typeof stream).stream_options).toEqual({ include_usage: true });
    expect(callOf(valid).body.json).not.toHaveProperty('stream_options');
  });
});
