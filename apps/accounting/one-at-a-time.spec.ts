import { describe, expect, it } from '@jest/globals';
import { OneAtATime } from './one-at-a-time.js';

/** Runs that the test ends, in their order. */
function runs() {
  const begun: { end: (answer: string) => void; fail: () => void }[] = [];
  const once = new OneAtATime(
    () => new Promise<string>((end, reject) => begun.push({ end, fail: () => reject(new Error('it failed')) })),
  );
  return { begun, once };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('a question that is asked while it is being answered', () => {
  it('is answered by a run that begins after it, which all who ask meanwhile share', async () => {
    const { begun, once } = runs();
    const first = once.ask();
    const [second, third] = [once.ask(), once.ask()];
    expect(begun).toHaveLength(1);
    begun[0]!.end('before');
    expect(await first).toBe('before');
    await turn();
    expect(begun).toHaveLength(2);
    begun[1]!.end('after');
    expect(await Promise.all([second, third])).toEqual(['after', 'after']);
    const fourth = once.ask();
    expect(begun).toHaveLength(3);
    begun[2]!.end('later');
    expect(await fourth).toBe('later');
  });

  it('is answered though the run before it failed', async () => {
    const { begun, once } = runs();
    const first = once.ask();
    const second = once.ask();
    begun[0]!.fail();
    await expect(first).rejects.toThrow('it failed');
    await turn();
    begun[1]!.end('well');
    expect(await second).toBe('well');
  });
});
