import { DaypassError } from '#libs/contracts/errors.js';

/** What reads a request below here is recursive, and no honest one is this deep. */
export const DEPTH_MAX = 64;
/** Objects, arrays, strings and numbers of one request, all together, with the names of its fields. */
const VALUES_MAX = 100_000;
/** A name counts for three: a parser takes so long for a name that is new to it (measured). */
const NAME_VALUES = 3;
/** A number that JavaScript might not hold: sixteen digits, or an exponent of three. */
const LARGE_NUMBER = /\d{16}|[eE]\+?\d{3}/;
/** So many digits before a fraction or an exponent. */
const LARGE_INTEGER = /^-?\d{16}/;
/** No shorter number is large: `1e999`. */
const LARGE_NUMBER_BYTES = 5;
const PARAM_CHARACTERS_MAX = 200;

const [QUOTE, BACKSLASH, COMMA, MINUS, ZERO, NINE, COLON] = [0x22, 0x5c, 0x2c, 0x2d, 0x30, 0x39, 0x3a];
const [ARRAY, ARRAY_END, OBJECT, OBJECT_END, UNICODE] = [0x5b, 0x5d, 0x7b, 0x7d, 0x75];
const [SPACE, TAB, LINE, RETURN] = [0x20, 0x09, 0x0a, 0x0d];
const ESCAPE_BYTES = 6;
const NONE = -1;

type Where = 'between' | 'string' | 'escape' | 'code' | 'atom';

/**
 * Looks at a request's JSON while it arrives, in one pass and before any parser. So the bounds hold from the first byte
 * that breaks them. It finds numbers that JavaScript cannot hold. In place of each half of a surrogate pair that an
 * escape names, it writes U+FFFD.
 */
export class JsonScan {
  private where: Where = 'between';
  private values = 0;
  private depth = 0;
  /** By level: whether it is an object, its index in an array, and where its last name begins and ends. */
  private readonly isObject: boolean[] = [];
  private readonly index: number[] = [];
  private readonly nameFrom: number[] = [];
  private readonly nameTo: number[] = [];
  private nameNext = false;
  private isName = false;
  private atomFrom = 0;
  private escapeFrom = 0;
  private code = 0;
  /** Where the first half of a pair stands that waits for its second half. */
  private halfAt = NONE;
  private unsafeAt: string | null = null;

  /** `freeNumbers`: so many numbers in arrays do not count. A parser takes a tenth of the time for one of them (measured). */
  constructor(private freeNumbers = 0) {}

  /**
   * Looks at the bytes from `from` to `to`. `bytes` holds all bytes before them, too.
   * @throws DaypassError `invalid_request` for what is nested too deep, or holds too many values
   */
  read(bytes: Buffer, from: number, to: number): void {
    for (let at = from; at < to; at++) {
      const byte = bytes[at]!;
      switch (this.where) {
        case 'string':
          if (byte === QUOTE) this.endString(bytes, at);
          else if (byte === BACKSLASH) {
            this.where = 'escape';
            this.escapeFrom = at;
          } else at = endOfRun(bytes, at + 1, to) - 1;
          break;
        case 'escape':
          this.code = 0;
          this.where = byte === UNICODE ? 'code' : 'string';
          if (byte !== UNICODE) this.pair(bytes);
          break;
        case 'code':
          this.code = this.code * 16 + digitOf(byte);
          if (at === this.escapeFrom + ESCAPE_BYTES - 1) {
            this.where = 'string';
            this.pair(bytes);
          }
          break;
        case 'atom':
          if (!endsAtom(byte)) break;
          this.endAtom(bytes, at);
          this.between(byte, at);
          break;
        case 'between':
          this.between(byte, at);
      }
    }
  }

  /**
   * After the last byte, and after a parser took the whole.
   * @throws DaypassError `invalid_request`, which names the first number beyond 2^53
   */
  refuseUnsafe(bytes: Buffer): void {
    if (this.where === 'atom') this.endAtom(bytes, bytes.length);
    if (this.unsafeAt === null) return;
    throw new DaypassError(
      'invalid_request',
      `'${this.unsafeAt}' is a number beyond 2^53, which JSON's readers change in silence. Give a smaller one, or a string.`,
      { param: this.unsafeAt },
    );
  }

