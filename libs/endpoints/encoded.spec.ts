import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { encodedReplaced, openReplaced, unescaped, walkOpen, wellFormedEscapes } from './encoded.js';
import { cpuMs } from '#libs/testing/cpu-time.js';

/** Some times what it takes. Work that grows with the square takes a hundred times as long. */
const CPU_MS_MAX = 4_000;

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};
/** Each unit as an escape, so that nothing of a text stands in it as it is. */
const hidden = (text: string): string =>
  [...Array(text.length).keys()].map((at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, '0')}`).join('');
const swapped = (replacements: readonly { find: string; replace: string }[]) => {
  const swap = (text: string): string =>
    replacements.reduce((sofar, { find, replace }) => sofar.replaceAll(find, () => replace), text);
  return { key: swap, text: (_: string, text: string) => swap(text) };
};

describe('a value of nobody’s declared shape', () => {
  it('is walked by its keys, strings and numbers, in their order, with a path for each', () => {
    const seen: string[] = [];
    const see = (path: string, text: string): void => void seen.push(`${path}=${text}`);
    walkOpen({ a: ['x', { b: 'y' }], n: 7, none: null, yes: true }, 'at', { key: see, text: see });
    expect(seen).toEqual([
      'at.a=a',
      'at.a.0=x',
      'at.a.1.b=b',
      'at.a.1.b=y',
      'at.n=n',
      'at.n=7',
      'at.none=none',
      'at.yes=yes',
    ]);
  });

  it('is replaced in the same places, and nowhere else', () => {
    const value = { 'a@b.co': ['a@b.co', 7, null, true, ''], c: { d: 'to a@b.co' } };
    expect(openReplaced(value, '', swapped([{ find: 'a@b.co', replace: '[x]' }]))).toEqual({
      '[x]': ['[x]', 7, null, true, ''],
      c: { d: 'to [x]' },
    });
  });

  it('has a string where something was taken out of a number, and its other numbers as they were', () => {
    const value = { card: 4111111111111111, more: [1.5, -0, 41] };
    expect(openReplaced(value, '', swapped([{ find: '4111111111111111', replace: '[card]' }]))).toEqual({
      ...value,
      card: '[card]',
    });
  });
});

describe('JSON in a string', () => {
  it.each([
    '{"a":"M\\u0041RK","a":"fine"}',
    '{"a":{"b":"M\\u0041RK"},"a":1}',
    '{"o":{"\\u004dARK":1,"MARK":2}}',
    '{"a":["MARK \\" x"],"\\u0061":[]}',
    '{"a":"M\\u0041RK"',
    'call M\\u0041RK',
  ])('hides nothing from who judges it, parsed or not: %s', (text) => expect(unescaped(text)).toContain('MARK'));

  it('is judged with its numbers digit by digit', () => {
    const text = '{"id":9007199254740993,"far":1e999,"x":0.12345678901234567890,"n":1.50}';
    expect(unescaped(text)).toBe(text);
  });

  it.each([
    ['a first half', '"\\ud83d"', '"\\ufffd"'],
    ['a second half', '"\\uDE00"', '"\\ufffd"'],
    ['two first halves before a second', '"\\ud83d\\ud83d\\ude00"', '"\\ufffd\\ud83d\\ude00"'],
    ['halves in the wrong order', '"\\ude00\\ud83d"', '"\\ufffd\\ufffd"'],
    ['halves with something between them', '"\\ud83d \\ude00"', '"\\ufffd \\ufffd"'],
    ['a half before another escape', '"\\ud83d\\u0041\\n"', '"\\ufffd\\u0041\\n"'],
    ['a half behind an escaped backslash', '"\\\\\\ud83d"', '"\\\\\\ufffd"'],
    ['a half in a name', '{"\\ud83d":1}', '{"\\ufffd":1}'],
    ['a half in what is no JSON', 'x \\udfff', 'x \\ufffd'],
  ])('goes on without %s', (_, text, written) => expect(wellFormedEscapes(text)).toBe(written));

  it.each(['"\\ud83d\\ude00"', '"\\\\ud83d"', '"\\ud7ff \\ue000"', '"\\ud83"', '{ "a" : 1.50, "a": "\\u0041" }', ''])(
    'goes on as it came where it has no half of a pair: %s',
    (text) => expect(wellFormedEscapes(text)).toBe(text),
  );

  it('reads as it did, but for the halves of pairs', () => {
    const half = fc.constantFrom('\ud83d', '\ude00', '😀', '\\', 'a', '"', 'ud83d');
    fc.assert(
      fc.property(fc.array(half, { maxLength: 12 }), (parts) => {
        const text = JSON.stringify(parts.join(''));
        for (const escaped of [text, `"${hidden(parts.join(''))}"`])
          expect(JSON.parse(wellFormedEscapes(escaped))).toBe(parts.join('').toWellFormed());
      }),
    );
  });

  it('loses what is taken out of it, however it was escaped, and stays JSON', () => {
    const replacements = [{ find: 'a@b.co', replace: '"[email]"\n' }];
    const leaf = fc.oneof(fc.string(), fc.constantFrom('a@b.co', 'to a@b.co!', '\\a@b.co"'), fc.integer());
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(fc.array(tie('node')), fc.dictionary(fc.oneof(fc.string(), fc.constant('a@b.co')), tie('node'))),
      node: fc.oneof({ maxDepth: 3 }, leaf, tie('tree')),
    }));
    fc.assert(
      fc.property(tree, fc.boolean(), (value, escape) => {
        const plain = JSON.stringify(value);
        const text = escape ? plain.replaceAll('a@b.co', hidden('a@b.co')) : plain;
        for (const given of [text, `{"id":12345678901234567890,"v":${text}}`]) {
          const replaced = encodedReplaced(given, replacements)!;
          expect(isJson(replaced)).toBe(true);
          expect(unescaped(replaced)).not.toContain('a@b.co');
          if (!unescaped(given).includes('a@b.co')) expect(replaced).toBe(given);
        }
      }),
    );
  });
});

describe('a part of JSON in a string', () => {
  it('is decoded escape by escape, and what is no escape stays', () => {
    expect(unescaped('a\\u0041\\n\\t\\"\\\\\\/\\b\\f\\r')).toBe('aA\n\t"\\/\b\f\r');
    expect(unescaped('\\q \\u00 \\')).toBe('\\q \\u00 \\');
    expect(unescaped('\\\\u0041')).toBe('\\u0041');
    expect(unescaped('\\ud83d\\ude00')).toBe('😀');
  });

  it('is decoded like the string that it is a part of', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(unescaped(JSON.stringify(text).slice(1, -1))).toBe(text);
        expect(unescaped(hidden(text))).toBe(text);
      }),
    );
  });

  const replacements = [{ find: 'a@b.co', replace: '[email]' }];

  it.each([
    ['as it is', '{"to":"a@b.co"}', '{"to":"[email]"}'],
    ['escaped', '{"to":"\\u0061@b\\u002eco"}', '{"to":"[email]"}'],
    ['as a key', '{"a@b.co":1}', '{"[email]":1}'],
    ['more than once', 'a@b.coa@b.co', '[email][email]'],
    ['without a beginning', 'o a@b.co","x":"', 'o [email]","x":"'],
    ['behind what is no escape', '{"x":"\\q \\u00 a@b.co."}', '{"x":"\\q \\u00 [email]."}'],
    ['behind a backslash of its own', '"\\\\a@b.co\\"', '"\\\\[email]\\"'],
    ['before an escape that is not whole', 'a@b.co\\', '[email]\\'],
    ['nowhere', '{"to": "nobody"}', '{"to": "nobody"}'],
  ])('loses what is taken out of it %s, and the rest stays as it was', (_, text, replaced) => {
    expect(encodedReplaced(text, replacements)).toBe(replaced);
  });

  it('keeps its escapes elsewhere, and escapes what is put in', () => {
    expect(encodedReplaced('\\u0041 a@b.co \\n', [{ find: 'a@b.co', replace: '"x"\n\\' }])).toBe(
      '\\u0041 \\"x\\"\\n\\\\ \\n',
    );
  });

  it('takes out what holds the text that is put in, once', () => {
    expect(encodedReplaced('"aa"', [{ find: 'a', replace: 'aa' }])).toBe('"aaaa"');
  });

  it('cannot lose a quote of its own, so that nothing of it is shown', () => {
    expect(encodedReplaced('{"to":"x","y":1}', [{ find: 'x","y', replace: '-' }])).toBeNull();
    expect(encodedReplaced('{"to":"x\\",\\"y"}', [{ find: 'x","y', replace: '-' }])).toBe('{"to":"-"}');
  });

  const card = [{ find: '4111111111111111', replace: '[card]' }];

  it.each([
    '{"card":4111111111111111}',
    '{"cards":["x", 4111111111111111]}',
    '"card": 4111111111111111, ',
    'd":4111111111111111,"name":"',
    '[4111111111111111',
  ])('cannot lose a number of its own: %s', (text) => expect(encodedReplaced(text, card)).toBeNull());

  it.each([
    '{"card":"4111111111111111"}',
    'no 4111111111111111',
    'd 4111111111111111","x":"',
    '{"a":"\\"4111111111111111',
  ])('loses digits in its strings: %s', (text) =>
    expect(encodedReplaced(text, card)).toBe(text.replace('4111111111111111', '[card]')),
  );

  it('loses two things that overlap as one, and what follows behind them', () => {
    const both = [
      { find: 'bcd', replace: '2' },
      { find: 'abc', replace: '1' },
    ];
    expect(encodedReplaced('"abcd bcd abc"', both)).toBe('"1 2 1"');
    // The longest stands for all.
    expect(encodedReplaced('"abc"', [{ find: 'ab', replace: '3' }, ...both])).toBe('"1"');
  });

  it.each([
    ['one thing in many places', 2_000, () => 'a@b.co', 30],
    ['4,000 things', 4_000, (index: number) => `name${index}@b.co`, 3],
  ])('loses %s in little time', (_, count, thing, words) => {
    const things = [...new Set(Array.from({ length: count }, (__, index) => thing(index)))];
    const text = JSON.stringify(
      Array.from({ length: count }, (__, index) => `to <${thing(index)}>${' it'.repeat(words)}`),
    );
    const begun = cpuMs();
    const replaced = encodedReplaced(
      text,
      things.map((one) => ({ find: `<${one}>`, replace: '[email]' })),
    );
    expect(cpuMs() - begun).toBeLessThan(CPU_MS_MAX);
    expect(replaced).toBe(text.replaceAll(/<[a-z0-9]+@b\.co>/g, '[email]'));
  });

  it.each([
    ['200,000 items', `[${'"it",'.repeat(200_000)}"a@b.co"]`],
    ['a million commas', `_${','.repeat(1_000_000)}a@b.co`],
    ['a million blanks between commas', `_${',   '.repeat(250_000)}a@b.co`],
    ['a million escapes', `{"a":"${'\\n'.repeat(1_000_000)}a@b.co"}`],
  ])('is read, and loses something, in little time where it has %s', (_, text) => {
    const begun = cpuMs();
    expect(unescaped(text)).toContain('a@b.co');
    expect(wellFormedEscapes(text)).toBe(text);
    expect(encodedReplaced(text, replacements)).toBe(text.replace('a@b.co', '[email]'));
    expect(cpuMs() - begun).toBeLessThan(CPU_MS_MAX);
  });

  it('stays JSON when the whole was, whatever is taken out', () => {
    const leaf = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('a@b.co', 'x a@b.co "y"'),
      fc.double({ noNaN: true }),
    );
    const value = fc.dictionary(fc.string(), fc.oneof(leaf, fc.array(leaf)));
    const find = fc.oneof(
      fc.constantFrom('a@b.co', '1', '0', ':', '[', 'null', '","', 'b'),
      fc.string({ minLength: 1, maxLength: 3 }),
    );
    fc.assert(
      fc.property(value, find, fc.string(), (given, what, replace) => {
        const text = JSON.stringify(given);
        const replaced = encodedReplaced(text, [{ find: what, replace }]);
        if (replaced === null || replaced === text) return;
        expect(isJson(replaced)).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });
});
