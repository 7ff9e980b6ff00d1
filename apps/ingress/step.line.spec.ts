import { describe, expect, it } from '@jest/globals';
import { StepLine } from './step.line.js';

const LARGE = 1_000_000;

function work(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe('the line of steps', () => {
  it('runs a step on a small body at once', () => {
    let ran = false;
    void new StepLine().run('a', 1_000, () => (ran = true));
    expect(ran).toBe(true);
  });

  it('runs steps on large bodies one by one, and leaves the loop to others between them', async () => {
    const line = new StepLine();
    const seen: string[] = [];
    const ticking = setInterval(() => seen.push('other'), 1);
    await Promise.all(
      ['a', 'b', 'c'].map((name) =>
        line.run('a', LARGE, () => {
          work(10);
          seen.push(name);
        }),
      ),
    );
    clearInterval(ticking);
    const between = seen.join('').split(/[abc]/).slice(1, 3);
    expect(seen.filter((one) => one !== 'other')).toEqual(['a', 'b', 'c']);
    for (const others of between) expect(others).toContain('other');
  });

  it('lets keys take turns', async () => {
    const line = new StepLine();
    const seen: string[] = [];
    await Promise.all(['a', 'a', 'a', 'b'].map((key) => line.run(key, LARGE, () => seen.push(key))));
    expect(seen.slice(0, 2)).toEqual(['a', 'b']);
  });

  it('goes on after a step that fails, and after it was idle', async () => {
    const line = new StepLine();
    const fail = (): never => {
      throw new Error('broken');
    };
    await expect(line.run('a', LARGE, fail)).rejects.toThrow('broken');
    expect(await line.run('a', LARGE, () => 'next')).toBe('next');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await line.run('a', LARGE, async () => 'later')).toBe('later');
  });
});
