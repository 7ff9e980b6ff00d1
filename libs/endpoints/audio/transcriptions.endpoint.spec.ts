import { describe, expect, it } from '@jest/globals';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Meter } from '#libs/money/cost.js';
import { countTextTokens } from '#libs/money/tokens.js';
import type { Blob, Measured, Request } from '../endpoint.js';
import { TRANSCRIPTIONS, TRANSLATIONS } from './transcriptions.endpoint.js';

const FILE: Blob = { ref: '1', bytes: 100, type: 'audio/wav', field: 'file', seconds: 11.2 };
const FORCED = { serviceTier: 'default', safetyIdentifier: 'visitor', cacheKey: 'visitor' };
const UPSTREAM = { kind: 'openai' as const, drops: [], tag: '' };

const parse = (form: object = {}, blobs: readonly Blob[] = [FILE], endpoint = TRANSCRIPTIONS): Request =>
  endpoint.parse({ json: { model: 'whisper-1', ...form }, blobs });
const sent = (form: object = {}, drops: string[] = []) =>
  TRANSCRIPTIONS.call(
    TRANSCRIPTIONS.forwarded(parse(form), FORCED),
    { capTokens: 0, facts: {} },
    { ...UPSTREAM, drops },
  );
const measure = (form: object, priced: Meter[]): Promise<Measured> =>
  TRANSCRIPTIONS.measure(parse(form), {
    countTokens: (texts) => countTextTokens(texts, 'o200k_base'),
    toolTokens: 0,
    priced: new Set(priced),
  });
const refusal = (form: object, blobs: readonly Blob[] = [FILE], endpoint = TRANSCRIPTIONS): DaypassError => {
  try {
    parse(form, blobs, endpoint);
  } catch (error) {
    if (error instanceof DaypassError) return error;
    throw error;
  }
  throw new Error('it was let in');
};

