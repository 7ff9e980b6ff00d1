import { describe, expect, it } from '@jest/globals';
import { shownUsage } from './usage.view.js';

describe('the usage of a booking', () => {
  it('has the meters that counted, by the names of the API', () => {
    const text = { input: 12, cached: 0, cacheWrite: 3, output: 0 };
    expect(shownUsage(text)).toEqual({ input: 12, cache_write: 3 });
    expect(shownUsage({ ...text, imageOutput: 4_000, seconds: 61, characters: 9, made_up: 7 })).toEqual({
      ...{ input: 12, cache_write: 3, image_output: 4_000 },
      ...{ seconds: 61, characters: 9 },
    });
  });

  it.each([null, undefined, 'text', {}, { input: 0 }, { input: '5' }])(
    'is absent where nothing counted: %j',
    (usage) => {
      expect(shownUsage(usage)).toBeUndefined();
    },
  );
});
