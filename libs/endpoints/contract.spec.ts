import { beforeAll, describe, expect, it } from '@jest/globals';
import { isDeepStrictEqual } from 'node:util';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { at, examplesOf, merged, placesOnce, planted } from './contract.fixture.js';
import { StreamTexts, type Content } from './content.js';
import {
  MisshapenAnswer,
  UpstreamStreamError,
  type AnswerReader,
  type Blob,
  type Body,
  type Endpoint,
  type Frame,
  type Request,
  type Shown,
} from './endpoint.js';
import { isObject } from './json.js';
import { ENDPOINTS } from './registry.js';

/** No word, id or number of any declaration has this form. */
const MARK = 'M4RK of the contract';
const ESCAPED = `\\u004d4RK of the contract`;
const OUT = [{ find: MARK, replace: '[out]' }];

interface Answers {
  whole: object;
  /** What a stream begins with. */
  begin?: readonly object[];
  events: readonly object[];
}

const IN_ITEM = { item_id: 'item_1', output_index: 0 };
const IN_CONTENT = { ...IN_ITEM, content_index: 0 };
const IN_SUMMARY = { ...IN_ITEM, summary_index: 0 };
const IN_COMMAND = { ...IN_ITEM, command_index: 0 };
const RESPONSE = { id: 'resp_1', object: 'response', created_at: 1, model: 'gpt-5.4-mini', status: 'completed' };
const MESSAGE = {
  id: 'item_1',
  type: 'message',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text: 'fine', annotations: [] }],
};

const TRANSCRIPTS: Answers = {
  whole: { text: 'fine', segments: [{ text: 'fi' }], words: [{ word: 'fine' }], logprobs: [{ token: 'fi' }] },
  begin: [{ type: 'transcript.text.delta', delta: '' }],
  events: [
    { type: 'transcript.text.delta', delta: 'fi', logprobs: [{ token: 'fi' }] },
    { type: 'transcript.text.segment', id: 'seg_1', text: 'fine', speaker: 'A' },
    { type: 'transcript.text.done', text: 'fine' },
    { type: 'transcript.of_tomorrow', delta: 'fi', deep: { of: ['any', { kind: 'x' }] } },
  ],
};
const PNG = 'iVBORw0KGgoAAAAN';
const imagesOfApi = (made: string): Answers => ({
  whole: { created: 1, data: [{ b64_json: PNG }, { b64_json: PNG, revised_prompt: 'fine' }] },
  begin: [{ type: `${made}.partial_image`, b64_json: PNG, partial_image_index: 0 }],
  events: [
    { type: `${made}.partial_image`, b64_json: PNG, partial_image_index: 0, size: '1024x1024' },
    { type: `${made}.completed`, b64_json: PNG, usage: { input_tokens: 1, output_tokens: 2, total_tokens: 3 } },
    { type: 'image.of_tomorrow', note: 'fi', deep: { of: ['any', { kind: 'x' }] } },
  ],
});

