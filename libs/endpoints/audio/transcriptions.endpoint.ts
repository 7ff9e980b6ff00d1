import { compile } from '../compile.js';
import type { Shape } from '../declaration.js';
import type { Endpoint } from '../endpoint.js';
import { streamComment } from '../event.stream.js';
import { TRANSCRIPT, TRANSCRIPT_EVENT } from './answer.declaration.js';
import { callHeard, forwardedHeard, inputHeard, measureHeard, parseHeard, redactedHeard } from './heard.request.js';
import { TRANSCRIPTION_REQUEST, TRANSLATION_REQUEST } from './request.declaration.js';
import { isLast, streamError, TranscriptReader } from './transcript.reader.js';

/** What is said in a file of sound, as text. Nobody can judge the sound itself: what was heard of it is judged. */
export const TRANSCRIPTIONS = hearing('audio.transcriptions', '/audio/transcriptions', TRANSCRIPTION_REQUEST);
/** The same in English. */
export const TRANSLATIONS = hearing('audio.translations', '/audio/translations', TRANSLATION_REQUEST);

function hearing(name: string, path: string, shape: Shape): Endpoint {
  const request = compile(shape);
  const declared = { shape, request, canStream: shape === TRANSCRIPTION_REQUEST };
  return {
    name,
    path: `/v1${path}`,
    accepts: ['multipart/form-data'],
    files: ['file'],
    answers: ['text/plain'],
    directions: { input: 'judged', output: 'judged' },
    unreported: 'bound',
    usageReport: 'audioTranscriptions',
    declarations: { request: shape, answer: TRANSCRIPT, event: TRANSCRIPT_EVENT },
    inputParam: 'file',
    optional: [],
    sample: () => ({ model: 'whisper-1' }),
    parse: (body) => parseHeard(declared, body),
    measure: (asked, tools) => measureHeard(request, asked, tools),
    forwarded: forwardedHeard,
    input: (body) => inputHeard(request, body),
    redactedInput: (body, replacements) => redactedHeard(request, body, replacements),
    remoteImages: () => [],
    withImages: (body) => body,
    call: (body, _, upstream) => callHeard(path, body, upstream),
    reader: (ticket, of) => new TranscriptReader(ticket, of),
    streamError,
    streamComment,
    isLast,
  };
}
