import {
  either,
  flag,
  list,
  name,
  number,
  object,
  refused,
  text,
  whole,
  WISHES,
  word,
  type Fields,
  type Shape,
} from '../declaration.js';
import { MODEL } from '../request.shapes.js';
import { FORMATS } from './models.js';

/** More than anybody needs to name. */
const LANGUAGES_MAX = 64;
const KEYWORDS_MAX = 1_000;
/** OpenAI's limit. */
const SPEAKERS_MAX = 4;
/** Milliseconds of silence, or before a word. */
const PAUSE_MS_MAX = 60_000;

/** E.g. `en`, `pt-BR`, `english`. */
export const LANGUAGE = /^[A-Za-z]{2,20}([-_][A-Za-z0-9]{1,8}){0,2}$/;
const REFERENCE =
  /^data:(audio|video)\/[a-z0-9.+-]{1,40}(;codecs=[a-z0-9.]{1,20})?;base64,[A-Za-z0-9+/]{1,8388608}={0,2}$/;
const AS_FILE = 'Send it as a file of a form (multipart/form-data), with a name and its bytes.';

/** What both APIs that hear have. */
const HEARS: Fields = {
  ...WISHES,
  model: MODEL,
  file: refused(AS_FILE),
  prompt: text,
  temperature: number(0, 1),
};

/** Whoever adds a field says what it is. */
export const TRANSCRIPTION_REQUEST: Shape = object(
  {
    ...HEARS,
    response_format: word(...FORMATS),
    language: name(LANGUAGE, { what: "a language, e.g. 'en'" }),
    languages: list(name(LANGUAGE, { what: "a language, e.g. 'en'" }), LANGUAGES_MAX),
    keywords: list(text, KEYWORDS_MAX),
    stream: flag,
    timestamp_granularities: list(word('word', 'segment'), 2),
    include: list(word('logprobs'), 1),
    chunking_strategy: either(
      word('auto'),
      object(
        {
          type: word('server_vad'),
          prefix_padding_ms: whole(0, PAUSE_MS_MAX),
          silence_duration_ms: whole(0, PAUSE_MS_MAX),
          threshold: number(0, 1),
        },
        'type',
      ),
    ),
    known_speaker_names: list(text, SPEAKERS_MAX),
    known_speaker_references: list(
      name(REFERENCE, { what: 'a data: URL of 2 to 10 seconds of sound in base64' }),
      SPEAKERS_MAX,
    ),
  },
  'model',
);

export const TRANSLATION_REQUEST: Shape = object(
  {
    ...HEARS,
    response_format: word(...FORMATS.filter((format) => format !== 'diarized_json')),
    stream: refused('A translation comes in one piece: leave it out.', { butFalse: true }),
  },
  'model',
);

export const SPEECH_FORMATS = ['mp3', 'opus', 'aac', 'flac', 'wav', 'pcm'] as const;
export type SpeechFormat = (typeof SPEECH_FORMATS)[number];
/** OpenAI's limit. */
export const SPOKEN_CHARACTERS_MAX = 4_096;
/** E.g. `alloy`, or another upstream's `af_bella`. `voice_…` are voices of the operator's account. */
const VOICE = /^(?!voice_)[A-Za-z0-9_.+-]{1,64}$/;
const BUILT_IN = "a voice that the model has, e.g. 'alloy'";

export const SPEECH_REQUEST: Shape = object(
  {
    ...WISHES,
    model: MODEL,
    input: text,
    instructions: text,
    voice: either(
      name(VOICE, { what: BUILT_IN }),
      refused(`A voice of the operator's account is for nobody else. Name ${BUILT_IN}.`),
    ),
    response_format: word(...SPEECH_FORMATS),
    speed: number(0.25, 4),
    stream_format: word('audio', 'sse'),
  },
  'model',
  'input',
  'voice',
);
