import { describe, expect, it } from '@jest/globals';
import { encode } from 'gpt-tokenizer/encoding/cl100k_base';
import { partsOf, planEmbeddings, vectorOf, type EmbeddingsPlan } from './rehearsal.embeddings.js';

const model = 'text-embedding-3-small';

describe('embeddings of the rehearsal', () => {
  it('are the same for the same text, whatever form it comes in, and differ for others', async () => {
    const texts = async (input: unknown) => ((await planEmbeddings({ model, input })) as EmbeddingsPlan).texts;
    expect(await texts([encode('Hello there'), encode('日本')])).toEqual(['Hello there', '日本']);
    expect(vectorOf('a', 8)).toEqual(vectorOf('a', 8));
    expect(vectorOf('a', 8)).not.toEqual(vectorOf('b', 8));
    const length = vectorOf('a', 1_536).reduce((sum, number) => sum + number * number, 0);
    expect(length).toBeCloseTo(1, 4);
  });

  it('report cl100k tokens, unless a test wants none', async () => {
    const plan = (await planEmbeddings({ model, input: ['Hello there', 'you'], dimensions: 2 })) as EmbeddingsPlan;
    expect(plan.tokens).toBe(3);
    const answerOf = (more: object): { usage?: object; data: { embedding: unknown }[] } =>
      JSON.parse([...partsOf(plan, more)].join('')) as never;
    expect(answerOf({}).usage).toEqual({ prompt_tokens: 3, total_tokens: 3 });
    expect(answerOf({ withoutUsage: true }).usage).toBeUndefined();
    expect(answerOf({}).data[0]!.embedding).toEqual(Array.from(vectorOf('Hello there', 2)));
  });

  it.each<[string, object, number]>([
    ['a chat model', { model: 'gpt-5.4-mini' }, 403],
    ['an empty text', { input: '' }, 400],
    ['no input', { input: [] }, 400],
    ['a mixture', { input: ['a', [1]] }, 400],
    ['too long an input', { input: 'word '.repeat(8_193) }, 400],
    ['too many tokens', { input: Array.from({ length: 40 }, () => 'word '.repeat(8_000)) }, 400],
    ['too many dimensions', { dimensions: 1_537 }, 400],
    ['another format', { encoding_format: 'int8' }, 400],
  ])('are refused for %s', async (_, more, status) => {
    expect(await planEmbeddings({ model, input: 'Hi', ...more })).toMatchObject({ status });
  });
});
