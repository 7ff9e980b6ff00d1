import { describe, expect, it } from '@jest/globals';
import { setImmediate } from 'node:timers/promises';
import { JudgingPlaces } from './judging.places.js';

const holder = (keyId: string) => ({ keyId, campaignId: `of ${keyId}` });

describe('the places of calls that are judged', () => {
  it('are found at once by a newcomer while one key has many calls, whose others wait for its own to end', async () => {
    const places = new JudgingPlaces(4);
    const judged: string[] = [];
    const enter = async (keyId: string): Promise<void> => {
      await places.enter(holder(keyId));
      judged.push(keyId);
    };
    for (let n = 0; n < 10; n++) void enter('greedy');
    await setImmediate();
    expect(judged).toEqual(Array(4).fill('greedy'));
    expect(places.oldestMs).toBeGreaterThan(0);
    void enter('other');
    await setImmediate();
    expect(judged.at(-1)).toBe('other');
    places.leave(holder('other'));
    for (let ended = 0; ended < 10; ended++) {
      expect(judged.filter((keyId) => keyId === 'greedy')).toHaveLength(Math.min(10, 4 + ended));
      places.leave(holder('greedy'));
      await setImmediate();
    }
    expect(places.oldestMs).toBe(0);
  });

  it('go to waiting keys in turns', async () => {
    const places = new JudgingPlaces(1);
    const judged: string[] = [];
    const enter = async (keyId: string): Promise<void> => {
      await places.enter(holder(keyId));
      judged.push(keyId);
    };
    for (const keyId of ['a', 'b', 'a', 'a', 'b', 'c']) void enter(keyId);
    await setImmediate();
    const started = [...judged];
    for (let n = 0; n < 6; n++) {
      const next = judged[n]!;
      places.leave(holder(next));
      await setImmediate();
    }
    expect(started).toEqual(['a', 'b']);
    expect(judged.slice(2).sort()).toEqual(['a', 'a', 'b', 'c']);
    expect(judged.indexOf('c')).toBeLessThan(5);
  });
});
