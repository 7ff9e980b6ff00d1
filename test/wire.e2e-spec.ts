import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { ERRORS } from '#libs/contracts/errors.js';
import { FIRST_UPSTREAM } from '#libs/contracts/journal.js';
import { parseUsd } from '#libs/money/nano.js';
import { redisKeys } from '#libs/redis/keys.js';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest } from './at-rest.js';
import { answerOfBytes } from './upstream-hands.js';

const model = 'gpt-5.4-mini';
const FLAG = 'DAYPASS-REHEARSAL-FLAG';
const INPUT_NANO = 750n;
/** What USAGE costs: 12 tokens of input and 5 of output. */
const USAGE_COST_USD = '0.0000315';
const USAGE = { prompt_tokens: 12, completion_tokens: 5, total_tokens: 17 };
const STREAM_TYPE = 'text/event-stream; charset=utf-8';
const OUTPUT_POLICIES = ['gate', 'window', 'off'] as const;
const UNMODERATED = { campaign: { moderation: { input: 'off', output: 'off' } } };

type Json = Record<string, unknown>;

interface Answer {
  status: number;
  headers: Headers;
  text: string;
}

/** Each text is new, because moderation knows what it has judged. All are as long, so that holds can be compared. */
let said = 100;
const say = (content: string): OpenAI.ChatCompletionMessageParam[] => [
  { role: 'user', content: `${content} (${said++})` },
];

/** Every string in a value, names of fields included. */
function stringsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [name, ...stringsIn(inner)]);
}

const halvesIn = (value: unknown): string[] => stringsIn(value).filter((text) => !text.isWellFormed());

/** The events of a stream but its last, `[DONE]`. */
function chunksOf({ text }: Answer): Json[] {
  return text
    .split('\n\n')
    .filter((event) => event.startsWith('data: ') && event !== 'data: [DONE]')
    .map((event) => JSON.parse(event.slice('data: '.length)) as Json);
}

const deltasOf = (answer: Answer): Json[] =>
  chunksOf(answer).flatMap(({ choices }) => (choices as { delta: Json }[]).map(({ delta }) => delta));

const contentOf = (answer: Answer): string =>
  deltasOf(answer)
    .map(({ content }) => (typeof content === 'string' ? content : ''))
    .join('');

/** The error of an answer, or of a stream that ends with one. */
function errorIn(answer: Answer): { code?: string; param?: string | null; message?: string } {
  const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream') === true;
  const whole = isStream ? chunksOf(answer).find((event) => 'error' in event) : (JSON.parse(answer.text) as Json);
  const error = whole?.error as { code: string; daypass?: { help?: string } } | undefined;
  if (error === undefined) return {};
  // Whoever wrote the error, ingress or a worker in a stream: it names what explains it.
  const place = Object.hasOwn(ERRORS, error.code) ? error.code : 'provider';
  expect(error.daypass?.help).toMatch(new RegExp(`^http://[\\w.]+:\\d+/help#${place}$`));
  return error;
}

const refusalOf = (answer: Answer) => {
  const { code, param } = errorIn(answer);
  return { status: answer.status, code, param };
};

/** What `x-daypass-adjusted` names. */
const adjustedIn = ({ headers }: { headers: Headers }): string[] =>
  (headers.get('x-daypass-adjusted') ?? '').split(',').map((name) => name.trim());

const chunkOf = (choices: object[], beside: object = {}): object => ({
  id: 'c',
  object: 'chat.completion.chunk',
  created: 1,
  model,
  choices,
  ...beside,
});
const deltaOf = (delta: object, finish_reason: string | null = null): object =>
  chunkOf([{ index: 0, delta, finish_reason }]);
const eventsOf = (...chunks: object[]): string => chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join('');
const DONE = 'data: [DONE]\n\n';
const STOP = deltaOf({}, 'stop');
const USAGE_CHUNK = chunkOf([], { usage: USAGE });

const completionOf = (message: object = {}, choice: object = {}, beside: object = {}): object => ({
  id: 'c',
  object: 'chat.completion',
  created: 1,
  model,
  choices: [
    { index: 0, message: { role: 'assistant', content: 'Hello.', ...message }, finish_reason: 'stop', ...choice },
  ],
  usage: USAGE,
  ...beside,
});

/** JSON text of a string in which every character is escaped. */
const escaped = (text: string): string =>
  `"${[...text].map((letter) => `\\u${letter.codePointAt(0)!.toString(16).padStart(4, '0')}`).join('')}"`;

