import { describe, expect, it } from '@jest/globals';
import { DaypassError } from '#libs/contracts/errors.js';
import { compile, type Notes, type Put } from './compile.js';
import {
  bareImage,
  either,
  encoded,
  flag,
  harmless,
  ID,
  image,
  list,
  map,
  name,
  number,
  object,
  opaque,
  open,
  ours,
  pricedWord,
  PROVIDER_ID,
  refused as unoffered,
  text,
  textUpTo,
  unpriceable,
  variants,
  whole,
  word,
  type Shape,
} from './declaration.js';

const noted = (): Notes => ({ adjusted: new Set(), ours: new Map() });
/** Of a field `f` beside nothing else. */
const parsed = (shape: Shape, value: unknown, notes = noted()): unknown =>
  (compile(object({ f: shape })).parse({ f: value }, '', notes) as { f?: unknown }).f;

function refusal(does: () => unknown): { code: string; param: string | undefined; message: string } {
  try {
    does();
  } catch (error) {
    if (error instanceof DaypassError) return { code: error.code, param: error.param, message: error.message };
    throw error;
  }
  throw new Error('was not refused');
}
const refused = (shape: Shape, value: unknown) => refusal(() => parsed(shape, value));

/** All that a sight is shown. */
function seen(shape: Shape, value: unknown): string[] {
  const all: string[] = [];
  const at =
    (kind: string) =>
    (path: string, one: unknown): void =>
      void all.push(`${kind} ${path}: ${typeof one === 'string' ? one : JSON.stringify(one)}`);
  compile(shape).visit(value, '', {
    text: at('text'),
    encoded: at('encoded'),
    open: at('open'),
    unknown: (path, name, one) => at('open')(path, { [name]: one }),
    name: (one) => void all.push(`name ${one}`),
    image: (_, url) => void all.push(`image ${url}`),
  });
  return all;
}
const loud: Put = {
  text: (path, one) => `${path}:${one.toUpperCase()}`,
  key: (one) => `<${one}>`,
  encoded: (path, one) => `${path}|${one}`,
};
const replaced = (shape: Shape, value: unknown): unknown => compile(shape).replaced(value, '', loud);

