import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { encode } from 'gpt-tokenizer/encoding/o200k_base';
import OpenAI from 'openai';
import { FLAGGED_PHRASE } from '#libs/rehearsal/rehearsal.moderation.js';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';

describe('completions of a compatible upstream', () => {
  let daypass: SharedDaypass;
  let key: TestKey;
  let openai: OpenAI;

  beforeAll(async () => {
    daypass = await shareDaypass();
    key = await daypass.createKey();
    openai = clientOf(key);
  });
  afterAll(() => daypass?.stop());
  beforeEach(() => daypass.rehearsal.reset());

  const clientOf = ({ key: apiKey }: TestKey): OpenAI =>
    new OpenAI({ apiKey, baseURL: daypass.baseUrl, maxRetries: 0 });
  const sent = () => daypass.rehearsal.completionsCalls().map(({ body }) => body as Record<string, unknown>);
  const judged = (): string => JSON.stringify(daypass.rehearsal.moderationCalls().map(({ body }) => body.input));

  it('come to the official client whole and streamed, under a cap, priced by their usage', async () => {
    daypass.rehearsal.onCompletions = () => ({ content: 'and so on' });
    const { data, response } = await openai.completions
      .create({ model, prompt: 'Once upon a time', suffix: 'the end', logprobs: 2, user: 'me' })
      .withResponse();
    expect(data).toMatchObject({ object: 'text_completion', model });
    expect(data.choices).toMatchObject([{ index: 0, text: 'and so on', finish_reason: 'stop' }]);
    expect(data.choices[0]!.logprobs!.tokens).toEqual(['and so on']);
    expect(response.headers.get('x-daypass-moderation')).toBe('input=pass; output=pass');
    let text = '';
    for await (const { choices } of await openai.completions.create({
      model,
      prompt: 'Again',
      stream: true,
      max_tokens: 9,
    }))
      text += choices[0]?.text ?? '';
    expect(text).toBe('and so on');
    expect(sent()[0]).toMatchObject({ max_tokens: expect.any(Number), user: expect.not.stringMatching(/^me$/) });
    expect(sent()[1]).toMatchObject({ max_tokens: 9, stream_options: { include_usage: true } });
    for (const what of ['Once upon a time', 'the end', 'and so on']) expect(judged()).toContain(what);
    const id = response.headers.get('x-request-id')!;
    const paid = (await booksAtRest(daypass)).find(({ request_id: request }) => request === id)!.paid;
    const usage = data.usage!;
    expect(paid).toBe(BigInt(usage.prompt_tokens) * 750n + BigInt(usage.completion_tokens) * 4_500n);
  });

  it('have an answer for each prompt, also in tokens, which are judged as what they say', async () => {
    const many = await openai.completions.create({ model, prompt: ['one', 'two'], n: 2 });
    expect(many.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    await openai.completions.create({ model, prompt: encode('the moon is round') });
    expect(sent()[1]!.prompt).toEqual(encode('the moon is round'));
    expect(judged()).toContain('the moon is round');
    await booksAtRest(daypass);
  });

  it('are blocked as a chat is: an input before it is sent, an output with content_filter', async () => {
    const prompt = ['fine', `a ${FLAGGED_PHRASE}`];
    expect(await errorOf(openai.completions.create({ model, prompt }))).toMatchObject({ code: 'moderation_blocked' });
    const inTokens = encode(`in tokens ${FLAGGED_PHRASE}`);
    expect(await errorOf(openai.completions.create({ model, prompt: inTokens }))).toMatchObject({
      code: 'moderation_blocked',
    });
    expect(sent()).toEqual([]);
    daypass.rehearsal.onCompletions = () => ({ content: `more ${FLAGGED_PHRASE}` });
    const whole = await openai.completions.create({ model, prompt: 'go on' });
    expect(whole.choices).toMatchObject([{ text: '', finish_reason: 'content_filter' }]);
    let [text, finish]: [string, string | null] = ['', null];
    for await (const { choices } of await openai.completions.create({ model, prompt: 'on', stream: true })) {
      text += choices[0]?.text ?? '';
      finish = choices[0]?.finish_reason ?? finish;
    }
    expect([text.includes(FLAGGED_PHRASE), finish]).toEqual([false, 'content_filter']);
    await booksAtRest(daypass);
  });

  it.each([
    [{ best_of: 3, n: 2 }, 'unpriceable_request', 'best_of'],
    [{ prompt: Array.from({ length: 65 }, () => 'a'), n: 2 }, 'invalid_request', 'prompt'],
    [{ prompt: ['a', [1]] }, 'invalid_request', 'prompt'],
    [{ prompt: [2_000_000_000] }, 'invalid_request', 'prompt'],
    [{ logprobs: 6 }, 'invalid_request', 'logprobs'],
    [{ messages: [] }, 'unknown_parameter', 'messages'],
  ])('refuse by name what has no bound or no meaning: %j', async (fields, code, param) => {
    const body = { model, prompt: 'a', ...fields } as unknown as OpenAI.CompletionCreateParamsNonStreaming;
    expect(await errorOf(openai.completions.create(body))).toMatchObject({ status: 400, code, param });
  });
});
