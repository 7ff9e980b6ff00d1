import { MisshapenAnswer } from './endpoint.js';

const [QUOTE, BACKSLASH, COLON, ARRAY, ARRAY_END] = [0x22, 0x5c, 0x3a, 0x5b, 0x5d];
const SPACES = new Set([0x20, 0x09, 0x0a, 0x0d]);
/** Of an answer without its long values: 2,048 places with their names take a tenth of it. */
const REST_BYTES_MAX = 2_097_152;
const FIRST_BYTES = 16_384;

type Form = 'string' | 'numbers';
type Where = 'between' | 'string' | 'escape' | 'value' | 'long string' | 'long numbers';

export interface LongValues {
  /** The field that holds them. */
  name: string;
  /** What errors call them. */
  many: string;
  tooLong: string;
  /** Of one as it arrives. */
  bytesMax: number;
}

/** What stands in the rest of an answer in place of a long value. */
export const placeOf = (index: number): string => `#${index}`;

/**
 * Takes long values, such as vectors and images, out of an answer while it arrives, in one pass. An answer has up to
 * 60 MB, and a parser would stop the event loop for all of it. The rest is small enough to be parsed. A long value is a
 * string or a list of numbers under a certain name: JSON's own parser then checks that each stands where the API promises it.
 */
export class LongValueScan {
  private readonly name: Buffer;
  private where: Where = 'between';
  private rest = Buffer.allocUnsafe(FIRST_BYTES);
  private restBytes = 0;
  private stringFrom = 0;
  /** A string has just ended, and it is the name of a long value. */
  private isNamed = false;
  private parts: Buffer[] = [];
  private partBytes = 0;
  private count = 0;

  constructor(
    private readonly values: LongValues,
    private readonly onValue: (form: Form, json: Buffer) => void,
  ) {
    this.name = Buffer.from(JSON.stringify(values.name));
  }

  /** @throws MisshapenAnswer, and what `onValue` throws */
  read(piece: Uint8Array): void {
    const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    for (let at = 0; at < bytes.length;) {
      if (this.where === 'long string') at = this.readLong(bytes, at, 'string');
      else if (this.where === 'long numbers') at = this.readLong(bytes, at, 'numbers');
      else if (this.readRest(bytes[at]!)) at++;
    }
  }

  /** The JSON of all but the long values, with `placeOf` in their places. */
  restText(): string {
    if (this.where !== 'between') throw new Error('the answer broke off');
    return this.rest.toString('utf8', 0, this.restBytes);
  }

  /** `from`: of what is still missing; the first bracket or quote included. */
  private readLong(bytes: Buffer, from: number, form: Form): number {
    const found = bytes.indexOf(form === 'string' ? QUOTE : ARRAY_END, this.parts.length === 0 ? from + 1 : from);
    const end = found < 0 ? bytes.length : found + 1;
    const part = bytes.subarray(from, end);
    this.partBytes += part.length;
    if (this.partBytes > this.values.bytesMax) throw new MisshapenAnswer(this.values.tooLong);
    this.parts.push(part);
    if (found < 0) return end;
    const json = this.parts.length === 1 ? part : Buffer.concat(this.parts);
    this.parts = [];
    this.partBytes = 0;
    this.where = 'between';
    this.onValue(form, form === 'string' && json.includes(BACKSLASH) ? withoutEscapes(json) : json);
    for (const byte of Buffer.from(JSON.stringify(placeOf(this.count++)))) this.keep(byte);
    return end;
  }

  /** False for the first byte of a long value. */
  private readRest(byte: number): boolean {
    if (this.where === 'value') {
      if (byte === QUOTE || byte === ARRAY) {
        this.where = byte === QUOTE ? 'long string' : 'long numbers';
        return false;
      }
      if (!SPACES.has(byte)) this.where = 'between';
    }
    this.keep(byte);
    switch (this.where) {
      case 'string':
        if (byte === BACKSLASH) this.where = 'escape';
        else if (byte === QUOTE) {
          this.where = 'between';
          this.isNamed = this.rest.subarray(this.stringFrom, this.restBytes).equals(this.name);
        }
        break;
      case 'escape':
        this.where = 'string';
        break;
      case 'between':
        if (byte === QUOTE) {
          this.where = 'string';
          this.stringFrom = this.restBytes - 1;
        } else if (byte === COLON && this.isNamed) this.where = 'value';
        if (!SPACES.has(byte)) this.isNamed = false;
        break;
      case 'value':
      case 'long string':
      case 'long numbers':
        break;
    }
    return true;
  }

  private keep(byte: number): void {
    if (this.restBytes === this.rest.length) {
      if (this.restBytes >= REST_BYTES_MAX)
        throw new MisshapenAnswer(`an answer of too much beside its ${this.values.many}`);
      const larger = Buffer.allocUnsafe(2 * this.rest.length);
      this.rest.copy(larger);
      this.rest = larger;
    }
    this.rest[this.restBytes++] = byte;
  }
}

/** Some servers escape the slashes of JSON. */
const withoutEscapes = (json: Buffer): Buffer => Buffer.from(json.toString('latin1').replaceAll('\\/', '/'), 'latin1');