const toolWith = (properties: object) => ({
  type: 'function',
  function: { name: 'f', parameters: { type: 'object', properties } },
});
const answered = (message: object): object => ({
  messages: [...say('hi'), { role: 'assistant', content: 'b', ...message }, ...say('and then?')],
});
const called = (call: object): object => ({
  messages: [
    ...say('hi'),
    { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: call }] },
    { role: 'tool', tool_call_id: 'call_1', content: 'done' },
  ],
});

/** Ways by which a text reaches the model, beside the content of a message. */
const PLACES: [what: string, put: (text: string) => object][] = [
  ['the reasoning of an earlier answer (reasoning_content)', (text) => answered({ reasoning_content: text })],
  ['the reasoning of an earlier answer (reasoning)', (text) => answered({ reasoning: text })],
  [
    'the reasoning of an earlier answer (reasoning_details)',
    (text) => answered({ reasoning_details: [{ type: 'reasoning.text', text }] }),
  ],
  ['a stop sequence', (text) => ({ stop: text })],
  ['one of several stop sequences', (text) => ({ stop: ['###', text] })],
  ['the name of a property in the schema of a tool', (text) => ({ tools: [toolWith({ [text]: { type: 'string' } })] })],
  [
    'the name of a property in the schema of a function',
    (text) => ({ functions: [{ name: 'g', parameters: { type: 'object', properties: { [text]: {} } } }] }),
  ],
  [
    'the name of a property in the schema of the answer',
    (text) => ({
      response_format: { type: 'json_schema', json_schema: { name: 'r', schema: { properties: { [text]: {} } } } },
    }),
  ],
  ['an escaped value in the arguments of a call', (text) => called({ name: 'f', arguments: `{"a":${escaped(text)}}` })],
  ['an escaped key in the arguments of a call', (text) => called({ name: 'f', arguments: `{${escaped(text)}:1}` })],
  [
    'an escaped value in the arguments of a call in the old form',
    (text) => answered({ content: null, function_call: { name: 'g', arguments: `{"a":${escaped(text)}}` } }),
  ],
  ['the predicted output', (text) => ({ prediction: { type: 'content', content: text } })],
  [
    'a part of the predicted output',
    (text) => ({ prediction: { type: 'content', content: [{ type: 'text', text }] } }),
  ],
];
/** Places that hold 64 letters at most. */
const NAMES: typeof PLACES = [
  [
    'the name of the tool that the model must call',
    (text) => ({ tools: [toolWith({})], tool_choice: { type: 'function', function: { name: text } } }),
  ],
  [
    'the name of the function that the model must call',
    (text) => ({ functions: [{ name: 'g' }], function_call: { name: text } }),
  ],
];