/** A whole answer and events of a stream, as far as each API must have them: what is declared is tried within these. */
const ANSWERS: Record<string, Answers> = {
  responses: {
    whole: { ...RESPONSE, output: [MESSAGE] },
    begin: [{ type: 'response.created', response: { ...RESPONSE, status: 'in_progress', output: [] } }],
    events: [
      { type: 'response.in_progress', response: { ...RESPONSE, status: 'in_progress', output: [] } },
      { type: 'response.output_item.added', output_index: 0, item: { id: 'item_1', type: 'message' } },
      { type: 'response.output_item.done', output_index: 0, item: { id: 'item_1', type: 'message' } },
      { type: 'response.content_part.added', ...IN_CONTENT, part: { type: 'output_text', text: '' } },
      { type: 'response.content_part.done', ...IN_CONTENT, part: { type: 'output_text', text: 'fine' } },
      { type: 'response.output_text.delta', ...IN_CONTENT, delta: 'fi' },
      { type: 'response.output_text.done', ...IN_CONTENT, text: 'fine' },
      { type: 'response.output_text.annotation.added', ...IN_CONTENT, annotation_index: 0, annotation: {} },
      { type: 'response.refusal.delta', ...IN_CONTENT, delta: 'no' },
      { type: 'response.refusal.done', ...IN_CONTENT, refusal: 'no' },
      { type: 'response.reasoning_text.delta', ...IN_CONTENT, delta: 'hm' },
      { type: 'response.reasoning_summary_part.added', ...IN_SUMMARY, part: { type: 'summary_text', text: '' } },
      { type: 'response.reasoning_summary_text.delta', ...IN_SUMMARY, delta: 'hm' },
      { type: 'response.reasoning_summary_text.done', ...IN_SUMMARY, text: 'hm' },
      { type: 'response.function_call_arguments.delta', ...IN_ITEM, delta: '{"a":' },
      { type: 'response.function_call_arguments.done', ...IN_ITEM, name: 'f', arguments: '{"a":1}' },
      { type: 'response.custom_tool_call_input.delta', ...IN_ITEM, delta: 'x' },
      { type: 'response.shell_call_command.delta', ...IN_COMMAND, delta: 'ls' },
      { type: 'response.shell_call_output_content.delta', ...IN_COMMAND, delta: { stdout: 'a' } },
      { type: 'response.shell_call_output_content.done', ...IN_COMMAND, output: [{ stdout: 'a', stderr: '' }] },
      { type: 'response.web_search_call.searching', ...IN_ITEM },
      { type: 'response.completed', response: { ...RESPONSE, output: [MESSAGE] } },
      { type: 'response.of_tomorrow.delta', ...IN_ITEM, delta: 'fi', deep: { of: ['any', { kind: 'x' }] } },
    ],
  },
  'responses.compact': {
    whole: {
      id: 'resp_1',
      object: 'response.compaction',
      created_at: 1,
      output: [
        { ...MESSAGE, role: 'user', content: [{ type: 'input_text', text: 'fine' }] },
        { id: 'item_2', type: 'compaction', encrypted_content: 'gAAA' },
      ],
    },
    // It has no stream.
    events: [],
  },
  'chat.completions': {
    whole: {
      id: 'chatcmpl-1',
      object: 'chat.completion',
      created: 1,
      model: 'gpt-5.4-mini',
      choices: [
        { index: 0, message: { role: 'assistant', content: 'fine' }, finish_reason: 'stop' },
        { index: 1, message: { role: 'assistant', content: 'as well' }, finish_reason: 'stop' },
      ],
    },
    events: [
      {
        id: 'chatcmpl-1',
        object: 'chat.completion.chunk',
        created: 1,
        model: 'gpt-5.4-mini',
        choices: [
          { index: 0, delta: { content: 'fi' } },
          { index: 1, delta: { content: 'as' } },
        ],
      },
    ],
  },
  'audio.transcriptions': TRANSCRIPTS,
  'audio.translations': TRANSCRIPTS,
  'audio.speech': {
    whole: { type: 'speech.audio.delta', audio: 'AACAPw==' },
    events: [
      { type: 'speech.audio.delta', audio: 'AACAPw==' },
      { type: 'speech.audio.done', usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 } },
      { type: 'speech.of_tomorrow', deep: { of: ['any'] } },
    ],
  },
  completions: {
    whole: {
      id: 'cmpl-1',
      object: 'text_completion',
      created: 1,
      model: 'starcoder',
      choices: [
        { index: 0, text: 'fine', finish_reason: 'stop' },
        { index: 1, text: 'as well', finish_reason: 'stop' },
      ],
    },
    events: [
      {
        id: 'cmpl-1',
        object: 'text_completion',
        created: 1,
        model: 'starcoder',
        choices: [
          { index: 0, text: 'fi' },
          { index: 1, text: 'as' },
        ],
      },
    ],
  },
  embeddings: {
    whole: {
      object: 'list',
      data: [
        { object: 'embedding', index: 0, embedding: 'AACAPw==' },
        { object: 'embedding', index: 1, embedding: [1] },
      ],
      model: 'text-embedding-3-small',
      usage: { prompt_tokens: 2, total_tokens: 2 },
    },
    events: [],
  },
  'images.generations': imagesOfApi('image_generation'),
  'images.edits': imagesOfApi('image_edit'),
};

