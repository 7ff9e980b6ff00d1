import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DaypassError } from '#libs/contracts/errors.js';
import { MisshapenAnswer } from '../endpoint.js';
import { EmbeddingsReader } from './embeddings.reader.js';
import { ANSWER_BYTES_MAX } from './vectors.js';

const JSON_TYPE = 'application/json';
const NOTHING = new Uint8Array();

const base64Of = (numbers: readonly number[]): string =>
  Buffer.from(Float32Array.from(numbers).buffer).toString('base64');
const floatsOf = (base64: string): number[] => {
  const bytes = Uint8Array.from(Buffer.from(base64, 'base64'));
  return Array.from(new Float32Array(bytes.buffer));
};
const item = (index: number, embedding: unknown): object => ({ object: 'embedding', index, embedding });
const answerOf = (data: readonly object[], more: object = {}): string =>
  JSON.stringify({
    object: 'list',
    data,
    model: 'text-embedding-3-small',
    usage: { prompt_tokens: 5, total_tokens: 5 },
    ...more,
  });

interface Shown {
  object: string;
  data: { object: string; index: number; embedding: string & number[] }[];
  model?: string;
  usage?: object;
}

/** `size`: bytes of each piece. */
function read(text: string, facts: Record<string, boolean | number> = {}, size = Infinity) {
  const reader = new EmbeddingsReader({ facts });
  const bytes = Buffer.from(text);
  for (let from = 0; from < bytes.length; from += size)
    reader.add(bytes.subarray(from, Math.min(bytes.length, from + size)));
  const whole = reader.whole(NOTHING, JSON_TYPE);
  const shown = whole.shown([])!;
  const body = Buffer.concat(shown.body as Uint8Array[]).toString();
  return { report: reader.report, whole, text: body, shown: JSON.parse(body) as Shown };
}

const VECTORS = [
  [0.25, -0, 1e-7, -0.006929283495992422, 3.4e38],
  [1, 2, 3, 4, 5],
];
const exact = VECTORS.map((vector) => Array.from(Float32Array.from(vector)));

