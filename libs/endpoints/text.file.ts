import { isUtf8 } from 'node:buffer';
import { DaypassError } from '#libs/contracts/errors.js';

/** Text, whatever it is about. A document of rich text hides what its reader sees. */
const TEXT_TYPES =
  'text/(?!rtf|richtext)[a-z0-9.+-]{1,60}|' +
  'application/(?:json|jsonl|x-ndjson|ld\\+json|xml|x-yaml|yaml|javascript|x-javascript|typescript|toml|sql|x-sh|x-python|csv)';
/** What browsers and clients say of files that they do not know, and of tables: the file's name says more. */
const VAGUE_TYPES = '(?:application|binary)/octet-stream|application/vnd\\.ms-excel';
export const FILE = new RegExp(
  `^data:(${TEXT_TYPES}|${VAGUE_TYPES}|)(?:; ?charset=(?:[uU][tT][fF]-8|[uU][sS]-[aA][sS][cC][iI][iI]))?;base64,([A-Za-z0-9+/]*={0,2})$`,
);
const VAGUE = new RegExp(`^(?:${VAGUE_TYPES})?$`);
const TYPE = /^data:([a-z0-9.+/-]{1,80})[;,]/i;
const BOM = '\ufeff';
/** What others than a reader of text make of a file that begins like this. */
const DOCUMENT = /^\s*(%PDF-|\{\\rtf)/i;

export interface TextFile {
  text: string;
  /** Its type says that it is text. Otherwise its name must. */
  isSaid: boolean;
}

/** null: no text file as a `data:` URL in base64, or no UTF-8. */
export function textFileIn(url: string): TextFile | null {
  const [, type, base64] = FILE.exec(url) ?? [];
  if (type === undefined || base64 === undefined) return null;
  const bytes = Buffer.from(base64, 'base64');
  if (!isUtf8(bytes) || bytes.includes(0)) return null;
  const text = bytes.toString('utf8');
  if (DOCUMENT.test(text)) return null;
  return { text: text.startsWith(BOM) ? text.slice(1) : text, isSaid: !VAGUE.test(type) };
}

/**
 * As it goes on: what was judged, and nothing else. Of a table the provider would make words of its own, whose number nobody
 * knows, and of a page the text that a browser shows. Of plain text it makes nothing (OpenAI, "File inputs").
 */
export const writtenFile = (text: string): string => `data:text/plain;base64,${Buffer.from(text).toString('base64')}`;

/** @throws DaypassError that says what to do instead */
export function refuseFile(at: string, value: unknown): never {
  const [, type] = (typeof value === 'string' && TYPE.exec(value)) || [];
  const what =
    type === undefined
      ? 'must be a data URL of a text file in base64, e.g. data:text/plain;base64,…'
      : `cannot be used here: it is no text file in UTF-8 (${type})`;
  throw new DaypassError(
    'invalid_request',
    `'${at}' ${what}. Nobody here can judge a PDF, a document or a table of an office program. Send its text as input_text or as a .txt, .md, .csv or .json file, or its pages as input_image.`,
    { param: at },
  );
}
