import { describe, expect, it } from '@jest/globals';
import { groupsOf } from './input.groups.js';

const textsOf = (texts: readonly string[]): string[] =>
  groupsOf(texts).map((content) => (content.kind === 'text' ? content.text : ''));
const NOTES = Array.from({ length: 2_048 }, (_, index) => `note ${index * 7_919} about the garden`);

describe('groups of inputs', () => {
  it('hold every text, in its order', () => {
    expect(textsOf(NOTES).join('\n')).toBe(NOTES.join('\n'));
    expect(groupsOf(['', 'a', ''])).toEqual([{ kind: 'text', text: 'a' }]);
  });

  it('are few where texts are short, and small', () => {
    const groups = textsOf(NOTES);
    expect(groups.length).toBeGreaterThan(60);
    expect(groups.length).toBeLessThan(260);
    for (const group of groups) {
      expect(group.length).toBeLessThanOrEqual(2_100);
      expect(group.split('\n').length).toBeLessThanOrEqual(64);
    }
    expect(groupsOf(Array.from({ length: 2_048 }, () => 'the same')).length).toBeLessThanOrEqual(2_048 / 20);
  });

  it('leave long texts alone', () => {
    const long = 'x'.repeat(1_000);
    expect(textsOf(['a', long, long, 'b'])).toEqual(['a', long, long, 'b']);
    for (const short of NOTES.slice(0, 20)) expect(textsOf([short, long])).toEqual([short, long]);
  });

  it('have two thousand characters at most', () => {
    const texts = NOTES.slice(0, 200).map((note) => note.padEnd(450, '.'));
    const lengths = textsOf(texts).map((group) => group.replaceAll('\n', '').length);
    expect(Math.max(...lengths)).toBe(1_800);
  });

  it('stay the same where other texts come before or between', () => {
    const known = new Set(textsOf(NOTES));
    const isNew = (group: string): boolean => !known.has(group);
    expect(textsOf(['something else', ...NOTES]).filter(isNew).length).toBeLessThanOrEqual(2);
    expect(textsOf(NOTES.slice(100)).filter(isNew).length).toBeLessThanOrEqual(1);
    const between = [...NOTES.slice(0, 1_000), 'something else', ...NOTES.slice(1_000)];
    expect(textsOf(between).filter(isNew).length).toBeLessThanOrEqual(2);
  });
});
