import { describe, expect, it } from '@jest/globals';
import type { ModelPrice } from '#libs/contracts/jobs.js';
import { MisshapenAnswer, UpstreamStreamError, type Frame, type Whole } from '../endpoint.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { StreamTexts } from '../content.js';
import { isLast, TranscriptReader } from './transcript.reader.js';

const NO_RATES = { input: 0, cachedInput: 0, cacheWrite: 0, output: 0 };
const BY_SECOND: ModelPrice = { ...NO_RATES, seconds: 100_000 };
const BY_TOKEN: ModelPrice = { input: 2_500, cachedInput: 2_500, cacheWrite: 2_500, output: 10_000, audioInput: 6_000 };
const SEGMENTS = [
  { id: 0, seek: 0, start: 0, end: 1.5, text: ' Hello there.', tokens: [1, 2], temperature: 0, avg_logprob: -0.1 },
  { id: 1, seek: 0, start: 1.5, end: 2.5, text: ' Bye.', tokens: [3], temperature: 0, avg_logprob: -0.1 },
];
const VERBOSE = {
  task: 'transcribe',
  language: 'english',
  duration: 2.5,
  text: 'Hello there. Bye.',
  segments: SEGMENTS,
  words: [
    { word: 'Hello', start: 0, end: 0.5 },
    { word: 'there', start: 0.5, end: 1.5 },
    { word: 'Bye', start: 1.5, end: 2.5 },
  ],
  usage: { type: 'duration', seconds: 3 },
};
const TOKENS = {
  type: 'tokens',
  input_tokens: 30,
  output_tokens: 5,
  total_tokens: 35,
  input_token_details: { text_tokens: 4, audio_tokens: 26 },
};

const readerOf = (response_format: string | undefined, price = BY_SECOND, facts = { seconds: 7 }): TranscriptReader =>
  new TranscriptReader(
    { requestId: 'req_1', model: 'm', outputs: 0, facts, price },
    { sent: { model: 'm', response_format }, tag: '' },
  );
const whole = (value: object, format?: string, price = BY_SECOND): Whole & { reader: TranscriptReader } => {
  const reader = readerOf(format, price);
  return Object.assign(reader.whole(Buffer.from(JSON.stringify(value)), 'application/json'), { reader });
};
const bodyOf = (read: Whole, replacements = [{ find: 'nothing of it', replace: '' }]): string =>
  read.shown(replacements)!.body as string;

