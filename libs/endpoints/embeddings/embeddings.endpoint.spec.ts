import { describe, expect, it } from '@jest/globals';
import { encode } from 'gpt-tokenizer/encoding/cl100k_base';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Encoding } from '#libs/contracts/jobs.js';
import { countTextTokens, decodeTokens } from '#libs/money/tokens.js';
import type { Body, CountingTools, Request } from '../endpoint.js';
import { EMBEDDINGS } from './embeddings.endpoint.js';

const model = 'text-embedding-3-small';
const FORCED = { serviceTier: 'default', safetyIdentifier: 'visitor', cacheKey: 'visitor' };

const parse = (more: object): Request => EMBEDDINGS.parse({ json: { model, input: 'Hello', ...more }, blobs: [] });
const toolsOf = (encoding: Encoding): CountingTools => ({
  countTokens: (texts) => countTextTokens(texts, encoding),
  decodeTokens: (lists) => decodeTokens(lists, encoding),
  unknownTokenizer: encoding === 'bytes',
  toolTokens: 0,
});
const measure = (more: object, encoding: Encoding = 'cl100k_base') =>
  EMBEDDINGS.measure(parse(more), toolsOf(encoding));
const waiting = async (more: object): Promise<Body> => {
  const { decoded } = await measure(more);
  return EMBEDDINGS.forwarded({ ...parse(more), decoded }, FORCED);
};
const judged = async (more: object): Promise<string[]> =>
  EMBEDDINGS.input(await waiting(more)).map((content) => (content.kind === 'text' ? content.text : ''));
const sent = (body: Body, drops: string[] = []) =>
  EMBEDDINGS.call(body, { capTokens: 0, facts: {} }, { kind: 'openai', drops, tag: '' }).body.json;
const errorOf = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
};

