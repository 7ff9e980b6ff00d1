import { DaypassError } from '#libs/contracts/errors.js';
import type { Blob } from '../endpoint.js';

const FIELD = 'file';
/** @throws DaypassError that names the field where the files of a form are not one file of sound */
export function soundFileOf(blobs: readonly Blob[]): Blob & { seconds: number } {
  const other = blobs.find(({ field }) => field !== FIELD);
  if (other) {
    const param = other.field.slice(0, 200);
    throw new DaypassError('unknown_parameter', `Unknown file: '${param}'. Send the sound as 'file'.`, { param });
  }
  const [file] = blobs;
  if (!file) throw invalid("'file' is required: send the sound as a file of a form (multipart/form-data).");
  if (blobs.length > 1) throw invalid("A request may have one 'file' only. Send a request for each.");
  if (!file.type.startsWith('audio/'))
    throw invalid("'file' is no sound by its first bytes. It must be flac, mp3, mp4, m4a, ogg, wav or webm.");
  const { seconds } = file;
  if (seconds === undefined || !(seconds > 0))
    throw invalid("'file' holds no sound that can be read. Convert it, e.g. to wav, and send that.");
  return { ...file, seconds };
}

const invalid = (message: string): DaypassError => new DaypassError('invalid_request', message, { param: FIELD });
