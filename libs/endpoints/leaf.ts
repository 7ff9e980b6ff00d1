import type { Shape } from './declaration.js';

export type Leaf = Extract<Shape, { kind: 'word' | 'number' | 'flag' | 'name' | 'image' }>;

/** An address, or an image of a kind that models read, in base64. */
const IMAGE = /^(https?:\/\/\S{1,8192}$|data:image\/(png|jpe?g|gif|webp);base64,[A-Za-z0-9+/]*={0,2}$)/i;

/** Whether a value is one that a leaf declares. */
export function fitsOf(shape: Leaf): (value: unknown) => boolean {
  switch (shape.kind) {
    case 'word': {
      const words = new Set<unknown>(shape.words);
      return (value) => words.has(value);
    }
    case 'number': {
      const { least, most, whole } = shape;
      return (value) =>
        typeof value === 'number' && value >= least && value <= most && (!whole || Number.isInteger(value));
    }
    case 'flag':
      return (value) => typeof value === 'boolean';
    case 'name':
      return (value) => typeof value === 'string' && shape.form.test(value);
    case 'image':
      return (value) => typeof value === 'string' && IMAGE.test(value);
  }
}
