import type { Shape } from './declaration.js';
import { openReplaced, wellFormedEscapes } from './encoded.js';
import { isObject, type JsonObject } from './json.js';
import { refuseFile, textFileIn, writtenFile } from './text.file.js';
import { addressOf, fitsOf, type Leaf } from './leaf.js';
import {
  below,
  describe,
  jsonType,
  oneOf,
  placeOf,
  refuse,
  refuseOffer,
  refuseUnknown,
  refuseUnpriceable,
  typeOf,
} from './refusals.js';

/** What a parser says beside what it lets through, by the path of the place without its indexes. */
export interface Notes {
  adjusted: Set<string>;
  ours: Map<string, unknown>;
}

/** Sees every place that holds something. `path` names it, with the index of its output. */
export interface Sight {
  text(path: string, text: string): void;
  /** JSON in a string, or a part of it. */
  encoded(path: string, text: string): void;
  /** A value without the declared shape, or of none: all its keys and values are text. */
  open(path: string, value: unknown): void;
  /** A field that is not declared: its name and its value are text. */
  unknown(path: string, name: string, value: unknown): void;
  name(text: string): void;
  image(path: string, url: string): void;
  /** What nobody but its provider can read. Absent: it is passed over. */
  opaque?(text: string): void;
}

/** What stands in the place of a text, of a key, or of JSON in a string. */
export interface Put {
  text(path: string, text: string): string;
  key(text: string): string;
  encoded(path: string, text: string): string;
  /** Absent: images stay. */
  image?(url: string): string;
}

/** A declaration, made ready once for all calls. */
export interface Compiled {
  /** What goes on of a request's value; undefined: nothing. @throws DaypassError that names the place */
  parse(value: unknown, at: string, notes: Notes): unknown;
  /** Of any value, a request's or an answer's: what has not the declared form is open text, and nothing is passed over. */
  visit(value: unknown, path: string, sight: Sight): void;
  /** The same value with its texts replaced. */
  replaced(value: unknown, path: string, put: Put): unknown;
  /** Whether `parse` returns the very value, and notes nothing. Most values are such, and then nobody needs their path. */
  isTaken?(value: unknown): boolean;
  /** Whether `visit` sees nothing in the value. */
  isSilent?(value: unknown): boolean;
}

const known = new WeakMap<Shape, Compiled>();

export function compile(shape: Shape): Compiled {
  const before = known.get(shape);
  if (before) return before;
  const compiled = make(shape);
  known.set(shape, compiled);
  return compiled;
}

const OPEN: Compiled = {
  parse: (value) => value,
  visit: (value, path, sight) => sight.open(path, value),
  replaced: openReplaced,
};

const NOTHING = { visit: (): void => undefined, replaced: (value: unknown): unknown => value };

function make(shape: Shape): Compiled {
  switch (shape.kind) {
    case 'open':
      return OPEN;
    case 'text':
      return {
        ...textual(
          (path, text, sight) => sight.text(path, text),
          (text, at) =>
            text.length > (shape.most ?? Infinity) ? refuse(at, `a string of at most ${shape.most} characters`) : text,
          (text, path, put) => put.text(path, text),
        ),
        isTaken: (value) => typeof value === 'string' && value.length <= (shape.most ?? Infinity),
      };
    case 'encoded':
      return textual(
        (path, text, sight) => sight.encoded(path, text),
        wellFormedEscapes,
        (text, path, put) => put.encoded(path, text),
      );
    case 'file':
      return {
        parse: (value, at) => {
          const file = typeof value === 'string' ? textFileIn(value) : null;
          return file ? writtenFile(file.text) : refuseFile(at, value);
        },
        visit: (value, path, sight) => {
          const file = typeof value === 'string' ? textFileIn(value) : null;
          if (!file) OPEN.visit(value, path, sight);
          else if (file.text !== '') sight.text(path, file.text);
        },
        replaced: (value, path, put) => {
          const file = typeof value === 'string' ? textFileIn(value) : null;
          if (!file) return OPEN.replaced(value, path, put);
          return file.text === '' ? value : writtenFile(put.text(path, file.text));
        },
      };
    case 'word':
    case 'number':
    case 'flag':
    case 'name':
    case 'image':
    case 'opaque':
      return leaf(shape);
    case 'ours': {
      const inner = compile(shape.shape);
      return {
        ...NOTHING,
        parse: (value, at, notes) => {
          notes.ours.set(placeOf(at), inner.parse(value, at, notes));
          if (shape.told) notes.adjusted.add(placeOf(at));
        },
      };
    }
    case 'harmless':
      return { ...NOTHING, parse: (_, at, notes) => void notes.adjusted.add(placeOf(at)) };
    case 'refused':
      return {
        ...OPEN,
        parse: (value, at) => (shape.butFalse && value === false ? undefined : refuseOffer(at, shape)),
      };
    case 'unpriceable':
      return { ...OPEN, parse: (_, at) => refuseUnpriceable(at, shape.what) };
    case 'object':
      return objectOf(shape);
    case 'list':
      return listOf(shape);
    case 'map':
      return mapOf(shape);
    case 'variants':
      return variantsOf(shape);
    case 'either': {
      const types = shape.of.map((one) => [typeOf(one), compile(one)] as const);
      const pick = (value: unknown): Compiled | undefined => types.find(([type]) => type === jsonType(value))?.[1];
      return {
        parse: (value, at, notes) =>
          (pick(value) ?? { parse: () => refuse(at, describe(shape)) }).parse(value, at, notes),
        visit: (value, path, sight) => (pick(value) ?? OPEN).visit(value, path, sight),
        replaced: (value, path, put) => (pick(value) ?? OPEN).replaced(value, path, put),
        isTaken: (value) => pick(value)?.isTaken?.(value) ?? false,
        isSilent: (value) => pick(value)?.isSilent?.(value) ?? false,
      };
    }
  }
}