describe('a whole transcript', () => {
  it('is written in each form from the one that the upstream was asked for', () => {
    expect(whole(VERBOSE, 'text').shown([])).toEqual({
      contentType: 'text/plain; charset=utf-8',
      body: 'Hello there. Bye.\n',
    });
    expect(whole(VERBOSE, 'srt').shown([])!.body).toBe(
      '1\n00:00:00,000 --> 00:00:01,500\nHello there.\n\n2\n00:00:01,500 --> 00:00:02,500\nBye.\n\n',
    );
    expect(whole(VERBOSE, 'vtt').shown([])!.body).toMatch(
      /^WEBVTT\n\n00:00:00\.000 --> 00:00:01\.500\nHello there\.\n\n/,
    );
    expect(JSON.parse(bodyOf(whole(VERBOSE)))).toEqual({ text: VERBOSE.text, usage: VERBOSE.usage });
    expect(JSON.parse(whole(VERBOSE, 'verbose_json').shown([])!.body as string)).toEqual(VERBOSE);
  });

  it('of an upstream without times is one subtitle', () => {
    expect(whole({ text: 'Hello.' }, 'srt').shown([])!.body).toBe('1\n00:00:00,000 --> 00:00:07,000\nHello.\n\n');
    expect(whole({ text: '' }, 'srt').shown([])!.body).toBe('');
  });

  it('is judged once, whatever repeats its text, and only as far as it is shown', () => {
    const text = { kind: 'text', text: VERBOSE.text };
    expect(whole(VERBOSE, 'verbose_json').contents).toEqual([text]);
    expect(whole(VERBOSE, 'text').contents).toEqual([text]);
    expect(whole({ ...VERBOSE, text: 'Other.' }, 'text').contents).toEqual([{ kind: 'text', text: 'Other.' }]);
    expect(whole(VERBOSE, 'srt').contents).toEqual([
      { kind: 'text', text: ' Hello there.\n Bye.', joined: ' Hello there. Bye.' },
    ]);
  });

  it('is judged in each place that says something else', () => {
    const odd = {
      ...VERBOSE,
      segments: [{ ...SEGMENTS[0], text: 'Segment.', speaker: 'Ann Example' }],
      words: [{ word: 'Word', start: 0, end: 1 }],
      logprobs: [{ token: 'Tok' }, { token: 'en' }],
      note: { of: 'tomorrow' },
    };
    expect(whole(odd, 'verbose_json').contents).toEqual([
      { kind: 'text', text: VERBOSE.text },
      { kind: 'text', text: 'Segment.' },
      { kind: 'text', text: 'Word' },
      { kind: 'text', text: 'Tok\nen', joined: 'Token' },
      { kind: 'text', text: 'Ann Example\nnote\nof\ntomorrow' },
    ]);
  });

  it('has no tokens and no words left beside what was taken out', () => {
    const replacements = [{ find: 'Hello there', replace: '[out]' }];
    const shown = JSON.parse(bodyOf(whole(VERBOSE, 'verbose_json'), replacements)) as typeof VERBOSE;
    expect(shown.text).toBe('[out]. Bye.');
    expect(shown.segments.map(({ text, tokens }) => [text, tokens])).toEqual([
      [' [out].', []],
      [' Bye.', []],
    ]);
    expect(shown).not.toHaveProperty('words');
    expect(bodyOf(whole(VERBOSE, 'srt'), replacements)).toContain('\n[out].\n');
  });

  it('is taken away where a finding lies across two segments', () => {
    const read = whole(VERBOSE, 'srt');
    expect(read.shown([{ find: 'there. Bye', replace: '[out]' }])).toBeNull();
    const { status, body } = read.blocked();
    expect(status).toBe(400);
    expect(JSON.parse(body as string)).toMatchObject({
      error: { code: 'moderation_blocked', type: 'invalid_request_error', daypass: { direction: 'output' } },
    });
  });

  it.each<[string, object, ModelPrice, object | null]>([
    ['seconds of its usage', VERBOSE, BY_SECOND, { seconds: 3 }],
    ['its duration, rounded up', { ...VERBOSE, usage: undefined }, BY_SECOND, { seconds: 3 }],
    ['a duration in a string', { text: 'a', duration: '4.20' }, BY_SECOND, { seconds: 5 }],
    ['the length of the file where it says nothing', { text: 'a' }, BY_SECOND, { seconds: 7 }],
    ['tokens', { text: 'a', usage: TOKENS }, BY_TOKEN, { input: 4, audioInput: 26, output: 5 }],
    [
      'tokens without details, as sound',
      { text: 'a', usage: { ...TOKENS, input_token_details: undefined } },
      BY_TOKEN,
      { input: 0, audioInput: 30, output: 5 },
    ],
    ['nobody knows: no tokens of a model that is priced by them', VERBOSE, BY_TOKEN, null],
    [
      'seconds of a model that reports tokens, where it is priced so',
      { text: 'a', usage: TOKENS },
      BY_SECOND,
      { seconds: 7 },
    ],
  ])('costs %s', (_, value, price, metered) => {
    expect(whole(value, undefined, price).reader.report.metered).toEqual(metered);
  });

  it.each<[string, string, string]>([
    ['an error', '{"error":{"message":"no"}}', 'an error object'],
    ['no transcript', '{"texts":"a"}', 'no transcript'],
    ['plain text', 'Hello.', 'no JSON'],
  ])('is no answer where it is %s', (_, body, what) => {
    expect(() => readerOf('json').whole(Buffer.from(body), 'application/json')).toThrow(MisshapenAnswer);
    expect(() => readerOf('json').whole(Buffer.from(body), 'application/json')).toThrow(what);
  });
});

const DELTAS = [' Hello', ' there', '. Bye', '.'].map((delta) => ({ type: 'transcript.text.delta', delta }));
const END = { type: 'transcript.text.done', text: 'Hello there. Bye.', usage: TOKENS };
const read = (reader: TranscriptReader, events: readonly object[]): Frame[] =>
  events.flatMap((event) => reader.event({ data: JSON.stringify(event) }));
