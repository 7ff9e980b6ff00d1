import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import OpenAI, { APIError, BadRequestError, toFile } from 'openai';
import type { TranscriptionStreamEvent } from 'openai/resources/audio/transcriptions';
import { FLAGGED_PHRASE } from '#libs/rehearsal/rehearsal.moderation.js';
import { m4a } from '#libs/endpoints/files/m4a.fixture.js';
import { wav } from '#libs/rehearsal/wav.js';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { booksAtRest, errorOf } from './at-rest.js';

const WHISPER = 'whisper-1';
const BY_TOKEN = 'gpt-4o-transcribe';
const BY_SPEAKER = 'gpt-4o-transcribe-diarize';
const SPEAKS = 'gpt-4o-mini-tts';
const models = [WHISPER, BY_TOKEN, BY_SPEAKER, SPEAKS, 'gpt-transcribe', 'gpt-5.4-mini'];
const TEXT = 'The quick brown fox jumps over the lazy dog. It is a rehearsal: no model has heard you.';
/** $0.36 an hour. */
const SECOND_NANO = 100_000n;
const SECONDS = 2.5;
const BILLED_SECONDS = 3n;
const FORMATS = ['json', 'text', 'srt', 'vtt', 'verbose_json'] as const;

describe('sound', () => {
  let daypass: SharedDaypass;
  let key: TestKey;
  let openai: OpenAI;
  /** The rehearsal without Daypass. */
  let upstream: OpenAI;

  beforeAll(async () => {
    daypass = await shareDaypass();
    key = await daypass.createKey({ campaign: { models } });
    openai = clientOf(key);
    upstream = new OpenAI({ apiKey: 'sk-none', baseURL: daypass.rehearsal.url, maxRetries: 0 });
  });
  afterAll(() => daypass?.stop());
  beforeEach(() => daypass.rehearsal.reset());

  const clientOf = ({ key: apiKey }: TestKey): OpenAI =>
    new OpenAI({ apiKey, baseURL: daypass.baseUrl, maxRetries: 0 });
  const sound = (seconds = SECONDS, name = 'speech.wav') => toFile(wav(seconds), name);
  const keyWith = (moderation: object): Promise<TestKey> => daypass.createKey({ campaign: { models, moderation } });
  const paidFor = async (headers: Headers): Promise<bigint | undefined> =>
    (await booksAtRest(daypass)).find(({ request_id: id }) => id === headers.get('x-request-id'))?.paid;
  const sentFields = () => daypass.rehearsal.heardCalls().at(-1)!.form.fields;
  const postForm = (fields: Readonly<Record<string, string | Blob>>, path = 'transcriptions'): Promise<Response> => {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields))
      if (typeof value === 'string') form.append(name, value);
      else form.append(name, value, 'speech.wav');
    return fetch(`${daypass.baseUrl}/audio/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key.key}` },
      body: form,
    });
  };
  const wavBlob = (seconds = SECONDS): Blob => new Blob([new Uint8Array(wav(seconds))]);

  describe('that is transcribed', () => {
    it.each(FORMATS)('by Whisper comes as %s, as the upstream itself would write it', async (response_format) => {
      const of = { model: WHISPER, response_format, language: 'en', prompt: 'A talk.' } as const;
      const asked = await openai.audio.transcriptions.create({ ...of, file: await sound() }).withResponse();
      expect(sentFields()).toMatchObject({ response_format: ['verbose_json'], language: ['en'], prompt: ['A talk.'] });
      expect(asked.data).toEqual(await upstream.audio.transcriptions.create({ ...of, file: await sound() }));
      expect(Number(asked.response.headers.get('x-daypass-cost-usd'))).toBeCloseTo(0.0003, 9);
      expect(asked.response.headers.get('x-daypass-moderation')).toBe('input=pass; output=pass');
    });

    it('costs what the upstream’s usage says: by the second, or by tokens of sound', async () => {
      const whisper = await openai.audio.transcriptions.create({ model: WHISPER, file: await sound() }).withResponse();
      const tokens = await openai.audio.transcriptions.create({ model: BY_TOKEN, file: await sound() }).withResponse();
      expect(whisper.data).toEqual({ text: TEXT, usage: { type: 'duration', seconds: 3 } });
      expect(await paidFor(whisper.response.headers)).toBe(BILLED_SECONDS * SECOND_NANO);
      const { usage } = tokens.data as { usage: { output_tokens: number } };
      expect(usage).toMatchObject({ type: 'tokens', input_token_details: { audio_tokens: 30, text_tokens: 0 } });
      // $6 a million tokens of sound, $10 a million tokens of text.
      expect(await paidFor(tokens.response.headers)).toBe(30n * 6_000n + BigInt(usage.output_tokens) * 10_000n);
    });

    it('costs its likely seconds, or the bound of its tokens, where the upstream says nothing', async () => {
      daypass.rehearsal.onHeard = () => ({ withoutUsage: true });
      const whisper = await openai.audio.transcriptions.create({ model: WHISPER, file: await sound() }).withResponse();
      expect(whisper.data).toEqual({ text: TEXT });
      expect(await paidFor(whisper.response.headers)).toBe(BILLED_SECONDS * SECOND_NANO);
      const tokens = await openai.audio.transcriptions.create({ model: BY_TOKEN, file: await sound() }).withResponse();
      expect(await paidFor(tokens.response.headers)).toBeGreaterThanOrEqual(30n * 6_000n + 2_000n * 10_000n);
    });

    it('streams, each delta judged, and ends with its usage', async () => {
      const { data, response } = await openai.audio.transcriptions
        .create({ model: BY_TOKEN, file: await sound(), stream: true, include: ['logprobs'] })
        .withResponse();
      const events: TranscriptionStreamEvent[] = [];
      for await (const event of data) events.push(event);
      const deltas = events.flatMap((event) => (event.type === 'transcript.text.delta' ? [event.delta] : []));
      expect(deltas.join('')).toBe(TEXT);
      expect(events.at(-1)).toMatchObject({ type: 'transcript.text.done', text: TEXT, usage: { type: 'tokens' } });
      expect(sentFields()).toMatchObject({ stream: ['true'], response_format: ['json'], 'include[]': ['logprobs'] });
      expect(await paidFor(response.headers)).toBeGreaterThan(30n * 6_000n);
    });

    it('tells speakers, whole and in a stream', async () => {
      const of = { model: BY_SPEAKER, response_format: 'diarized_json', chunking_strategy: 'auto' } as const;
      const whole = await openai.audio.transcriptions.create({ ...of, file: await sound() });
      expect(whole).toMatchObject({ text: TEXT, segments: [{ speaker: 'A' }, { speaker: 'B' }] });
      expect(sentFields()).toMatchObject({ chunking_strategy: ['auto'], response_format: ['diarized_json'] });
      const events: string[] = [];
      for await (const event of await openai.audio.transcriptions.create({
        ...of,
        file: await sound(),
        stream: true,
        chunking_strategy: { type: 'server_vad', threshold: 0.5 },
      }))
        events.push(event.type);
      expect(events).toEqual(['transcript.text.segment', 'transcript.text.segment', 'transcript.text.done']);
      expect(sentFields()).toMatchObject({
        'chunking_strategy[type]': ['server_vad'],
        'chunking_strategy[threshold]': ['0.5'],
      });
    });

    it('by Whisper has words where they are asked for, and never streams', async () => {
      const asked = await openai.audio.transcriptions
        .create({
          model: WHISPER,
          file: await sound(),
          response_format: 'verbose_json',
          timestamp_granularities: ['word', 'segment'],
        })
        .withResponse();
      expect(asked.data.words?.map(({ word }) => word).slice(0, 3)).toEqual(['The', 'quick', 'brown']);
      const plain = await postForm({ model: WHISPER, stream: 'true', file: wavBlob() });
      expect(await plain.json()).toMatchObject({ text: TEXT });
      expect(plain.headers.get('x-daypass-adjusted')).toContain('stream');
    });

    it('takes what aider and Open WebUI send: a model and a file, in any order, whatever the file is called', async () => {
      const shapes: Readonly<Record<string, string | Blob>>[] = [
        { model: WHISPER, file: wavBlob() },
        { file: wavBlob(), model: WHISPER, language: '', response_format: '' },
      ];
      for (const fields of shapes) expect(await (await postForm(fields)).json()).toMatchObject({ text: TEXT });
      const named = await toFile(wav(1), 'a text that nobody has judged.exe');
      expect(await openai.audio.transcriptions.create({ model: WHISPER, file: named })).toMatchObject({ text: TEXT });
      const [file] = daypass.rehearsal.heardCalls().at(-1)!.form.files;
      expect(file).toMatchObject({ field: 'file', filename: 'file.wav' });
      expect(file!.content.equals(wav(1))).toBe(true);
    });

    it('is translated', async () => {
      expect(await openai.audio.translations.create({ model: WHISPER, file: await sound() })).toMatchObject({
        text: TEXT,
      });
      const subtitles = { model: WHISPER, response_format: 'srt' } as const;
      expect(await openai.audio.translations.create({ ...subtitles, file: await sound() })).toEqual(
        await upstream.audio.translations.create({ ...subtitles, file: await sound() }),
      );
      expect(daypass.rehearsal.heardCalls()[0]!.path).toBe('translations');
    });
  });

  describe('that moderation refuses', () => {
    it('is not sent where its prompt is flagged', async () => {
      const error = await errorOf(
        openai.audio.transcriptions.create({ model: WHISPER, file: await sound(), prompt: FLAGGED_PHRASE }),
      );
      expect(error).toMatchObject({ status: 400, code: 'moderation_blocked', param: 'file' });
      expect(daypass.rehearsal.heardCalls()).toEqual([]);
    });

    it('is an error that no client repeats where what was heard is flagged, and is charged once', async () => {
      daypass.rehearsal.onHeard = () => ({ sentences: ['Some words.', `More ${FLAGGED_PHRASE} words.`] });
      const ask = async () => openai.audio.transcriptions.create({ model: WHISPER, file: await sound(1.5) });
      const error = await errorOf(ask());
      expect(error).toBeInstanceOf(BadRequestError);
      expect(error).toMatchObject({ code: 'moderation_blocked', error: { daypass: { direction: 'output' } } });
      expect(error.headers!.get('x-should-retry')).toBe('false');
      expect(await paidFor(error.headers!)).toBe(2n * SECOND_NANO);
      // Whoever asks again at once gets the same, unsent and unbilled.
      expect(await errorOf(ask())).toMatchObject({ code: 'moderation_blocked' });
      expect(daypass.rehearsal.heardCalls()).toHaveLength(1);
    });

    it.each(['gate', 'window', 'trail'])('ends a stream under %s with an error event', async (output) => {
      const flagged = ['Some words that are fine.', `More ${FLAGGED_PHRASE} words.`, 'Words at the end.'];
      daypass.rehearsal.onHeard = () => ({ sentences: flagged });
      const client = clientOf(await keyWith({ output }));
      const shown: string[] = [];
      const error = await errorOf(
        (async () => {
          const stream = await client.audio.transcriptions.create({
            model: BY_TOKEN,
            file: await sound(),
            stream: true,
          });
          for await (const event of stream) if (event.type === 'transcript.text.delta') shown.push(event.delta);
        })(),
      );
      expect(error).toBeInstanceOf(APIError);
      expect(error).toMatchObject({ code: 'moderation_blocked' });
      if (output === 'gate') expect(shown).toEqual([]);
      if (output === 'window') expect(shown.join('')).toBe(flagged[0]);
    });
  });

  describe('that cannot be heard', () => {
    it.each<[string, () => Readonly<Record<string, string | Blob>>, string, RegExp]>([
      ['no file', () => ({ model: WHISPER }), 'file', /is required/],
      [
        'a picture',
        () => ({ model: WHISPER, file: new Blob(['\x89PNG\r\n\x1a\n']) }),
        'file',
        /no sound by its first bytes/,
      ],
      ['an hour', () => ({ model: WHISPER, file: longWav(3_600, 700) }), 'file', /3601 seconds, and 600 are allowed/],
      [
        'a field that nobody knows',
        () => ({ model: WHISPER, file: wavBlob(), user: 'me' }),
        'user',
        /Unknown parameter/,
      ],
      [
        'subtitles of a model without times',
        () => ({ model: BY_TOKEN, file: wavBlob(), response_format: 'srt' }),
        'response_format',
        /'json', 'text'/,
      ],
      [
        'a model without a price for sound',
        () => ({ model: 'gpt-5.4-mini', file: wavBlob() }),
        'model',
        /usd_per_hour/,
      ],
    ])('is refused with %s, before anything is sent or charged', async (_, fields, param, message) => {
      const response = await postForm(fields());
      const { error } = (await response.json()) as { error: { message: string; param: string } };
      expect([response.status, error.param]).toEqual([400, param]);
      expect(error.message).toMatch(message);
      expect(daypass.rehearsal.heardCalls()).toEqual([]);
    });

    it('is refused where it is longer than its campaign allows', async () => {
      const short = clientOf(
        await daypass.createKey({ campaign: { models, tool_prices: { audio: { max_seconds: 2 } } } }),
      );
      const error = await errorOf(short.audio.transcriptions.create({ model: WHISPER, file: await sound() }));
      expect(error).toMatchObject({ status: 400, param: 'file', message: expect.stringContaining('allows 2.') });
    });

    it('is a phone’s recording, too, whose length its packets tell: more bytes than 600 seconds of any other', async () => {
      const file = await toFile(m4a({ packets: 5_000 }), 'recording.m4a');
      daypass.rehearsal.onHeard = () => ({ withoutUsage: true });
      const { response } = await openai.audio.transcriptions.create({ model: WHISPER, file }).withResponse();
      expect(await paidFor(response.headers)).toBe(BigInt(Math.ceil((5_000 * 1_024) / 44_100)) * SECOND_NANO);
    });

    it('pays for the seconds that its bytes have, whatever its header says', async () => {
      // The header says that a second has ten times the bytes.
      const lying = Buffer.from(wav(20));
      lying.writeUInt32LE(320_000, 28);
      const { response } = await openai.audio.transcriptions
        .create({ model: WHISPER, file: await toFile(lying, 'a.wav') })
        .withResponse();
      daypass.rehearsal.onHeard = () => ({ withoutUsage: true });
      expect(await paidFor(response.headers)).toBe(2n * SECOND_NANO);
      const silent = await openai.audio.transcriptions
        .create({ model: WHISPER, file: await toFile(lying, 'a.wav') })
        .withResponse();
      expect(await paidFor(silent.response.headers)).toBe(21n * SECOND_NANO);
    });

    it('is the upstream’s own refusal where it refuses it', async () => {
      daypass.rehearsal.onHeard = () => ({
        refuse: { status: 400, error: { message: 'Audio file might be corrupted or unsupported', param: 'file' } },
      });
      const error = await errorOf(openai.audio.transcriptions.create({ model: WHISPER, file: await sound() }));
      expect(error).toMatchObject({ status: 400, param: 'file', message: expect.stringContaining('corrupted') });
    });

    it('tells that a stream broke off', async () => {
      daypass.rehearsal.onHeard = () => ({ cutAfterEvents: 3 });
      const client = clientOf(await keyWith({ output: 'off' }));
      const stream = await client.audio.transcriptions.create({ model: BY_TOKEN, file: await sound(), stream: true });
      const read = async () => {
        for await (const _ of stream);
      };
      expect(await errorOf(read())).toBeInstanceOf(APIError);
      await booksAtRest(daypass);
    });
  });

  describe('that is spoken', () => {
    const of = { model: SPEAKS, voice: 'alloy', input: 'Hello there, this is a rehearsal of speech.' } as const;

    it('comes in bytes of the format that was asked for, and costs what the upstream’s usage says', async () => {
      const response = await openai.audio.speech.create({ ...of, response_format: 'wav' });
      expect(response.headers.get('content-type')).toBe('audio/wav');
      expect(response.headers.get('x-daypass-moderation')).toBe('input=pass; output=pass');
      const bytes = Buffer.from(await response.arrayBuffer());
      expect(bytes.toString('latin1', 0, 4)).toBe('RIFF');
      expect(bytes.equals(wav(of.input.length / 15))).toBe(true);
      // Only events tell the cost.
      expect(daypass.rehearsal.spokenCalls()[0]!.body).toMatchObject({ stream_format: 'sse', response_format: 'wav' });
      const spoken = BigInt(Math.ceil((of.input.length / 15) * 20));
      const paid = (await paidFor(response.headers))!;
      // $12 a million tokens of sound, $0.60 a million of text.
      expect(paid).toBeGreaterThan(spoken * 12_000n);
      expect(paid).toBeLessThan(spoken * 12_000n + 30n * 600n);
      // It begins before anybody knows its cost.
      expect(response.headers.get('x-daypass-cost-usd')).toBeNull();
    });

    it.each([
      ['from events', {}],
      ['from bytes', { inBytes: true }],
    ])('is heard while it is made, %s, however long it is', async (_, override) => {
      const { promise: heard, resolve } = Promise.withResolvers<void>();
      daypass.rehearsal.onSpoken = () => ({ ...override, restAfter: heard });
      const response = await openai.audio.speech.create({ ...of, input: 'a '.repeat(300), response_format: 'wav' });
      const reader = response.body!.getReader();
      const parts = [(await reader.read()).value!];
      expect(daypass.rehearsal.spokenCalls().at(-1)!.state).toBe('running');
      resolve();
      for (let next = await reader.read(); !next.done; next = await reader.read()) parts.push(next.value);
      expect(Buffer.concat(parts).equals(wav(600 / 15))).toBe(true);
      expect(await paidFor(response.headers)).toBeGreaterThan(0n);
    });

    it('comes in events to whoever asks for them', async () => {
      const response = await openai.audio.speech.create({ ...of, response_format: 'pcm', stream_format: 'sse' });
      expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
      const events = (await response.text())
        .split('\n\n')
        .filter((part) => part.startsWith('data: '))
        .map((part) => JSON.parse(part.slice(6)) as { type: string; audio?: string; usage?: object });
      const pcm = Buffer.concat(events.map(({ audio }) => Buffer.from(audio ?? '', 'base64')));
      expect(pcm.equals(wav(of.input.length / 15).subarray(44))).toBe(true);
      expect(events.at(-1)).toMatchObject({ type: 'speech.audio.done', usage: { output_tokens: expect.any(Number) } });
      expect(await paidFor(response.headers)).toBeGreaterThan(0n);
    });

    it('costs its bound where the upstream says nothing', async () => {
      for (const override of [{ withoutUsage: true }, { inBytes: true }]) {
        daypass.rehearsal.onSpoken = () => override;
        const response = await openai.audio.speech.create(of);
        expect((await response.arrayBuffer()).byteLength).toBeGreaterThan(1_000);
        const bound = BigInt(of.input.length * 5 + 100) * 12_000n;
        expect(await paidFor(response.headers)).toBeGreaterThanOrEqual(bound);
      }
    });

    it('is not sent where its text is flagged', async () => {
      const error = await errorOf(openai.audio.speech.create({ ...of, instructions: FLAGGED_PHRASE }));
      expect(error).toMatchObject({ status: 400, code: 'moderation_blocked', param: 'input' });
      expect(daypass.rehearsal.spokenCalls()).toEqual([]);
    });

    it.each([
      ['from events', { inBytes: false }],
      ['from bytes', { inBytes: true }],
    ])('ends short where the upstream cuts it, and costs what came, once, %s', async (_, { inBytes }) => {
      daypass.rehearsal.onSpoken = () => ({ cutAfterEvents: 2, inBytes });
      const response = await openai.audio.speech.create({ ...of, response_format: 'pcm' });
      await expect(response.arrayBuffer()).rejects.toThrow();
      // Twice 12,000 bytes of 48,000 a second, at 21 tokens a second.
      const paid = (await paidFor(response.headers))!;
      expect(paid).toBeGreaterThanOrEqual(11n * 12_000n + 600n);
      expect(paid).toBeLessThan(11n * 12_000n + 30n * 600n);
    });

    it('ends with an error event where events were asked for, and is an error where nothing came', async () => {
      daypass.rehearsal.onSpoken = () => ({ cutAfterEvents: 2 });
      const response = await openai.audio.speech.create({ ...of, stream_format: 'sse' });
      expect(await response.text()).toMatch(/event: error\ndata: .*upstream_outcome_unknown/);
      expect(await paidFor(response.headers)).toBeGreaterThan(0n);
      daypass.rehearsal.onSpoken = () => ({ cutAfterEvents: 0 });
      const error = await errorOf(openai.audio.speech.create(of));
      expect(error).toMatchObject({ status: 502, code: 'upstream_outcome_unknown' });
      // Nobody knows what the upstream did.
      expect(await paidFor(error.headers!)).toBeGreaterThanOrEqual(BigInt(of.input.length * 5 + 100) * 12_000n);
    });

    it('is kept for a repeat under its idempotency key, and paid once', async () => {
      const asked = () => openai.audio.speech.create(of, { headers: { 'idempotency-key': 'speech-1' } });
      const first = await asked();
      const heard = Buffer.from(await first.arrayBuffer());
      const second = await asked();
      expect(second.headers.get('x-request-id')).toBe(first.headers.get('x-request-id'));
      expect(Buffer.from(await second.arrayBuffer()).equals(heard)).toBe(true);
      expect(daypass.rehearsal.spokenCalls()).toHaveLength(1);
    });

    it.each<[string, object, string, RegExp]>([
      ['4,097 characters', { input: 'a'.repeat(4_097) }, 'input', /at most 4096 characters/],
      ['a voice of the account', { voice: { id: 'voice_1234' } }, 'voice', /operator's account/],
      ['a speed out of range', { speed: 5 }, 'speed', /from 0\.25 to 4/],
    ])('is refused with %s', async (_, more, param, message) => {
      const error = await errorOf(openai.audio.speech.create({ ...of, ...more }));
      expect(error).toBeInstanceOf(BadRequestError);
      expect(error).toMatchObject({ param, message: expect.stringMatching(message) });
    });
  });
});

/** A file whose samples come so slowly that few bytes take long. */
function longWav(seconds: number, bytesOfSecond: number): Blob {
  const bytes = Buffer.alloc(44 + seconds * bytesOfSecond);
  wav(0.1).copy(bytes, 0, 0, 44);
  bytes.writeUInt32LE(bytesOfSecond / 2, 24);
  bytes.writeUInt32LE(bytesOfSecond, 28);
  return new Blob([new Uint8Array(bytes)]);
}
