import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DaypassError } from '#libs/contracts/errors.js';
import { withHelp } from '#libs/contracts/help.js';
import { cpuMs } from '#libs/testing/cpu-time.js';
import { StreamTexts, type FrameText, type Replacement } from '../content.js';
import { MisshapenAnswer, UpstreamStreamError, type AnswerOf, type Frame, type Shown } from '../endpoint.js';
import { streamComment } from '../event.stream.js';
import type { JsonObject } from '../json.js';
import { isLast, streamError } from './frames.js';
import { ResponsesReader } from './responses.reader.js';
import { STREAMS, wholeOf as addedUp } from './streams.fixture.js';

const ENCRYPTED = 'reasoning.encrypted_content';
/** Some times what it takes. Work that grows with the square takes a hundred times as long. */
const CPU_MS_MAX = 4_000;
const ID = 'resp_019abcdef0123456789abcdef0123456';

const KEPT = {
  store: true,
  metadata: { mine: 'yes' },
  previousResponseId: 'resp_before',
  conversation: null,
  promptCacheKey: 'mine',
  asked: [] as string[],
  ownFrom: 1,
};
const SENT = {
  instructions: 'Be brief.',
  tools: [{ type: 'function', name: 'f' }],
  tool_choice: 'required',
  text: { verbosity: 'low' },
  input: [
    { type: 'message', role: 'user', content: 'before' },
    { role: 'user', content: 'Hi' },
    { role: 'assistant', content: 'Hello', id: 'msg_theirs' },
    { type: 'function_call_output', call_id: 'call_1', output: 'sun' },
  ],
};

interface Told extends Partial<AnswerOf> {
  codex?: boolean;
  requestId?: string;
}

const readerOf = ({
  codex = false,
  requestId = 'req_019abcdef0123456789abcdef0123456',
  ...of
}: Told = {}): ResponsesReader =>
  new ResponsesReader(
    { requestId, model: 'gpt-5.4-mini', outputs: 1, facts: { codex } },
    { kept: KEPT, sent: SENT, tag: '', ...of },
  );
const bytesOf = (value: unknown): Buffer => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const bodyOf = (shown: Shown | null): JsonObject => JSON.parse(shown!.body as string) as JsonObject;
const wholeIn = (value: unknown, reader = readerOf()) => reader.whole(bytesOf(value), 'application/json');
const eventsIn = (text: string): JsonObject[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => JSON.parse(line.slice(6)) as JsonObject);
const read = (reader: ResponsesReader, event: JsonObject): readonly Frame[] =>
  reader.event({ name: event.type as string, data: JSON.stringify(event) });
const showAll = (reader: ResponsesReader, events: readonly JsonObject[]): string =>
  events.flatMap((event) => read(reader, event).map(({ text }) => reader.show(text))).join('');
const judgedIn = (frames: readonly Frame[]): FrameText[] => frames.flatMap(({ texts }) => texts);
const [SIMPLE, PARALLEL] = STREAMS as [(typeof STREAMS)[number], (typeof STREAMS)[number]];
const WITHOUT_TOKENS = STREAMS[2]!;
const PATCH = STREAMS[3]!;

const CREATED = {
  type: 'response.created',
  response: { id: 'resp_up', object: 'response', status: 'in_progress', model: 'm', output: [] },
};
const begun = (told: Told = {}): ResponsesReader => {
  const reader = readerOf(told);
  showAll(reader, [CREATED]);
  return reader;
};
const DELTA = {
  type: 'response.output_text.delta',
  item_id: 'msg_of_the_upstream_01',
  output_index: 0,
  content_index: 0,
  logprobs: [],
};
const MESSAGE = (text: string, more: JsonObject = {}): JsonObject => ({
  id: 'msg_of_the_upstream_01',
  type: 'message',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text, annotations: [], ...more }],
});
const answerOf = (output: readonly unknown[], more: JsonObject = {}): JsonObject => ({
  id: 'resp_up',
  object: 'response',
  status: 'completed',
  model: 'm',
  output,
  ...more,
});

