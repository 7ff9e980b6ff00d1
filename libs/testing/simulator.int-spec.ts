import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { Simulator } from './simulator.js';

const model = 'gpt-5.4-mini';

describe('the simulated account', () => {
  let simulator: Simulator;
  let openai: OpenAI;

  beforeAll(async () => {
    const limits = { rpm: 4, tpm: 1_000 };
    simulator = await Simulator.start({ chat: limits, moderation: limits, firstTokenMs: 0, tokensPerSecond: 10_000 });
    openai = new OpenAI({ apiKey: 'any', baseURL: simulator.url, maxRetries: 0 });
  });
  afterAll(() => simulator.stop());

  it('counts chat completions and responses against one limit', async () => {
    const whole = await openai.responses.create({ model, input: 'a'.repeat(400), max_output_tokens: 100 });
    expect(whole.usage).toMatchObject({ input_tokens: 10, output_tokens: expect.any(Number) });
    expect(whole.output_text.split(' ')).toHaveLength(whole.usage!.output_tokens);
    const streamed = await openai.responses.stream({ model, input: 'hi', max_output_tokens: 100 }).finalResponse();
    expect(streamed.output_text.split(' ')).toHaveLength(streamed.usage!.output_tokens);
    const message = { role: 'user' as const, content: 'hi' };
    await openai.chat.completions.create({ model, messages: [message], max_completion_tokens: 100 });
    expect(simulator.chat.log.map(({ tokens }) => tokens)).toEqual([200, 101, 101]);
    const large = openai.responses.create({ model, instructions: 'a'.repeat(2_400), input: 'hi' });
    await expect(large).rejects.toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    const stream = openai.responses.create({ model, input: 'hi', stream: true });
    await expect(stream).rejects.toMatchObject({ status: 429 });
    expect(simulator.chat.log.filter(({ refused }) => refused)).toHaveLength(2);
  });
});
