import type { JsonObject } from './json.js';

/**
 * What a request or an answer may hold, place by place. What is judged, counted, forwarded and shown is derived from it
 * (`compile.ts`), so that these cannot disagree.
 */
export type Shape =
  /** A model reads it, or wrote it: judged and counted. `most`: characters that a request may have there. */
  | { kind: 'text'; most?: number }
  /** JSON in a string, such as a call's arguments: judged as what it decodes to. */
  | { kind: 'encoded' }
  /** Of the visitor's own shape, such as a tool's schema: keys and values are judged and counted. */
  | { kind: 'open' }
  /** The address of an image, `https:` or `data:`. `bare`: its base64 alone, without an address. */
  | { kind: 'image'; bare?: boolean }
  /** A provider made it, and nobody else can read it: neither judged nor counted as text. Tokens of it are estimated. */
  | { kind: 'opaque' }
  /** A text file as a `data:` URL in base64: judged, counted and sent as the text in it. */
  | { kind: 'file' }
  /** One of a closed list. `unpriceable`: what any other is called, because nobody can say what it costs. */
  | { kind: 'word'; words: readonly string[]; unpriceable?: string }
  | { kind: 'number'; least: number; most: number; whole: boolean }
  | { kind: 'flag' }
  /** An id of a narrow alphabet and length: counted, not judged. `orText`: any other string is judged as text. `what`: in errors. */
  | { kind: 'name'; form: RegExp; orText?: boolean; unpriceable?: string; what?: string }
  /** The relay decides it: what the visitor says is checked, and not forwarded. `told`: in `x-daypass-adjusted`. */
  | { kind: 'ours'; shape: Shape; told: boolean }
  /** Known, without effect or cost: dropped and told in `x-daypass-adjusted`. */
  | { kind: 'harmless' }
  /** Known, and not offered. `why`: sentences that say what to do instead. `butFalse`: false is dropped. */
  | { kind: 'refused'; why: string; code: RefusalCode; butFalse: boolean }
  /** Nobody can say what it costs at most. */
  | { kind: 'unpriceable'; what: string }
  /** `settled`: what goes on of what its fields let through (`kept`) of what the visitor `sent`. It throws a DaypassError that begins its parameter with `at`. */
  | {
      kind: 'object';
      fields: Fields;
      required: readonly string[];
      settled?: (kept: JsonObject, sent: JsonObject, at: string) => JsonObject;
    }
  | { kind: 'list'; item: Shape; least: number; most: number }
  /** Names of a narrow form, with a value each. */
  | { kind: 'map'; form: RegExp; value: Shape; most: number }
  /** An object whose field `by` says which. `unpriceable`: any other costs what nobody knows. `absent`: one without that field. */
  | { kind: 'variants'; by: string; of: Readonly<Record<string, Shape>>; unpriceable: string | null; absent?: Shape }
  /** The first that takes a value of its JSON type. */
  | { kind: 'either'; of: readonly Shape[] };

/** `unpriceable_request`: its cost has no bound. `unknown_parameter`: another API has it. */
export type RefusalCode = 'invalid_request' | 'unpriceable_request' | 'unknown_parameter';

export type Fields = Readonly<Record<string, Shape>>;

export const text: Shape = { kind: 'text' };
export const textUpTo = (most: number): Shape => ({ kind: 'text', most });
export const encoded: Shape = { kind: 'encoded' };
export const open: Shape = { kind: 'open' };
export const image: Shape = { kind: 'image' };
export const textFile: Shape = { kind: 'file' };
export const bareImage: Shape = { kind: 'image', bare: true };
export const opaque: Shape = { kind: 'opaque' };
export const flag: Shape = { kind: 'flag' };
export const harmless: Shape = { kind: 'harmless' };
export const refused = (
  why: string,
  { code = 'invalid_request', butFalse = false }: { code?: RefusalCode; butFalse?: boolean } = {},
): Shape => ({ kind: 'refused', why, code, butFalse });
export const word = (...words: string[]): Shape => ({ kind: 'word', words });
export const number = (least = -Number.MAX_VALUE, most = Number.MAX_VALUE): Shape => ({
  kind: 'number',
  least,
  most,
  whole: false,
});
export const whole = (least = Number.MIN_SAFE_INTEGER, most = Number.MAX_SAFE_INTEGER): Shape => ({
  kind: 'number',
  least,
  most,
  whole: true,
});
/** As `word`, where any other one has no known cost. */
export const pricedWord = (what: string, ...words: string[]): Shape => ({ kind: 'word', words, unpriceable: what });
export const name = (form: RegExp, more: { orText?: boolean; unpriceable?: string; what?: string } = {}): Shape => ({
  kind: 'name',
  form,
  ...more,
});
export const ours = (shape: Shape, { told = false } = {}): Shape => ({ kind: 'ours', shape, told });
export const unpriceable = (what: string): Shape => ({ kind: 'unpriceable', what });
export const object = (fields: Fields, ...required: string[]): Shape => ({ kind: 'object', fields, required });
export const settled = (shape: Shape, by: NonNullable<Extract<Shape, { kind: 'object' }>['settled']>): Shape =>
  shape.kind === 'object' ? { ...shape, settled: by } : shape;
export const list = (item: Shape, most: number, least = 0): Shape => ({ kind: 'list', item, least, most });
export const map = (form: RegExp, value: Shape, most: number): Shape => ({ kind: 'map', form, value, most });
export const variants = (
  by: string,
  of: Readonly<Record<string, Shape>>,
  unpriceableWhat: string | null = null,
  absent?: Shape,
): Shape => ({
  kind: 'variants',
  by,
  of,
  unpriceable: unpriceableWhat,
  ...(absent ? { absent } : {}),
});
export const either = (...of: Shape[]): Shape => ({ kind: 'either', of });

/** Ids that visitors send: too narrow to say much. E.g. `call_a1`. */
export const ID = /^[A-Za-z0-9_-]{1,64}$/;
/** Ids and names that providers make, e.g. `functions.weather:0`, `openai/gpt-5@2026`. */
export const PROVIDER_ID = /^[A-Za-z0-9_.:@|/+=-]{1,256}$/;

/** Of every request: how a visitor asks for more moderation. */
export const WISHES: Fields = { moderateInput: ours(flag), moderateOutput: ours(flag) };
