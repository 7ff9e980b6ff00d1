import type { Shape } from './declaration.js';

export type Leaf = Extract<Shape, { kind: 'word' | 'number' | 'flag' | 'name' | 'image' | 'opaque' }>;

const anyCase = (words: string): string => words.replaceAll(/[a-z]/g, (letter) => `[${letter.toUpperCase()}${letter}]`);
const KINDS = ['png', 'jpe?g', 'gif', 'webp'].map(anyCase).join('|');
/** An address, or an image of a kind that models read, in base64. Without a flag, so that a JSON Schema can have it. */
const IMAGE = new RegExp(
  `^(${anyCase('https?')}://\\S{1,8192}|${anyCase('data:image')}/(${KINDS});${anyCase('base')}64,[A-Za-z0-9+/]*={0,2})$`,
);
/** How the base64 of each kind begins: its first bytes. */
const BEGINNINGS = [
  ['iVBORw0KGgo', 'png'],
  ['/9j/', 'jpeg'],
  ['R0lGOD', 'gif'],
  ['UklGR', 'webp'],
] as const;
const BARE_IMAGE = new RegExp(`^(${BEGINNINGS.map(([beginning]) => beginning).join('|')})[A-Za-z0-9+/]*={0,2}$`);

/** As providers write what only they can read: base64, in parts. E.g. `gAAAA…`, `eyJ….eyJ…`. */
const OPAQUE = /^[A-Za-z0-9+/_=.-]*$/;
/** More than any body has. */
export const OPAQUE_MAX = 16_777_216;

/** The address of an image of which there is only the base64. */
export function addressOf(bare: string): string {
  const [, kind] = BEGINNINGS.find(([beginning]) => bare.startsWith(beginning))!;
  return `data:image/${kind};base64,${bare}`;
}

/** Looked up once: a request may hold hundreds of thousands of numbers. */
const { isInteger } = Number;

/** Whether a value is one that a leaf declares. */
export function fitsOf(shape: Leaf): (value: unknown) => boolean {
  switch (shape.kind) {
    case 'word': {
      const words = new Set<unknown>(shape.words);
      return (value) => words.has(value);
    }
    case 'number': {
      const { least, most, whole } = shape;
      return (value) => typeof value === 'number' && value >= least && value <= most && (!whole || isInteger(value));
    }
    case 'flag':
      return (value) => typeof value === 'boolean';
    case 'name':
      return (value) => typeof value === 'string' && shape.form.test(value);
    case 'opaque':
      return (value) => typeof value === 'string' && value.length <= OPAQUE_MAX && OPAQUE.test(value);
    case 'image': {
      const form = shape.bare ? BARE_IMAGE : IMAGE;
      return (value) => typeof value === 'string' && form.test(value);
    }
  }
}

/** The form of a string, as JSON Schema takes it: without flags. */
export function patternOf(shape: Extract<Leaf, { kind: 'name' | 'image' | 'opaque' }>): string {
  if (shape.kind === 'opaque') return OPAQUE.source;
  if (shape.kind === 'image') return (shape.bare ? BARE_IMAGE : IMAGE).source;
  return shape.form.source;
}
