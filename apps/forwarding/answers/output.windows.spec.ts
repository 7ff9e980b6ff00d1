import { describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Content } from '#libs/endpoints/content.js';
import type { OutputVerdict } from './output.gate.js';
import { OutputWindows } from './output.windows.js';

const PHRASE = 'FLAGGED-PHRASE';
const textOf = (contents: readonly Content[]): string =>
  contents.map((content) => (content.kind === 'text' ? content.text : '')).join('\n');
const byPhrase = (contents: readonly Content[]): OutputVerdict => ({
  word: textOf(contents).includes(PHRASE) ? 'blocked' : 'pass',
});

interface Run {
  shown: string;
  stopped: string | undefined;
  stops: number;
  judgements: string[];
  mostAtOnce: number;
}

/** Streams the text in pieces of these lengths; verdicts take as long as `latency` says, in turns of the event loop. */
async function run(
  mode: 'window' | 'trail',
  text: string,
  lengths: readonly number[],
  options: { latency?: number; judge?: (contents: readonly Content[]) => OutputVerdict } = {},
): Promise<Run> {
  const seen: Run = { shown: '', stopped: undefined, stops: 0, judgements: [], mostAtOnce: 0 };
  let running = 0;
  const windows = new OutputWindows({
    mode,
    judge: async (contents) => {
      seen.mostAtOnce = Math.max(seen.mostAtOnce, ++running);
      seen.judgements.push(textOf(contents));
      for (let turn = 0; turn < (options.latency ?? 1); turn++) await new Promise(setImmediate);
      running--;
      return (options.judge ?? byPhrase)(contents);
    },
    show: (frame) => (seen.shown += frame),
    hasMore: () => false,
    onStop: () => seen.stops++,
  });
  for (let at = 0, n = 0; at < text.length && !windows.stopped; n++) {
    const frame = text.slice(at, at + lengths[n % lengths.length]!);
    at += frame.length;
    windows.add(frame, [{ path: '0.content', text: frame }]);
    if (n % 3 === 0) await new Promise(setImmediate);
  }
  await windows.finish();
  seen.stopped = windows.stopped?.word;
  return seen;
}

const sentences = (characters: number): string =>
  'The quick brown fox jumps over the lazy dog and then it goes on. '
    .repeat(Math.ceil(characters / 65))
    .slice(0, characters);
const lengths = fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 1, maxLength: 30 });
const latency = fc.integer({ min: 0, max: 30 });

