import { describe, expect, it } from '@jest/globals';
import { UnreadAnswers, type Reader } from './unread.answers.js';

const MIB = 1_048_576;

class Visitor implements Reader {
  isGone = false;
  private leave: () => void = () => undefined;

  constructor(readonly writableLength: number) {}

  once(_: 'close', listener: () => void): void {
    this.leave = listener;
  }

  destroy(): void {
    this.isGone = true;
    this.leave();
  }
}

describe('answers that nobody reads', () => {
  const unread = (...visitors: [campaignId: string, keyId: string, mib: number][]) => {
    const answers = new UnreadAnswers();
    const readers = visitors.map(([campaignId, keyId, mib]) => {
      const reader = new Visitor(mib * MIB);
      answers.watch(reader, { campaignId, keyId });
      return reader;
    });
    answers.check();
    answers.check();
    answers.beforeApplicationShutdown();
    return readers.map(({ isGone }) => isGone);
  };

  it('of one key are bounded: ingress hangs up on the largest, and on nobody else', () => {
    expect(unread(['c', 'a', 8], ['c', 'a', 16], ['c', 'a', 16], ['c', 'b', 30], ['d', 'e', 1])).toEqual([
      false,
      true,
      false,
      false,
      false,
    ]);
  });

  it('of one campaign are bounded, and so are all together', () => {
    const keys = (campaign: string, count: number) =>
      Array.from({ length: count }, (_, n): [string, string, number] => [campaign, `${campaign}${n}`, 30]);
    expect(unread(...keys('c', 5)).filter(Boolean)).toHaveLength(1);
    const many = [...keys('c', 4), ...keys('d', 4), ...keys('e', 4)];
    expect(unread(...many).filter(Boolean)).toHaveLength(4);
  });
});
