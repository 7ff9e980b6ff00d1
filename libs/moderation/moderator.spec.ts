import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Content } from '#libs/endpoints/content.js';
import { Moderator, type ModeratorOptions } from './moderator.js';
import { sectionsOf } from './text-sections.js';

const HALF_AT_8000 = `${'a'.repeat(7_999)}😀${'b'.repeat(100)}`;
const TEXT = fc
  .tuple(fc.nat(3), fc.array(fc.constantFrom('😀', 'ab', '\ud83d', '\ude00'), { minLength: 1, maxLength: 5 }))
  .map(([shift, parts]) => 'x'.repeat(shift) + parts.join('').repeat(Math.ceil(20_000 / parts.join('').length)));

describe('sections of a text', () => {
  it('never begin or end within a surrogate pair', () => {
    const sections = sectionsOf(HALF_AT_8000);
    expect(sections).toHaveLength(2);
    expect(sections.every((section) => section.isWellFormed())).toBe(true);
    expect(sections[1]).toContain('a😀b');
  });

  it('are cut where they were before, in a text without pairs', () => {
    const text = 'x'.repeat(7_800) + 'y'.repeat(7_800) + 'z'.repeat(500);
    expect(sectionsOf(text)).toEqual([text.slice(0, 8_000), text.slice(7_800, 15_800), text.slice(15_600)]);
    expect(sectionsOf(text.slice(0, 8_000))).toEqual([text.slice(0, 8_000)]);
  });

  it('are well-formed, overlap, and are the whole text', () => {
    fc.assert(
      fc.property(TEXT, (text) => {
        const sections = sectionsOf(text);
        let joined = '';
        for (const section of sections) {
          expect(section.isWellFormed()).toBe(true);
          expect(section.length).toBeLessThanOrEqual(8_000);
          const overlap = [200, 201].find((length) => joined.endsWith(section.slice(0, length))) ?? 0;
          expect(joined === '' || overlap >= 200).toBe(true);
          joined += section.slice(joined === '' ? 0 : overlap);
        }
        expect(joined).toBe(text.toWellFormed());
      }),
      { numRuns: 50 },
    );
  });
});

describe('the moderator', () => {
  it('tells the endpoint no lone surrogate', async () => {
    const heard: unknown[] = [];
    const result = { flagged: false, categories: {}, category_scores: {} };
    const moderator = new Moderator({
      model: 'omni',
      timeoutMs: 1_000,
      observe: () => undefined,
      observeCache: () => undefined,
      pacer: { upstream: { tpm: 0 }, isWaitedFor: true, reserve: () => Promise.resolve() },
      cache: {
        find: (_: string, texts: object[]) =>
          Promise.resolve({ hashes: [], cached: texts.map(() => undefined), groups: [] }),
        keep: () => undefined,
      },
      client: {
        moderations: {
          create: ({ input }: { input: unknown[] }) => {
            heard.push(...input);
            return Promise.resolve({ results: input.map(() => result) });
          },
        },
      },
    } as unknown as ModeratorOptions);
    const contents: Content[] = [
      { kind: 'text', text: HALF_AT_8000 },
      { kind: 'text', text: 'half \ud83d' },
      { kind: 'image', url: 'https://example.org/\ude00.png' },
    ];
    await moderator.results(contents);
    expect(heard).toHaveLength(4);
    // A lone surrogate would be written as an escape.
    expect(JSON.stringify(heard)).not.toMatch(/\\ud[89a-f]/);
    expect(JSON.stringify(heard)).toContain('half \ufffd');
  });
});
