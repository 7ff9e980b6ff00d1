import { describe, expect, it } from '@jest/globals';
import { wishOf } from './wish.js';

describe('a wish for moderation', () => {
  it('can be said by headers too, but never for less', () => {
    const headers = { 'x-daypass-moderate-output': 'true', 'x-daypass-moderate-input': 'false' };
    expect(wishOf({ input: true, output: false }, headers)).toEqual({ input: true, output: true });
    expect(wishOf({ input: false, output: false }, {})).toEqual({ input: false, output: false });
  });
});