function textual(
  see: (path: string, text: string, sight: Sight) => void,
  kept: (text: string, at: string) => string,
  replace: (text: string, path: string, put: Put) => string,
): Compiled {
  return {
    parse: (value, at) => (typeof value === 'string' ? kept(value, at) : refuse(at, 'a string')),
    visit: (value, path, sight) => {
      if (typeof value !== 'string') OPEN.visit(value, path, sight);
      else if (value !== '') see(path, value, sight);
    },
    replaced: (value, path, put) => {
      if (typeof value !== 'string') return OPEN.replaced(value, path, put);
      return value === '' ? value : replace(value, path, put);
    },
  };
}

function leaf(shape: Leaf): Compiled {
  const fits = fitsOf(shape);
  const isSeen = shape.kind === 'name' || shape.kind === 'image' || shape.kind === 'opaque';
  return {
    isTaken: fits,
    ...(isSeen ? {} : { isSilent: fits }),
    parse: (value, at) => {
      if (fits(value)) return value;
      if (typeof value === 'string' && shape.kind === 'name' && shape.orText) return value;
      if (typeof value === 'string' && 'unpriceable' in shape && shape.unpriceable !== undefined) {
        return refuseUnpriceable(at, `${shape.unpriceable} '${value.slice(0, 40)}'`);
      }
      return refuse(at, describe(shape));
    },
    visit: (value, path, sight) => {
      if (!fits(value)) OPEN.visit(value, path, sight);
      else if (shape.kind === 'name') sight.name(value as string);
      else if (shape.kind === 'image') sight.image(path, shape.bare ? addressOf(value as string) : (value as string));
      else if (shape.kind === 'opaque') sight.opaque?.(value as string);
    },
    replaced: (value, path, put) => {
      if (!fits(value)) return OPEN.replaced(value, path, put);
      return shape.kind === 'image' && !shape.bare && put.image ? put.image(value as string) : value;
    },
  };
}

function objectOf({ fields, required, settled }: Extract<Shape, { kind: 'object' }>): Compiled {
  const byName = new Map(Object.entries(fields).map(([name, field]) => [name, compile(field)]));
  return {
    parse: (value, at, notes) => {
      if (!isObject(value)) return refuse(at, 'an object');
      const kept: JsonObject = {};
      for (const name of Object.keys(value)) {
        const inner = value[name];
        // null is absent, whatever its name.
        if (inner === null) continue;
        const field = byName.get(name);
        if (!field) return refuseUnknown(below(at, name));
        const one = field.isTaken?.(inner) ? inner : field.parse(inner, below(at, name), notes);
        if (one !== undefined) kept[name] = one;
      }
      for (const name of required)
        if (kept[name] === undefined) refuse(below(at, name), `${describe(fields[name]!)}, and is required`);
      return settled ? settled(kept, value, at) : kept;
    },
    visit: (value, path, sight) => {
      if (!isObject(value)) return OPEN.visit(value, path, sight);
      for (const name in value) {
        const inner = value[name];
        const field = byName.get(name);
        if (!field) sight.unknown(path, name, inner);
        else if (inner !== null && !field.isSilent?.(inner))
          field.visit(inner, path === '' ? name : `${path}.${name}`, sight);
      }
    },
    replaced: (value, path, put) => {
      if (!isObject(value)) return OPEN.replaced(value, path, put);
      return Object.fromEntries(
        Object.entries(value).flatMap(([name, inner]) => {
          const field = byName.get(name);
          if (!field) return Object.entries(OPEN.replaced({ [name]: inner }, path, put) as JsonObject);
          return [[name, inner === null ? null : field.replaced(inner, path === '' ? name : `${path}.${name}`, put)]];
        }),
      );
    },
  };
}

