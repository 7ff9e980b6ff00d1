import {
  either,
  list,
  name,
  number,
  object,
  PROVIDER_ID,
  text,
  variants,
  whole,
  word,
  type Fields,
  type Shape,
} from '../declaration.js';
import { MANY } from '../answer.shapes.js';
import { LANGUAGE } from './request.declaration.js';

/** What a transcript calls a speaker whom nobody has named. Any other is text. */
const UNNAMED = /^[A-Z]{1,2}$/;
/** Some servers write numbers as strings. */
const SECONDS = either(number(0), name(/^\d{1,9}(\.\d{1,15})?$/));

const COUNTS = object({ audio_tokens: whole(0), text_tokens: whole(0) });
const USAGE = object({
  type: word('tokens', 'duration'),
  seconds: number(0),
  input_tokens: whole(0),
  output_tokens: whole(0),
  total_tokens: whole(0),
  input_token_details: COUNTS,
  output_token_details: COUNTS,
});
const LOGPROBS = list(object({ token: text, logprob: number(), bytes: list(whole(0, 255), MANY) }), MANY);
const LANGUAGES = list(object({ code: name(LANGUAGE) }), MANY);
const SEGMENT: Fields = {
  id: either(whole(0), name(PROVIDER_ID)),
  type: word('transcript.text.segment'),
  seek: whole(0),
  start: number(),
  end: number(),
  text,
  tokens: list(whole(0), MANY),
  temperature: number(),
  avg_logprob: number(),
  compression_ratio: number(),
  no_speech_prob: number(),
  speaker: name(UNNAMED),
};

/** A transcript in any of its forms. Whatever has no line here is text, keys and values. */
export const TRANSCRIPT: Shape = object({
  task: word('transcribe', 'translate'),
  language: name(LANGUAGE),
  duration: SECONDS,
  text,
  languages: LANGUAGES,
  segments: list(object(SEGMENT), MANY),
  words: list(object({ word: text, start: number(), end: number() }), MANY),
  logprobs: LOGPROBS,
  usage: USAGE,
});

export const DELTA = 'transcript.text.delta';
export const SEGMENT_DONE = 'transcript.text.segment';
export const DONE = 'transcript.text.done';

export const TRANSCRIPT_EVENT: Shape = variants('type', {
  [DELTA]: object({ type: word(DELTA), delta: text, segment_id: name(PROVIDER_ID), logprobs: LOGPROBS }),
  [SEGMENT_DONE]: object(SEGMENT),
  [DONE]: object({ type: word(DONE), text, languages: LANGUAGES, logprobs: LOGPROBS, usage: USAGE }),
});

export const SOUND_DELTA = 'speech.audio.delta';
export const SOUND_DONE = 'speech.audio.done';

/** Sound in base64, and what it cost. Nothing else of it is shown. */
export const SPEECH_EVENT: Shape = variants('type', {
  [SOUND_DELTA]: object({ type: word(SOUND_DELTA), audio: name(/^[A-Za-z0-9+/]*={0,2}$/) }, 'audio'),
  [SOUND_DONE]: object({
    type: word(SOUND_DONE),
    usage: object({ input_tokens: whole(0), output_tokens: whole(0), total_tokens: whole(0) }),
  }),
});
