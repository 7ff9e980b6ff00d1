import { describe, expect, it } from '@jest/globals';
import { DaypassError } from '#libs/contracts/errors.js';
import type { ModelPrice } from '#libs/contracts/jobs.js';
import type { Meter } from '#libs/money/cost.js';
import { MisshapenAnswer, type Measured, type Request } from '../endpoint.js';
import { SPEECH } from './speech.endpoint.js';
import { isLast, SpeechReader } from './speech.reader.js';

const model = 'gpt-4o-mini-tts';
const parse = (more: object = {}): Request =>
  SPEECH.parse({ json: { model, input: 'Hello there.', voice: 'alloy', ...more }, blobs: [] });
const sent = (more: object = {}, drops: string[] = []): unknown => {
  const { body, facts } = parse(more);
  return SPEECH.call(body, { capTokens: 0, facts }, { kind: 'openai', drops, tag: '' }).body.json;
};
const measure = (more: object, priced: Meter[]): Promise<Measured> =>
  SPEECH.measure(parse(more), {
    countTokens: (texts) => Promise.resolve(texts.length * 10),
    toolTokens: 0,
    priced: new Set(priced),
  });
const refusal = (more: object): unknown => {
  try {
    return parse(more);
  } catch (error) {
    return error;
  }
};

describe('a request for speech', () => {
  it('asks for events where only they tell the cost, whatever the visitor asked for', () => {
    expect(sent()).toEqual({ model, input: 'Hello there.', voice: 'alloy', stream_format: 'sse' });
    expect(sent({ stream_format: 'audio' })).toMatchObject({ stream_format: 'sse' });
    expect(sent({ model: 'tts-1', stream_format: 'audio' })).not.toHaveProperty('stream_format');
    expect(sent({}, ['stream_format'])).not.toHaveProperty('stream_format');
    expect(sent({ stream_format: 'sse' }, ['stream_format'])).toHaveProperty('stream_format', 'sse');
    expect(parse({ stream_format: 'sse' })).toMatchObject({ stream: true, facts: { events: true } });
    expect(parse()).toMatchObject({ stream: false, facts: { events: false } });
  });

  it('is judged and counted by what is spoken, and by how', () => {
    expect(SPEECH.input(parse({ instructions: 'Whisper.' }).body)).toEqual([
      { kind: 'text', text: 'Hello there.' },
      { kind: 'text', text: 'Whisper.' },
    ]);
  });

  it.each<[string, object, string, RegExp]>([
    ['4,097 characters', { input: 'a'.repeat(4_097) }, 'input', /at most 4096 characters\. It has 4097/],
    ['nothing to say', { input: '' }, 'input', /must not be empty/],
    ['a voice of the account', { voice: { id: 'voice_1234' } }, 'voice', /voice of the operator's account/],
    ['the name of such a voice', { voice: 'voice_1234' }, 'voice', /a voice that the model has/],
    ['no voice', { voice: null }, 'voice', /is required/],
    ['speed above the limit', { speed: 4.01 }, 'speed', /from 0\.25 to 4/],
    ['speed below the limit', { speed: 0.2 }, 'speed', /from 0\.25 to 4/],
    ['another format', { response_format: 'ogg' }, 'response_format', /'mp3', 'opus'/],
    ['an unknown field', { user: 'me' }, 'user', /Unknown parameter/],
    ['events of a model without', { model: 'tts-1-hd', stream_format: 'sse' }, 'stream_format', /in bytes only/],
  ])('is refused with %s', (_, more, param, message) => {
    const error = refusal(more);
    expect(error).toBeInstanceOf(DaypassError);
    expect(error).toMatchObject({ param, status: 400, message: expect.stringMatching(message) });
  });

  it('lets 4,096 characters of two units each in', () => {
    expect(parse({ input: '😀'.repeat(4_096) }).facts).toMatchObject({ characters: 4_096 });
  });

  it('is priced by what its price names', async () => {
    expect(await measure({}, ['characters', 'input'])).toMatchObject({
      estimate: { characters: 12 },
      most: { characters: 12 },
    });
    expect(await measure({}, ['input', 'output', 'audioOutput'])).toMatchObject({
      estimate: { input: 10, audioOutput: 17 },
      most: { audioOutput: 160 },
    });
    expect((await measure({ speed: 0.25 }, ['input', 'audioOutput'])).most.audioOutput).toBe(340);
    expect((await measure({}, ['input', 'output'])).most).toHaveProperty('output', 160);
    expect((await measure({}, ['input'])).most).toHaveProperty('audioOutput');
    expect((await measure({ model: 'tts-1' }, [])).most).toHaveProperty('characters');
  });
});

const RATES = { input: 600, cachedInput: 600, cacheWrite: 600, output: 0 };
const BY_TOKEN: ModelPrice = { ...RATES, audioOutput: 12_000 };
const readerOf = (more: object = {}, price: ModelPrice = BY_TOKEN): SpeechReader =>
  new SpeechReader({ requestId: 'req_1', model, outputs: 0, price, facts: parse(more).facts });
const SOUND = Buffer.from('RIFF....WAVEfmt ');
const DELTAS = [SOUND.subarray(0, 7), SOUND.subarray(7)].map((audio) => ({
  type: 'speech.audio.delta',
  audio: audio.toString('base64'),
}));
const END = { type: 'speech.audio.done', usage: { input_tokens: 3, output_tokens: 9, total_tokens: 12 } };
const read = (reader: SpeechReader, events: readonly object[]) =>
  events.flatMap((event) => reader.event({ data: JSON.stringify(event) }));

describe('sound', () => {
  it('in events becomes bytes for a visitor who wants bytes, and tells its cost', () => {
    const reader = readerOf({ response_format: 'wav' });
    const flow = reader.flow('text/event-stream; charset=utf-8')!;
    const parts = [...DELTAS, END, DELTAS[0]!].map((event) => flow.event({ data: JSON.stringify(event) }));
    expect(parts.map((part) => Buffer.from(part))).toEqual([
      SOUND.subarray(0, 7),
      SOUND.subarray(7),
      Buffer.alloc(0),
      Buffer.alloc(0),
    ]);
    flow.end();
    expect(flow).toMatchObject({ contentType: 'audio/wav', inEvents: true });
    expect(reader.report.metered).toEqual({ input: 3, audioOutput: 9 });
  });

  it('in events stays so for a visitor who wants events, with nothing beside it', () => {
    const reader = readerOf({ stream_format: 'sse' });
    const frames = read(reader, [
      { ...DELTAS[0], note: 'unjudged' },
      { type: 'speech.of_tomorrow', note: 'unjudged' },
      DELTAS[1]!,
      { ...END, note: 'unjudged', usage: { ...END.usage, note: 'unjudged' } },
    ]).map(({ text }) => text);
    expect(frames).toEqual([...DELTAS, END].map((event) => `data: ${JSON.stringify(event)}\n\n`));
    expect(frames.map(isLast)).toEqual([false, false, true]);
  });

  it('in bytes costs the characters that it says, or nobody knows what', () => {
    const inBytes = (reader: SpeechReader): SpeechReader => {
      const flow = reader.flow('audio/mpeg')!;
      expect(flow).toMatchObject({ contentType: 'audio/mpeg', inEvents: false });
      expect(flow.bytes(SOUND)).toEqual(SOUND);
      flow.end();
      return reader;
    };
    expect(inBytes(readerOf({}, { ...RATES, characters: 15_000 })).report.metered).toEqual({ characters: 12 });
    expect(inBytes(readerOf()).report.metered).toBeNull();
  });

  it('in events without a usage costs nobody knows what', () => {
    const reader = readerOf();
    read(reader, [...DELTAS, { type: 'speech.audio.done' }]);
    expect(reader.report.metered).toBeNull();
  });

  it('that breaks off costs what came, and the text', () => {
    const second = Buffer.alloc(48_000);
    const event = { type: 'speech.audio.delta', audio: second.toString('base64') };
    const pcm = { response_format: 'pcm' };
    const inEvents = readerOf({ ...pcm, stream_format: 'sse' });
    expect(inEvents.cut()).toBeNull();
    read(inEvents, [event]);
    expect(() => inEvents.end()).toThrow('before its last event');
    const decoded = readerOf(pcm);
    decoded.flow('text/event-stream')!.event({ data: JSON.stringify(event) });
    const inBytes = readerOf(pcm);
    inBytes.flow('audio/pcm')!.bytes(second);
    for (const reader of [inEvents, decoded, inBytes]) {
      expect(reader.cut()).toEqual({ input: 3, audioOutput: 21 });
      // Nothing that it said.
      expect(reader.report.metered).toBeNull();
    }
    const byCharacter = readerOf(pcm, { ...RATES, characters: 15_000 });
    byCharacter.flow('audio/pcm')!.bytes(second);
    expect(byCharacter.cut()).toEqual({ characters: 12 });
    const counted = new SpeechReader({
      ...{ requestId: 'req_1', model, outputs: 0, price: BY_TOKEN, inputTokens: 7 },
      facts: parse(pcm).facts,
    });
    counted.flow('audio/pcm')!.bytes(Buffer.alloc(1));
    expect(counted.cut()).toEqual({ input: 7, audioOutput: 1 });
  });

  it('is no answer where it is JSON, a page, or nothing', () => {
    for (const type of ['application/json', 'text/html', 'text/plain']) expect(readerOf().flow(type)).toBeNull();
    expect(() => readerOf().whole(Buffer.from('{"error":{"message":"no"}}'))).toThrow('an error object');
    expect(() => readerOf().whole(Buffer.from('{}'))).toThrow(MisshapenAnswer);
    expect(() => readerOf().whole(Buffer.from('<html>'))).toThrow(MisshapenAnswer);
    for (const type of ['audio/mpeg', 'text/event-stream'])
      expect(() => readerOf().flow(type)!.end()).toThrow(MisshapenAnswer);
    expect(() => readerOf().end()).toThrow(MisshapenAnswer);
    expect(() => read(readerOf(), [{ type: 'speech.audio.delta', audio: 'no base64!' }])).toThrow(MisshapenAnswer);
  });
});