/** Of the plantings of a request: how many are forwarded, and how many refused, at least. */
const LEAST: Record<string, { forwarded: number; refused: number; examples?: number }> = {
  'chat.completions': { forwarded: 100, refused: 1_000 },
  responses: { forwarded: 100, refused: 1_000 },
  'responses.compact': { forwarded: 100, refused: 1_000 },
  completions: { forwarded: 8, refused: 100 },
  embeddings: { forwarded: 5, refused: 50 },
  'audio.transcriptions': { forwarded: 5, refused: 100 },
  'audio.translations': { forwarded: 1, refused: 50, examples: 8 },
  'audio.speech': { forwarded: 1, refused: 50 },
  'images.generations': { forwarded: 2, refused: 100 },
  'images.edits': { forwarded: 2, refused: 100 },
};
/** Of the plantings of an answer, and of events: how many are shown, and so judged, at least. */
const LEAST_SHOWN: Record<string, { whole: number; events: number }> = {
  'images.generations': { whole: 80, events: 80 },
  'images.edits': { whole: 80, events: 80 },
};
const leastShown = (name: string): { whole: number; events: number } =>
  LEAST_SHOWN[name] ?? { whole: 200, events: 200 };

/** What a declared parameter needs beside it. */
const NEEDED: Record<string, object> = {
  'chat.completions': { stream: true },
  completions: { stream: true, n: 2 },
  responses: { stream: true, input: 'plain words' },
  'responses.compact': { input: 'plain words' },
  'images.generations': { stream: true },
  'images.edits': { stream: true, images: [{ image_url: 'https://example.org/a.png' }] },
};

/** What a declared parameter does not go with. */
const BESIDES: Record<string, Record<string, object>> = { responses: { background: { stream: false } } };
const besidesOf = (name: string, example: unknown): object =>
  Object.entries(BESIDES[name] ?? {}).find(([field]) => isObject(example) && field in example)?.[1] ?? {};

/** The files that a request needs. */
const SOUND: Blob = { ref: '1', bytes: 1_000, type: 'audio/wav', field: 'file', seconds: 1 };
const FILES: Record<string, readonly Blob[]> = { 'audio.transcriptions': [SOUND], 'audio.translations': [SOUND] };

const textsOf = (contents: readonly Content[]): string =>
  contents.map((content) => (content.kind === 'text' ? content.text : content.url)).join('\n');
const imagesOf = (contents: readonly Content[]): string[] =>
  contents.flatMap((content) => (content.kind === 'image' ? [content.url] : []));
const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const shownOf = (body: Shown['body']): string =>
  typeof body === 'string' ? body : Buffer.concat([body].flat() as Uint8Array[]).toString();
const holdsMark = (value: unknown): boolean => JSON.stringify(value).includes(MARK);

const ENCODED: readonly unknown[] = examplesOf({ kind: 'encoded' });

/** What stands at a place instead: the phrase as a value, in a list, as a name, and where a string stood, escaped in JSON. */
function plants(value: unknown): unknown[] {
  const encoded = [`{"a":"${ESCAPED}"}`, `{"${ESCAPED}":1}`, `{"a":"${ESCAPED}`, `{"a":"${MARK}","a":"fine"}`];
  const url = [`https://example.org/?${MARK}`, `data:image/png;base64,${MARK}`];
  return [
    MARK,
    [MARK],
    { a: MARK },
    { [MARK]: 1 },
    { [MARK]: null },
    ...(typeof value === 'string' ? url : []),
    // Only where a reader decodes it is an escaped phrase that phrase.
    ...(ENCODED.includes(value) ? encoded : []),
    ...(isObject(value)
      ? [
          { ...value, [MARK]: 1 },
          { ...value, [MARK]: null },
          { ...value, extra: MARK },
          { ...value, extra: { [MARK]: [1] } },
        ]
      : []),
    ...(Array.isArray(value)
      ? [
          [...(value as unknown[]), MARK],
          [...(value as unknown[]), { [MARK]: 1 }],
        ]
      : []),
  ];
}

interface Planting {
  path: readonly (string | number)[];
  plant: unknown;
  json: unknown;
}

