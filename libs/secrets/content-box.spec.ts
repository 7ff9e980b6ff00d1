import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ContentBox } from './content-box.js';

const box = new ContentBox(randomBytes(32));

describe('sealed content', () => {
  it('opens to the very text that was sealed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.uuid(), (text, id) =>
        expect(box.open(box.seal(text, id), id)).toBe(text),
      ),
    );
  });

  it('opens when it is empty, and when it is megabytes', () => {
    for (const text of ['', 'ü'.repeat(2_000_000)]) expect(box.open(box.seal(text, 'r'), 'r')).toBe(text);
  });

  it('shows nothing of the text, and never looks the same twice', () => {
    const sealed = box.seal('attack at dawn', 'r');
    expect(sealed.toString('latin1')).not.toContain('attack');
    const others = Array.from({ length: 2_000 }, () => box.seal('attack at dawn', 'r').toString('base64'));
    expect(new Set([...others, sealed.toString('base64')]).size).toBe(2_001);
  });

  it('is the same in pieces, of any lengths', () => {
    const lengths = fc.array(fc.integer({ min: 0, max: 300_000 }), { maxLength: 6 });
    fc.assert(
      fc.property(lengths, (sizes) => {
        const pieces = sizes.map((size) => randomBytes(size));
        const sealed = Buffer.concat(box.sealPieces(pieces, 'r'));
        expect(box.openBytes(sealed, 'r').equals(Buffer.concat(pieces))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('keeps its bytes when the next one is sealed', () => {
    const [first, second] = [randomBytes(700_000), randomBytes(700_000)];
    const [one, other] = [first, second].map((bytes) => box.sealPieces([bytes], 'r'));
    expect(box.openBytes(Buffer.concat(one!), 'r').equals(first)).toBe(true);
    expect(box.openBytes(Buffer.concat(other!), 'r').equals(second)).toBe(true);
  });

  it('does not open for another call', () => {
    expect(() => box.open(box.seal('mine', 'request-1'), 'request-2')).toThrow();
  });

  it('does not open with another secret', () => {
    expect(() => new ContentBox(randomBytes(32)).open(box.seal('mine', 'r'), 'r')).toThrow();
  });

  it('does not open with any single bit changed', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 40 }), fc.nat(), fc.nat(7), (text, at, bit) => {
        const sealed = box.seal(text, 'r');
        sealed[at % sealed.length]! ^= 1 << bit;
        expect(() => box.open(sealed, 'r')).toThrow();
      }),
      { numRuns: 500 },
    );
  });

  it('does not open when it is cut, however short it becomes', () => {
    const sealed = box.seal('a secret of some length', 'r');
    for (let length = 0; length < sealed.length; length++)
      expect(() => box.open(sealed.subarray(0, length), 'r')).toThrow();
  });
});