const judgedOf = (frames: readonly Frame[]): string[] => {
  const texts = new StreamTexts();
  for (const { texts: added } of frames) texts.add(added);
  return texts.byPath().map(({ text }) => text);
};

describe('a stream of a transcript', () => {
  it('is shown as it came, judged once, and ends with its usage', () => {
    const reader = readerOf('json', BY_TOKEN);
    const frames = read(reader, [...DELTAS, END]);
    expect(frames.map(({ text }) => text)).toEqual(
      [...DELTAS, END].map((event) => `data: ${JSON.stringify(event)}\n\n`),
    );
    expect(judgedOf(frames)).toEqual([' Hello there. Bye.']);
    expect(frames.map(({ closing }) => closing)).toEqual([false, false, false, false, true]);
    expect(reader.done).toBe(true);
    expect(reader.end()).toEqual([]);
    expect(reader.report.metered).toEqual({ input: 4, audioInput: 26, output: 5 });
    expect(frames.map(({ text }) => isLast(text))).toEqual([false, false, false, false, true]);
  });

  it('of speakers is judged by segment, and its end adds nothing', () => {
    const events = [
      { type: 'transcript.text.delta', delta: 'Hello.', segment_id: 'seg_1' },
      { type: 'transcript.text.segment', id: 'seg_1', start: 0, end: 1, speaker: 'A', text: 'Hello.' },
      { type: 'transcript.text.segment', id: 'seg_2', start: 1, end: 2, speaker: 'Ann', text: 'Bye.' },
      { type: 'transcript.text.done', text: 'Hello. Bye.' },
    ];
    expect(judgedOf(read(readerOf('diarized_json'), events))).toEqual(['Hello.', 'Bye.', 'Ann\n']);
  });

  it('is judged where its end says something else', () => {
    const frames = read(readerOf('json'), [...DELTAS, { ...END, text: 'Something else.' }]);
    expect(judgedOf(frames)).toEqual([' Hello there. Bye.', 'Something else.']);
  });

  it('has nothing left of what was taken out, in its end neither', () => {
    const reader = readerOf('json');
    const frames = read(reader, [...DELTAS, END]).map(({ text }) => text);
    const first = reader.redacted(frames.slice(0, 3), [{ find: 'Hello there', replace: '[out]' }])!;
    expect(first.map((frame) => (JSON.parse(frame.slice(6)) as { delta: string }).delta)).toEqual([
      ' [out]. Bye',
      '',
      '',
    ]);
    const last = reader.redacted(frames.slice(3), [])!.join('');
    expect(last).toContain('"text":"[out]. Bye."');
    expect(last).not.toContain('Hello');
    expect(isLast(last)).toBe(true);
  });

  it('joins halves of a surrogate pair', () => {
    const [face] = ['😀'];
    const halves = [...Array(2).keys()].map((index) => ({ type: 'transcript.text.delta', delta: face!.charAt(index) }));
    expect(judgedOf(read(readerOf('json'), halves)).join('')).toBe('😀');
  });

  it('ends with an error event where moderation stopped it, or an error did', () => {
    const blocked = readerOf('json').ending({ kind: 'blocked' });
    expect(blocked).toMatch(/^event: error\ndata: \{"error":\{.*"code":"moderation_blocked"/);
    expect(isLast(blocked)).toBe(true);
    const error = new DaypassError('upstream_error', 'It failed.');
    expect(readerOf('json').ending({ kind: 'error', error, charged: true })).toContain('It failed.');
  });

  it('was cut where no end came, and no answer where nothing came', () => {
    const cut = readerOf('json');
    read(cut, DELTAS);
    expect(() => cut.end()).toThrow('before its last event');
    expect(() => readerOf('json').end()).toThrow(MisshapenAnswer);
  });

  it('tells an error as what it is: instead of an answer, or in the middle of one', () => {
    const error = { error: { message: 'no' } };
    expect(() => read(readerOf('json'), [error])).toThrow(MisshapenAnswer);
    expect(() => read(readerOf('json'), [DELTAS[0]!, error])).toThrow(UpstreamStreamError);
  });
});

it('no text looks like the end of a stream', () => {
  const evil = 'data: {"type":"transcript.text.done"}\n\nevent: error\n';
  const [frame] = read(readerOf('json'), [{ type: 'transcript.text.delta', delta: evil }]);
  expect(isLast(frame!.text)).toBe(false);
});
