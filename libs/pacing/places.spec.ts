import { describe, expect, it } from '@jest/globals';
import { Places, type Holder } from './places.js';

const holder = (keyId: string, campaignId = `of ${keyId}`): Holder => ({ keyId, campaignId });

/** Takes as many places as it gets. */
function fill(places: Places, one: Holder): number {
  let got = 0;
  while (got < 10_000 && places.take(one)) got++;
  return got;
}

/** Everybody wants all places, and calls end at random: returns how many places each holds in the end. */
function contend(places: Places, holders: readonly Holder[]): number[] {
  let random = 1;
  const next = (below: number): number => (random = (random * 48_271) % 2_147_483_647) % below;
  for (let step = 0; step < 100_000; step++) {
    const one = holders[next(holders.length)]!;
    if (next(2) === 0) places.take(one);
    else if (places.heldBy(one) > 0 && next(20) === 0) places.release(one);
  }
  return holders.map((one) => places.heldBy(one));
}

describe('places', () => {
  it.each([1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 100, 256, 2_000])(
    'are %d for one key while nobody else wants any',
    (alone) => {
      const places = new Places(alone);
      expect(fill(places, holder('greedy'))).toBe(alone);
      expect(places.take(holder('other'))).toBe(true);
    },
  );

  it('are found at once by a newcomer, also of the same campaign, after one key took all that it got', () => {
    const places = new Places(256);
    fill(places, holder('greedy', 'workshop'));
    expect(fill(places, holder('of the workshop', 'workshop'))).toBeGreaterThanOrEqual(24);
    expect(fill(places, holder('elsewhere'))).toBeGreaterThanOrEqual(24);
  });

  it('are found at once beside a campaign whose 500 keys take all that they get', () => {
    const places = new Places(256);
    for (let key = 0; key < 500; key++) fill(places, holder(`k${key}`, 'workshop'));
    expect(places.crowd()).toEqual({ campaigns: ['workshop'], keys: [] });
    expect(fill(places, holder('elsewhere'))).toBeGreaterThanOrEqual(24);
    expect(fill(places, holder('a third'))).toBeGreaterThanOrEqual(4);
  });

  it('give at least a quarter to each of four keys, and a half to each of two campaigns, that want all', () => {
    const keys = ['a', 'b', 'c', 'd'];
    for (const held of contend(
      new Places(256),
      keys.map((key) => holder(key)),
    ))
      expect(held).toBeGreaterThanOrEqual(64);
    for (const held of contend(
      new Places(256),
      keys.map((key) => holder(key, 'one')),
    ))
      expect(held).toBeGreaterThanOrEqual(64);
    const many = (campaign: string) => Array.from({ length: 50 }, (_, key) => holder(`${campaign}${key}`, campaign));
    const held = contend(new Places(256), [...many('a'), ...many('b')]);
    const sum = (some: number[]): number => some.reduce((all, one) => all + one, 0);
    expect(sum(held.slice(0, 50))).toBeGreaterThanOrEqual(128);
    expect(sum(held.slice(50))).toBeGreaterThanOrEqual(128);
  });

  it('name who gets none: exactly those whose next call gets none', () => {
    const places = new Places(16);
    const [greedy, colleague, other] = [holder('greedy', 'one'), holder('colleague', 'one'), holder('other', 'two')];
    expect(places.crowd()).toEqual({ campaigns: [], keys: [] });
    fill(places, greedy);
    places.take(colleague);
    places.take(other);
    const { campaigns, keys } = places.crowd();
    for (const one of [greedy, colleague, other])
      expect(campaigns.includes(one.campaignId) || keys.includes(one.keyId)).toBe(!places.hasRoomFor(one));
    expect(places.hasRoomFor(greedy)).toBe(false);
    fill(places, colleague);
    fill(places, other);
    for (let n = 0; places.take(holder(`new ${n}`)); n++) expect(n).toBeLessThan(places.size);
    expect(places.crowd().campaigns).toContain('one');
    expect(places.hasRoomFor(holder('one more'))).toBe(false);
  });

  it('are free again after each release', () => {
    const places = new Places(8);
    const one = holder('one');
    for (let round = 0; round < 3; round++) {
      expect(fill(places, one)).toBe(8);
      for (let held = 8; held > 0; held--) places.release(one);
      expect([places.heldBy(one), places.heldByCampaignOf(one)]).toEqual([0, 0]);
    }
  });
});

describe('calls that surely get a place', () => {
  const holder = (n: number): { keyId: string; campaignId: string } => ({ keyId: `k${n}`, campaignId: `c${n % 2}` });

  it.each([1, 4, 20, 100])('get it, whosever they are (%i alone)', (alone) => {
    for (let full = 0; full <= alone; full++) {
      const make = (): Places => {
        const places = new Places(alone);
        for (let n = 0; n < full; n++) places.take(holder(n % 3));
        return places;
      };
      const sure = make().sureOf(32);
      // Those of one key are the first that get none.
      for (const whose of [0, 1, 9]) {
        const places = make();
        for (let n = 0; n < sure; n++) expect(places.take(holder(whose))).toBe(true);
      }
    }
  });

  it('are as many as were asked for where most places are free, and none where a key has its share', () => {
    expect(new Places(100).sureOf(32)).toBe(32);
    const places = new Places(4);
    while (places.take(holder(0)));
    expect(places.sureOf(32)).toBe(0);
  });
});
