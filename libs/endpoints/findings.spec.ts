import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { foundIn, isAnyIn, replacedIn, type Replacement } from './findings.js';

const short = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '\ud83d', '\ude00'), maxLength: 30 });
const someFinds = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c', '\ude00'), minLength: 1, maxLength: 4 }), {
  minLength: 1,
  maxLength: 6,
});
const numbered = (finds: readonly string[]): Replacement[] => finds.map((find, n) => ({ find, replace: `<${n}>` }));

/** Which characters of a text any of these strings covers, tried one by one. */
function covered(text: string, finds: readonly string[]): boolean[] {
  const is = Array.from(text, () => false)
    .concat(Array.from({ length: text.length }, () => false))
    .slice(0, text.length);
  for (const find of finds)
    for (let at = text.indexOf(find); at >= 0; at = text.indexOf(find, at + 1)) is.fill(true, at, at + find.length);
  return is;
}

describe('what is looked for in a text', () => {
  it('is found wherever it stands, and nothing else is, however it overlaps', () => {
    fc.assert(
      fc.property(short, someFinds, (text, finds) => {
        const found = foundIn(text, numbered(finds));
        const is = Array.from({ length: text.length }, () => false);
        let before = 0;
        for (const { at, end } of found) {
          expect(at).toBeGreaterThanOrEqual(before);
          is.fill(true, at, end);
          before = end;
        }
        expect(is).toEqual(covered(text, finds));
        expect(isAnyIn([text], numbered(finds))).toBe(found.length > 0);
      }),
    );
  });

  it('leaves nothing behind where it is taken out', () => {
    fc.assert(
      fc.property(short, someFinds, (text, finds) => {
        const left = replacedIn(text, numbered(finds)).split(/<\d>/);
        for (const part of left) expect(finds.some((find) => part.includes(find))).toBe(false);
      }),
    );
  });

  it('gets the replacement of the longest where findings overlap', () => {
    const some = [
      { find: 'bcd', replace: '[bcd]' },
      { find: 'ab', replace: '[ab]' },
      { find: 'x', replace: '[first x]' },
      { find: 'x', replace: '[second x]' },
    ];
    expect(replacedIn('abcd ab x', some)).toBe('[bcd] [ab] [first x]');
    expect(replacedIn('nothing', some)).toBe('nothing');
    expect(replacedIn('', some)).toBe('');
    expect(replacedIn('abcd', [])).toBe('abcd');
  });

  it('does not count where its replacement holds it', () => {
    expect(isAnyIn(['a'], [{ find: 'a', replace: '[a]' }])).toBe(false);
    expect(isAnyIn([], [{ find: 'a', replace: 'b' }])).toBe(false);
  });

  it('may be 10,000 things in a text of 2 MB', () => {
    const finds = Array.from({ length: 10_000 }, (_, n) => `person.${n}@example.org`);
    const text = finds.map((find) => `${find} ${'x'.repeat(180)}`).join(' ');
    const replacements = finds.map((find) => ({ find, replace: '[email]' }));
    const replaced = replacedIn(text, replacements);
    expect(replaced).toBe(text.replaceAll(/person\.\d+@example\.org/g, '[email]'));
    expect(isAnyIn([replaced], replacements)).toBe(false);
  });
});