describe('an answer of vectors', () => {
  it.each([
    ['base64', (vector: number[]) => base64Of(vector)],
    ['numbers', (vector: number[]) => Array.from(Float32Array.from(vector))],
  ])('that comes in %s is shown in the form that was asked for', (_, form) => {
    const text = answerOf(VECTORS.map((vector, index) => item(index, form(vector))));
    const numbers = read(text).shown;
    expect(numbers.data.map(({ embedding }) => embedding.map((one) => one + 0))).toEqual(
      exact.map((vector) => vector.map((one) => one + 0)),
    );
    const base64 = read(text, { base64: true, vectors: 2 }).shown;
    expect(base64.data.map(({ embedding }) => floatsOf(embedding).map((one) => one + 0))).toEqual(
      exact.map((vector) => vector.map((one) => one + 0)),
    );
    expect({ ...base64, data: base64.data.map(({ object, index }) => ({ object, index })) }).toEqual({
      object: 'list',
      data: [
        { object: 'embedding', index: 0 },
        { object: 'embedding', index: 1 },
      ],
      model: 'text-embedding-3-small',
      usage: { prompt_tokens: 5, total_tokens: 5 },
    });
  });

  it('is the same, however it comes in pieces and is spaced', () => {
    const vector = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 3, maxLength: 3 });
    const sizes = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(
        fc.array(vector, { minLength: 1, maxLength: 5 }),
        sizes,
        fc.boolean(),
        fc.boolean(),
        (vectors, size, spaced, base64) => {
          const data = vectors.map((one, index) => item(index, base64 ? base64Of(one) : one));
          const text = spaced ? JSON.stringify(JSON.parse(answerOf(data)), null, 2) : answerOf(data);
          expect(read(text, {}, size).text).toBe(read(text).text);
          const shown = read(text, {}, size).shown.data.map(({ embedding }) => embedding.map((one) => one + 0));
          expect(shown).toEqual(vectors.map((one) => one.map((number) => number + 0)));
        },
      ),
    );
  });

  it('keeps the index of each vector, and reads slashes that are escaped', () => {
    const text = answerOf([item(1, base64Of([1])), item(0, base64Of([2]))]);
    expect(read(text).shown.data.map(({ index }) => index)).toEqual([1, 0]);
    const vector = [1.9999998807907104];
    expect(base64Of(vector)).toContain('/');
    const escaped = answerOf([item(0, base64Of(vector))]).replaceAll('/', '\\/');
    expect(read(escaped).shown.data[0]!.embedding).toEqual(Array.from(Float32Array.from(vector)));
  });

  it('is in the base64 of OpenAI, whatever base64 its upstream writes', () => {
    for (const vector of [[1.9999998807907104], [1.9843137264251709], [-1e-7, 3e38]]) {
      const base64 = base64Of(vector);
      for (const other of [base64, base64.replaceAll('+', '-').replaceAll('/', '_'), base64.replaceAll('=', '')])
        expect(read(answerOf([item(0, other)]), { base64: true }).shown.data[0]!.embedding).toBe(base64);
    }
  });

  it('reports what it cost; nothing, or 0, is no report', () => {
    const data = [item(0, [1])];
    expect(read(answerOf(data)).report).toMatchObject({ metered: { input: 5 }, model: 'text-embedding-3-small' });
    for (const usage of [undefined, null, {}, { prompt_tokens: 0, total_tokens: 0 }, { prompt_tokens: '5' }, 'five']) {
      const { report, shown } = read(answerOf(data, { usage }));
      expect(report.metered).toBeNull();
      expect(shown).not.toHaveProperty('usage');
    }
    expect(read(answerOf(data, { usage: { total_tokens: 7 } })).report.metered).toEqual({ input: 7 });
  });

  it('shows no field that nobody knows', () => {
    const more = { note: 'read me', model: 'a model, and more', usage: { prompt_tokens: 5, secret: 'read me' } };
    const data = [{ ...item(0, [1]), text: 'read me', object: 'read me' }];
    expect(read(answerOf(data, more)).shown).toEqual({
      object: 'list',
      data: [item(0, [1])],
      usage: { prompt_tokens: 5, total_tokens: 5 },
    });
  });

  it.each<[string, string]>([
    ['no vectors', answerOf([])],
    ['one too few', answerOf([item(0, [1])])],
    ['one too many', answerOf([item(0, [1]), item(1, [1]), item(2, [1])])],
    ['an index twice', answerOf([item(0, [1]), item(0, [1])])],
    ['an index of nobody', answerOf([item(0, [1]), item(2, [1])])],
    ['unequal vectors', answerOf([item(0, [1]), item(1, [1, 2])])],
    ['an empty vector', answerOf([item(0, []), item(1, [])])],
    ['text for a vector', answerOf([item(0, 'Hello there, reader!'), item(1, 'Hello there, reader!')])],
    ['text with the length of one', answerOf([item(0, 'AAAA AA='), item(1, 'AAAA AA=')])],
    ['half a number', answerOf([item(0, 'AAAA'), item(1, 'AAAA')])],
    ['no number', answerOf([item(0, base64Of([Number.NaN])), item(1, base64Of([Infinity]))])],
    ['words among numbers', answerOf([item(0, ['a']), item(1, ['b'])])],
    ['lists in a vector', answerOf([item(0, [[1]]), item(1, [[1]])])],
    ['a number for a vector', answerOf([item(0, 1), item(1, 1)])],
    ['a vector elsewhere', answerOf([{ index: 0, deep: { embedding: [1] } }, item(1, [1])])],
    [
      'a vector under an escaped name',
      answerOf([item(0, [1]), item(1, [1])]).replace('"embedding":', '"\\u0065mbedding":'),
    ],
    ['the place of a vector', answerOf([item(0, [1]), { '\\u0065mbedding': '#1' }])],
    ['an error', JSON.stringify({ error: { message: 'no' } })],
    ['a page', '<html>no</html>'],
    ['no object', '[1]'],
  ])('with %s is none', (_, text) => {
    expect(() => read(text, { vectors: 2 })).toThrow(MisshapenAnswer);
  });

  it('that breaks off is not misshapen: somebody may have to pay for it', () => {
    const text = answerOf([item(0, base64Of([1, 2, 3]))]);
    for (const length of [5, 40, 60, text.length - 1]) {
      let error: unknown;
      try {
        read(text.slice(0, length));
      } catch (caught) {
        error = caught;
      }
      expect({ length, error, misshapen: error instanceof MisshapenAnswer }).toEqual({
        length,
        error: expect.objectContaining({ message: 'the answer broke off' }),
        misshapen: false,
      });
    }
  });

  it('is bounded: as shown, beside its vectors, and each of them', () => {
    const large = answerOf(
      Array.from({ length: 2_048 }, (_, index) => item(index, base64Of(Array.from({ length: 1_024 }, () => 0.1)))),
    );
    const error = (() => {
      try {
        read(large, {}, 65_536);
      } catch (caught) {
        return caught;
      }
      return undefined;
    })();
    expect(error).toBeInstanceOf(DaypassError);
    expect(error).toMatchObject({ code: 'invalid_request', message: expect.stringContaining('The input was charged') });
    expect(read(large, { base64: true }, 65_536).shown.data).toHaveLength(2_048);
    expect(() => read(answerOf([item(0, [1])], { note: 'x'.repeat(2_200_000) }))).toThrow(
      'too much beside its vectors',
    );
    expect(() => read(answerOf([item(0, 'A'.repeat(2_200_000))]))).toThrow('too many numbers');
    expect(() => read(answerOf([item(0, Array(65_537).fill(0))]))).toThrow('a vector that is no numbers');
  });

  it('is read no further than four times as many bytes as are shown', () => {
    const most = 4 * ANSWER_BYTES_MAX;
    expect(() => new EmbeddingsReader({ facts: {} }).add(new Uint8Array(most + 1))).toThrow('The input was charged');
  });
});
