import { countTextTokens } from '#libs/money/tokens.js';
import type { Refusal, SentForm } from './rehearsal.http.js';

/** What the rehearsal hears, whatever is said. */
const HEARD = ['The quick brown fox jumps over the lazy dog.', 'It is a rehearsal: no model has heard you.'];
/** What it takes for a file that is no wav. */
const BYTES_OF_SECOND = 2_000;
const TOKENS_OF_SECOND = 10;
const FORMATS = ['json', 'text', 'srt', 'verbose_json', 'vtt', 'diarized_json'];
/** OpenAI, "Speech to text": the formats of models that write no times. */
const PLAIN = ['json', 'text'];

/** What a test may set of one transcript. */
export interface HeardOverride {
  refuse?: Refusal;
  /** What is heard, in the place of the usual sentences. */
  sentences?: readonly string[];
  /** The answer reports neither usage nor length, but costs all the same. */
  withoutUsage?: boolean;
  /** The connection breaks after so many events of a stream. */
  cutAfterEvents?: number;
  /** A whole answer to the letter. */
  raw?: { contentType: string; body: string };
}

export interface Segment {
  start: number;
  end: number;
  text: string;
}

/** What was heard of one file, in the words of each format. */
export interface Heard {
  model: string;
  format: string;
  stream: boolean;
  seconds: number;
  segments: readonly Segment[];
  words: boolean;
  usage: object | undefined;
  tokens: { input: number; output: number };
  isTranslation: boolean;
}

/** Reads a form as OpenAI does: what is to be heard, or why it is refused. */
export async function hear(
  { fields, files }: SentForm,
  isTranslation: boolean,
  { sentences = HEARD, withoutUsage = false }: HeardOverride,
): Promise<Heard | Refusal> {
  const field = (name: string): string | undefined => (fields[name] ?? fields[`${name}[]`])?.[0];
  const model = field('model') ?? '';
  const format = field('response_format') ?? 'json';
  const [file] = files;
  if (!file || file.field !== 'file') return refusal("Missing required parameter: 'file'.", 'file');
  if (!/whisper|transcribe/.test(model)) return refusal(`Invalid model: ${model}`, 'model');
  if (isTranslation && !model.includes('whisper')) return refusal(`Invalid model for translations: ${model}`, 'model');
  if (!/\.(flac|mp3|mp4|mpeg|mpga|m4a|ogg|wav|webm)$/.test(file.filename))
    return refusal('Unrecognized file format.', 'file');
  if (!FORMATS.includes(format) || !formatsOf(model).includes(format))
    return refusal(`response_format '${format}' is not compatible with model '${model}'.`, 'response_format');
  const seconds = secondsOf(file.content);
  const prompt = [field('prompt') ?? '', ...(fields['keywords[]'] ?? [])];
  const text = sentences.join(' ');
  const [read, output] = await Promise.all([
    countTextTokens(prompt, 'o200k_base'),
    countTextTokens([text], 'o200k_base'),
  ]);
  const audio = Math.ceil(seconds) * TOKENS_OF_SECOND;
  const bySecond = !model.startsWith('gpt-4o');
  const usage = bySecond
    ? { type: 'duration', seconds: Math.ceil(seconds) }
    : {
        type: 'tokens',
        input_tokens: audio + read,
        input_token_details: { text_tokens: read, audio_tokens: audio },
        output_tokens: output,
        total_tokens: audio + read + output,
      };
  return {
    model,
    format,
    stream: field('stream') === 'true' && !model.includes('whisper'),
    seconds,
    segments: sentences.map((sentence, index) => ({
      start: round((seconds * index) / sentences.length),
      end: round((seconds * (index + 1)) / sentences.length),
      text: ` ${sentence}`,
    })),
    words: (fields['timestamp_granularities[]'] ?? []).includes('word'),
    usage: withoutUsage ? undefined : usage,
    tokens: bySecond ? { input: 0, output: 0 } : { input: audio + read, output },
    isTranslation,
  };
}