const AB = variants('type', {
  a: object({ type: word('a'), x: text }, 'x'),
  b: object({ type: word('b'), y: flag }),
});
const SORTS: readonly [string, Shape, readonly unknown[], readonly unknown[], string][] = [
  ['a text', text, ['', 'x', 'a\nb'], [7, true, [], {}], 'a string'],
  ['JSON in a string', encoded, ['', '{"a":1}', 'no JSON'], [7, {}, []], 'a string'],
  ['an open value', open, ['x', 7, true, [], { a: [null] }], [], ''],
  ['a word', word('low', 'high'), ['low', 'high'], ['Low', '', 'x', 7, [], { low: 1 }], "one of 'low', 'high'"],
  ['a number', number(-2, 2), [-2, 0, 1.5, 2], [-2.1, 3, '1', true, [1]], 'a number from -2 to 2'],
  ['a number without bounds', number(), [1e300, -0.1], ['1', {}], 'a number'],
  ['a whole number', whole(1, 8), [1, 8], [0, 9, 1.5, '1'], 'a whole number from 1 to 8'],
  ['a whole number without bounds', whole(), [-7, 2 ** 53 - 1], [0.5, 2 ** 53], 'a whole number'],
  ['a flag', flag, [true, false], ['true', 0, 1], 'true or false'],
  [
    'a name',
    name(ID),
    ['call_a1', 'A-1', 'a'.repeat(64)],
    ['', 'a b', 'a'.repeat(65), 'é', 'functions.x:0', 'a|b', 'a\n', 7],
    'an id of at most 64 letters, digits, _ and -',
  ],
  [
    "a provider's name",
    name(PROVIDER_ID),
    ['call_a1', 'functions.x:0', 'a|b', 'openai/gpt-5@2026', 'a'.repeat(256)],
    ['', 'a b', 'a'.repeat(257), 'é', 7],
    'a name: ',
  ],
  [
    'an image',
    image,
    [
      'https://x/y.png?a=b#c',
      'HTTP://x',
      `https://${'x'.repeat(8_192)}`,
      ...['png', 'jpg', 'jpeg', 'gif', 'webp'].map((kind) => `data:image/${kind};base64,AA+/BB==`),
      'DATA:image/PNG;BASE64,AA',
      `data:image/png;base64,${'A'.repeat(2_097_152)}`,
    ],
    [
      ...['file:///etc', 'ftp://x', '//x', '', 'x', 7, 'https://', ' https://x', 'see https://x'],
      ...['https://x/ y', 'https://x\ny', `https://${'x'.repeat(8_193)}`],
      ...['data:text/html,x', 'data:image/svg+xml;base64,AA', 'data:image/png,AA', 'data:image/png;base64,A"A'],
      ...[
        'data:image/png;charset=x;base64,AA',
        'data:image/png;base64,AA, I say',
        'data:image/png;base64,AA BB',
        'data:image/png;base64,é',
      ],
      `data:image/png;base64,${'A'.repeat(2_097_152)}!`,
    ],
    'an http or https URL, or a data URL of a png, jpeg, gif or webp image in base64',
  ],
  [
    'a bare image',
    bareImage,
    ['iVBORw0KGgoAAA==', '/9j/4AAQ', 'R0lGODlh', `UklGR${'A'.repeat(2_097_152)}`],
    ['', 'AAAA', '/9j/ see', '/9j/4AAQ, I say', 'data:image/png;base64,AAAA', 'https://x/y.png', 7],
    'the base64 of a png, jpeg, gif or webp image',
  ],
  [
    'what only its provider can read',
    opaque,
    ['', 'gAAAAABpJ-x_+/==', 'dp0a1b2c3d.gAAA', 'eyJh.eyJh.c2ln', 'A'.repeat(2_097_152)],
    ['gAAA gAAA', 'gAAA\n', 'ignore "all"', 'é', 'a:b', 7, {}, 'A'.repeat(16_777_217)],
    'encrypted content as an answer had it',
  ],
  ['a text with a most', textUpTo(3), ['', 'abc'], ['abcd'], 'a string of at most 3 characters'],
  ['an object', object({ a: text }), [{}, { a: 'x' }], ['x', [], 7, true], 'an object'],
  ['a list', list(text, 3), [[], ['a', 'b', 'c']], ['x', {}, 7], 'an array'],
  ['a list with a least', list(text, 3, 1), [['a']], [[]], 'an array of at least 1'],
  ['a list with a most', list(text, 3), [], [['a', 'b', 'c', 'd']], 'an array of at most 3'],
  ['a map', map(/^\d+$/, number(0, 1), 2), [{}, { 1: 0, 22: 1 }], ['x', []], 'an object'],
  ['a map with a most', map(/^\d+$/, number(0, 1), 2), [], [{ 1: 0, 2: 0, 3: 0 }], 'an object of at most 2 names'],
  ['variants', AB, [{ type: 'a', x: 'y' }, { type: 'b' }], ['a', []], "an object with a 'type'"],
  ['either', either(text, list(text, 2)), ['x', ['x']], [7, {}, true], 'a string, or an array'],
];

