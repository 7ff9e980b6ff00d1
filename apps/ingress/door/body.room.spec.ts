import { describe, expect, it } from '@jest/globals';
import { BodyRoom } from './body.room.js';

const MIB = 1_048_576;
const room = (): BodyRoom => new BodyRoom(16 * MIB, MIB);
const of = (campaignId: string, keyId: string) => ({ campaignId, keyId });
const SHARE = expect.objectContaining({ code: 'rate_limit_exceeded' });

/** Fills the room with bodies of so many keys of a campaign, until one is refused. */
function fill(into: BodyRoom, campaign: string, keys: number): unknown {
  for (let n = 0; ; n++) {
    try {
      into.enter(of(campaign, `${campaign}-${n % keys}`)).grow(MIB);
    } catch (error) {
      return error;
    }
  }
}

describe('the room for bodies', () => {
  it('belongs to the keys of one campaign by half at most', () => {
    const shared = room();
    expect(fill(shared, 'greedy', 8)).toEqual(SHARE);
    const other = shared.enter(of('other', 'key'));
    for (let n = 0; n < 4; n++) other.grow(MIB);
    expect(() => other.grow(1)).toThrow(SHARE);
  });

  it('has a body for whoever has none, and small ones, however full it is of others', () => {
    const full = room();
    fill(full, 'one', 8);
    fill(full, 'two', 8);
    full.enter(of('three', 'key')).grow(MIB);
    expect(() => full.enter(of('three', 'key')).grow(MIB)).toThrow(expect.objectContaining({ code: 'overloaded' }));
    full.enter(of('three', 'key')).grow(1_000);
  });
});
