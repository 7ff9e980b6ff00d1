import type { Shape } from './declaration.js';
import { isObject, type Json } from './json.js';
import { jsonType, typeOf } from './refusals.js';

const NUMBER = /^-?\d{1,15}(\.\d{1,15})?$/;
const FLAGS: Readonly<Record<string, boolean>> = { true: true, false: false };

/**
 * What a form's fields say, as JSON of a declared shape. A form has strings only, and a field without a value says nothing.
 * What does not fit stays as it is: `parse` then names it.
 */
export function fromForm(shape: Shape, value: Json): Json {
  switch (shape.kind) {
    case 'number':
      return typeof value === 'string' && NUMBER.test(value) ? Number(value) : orNothing(value);
    case 'flag':
      return typeof value === 'string' ? (FLAGS[value.toLowerCase()] ?? orNothing(value)) : value;
    case 'refused':
      return shape.butFalse && value === 'false' ? false : orNothing(value);
    case 'word':
    case 'name':
      return orNothing(value);
    case 'ours':
      return fromForm(shape.shape, value);
    case 'list': {
      const items = value === '' ? null : typeof value === 'string' ? [value] : value;
      return Array.isArray(items) ? items.map((item: unknown) => fromForm(shape.item, item)) : items;
    }
    case 'object':
      if (!isObject(value)) return orNothing(value);
      return Object.fromEntries(
        Object.entries(value).map(([name, inner]) => {
          const field = Object.hasOwn(shape.fields, name) ? shape.fields[name] : undefined;
          return [name, field ? fromForm(field, inner) : inner];
        }),
      );
    case 'either': {
      const fitting = shape.of.find((one) => typeOf(one) === jsonType(value));
      return fitting ? fromForm(fitting, value) : value;
    }
    default:
      return value;
  }
}

const orNothing = (value: Json): Json => (value === '' ? null : value);