  private between(byte: number, at: number): void {
    switch (byte) {
      case SPACE:
      case TAB:
      case LINE:
      case RETURN:
      case COLON:
        return;
      case COMMA:
        if (this.isObject[this.depth]) this.nameNext = true;
        else this.index[this.depth]!++;
        return;
      case ARRAY_END:
      case OBJECT_END:
        if (this.depth > 0) this.depth--;
        this.nameNext = false;
        return;
      case ARRAY:
      case OBJECT:
        this.count();
        this.enter(byte === OBJECT);
        return;
      case QUOTE:
        this.where = 'string';
        this.isName = this.nameNext;
        this.count(this.isName ? NAME_VALUES : 1);
        if (this.isName) this.nameFrom[this.depth] = at;
        this.nameNext = false;
        return;
      default:
        if (this.freeNumbers > 0 && this.depth > 0 && !this.isObject[this.depth]) this.freeNumbers--;
        else this.count();
        this.where = 'atom';
        this.atomFrom = at;
    }
  }

  private count(values = 1): void {
    this.values += values;
    if (this.values > VALUES_MAX) {
      throw new DaypassError('invalid_request', `The request body must not hold more than ${VALUES_MAX} values.`);
    }
  }

  private enter(isObject: boolean): void {
    if (++this.depth > DEPTH_MAX + 1) {
      throw new DaypassError('invalid_request', `The request body must not be nested deeper than ${DEPTH_MAX} levels.`);
    }
    this.isObject[this.depth] = isObject;
    this.index[this.depth] = 0;
    this.nameNext = isObject;
  }

  private endString(bytes: Buffer, at: number): void {
    this.where = 'between';
    this.loneHalf(bytes);
    if (this.isName) this.nameTo[this.depth] = at + 1;
  }

  /** An escape is over: it makes a pair with the one right before it, or that one stands alone. */
  private pair(bytes: Buffer): void {
    const { code, escapeFrom } = this;
    const isSecond = code >= 0xdc00 && code <= 0xdfff;
    if (isSecond && this.halfAt !== NONE && this.halfAt + ESCAPE_BYTES === escapeFrom) {
      this.halfAt = NONE;
      return;
    }
    this.loneHalf(bytes);
    if (isSecond) bytes.write('fffd', escapeFrom + 2, 'latin1');
    else if (code >= 0xd800 && code <= 0xdbff) this.halfAt = escapeFrom;
  }

  private loneHalf(bytes: Buffer): void {
    if (this.halfAt === NONE) return;
    bytes.write('fffd', this.halfAt + 2, 'latin1');
    this.halfAt = NONE;
  }

  private endAtom(bytes: Buffer, at: number): void {
    this.where = 'between';
    if (this.unsafeAt !== null || at - this.atomFrom < LARGE_NUMBER_BYTES) return;
    const first = bytes[this.atomFrom]!;
    if (first !== MINUS && (first < ZERO || first > NINE)) return;
    const source = bytes.toString('latin1', this.atomFrom, at);
    if (!LARGE_NUMBER.test(source)) return;
    const value = Math.abs(Number(source));
    // What is no number at all is the parser's to refuse.
    if (value > Number.MAX_SAFE_INTEGER && (value === Infinity || LARGE_INTEGER.test(source)))
      this.unsafeAt = this.path(bytes);
  }

  /** As errors name places, e.g. `tools[0].function`. */
  private path(bytes: Buffer): string {
    let path = '';
    for (let level = 1; level <= this.depth && path.length < PARAM_CHARACTERS_MAX; level++) {
      if (!this.isObject[level]) path += `[${this.index[level]}]`;
      else
        path += `${path === '' ? '' : '.'}${nameIn(bytes.toString('utf8', this.nameFrom[level], this.nameTo[level]))}`;
    }
    return path.slice(0, PARAM_CHARACTERS_MAX);
  }
}

/** Bytes of a string that mean nothing to the scan. */
function endOfRun(bytes: Buffer, from: number, to: number): number {
  let at = from;
  while (at < to && bytes[at] !== QUOTE && bytes[at] !== BACKSLASH) at++;
  return at;
}

function endsAtom(byte: number): boolean {
  switch (byte) {
    case COMMA:
    case OBJECT_END:
    case ARRAY_END:
    case OBJECT:
    case ARRAY:
    case QUOTE:
    case COLON:
    case SPACE:
    case TAB:
    case LINE:
    case RETURN:
      return true;
    default:
      return false;
  }
}

/** NaN, and so no surrogate, for what is no hexadecimal digit. */
function digitOf(byte: number): number {
  if (byte >= ZERO && byte <= NINE) return byte - ZERO;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : Number.NaN;
}

/** A name where its JSON can be read; otherwise a parser refuses all of it. */
function nameIn(json: string): string {
  try {
    return String(JSON.parse(json));
  } catch {
    return '';
  }
}
