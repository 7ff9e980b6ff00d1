import { describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { DaypassError } from '#libs/contracts/errors.js';
import { ChatReader } from '#libs/endpoints/chat/chat.reader.js';
import type { Content } from '#libs/endpoints/content.js';
import type { Frame } from '#libs/endpoints/endpoint.js';
import type { OutputVerdict } from './output.gate.js';
import { OutputWindows, type WindowsOptions } from './output.windows.js';

const PHRASE = 'FLAGGED-PHRASE';
const textOf = (contents: readonly Content[]): string =>
  contents.map((content) => (content.kind === 'text' ? content.text : '')).join('\n');
const byPhrase = (contents: readonly Content[]): OutputVerdict => ({
  word: textOf(contents).includes(PHRASE) ? 'blocked' : 'pass',
});

/** A frame that shows its text, and nothing else. */
const frameOf = (text: string, said = text): Pick<Frame, 'text' | 'texts' | 'closing'> => ({
  text,
  texts: said === '' ? [] : [{ path: '0.content', text: said }],
  closing: false,
});
const quiet: Pick<WindowsOptions, 'hasMore' | 'redact' | 'show' | 'onStop'> = {
  hasMore: () => false,
  redact: () => null,
  show: () => undefined,
  onStop: () => undefined,
};

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
  options: { latency?: number; verdictOn?: (contents: readonly Content[]) => OutputVerdict } = {},
): Promise<Run> {
  const seen: Run = { shown: '', stopped: undefined, stops: 0, judgements: [], mostAtOnce: 0 };
  let running = 0;
  const windows = new OutputWindows({
    ...quiet,
    mode,
    verdictOn: async (contents) => {
      seen.mostAtOnce = Math.max(seen.mostAtOnce, ++running);
      seen.judgements.push(textOf(contents));
      for (let turn = 0; turn < (options.latency ?? 1); turn++) await new Promise(setImmediate);
      running--;
      return (options.verdictOn ?? byPhrase)(contents);
    },
    show: (frame) => (seen.shown += frame),
    onStop: () => seen.stops++,
  });
  for (let at = 0, n = 0; at < text.length && !windows.stopped; n++) {
    const frame = text.slice(at, at + lengths[n % lengths.length]!);
    at += frame.length;
    windows.add(frameOf(frame));
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
      ...quiet,
      mode: 'window',
      verdictOn: () => Promise.resolve({ word: 'pass' }),
      show: (frame) => shown.push(frame),
    });
    windows.add(frameOf('role', ''));
    expect(shown).toEqual(['role']);
    windows.add(frameOf('One'));
    windows.add(frameOf(' two.'));
    await sleep(0);
    expect(shown).toEqual(['role', 'One', ' two.']);
    windows.add(frameOf(' Three'));
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
        verdictOn: () => (++calls > 3 ? { word: 'unavailable', error } : { word: 'pass' }),
      });
      expect(closed.stopped).toBe('unavailable');
      expect(closed.shown.length).toBeLessThan(3_000);
      const open = await run(mode, sentences(3_000), [50], { verdictOn: () => ({ word: 'unchecked' }) });
      expect(open).toMatchObject({ stopped: undefined, shown: sentences(3_000) });
    },
  );

  it('does not go on where a judge fails, and says why', async () => {
    const failing = run('window', sentences(3_000), [50], {
      verdictOn: () => {
        throw new Error('broken');
      },
    });
    await expect(failing).rejects.toThrow('broken');
  });

  it('makes the upstream wait where too much waits for verdicts', async () => {
    let release: (verdict: OutputVerdict) => void = () => undefined;
    const windows = new OutputWindows({
      ...quiet,
      mode: 'window',
      verdictOn: () => new Promise((resolve) => (release = resolve)),
    });
    windows.add(frameOf('first.'));
    expect(windows.add(frameOf('x', 'x'.repeat(70_000)))).toBe(true);
    const full = windows.drained();
    const state = await Promise.race([full.then(() => 'room'), sleep(20).then(() => 'full')]);
    expect(state).toBe('full');
    release({ word: 'pass' });
    await full;
  });

  it('is released without what a guard takes out of it', async () => {
    const reader = new ChatReader({ outputs: 1, facts: {} });
    let shown = '';
    const windows = new OutputWindows({
      ...quiet,
      mode: 'window',
      verdictOn: () => Promise.resolve({ word: 'redacted', redactions: [{ find: 'secret', replace: '[x]' }] }),
      redact: (frames, redactions) => reader.redacted(frames, redactions),
      show: (one) => (shown += one),
    });
    for (const content of ['The sec', 'ret is out. ', 'So.']) {
      const data = JSON.stringify({ choices: [{ index: 0, delta: { content } }] });
      for (const frame of reader.event({ data })) windows.add(frame);
    }
    await windows.finish();
    expect([...shown.matchAll(/"content":"([^"]*)"/g)].map(([, text]) => text).join('')).toBe('The [x] is out. So.');
    expect(windows.word).toBe('redacted');
  });

  it('is stopped where what a guard takes out cannot be taken out of it', async () => {
    let shown = '';
    const windows = new OutputWindows({
      ...quiet,
      mode: 'window',
      verdictOn: () => Promise.resolve({ word: 'redacted', redactions: [{ find: 'secret', replace: '[x]' }] }),
      show: (one) => (shown += one),
    });
    windows.add(frameOf('A secret. '));
    await windows.finish();
    expect([shown, windows.stopped?.word]).toEqual(['', 'blocked']);
  });

  it('does not say how it ended before the last verdict (trail)', async () => {
    let shown = '';
    const verdict = Promise.withResolvers<OutputVerdict>();
    const windows = new OutputWindows({
      ...quiet,
      mode: 'trail',
      verdictOn: () => verdict.promise,
      show: (one) => (shown += one),
    });
    windows.add(frameOf('all is shown. '));
    windows.add({ ...frameOf('[stop]', ''), closing: true });
    const finished = windows.finish();
    expect(shown).toBe('all is shown. ');
    verdict.resolve({ word: 'blocked' });
    await finished;
    expect([shown, windows.stopped?.word]).toEqual(['all is shown. ', 'blocked']);
  });

  it.each([
    ['a text of its own', `${PHRASE}.`, false],
    ['a verdict of the provider', '', true],
  ])('does not show an end that brings %s before the verdict on that (trail)', async (_, text, provider) => {
    const shown: string[] = [];
    let more = false;
    const windows = new OutputWindows({
      ...quiet,
      mode: 'trail',
      verdictOn: (contents) => Promise.resolve(more ? { word: 'blocked' } : byPhrase(contents)),
      hasMore: () => more,
      show: (frame) => shown.push(frame),
    });
    windows.add(frameOf('A nice sentence. '));
    // All of it has passed by now.
    await new Promise(setImmediate);
    more = provider;
    windows.add({ ...frameOf('[end]', text), closing: true });
    await windows.finish();
    expect([shown, windows.stopped?.word]).toEqual([['A nice sentence. '], 'blocked']);
  });

  it('waits for a verdict on what the provider says beside it, with or without text', async () => {
    let more = false;
    const judged: number[] = [];
    const windows = new OutputWindows({
      ...quiet,
      mode: 'window',
      verdictOn: (contents) => {
        judged.push(contents.length);
        const word = more ? 'blocked' : 'pass';
        more = false;
        return Promise.resolve({ word });
      },
      hasMore: () => more,
    });
    windows.add(frameOf('text. '));
    await new Promise(setImmediate);
    more = true;
    windows.add(frameOf('its own verdict', ''));
    await windows.finish();
    expect(judged).toEqual([1, 0]);
    expect(windows.stopped?.word).toBe('blocked');
  });
});