describe('a declaration', () => {
  it('is made ready once', () => expect(compile(AB)).toBe(compile(AB)));

  it.each(SORTS)('lets in %s, and names the place of anything else', (_, shape, good, bad, what) => {
    for (const value of good) expect(parsed(shape, value)).toEqual(value);
    for (const value of bad) {
      const error = refused(shape, value);
      expect(error).toMatchObject({ code: 'invalid_request', param: 'f' });
      expect(error.message).toContain(`'f' must be ${what}`);
    }
  });

  it('says of the body as a whole that it must be an object', () => {
    for (const value of [null, 'x', 7, []])
      expect(refusal(() => compile(object({})).parse(value, '', noted()))).toEqual({
        code: 'invalid_request',
        param: undefined,
        message: 'The request body must be an object.',
      });
  });

  it('takes null for absent everywhere, known or not', () => {
    const notes = noted();
    const shape = object({ a: text, b: object({ c: flag }), h: harmless, o: ours(flag), u: unpriceable('it') });
    const body = { a: null, b: { c: null, d: null }, h: null, o: null, u: null, unknown: null };
    expect(compile(shape).parse(body, '', notes)).toEqual({ b: {} });
    expect([notes.adjusted.size, notes.ours.size]).toEqual([0, 0]);
    expect(parsed(map(/^\d+$/, flag, 9), { 1: null, x: null, 2: true })).toEqual({ 2: true });
    // An item of a list has no name that it could be absent under.
    expect(refused(list(text, 2), [null])).toMatchObject({ code: 'invalid_request', param: 'f[0]' });
  });

  it('asks for what is required', () => {
    const shape = object({ a: text, w: word('x') }, 'a', 'w');
    const of = (value: unknown) =>
      refusal(() => compile(object({ f: list(shape, 9) })).parse({ f: value }, '', noted()));
    expect(of([{ w: 'x' }])).toMatchObject({ param: 'f[0].a', message: "'f[0].a' must be a string, and is required." });
    expect(
      of([
        { a: 'x', w: 'x' },
        { a: null, w: 'x' },
      ]),
    ).toMatchObject({ param: 'f[1].a' });
    expect(of([{ a: '' }])).toMatchObject({ param: 'f[0].w', message: expect.stringContaining("one of 'x'") });
  });

  it('refuses names that it does not know, wherever they stand', () => {
    const code = 'unknown_parameter';
    const shape = object({ a: list(object({ b: map(/^\d+$/, flag, 9) }), 2) });
    const of = (value: unknown) => refusal(() => compile(shape).parse(value, '', noted()));
    expect(of({ best_of: 1 })).toMatchObject({ code, param: 'best_of', message: expect.stringContaining("'best_of'") });
    expect(of({ a: [{}, { c: {} }] })).toMatchObject({ code, param: 'a[1].c' });
    expect(of({ a: [{ b: { x: true } }] })).toMatchObject({ code, param: 'a[0].b.x' });
    for (const odd of ['__proto__', 'constructor', 'toString', ''])
      expect(of(JSON.parse(`{"${odd}":{}}`))).toMatchObject({ code, param: odd });
    expect(of({ ['x'.repeat(10_000)]: 1 }).param).toHaveLength(200);
  });

  it('names the variants that there are, or says that nobody knows what another costs', () => {
    expect(refused(AB, { type: 'c' })).toMatchObject({ param: 'f.type', message: "'f.type' must be one of 'a', 'b'." });
    const some = variants('type', { a: object({ type: word('a') }), mcp: unoffered('Leave it out.') });
    expect(refused(some, { type: 'c' }).message).toBe("'f.type' must be one of 'a'.");
    expect(refused(some, { type: 'mcp' }).message).toContain('Leave it out.');
    expect(refused(AB, {})).toMatchObject({ code: 'invalid_request', param: 'f.type' });
    expect(refused(AB, { type: 'toString' })).toMatchObject({ code: 'invalid_request', param: 'f.type' });
    expect(refused(AB, { type: 'b', x: 'of another variant' })).toMatchObject({
      code: 'unknown_parameter',
      param: 'f.x',
    });
    const priced = variants('type', { a: object({ type: word('a') }) }, 'a tool');
    expect(refused(priced, { type: `c${'x'.repeat(99)}` })).toEqual({
      code: 'unpriceable_request',
      param: 'f.type',
      message: expect.stringContaining(`a tool of type 'c${'x'.repeat(39)}'`),
    });
    expect(refused(priced, { type: 7 })).toMatchObject({ code: 'invalid_request', param: 'f.type' });
  });

  it('takes the first alternative of the type of a value, and no other', () => {
    const shape = either(word('auto'), AB, list(whole(0, 9), 2));
    expect([parsed(shape, 'auto'), parsed(shape, { type: 'b' }), parsed(shape, [7])]).toEqual([
      'auto',
      { type: 'b' },
      [7],
    ]);
    expect(refused(shape, 'x')).toMatchObject({ param: 'f', message: "'f' must be one of 'auto'." });
    expect(refused(shape, [10])).toMatchObject({ param: 'f[0]' });
    expect(refused(shape, true)).toMatchObject({
      param: 'f',
      message: "'f' must be one of 'auto', or an object, or an array.",
    });
  });

  it('refuses what nobody knows the cost of', () => {
    const code = 'unpriceable_request';
    expect(refused(unpriceable('audio'), {})).toMatchObject({
      code,
      param: 'f',
      message: expect.stringContaining('The cost of audio'),
    });
    expect(refused(pricedWord('the tier', 'flex'), 'ultra')).toMatchObject({
      code,
      param: 'f',
      message: expect.stringContaining("the tier 'ultra'"),
    });
    expect(refused(pricedWord('the tier', 'flex'), 7)).toMatchObject({ code: 'invalid_request', param: 'f' });
    const model = name(/^omni-/, { unpriceable: 'the model' });
    expect([parsed(model, 'omni-1'), refused(model, 'gpt-5.4').code]).toEqual(['omni-1', code]);
  });

  it('drops what is harmless, and says so once for all messages', () => {
    const notes = noted();
    const shape = object({ l: list(object({ h: harmless, a: text }), 9), h: harmless });
    expect(compile(shape).parse({ l: [{ h: 1, a: 'x' }, { h: {} }], h: [] }, '', notes)).toEqual({
      l: [{ a: 'x' }, {}],
    });
    expect([...notes.adjusted]).toEqual(['l.h', 'h']);
  });

  it('says what to do instead of what is not offered', () => {
    const shape = unoffered('Do it in the client.');
    for (const value of [true, false, {}, 'x']) {
      expect(refused(shape, value)).toEqual({
        code: 'invalid_request',
        param: 'f',
        message: "'f' cannot be used here. Do it in the client.",
      });
    }
    expect(refused(unoffered('No.', { code: 'unpriceable_request' }), 'x').code).toBe('unpriceable_request');
    const notes = noted();
    expect(parsed(unoffered('No.', { butFalse: true }), false, notes)).toBeUndefined();
    expect(notes.adjusted.size).toBe(0);
    expect(refused(unoffered('No.', { butFalse: true }), true).param).toBe('f');
  });

  it('knows a variant without its name', () => {
    const shape = variants('type', { a: object({ type: word('a') }) }, null, object({ role: word('x') }, 'role'));
    expect([parsed(shape, { type: 'a' }), parsed(shape, { role: 'x' })]).toEqual([{ type: 'a' }, { role: 'x' }]);
    expect(parsed(shape, { type: null, role: 'x' })).toEqual({ role: 'x' });
    expect(refused(shape, {})).toMatchObject({ param: 'f.role' });
    expect(refused(shape, { type: 'b', role: 'x' })).toMatchObject({ param: 'f.type' });
    expect(seen(shape, { type: 'b', role: 'x' })).toEqual(['open : {"type":"b","role":"x"}']);
    expect(seen(shape, { role: 'x' })).toEqual([]);
  });

  it('shows an image without an address under one, and nothing of what only its provider can read', () => {
    const shape = object({ i: bareImage, o: opaque });
    expect(seen(shape, { i: '/9j/4AAQ', o: 'gAAA' })).toEqual(['image data:image/jpeg;base64,/9j/4AAQ']);
    expect(seen(shape, { i: 'a phrase', o: 'a phrase' })).toEqual(['open i: a phrase', 'open o: a phrase']);
    expect(replaced(shape, { i: '/9j/4AAQ', o: 'gAAA' })).toEqual({ i: '/9j/4AAQ', o: 'gAAA' });
  });

  it('keeps what is ours for the relay, checked', () => {
    const notes = noted();
    const shape = object({ o: ours(object({ x: flag })), t: ours(text, { told: true }) });
    expect(compile(shape).parse({ o: { x: true }, t: 'me' }, '', notes)).toEqual({});
    expect([...notes.ours]).toEqual([
      ['o', { x: true }],
      ['t', 'me'],
    ]);
    expect([...notes.adjusted]).toEqual(['t']);
    expect(refused(ours(flag), 'x')).toMatchObject({
      code: 'invalid_request',
      param: 'f',
      message: "'f' must be true or false.",
    });
    expect(refused(ours(object({})), { y: 1 })).toMatchObject({ code: 'unknown_parameter', param: 'f.y' });
  });

  it('takes any text for a name that may be text', () => {
    const shape = name(ID, { orText: true });
    expect([parsed(shape, 'id'), parsed(shape, 'some words')]).toEqual(['id', 'some words']);
    expect(refused(shape, 7)).toMatchObject({ param: 'f' });
    expect(seen(object({ f: shape }), { f: 'id' })).toEqual(['name id']);
    for (const said of ['some words', 'a.b', 'a'.repeat(65)])
      expect(seen(object({ f: shape }), { f: said })).toEqual([`open f: ${said}`]);
  });

  it('lets JSON in a string go on as it came, without halves of surrogate pairs', () => {
    for (const asItCame of ['{ "a": 1, "a": "\\u0041" }', '{"id":9007199254740993,"n":1.50}', 'no JSON', '{"a":'])
      expect(parsed(encoded, asItCame)).toBe(asItCame);
    expect(parsed(encoded, '{"\\ud83d":["\\ude00"], "\\ud83d\\ude00":1}')).toBe(
      '{"\\ufffd":["\\ufffd"], "\\ud83d\\ude00":1}',
    );
  });
});

