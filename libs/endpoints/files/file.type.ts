/** A file's type is told by so many of its first bytes. */
export const HEAD_BYTES = 64;

/** What the first bytes of a file must be, as Latin-1. */
const BEGINNINGS: readonly (readonly [string | RegExp, string])[] = [
  ['\x89PNG\r\n\x1a\n', 'image/png'],
  ['\xff\xd8\xff', 'image/jpeg'],
  [/^RIFF.{4}WEBP/s, 'image/webp'],
  [/^GIF8[79]a/, 'image/gif'],
  ['fLaC', 'audio/flac'],
  [/^RIFF.{4}WAVE/s, 'audio/wav'],
  ['OggS', 'audio/ogg'],
  [/^.{4}ftyp/s, 'audio/mp4'],
  ['\x1aE\xdf\xa3', 'audio/webm'],
  ['ID3', 'audio/mpeg'],
  // A frame of layer II or III, with a bit rate that exists.
  [/^\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd][^\xf0-\xff]/s, 'audio/mpeg'],
];

/** A name's ending for each type. Upstreams tell the type of sound by it. */
const ENDINGS: Readonly<Record<string, string>> = {
  'image/png': 'png',
  'image/jpeg': 'jpg',
  'image/webp': 'webp',
  'image/gif': 'gif',
  'audio/flac': 'flac',
  'audio/wav': 'wav',
  'audio/ogg': 'ogg',
  'audio/mp4': 'm4a',
  'audio/webm': 'webm',
  'audio/mpeg': 'mp3',
};

/** By its first bytes alone: a name, or a header, may say anything. '': unknown. */
export function fileTypeOf(head: Uint8Array): string {
  const text = Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, HEAD_BYTES)).toString('latin1');
  const isOf = (one: string | RegExp): boolean => (typeof one === 'string' ? text.startsWith(one) : one.test(text));
  return BEGINNINGS.find(([beginning]) => isOf(beginning))?.[1] ?? '';
}

/** The name under which a file goes upstream. Nobody has judged the visitor's own. */
export const sentNameOf = (type: string): string => `file.${ENDINGS[type] ?? 'bin'}`;
