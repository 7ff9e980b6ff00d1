import { describe, expect, it } from '@jest/globals';
import { configFileSchema } from '#libs/config/config-file.js';
import { LaneTable } from './lanes.js';

describe('lanes', () => {
  const { lanes } = configFileSchema.parse({ lanes: { mini: { rpm: 5, models: ['gpt-5.4-mini'] }, 'gpt-5.4': { tpm: 9 }, moderation: { rpm: 500 } } });
  const table = new LaneTable(lanes);

  it('gather the models that share their limits; a lane named like a model carries it', () => {
    expect([table.laneOf('gpt-5.4-mini'), table.laneOf('gpt-5.4'), table.laneOf('o4-mini')]).toEqual(['mini', 'gpt-5.4', 'default']);
    expect(table.limitsOf('mini')).toEqual({ rpm: 5, tpm: 0, burstMs: 10_000, fixed: false, corrects: false });
  });

  it('do not give the moderation lane a queue of calls', () => {
    expect(table.names()).toEqual(['default', 'mini', 'gpt-5.4']);
    expect(table.limitsOf('moderation')).toEqual({ rpm: 500, tpm: 0, burstMs: 10_000, fixed: false, corrects: false });
  });
});
