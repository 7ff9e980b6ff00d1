import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseStorable, storable, storableJson } from './storable.js';

it('replaces what Postgres cannot hold, however deep it is, and nothing else', () => {
  expect(storable({ 'a\0': ['x\0y', '\ud800z', 'ok 😀', 1, null, true] })).toEqual({
    'a\ufffd': ['x\ufffdy', '\ufffdz', 'ok 😀', 1, null, true],
  });
});

it('does the same for JSON, however it is written', () => {
  const oddities = fc.constantFrom('\0', '\ud83d', '\udc00', '😀', '\\u0000', '\\', 'u0000', 'plain');
  const text = fc.array(fc.oneof(oddities, fc.string()), { maxLength: 5 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(fc.dictionary(text, fc.array(text)), (value) => {
      expect(JSON.parse(storableJson(value))).toEqual(storable(value));
      expect(parseStorable(JSON.stringify(value))).toEqual(storable(JSON.parse(JSON.stringify(value))));
    }),
  );
  expect(parseStorable('{"a":"\\uD83D\\uDE00 \\uD83D"}')).toEqual({ a: '😀 \ufffd' });
  expect(() => parseStorable('{')).toThrow(SyntaxError);
});
