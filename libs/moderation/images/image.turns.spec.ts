import { describe, expect, it } from '@jest/globals';
import { ImageTurns } from './image.turns.js';

const forever = new AbortController().signal;

/** Work that ends when the test says so. */
function works(turns: ImageTurns) {
  const ends: (() => void)[] = [];
  const begun: string[] = [];
  const start = (keyId: string, signal = forever): Promise<string | null> =>
    turns.run(keyId, signal, () => {
      begun.push(keyId);
      return new Promise<string>((resolve) => ends.push(() => resolve(keyId)));
    });
  const settled = (): Promise<unknown> => new Promise((resolve) => setImmediate(resolve));
  return { begun, start, settled, endOne: () => ends.shift()!() };
}

describe('turns to fetch images', () => {
  it('are few of one key, which waits in its own line while others go on', async () => {
    const { begun, start, settled, endOne } = works(new ImageTurns());
    const all = Array.from({ length: 5 }, () => start('greedy'));
    const other = start('modest');
    await settled();
    expect(begun).toEqual(['greedy', 'greedy', 'greedy', 'modest']);
    endOne();
    await all[0];
    await settled();
    expect(begun).toHaveLength(5);
    for (let rest = 0; rest < 4; rest++) endOne();
    await settled();
    endOne();
    expect(await Promise.all([...all, other])).toEqual([...Array<string>(5).fill('greedy'), 'modest']);
  });

  it('are not waited for by more than a few of one key', async () => {
    const { start } = works(new ImageTurns());
    for (let calls = 0; calls < 3 + 30; calls++) void start('greedy');
    expect(await start('greedy')).toBeNull();
  });

  it('are bounded in all, and come to whoever waits', async () => {
    const { begun, start, settled, endOne } = works(new ImageTurns());
    for (let calls = 0; calls < 9; calls++) void start(`key ${calls}`);
    await settled();
    expect(begun).toHaveLength(6);
    endOne();
    await settled();
    expect(begun).toHaveLength(7);
  });

  it('come to each key in turn, whoever came first', async () => {
    const { begun, start, settled, endOne } = works(new ImageTurns());
    for (let calls = 0; calls < 3; calls++) void start('early');
    for (let others = 0; others < 3; others++) void start(`other ${others}`);
    for (const keyId of ['early', 'early', 'early', 'late', 'later']) void start(keyId);
    await settled();
    for (let ended = 0; ended < 4; ended++) {
      endOne();
      await settled();
    }
    expect(begun.slice(6)).toEqual(['early', 'late', 'later', 'early']);
  });

  it('are given up when the time is over', async () => {
    const { begun, start } = works(new ImageTurns());
    for (let calls = 0; calls < 3; calls++) void start('greedy');
    expect(await start('greedy', AbortSignal.timeout(20))).toBeNull();
    expect(begun).toHaveLength(3);
  });
});