/** How a place is named in `x-daypass-adjusted`: by its fields; an item of a list may be named by its type. */
function namesOf(json: unknown, path: Planting['path']): string[] {
  const byField = path.filter((step) => typeof step === 'string');
  const byType = path.flatMap((step, depth) => {
    if (typeof step === 'string') return [step];
    const item = at(json, path.slice(0, depth + 1));
    return isObject(item) && typeof item.type === 'string' ? [item.type] : [];
  });
  return [byField.join('.'), byType.join('.')];
}

/** Each plant at each place of the examples. */
function* plantings(examples: readonly unknown[]): Generator<Planting> {
  for (const { example, path } of placesOnce(examples)) {
    for (const plant of plants(at(example, path))) yield { path, plant, json: planted(example, path, plant) };
  }
}

/** As `expect`, for ten thousands of plantings: only a failure is told. */
function check(isRight: boolean, what: string, { path, plant }: Planting, error?: unknown): void {
  if (!isRight) throw new Error(`${what}: ${JSON.stringify({ path, plant })}`, { cause: error });
}

interface Waiting {
  request: Request;
  body: Body;
  counted: string;
}

/** A request with its body as it waits. */
async function waiting(endpoint: Endpoint, json: unknown): Promise<Waiting> {
  const request = endpoint.parse({ json, blobs: FILES[endpoint.name] ?? [] });
  const counted: string[] = [];
  const { decoded } = await endpoint.measure(request, {
    countTokens: (texts) => Promise.resolve(counted.push(...texts)),
    decodeTokens: (lists) => Promise.resolve(lists.map((tokens) => `tokens ${tokens.join(' ')}`)),
    toolTokens: 0,
    imageTokensPerImage: 1_000,
    mostOutputTokens: 1_000,
  });
  const forced = { serviceTier: request.serviceTier, safetyIdentifier: 'visitor', cacheKey: 'visitor' };
  return { request, body: endpoint.forwarded({ ...request, decoded }, forced), counted: counted.join('\n') };
}

interface Forwarded {
  adjusted: readonly string[];
  /** Beside it, for the answer. */
  kept: unknown;
  judged: string;
  counted: string;
  /** As an upstream that knows every field gets it. */
  sent: unknown;
}

function forward(endpoint: Endpoint, { request, body, counted }: Waiting): Forwarded {
  const call = endpoint.call(body, { capTokens: 16, facts: {} }, { kind: 'compatible', drops: [], tag: '' });
  const adjusted = [...request.adjusted, ...call.dropped];
  return { adjusted, kept: body.kept, judged: textsOf(endpoint.input(body)), counted, sent: call.body.json };
}

