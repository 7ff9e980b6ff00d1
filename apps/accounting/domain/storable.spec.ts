import { expect, it } from '@jest/globals';
import { storable } from './storable.js';

it('replaces what Postgres cannot hold, however deep it is, and nothing else', () => {
  expect(storable({ 'a\0': ['x\0y', '\ud800z', 'ok 😀', 1, null, true] })).toEqual({ 'a\ufffd': ['x\ufffdy', '\ufffdz', 'ok 😀', 1, null, true] });
});
