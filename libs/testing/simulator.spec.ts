import { afterAll, beforeAll, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { vectorOf } from '#libs/rehearsal/rehearsal.embeddings.js';
import { Simulator } from './simulator.js';

const limits = { rpm: 100, tpm: 100_000 };
let simulator: Simulator;
beforeAll(async () => {
  simulator = await Simulator.start({
    chat: limits,
    moderation: limits,
    embeddings: { rpm: 100, tpm: 10 },
    firstTokenMs: 0,
  });
});
afterAll(() => simulator?.stop());

it('the simulator meters embeddings by their tokens, and reports them', async () => {
  const openai = new OpenAI({ apiKey: 'sk-any', baseURL: simulator.url, maxRetries: 0 });
  const create = (input: string) => openai.embeddings.create({ model: 'text-embedding-3-small', input, user: 'me' });
  const { data, response } = await create('The garden is dry.').withResponse();
  expect(data.data[0]!.embedding).toEqual(Array.from(vectorOf('The garden is dry.', 1_536)));
  expect(data.usage).toEqual({ prompt_tokens: 5, total_tokens: 5 });
  expect(response.headers.get('x-ratelimit-remaining-tokens')).toBe('5');
  await create('The garden is dry.');
  await expect(create('Hi')).rejects.toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
  expect(simulator.embeddings.log.map(({ tokens, refused, visitor }) => ({ tokens, refused, visitor }))).toEqual([
    { tokens: 5, refused: false, visitor: 'me' },
    { tokens: 5, refused: false, visitor: 'me' },
    { tokens: 1, refused: true, visitor: 'me' },
  ]);
});