const ALL = object({
  t: text,
  e: encoded,
  o: open,
  w: word('x'),
  n: number(),
  f: flag,
  id: name(ID),
  i: image,
  our: ours(text),
  h: harmless,
  l: list(object({ index: whole(), t: text }), 9),
  m: map(/^\d+$/, text, 9),
  v: AB,
  ei: either(text, list(text, 9)),
  u: unpriceable('it'),
});
const ALL_GOOD = {
  t: 'a',
  e: '{"k":"v"}',
  o: { k: 'v' },
  w: 'x',
  n: 1,
  f: true,
  id: 'id',
  i: 'https://x',
  our: 'mine',
  h: 'gone',
  l: [{ t: 'b' }, { index: 7, t: 'c' }],
  m: { 1: 'd' },
  v: { type: 'a', x: 'e' },
  ei: ['f'],
  u: 'g',
};

describe('what a declaration shows', () => {
  it('is every place that holds something, by its path', () => {
    expect(seen(ALL, ALL_GOOD)).toEqual([
      'text t: a',
      'encoded e: {"k":"v"}',
      'open o: {"k":"v"}',
      'name id',
      'image https://x',
      'text l.0.t: b',
      'text l.7.t: c',
      'text m.1: d',
      'text v.x: e',
      'text ei.0: f',
      'open u: g',
    ]);
  });

  it('is nothing of empty texts, and of null', () => {
    expect(seen(ALL, { t: '', e: '', o: null, w: null, l: [{ t: '' }] })).toEqual([]);
  });

  it.each(['t', 'e', 'w', 'n', 'f', 'id', 'i', 'l', 'm', 'v', 'ei'])(
    'is all of a value that has not the form of %s',
    (field) => {
      expect(seen(ALL, { [field]: { odd: ['MARK'] } }).join()).toContain('MARK');
      // A list of texts is a good alternative of `ei`, and lists are lists.
      expect(seen(ALL, { [field]: [{ odd: 'MARK' }] }).join()).toContain('MARK');
      if (!['t', 'e', 'ei'].includes(field))
        expect(seen(ALL, { [field]: 'MARK this' })).toEqual([`open ${field}: MARK this`]);
    },
  );

  it('is the name and the value of what nobody declared', () => {
    expect(seen(ALL, { odd: 7 })).toEqual(['open : {"odd":7}']);
    // Whatever is shown beside a name, the name is shown.
    expect(seen(ALL, { odd: null })).toEqual(['open : {"odd":null}']);
    expect(seen(ALL, { l: [{ odd: 'x' }] })).toEqual(['open l.0: {"odd":"x"}']);
    expect(seen(ALL, { m: { odd: 'x' } })).toEqual(['open m: {"odd":"x"}']);
    expect(seen(ALL, { v: { type: 'a', odd: 'x' } })).toEqual(['open v: {"odd":"x"}']);
    expect(seen(ALL, { v: { type: 'other', x: 'y' } })).toEqual(['open v: {"type":"other","x":"y"}']);
    expect(seen(ALL, 'x')).toEqual(['open : x']);
    expect(seen(ALL, JSON.parse('{"__proto__":{"x":"y"}}'))).toEqual(['open : {"__proto__":{"x":"y"}}']);
  });
});