describe('what was taken out of a stream once', () => {
  it('is looked for in every later piece, also where nothing new was to be judged', async () => {
    const asked: string[][] = [];
    const shown: string[] = [];
    const windows = new OutputWindows({
      ...quiet,
      mode: 'window',
      verdictOn: () => Promise.resolve({ word: 'redacted', redactions: [{ find: 'b', replace: '-' }] }),
      redact: (frames) => {
        asked.push([...frames]);
        return frames.map((frame) => frame.replaceAll('b', '-'));
      },
      show: (frame) => shown.push(frame),
    });
    windows.add({ text: 'ab. ', texts: [{ path: 'p', text: 'ab. ' }], closing: false });
    // A repeat: it adds no text.
    windows.add({ text: 'b again', texts: [], closing: false });
    await windows.finish();
    expect(shown.join('')).toBe('a-. - again');
    expect(asked.flat()).toEqual(['ab. ', 'b again']);
  });
});

describe('images of a stream', () => {
  const imageOf = (name: string): Pick<Frame, 'text' | 'texts' | 'images' | 'closing'> => ({
    text: name,
    texts: [],
    images: [{ kind: 'image', url: name }],
    closing: false,
  });

  /** All frames come before the first verdict. */
  async function shownOf(mode: 'window' | 'trail', frames: readonly Parameters<OutputWindows['add']>[0][]) {
    const shown: string[] = [];
    const atOnce: string[] = [];
    const judged: string[][] = [];
    const windows = new OutputWindows({
      ...quiet,
      mode,
      verdictOn: async (contents) => {
        judged.push(contents.map((content) => (content.kind === 'image' ? content.url : content.text)));
        await new Promise(setImmediate);
        return { word: JSON.stringify(contents).includes('bad') ? 'blocked' : 'pass' };
      },
      show: (frame) => shown.push(frame),
    });
    for (const frame of frames) windows.add(frame);
    atOnce.push(...shown);
    await windows.finish();
    return { shown, atOnce, judged, stopped: windows.stopped?.word };
  }

  it.each(['window', 'trail'] as const)('are judged each by itself under %s, however many wait', async (mode) => {
    const { shown, atOnce, judged, stopped } = await shownOf(mode, ['a', 'b', 'bad', 'c'].map(imageOf));
    expect(atOnce).toEqual([]);
    expect(shown).toEqual(['a', 'b']);
    expect(judged.slice(0, 3)).toEqual([['a'], ['b'], ['bad']]);
    expect(stopped).toBe('blocked');
  });

  it('do not take the text beside them away, nor overtake it', async () => {
    const frames = [frameOf('One. '), imageOf('a'), frameOf('Two. '), imageOf('bad'), frameOf('Three. ')];
    expect((await shownOf('window', frames)).shown).toEqual(['One. ', 'a', 'Two. ']);
    expect((await shownOf('trail', frames)).atOnce).toEqual(['One. ']);
  });
});
