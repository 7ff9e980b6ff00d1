import { describe, expect, it } from '@jest/globals';
import { configFileSchema, OFFERED } from '#libs/config/config-file.js';
import { ENDPOINTS } from '#libs/endpoints/registry.js';
import { LaneTable } from './lanes.js';

const none = {
  rpm: 0,
  tpm: 0,
  rpd: 0,
  tpd: 0,
  ipm: 0,
  audioSecondsPerMinute: 0,
  burstMs: 10_000,
  fixed: false,
  corrects: false,
};
const base_url = 'https://elsewhere.example/v1';

describe('lanes', () => {
  const table = new LaneTable(
    configFileSchema.parse({
      lanes: {
        mini: { rpm: 5, models: ['gpt-5.4-mini'] },
        'gpt-5.4': { preset: 'flagship-2', rpm: 9, rpd: 1_000, counts: 'used' },
        moderation: { rpm: 500 },
        own: { elsewhere_only: true, models: ['llama'] },
      },
      upstreams: [
        { name: 'spare', base_url, lanes: { mini: { tpm: 7, burst_seconds: 1, fixed: true } } },
        { name: 'any', base_url },
      ],
    }),
  );

  it('gather the models that share their limits; a lane named like a model carries it', () => {
    expect(['gpt-5.4-mini', 'gpt-5.4', 'llama', 'o4-mini'].map((model) => table.laneOf(model))).toEqual([
      'mini',
      'gpt-5.4',
      'own',
      'default',
    ]);
  });

  it('take their limits from a preset, and from the numbers beside it, and count as the upstream does', () => {
    expect(table.upstreamOf('gpt-5.4', 'openai')).toEqual({
      ...none,
      name: 'openai',
      slot: 'gpt-5.4',
      rpm: 9,
      tpm: 1_000_000,
      rpd: 1_000,
      corrects: true,
    });
  });

  it('are served by the first account, and then by the others in their order, each with limits of its own', () => {
    expect(table.upstreamsOf('mini')).toEqual([
      { ...none, name: 'openai', slot: 'mini', rpm: 5 },
      { ...none, name: 'spare', slot: 'mini@spare', tpm: 7, burstMs: 1_000, fixed: true, offersFormer: true },
      { ...none, name: 'any', slot: 'mini@any', offersFormer: true },
    ]);
    expect(table.upstreamsOf('own').map(({ name }) => name)).toEqual(['any']);
    expect(table.upstreamsOf('default').map(({ name }) => name)).toEqual(['openai', 'any']);
  });

  it('do not give the moderation lane a queue of calls, nor a second account', () => {
    expect(table.names()).toEqual(['default', 'mini', 'gpt-5.4', 'own']);
    expect(table.upstreamsOf('moderation')).toEqual([
      { ...none, name: 'openai/moderation', slot: 'moderation', rpm: 500 },
    ]);
    expect(table.all()).toContain('moderation');
  });

  it('know the largest call that fits', () => {
    expect(table.largestTpm('gpt-5.4', {})).toBe(0);
    const limited = new LaneTable(
      configFileSchema.parse({
        lanes: { mini: { tpm: 5 } },
        upstreams: [{ name: 'spare', base_url, lanes: { mini: { tpm: 7 } } }],
      }),
    );
    expect([limited.largestTpm('mini', {}), limited.largestTpm('default', {})]).toEqual([7, 0]);
    const mixed = new LaneTable(
      configFileSchema.parse({
        main: { endpoints: ['chat'] },
        lanes: { mini: { tpm: 5 } },
        upstreams: [{ name: 'spare', base_url, lanes: { mini: { tpm: 7 } }, endpoints: ['responses'] }],
      }),
    );
    const ofApi = (endpoint: string) => mixed.largestTpm('mini', { endpoint });
    expect([ofApi('chat.completions'), ofApi('responses')]).toEqual([5, 7]);
  });

  it('pass over upstreams that do not offer the API of a call', () => {
    const mixed = new LaneTable(
      configFileSchema.parse({
        main: { endpoints: ['chat', 'embeddings'] },
        lanes: { mini: { tpm: 5 }, moderation: {} },
        upstreams: [
          { name: 'spare', base_url, lanes: { mini: { tpm: 7 } }, endpoints: ['responses'] },
          { name: 'any', base_url },
        ],
      }),
    );
    const namesFor = (lane: string, endpoint?: string) =>
      mixed.upstreamsFor(lane, { endpoint }).map(({ name }) => name);
    expect([namesFor('mini'), namesFor('mini', 'chat.completions')]).toEqual(Array(2).fill(['openai', 'any']));
    expect([namesFor('mini', 'responses'), namesFor('default', 'responses')]).toEqual([['spare', 'any'], ['any']]);
    expect([namesFor('mini', 'embeddings'), namesFor('mini', 'later')]).toEqual([['openai', 'any'], ['any']]);
    // Neither moderation nor what lanes have learned depends on it.
    expect(mixed.upstreamsOf('mini')).toHaveLength(3);
    expect(mixed.upstreamsOf('moderation')).toHaveLength(1);
    expect(mixed.upstreamsOf('moderation')[0]).not.toHaveProperty('offers');
  });

  it('know the upstreams of every API that Daypass serves by the first word of its name', () => {
    expect(OFFERED).toEqual(expect.arrayContaining(ENDPOINTS.map(({ name }) => name.split('.')[0])));
  });

  it('offer what OpenAI has no more only where an upstream is compatible, or says so', () => {
    const upstreams = [
      { name: 'other', base_url: 'https://api.openai.com/v1' },
      { name: 'azure', base_url: 'https://x.openai.azure.com/openai/v1' },
      { name: 'local', base_url: 'http://10.0.0.5/v1' },
      { name: 'said', base_url: 'https://api.openai.com/v1', endpoints: ['completions'] },
      { name: 'unsaid', base_url: 'http://10.0.0.6/v1', endpoints: ['chat'] },
    ];
    const namesOf = (mainUrl: string | undefined, endpoint: string): string[] =>
      new LaneTable(configFileSchema.parse({ upstreams }), mainUrl)
        .upstreamsFor('default', { endpoint })
        .map(({ name }) => name);
    expect(namesOf(undefined, 'completions')).toEqual(['local', 'said']);
    expect(namesOf('http://10.0.0.7/v1', 'completions')).toEqual(['openai', 'local', 'said']);
    expect(namesOf(undefined, 'responses')).toEqual(['openai', 'other', 'azure', 'local']);
    const alike = (some: object[]): boolean =>
      new LaneTable(configFileSchema.parse({ upstreams: some })).servesAlike('default');
    expect(alike(upstreams.slice(0, 2))).toBe(true);
    expect(alike(upstreams.slice(0, 3))).toBe(false);
  });
});