describe.each(ENDPOINTS.map((endpoint) => [endpoint.name, endpoint] as const))('%s: a request', (name, endpoint) => {
  const examples = examplesOf(endpoint.declarations.request).map((example) =>
    merged(merged(NEEDED[name] ?? {}, example), besidesOf(name, example)),
  );
  const refused: Planting[] = [];
  const letIn: (Planting & Waiting)[] = [];

  beforeAll(async () => {
    for (const planting of plantings(examples)) {
      try {
        letIn.push({ ...planting, ...(await waiting(endpoint, planting.json)) });
      } catch (error) {
        check(error instanceof DaypassError, 'is refused with no error of the catalogue', planting, error);
        refused.push(planting);
      }
    }
  });

  it('has an example of everything that is declared, and each is let in', async () => {
    expect(examples.length).toBeGreaterThan(LEAST[name]!.examples ?? 10);
    for (const example of examples) expect(forward(endpoint, await waiting(endpoint, example))).toBeDefined();
  });

  it('is refused, or judged and counted and forwarded as it was judged, wherever a phrase stands in it', () => {
    const outcomes = { forwarded: 0, dropped: 0 };
    for (const planting of letIn) {
      const { path, plant, json } = planting;
      const { adjusted, kept, judged, counted, sent } = forward(endpoint, planting);
      if (!JSON.stringify(sent).includes('4RK of the contract')) {
        // What stays behind is named, or Daypass keeps it for the answer; null is absent.
        const isNamed = namesOf(json, path).some((place) =>
          adjusted.some((name) => place === name || place.startsWith(`${name}.`)),
        );
        const isKept = holdsMark(kept ?? null) || JSON.stringify(plant).includes(`"${MARK}":null`);
        check(isNamed || isKept, 'is left out in silence', planting);
        outcomes.dropped++;
        continue;
      }
      outcomes.forwarded++;
      check(judged.includes(MARK), 'is forwarded unjudged', planting);
      const isImage = typeof plant === 'string' && /^(https?:|data:)/.test(plant) && judged.includes(plant);
      check(isImage || counted.includes('4RK of the contract'), 'is forwarded uncounted', planting);
    }
    const least = LEAST[name]!;
    expect(outcomes.forwarded).toBeGreaterThan(least.forwarded);
    expect(refused.length).toBeGreaterThan(least.refused);
    expect(outcomes.dropped).toBeGreaterThan(0);
  });

  it('names every image that its upstream would fetch, and has another one in each place', () => {
    let replaced = 0;
    const other = 'data:image/png;base64,BBBB';
    const isRemote = (url: string): boolean => url.startsWith('http');
    for (const planting of letIn) {
      const { request, body } = planting;
      const before = endpoint.input(body);
      const remote = endpoint.remoteImages(body);
      const urls = remote.map(({ url }) => url);
      check(isDeepStrictEqual(urls, imagesOf(before).filter(isRemote)), 'has another remote image', planting);
      check(request.remoteImages === remote.length, 'counts other remote images', planting);
      const named = remote.map(({ param }) =>
        at(
          request.body.json,
          param.split(/[.[\]]+/).map((step) => (/^\d+$/.test(step) ? +step : step)),
        ),
      );
      check(isDeepStrictEqual(named, urls), 'names another place of a remote image', planting);
      const after = endpoint.input(endpoint.withImages(body, new Map(urls.map((url) => [url, other]))));
      const expected = before.map((content) =>
        content.kind === 'image' && isRemote(content.url) ? { ...content, url: other } : content,
      );
      check(isDeepStrictEqual(after, expected), 'has something else once its images are replaced', planting);
      replaced += remote.length;
    }
    const knowsImages = JSON.stringify(endpoint.declarations.request).includes('"kind":"image"');
    expect(replaced > 10).toBe(knowsImages);
  });

  it('has nothing of the phrase left once it is taken out', () => {
    for (const planting of letIn) {
      const redacted = endpoint.redactedInput(planting.body, [{ find: MARK, replace: '"out\\"' }]);
      const left = endpoint.input(redacted).filter(({ kind }) => kind === 'text');
      check(!textsOf(left).includes(MARK), 'is left', planting);
    }
    expect(letIn.length).toBeGreaterThan(LEAST[name]!.forwarded);
  });
});

describe.each(
  ENDPOINTS.filter(({ directions }) => directions.output === 'judged').map(
    (endpoint) => [endpoint.name, endpoint] as const,
  ),
)('%s: an answer', (name, endpoint) => {
  const { whole, begin = [], events } = ANSWERS[name]!;
  const { answer, event } = endpoint.declarations;
  const examples = examplesOf(answer);
  const typeOf = (value: unknown): unknown => (isObject(value) ? value.type : undefined);
  /** Of events that differ in their type alone, the last has all examples. */
  const eventExamples = [
    ...new Map(
      (event ? examplesOf(event) : examples).map((one) => [JSON.stringify({ ...(one as object), type: 0 }), one]),
    ).values(),
  ];
  const reader = (): AnswerReader =>
    endpoint.reader({ requestId: 'req_1', model: 'm', outputs: 2, facts: { includeUsage: true } });
  /** What cannot be read is the upstream's failure. */
  const eventsOf = (stream: AnswerReader, planting: Planting): readonly Frame[] => {
    try {
      return stream.event({ data: JSON.stringify(planting.json) });
    } catch (error) {
      check(error instanceof UpstreamStreamError, "is not told as the upstream's failure", planting, error);
      return [];
    }
  };

  it('shows nothing unjudged, wherever a phrase stands in it, and nothing of it once it is taken out or blocked', () => {
    let judged = 0;
    for (const planting of plantings(examples.map((example) => merged(whole, example)))) {
      let read;
      try {
        read = reader().whole(bytesOf(planting.json), 'application/json');
      } catch (error) {
        check(error instanceof MisshapenAnswer, 'is refused as no misshapen answer', planting, error);
        continue;
      }
      const shown = shownOf(read.shown([])!.body);
      if (!shown.includes('4RK of the contract')) continue;
      judged++;
      check(textsOf(read.contents).includes(MARK), 'is shown unjudged', planting);
      const without = read.shown(OUT);
      check(without !== null && !holdsMark(JSON.parse(shownOf(without.body))), 'is left', planting);
      check(!shownOf(read.blocked().body).includes('4RK of the'), 'is shown though it is blocked', planting);
    }
    expect(judged).toBeGreaterThan(leastShown(name).whole);
  });

  const streamed = events.length > 0 ? it : it.skip;
  streamed('shows nothing unjudged of any event of its stream, nor of its ending', () => {
    let judged = 0;
    const alone = eventExamples.filter((example) => !events.some((base) => typeOf(base) === typeOf(example)));
    const all = [
      alone,
      ...events.map((base) => [
        base,
        ...eventExamples.filter((example) => typeOf(base) === typeOf(example)).map((example) => merged(base, example)),
      ]),
    ];
    for (const planting of all.flatMap((some) => [...plantings(some)])) {
      const stream = reader();
      for (const one of begin) stream.event({ data: JSON.stringify(one) });
      const frames = eventsOf(stream, planting);
      const ending = stream.ending({ kind: 'blocked' }, false, null);
      check(!ending.includes('4RK of'), 'is shown in the ending', planting);
      for (const frame of frames) {
        if (!frame.text.includes('4RK of the contract')) continue;
        judged++;
        const texts = new StreamTexts();
        texts.add(frame.texts);
        check(textsOf(texts.contents()).includes(MARK), 'is shown unjudged', planting);
        const without = stream.redacted([frame.text], OUT);
        check(!without?.join('').includes(MARK), 'is left', planting);
      }
    }
    expect(judged).toBeGreaterThan(leastShown(name).events);
  });
});

