import { describe, expect, it } from '@jest/globals';
import { GENESIS, linkAfter, type ActRow } from './audit.chain.js';

const act: ActRow = {
  kind: 'act',
  id: 'act_1',
  atMs: 1,
  act: 'status',
  subject: 'key_1',
  beforeMs: null,
  note: 'suspended',
};

describe('the hash of an act', () => {
  it('is that of the versions before, where nobody said who did it', () => {
    const before = 'ea18e6c6f1e93cd5c2f556dfae16ad605a36ebe6119a0c89c208518a5fc669dc';
    expect(linkAfter(GENESIS, act).hash).toBe(before);
    expect(linkAfter(GENESIS, { ...act, actor: undefined }).hash).toBe(before);
  });

  it('covers the name of whoever did it', () => {
    const hashes = [act, { ...act, actor: 'Ada' }, { ...act, actor: 'Grace' }].map(
      (row) => linkAfter(GENESIS, row).hash,
    );
    expect(new Set(hashes).size).toBe(3);
  });
});