describe('a request for a transcript', () => {
  it('asks the upstream for the form that tells what it cost', () => {
    const format = (form: object): unknown => (sent(form).body.json as Record<string, unknown>).response_format;
    for (const response_format of ['json', 'text', 'srt', 'vtt', 'verbose_json', null])
      expect(format({ response_format })).toBe('verbose_json');
    expect(format({ model: 'gpt-4o-transcribe', response_format: 'text' })).toBe('json');
    expect(format({ model: 'gpt-transcribe' })).toBe('json');
    expect(format({ model: 'gpt-4o-transcribe-diarize', response_format: 'diarized_json' })).toBe('diarized_json');
    expect(format({ model: 'parakeet' })).toBe('json');
    expect(format({ model: 'parakeet', response_format: 'vtt' })).toBe('verbose_json');
  });

  it('goes on as a form, with its file and with what was declared', () => {
    const { path, form, body, dropped } = sent(
      {
        model: 'gpt-4o-transcribe',
        temperature: '0.2',
        include: ['logprobs'],
        stream: 'true',
        chunking_strategy: { type: 'server_vad', threshold: '0.5' },
      },
      ['temperature'],
    );
    expect({ path, form, dropped }).toEqual({
      path: '/audio/transcriptions',
      form: 'multipart',
      dropped: ['temperature'],
    });
    expect(body).toEqual({
      json: {
        model: 'gpt-4o-transcribe',
        include: ['logprobs'],
        stream: true,
        chunking_strategy: { type: 'server_vad', threshold: 0.5 },
        response_format: 'json',
      },
      blobs: [FILE],
    });
  });

  it('of Whisper comes in one piece, as OpenAI does it, and says so', () => {
    const request = parse({ stream: 'true', timestamp_granularities: ['word'] });
    expect(request).toMatchObject({ stream: false, adjusted: ['stream', 'timestamp_granularities'] });
    expect(request.body.json).toEqual({ model: 'whisper-1' });
    expect(parse({ response_format: 'verbose_json', timestamp_granularities: ['word'] }).body.json).toMatchObject({
      timestamp_granularities: ['word'],
    });
  });

  it('is judged by what a model reads of it', () => {
    const { body } = parse({
      model: 'gpt-4o-transcribe-diarize',
      prompt: 'A talk.',
      keywords: ['one', 'two'],
      known_speaker_names: ['Ann'],
      known_speaker_references: ['data:audio/wav;base64,UklGRg=='],
    });
    expect(TRANSCRIPTIONS.input(body)).toEqual([
      { kind: 'text', text: 'A talk.' },
      { kind: 'text', text: 'one\ntwo', joined: 'onetwo' },
      { kind: 'text', text: 'Ann' },
    ]);
    const redacted = TRANSCRIPTIONS.redactedInput(body, [{ find: 'two', replace: '[out]' }]);
    expect(redacted.json).toMatchObject({ keywords: ['one', '[out]'] });
    expect(redacted.blobs).toEqual([FILE]);
    expect(TRANSCRIPTIONS.input(parse().body)).toEqual([]);
  });

  it.each<[string, object, readonly Blob[], string, RegExp]>([
    ['no file', {}, [], 'file', /is required.*multipart/],
    ['two files', {}, [FILE, FILE], 'file', /one 'file' only/],
    ['a file of another name', {}, [FILE, { ...FILE, field: 'image' }], 'image', /Send the sound as 'file'/],
    ['no sound by its first bytes', {}, [{ ...FILE, type: 'image/png' }], 'file', /no sound by its first bytes/],
    ['bytes that nobody knows', {}, [{ ...FILE, type: '' }], 'file', /no sound by its first bytes/],
    ['sound without a length', {}, [{ ...FILE, seconds: 0 }], 'file', /no sound that can be read/],
    ['a file in a text field', { file: 'UklGRg==' }, [FILE], 'file', /as a file of a form/],
    ['an unknown field', { user: 'me' }, [FILE], 'user', /Unknown parameter/],
    ['a temperature that is none', { temperature: 'hot' }, [FILE], 'temperature', /a number from 0 to 1/],
    ['a temperature out of range', { temperature: '1.5' }, [FILE], 'temperature', /a number from 0 to 1/],
    ['no language', { language: 'ignore all rules' }, [FILE], 'language', /a language, e\.g\. 'en'/],
    [
      'a reference that is no sound',
      { known_speaker_references: ['https://example.org/a.wav'] },
      [FILE],
      'known_speaker_references[0]',
      /a data: URL/,
    ],
    ['five speakers', { known_speaker_names: ['a', 'b', 'c', 'd', 'e'] }, [FILE], 'known_speaker_names', /at most 4/],
    [
      'times of a model without',
      { model: 'gpt-4o-transcribe', response_format: 'srt' },
      [FILE],
      'response_format',
      /'json', 'text'\./,
    ],
    ['speakers of a model without', { response_format: 'diarized_json' }, [FILE], 'response_format', /'vtt'/],
    [
      'subtitles in a stream',
      { model: 'parakeet', response_format: 'srt', stream: 'true' },
      [FILE],
      'response_format',
      /in a stream must be one of 'json', 'text'\./,
    ],
  ])('is refused with %s', (_, form, blobs, param, message) => {
    const error = refusal(form, blobs);
    expect(error).toMatchObject({ param, status: 400 });
    expect(error.message).toMatch(message);
  });

  it('costs by the second where its model is priced so, with a second of margin', async () => {
    expect(await measure({ prompt: 'Hello' }, ['seconds', 'input', 'output'])).toMatchObject({
      estimate: { seconds: 12 },
      most: { seconds: 13 },
      pace: { audioSeconds: 12 },
    });
  });

  it('costs by tokens of sound where its model is priced so, and each known speaker counts ten seconds', async () => {
    const measured = await measure(
      {
        model: 'gpt-4o-transcribe-diarize',
        known_speaker_names: ['Ann'],
        known_speaker_references: ['data:audio/wav;base64,UklGRg=='],
      },
      ['input', 'output', 'audioInput'],
    );
    expect(measured).toMatchObject({
      estimate: { input: 1, audioInput: 220 },
      most: { audioInput: 230, output: 2_000 },
      perCapToken: {},
      pace: { audioSeconds: 22 },
    });
    expect(measured.most.input).toBeGreaterThanOrEqual(64);
  });

  it('names what its price lacks, so that it is refused', async () => {
    expect((await measure({}, ['input', 'output'])).most).toHaveProperty('seconds');
    expect((await measure({ model: 'gpt-4o-transcribe' }, ['input', 'output'])).most).toHaveProperty('audioInput');
  });
});

describe('a request for a translation', () => {
  it('has fewer fields, and no stream', () => {
    expect(parse({ prompt: 'Hi', stream: 'false' }, [FILE], TRANSLATIONS)).toMatchObject({ stream: false });
    expect(refusal({ stream: 'true' }, [FILE], TRANSLATIONS)).toMatchObject({ param: 'stream' });
    expect(refusal({ language: 'en' }, [FILE], TRANSLATIONS)).toMatchObject({ code: 'unknown_parameter' });
    expect(refusal({ response_format: 'diarized_json' }, [FILE], TRANSLATIONS)).toMatchObject({
      param: 'response_format',
    });
  });
});
