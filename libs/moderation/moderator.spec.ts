import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { APIError } from 'openai';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Content } from '#libs/endpoints/content.js';
import { until } from '#libs/testing/until.js';
import { Moderator, type ModeratorOptions, type Verdicts } from './moderator.js';
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

const ASKER = { campaignId: 'campaign', keyId: 'key' };
const CLEAN = { flagged: false, categories: {}, category_scores: {} };
const FLAGGED = { flagged: true, categories: { violence: true }, category_scores: { violence: 0.9 } };

type Input = (string | { image_url: { url: string } })[];

/** `answer` says what the endpoint answers: a result for each input, or a status with a code. */
function moderatorWith(
  answer: (input: Input) => object[] | [status: number, code?: string],
  { headers = {}, freeze = () => undefined }: { headers?: HeadersInit; freeze?: (ms: number) => void } = {},
): Moderator {
  return new Moderator({
    model: 'omni',
    timeoutMs: 1_000,
    observe: () => undefined,
    observeCache: () => undefined,
    pacer: {
      upstream: { tpm: 0 },
      isWaitedFor: true,
      reserve: () => Promise.resolve(),
      freeze: (ms: number) => Promise.resolve(freeze(ms)),
    },
    cache: {
      find: (_: string, texts: object[]) =>
        Promise.resolve({ hashes: texts.map(() => ''), cached: texts.map(() => undefined), groups: [] }),
      keep: () => undefined,
    },
    askEndpoint: ({ input }: { input: Input }) => {
      const said = answer(input);
      if (typeof said[0] !== 'number') return Promise.resolve({ results: said });
      const error = APIError.generate(said[0], { error: { code: said[1] } }, undefined, new Headers(headers));
      return Promise.reject(error);
    },
  } as unknown as ModeratorOptions);
}

const isImage = (input: Input): boolean => typeof input[0] !== 'string';
const IMAGE: Content = { kind: 'image', url: 'data:image/png;base64,AAAA' };

