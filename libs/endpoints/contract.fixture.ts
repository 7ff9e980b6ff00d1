import type { Shape } from './declaration.js';
import { isObject, type JsonObject } from './json.js';

/** One of these has the form of any declared name. */
const NAMES = [
  'call_1',
  'AACAPw==',
  '50256',
  'gpt-5.4-mini',
  'omni-moderation-latest',
  'self-harm/intent',
  'A',
  'data:audio/wav;base64,AAAA',
  '1024x1024',
];

/** Values of a declared shape that together hold every field, every alternative and every kind of leaf. */
export function examplesOf(shape: Shape): unknown[] {
  switch (shape.kind) {
    case 'text':
      return ['plain words'];
    case 'encoded':
      return ['{"city":"Lisbon","days":[1,"two"],"deep":{"name":true}}', 'no "JSON\\u002e'];
    case 'open':
      return [{ type: 'object', properties: { place: { enum: ['here', 2, null, true] } } }, ['one', { two: 'three' }]];
    case 'opaque':
      return ['gAAAAABpJ-x_f0==', 'eyJhbGci.eyJhIjox'];
    case 'image':
      if (shape.bare) return ['iVBORw0KGgoAAAAN', '/9j/4AAQ'];
      return ['https://example.org/a.png', 'data:image/png;base64,iVBORw0KGgoAAAAN'];
    case 'file':
      return [`data:text/plain;base64,${Buffer.from('plain words').toString('base64')}`];
    case 'word':
      return shape.words.slice(0, 2);
    case 'number':
      return [Math.min(Math.max(shape.least, 1), shape.most)];
    case 'flag':
      return [true];
    case 'name':
      return [fitting(shape.form)];
    case 'ours':
      return examplesOf(shape.shape);
    case 'harmless':
      return ['anything', { of: ['any', 'shape'] }];
    case 'unpriceable':
      return [];
    case 'refused':
      return shape.butFalse ? [false] : [];
    case 'object': {
      const base = Object.fromEntries(shape.required.map((name) => [name, examplesOf(shape.fields[name]!)[0]]));
      const fields = Object.entries(shape.fields).flatMap(([name, field]) =>
        examplesOf(field).map((value) => ({ ...base, [name]: value })),
      );
      return [base, ...fields];
    }
    case 'list':
      return examplesOf(shape.item).map((item) => [item]);
    case 'map':
      return examplesOf(shape.value).map((value) => ({ [fitting(shape.form)]: value }));
    case 'variants':
      return [
        ...Object.entries(shape.of).flatMap(([word, variant]) =>
          examplesOf(variant).map((value) => ({ ...(value as object), [shape.by]: word })),
        ),
        ...(shape.absent ? examplesOf(shape.absent) : []),
      ];
    case 'either':
      return shape.of.flatMap(examplesOf);
  }
}

function fitting(form: RegExp): string {
  const name = NAMES.find((candidate) => form.test(candidate));
  if (name === undefined) throw new Error(`no example has the form ${form}`);
  return name;
}

type Step = string | number;

/** Every place of a value, leaves and what holds them. */
export function placesOf(value: unknown, path: readonly Step[] = []): (readonly Step[])[] {
  const inner = Array.isArray(value)
    ? value.flatMap((item: unknown, index) => placesOf(item, [...path, index]))
    : isObject(value)
      ? Object.entries(value).flatMap(([name, one]) => placesOf(one, [...path, name]))
      : [];
  return [path, ...inner];
}

export function at(value: unknown, path: readonly Step[]): unknown {
  return path.reduce<unknown>((sofar, step) => (sofar as Record<Step, unknown>)[step], value);
}

/** Each place of the examples once: a former example may have it as well. */
export function* placesOnce(examples: readonly unknown[]): Generator<{ example: unknown; path: readonly Step[] }> {
  const known = new Set<string>();
  for (const example of examples) {
    for (const path of placesOf(example)) {
      const name = nameOfPlace(example, path);
      if (known.has(name)) continue;
      known.add(name);
      yield { example, path };
    }
  }
}

/** A place by its path, by what stands there, and by the words on the way that decide which declaration holds. */
function nameOfPlace(example: unknown, path: readonly Step[]): string {
  const kinds: unknown[] = [];
  let value = example;
  for (const step of path) {
    kinds.push(kindOf(value));
    value = (value as Record<Step, unknown>)[step];
  }
  return JSON.stringify([path, kinds, kindOf(value) ?? value]);
}

/** Of an object or a list: it stands for all of its kind, whatever else it holds. */
function kindOf(value: unknown): unknown[] | undefined {
  if (Array.isArray(value)) return ['list', typeof value[0]];
  return isObject(value) ? ['object', value.type, value.role, value.object] : undefined;
}

/** The same value with another one at a place. */
export function planted(value: unknown, [step, ...rest]: readonly Step[], what: unknown): unknown {
  if (step === undefined) return what;
  if (Array.isArray(value)) {
    return value.map((item: unknown, index) => (index === step ? planted(item, rest, what) : item));
  }
  const entries = Object.entries(value as JsonObject);
  return Object.fromEntries(entries.map(([name, inner]) => [name, name === step ? planted(inner, rest, what) : inner]));
}

/** An example over a whole answer: objects and lists are joined place by place. */
export function merged(base: unknown, over: unknown): unknown {
  if (Array.isArray(base) && Array.isArray(over)) {
    return Array.from({ length: Math.max(base.length, over.length) }, (_, index) =>
      index in over ? merged(base[index], over[index]) : (base[index] as unknown),
    );
  }
  if (!isObject(base) || !isObject(over)) return over;
  return Object.fromEntries(
    [...new Set([...Object.keys(base), ...Object.keys(over)])].map((name) => [
      name,
      name in over ? merged(base[name], over[name]) : base[name],
    ]),
  );
}