function thrown(does: () => unknown): unknown {
  try {
    does();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

describe('a whole response', () => {
  it("is shown with the visitor's own values and the relay's id, and tells its cost", () => {
    const reader = readerOf();
    const whole = wholeIn(
      { ...addedUp(PARALLEL), user: 'u', safety_identifier: 'u', output_text: 'x', billing: {} },
      reader,
    );
    const { output, ...shown } = bodyOf(whole.shown([]));
    expect(shown).toMatchObject({
      id: ID,
      store: true,
      background: false,
      metadata: { mine: 'yes' },
      previous_response_id: 'resp_before',
      prompt_cache_key: 'mine',
      safety_identifier: null,
      user: null,
      instructions: 'Be brief.',
      tools: SENT.tools,
      tool_choice: 'required',
      text: { format: { type: 'text' }, verbosity: 'low' },
      service_tier: 'default',
    });
    expect(shown).not.toHaveProperty('output_text');
    expect(shown).not.toHaveProperty('billing');
    expect(shown).not.toHaveProperty('conversation');
    expect(JSON.stringify(output)).not.toContain('encrypted_content');
    expect(reader.report).toEqual({
      metered: { input: 20, cached: 8, cacheWrite: 2, output: 12 },
      serviceTier: 'default',
      model: 'gpt-5.4-mini-2026-03-17',
      searches: undefined,
      images: 0,
    });
  });

  it('names the conversation that it belongs to', () => {
    const reader = readerOf({ kept: { ...KEPT, conversation: 'conv_1', previousResponseId: null } });
    const upstream = answerOf([], { conversation: { id: 'conv_other' } });
    expect(bodyOf(wholeIn(upstream, reader).shown([]))).toMatchObject({ conversation: { id: 'conv_1' } });
  });

  it.each(STREAMS.map((stream) => [stream.name, stream] as const))('of %s has the texts of its stream', (_, stream) => {
    const ofStream = new StreamTexts();
    const reader = readerOf();
    for (const event of stream.events) ofStream.add(judgedIn(read(reader, event)));
    const whole = wholeIn(addedUp(stream));
    const sorted = (texts: readonly string[]): string[] => [...texts].sort();
    expect(sorted(whole.seen)).toEqual(sorted(ofStream.texts()));
    expect(whole.contents).toHaveLength(ofStream.contents().length);
  });

  it('tells how often it searched the web', () => {
    const reader = readerOf();
    wholeIn(answerOf([], { tool_usage: { web_search: { num_requests: 3 } } }), reader);
    expect(reader.report).toMatchObject({ searches: 3, metered: null });
  });

  it('tells how many images another model made for it, also those that failed', () => {
    const reader = readerOf();
    const drawn = { type: 'image_generation_call', status: 'failed', result: null };
    const output = [drawn, { type: 'message', content: [] }, drawn];
    wholeIn(answerOf(output), reader);
    expect(reader.report.images).toBeUndefined();
    wholeIn(answerOf(output, { usage: { input_tokens: 1, output_tokens: 1 } }), reader);
    expect(reader.report.images).toBe(2);
  });

  it.each([
    ['a stream', 'data: {}\n\n', 'text/event-stream; charset=utf-8'],
    ['a page', '<html>Bad gateway</html>', 'text/html'],
    ['nothing', '', 'application/json'],
    ['a list', '[]', 'application/json'],
    ['an object of another kind', '{"object":"list","output":[]}', 'application/json'],
    ['a chat completion', '{"object":"chat.completion","choices":[{"message":{"content":"a"}}]}', 'application/json'],
    ['output in words', '{"output":"x"}', 'application/json'],
    ['of 10,001 items', JSON.stringify({ output: Array(10_001).fill({}) }), 'application/json'],
    ['one that waits', '{"status":"queued","output":[]}', 'application/json'],
    ['deeper than 64 levels', `{"output":[${'['.repeat(64)}${']'.repeat(64)}]}`, 'application/json'],
    ['deeper than any stack', `{"output":[${'['.repeat(200_000)}${']'.repeat(200_000)}]}`, 'application/json'],
  ])('is none where it is %s', (_, body, type) => {
    expect(thrown(() => readerOf().whole(bytesOf(body), type))).toBeInstanceOf(MisshapenAnswer);
  });

  it('may have been one where it breaks off: nobody knows what was done', () => {
    expect(thrown(() => wholeIn('{"output":[{"type":"message'))).not.toBeInstanceOf(MisshapenAnswer);
  });

  it('is none where it failed, which says why; what it cost until then counts', () => {
    const error = { code: 'server_error', message: 'overloaded' };
    const reader = readerOf();
    expect(thrown(() => wholeIn(answerOf([], { status: 'failed', error }), reader))).toMatchObject({
      name: 'MisshapenAnswer',
      error,
    });
    const usage = { input_tokens: 5, output_tokens: 2, total_tokens: 7 };
    expect(thrown(() => wholeIn(answerOf([], { status: 'failed', error, usage }), reader))).toMatchObject({
      name: 'UpstreamStreamError',
      error,
    });
    expect(reader.report.metered).toEqual({ input: 5, cached: 0, cacheWrite: 0, output: 2 });
    expect(thrown(() => wholeIn({ error }))).toMatchObject({ name: 'MisshapenAnswer', error });
  });

  it('is incomplete and without output where moderation took it away, and keeps nothing that nobody judged', () => {
    const reader = readerOf();
    const upstream = answerOf([MESSAGE('MARK')], { odd: 'MARK', usage: { input_tokens: 1, output_tokens: 'MARK' } });
    const body = bodyOf(wholeIn(upstream, reader).blocked());
    expect(body).toMatchObject({
      id: ID,
      status: 'incomplete',
      incomplete_details: { reason: 'content_filter' },
      output: [],
      error: null,
      usage: null,
      store: true,
      metadata: { mine: 'yes' },
    });
    expect(JSON.stringify(body)).not.toContain('MARK');
    expect(reader.shelved()).toMatchObject({ id: ID, response: { status: 'incomplete' }, output: [] });
  });

  it('has nothing left of what was taken out, nor of the tokens beside it', () => {
    const token = { token: 'secret', logprob: 0, bytes: [], top_logprobs: [{ token: ' secret', logprob: 0 }] };
    const call = {
      id: 'fc_of_the_upstream_01',
      type: 'function_call',
      call_id: 'c1',
      name: 'f',
      arguments: '{"a":"s\\u0065cret"}',
    };
    const whole = wholeIn(answerOf([MESSAGE('a secret b', { logprobs: [token] }), call]));
    const body = bodyOf(whole.shown([{ find: 'secret', replace: '[out]' }]));
    expect(body.output).toEqual([MESSAGE('a [out] b', { logprobs: [] }), { ...call, arguments: '{"a":"[out]"}' }]);
    const quoted = { ...call, arguments: '{"a": 12345}' };
    expect(wholeIn(answerOf([quoted])).shown([{ find: '12345', replace: '' }])).toBeNull();
  });

  it('shows ids that can be sent again, whatever the upstream calls its items, and nothing in the place of an image', () => {
    const items = [
      { ...MESSAGE('a'), id: 'MARK of words' },
      { type: 'function_call', call_id: 'functions.f:0', name: 'f', arguments: '{}', created_by: 'MARK' },
      { id: 'ig_1', type: 'image_generation_call', status: 'completed', result: 'MARK' },
    ];
    const whole = wholeIn(answerOf(items));
    const body = JSON.stringify(bodyOf(whole.shown([])));
    expect(body).not.toContain('MARK');
    const [message, call, image] = bodyOf(whole.shown([])).output as JsonObject[];
    expect(message!.id).toMatch(/^id_[0-9a-f]{24}$/);
    expect(call).toMatchObject({
      id: 'item_019abcdef0123456789abcdef0123456_1',
      call_id: expect.stringMatching(/^id_/),
    });
    expect(image).toMatchObject({ result: null });
  });

  it('has no half of a surrogate pair', () => {
    const whole = wholeIn(JSON.stringify(answerOf([MESSAGE('MARK')])).replace('MARK', 'a\\ud83d'));
    expect(whole.seen).toEqual(['a\ufffd']);
  });

  it("brings the provider's own verdicts, its moderation's and Azure's", () => {
    const side = { type: 'moderation_result', flagged: true, categories: {}, category_scores: {} };
    const results = { violence: { filtered: true, severity: 'high' } };
    const whole = wholeIn(
      answerOf([], {
        moderation: { input: side, output: side },
        content_filters: [{ blocked: true, source_type: 'completion', content_filter_results: results }],
      }),
    );
    expect(whole.provider).toEqual([{ moderation: [side, side], filters: [results] }]);
    expect(whole.contents).toEqual([]);
  });
});

describe('the ids of items', () => {
  it("are the relay's own where they may come again, alike in each event and of each response", () => {
    const message = { id: 'msg_0', type: 'message', role: 'assistant', status: 'completed', content: [] };
    const shownOf = (requestId: string): unknown[] => {
      const reader = new ResponsesReader({ requestId, model: 'm', outputs: 1, facts: {} });
      return [
        { type: 'response.created', response: answerOf([]) },
        { type: 'response.output_item.added', output_index: 0, item: message },
        { ...DELTA, item_id: 'msg_0', delta: 'Hi' },
        { type: 'response.output_item.done', output_index: 0, item: message },
      ]
        .flatMap((event) => reader.event({ data: JSON.stringify(event) }))
        .slice(1)
        .map(({ text }) => /"(?:item_)?id":"([^"]+)"/.exec(text)![1]);
    };
    const [first, second] = [shownOf('req_a'), shownOf('req_b')];
    expect(new Set(first)).toEqual(new Set([expect.stringMatching(/^id_[0-9a-f]{24}$/)]));
    expect(new Set(first).size).toBe(1);
    expect(second[0]).not.toBe(first[0]);
  });
});

describe('encrypted content', () => {
  const item = { id: 'rs_of_the_upstream_01', type: 'reasoning', summary: [], encrypted_content: 'gAAA' };
  const shownBy = (told: Told, items: readonly unknown[] = [item]): unknown =>
    bodyOf(wholeIn(answerOf(items), readerOf(told)).shown([])).output;

  it('is shown where it was asked for, with the tag of the upstream that made it', () => {
    expect(shownBy({})).toEqual([{ id: 'rs_of_the_upstream_01', type: 'reasoning', summary: [] }]);
    const asked = { ...KEPT, asked: [ENCRYPTED] };
    expect(shownBy({ kept: asked })).toEqual([item]);
    expect(shownBy({ kept: asked, tag: '0badcafe' })).toEqual([{ ...item, encrypted_content: 'dp0badcafe.gAAA' }]);
  });

  it('of a compaction is the answer itself', () => {
    const compaction = { id: 'cmp_of_the_upstream_01', type: 'compaction', encrypted_content: 'gAAA' };
    expect(shownBy({ tag: '0badcafe' }, [compaction])).toEqual([
      { ...compaction, encrypted_content: 'dp0badcafe.gAAA' },
    ]);
  });

  it('is none where it has spaces: it could be words', () => {
    const words = { ...item, encrypted_content: 'how to' };
    expect(shownBy({ kept: { ...KEPT, asked: [ENCRYPTED] } }, [words])).toEqual([
      { id: 'rs_of_the_upstream_01', type: 'reasoning', summary: [] },
    ]);
  });

  it('is kept with the tokens of each part, and without any where nobody counted them', () => {
    const thoughts = [100, 300, 3_600].map((length, index) => ({
      ...item,
      id: `rs_${index}`,
      encrypted_content: 'A'.repeat(length),
    }));
    const message = { id: 'msg_of_the_upstream_01', type: 'message', role: 'assistant', content: [] };
    const keptOf = (tokens: number): unknown[] => {
      const reader = readerOf();
      const usage = { input_tokens: 1, output_tokens: 900, output_tokens_details: { reasoning_tokens: tokens } };
      wholeIn({ ...answerOf([...thoughts, message]), usage }, reader).shown([]);
      return reader.shelved()!.output.map(({ opaqueTokens }) => opaqueTokens);
    };
    expect(keptOf(800)).toEqual([50, 150, 800, undefined]);
    expect(keptOf(0)).toEqual([undefined, undefined, undefined, undefined]);
  });

  it('of a stream that was stopped has no tokens that somebody counted', () => {
    const reader = readerOf();
    const thought = { ...item, encrypted_content: 'A'.repeat(400) };
    const frames = [
      { type: 'response.created', response: answerOf([]) },
      { type: 'response.output_item.done', output_index: 0, item: thought },
      {
        type: 'response.output_item.done',
        output_index: 1,
        item: { id: 'msg_of_the_upstream_01', type: 'message', content: [] },
      },
    ].flatMap((event) => reader.event({ data: JSON.stringify(event) }));
    for (const { text } of frames) reader.show(text);
    reader.ending({ kind: 'blocked' }, true, { input: 1, output: 900 });
    expect(reader.shelved()!.output[0]).toEqual({ item: thought });
  });

  it('is kept for later calls though nobody asked for it, from a stream as well', () => {
    const reader = readerOf({ tag: '0badcafe' });
    const text = showAll(reader, PARALLEL.events);
    expect(text).not.toContain('encrypted_content');
    expect(reader.shelved()!.output).toMatchObject([
      { item: { id: 'rs_of_the_upstream_01', encrypted_content: 'dp0badcafe.gAAAAABpJ-x_f0Q==' }, opaqueTokens: 4 },
      { item: { id: 'fc_of_the_upstream_01' } },
      { item: { id: 'fc_of_the_upstream_02' } },
    ]);
  });

  const tokensOf = (reader: ResponsesReader): unknown[] =>
    reader
      .shelved()!
      .output.flatMap(({ item: { type }, opaqueTokens }) => (type === 'reasoning' ? [opaqueTokens] : []));
  const usageOf = (reasoning: number): JsonObject => ({
    ...{ input_tokens: 3, output_tokens: 900, total_tokens: 903 },
    output_tokens_details: { reasoning_tokens: reasoning },
  });

  it('of several thoughts counts for each, because a call may name any of them alone', () => {
    const thoughts = ['a', 'b', 'c'].map((id) => ({ ...item, id: `rs_${id}`, encrypted_content: id.repeat(1_000) }));
    const short = { ...thoughts[1]!, encrypted_content: 'gAAAA' };
    const reader = readerOf();
    wholeIn(answerOf([thoughts[0], short, thoughts[2], MESSAGE('Hi')], { usage: usageOf(300) }), reader).shown([]);
    expect(tokensOf(reader)).toEqual([300, 3, 300]);
  });

  it('of one thought counts all that its upstream says it thought, however short it is', () => {
    const reader = readerOf();
    const short = { ...item, encrypted_content: 'gAAAA' };
    wholeIn(answerOf([short, MESSAGE('Hi')], { usage: usageOf(300) }), reader).shown([]);
    expect(tokensOf(reader)).toEqual([300]);
  });

  it('counts by its length where the upstream tells no tokens: of a stopped stream, or 0', () => {
    const none = readerOf();
    wholeIn(answerOf([item, MESSAGE('Hi')], { usage: usageOf(0) }), none).shown([]);
    expect(tokensOf(none)).toEqual([undefined]);
    const stopped = begun();
    showAll(stopped, [
      { type: 'response.output_item.added', output_index: 0, item },
      { type: 'response.output_item.done', output_index: 0, item },
      { type: 'response.output_item.added', output_index: 1, item: MESSAGE('') },
    ]);
    stopped.ending({ kind: 'blocked' }, true, { input: 3, output: 900 });
    expect(tokensOf(stopped)).toEqual([undefined]);
  });
});

describe('a stream', () => {
  it('begins with the response: what comes before is no answer', () => {
    expect(thrown(() => read(readerOf(), { ...DELTA, delta: 'a' }))).toBeInstanceOf(MisshapenAnswer);
    expect(thrown(() => readerOf().end())).toBeInstanceOf(MisshapenAnswer);
    expect(thrown(() => begun().end())).not.toBeInstanceOf(MisshapenAnswer);
  });

  it('is over with its last event: nothing follows', () => {
    const reader = readerOf();
    showAll(reader, SIMPLE.events);
    expect(reader.done).toBe(true);
    expect(read(reader, { ...DELTA, delta: 'more' })).toEqual([]);
    expect(reader.end()).toEqual([]);
  });

  it.each([
    ['an error event', { type: 'error', code: 'c', message: 'overloaded', param: null }],
    ['an error in an error event', { type: 'error', error: { code: 'c', message: 'overloaded' } }],
    ['an error without a type', { error: { code: 'c', message: 'overloaded' } }],
    ['a failure', { type: 'response.failed', response: { error: { code: 'c', message: 'overloaded' } } }],
  ])('that breaks off with %s says why', (_, event) => {
    const error = { code: 'c', message: 'overloaded' };
    expect(thrown(() => read(readerOf(), event))).toMatchObject({ name: 'MisshapenAnswer', error });
    expect(thrown(() => read(begun(), event))).toMatchObject({ name: 'UpstreamStreamError', error });
  });

  it('that failed tells what it cost until then', () => {
    const reader = begun();
    const response = { error: { code: 'c' }, usage: { input_tokens: 3, output_tokens: 1 }, service_tier: 'flex' };
    expect(thrown(() => read(reader, { type: 'response.failed', response }))).toBeInstanceOf(UpstreamStreamError);
    expect(reader.report).toMatchObject({ metered: { input: 3, output: 1 }, serviceTier: 'flex' });
  });

  it('takes the type in the data for that of the event, and the name where there is none', () => {
    const reader = begun();
    const [frame] = reader.event({ name: 'response.refusal.delta', data: JSON.stringify({ ...DELTA, delta: 'a' }) });
    expect(frame).toMatchObject({
      text: expect.stringContaining('event: response.output_text.delta\n'),
      texts: [{ text: 'a' }],
    });
    const { type, ...untyped } = DELTA;
    expect(reader.event({ name: type, data: JSON.stringify({ ...untyped, delta: 'b' }) })).toMatchObject([
      { texts: [{ path: '0.content.0.text', text: 'b' }] },
    ]);
  });

  it('shows no event whose type could end its line', () => {
    expect(read(begun(), { type: 'a\ndata: MARK', delta: 'a' })).toEqual([]);
  });

  it('ends after a hundred unreadable events in a row', () => {
    const reader = begun();
    const unreadable = (): void => {
      for (let count = 0; count < 99; count++) expect(reader.event({ data: '{' })).toEqual([]);
    };
    unreadable();
    read(reader, { ...DELTA, delta: 'one' });
    unreadable();
    expect(thrown(() => reader.event({ data: '7' }))).toBeInstanceOf(UpstreamStreamError);
  });

  it('judges a text that its end tells differently as a whole, and nothing where it is the same', () => {
    const reader = begun();
    read(reader, { ...DELTA, delta: 'fine' });
    const done = { ...DELTA, type: 'response.output_text.done', text: 'fine' };
    expect(judgedIn(read(reader, done))).toEqual([]);
    expect(judgedIn(read(reader, { ...done, text: 'MARK' }))).toEqual([{ path: '0.content.0.text', text: 'MARK' }]);
    const item = { type: 'response.output_item.done', output_index: 0, item: MESSAGE('other') };
    expect(judgedIn(read(reader, item))).toEqual([{ path: '0.content.0.text', text: 'other' }]);
    const last = { type: 'response.completed', response: answerOf([MESSAGE('last')]) };
    expect(judgedIn(read(reader, last))).toEqual([{ path: '0.content.0.text', text: 'last' }]);
  });

  it('judges each new part of an event that nobody knows, and joins what may belong together', () => {
    const reader = begun();
    const texts = new StreamTexts();
    for (const delta of ['how to ', 'make', ' it']) {
      const frames = read(reader, {
        type: 'response.new.delta',
        item_id: 'x_1',
        output_index: 0,
        delta,
        deep: { a: ['b'] },
      });
      expect(frames).toHaveLength(1);
      texts.add(judgedIn(frames));
    }
    expect(texts.byPath()).toContainEqual({
      path: 'response.new.delta:delta',
      text: 'how to make it',
      encoded: false,
      beside: true,
    });
    expect(JSON.stringify(texts.contents())).toContain('deep');
  });

  it('shows nothing of the account in an event that nobody knows', () => {
    const response = { ...CREATED.response, safety_identifier: 'of-the-relay', id: 'resp_up' };
    const [frame] = read(begun(), { type: 'response.paused', response });
    expect(eventsIn(frame!.text)).toMatchObject([{ response: { id: ID, safety_identifier: null } }]);
  });

  it('judges tokens that say something else than the text', () => {
    const logprobs = (token: string): JsonObject[] => [
      { token, logprob: 0, top_logprobs: [{ token: 'other', logprob: 0 }] },
    ];
    expect(judgedIn(read(begun(), { ...DELTA, delta: 'fine', logprobs: logprobs('MARK') }))).toEqual([
      { path: '0.content.0.text', text: 'fine' },
      { path: '0.content.0.logprobs.said', text: 'MARK', beside: true },
      { path: '0.content.0.logprobs.instead', text: 'other ', beside: true },
    ]);
    expect(judgedIn(read(begun(), { ...DELTA, delta: 'fine', logprobs: logprobs('fine') }))).toHaveLength(2);
  });

  it('judges each image once, and shows nothing else in its place', () => {
    const partial = {
      type: 'response.image_generation_call.partial_image',
      item_id: 'ig_of_the_upstream_00001',
      output_index: 0,
    };
    expect(read(begun(), { ...partial, partial_image_b64: 'a text' })).toEqual([]);
    const reader = begun();
    const [one, other] = ['iVBORw0KGgoAAAAN', 'iVBORw0KGgoAAAAO'];
    const drawn = { id: 'ig_1', type: 'image_generation_call', status: 'completed', result: other };
    const completed = { ...CREATED.response, status: 'completed', output: [{ ...drawn, revised_prompt: 'a cat' }] };
    const frames = [
      ...read(reader, { ...partial, partial_image_b64: one, partial_image_index: 0 }),
      ...read(reader, { type: 'response.output_item.done', output_index: 0, item: drawn }),
      ...read(reader, { type: 'response.completed', response: completed }),
    ];
    const urlOf = (base64: string): object => ({ kind: 'image', url: `data:image/png;base64,${base64}` });
    expect(frames.map(({ images }) => images)).toEqual([[urlOf(one)], [urlOf(other)], []]);
    expect(frames.map(({ text }) => text.includes(other))).toEqual([false, true, true]);
    expect(judgedIn(frames)).toEqual([{ path: '0.revised_prompt', text: 'a cat' }]);
  });

  it('knows what its images cost, and that nobody told it', () => {
    const facts = { imageCalls: 2 };
    const drawn = { type: 'image_generation_call', status: 'completed', result: 'iVBORw0KGgoAAAAN' };
    const image_gen = { input_tokens: 20, output_tokens: 300, total_tokens: 320 };
    const usage = { input_tokens: 5, output_tokens: 6, total_tokens: 11 };
    const told = (output: object[], tool_usage: object, more: object = facts): unknown => {
      const reader = new ResponsesReader({ requestId: 'req_1', model: 'm', outputs: 1, facts: { ...more } });
      wholeIn({ ...answerOf(output), usage, tool_usage }, reader);
      return reader.report.metered;
    };
    const text = { input: 5, cached: 0, cacheWrite: 0, output: 6 };
    expect(told([drawn], { image_gen })).toEqual({ ...text, imageInput: 20, imageOutput: 300 });
    expect(told([drawn], {})).toBeNull();
    expect(told([drawn], { image_gen: { ...image_gen, output_tokens: 0 } })).toBeNull();
    expect(told([{ ...drawn, status: 'failed', result: null }], {})).toEqual(text);
    expect(told([drawn], {}, {})).toEqual(text);
  });

  it('keeps an image once on the shelf', () => {
    const drawn = { id: 'ig_of_the_upstream_00001', type: 'image_generation_call', result: 'iVBORw0KGgoAAAAN' };
    const reader = readerOf();
    const whole = wholeIn(answerOf([drawn]), reader);
    expect(bodyOf(whole.shown([])).output).toMatchObject([drawn]);
    expect(whole.contents).toContainEqual({ kind: 'image', url: `data:image/png;base64,${drawn.result}` });
    const { response, output } = reader.shelved()!;
    expect(response.output).toMatchObject([{ ...drawn, result: null }]);
    expect(output).toMatchObject([{ item: drawn }]);
  });

  it('joins a surrogate pair whose halves come in two events', () => {
    const reader = begun();
    const event = (delta: string): Frame =>
      reader.event({ data: `{"type":"${DELTA.type}","output_index":0,"content_index":0,"delta":"${delta}"}` })[0]!;
    expect(
      [event('a\\ud83d'), event('\\ude00b'), event('\\ude00')].flatMap(({ texts }) => texts.map(({ text }) => text)),
    ).toEqual(['a', '\u{1F600}b', '\ufffd']);
  });

  it('joins none across what stands between the halves, and says where the second never came', () => {
    const reader = begun();
    const event = (delta: string): string =>
      reader
        .event({ data: `{"type":"${DELTA.type}","output_index":0,"content_index":0,"delta":"${delta}"}` })
        .flatMap(({ texts }) => texts.map(({ text }) => text))
        .join('');
    expect(['a\\ud83d', 'b', '\\ude00c'].map(event)).toEqual(['a', '\ufffdb', '\ufffdc']);
  });

  it('joins a surrogate pair of what a shell wrote, too', () => {
    const reader = begun();
    const head = '"type":"response.shell_call_output_content.delta","output_index":0,"command_index":0';
    const events = ['a\\ud83d', '\\ude00b'].flatMap((stdout) =>
      reader.event({ data: `{${head},"delta":{"stdout":"${stdout}"}}` }),
    );
    expect(events.flatMap(({ texts }) => texts.map(({ text }) => text))).toEqual(['a', '\u{1F600}b']);
  });

  it('shows an item under one id, whatever the upstream calls it', () => {
    const id = 'it em/1';
    const [added, delta] = [
      { type: 'response.output_item.added', output_index: 0, item: { ...MESSAGE(''), id, content: [] } },
      { ...DELTA, item_id: id, delta: 'Hi' },
    ].flatMap((event) => eventsIn(showAll(begun(), [event])));
    expect((added!.item as JsonObject).id).toMatch(/^id_[0-9a-f]{24}$/);
    expect(delta!.item_id).toBe((added!.item as JsonObject).id);
  });

  it('tells which frames wait for every verdict before them: what a client acts on', () => {
    const reader = readerOf();
    const closing = PATCH.events.filter((event) => read(reader, event).some((frame) => frame.closing));
    expect(closing.map(({ type }) => type)).toEqual([
      'response.custom_tool_call_input.done',
      'response.output_item.done',
      'response.completed',
    ]);
  });

  it('gives signs of life once something was shown, and none after its end', () => {
    const reader = readerOf();
    expect(reader.beat()).toBeNull();
    showAll(reader, SIMPLE.events.slice(0, 6));
    const [beat] = eventsIn(reader.beat()!);
    expect(beat).toMatchObject({ type: 'response.in_progress', sequence_number: 6, response: { id: ID, output: [] } });
    showAll(reader, SIMPLE.events.slice(6));
    expect(reader.beat()).toBeNull();
    const broken = begun();
    broken.ending({ kind: 'blocked' }, true, null);
    expect(broken.beat()).toBeNull();
  });

  it('numbers what is shown, held back for as long as it takes', () => {
    const many = Array.from({ length: 400 }, (_, index) => ({ ...DELTA, delta: `${index % 3} ` }));
    const opened = [
      {
        type: 'response.output_item.added',
        output_index: 0,
        item: { ...MESSAGE(''), content: [], status: 'in_progress' },
      },
      ...many,
    ];
    const reader = begun();
    const held = opened.flatMap((event) => read(reader, event)).map(({ text }) => text);
    const shown = held.map((frame) => reader.show(frame)).join('');
    expect(eventsIn(shown).map(({ sequence_number: number }) => number)).toEqual(opened.map((_, index) => index + 1));
    const [last] = eventsIn(reader.ending({ kind: 'blocked' }, true, null));
    const [item] = (last!.response as JsonObject).output as JsonObject[];
    expect(item).toMatchObject({ status: 'incomplete', content: [{ text: many.map(({ delta }) => delta).join('') }] });
  });

  it('folds what upstreams leave out, and makes no long list of a high index', () => {
    const reader = begun();
    const added = {
      type: 'response.output_item.added',
      output_index: 7,
      item: { id: 'msg_of_the_upstream_01', type: 'message' },
    };
    showAll(reader, [
      added,
      { ...DELTA, output_index: 7, delta: 'a' },
      { ...DELTA, output_index: 7, content_index: 9, delta: 'b' },
      { ...DELTA, output_index: 7, content_index: 1e9, delta: 'b' },
      { ...DELTA, output_index: 1e9, delta: 'c' },
    ]);
    const [last] = eventsIn(reader.ending({ kind: 'blocked' }, true, null));
    expect((last!.response as JsonObject).output).toEqual([
      {
        id: 'msg_of_the_upstream_01',
        type: 'message',
        status: 'incomplete',
        content: [{ type: 'output_text', text: 'a', annotations: [] }],
      },
    ]);
  });

  it('takes time in proportion to its length', () => {
    const before = cpuMs();
    const reader = begun();
    const delta = { ...DELTA, delta: ' word', logprobs: [{ token: 'x', logprob: 0 }] };
    for (let count = 0; count < 20_000; count++) {
      for (const { text } of read(reader, delta)) reader.show(text);
    }
    expect(cpuMs() - before).toBeLessThan(CPU_MS_MAX);
  });

  it("repeats the visitor's own values a few times only, however often its upstream tells the response", () => {
    const reader = readerOf({ sent: { ...SENT, instructions: 'x'.repeat(1_000) } });
    const text = showAll(reader, [
      { type: 'response.created', response: answerOf([], { status: 'in_progress' }) },
      ...Array.from({ length: 1_000 }, (_, at) => [
        { type: 'response.in_progress', response: answerOf([], { status: 'in_progress' }) },
        { type: 'response.news', response: {}, word: `w${at}` },
      ]).flat(),
      { type: 'response.completed', response: answerOf([]) },
    ]);
    expect(text.match(/"instructions"/g)).toHaveLength(9);
    expect(text).toContain('"word":"w999"');
    expect(text.match(/response\.completed"/g)).toHaveLength(1);
  });
});

describe('what was taken out of a stream', () => {
  const OUT: readonly Replacement[] = [{ find: 'secret', replace: '[out]' }];
  const added = {
    type: 'response.output_item.added',
    output_index: 0,
    item: { ...MESSAGE(''), content: [], status: 'in_progress' },
  };
  const part = {
    ...DELTA,
    type: 'response.content_part.added',
    part: { type: 'output_text', text: '', annotations: [] },
  };

  it('is gone from all events that have some of it, and from what repeats it', () => {
    const token = { token: 'secret', logprob: 0 };
    const events = [
      added,
      part,
      { ...DELTA, delta: 'a sec', logprobs: [token] },
      { ...DELTA, delta: 'ret b' },
      { ...DELTA, type: 'response.output_text.done', text: 'a secret b', logprobs: [token] },
      { type: 'response.output_item.done', output_index: 0, item: MESSAGE('a secret b') },
      { type: 'response.completed', response: answerOf([MESSAGE('a secret b')]) },
    ];
    const reader = begun();
    const frames = events.flatMap((event) => read(reader, event)).map(({ text }) => text);
    const shown = reader
      .redacted(frames, OUT)!
      .map((frame) => reader.show(frame))
      .join('');
    expect(shown).not.toContain('secret');
    const told = eventsIn(shown);
    expect(told.slice(2, 5).map(({ delta, text, logprobs }) => [delta ?? text, logprobs])).toEqual([
      ['a [out] b', []],
      ['', []],
      ['a [out] b', []],
    ]);
    expect(told.map(({ sequence_number: number }) => number)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(reader.shelved()!.output).toEqual([{ item: MESSAGE('a [out] b') }]);
    expect(reader.shelved()!.response).toMatchObject({ output: [MESSAGE('a [out] b')] });
  });

  it('stays out of later pieces, which have nothing new to judge', () => {
    const reader = begun();
    const first = [added, part, { ...DELTA, delta: 'a secret b' }].flatMap((event) => read(reader, event));
    reader.redacted(
      first.map(({ text }) => text),
      OUT,
    );
    const rest = read(reader, { ...DELTA, type: 'response.output_text.done', text: 'a secret b' });
    expect(judgedIn(rest)).toEqual([]);
    expect(
      eventsIn(
        reader
          .redacted(
            rest.map(({ text }) => text),
            [],
          )!
          .join(''),
      ),
    ).toMatchObject([{ text: 'a [out] b' }]);
  });

  it('goes out of arguments across their events, and is refused where it is no string of theirs', () => {
    const delta = { type: 'response.function_call_arguments.delta', item_id: 'fc_of_the_upstream_01', output_index: 0 };
    const whole = '{"a":"s\\u0065cret","b":1}';
    const events = [
      ...[whole.slice(0, 8), whole.slice(8)].map((text) => ({ ...delta, delta: text })),
      { ...delta, type: 'response.function_call_arguments.done', delta: undefined, arguments: whole },
    ];
    const frames = events.flatMap((event) => read(begun(), event)).map(({ text }) => text);
    const told = eventsIn(begun().redacted(frames, OUT)!.join(''));
    expect(told.map(({ delta: piece, arguments: all }) => piece ?? all)).toEqual([
      '{"a":"[out]","b":1}',
      '',
      '{"a":"[out]","b":1}',
    ]);
    expect(begun().redacted(frames, [{ find: '"b":1', replace: '' }])).toBeNull();
  });

  it('lets nothing be shown where what remains is what was to be taken out', () => {
    const frames = read(begun(), { ...DELTA, delta: 'an ababMARKMARK' }).map(({ text }) => text);
    expect(begun().redacted(frames, [{ find: 'abMARK', replace: '' }])).toBeNull();
  });

  it('is gone wherever it stood, however the stream was cut', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: STREAMS.length - 1 }),
        fc.string({ minLength: 1, maxLength: 6 }),
        fc.nat(),
        (index, other, seed) => {
          const { events } = STREAMS[index]!;
          const texts = new StreamTexts();
          const plain = readerOf();
          for (const event of events) texts.add(judgedIn(read(plain, event)));
          const all = texts.texts().join('\n');
          const find = all.slice(seed % all.length, (seed % all.length) + 3 + (seed % 5));
          const replace = other.includes(find) ? '' : other;
          const reader = readerOf();
          const frames = events.flatMap((event) => read(reader, event)).map(({ text }) => text);
          const redacted = reader.redacted(frames, [{ find, replace }]);
          if (redacted === null) return;
          const left = new StreamTexts();
          const again = readerOf();
          for (const event of eventsIn(redacted.map((frame) => reader.show(frame)).join('')))
            left.add(judgedIn(read(again, event)));
          const plainTexts = left.byPath().filter(({ encoded }) => !encoded);
          for (const { text } of plainTexts) expect(text.includes(find) && !replace.includes(find)).toBe(false);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('what a key may name later', () => {
  it("is the response as it was shown, the visitor's own input as OpenAI lists it, and whom it continues", () => {
    const reader = readerOf();
    showAll(reader, SIMPLE.events);
    const { response, ...rest } = reader.shelved()!;
    expect(response).toMatchObject({ id: ID, status: 'completed', metadata: { mine: 'yes' } });
    expect(rest).toEqual({
      id: ID,
      parent: 'resp_before',
      conversation: null,
      output: [{ item: SIMPLE.output[0] }],
      input: [
        { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hi' }], id: `msg_${ID.slice(5)}_0` },
        {
          type: 'message',
          role: 'assistant',
          content: [{ type: 'output_text', text: 'Hello', annotations: [] }],
          id: `msg_${ID.slice(5)}_1`,
        },
        { type: 'function_call_output', call_id: 'call_1', output: 'sun', id: `fco_${ID.slice(5)}_2` },
      ],
    });
  });

  it('is nothing where the visitor stores nothing, before the end, and where it ended with an error', () => {
    const stored = readerOf({ kept: { ...KEPT, store: false } });
    showAll(stored, SIMPLE.events);
    expect(stored.shelved()).toBeNull();
    const open = readerOf();
    showAll(open, SIMPLE.events.slice(0, -1));
    expect(open.shelved()).toBeNull();
    open.ending({ kind: 'error', error: new DaypassError('upstream_error', 'x'), charged: true }, true, null);
    expect(open.shelved()).toBeNull();
  });

  it('is what was shown of an answer that moderation stopped, without calls that did not end', () => {
    const reader = readerOf();
    const upToCall = PARALLEL.events.findIndex(({ type }) => type === 'response.function_call_arguments.done');
    showAll(reader, PARALLEL.events.slice(0, upToCall));
    reader.ending({ kind: 'blocked' }, true, null);
    const { response, output } = reader.shelved()!;
    expect((response.output as unknown[]).length).toBe(3);
    expect(output).toEqual([]);
    const said = readerOf();
    showAll(said, SIMPLE.events.slice(0, 6));
    said.ending({ kind: 'blocked' }, true, null);
    expect(said.shelved()!.output).toMatchObject([{ item: { status: 'incomplete', content: [{ text: 'It is' }] } }]);
  });

  it('has the items that were shown where the last event has none', () => {
    const reader = readerOf();
    const last = { type: 'response.completed', response: { ...addedUp(WITHOUT_TOKENS), output: [] } };
    showAll(reader, [...WITHOUT_TOKENS.events.slice(0, -1), last]);
    expect(reader.shelved()!.output).toHaveLength(2);
  });

  it('is told as not stored where nobody could keep it', () => {
    const reader = readerOf();
    const frames = showAll(reader, SIMPLE.events).split(/(?<=\n\n)/);
    const last = frames.at(-1)!;
    const [event] = eventsIn(reader.unshelved(last));
    const [before] = eventsIn(last);
    expect(event).toEqual({ ...before, response: { ...(before!.response as object), store: false } });
    expect(isLast(reader.unshelved(last))).toBe(true);
    const whole = wholeIn(addedUp(SIMPLE)).shown([])!.body as string;
    expect(JSON.parse(reader.unshelved(whole))).toEqual({ ...(JSON.parse(whole) as object), store: false });
    const blocked = readerOf().ending({ kind: 'blocked' }, false, null);
    expect(eventsIn(reader.unshelved(blocked)).map(({ response }) => (response as JsonObject).store)).toEqual([
      false,
      false,
      false,
    ]);
  });
});

describe('the ends of streams', () => {
  it('are known, several frames in one text, too', () => {
    const reader = readerOf();
    const shown = showAll(reader, SIMPLE.events);
    expect(isLast(shown)).toBe(true);
    expect(isLast(shown.slice(0, shown.lastIndexOf('event: ')))).toBe(false);
    expect(isLast('event: response.created\ndata: {"a":"event: error"}\n\n')).toBe(false);
    expect(isLast(streamComment('waiting'))).toBe(false);
    expect(isLast('')).toBe(false);
  });

  it('say an error in a form of their own where nothing was shown, and to Codex one that it repeats only where that helps', () => {
    const body = withHelp(new DaypassError('overloaded', 'Too much.').body(), undefined);
    // OpenAI's client for Python takes no error before a response.
    expect(eventsIn(streamError(body, {}, true))).toMatchObject([
      { type: 'response.created', sequence_number: 0, response: { status: 'failed', output: [] } },
      { type: 'error', sequence_number: 1, code: 'overloaded', message: 'Too much.', param: null },
    ]);
    const codexOf = (error: DaypassError): unknown =>
      eventsIn(streamError(withHelp(error.body(), undefined), { codex: true }, error.retry))[1];
    expect(codexOf(new DaypassError('overloaded', 'Too much.'))).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', error: { code: 'server_error', message: 'Too much.' } },
    });
    // The second was charged, whatever its code says in general.
    const charged = new DaypassError('upstream_error', 'It broke.', { retry: false });
    for (const error of [new DaypassError('insufficient_quota', 'Spent.'), charged])
      expect(codexOf(error)).toMatchObject({ response: { error: { code: 'invalid_prompt' } } });
    expect(isLast(streamError(body, { codex: true }, true))).toBe(true);
    expect(isLast(streamError(body, {}, true))).toBe(true);
  });

  it.each([
    ['may be sent again', 'overloaded', false, 'server_error'],
    ['was charged', 'overloaded', true, 'invalid_prompt'],
    ['cannot succeed', 'insufficient_quota', false, 'invalid_prompt'],
  ] as const)('after a frame say to Codex whether to repeat a call that %s', (_, code, charged, told) => {
    const reader = begun({ codex: true });
    const text = reader.ending({ kind: 'error', error: new DaypassError(code, 'No.'), charged }, true, null);
    expect(eventsIn(text)).toMatchObject([
      { type: 'response.failed', response: { status: 'failed', error: { code: told, message: 'No.' } } },
    ]);
  });

  it('name the model and the time of a response of which no upstream told anything', () => {
    const told = eventsIn(readerOf().ending({ kind: 'blocked' }, false, { input: 2, output: 0 }));
    expect(told.map(({ type }) => type)).toEqual(['response.created', 'response.in_progress', 'response.incomplete']);
    expect(told[2]).toMatchObject({
      sequence_number: 2,
      response: {
        id: ID,
        model: 'gpt-5.4-mini',
        created_at: Math.floor(0x019abcdef012 / 1_000),
        usage: { input_tokens: 2 },
      },
    });
  });

  it('have nothing that nobody judged of a first event that was not shown', () => {
    const reader = readerOf();
    read(reader, { ...CREATED, response: { ...CREATED.response, odd: 'MARK', model: 'MARK of words' } });
    expect(reader.ending({ kind: 'blocked' }, false, null)).not.toContain('MARK');
  });
});