describe.each(
  ENDPOINTS.filter(({ directions }) => directions.output !== 'judged').map(
    (endpoint) => [endpoint.name, endpoint] as const,
  ),
)('%s: an answer that nobody judges', (name, endpoint) => {
  const examples = examplesOf(endpoint.declarations.answer);
  const readerOf = (facts: Ticket['facts']): AnswerReader =>
    endpoint.reader({ requestId: 'req_1', model: 'm', outputs: 0, facts });
  const asksEvents = readerOf({}).flow !== undefined;
  /** A whole answer as it comes: in one piece, or in events whose bytes are shown. */
  const wholeOf = (json: unknown): Shown => {
    const reader = readerOf({});
    const flow = reader.flow?.('text/event-stream');
    if (!flow) return reader.whole(bytesOf(json), 'application/json').shown([])!;
    const parts = [json, ...ANSWERS[name]!.events].map((event) => flow.event({ data: JSON.stringify(event) }));
    flow.end();
    return { contentType: flow.contentType, body: Buffer.concat(parts) };
  };

  it('shows nothing of a phrase, wherever it stands in it', () => {
    const outcomes = { misshapen: 0, shown: 0 };
    for (const planting of plantings(examples.map((example) => merged(ANSWERS[name]!.whole, example)))) {
      try {
        const { body } = wholeOf(planting.json);
        outcomes.shown++;
        check(!shownOf(body).includes('4RK of the'), 'is shown', planting);
      } catch (error) {
        check(error instanceof MisshapenAnswer, 'is refused as no misshapen answer', planting, error);
        outcomes.misshapen++;
      }
    }
    expect(outcomes.shown).toBeGreaterThan(asksEvents ? 20 : 50);
    expect(outcomes.misshapen).toBeGreaterThan(asksEvents ? 1 : 50);
  });

  it('shows nothing of a phrase in any event of its stream', () => {
    const { events } = ANSWERS[name]!;
    let shown = 0;
    for (const planting of plantings(events)) {
      const reader = readerOf({ events: true });
      reader.event({ data: JSON.stringify(events[0]) });
      try {
        const frames = reader.event({ data: JSON.stringify(planting.json) });
        shown += frames.length;
        check(!frames.some(({ text }) => text.includes('4RK of the')), 'is shown', planting);
      } catch (error) {
        check(error instanceof UpstreamStreamError, "is not told as the upstream's failure", planting, error);
      }
    }
    expect(shown > 10).toBe(asksEvents);
  });
});