describe('what a declaration replaces', () => {
  it('is every text and every key of nobody’s shape, in its place, and nothing else', () => {
    expect(replaced(ALL, ALL_GOOD)).toEqual({
      ...ALL_GOOD,
      t: 't:A',
      e: 'e|{"k":"v"}',
      o: { '<k>': 'o.k:V' },
      l: [{ t: 'l.0.t:B' }, { index: 7, t: 'l.7.t:C' }],
      m: { 1: 'm.1:D' },
      v: { type: 'a', x: 'v.x:E' },
      ei: ['ei.0:F'],
      u: 'u:G',
    });
    expect(Object.keys(replaced(ALL, ALL_GOOD) as object)).toEqual(Object.keys(ALL_GOOD));
  });

  it('is what is shown, where a value has not its form or no declaration', () => {
    expect(replaced(ALL, { t: { k: 'a' }, w: 'odd', id: 'a b', odd: ['c', 7, null], l: 'd', m: { x: 'e' } })).toEqual({
      t: { '<k>': 't.k:A' },
      w: 'w:ODD',
      id: 'id:A B',
      '<odd>': ['odd.0:C', 'odd.1:7', null],
      l: 'l:D',
      m: { '<x>': 'm.x:E' },
    });
    expect(replaced(ALL, 'x')).toBe(':X');
  });

  it('stays as it is where there is nothing', () => {
    const nothing = { t: '', e: '', o: null, l: [], m: {}, x: null };
    expect(compile(ALL).replaced(nothing, '', { ...loud, key: (one) => one })).toEqual(nothing);
  });

  it('is JSON in a string as one that knows it says, whole, in part or none', () => {
    expect(replaced(ALL, { e: '{"half' })).toEqual({ e: 'e|{"half' });
    expect(replaced(ALL, { e: 'no JSON' })).toEqual({ e: 'e|no JSON' });
    expect(replaced(ALL, { e: ['no string'] })).toEqual({ e: ['e.0:NO STRING'] });
  });
});