describe('on the wire', () => {
  let daypass: SharedDaypass;
  let redis: Redis;
  let key: TestKey;
  let client: OpenAI;

  const post = async (
    whose: TestKey,
    body: object | string | Buffer,
    headers: Record<string, string> = {},
  ): Promise<Answer> => {
    const response = await fetch(`${daypass.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${whose.key}`, 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : Buffer.isBuffer(body) ? new Uint8Array(body) : JSON.stringify(body),
    });
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  const ask = (more: object = {}, whose = key): Promise<Answer> => post(whose, { model, messages: say('hi'), ...more });
  const shown = async (whose: TestKey): Promise<{ spent_usd: string; held_usd: string }> => {
    const response = await fetch(`${daypass.baseUrl}/key`, { headers: { authorization: `Bearer ${whose.key}` } });
    return ((await response.json()) as { data: { spent_usd: string; held_usd: string } }).data;
  };
  /** What the key has spent once nothing is held for it. */
  const spentBy = async (whose: TestKey): Promise<string> => {
    await until('nothing is held', async () => (await shown(whose)).held_usd === '0.00');
    return (await shown(whose)).spent_usd;
  };
  const sent = (): Json => daypass.rehearsal.chatCalls().at(-1)?.body ?? {};
  const judged = (): string =>
    daypass.rehearsal
      .moderationCalls()
      .flatMap(({ body }) => stringsIn(body.input))
      .join('\n');
  const answering = (text: string, contentType?: string): void => {
    daypass.rehearsal.onChat = () => answerOfBytes(text, contentType);
  };

  beforeAll(async () => {
    daypass = await shareDaypass();
    redis = new Redis(daypass.redisUrl);
    key = await daypass.createKey({ key: { budget_usd: '5.00' } });
    client = new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 0 });
  });
  afterAll(async () => {
    try {
      await booksAtRest(daypass);
    } finally {
      redis?.disconnect();
      await daypass?.stop();
    }
  });
  beforeEach(async () => {
    daypass.rehearsal.reset();
    // What failed for one test must not keep the next one waiting.
    await redis.del(redisKeys.circuit(FIRST_UPSTREAM));
  });

  describe('an answer that is sent back', () => {
    it('with reasoning_content is taken, judged, and answered', async () => {
      const thought = `thought ${randomUUID()}`;
      const answer = await ask(answered({ reasoning_content: thought }));
      expect(refusalOf(answer)).toEqual({ status: 200 });
      expect(judged()).toContain(thought);
    });

    it('with all that clients leave on it is taken, and what has no effect stays behind and is named', async () => {
      const texts = [0, 1, 2].map((index) => `thought ${index} ${randomUUID()}`);
      const call = { id: 'call_1', type: 'function', function: { name: 'f', arguments: '{}' } };
      const answer = await ask({
        messages: [
          ...say('hi'),
          {
            role: 'assistant',
            content: 'b',
            reasoning: texts[0],
            reasoning_content: texts[1],
            reasoning_details: [{ type: 'reasoning.text', text: texts[2] }],
            annotations: [{ type: 'url_citation', url_citation: { title: 'a page', url: 'https://example.org' } }],
            parsed: null,
            id: 'msg_1',
            provider_specific_fields: { citations: null },
            audio: null,
            refusal: null,
            function_call: null,
            tool_calls: null,
          },
          ...say('and then?'),
          { role: 'assistant', content: null, refusal: null, function_call: null, audio: null, tool_calls: [call] },
          { role: 'tool', tool_call_id: 'call_1', content: 'done' },
        ],
      });
      expect(refusalOf(answer)).toEqual({ status: 200 });
      for (const text of texts) expect(judged()).toContain(text);
      const messages = sent().messages as Json[];
      expect(messages).toHaveLength(5);
      expect(messages[3]).toMatchObject({ role: 'assistant', tool_calls: [call] });
      for (const name of ['id', 'parsed', 'provider_specific_fields', 'annotations'])
        expect(messages.filter((message) => name in message)).toEqual([]);
      const dropped = ['messages.annotations', 'messages.id', 'messages.provider_specific_fields'];
      expect(adjustedIn(answer)).toEqual(expect.arrayContaining(dropped));
    });

    it('as the official client parsed it is taken', async () => {
      const asked = say('How many?');
      const { choices } = await client.chat.completions.parse({
        model,
        messages: asked,
        response_format: zodResponseFormat(z.object({ count: z.number() }), 'answer'),
      });
      expect(choices[0]?.message.parsed).toEqual({ count: expect.any(Number) });
      const { response } = await client.chat.completions
        .create({ model, messages: [...asked, choices[0]!.message, ...say('Sure?')] })
        .withResponse();
      expect(adjustedIn(response)).toContain('messages.parsed');
      expect((sent().messages as Json[])[1]).not.toHaveProperty('parsed');
    });

    it.each([false, true])("by the official client's tool runner is taken (streamed: %s)", async (stream) => {
      const run = {
        model,
        messages: say('What is the weather in Paris?'),
        tools: [
          {
            type: 'function' as const,
            function: {
              name: 'get_weather',
              description: 'Tells the weather.',
              parameters: { type: 'object', properties: { city: { type: 'string' } } },
              parse: JSON.parse,
              function: () => 'sunny',
            },
          },
        ],
      };
      const { chat } = client;
      const runner = stream ? chat.completions.runTools({ ...run, stream }) : chat.completions.runTools(run);
      expect(await runner.finalContent()).toEqual(expect.any(String));
      expect((sent().messages as Json[]).map(({ role }) => role)).toEqual(['user', 'assistant', 'tool']);
    });

    it('keeps a number in the arguments of a call to the last digit', async () => {
      const text = '{"id":9007199254740993}';
      const answer = await ask(called({ name: 'f', arguments: text }));
      expect(refusalOf(answer)).toEqual({ status: 200 });
      expect(sent()).toMatchObject({ messages: [{}, { tool_calls: [{ function: { arguments: text } }] }, {}] });
    });
  });

  describe('a request', () => {
    it('with "audio": null is answered', async () => {
      expect(refusalOf(await ask({ audio: null }))).toEqual({ status: 200 });
    });

    it('with null for everything that may be left out is answered, and no null goes upstream', async () => {
      const names =
        'audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens metadata ' +
        'modalities moderateInput moderateOutput moderation n parallel_tool_calls prediction presence_penalty ' +
        'prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort response_format ' +
        'safety_identifier seed service_tier stop store stream stream_options temperature tool_choice tools ' +
        'top_logprobs top_p user verbosity web_search_options';
      const answer = await ask(Object.fromEntries(names.split(' ').map((name) => [name, null])));
      expect(refusalOf(answer)).toEqual({ status: 200 });
      expect(Object.entries(sent()).filter(([, value]) => value === null)).toEqual([]);
    });

    const schemaWith = (maximum: string): string =>
      '{"type":"json_schema","json_schema":{"name":"r","strict":true,"schema":{"type":"object","properties":' +
      `{"reasoning":{"type":"string"},"answer":{"type":"integer","maximum":${maximum}},"a":{"type":"string"}},` +
      '"required":["reasoning","answer","a"],"additionalProperties":false}}}';
    const bodyWith = (field: string): string =>
      `{"model":"${model}","messages":${JSON.stringify(say('hi'))},"max_tokens":50,${field}}`;
    const MAXIMUM = 'response_format.json_schema.schema.properties.answer.maximum';

    it.each([
      ['seed', 'a seed above 2^53', '"seed":9007199254740993'],
      ['seed', 'a seed below -2^53', '"seed":-9007199254740993'],
      [MAXIMUM, 'a number above 2^53 in a schema', `"response_format":${schemaWith('9223372036854775807')}`],
      [MAXIMUM, 'a number above all numbers in a schema', `"response_format":${schemaWith('1e999')}`],
    ])('is refused, naming %s, for %s', async (param, _, field) => {
      const answer = await post(key, bodyWith(field));
      expect(refusalOf(answer)).toEqual({ status: 400, code: 'invalid_request', param });
      expect(daypass.rehearsal.chatCalls()).toHaveLength(0);
    });

    it('has its numbers and the order of its keys kept', async () => {
      const format = schemaWith('9007199254740991');
      const answer = await post(key, bodyWith(`"seed":9007199254740991,"response_format":${format}`));
      expect(refusalOf(answer)).toEqual({ status: 200 });
      expect(sent().seed).toBe(9_007_199_254_740_991);
      expect(JSON.stringify(sent().response_format)).toBe(format);
    });

    it('may hold such a number in a text', async () => {
      expect(refusalOf(await ask({ messages: say('Who is 9007199254740993?') }))).toEqual({ status: 200 });
    });

    it.each<[param: string, more: object]>([
      ['foo', { foo: 1 }],
      ['messages[0].foo', { messages: [{ role: 'user', content: 'hi', foo: 1 }] }],
      ['messages[0].content[0].foo', { messages: [{ role: 'user', content: [{ type: 'text', text: 'hi', foo: 1 }] }] }],
      ['tools[0].foo', { tools: [{ ...toolWith({}), foo: 1 }] }],
      ['response_format.foo', { response_format: { type: 'text', foo: 1 } }],
      ['stream_options.foo', { stream: true, stream_options: { foo: 1 } }],
      ['prediction.image_url', { prediction: { type: 'content', content: 'a', image_url: { url: 'https://x.org' } } }],
    ])('with the unknown field %s is refused by that name', async (param, more) => {
      expect(refusalOf(await ask(more))).toEqual({ status: 400, code: 'unknown_parameter', param });
      expect(daypass.rehearsal.chatCalls()).toHaveLength(0);
    });

    it('that is not UTF-8 is refused', async () => {
      const body = `{"model":"${model}","messages":[{"role":"user","content":"Perché?"}]}`;
      const answer = await post(key, Buffer.from(body, 'latin1'));
      expect(refusalOf(answer)).toMatchObject({ status: 400, code: 'invalid_json' });
      expect(errorIn(answer).message).toMatch(/UTF-8/);
      expect(refusalOf(await post(key, Buffer.from(body, 'utf8')))).toEqual({ status: 200 });
    });

    it('with an emoji on the 8,000th character is answered, and moderation reads no half of it', async () => {
      const content = `${'a'.repeat(7_999)}😀${'b'.repeat(99)}`;
      expect(refusalOf(await ask({ messages: [{ role: 'user', content }] }))).toEqual({ status: 200 });
      expect(judged()).toContain('😀');
      expect(halvesIn(daypass.rehearsal.moderationCalls().map(({ body }) => body))).toEqual([]);
    });

    it('with half an emoji is answered, and neither moderation nor the upstream sees the half', async () => {
      const half = '\ud83d';
      const answer = await ask({
        messages: say(`broken ${half} text`),
        stop: [`${half}x`],
        tools: [toolWith({ [`key ${half}`]: { type: 'string', description: `\ude00 ${half}` } })],
      });
      expect(refusalOf(answer)).toEqual({ status: 200 });
      expect(halvesIn(sent())).toEqual([]);
      expect(halvesIn(daypass.rehearsal.moderationCalls().map(({ body }) => body))).toEqual([]);
      expect(halvesIn(JSON.parse(answer.text))).toEqual([]);
    });

    it.each([false, true])("keeps the visitor's user and metadata here, and says so (streamed: %s)", async (stream) => {
      const answer = await ask({ user: 'someone@example.org', metadata: { trace: 'mine' }, stream });
      expect(answer.status).toBe(200);
      expect(sent()).not.toHaveProperty('user');
      expect(sent()).not.toHaveProperty('metadata');
      expect(adjustedIn(answer)).toEqual(expect.arrayContaining(['metadata', 'user']));
    });

    it('of which nothing is changed does not name anything', async () => {
      expect((await ask({ temperature: 0.5 })).headers.get('x-daypass-adjusted')).toBeNull();
    });

    it.each([...PLACES, ...NAMES])('with a flagged phrase in %s is blocked', async (_, put) => {
      expect(refusalOf(await ask(put(FLAG)))).toMatchObject({ status: 400, code: 'moderation_blocked' });
      expect(daypass.rehearsal.chatCalls()).toHaveLength(0);
    });

    const moreHeldFor = async (put: (text: string) => object, text: string): Promise<bigint> => {
      const fresh = await daypass.createKey(UNMODERATED);
      const held: bigint[] = [];
      daypass.rehearsal.onChat = async () => {
        held.push(parseUsd((await shown(fresh)).held_usd));
        return { content: 'ok' };
      };
      for (const one of ['a', text]) {
        const answer = await ask({ max_tokens: 16, ...put(one) }, fresh);
        expect(refusalOf(answer)).toEqual({ status: 200 });
      }
      return held[1]! - held[0]!;
    };

    it.each(PLACES)('has the tokens of %s held', async (_, put) => {
      expect(await moreHeldFor(put, 'word '.repeat(50))).toBeGreaterThanOrEqual(49n * INPUT_NANO);
    });

    it.each(NAMES)('has the tokens of %s held', async (_, put) => {
      expect(await moreHeldFor(put, 'Zq7_'.repeat(16))).toBeGreaterThanOrEqual(15n * INPUT_NANO);
    });
  });

  describe('an upstream that answers 200', () => {
    const OVERLOADED = JSON.stringify({
      error: {
        message: 'Our servers are overloaded.',
        type: 'server_error',
        param: null,
        code: 'server_is_overloaded',
      },
    });
    const PAGE = '<!doctype html><html><body>Welcome to nginx!</body></html>';
    const WHOLE = JSON.stringify(completionOf());
    const STREAM = eventsOf(deltaOf({ role: 'assistant', content: 'Hello.' }), STOP, USAGE_CHUNK) + DONE;
    const JSON_TYPE = 'application/json';

    it.each<[what: string, wanted: 'whole' | 'streamed', output: 'gate' | 'off', text: string, contentType: string]>([
      ['an error object', 'whole', 'gate', OVERLOADED, JSON_TYPE],
      ['an error object', 'whole', 'off', OVERLOADED, JSON_TYPE],
      ['a page', 'whole', 'gate', PAGE, 'text/html'],
      ['a page that poses as JSON', 'whole', 'gate', PAGE, JSON_TYPE],
      ['a stream', 'whole', 'gate', STREAM, STREAM_TYPE],
      ['a string', 'whole', 'gate', '"Hello."', JSON_TYPE],
      ['a list', 'whole', 'gate', '[]', JSON_TYPE],
      ['an object without choices', 'whole', 'gate', '{"ok":true}', JSON_TYPE],
      ['nothing', 'whole', 'gate', '', JSON_TYPE],
      ['an error object', 'streamed', 'gate', OVERLOADED, JSON_TYPE],
      ['an error object', 'streamed', 'off', OVERLOADED, JSON_TYPE],
      ['a page', 'streamed', 'gate', PAGE, 'text/html'],
      ['a page', 'streamed', 'off', PAGE, 'text/html'],
      ['a whole answer', 'streamed', 'gate', WHOLE, JSON_TYPE],
      ['a whole answer', 'streamed', 'off', WHOLE, JSON_TYPE],
    ])(
      'with %s for a %s answer is asked three times, and costs nothing (output moderation: %s)',
      async (_, wanted, output, text, contentType) => {
        const fresh = await daypass.createKey({ campaign: { moderation: { input: 'off', output } } });
        const body = { model, messages: say('hi'), stream: wanted === 'streamed' };
        const headers = { 'idempotency-key': randomUUID() };
        answering(text, contentType);
        const failed = await post(fresh, body, headers);
        expect(errorIn(failed)).toMatchObject({ code: 'upstream_error' });
        expect(failed.text).not.toMatch(/nginx|Hello/);
        // A stream that was told its place meanwhile has begun with 200.
        if (wanted === 'whole') expect(failed.status).toBe(502);
        expect(daypass.rehearsal.chatCalls()).toHaveLength(3);
        expect(await spentBy(fresh)).toBe('0.00');
        daypass.rehearsal.onChat = undefined;
        const again = await post(fresh, body, headers);
        expect(again.status).toBe(200);
        expect(again.headers.get('idempotent-replayed')).toBeNull();
        expect(daypass.rehearsal.chatCalls()).toHaveLength(4);
      },
    );
  });

  describe.each(OUTPUT_POLICIES)('a stream (output moderation: %s)', (output) => {
    let fresh: TestKey;
    const stream = async (text: string, more: object = {}): Promise<Answer> => {
      fresh = await daypass.createKey({ campaign: { moderation: { input: 'off', output } } });
      answering(text, STREAM_TYPE);
      return ask({ stream: true, ...more }, fresh);
    };
    const HELLO = deltaOf({ role: 'assistant', content: 'Hello.' });

    it.each([
      ['ends without [DONE] after its usage', eventsOf(HELLO, STOP, USAGE_CHUNK)],
      ['ends right after [DONE], without the end of its line', `${eventsOf(HELLO, STOP, USAGE_CHUNK)}data: [DONE]`],
      ['ends without the blank line after [DONE]', `${eventsOf(HELLO, STOP, USAGE_CHUNK)}data: [DONE]\n`],
    ])('that %s is whole, and costs what its usage says', async (_, text) => {
      const answer = await stream(text);
      expect(answer.text).toMatch(/data: \[DONE\]\n\n$/);
      expect(answer.text.match(/\[DONE\]/g)).toHaveLength(1);
      expect(errorIn(answer)).toEqual({});
      expect(contentOf(answer)).toBe('Hello.');
      expect(await spentBy(fresh)).toBe(USAGE_COST_USD);
      expect(daypass.rehearsal.chatCalls()).toHaveLength(1);
    });

    it('that ends without [DONE] and usage, but after its last word, is whole, and costs what was counted', async () => {
      const answer = await stream(eventsOf(HELLO, STOP));
      expect(answer.text).toMatch(/data: \[DONE\]\n\n$/);
      expect(errorIn(answer)).toEqual({});
      expect(contentOf(answer)).toBe('Hello.');
      expect(await spentBy(fresh)).not.toBe('0.00');
    });

    it('that ends before its last word is broken off', async () => {
      const answer = await stream(eventsOf(HELLO));
      expect(errorIn(answer)).toMatchObject({ code: 'upstream_outcome_unknown' });
      expect(answer.text).not.toContain('[DONE]');
      expect(await spentBy(fresh)).not.toBe('0.00');
    });

    it('whose usage comes in a chunk without choices shows nothing of it, and costs what it says', async () => {
      const { choices: _, ...usageAlone } = USAGE_CHUNK as Json;
      const answer = await stream(eventsOf(HELLO, STOP, usageAlone) + DONE);
      expect(answer.text).toMatch(/data: \[DONE\]\n\n$/);
      const chunks = chunksOf(answer);
      expect(chunks.map(({ choices }) => Array.isArray(choices) && choices.length > 0)).toEqual(chunks.map(() => true));
      expect(answer.text).not.toContain('usage');
      expect(contentOf(answer)).toBe('Hello.');
      expect(await spentBy(fresh)).toBe(USAGE_COST_USD);
    });

    it.each<[field: string, put: (text: string) => object, read: (delta: Json) => string | undefined]>([
      ['content', (text) => ({ content: text }), ({ content }) => content as string | undefined],
      [
        'arguments',
        (text) => ({ tool_calls: [{ index: 0, function: { arguments: text } }] }),
        ({ tool_calls: calls }) =>
          (calls as { function: { arguments: string } }[] | undefined)?.[0]?.function.arguments,
      ],
    ])('that cuts an emoji in its %s in two shows it whole, and no half in any chunk', async (_, put, read) => {
      const pieces = ['a', '\ud83d', '\ude00', 'b \ud83d', '\ude00\ud83d', '\ude00 c', ' \ud83d'].map((text) =>
        deltaOf(put(text)),
      );
      const answer = await stream(eventsOf(deltaOf({ role: 'assistant' }), ...pieces, STOP, USAGE_CHUNK) + DONE);
      expect(halvesIn(chunksOf(answer))).toEqual([]);
      const text = deltasOf(answer)
        .map((delta) => read(delta) ?? '')
        .join('');
      expect(text).toMatch(/^a😀b 😀😀 c \ufffd?$/);
      expect(answer.text).toMatch(/data: \[DONE\]\n\n$/);
    });
  });

  describe('an answer', () => {
    it('with half an emoji is shown without the half', async () => {
      answering(JSON.stringify(completionOf({ content: 'broken \ud83d text' })));
      const answer = await ask();
      expect(halvesIn(JSON.parse(answer.text))).toEqual([]);
      expect(answer.text).toMatch(/broken .? ?text/u);
    });

    const value = { odd: FLAG };
    const name = { [FLAG]: 'odd' };
    const nested = { odd: [{ [FLAG]: { even: 1 } }] };
    it.each([
      ['as a value beside its choices', completionOf({}, {}, value)],
      ['as a name beside its choices', completionOf({}, {}, name)],
      ['deep beside its choices', completionOf({}, {}, nested)],
      ['as a value in a choice', completionOf({}, value)],
      ['as a name in a choice', completionOf({}, name)],
      ['as a value in its message', completionOf(value)],
      ['as a name in its message', completionOf(name)],
      ['as a name in its usage', completionOf({}, {}, { usage: { ...USAGE, ...name } })],
    ])('with a flagged phrase %s is blocked', async (_, completion) => {
      answering(JSON.stringify(completion));
      const answer = await ask();
      expect(answer.status).toBe(200);
      expect(answer.text).not.toContain(FLAG);
      expect(answer.headers.get('x-daypass-moderation')).toBe('input=pass; output=blocked');
      expect(JSON.parse(answer.text)).toMatchObject({ choices: [{ finish_reason: 'content_filter' }] });
    });

    const choice = { index: 0, delta: { content: 'Hello.' }, finish_reason: null };
    it.each([
      ['as a value beside its choices', chunkOf([choice], value)],
      ['as a name beside its choices', chunkOf([choice], name)],
      ['as a value in a choice', chunkOf([{ ...choice, ...value }])],
      ['as a name in a choice', chunkOf([{ ...choice, ...name }])],
      ['as a value in its delta', chunkOf([{ ...choice, delta: value }])],
      ['as a name in its delta', chunkOf([{ ...choice, delta: name }])],
      ['in a chunk without choices', { odd: FLAG }],
    ])('streamed with a flagged phrase %s is blocked', async (_, chunk) => {
      for (const output of ['gate', 'window']) {
        const fresh = await daypass.createKey({ campaign: { moderation: { input: 'gate', output } } });
        answering(eventsOf(deltaOf({ role: 'assistant' }), chunk, STOP, USAGE_CHUNK) + DONE, STREAM_TYPE);
        const answer = await ask({ stream: true }, fresh);
        expect(answer.text).not.toContain(FLAG);
        expect(chunksOf(answer).at(-1)).toMatchObject({ choices: [{ finish_reason: 'content_filter' }] });
      }
    });
  });
});