describe('a stream under moderation', () => {
  it.each(['window', 'trail'] as const)('is shown whole and in order where nothing is flagged (%s)', async (mode) => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 6_000 }), lengths, latency, async (characters, sizes, turns) => {
        const text = sentences(characters);
        const { shown, stopped, mostAtOnce } = await run(mode, text, sizes, { latency: turns });
        expect({ shown, stopped }).toEqual({ shown: text, stopped: undefined });
        // The last piece is judged beside the one before it.
        expect(mostAtOnce).toBeLessThanOrEqual(2);
      }),
      { numRuns: 100 },
    );
  });

  it.each([
    ['window', 0],
    ['trail', 1_000],
  ] as const)(
    'that turns bad at character 5,000 shows no flagged character, or (%s) at most %i more',
    async (mode, more) => {
      const text = `${sentences(5_000)}${PHRASE} ${sentences(5_000)}`;
      await fc.assert(
        fc.asyncProperty(lengths, latency, async (sizes, turns) => {
          const { shown, stopped, stops } = await run(mode, text, sizes, { latency: turns });
          expect({ stopped, stops }).toEqual({ stopped: 'blocked', stops: 1 });
          expect(text.startsWith(shown)).toBe(true);
          expect(shown.length).toBeLessThanOrEqual(5_000 + more);
          if (mode === 'window') expect(shown).not.toContain('FLAGGED');
        }),
        { numRuns: 100 },
      );
    },
  );

  it('is shown sentence by sentence, each before the next is there', async () => {
    const shown: string[] = [];
    const windows = new OutputWindows({
      mode: 'window',
      judge: () => Promise.resolve({ word: 'pass' }),
      show: (frame) => shown.push(frame),
      hasMore: () => false,
      onStop: () => undefined,
    });
    windows.add('role', []);
    expect(shown).toEqual(['role']);
    windows.add('One', [{ path: 'c', text: 'One' }]);
    windows.add(' two.', [{ path: 'c', text: ' two.' }]);
    await sleep(0);
    expect(shown).toEqual(['role', 'One', ' two.']);
    windows.add(' Three', [{ path: 'c', text: ' Three' }]);
    await sleep(0);
    expect(shown).toHaveLength(3);
    await windows.finish();
    expect(shown).toHaveLength(4);
  });

  it('costs one judgement at a time, and larger pieces where verdicts are slow', async () => {
    const fast = await run('window', sentences(5_000), [20], { latency: 0 });
    const slow = await run('window', sentences(5_000), [20], { latency: 40 });
    expect(slow.judgements.length).toBeLessThan(fast.judgements.length / 2);
  });

  it.each(['window', 'trail'] as const)(
    'is stopped by a moderation that is away under a closed policy (%s), and marked under an open one',
    async (mode) => {
      const error = new DaypassError('moderation_unavailable', 'away');
      let calls = 0;
      const closed = await run(mode, sentences(3_000), [50], {
        judge: () => (++calls > 3 ? { word: 'unavailable', error } : { word: 'pass' }),
      });
      expect(closed.stopped).toBe('unavailable');
      expect(closed.shown.length).toBeLessThan(3_000);
      const open = await run(mode, sentences(3_000), [50], { judge: () => ({ word: 'unchecked' }) });
      expect(open).toMatchObject({ stopped: undefined, shown: sentences(3_000) });
    },
  );

  it('does not go on where a judge fails, and says why', async () => {
    const failing = run('window', sentences(3_000), [50], {
      judge: () => {
        throw new Error('broken');
      },
    });
    await expect(failing).rejects.toThrow('broken');
  });

  it('makes the upstream wait where too much waits for verdicts', async () => {
    let release: (verdict: OutputVerdict) => void = () => undefined;
    const windows = new OutputWindows({
      mode: 'window',
      judge: () => new Promise((resolve) => (release = resolve)),
      show: () => undefined,
      hasMore: () => false,
      onStop: () => undefined,
    });
    windows.add('first.', [{ path: 'c', text: 'first.' }]);
    expect(windows.add('x', [{ path: 'c', text: 'x'.repeat(70_000) }])).toBe(true);
    const full = windows.room();
    const state = await Promise.race([full.then(() => 'room'), sleep(20).then(() => 'full')]);
    expect(state).toBe('full');
    release({ word: 'pass' });
    await full;
  });

  it('is released without what a guard takes out of it', async () => {
    const frame = (text: string): string =>
      `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: text } }] })}\n\n`;
    let shown = '';
    const windows = new OutputWindows({
      mode: 'window',
      judge: () => Promise.resolve({ word: 'redacted', redactions: [{ find: 'secret', replace: '[x]' }] }),
      hasMore: () => false,
      show: (one) => (shown += one),
      onStop: () => undefined,
    });
    for (const text of ['The sec', 'ret is out. ', 'So.']) windows.add(frame(text), [{ path: '0.content', text }]);
    await windows.finish();
    expect([...shown.matchAll(/"content":"([^"]*)"/g)].map(([, text]) => text).join('')).toBe('The [x] is out. So.');
    expect(windows.word).toBe('redacted');
  });

  it('does not say how it ended before the last verdict (trail)', async () => {
    let shown = '';
    const verdict = Promise.withResolvers<OutputVerdict>();
    const windows = new OutputWindows({
      mode: 'trail',
      judge: () => verdict.promise,
      hasMore: () => false,
      show: (one) => (shown += one),
      onStop: () => undefined,
    });
    windows.add('all is shown. ', [{ path: '0.content', text: 'all is shown. ' }]);
    windows.add('[stop]', [], true);
    const finished = windows.finish();
    expect(shown).toBe('all is shown. ');
    verdict.resolve({ word: 'blocked' });
    await finished;
    expect([shown, windows.stopped?.word]).toEqual(['all is shown. ', 'blocked']);
  });

  it('waits for a verdict on what the provider says beside it, with or without text', async () => {
    let more = false;
    const judged: number[] = [];
    const windows = new OutputWindows({
      mode: 'window',
      judge: (contents) => {
        judged.push(contents.length);
        const word = more ? 'blocked' : 'pass';
        more = false;
        return Promise.resolve({ word });
      },
      hasMore: () => more,
      show: () => undefined,
      onStop: () => undefined,
    });
    windows.add('text. ', [{ path: '0.content', text: 'text. ' }]);
    await new Promise(setImmediate);
    more = true;
    windows.add('its own verdict', []);
    await windows.finish();
    expect(judged).toEqual([1, 0]);
    expect(windows.stopped?.word).toBe('blocked');
  });
});
