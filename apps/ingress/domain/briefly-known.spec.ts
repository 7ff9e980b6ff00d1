import { describe, expect, it } from '@jest/globals';
import { BrieflyKnown } from './briefly-known.js';

describe('BrieflyKnown', () => {
  it('knows a value until its time is over', () => {
    const known = new BrieflyKnown<number>(100, 10);
    known.set('a', 1, 1_000);
    expect(known.get('a', 1_099)).toBe(1);
    expect(known.get('a', 1_100)).toBeUndefined();
    expect(known.get('b', 1_000)).toBeUndefined();
  });

  it('knows the newest value, from its own time on', () => {
    const known = new BrieflyKnown<number>(100, 10);
    known.set('a', 1, 1_000);
    known.set('a', 2, 1_050);
    expect(known.get('a', 1_149)).toBe(2);
    known.forget('a');
    expect(known.get('a', 1_050)).toBeUndefined();
  });

  it('forgets the oldest for a new one, and keeps nothing whose time is over', () => {
    const known = new BrieflyKnown<number>(100, 2);
    known.set('a', 1, 1_000);
    known.set('b', 2, 1_001);
    known.set('a', 3, 1_002);
    known.set('c', 4, 1_003);
    expect([known.get('a', 1_003), known.get('b', 1_003), known.get('c', 1_003)]).toEqual([3, undefined, 4]);
    expect(known.size).toBe(2);
    known.set('d', 5, 1_200);
    expect(known.size).toBe(1);
  });
});