describe('a part without a verdict', () => {
  it.each([
    ['refused', 400, true],
    ['too large', 413, true],
    ['of a wrong type', 415, true],
    ['unreadable', 422, true],
    ['away', 503, false],
    ['of an account without rights', 401, false],
    ['forbidden to the account', 403, false],
    ['of an endpoint that is not there', 404, false],
    ['one too many', 429, false],
  ])('does not hide a flagged sibling, and says whether it was refused: %s', async (_, status, refused) => {
    const moderator = moderatorWith((input) => (isImage(input) ? [status] : input.map(() => FLAGGED)));
    const { results, missing } = await moderator.results([{ kind: 'text', text: 'vile' }, IMAGE], ASKER);
    expect(results).toEqual([FLAGGED]);
    expect(missing).toMatchObject({ refused });
  });

  it.each([
    ['retry-after', '7', 7_000],
    ['retry-after', '1000000000', 120_000],
    ['retry-after-ms', '1e300', 120_000],
    ['retry-after', '-1', 1_000],
    ['retry-after', 'Infinity', 1_000],
  ])('stops further calls for as long as the endpoint asks, within a bound: %s %s', async (name, value, expectedMs) => {
    const frozenMs: number[] = [];
    const headers = { [name]: value };
    const moderator = moderatorWith(() => [429], { headers, freeze: (ms) => frozenMs.push(ms) });
    await moderator.results([IMAGE], ASKER);
    expect(new Set(frozenMs)).toEqual(new Set([expectedMs]));
  });

  it("is the account's trouble where a 400 says so", async () => {
    const moderator = moderatorWith(() => [400, 'billing_hard_limit_reached']);
    expect((await moderator.results([IMAGE], ASKER)).missing).toMatchObject({ refused: false });
  });

  it('in a batch has its siblings asked about one by one', async () => {
    const moderator = moderatorWith((input) =>
      input.some((text) => text === 'unreadable') ? [400] : input.map((text) => (text === 'vile' ? FLAGGED : CLEAN)),
    );
    const { results, missing } = await moderator.results(
      ['unreadable', 'fine', 'vile'].map((text): Content => ({ kind: 'text', text })),
      ASKER,
    );
    expect(results).toEqual([CLEAN, FLAGGED]);
    expect(missing).toMatchObject({ refused: true });
  });

  it('that was refused goes before one that the endpoint had no answer for', async () => {
    const moderator = moderatorWith((input) => [isImage(input) ? 400 : 503]);
    expect((await moderator.results([{ kind: 'text', text: 'a' }, IMAGE], ASKER)).missing).toMatchObject({
      refused: true,
    });
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
      askEndpoint: ({ input }: { input: unknown[] }) => {
        heard.push(...input);
        return Promise.resolve({ results: input.map(() => result) });
      },
    } as unknown as ModeratorOptions);
    const contents: Content[] = [
      { kind: 'text', text: HALF_AT_8000 },
      { kind: 'text', text: 'half \ud83d' },
      { kind: 'image', url: 'https://example.org/\ude00.png' },
    ];
    await moderator.results(contents, ASKER);
    expect(heard).toHaveLength(4);
    // A lone surrogate would be written as an escape.
    expect(JSON.stringify(heard)).not.toMatch(/\\ud[89a-f]/);
    expect(JSON.stringify(heard)).toContain('half \ufffd');
  });

  it('asks for keys in turns, and takes no more of one key than a quarter of all that may wait', async () => {
    const result = { flagged: false, categories: {}, category_scores: {} };
    const asked: string[] = [];
    const free: (() => void)[] = [];
    const moderator = new Moderator({
      model: 'omni',
      timeoutMs: 60_000,
      observe: () => undefined,
      observeCache: () => undefined,
      pacer: { upstream: { tpm: 0 }, isWaitedFor: true, reserve: () => Promise.resolve() },
      cache: {
        find: (_: string, texts: object[]) =>
          Promise.resolve({ hashes: [], cached: texts.map(() => undefined), groups: [] }),
        keep: () => undefined,
      },
      askEndpoint: async ({ input }: { input: string[] }) => {
        asked.push(input[0]!);
        await new Promise<void>((resolve) => free.push(resolve));
        return { results: input.map(() => result) };
      },
    } as unknown as ModeratorOptions);
    const texts = (keyId: string, count: number): Promise<Verdicts> =>
      moderator.results(
        Array.from({ length: count }, (_, n): Content => ({ kind: 'text', text: `${keyId} ${n}` })),
        { campaignId: 'c', keyId },
      );
    const greedy = texts('greedy', 6_000);
    await until('the first calls are out', () => asked.length === 64);
    expect((await texts('greedy', 1)).missing).toMatchObject({
      message: expect.stringContaining('too much of this key is waiting'),
      refused: true,
      retryAfterMs: 5_000,
    });
    const modest = texts('modest', 1);
    // Its look-up comes first, so that its call waits behind all of the greedy key's.
    await sleep(20);
    free.shift()!();
    await until('the next call is out', () => asked.length > 64);
    free.shift()!();
    await until('one more call is out', () => asked.length > 65);
    expect(asked.slice(64)).toContain('modest 0');
    const ending = setInterval(() => free.splice(0).forEach((end) => end()), 5);
    await Promise.all([greedy, modest]);
    clearInterval(ending);
    expect(asked).toHaveLength(Math.ceil(6_000 / 32) + 1);
  });

  it('freezes nothing for a batch above the whole limit, and asks about its texts one by one', async () => {
    const asked: number[] = [];
    const frozen: number[] = [];
    const result = { flagged: false, categories: {}, category_scores: {} };
    const moderator = new Moderator({
      model: 'omni',
      timeoutMs: 1_000,
      observe: () => undefined,
      observeCache: () => undefined,
      pacer: {
        upstream: { tpm: 0 },
        isWaitedFor: true,
        reserve: () => Promise.resolve(),
        freeze: (ms: number) => Promise.resolve(void frozen.push(ms)),
      },
      cache: {
        find: (_: string, texts: object[]) =>
          Promise.resolve({ hashes: [], cached: texts.map(() => undefined), groups: [] }),
        keep: () => undefined,
      },
      askEndpoint: ({ input }: { input: unknown[] }) => {
        asked.push(input.length);
        if (input.length === 1) return Promise.resolve({ results: [result] });
        const message = 'Request too large for omni: Limit 10000, Requested 16000.';
        return Promise.reject(APIError.generate(429, { error: { message } }, undefined, new Headers()));
      },
    } as unknown as ModeratorOptions);
    const contents: Content[] = ['one', 'two', 'three'].map((text) => ({ kind: 'text', text }));
    expect((await moderator.results(contents, ASKER)).results).toHaveLength(3);
    expect([asked, frozen]).toEqual([[3, 1, 1, 1], []]);
  });
});