function listOf({ item, least, most }: Extract<Shape, { kind: 'list' }>): Compiled {
  const one = compile(item);
  // A request may hold hundreds of thousands of numbers, such as tokens. A path for each would take longer than all else.
  const number = (item.kind === 'either' ? item.of : [item]).find(({ kind }) => kind === 'number');
  const fits = number && fitsOf(number as Leaf);
  const isNumbers = (value: readonly unknown[]): boolean =>
    fits !== undefined && value.every((inner) => typeof inner === 'number' && fits(inner));
  return {
    parse: (value, at, notes) => {
      if (!Array.isArray(value)) return refuse(at, 'an array');
      if (value.length < least) return refuse(at, `an array of at least ${least}`);
      if (value.length > most) return refuse(at, `an array of at most ${most}`);
      if (isNumbers(value)) return value;
      return value.map((inner: unknown, index) => one.parse(inner, `${at}[${index}]`, notes));
    },
    visit: (value, path, sight) => {
      if (!Array.isArray(value)) return OPEN.visit(value, path, sight);
      if (isNumbers(value)) return;
      value.forEach((inner: unknown, index) => one.visit(inner, `${path}.${indexOf(inner, index)}`, sight));
    },
    replaced: (value, path, put) =>
      Array.isArray(value)
        ? isNumbers(value)
          ? value
          : value.map((inner: unknown, index) => one.replaced(inner, `${path}.${indexOf(inner, index)}`, put))
        : OPEN.replaced(value, path, put),
  };
}

/** Parts of a stream say which item of a list they add to. */
function indexOf(item: unknown, position: number): number {
  const index = isObject(item) ? item.index : undefined;
  return typeof index === 'number' ? index : position;
}

function mapOf({ form, value: shape, most }: Extract<Shape, { kind: 'map' }>): Compiled {
  const one = compile(shape);
  return {
    parse: (value, at, notes) => {
      if (!isObject(value)) return refuse(at, 'an object');
      const entries = Object.entries(value);
      if (entries.length > most) return refuse(at, `an object of at most ${most} names`);
      return Object.fromEntries(
        entries.flatMap(([name, inner]) => {
          if (inner === null) return [];
          if (!form.test(name)) refuseUnknown(below(at, name));
          return [[name, one.parse(inner, below(at, name), notes)]];
        }),
      );
    },
    visit: (value, path, sight) => {
      if (!isObject(value)) return OPEN.visit(value, path, sight);
      for (const [name, inner] of Object.entries(value)) {
        if (form.test(name)) one.visit(inner, `${path}.${name}`, sight);
        else sight.unknown(path, name, inner);
      }
    },
    replaced: (value, path, put) => {
      if (!isObject(value)) return OPEN.replaced(value, path, put);
      return Object.fromEntries(
        Object.entries(value).flatMap(([name, inner]) =>
          form.test(name)
            ? [[name, one.replaced(inner, `${path}.${name}`, put)]]
            : Object.entries(OPEN.replaced({ [name]: inner }, path, put) as JsonObject),
        ),
      );
    },
  };
}

function variantsOf({ by, of, unpriceable, absent }: Extract<Shape, { kind: 'variants' }>): Compiled {
  const byWord = new Map<unknown, Compiled>(Object.entries(of).map(([word, shape]) => [word, compile(shape)]));
  if (absent) for (const nothing of [undefined, null]) byWord.set(nothing, compile(absent));
  const offered = Object.keys(of).filter((word) => of[word]!.kind !== 'refused');
  const pick = (value: unknown): Compiled | undefined => (isObject(value) ? byWord.get(value[by]) : undefined);
  return {
    parse: (value, at, notes) => {
      const one = pick(value);
      if (one) return one.parse(value, at, notes);
      if (!isObject(value)) return refuse(at, `an object with a '${by}'`);
      if (unpriceable !== null && typeof value[by] === 'string') {
        return refuseUnpriceable(below(at, by), `${unpriceable} of ${by} '${value[by].slice(0, 40)}'`);
      }
      return refuse(below(at, by), oneOf(offered));
    },
    visit: (value, path, sight) => (pick(value) ?? OPEN).visit(value, path, sight),
    replaced: (value, path, put) => (pick(value) ?? OPEN).replaced(value, path, put),
  };
}
