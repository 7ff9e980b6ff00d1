import { DaypassError } from '#libs/contracts/errors.js';
import { ID, type Shape } from './declaration.js';

/** What a visitor is told of a value that a declaration does not let in. */

type JsonType = 'string' | 'number' | 'boolean' | 'array' | 'object' | 'null';

export function typeOf(shape: Shape): JsonType {
  switch (shape.kind) {
    case 'number':
      return 'number';
    case 'flag':
      return 'boolean';
    case 'list':
      return 'array';
    case 'text':
    case 'encoded':
    case 'word':
    case 'name':
    case 'image':
    case 'file':
    case 'opaque':
      return 'string';
    default:
      return 'object';
  }
}

export function jsonType(value: unknown): JsonType {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : (typeof value as JsonType);
}

export function describe(shape: Shape): string {
  switch (shape.kind) {
    case 'word':
      return oneOf(shape.words);
    case 'number': {
      const { least, most, whole } = shape;
      const bounded = Math.abs(least) < Number.MAX_SAFE_INTEGER && most < Number.MAX_SAFE_INTEGER;
      return `a ${whole ? 'whole ' : ''}number${bounded ? ` from ${least} to ${most}` : ''}`;
    }
    case 'flag':
      return 'true or false';
    case 'name':
      if (shape.what !== undefined) return shape.what;
      if (shape.form === ID) return 'an id of at most 64 letters, digits, _ and -';
      return 'a name: letters, digits and . _ : | / + = - only';
    case 'opaque':
      return 'encrypted content as an answer had it';
    case 'image':
      if (shape.bare) return 'the base64 of a png, jpeg, gif or webp image';
      return 'an http or https URL, or a data URL of a png, jpeg, gif or webp image in base64';
    case 'file':
      return 'a data URL of a text file in base64, as UTF-8, e.g. data:text/plain;base64,…';
    case 'either':
      return shape.of.map(describe).join(', or ');
    case 'list':
      return shape.least > 0 ? `an array of at least ${shape.least}` : 'an array';
    case 'ours':
      return describe(shape.shape);
    default:
      return { string: 'a string', object: 'an object' }[typeOf(shape) as 'string' | 'object'];
  }
}

export const oneOf = (words: readonly string[]): string => `one of ${words.map((one) => `'${one}'`).join(', ')}`;
export const below = (at: string, name: string): string => (at === '' ? name : `${at}.${name}`);
/** The same for every message. */
export const placeOf = (at: string): string => at.replaceAll(/\[\d+\]/g, '');

export function refuse(at: string, what: string): never {
  if (at === '') throw new DaypassError('invalid_request', `The request body must be ${what}.`);
  throw new DaypassError('invalid_request', `'${at}' must be ${what}.`, { param: at });
}

export function refuseUnknown(at: string): never {
  const param = at.slice(0, 200);
  throw new DaypassError(
    'unknown_parameter',
    `Unknown parameter: '${param}'. Daypass does not know what it does, so leave it out.`,
    { param },
  );
}

export function refuseOffer(at: string, { why, code }: Extract<Shape, { kind: 'refused' }>): never {
  throw new DaypassError(code, `'${at}' cannot be used here. ${why}`, { param: at });
}

export function refuseUnpriceable(at: string, what: string): never {
  throw new DaypassError(
    'unpriceable_request',
    `The cost of ${what} has no bound here, so this key cannot use it (parameter '${at}').`,
    { param: at },
  );
}
