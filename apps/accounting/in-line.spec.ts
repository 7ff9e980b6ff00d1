import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import { InLine } from './in-line.js';

it('runs work of one name in turn, after failures as well, and forgets names that nobody waits for', async () => {
  const line = new InLine();
  const seen: string[] = [];
  const work = (name: string, ms: number, fails = false) =>
    line.run(name[0]!, async () => {
      seen.push(`${name} begins`);
      await sleep(ms);
      seen.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    });
  const outcomes = await Promise.allSettled([work('a1', 30), work('a2', 1, true), work('b1', 5), work('a3', 1)]);
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
  expect(seen.filter((text) => text.startsWith('a'))).toEqual(
    ['a1', 'a2', 'a3'].flatMap((name) => [`${name} begins`, `${name} ends`]),
  );
  expect(seen.indexOf('b1 ends')).toBeLessThan(seen.indexOf('a1 ends'));
  expect(line).toEqual(new InLine());
});