describe('a request for embeddings', () => {
  it('asks for base64, under the visitor’s own identifier, and for nothing that the visitor did not name', async () => {
    const body = await waiting({ input: ['one', 'two'], dimensions: 8, user: 'me' });
    expect(sent(body)).toEqual({
      model,
      input: ['one', 'two'],
      dimensions: 8,
      user: 'visitor',
      encoding_format: 'base64',
    });
    expect(sent(body, ['user', 'encoding_format'])).toEqual({ model, input: ['one', 'two'], dimensions: 8 });
    expect(parse({ user: 'me' }).adjusted).toEqual(['user']);
  });

  it.each<[string, object, object]>([
    ['a string', { input: 'Hello' }, { vectors: 1, base64: false }],
    ['strings in base64', { input: ['a', 'b'], encoding_format: 'base64' }, { vectors: 2, base64: true }],
    ['tokens', { input: [9906, 1917] }, { vectors: 1, base64: false }],
    ['lists of tokens', { input: [[9906], [1917]], encoding_format: null }, { vectors: 2, base64: false }],
  ])('of %s says what its reader must know', (_, more, facts) => {
    expect(parse(more).facts).toMatchObject(facts);
  });

  it.each<[string, object, string]>([
    ['no input', { input: null }, 'required'],
    ['an empty string', { input: '' }, "'input' must not be empty"],
    ['an empty one among others', { input: ['a', ''] }, "'input[1]' must not be empty"],
    ['none', { input: [] }, 'at least 1'],
    ['an empty list of tokens', { input: [[1], []] }, 'at least 1'],
    ['a mixture', { input: ['a', [1]] }, 'strings only, or tokens only'],
    ['another mixture', { input: [1, 'a'] }, 'strings only, or tokens only'],
    ['a number', { input: 7 }, 'a string, or an array'],
    ['a token of a half', { input: [1.5] }, "'input[0]' must be"],
    ['a negative token', { input: [[-1]] }, "'input[0][0]' must be"],
    ['a flag', { input: [true] }, "'input[0]' must be"],
    ['too many', { input: Array.from({ length: 2_049 }, () => 'a') }, 'at most 2048'],
    ['too many lists', { input: Array.from({ length: 2_049 }, () => [1]) }, 'at most 2048'],
    ['no dimension', { dimensions: 0 }, "'dimensions' must be a whole number from 1"],
    ['dimensions in words', { dimensions: '8' }, "'dimensions' must be"],
    ['another format', { encoding_format: 'float16' }, "one of 'float', 'base64'"],
    ['a user of numbers', { user: 7 }, "'user' must be a string"],
  ])('with %s is refused by name', (_, more, message) => {
    const error = errorOf(() => parse(more));
    expect(error).toBeInstanceOf(DaypassError);
    expect((error as DaypassError).message).toContain(message);
    expect((error as DaypassError).param).toMatch(/^(input|dimensions|encoding_format|user)/);
  });

  it('is refused before it costs anything where its answer would be too large, and told what to do', () => {
    const inputs = (length: number): string[] => Array.from({ length }, () => 'a');
    const message = /32|33554432/;
    expect(errorOf(() => parse({ input: inputs(2_048), encoding_format: 'base64' }))).toBeUndefined();
    expect(errorOf(() => parse({ input: inputs(900) }))).toBeUndefined();
    expect(errorOf(() => parse({ input: inputs(2_048) }))).toMatchObject({
      param: 'encoding_format',
      message: expect.stringMatching(/33554432 bytes.*'base64', send fewer inputs, or ask for fewer dimensions/),
    });
    const large = { model: 'text-embedding-3-large', input: inputs(2_048), encoding_format: 'base64' };
    expect(errorOf(() => parse(large))).toMatchObject({ param: 'input', message: expect.stringMatching(message) });
    expect(errorOf(() => parse({ ...large, dimensions: 1_024 }))).toBeUndefined();
    // Of a model that nobody here knows the answer decides.
    expect(errorOf(() => parse({ model: 'bge-m3', input: inputs(2_048) }))).toBeUndefined();
  });

  it('costs its tokens as cl100k counts them, with a margin for other tokenizers', async () => {
    const input = ['ყველა ადამიანი იბადება თავისუფალი', 'All human beings are born free.'];
    const exact = input.reduce((sum, text) => sum + encode(text).length, 0);
    const { estimate, most, perCapToken } = await measure({ input });
    expect(estimate).toEqual({ input: exact });
    expect(most).toEqual({ input: exact + 4 });
    expect(perCapToken).toEqual({});
    expect((await measure({ input: [[1, 2, 3], [4]] })).estimate).toEqual({ input: 4 });
  });

  it('of tokens is judged as their text, by the model’s own encoding, and goes on in tokens', async () => {
    const input = ['Wie geht es dir?', '日本語の文章です 😀'].map((text) => encode(text));
    expect(await judged({ input })).toEqual(['Wie geht es dir?\n日本語の文章です 😀']);
    expect(await judged({ input: input[0] })).toEqual(['Wie geht es dir?']);
    expect(sent(await waiting({ input }))).toMatchObject({ input });
    expect(sent(await waiting({ input }))).not.toHaveProperty('decoded');
    expect(() => EMBEDDINGS.input(EMBEDDINGS.forwarded(parse({ input }), FORCED))).toThrow('nobody has decoded');
    expect(errorOf(() => parse({ decoded: ['harmless'] }))).toMatchObject({ code: 'unknown_parameter' });
  });

  it('of tokens is refused where nobody knows their text', async () => {
    const refusal = { code: 'invalid_request', param: 'input' };
    await expect(measure({ input: [1, 2] }, 'bytes')).rejects.toMatchObject({
      ...refusal,
      message: expect.stringContaining('must be strings'),
    });
    await expect(measure({ input: [[2_000_000]] })).rejects.toMatchObject({
      ...refusal,
      message: expect.stringContaining('no token of this model'),
    });
    const [spaces] = encode(' '.repeat(80));
    await expect(measure({ input: Array.from({ length: 60_000 }, () => spaces) })).rejects.toMatchObject({
      ...refusal,
      message: expect.stringContaining('too much text'),
    });
  });

  it('of the most tokens that one may send is read in little time', () => {
    const input = Array.from({ length: 1_000 }, (_, list) => Array.from({ length: 300 }, (__, at) => list + at));
    // The first times V8 compiles it.
    const times = Array.from({ length: 5 }, () => {
      const before = process.threadCpuUsage();
      parse({ input, encoding_format: 'base64' });
      const { user, system } = process.threadCpuUsage(before);
      return (user + system) / 1_000;
    });
    expect(Math.min(...times)).toBeLessThan(20);
  });

  it('has something taken out of it: tokens become strings then, and all of them', async () => {
    const find = [{ find: 'secret', replace: '[out]' }];
    const redacted = (body: Body): unknown => (EMBEDDINGS.redactedInput(body, find).json as { input: unknown }).input;
    expect(redacted(await waiting({ input: 'a secret' }))).toBe('a [out]');
    expect(redacted(await waiting({ input: ['a secret', 'b'] }))).toEqual(['a [out]', 'b']);
    expect(redacted(await waiting({ input: encode('a secret') }))).toBe('a [out]');
    const lists = await waiting({ input: [encode('a secret'), encode('b')] });
    expect(redacted(lists)).toEqual(['a [out]', 'b']);
    expect(EMBEDDINGS.input(EMBEDDINGS.redactedInput(lists, find))).toEqual([{ kind: 'text', text: 'a [out]\nb' }]);
    const other = await waiting({ input: encode('b') });
    expect(EMBEDDINGS.redactedInput(other, find)).toBe(other);
  });
});
