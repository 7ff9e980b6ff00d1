import { describe, expect, it } from '@jest/globals';
import { encode } from 'gpt-tokenizer/encoding/o200k_base';
import { countTextTokens } from './tokens.js';

/** The most that this thread worked in one turn of the event loop while the work was under way, in ms. What other processes take of the machine does not count. */
async function longestTurn(work: Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = process.threadCpuUsage();
  let running = true;
  const watch = (): void => {
    const { user, system } = process.threadCpuUsage(last);
    longest = Math.max(longest, (user + system) / 1_000);
    last = process.threadCpuUsage();
    if (running) setImmediate(watch);
  };
  setImmediate(watch);
  await work;
  running = false;
  return longest;
}

describe('counting tokens', () => {
  it('counts prose exactly as the tokenizer does', async () => {
    const text = 'Daypass lets the owner of one account hand visitors ad hoc keys with a budget.';
    expect(await countTextTokens([text, text])).toBe(2 * encode(text).length);
  });

  it('takes special tokens for the text that they are', async () => {
    expect(await countTextTokens(['<|endoftext|>'])).toBeGreaterThan(1);
  });

  it('never counts less than the tokenizer, and little more, however the text is cut', async () => {
    const text = 'The quick brown fox jumps over the lazy dog; 漢字かな交じり文。 😀 '.repeat(200);
    const exact = encode(text).length;
    const counted = await countTextTokens([text]);
    expect(counted).toBeGreaterThanOrEqual(exact);
    expect(counted).toBeLessThan(exact * 1.05);
  });

  const random = (from: number, size: number) => (length: number) =>
    Array.from({ length }, (_, index) => String.fromCharCode(from + ((index * 2_654_435_761) % size))).join('');

  it.each([
    ['a megabyte of one letter', 'a'.repeat(1_000_000)],
    ['a megabyte of blanks', ' '.repeat(1_000_000)],
    ['300,000 different CJK characters', random(0x4e00, 20_000)(300_000)],
    ['a hundred thousand emoji', '😀'.repeat(100_000)],
  ])('gives the event loop its turn while it counts %s', async (_, text) => {
    await countTextTokens([text.slice(0, 5_000)]);
    const turns: number[] = [];
    // A collection of garbage falls into one turn or another, so the best of three counts.
    for (let round = 0; round < 3; round++) turns.push(await longestTurn(countTextTokens([text])));
    expect(Math.min(...turns)).toBeLessThan(10);
  });

  it('lets a short text through while many long ones wait', async () => {
    const long = Array.from({ length: 20 }, () => countTextTokens([random(0x4e00, 20_000)(50_000)]));
    const order: string[] = [];
    const all = Promise.all(long).then(() => order.push('long'));
    await countTextTokens(['short']).then(() => order.push('short'));
    await all;
    expect(order).toEqual(['short', 'long']);
  });
});