function formatsOf(model: string): readonly string[] {
  if (model.includes('diarize')) return [...PLAIN, 'diarized_json'];
  return model.startsWith('gpt-') ? PLAIN : FORMATS.filter((format) => format !== 'diarized_json');
}

/** A whole answer as OpenAI writes it. `text`, `srt` and `vtt` say nothing of what they cost. */
export function transcriptOf(heard: Heard): { contentType: string; body: string } {
  const { format, segments, seconds, usage } = heard;
  const text = textOf(heard);
  const told = usage ? { usage } : {};
  const json = (value: object) => ({ contentType: 'application/json', body: JSON.stringify(value) });
  switch (format) {
    case 'text':
      return { contentType: PLAIN_TEXT, body: `${text}\n` };
    case 'srt':
      return { contentType: PLAIN_TEXT, body: segments.map(srtCue).join('') };
    case 'vtt':
      return { contentType: PLAIN_TEXT, body: `WEBVTT\n\n${segments.map(vttCue).join('')}` };
    case 'verbose_json':
      return json({
        task: heard.isTranslation ? 'translate' : 'transcribe',
        language: 'english',
        ...(usage ? { duration: seconds } : {}),
        text,
        segments: segments.map((segment, id) => ({
          ...{ id, seek: 0, ...segment, tokens: [50_364, 440, 50_564], temperature: 0 },
          ...{ avg_logprob: -0.21, compression_ratio: 0.92, no_speech_prob: 0.01 },
        })),
        ...(heard.words ? { words: wordsOf(heard) } : {}),
        ...told,
      });
    case 'diarized_json':
      return json({
        task: 'transcribe',
        duration: seconds,
        text,
        segments: segments.map((_, index) => speakerSegment(heard, index)),
        ...told,
      });
    default:
      return json({ text, ...told });
  }
}

/** The events of a stream. */
export function transcriptEvents(heard: Heard): object[] {
  const done = { type: 'transcript.text.done', text: textOf(heard), ...(heard.usage ? { usage: heard.usage } : {}) };
  if (heard.format === 'diarized_json')
    return [...heard.segments.map((_, index) => speakerSegment(heard, index)), done];
  const words = textOf(heard).match(/\s*\S+/g) ?? [];
  return [...words.map((delta) => ({ type: 'transcript.text.delta', delta })), done];
}

const PLAIN_TEXT = 'text/plain; charset=utf-8';

const textOf = ({ segments }: Heard): string =>
  segments
    .map(({ text }) => text)
    .join('')
    .trim();

function speakerSegment({ segments }: Heard, index: number): object {
  const { start, end, text } = segments[index]!;
  const speaker = 'AB'.charAt(index % 2);
  return { type: 'transcript.text.segment', id: `seg_${index}`, start, end, text: text.trim(), speaker };
}

