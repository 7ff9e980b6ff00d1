import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DaypassError } from '#libs/contracts/errors.js';
import { isTooDeep, parseJson, readJson, textOf, wellFormedDeep } from './json.js';
import { JsonScan } from './json.scan.js';

const read = (text: string): unknown => readJson(Buffer.from(text));

function refusal(text: string | Uint8Array): { code: string; param: string | undefined; message: string } {
  try {
    readJson(Buffer.from(text as string));
  } catch (error) {
    if (error instanceof DaypassError) return { code: error.code, param: error.param, message: error.message };
    throw error;
  }
  throw new Error('was not refused');
}

describe("a request's JSON", () => {
  it('is read as any parser reads it', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (text) => {
        // Numbers of so many digits that no number holds them are another matter.
        fc.pre(!/\d{16}/.test(text) && !/\\u[dD][89a-fA-F]/.test(text));
        expect(read(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it.each([
    ['null', null],
    ['7', 7],
    ['"text"', 'text'],
    ['[]', []],
    ['\ufeff{}', {}],
  ])('may be %s, which the declaration judges', (text, value) => expect(read(text)).toEqual(value));

  it.each([
    ['a byte that no character begins with', [0x22, 0xff, 0x22]],
    ['half of a character', [0x22, 0xc3, 0x22]],
    ['an overlong form', [0x22, 0xc0, 0xaf, 0x22]],
    ['half of a surrogate pair', [0x22, 0xed, 0xa0, 0xbd, 0x22]],
    ['UTF-16', [0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]],
  ])('is refused where it is not UTF-8: %s', (_, bytes) => {
    expect(refusal(Uint8Array.from(bytes))).toMatchObject({
      code: 'invalid_json',
      message: expect.stringContaining('UTF-8'),
    });
  });

  it.each(['', '{', '{"a":}', "{'a':1}", '{"a":1,}', '{"a":1} x', 'NaN', '{"a":01}', '"\t"', '{"a":1234567890123456'])(
    'is refused where it is no JSON: %j',
    (text) => expect(refusal(text)).toMatchObject({ code: 'invalid_json', param: undefined }),
  );

  it.each([
    ['at the top', '{"seed":9007199254740993}', 'seed'],
    ['below zero', '{"seed":-9007199254740993}', 'seed'],
    ['one above the largest', '{"seed":9007199254740992}', 'seed'],
    ['in an array', '{"stop":["a",12345678901234567890]}', 'stop[1]'],
    [
      'in a schema',
      '{"tools":[{"function":{"parameters":{"properties":{"x":{"maximum":9223372036854775807}}}}}]}',
      'tools[0].function.parameters.properties.x.maximum',
    ],
    ['with a fraction of nothing', '{"seed":9007199254740993.0}', 'seed'],
    ['with an exponent of nothing', '{"seed":9007199254740993e0}', 'seed'],
    ['beyond every number', '{"temperature":1e999}', 'temperature'],
    ['beyond every number, below zero', '{"temperature":-1E+999}', 'temperature'],
  ])('is refused with a number beyond 2^53 %s, which is named', (_, text, param) => {
    expect(refusal(text)).toMatchObject({
      code: 'invalid_request',
      param,
      message: expect.stringContaining(`'${param}'`),
    });
  });

  it('keeps all numbers that it can hold, and digits in strings and names as they are', () => {
    const text =
      '{"a":9007199254740991,"b":-9007199254740991,"c":0.1234567890123456789,"d":1e-300,"e":"9007199254740993 1e999",' +
      '"9007199254740993":[1234567890123456]}';
    expect(read(text)).toEqual(JSON.parse(text));
    expect(read('{"a":1e300}')).toEqual({ a: 1e300 });
  });

  it('may be 64 levels deep, and no deeper', () => {
    const nested = (levels: number, inner: string): string => `${'['.repeat(levels)}${inner}${']'.repeat(levels)}`;
    expect(() => read(nested(65, '1'))).not.toThrow();
    expect(refusal(nested(66, '1'))).toMatchObject({ code: 'invalid_request' });
    expect(refusal(`{"a":${nested(5_000, '')}}`)).toMatchObject({ code: 'invalid_request' });
    expect(refusal(nested(1_000_000, ''))).toMatchObject({ code: 'invalid_request' });
    // Where numbers are looked at, too.
    expect(refusal(nested(66, '1234567890123456')).code).toBe('invalid_request');
    expect(refusal(nested(1_000_000, '1234567890123456')).code).toMatch(/^invalid/);
  });

  const many = (count: number, value = '0'): string => `[${Array(count).fill(value).join(',')}]`;

  it('may hold 100,000 values, and no more', () => {
    expect(() => read(many(99_999))).not.toThrow();
    expect(refusal(many(100_000))).toMatchObject({ code: 'invalid_request' });
    expect(refusal(`{"a":${many(50_000)},"b":${many(50_000)}}`)).toMatchObject({ code: 'invalid_request' });
    const named = (count: number): string => `{${Array.from({ length: count }, (_, n) => `"${n}":0`).join(',')}}`;
    expect(() => read(named(24_999))).not.toThrow();
    expect(refusal(named(25_000))).toMatchObject({ code: 'invalid_request' });
  });

  it('is scanned for large numbers only where it is within these bounds', () => {
    expect(refusal(many(100_000, '12345678901234567890'))).toMatchObject({
      param: undefined,
      message: expect.stringContaining('100000 values'),
    });
    expect(refusal(many(99_999, '12345678901234567890')).param).toBe('[0]');
  });

  it.each([
    ['values', many(1_048_576)],
    ['large numbers', many(120_000, '12345678901234567')],
    ['empty objects', many(700_000, '{}')],
  ])('is refused in little time with 2 MiB of %s', (_, text) => {
    const begun = performance.now();
    expect(refusal(text)).toMatchObject({ code: 'invalid_request', param: undefined });
    expect(performance.now() - begun).toBeLessThan(2_000);
  });

  it('is named with 200 characters at most', () => {
    expect(refusal(`{"${'x'.repeat(10_000)}":12345678901234567890}`).param).toBe('x'.repeat(200));
  });

  it('has no lone surrogate, neither in its texts nor in its names', () => {
    expect(read('{"a":"x\\ud83dy","\\ude00":["\\uDE00\\uD83D"],"pair":"\\ud83d\\ude00"}')).toEqual({
      a: 'x\ufffdy',
      '\ufffd': ['\ufffd\ufffd'],
      pair: '😀',
    });
  });

  it('has `__proto__` for a name like any other', () => {
    for (const text of ['{"__proto__":{"admin":true}}', '{"__proto__":{"admin":true},"a":"\\ud83d","b":1e-300}']) {
      const value = read(text) as Record<string, unknown>;
      expect(Object.keys(value)).toContain('__proto__');
      expect(value.admin).toBeUndefined();
      expect(Object.getPrototypeOf(value)).toBe(Object.getPrototypeOf(JSON.parse('{}')));
    }
    expect(refusal('{"__proto__":{"x":9007199254740993}}').param).toBe('__proto__.x');
  });
});

describe('a request that comes in pieces', () => {
  const cut = (text: string, sizes: readonly number[]): { bytes: Buffer; scan: JsonScan } => {
    const whole = Buffer.from(text);
    const scan = new JsonScan();
    let bytes = Buffer.alloc(0);
    for (let n = 0; bytes.length < whole.length; n++) {
      const from = bytes.length;
      bytes = Buffer.concat([bytes, whole.subarray(from, from + sizes[n % sizes.length]!)]);
      scan.read(bytes, from, bytes.length);
    }
    return { bytes, scan };
  };
  const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });
  /** Any UTF-16, as escapes. */
  const escaped = (value: unknown): string =>
    JSON.stringify(value).replaceAll(/[^\0-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

  it('is read as a whole one, with no lone surrogate', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), sizes, (value, of) => {
        fc.pre(!/\d{16}/.test(JSON.stringify(value)));
        const { bytes, scan } = cut(escaped(value), of);
        const again = parseJson(textOf(bytes), bytes, scan);
        expect(again).toEqual(wellFormedDeep(JSON.parse(JSON.stringify(value))));
      }),
    );
  });

  it('names its large number, wherever a piece ends', () => {
    fc.assert(
      fc.property(sizes, (of) => {
        const { bytes, scan } = cut('{"a":[1,{"\\"x\\\\":"7"},{"b c":[12345678901234567890]}],"d":{"e":1e999}}', of);
        expect(() => parseJson(textOf(bytes), bytes, scan)).toThrow("'a[2].b c[0]'");
      }),
    );
  });

  it('is refused before its end', () => {
    const scan = new JsonScan();
    const piece = Buffer.from('[],'.repeat(20_000));
    expect(() => {
      for (let n = 0; n < 6; n++) scan.read(piece, 0, piece.length);
    }).toThrow('100000 values');
    expect(() => new JsonScan().read(Buffer.from('['.repeat(66)), 0, 66)).toThrow('64 levels');
  });

  it('may hold more numbers in arrays where its API says so', () => {
    const numbers = Buffer.from(`[${'1,'.repeat(150_000)}1]`);
    const values = Buffer.from(`[${'"",'.repeat(100_000)}1]`);
    const fields = Buffer.from(`{${'"a":1,'.repeat(30_000)}"a":1}`);
    const read = (bytes: Buffer, free?: number) => () => new JsonScan(free).read(bytes, 0, bytes.length);
    expect(read(numbers)).toThrow('100000 values');
    expect(read(numbers, 150_000)).not.toThrow();
    expect(read(numbers, 40_000)).toThrow('100000 values');
    expect(read(values, 300_000)).toThrow('100000 values');
    expect(read(fields, 300_000)).toThrow('100000 values');
  });
});

describe('a value of JSON', () => {
  it('is too deep beyond 64 levels, or beyond as many as are asked for', () => {
    const nested = (levels: number): unknown => JSON.parse(`${'[{"a":'.repeat(levels / 2)}7${'}]'.repeat(levels / 2)}`);
    expect([isTooDeep(nested(64)), isTooDeep(nested(66)), isTooDeep(nested(200_000))]).toEqual([false, true, true]);
    expect([isTooDeep('x', 0), isTooDeep(null, 0), isTooDeep([], 0), isTooDeep([[7]], 2)]).toEqual([
      false,
      false,
      true,
      false,
    ]);
  });

  it('keeps its shape where its texts lose their lone surrogates', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        expect(wellFormedDeep(value)).toEqual(value);
        expect(JSON.stringify(wellFormedDeep([value, { '\ud800': value }])).isWellFormed()).toBe(true);
      }),
    );
  });
});
