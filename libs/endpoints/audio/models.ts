import type { Meter } from '#libs/money/cost.js';

/** Models of OpenAI's that count sound in tokens. They write text alone, without times. */
const COUNTS_TOKENS = /(^|\/)gpt-4o(-mini)?-transcribe/;
/** As those, but billed by the second. */
const WRITES_TEXT = /(^|\/)gpt-transcribe/;
const TELLS_SPEAKERS = /(^|\/)gpt-4o(-mini)?-transcribe-diarize/;
/** Their answers have the length of the sound where they are asked for all that they know. They do not stream. */
const WHISPER = /whisper/i;
/** Their usage comes in events alone. */
const SPEAKS_IN_EVENTS = /(^|\/)gpt-4o(-mini)?-tts/;
const SPEAKS_IN_BYTES = /(^|\/)tts-1/;

export type Format = 'json' | 'text' | 'srt' | 'vtt' | 'verbose_json' | 'diarized_json';

export const FORMATS: readonly Format[] = ['json', 'text', 'srt', 'verbose_json', 'vtt', 'diarized_json'];
const WITH_TIMES: readonly Format[] = ['srt', 'vtt', 'verbose_json'];

export const isWhisper = (model: string): boolean => WHISPER.test(model);
export const tellsSpeakers = (model: string): boolean => TELLS_SPEAKERS.test(model);

/** The formats that a visitor may ask of a model. Of models that nobody here knows, all but one. */
export function formatsOf(model: string): readonly Format[] {
  if (tellsSpeakers(model)) return ['json', 'text', 'diarized_json'];
  if (COUNTS_TOKENS.test(model) || WRITES_TEXT.test(model)) return ['json', 'text'];
  return FORMATS.filter((format) => format !== 'diarized_json');
}

/** The form that an upstream is asked for: one that tells what the call cost. `text`, `srt` and `vtt` do not. */
export function upstreamFormat(model: string, format: Format): Format {
  if (format === 'diarized_json') return format;
  return isWhisper(model) || WITH_TIMES.includes(format) ? 'verbose_json' : 'json';
}

/** How the sound that a model hears is priced. Where nobody knows a price: how the model's provider prices it. */
export function heardBy(model: string, priced: (meter: Meter) => boolean): 'audioInput' | 'seconds' {
  if (priced('audioInput')) return 'audioInput';
  return !priced('seconds') && COUNTS_TOKENS.test(model) ? 'audioInput' : 'seconds';
}

/** How what a model speaks is priced: by its characters, or by tokens of sound, which some price lists call output. */
export function spokenBy(model: string, priced: (meter: Meter) => boolean): 'characters' | 'audioOutput' | 'output' {
  if (priced('characters')) return 'characters';
  if (priced('audioOutput')) return 'audioOutput';
  if (priced('output')) return 'output';
  return SPEAKS_IN_EVENTS.test(model) ? 'audioOutput' : 'characters';
}

/** Whether the upstream is asked for events, whatever the visitor asked for: only they tell what the call cost. */
export const speaksInEvents = (model: string): boolean => SPEAKS_IN_EVENTS.test(model);
export const speaksInBytesOnly = (model: string): boolean => SPEAKS_IN_BYTES.test(model);