/** Words as Whisper tells them: without what stands between them. */
function wordsOf({ segments }: Heard): object[] {
  return segments.flatMap(({ start, end, text }) => {
    const words = text.match(/[\p{L}\p{N}']+/gu) ?? [];
    const each = (end - start) / words.length;
    return words.map((word, index) => ({
      word,
      start: round(start + index * each),
      end: round(start + (index + 1) * each),
    }));
  });
}

const srtCue = ({ start, end, text }: Segment, index: number): string =>
  `${index + 1}\n${clock(start, ',')} --> ${clock(end, ',')}\n${text.trim()}\n\n`;
const vttCue = ({ start, end, text }: Segment): string =>
  `${clock(start, '.')} --> ${clock(end, '.')}\n${text.trim()}\n\n`;

/** E.g. `00:00:02,500`. */
const clock = (seconds: number, mark: string): string =>
  new Date(Math.round(seconds * 1_000)).toISOString().slice(11, 23).replace('.', mark);

const round = (seconds: number): number => Math.round(seconds * 100) / 100;

/** Of a wav by its own header, which a test may lie in. */
function secondsOf(content: Buffer): number {
  const isWav = content.toString('latin1', 0, 4) === 'RIFF' && content.length > 44;
  return isWav ? (content.length - 44) / content.readUInt32LE(28) : content.length / BYTES_OF_SECOND;
}

const refusal = (message: string, param: string): Refusal => ({
  status: 400,
  error: { message, type: 'invalid_request_error', param },
});

/** What a test may set of one speech. */
export interface SpokenOverride {
  refuse?: Refusal;
  /** The end reports no usage. */
  withoutUsage?: boolean;
  /** The answer comes in bytes, whatever was asked for, as of a server that knows no events. */
  inBytes?: boolean;
  /** The connection breaks after so many events, or pieces. */
  cutAfterEvents?: number;
  /** After the first event, or piece, it makes the next one only then. */
  restAfter?: Promise<unknown>;
}

export interface SpeechBody {
  model?: string;
  input?: string;
  voice?: unknown;
  instructions?: string;
  response_format?: string;
  stream_format?: string;
  [parameter: string]: unknown;
}

export interface Spoken {
  model: string;
  seconds: number;
  format: string;
  inEvents: boolean;
  usage: { input_tokens: number; output_tokens: number; total_tokens: number } | undefined;
  characters: number;
}

const SPOKEN_CHARACTERS_MAX = 4_096;
const CHARACTERS_OF_SECOND = 15;
const TOKENS_OF_SPOKEN_SECOND = 20;
const VOICES = [
  'alloy',
  'ash',
  'ballad',
  'coral',
  'echo',
  'fable',
  'onyx',
  'nova',
  'sage',
  'shimmer',
  'verse',
  'marin',
];

export async function speak(body: SpeechBody, override: SpokenOverride): Promise<Spoken | Refusal> {
  const { model = '', input = '', voice, response_format: format = 'mp3', stream_format: frames } = body;
  if (!model.includes('tts')) return refusal(`Invalid model: ${model}`, 'model');
  if (input === '' || input.length > SPOKEN_CHARACTERS_MAX)
    return refusal('String should have at most 4096 characters', 'input');
  if (typeof voice !== 'string' || !VOICES.includes(voice)) return refusal('Unknown voice', 'voice');
  const byToken = model.startsWith('gpt-');
  const seconds = Math.max(0.5, input.length / CHARACTERS_OF_SECOND);
  const read = await countTextTokens([input, body.instructions ?? ''], 'o200k_base');
  const spoken = Math.ceil(seconds * TOKENS_OF_SPOKEN_SECOND);
  const usage = { input_tokens: read, output_tokens: spoken, total_tokens: read + spoken };
  return {
    model,
    seconds,
    format,
    inEvents: byToken && frames === 'sse' && override.inBytes !== true,
    usage: byToken && override.withoutUsage !== true ? usage : undefined,
    characters: [...input].length,
  };
}

/** Dollars as OpenAI lists them. */
export function heardDollars({ model, seconds, usage }: Heard): number {
  if (!model.startsWith('gpt-4o'))
    return (Math.ceil(seconds) / 3_600) * (model.includes('gpt-transcribe') ? 0.27 : 0.36);
  const half = model.includes('mini') ? 0.5 : 1;
  const { input_token_details: input, output_tokens: output } = (usage ?? {}) as {
    input_token_details?: { text_tokens: number; audio_tokens: number };
    output_tokens?: number;
  };
  const { text_tokens = 0, audio_tokens = Math.ceil(seconds) * TOKENS_OF_SECOND } = input ?? {};
  return (half * (text_tokens * 2.5 + audio_tokens * 6 + (output ?? 0) * 10)) / 1e6;
}

export const spokenDollars = ({ usage, characters }: Spoken): number =>
  usage ? (usage.input_tokens * 0.6 + usage.output_tokens * 12) / 1e6 : (characters * 15) / 1e6;
