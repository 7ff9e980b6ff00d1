import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { encode } from 'gpt-tokenizer/encoding/cl100k_base';
import OpenAI, { NotFoundError } from 'openai';
import { KEPT_ANSWER_BYTES_MAX } from '#libs/contracts/answers.js';
import { vectorOf } from '#libs/rehearsal/rehearsal.embeddings.js';
import { FLAGGED_PHRASE } from '#libs/rehearsal/rehearsal.moderation.js';
import { forgetVerdicts, shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'text-embedding-3-small';
const chatModel = 'gpt-5.4-mini';
const models = [model, 'text-embedding-3-large', chatModel];
const INPUT_NANO = 20n;
const TEXTS = ['The garden is dry.', 'Der Garten ist trocken.', '庭は乾いている。'];
const MANY = Array.from({ length: 2_048 }, (_, index) => `note ${index * 7_919} about the garden`);

describe('embeddings', () => {
  let daypass: SharedDaypass;
  let key: TestKey;
  let openai: OpenAI;

  beforeAll(async () => {
    daypass = await shareDaypass();
    key = await daypass.createKey({ campaign: { models } });
    openai = clientOf(key);
  });
  afterAll(() => daypass?.stop());
  beforeEach(() => daypass.rehearsal.reset());

  const clientOf = ({ key: apiKey }: TestKey, more: object = {}): OpenAI =>
    new OpenAI({ apiKey, baseURL: daypass.baseUrl, maxRetries: 0, ...more });
  const exact = (texts: readonly string[], dimensions = 1_536): number[][] =>
    texts.map((text) => Array.from(vectorOf(text, dimensions)));
  // Of millions of numbers jest's own comparison takes many seconds.
  const areExact = ({ data }: OpenAI.CreateEmbeddingResponse, texts: readonly string[], dimensions: number): boolean =>
    data.length === texts.length &&
    data.every(({ embedding }, index) => {
      const numbers = vectorOf(texts[index]!, dimensions);
      return embedding.length === dimensions && embedding.every((number, at) => number === numbers[at]);
    });
  const vectorsOf = ({ data }: OpenAI.CreateEmbeddingResponse): number[][] => data.map(({ embedding }) => embedding);
  const tokensOf = (texts: readonly string[]): number => texts.reduce((sum, text) => sum + encode(text).length, 0);
  const post = (body: object, headers: Record<string, string> = {}, { key: token } = key): Promise<Response> =>
    fetch(`${daypass.baseUrl}/embeddings`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
  const judgedTexts = (): string[] => daypass.rehearsal.moderationCalls().flatMap(({ body }) => body.input as string[]);
  const sent = (): Record<string, unknown>[] => daypass.rehearsal.embeddingsCalls().map(({ body }) => body);
  const paidFor = async (requestId: string): Promise<bigint | undefined> =>
    (await booksAtRest(daypass)).find(({ request_id: id }) => id === requestId)?.paid;

  it('come to the official client as the upstream made them, whatever it asks for', async () => {
    const { data, response } = await openai.embeddings.create({ model, input: TEXTS }).withResponse();
    expect(vectorsOf(data)).toEqual(exact(TEXTS));
    expect(data).toMatchObject({ object: 'list', model, usage: { prompt_tokens: tokensOf(TEXTS) } });
    expect(response.headers.get('x-daypass-moderation')).toBe('input=pass; output=off');
    expect(vectorsOf(await openai.embeddings.create({ model, input: TEXTS, encoding_format: 'float' }))).toEqual(
      exact(TEXTS),
    );
    const one = await openai.embeddings.create({ model, input: TEXTS[0]!, dimensions: 8 });
    expect(vectorsOf(one)).toEqual(exact([TEXTS[0]!], 8));
    // Whatever the visitor asks for, base64 comes from the upstream, and nobody's name goes there.
    for (const body of sent()) expect(body).toMatchObject({ encoding_format: 'base64', user: expect.any(String) });
  });

  it('come in numbers to whoever names no format, and in base64 to whoever asks for it', async () => {
    const plain = (await (await post({ model, input: TEXTS, user: 'me' })).json()) as OpenAI.CreateEmbeddingResponse;
    expect(vectorsOf(plain)).toEqual(exact(TEXTS));
    const asked = await post({ model, input: TEXTS[0], encoding_format: 'base64' });
    const { data } = (await asked.json()) as { data: { embedding: string }[] };
    expect(data[0]!.embedding).toBe(Buffer.from(vectorOf(TEXTS[0]!, 1_536).buffer).toString('base64'));
  });

  it('of tokens are those of their text, which is what is judged', async () => {
    const input = TEXTS.map((text) => encode(text));
    await forgetVerdicts(daypass);
    expect(vectorsOf(await openai.embeddings.create({ model, input }))).toEqual(exact(TEXTS));
    expect(vectorsOf(await openai.embeddings.create({ model, input: input[0]! }))).toEqual(exact([TEXTS[0]!]));
    expect(judgedTexts().join('\n')).toContain(TEXTS[2]);
    expect(sent().map((body) => body.input)).toEqual([input, input[0]]);
  });

  it('cost what their input costs, as the provider counts it, and the same without its report', async () => {
    const { response } = await openai.embeddings.create({ model, input: TEXTS }).withResponse();
    daypass.rehearsal.onEmbeddings = () => ({ withoutUsage: true });
    const silent = await openai.embeddings.create({ model, input: TEXTS }).withResponse();
    expect(silent.data.usage).toBeUndefined();
    const cost = INPUT_NANO * BigInt(tokensOf(TEXTS));
    for (const { headers } of [response, silent.response]) {
      expect(Number(headers.get('x-daypass-cost-usd'))).toBeCloseTo(Number(cost) / 1e9, 12);
      expect(await paidFor(headers.get('x-request-id')!)).toBe(cost);
    }
  });

  it('of 2,048 inputs are whole, in either form, for few verdicts, and for none the second time', async () => {
    await forgetVerdicts(daypass);
    const { data, response } = await openai.embeddings.create({ model, input: MANY }).withResponse();
    expect(areExact(data, MANY, 1_536)).toBe(true);
    expect(Number(response.headers.get('content-length'))).toBeGreaterThan(16_000_000);
    expect(judgedTexts().length).toBeLessThan(260);
    expect(daypass.rehearsal.moderationCalls().length).toBeLessThan(20);
    expect(judgedTexts().join('\n').length).toBeGreaterThanOrEqual(MANY.join('\n').length - 2_048);
    const cost = INPUT_NANO * BigInt(tokensOf(MANY));
    expect(Number(response.headers.get('x-daypass-cost-usd'))).toBeCloseTo(Number(cost) / 1e9, 12);
    expect(await paidFor(response.headers.get('x-request-id')!)).toBe(cost);
    const { budget_usd: budget, spent_usd: spent } = (await daypass.admin(`/admin/v1/keys/${key.id}`)).body;
    expect(Number(response.headers.get('x-daypass-available-usd'))).toBeCloseTo(Number(budget) - Number(spent), 9);

    const judged = judgedTexts().length;
    const short = { model, input: MANY, dimensions: 256 } as const;
    expect(areExact(await openai.embeddings.create({ ...short, encoding_format: 'float' }), MANY, 256)).toBe(true);
    expect(judgedTexts()).toHaveLength(judged);
  });

  it('that would be too large are refused before they cost anything', async () => {
    const refused = await post({ model, input: MANY });
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({
      error: { param: 'encoding_format', message: expect.stringContaining("'base64'") },
    });
    const error = await errorOf(openai.embeddings.create({ model: 'text-embedding-3-large', input: MANY }));
    expect(error).toMatchObject({ status: 400, param: 'input', message: expect.stringContaining('fewer dimensions') });
    expect(sent()).toEqual([]);
  });

  it('of a flagged text are not made, whether it came in words or in tokens', async () => {
    const flagged = `Please ${FLAGGED_PHRASE}`;
    for (const input of [flagged, [...TEXTS, flagged], encode(flagged), [encode(TEXTS[0]!), encode(flagged)]]) {
      const error = await errorOf(openai.embeddings.create({ model, input }));
      expect(error).toMatchObject({ status: 400, code: 'moderation_blocked', param: 'input' });
    }
    expect(sent()).toEqual([]);
  });

  it('are not judged where a campaign says so, and the record says it; chats of it are', async () => {
    const off = await daypass.createKey({ campaign: { models, moderation: { input: 'gate', embeddings: 'off' } } });
    const client = clientOf(off);
    const flagged = `Please ${FLAGGED_PHRASE}`;
    const { data, response } = await client.embeddings.create({ model, input: flagged }).withResponse();
    expect(vectorsOf(data)).toEqual(exact([flagged]));
    expect(response.headers.get('x-daypass-moderation')).toBe('input=off; output=off');
    expect(judgedTexts()).toEqual([]);
    const id = response.headers.get('x-request-id')!;
    await until('the call is on record', async () => (await daypass.admin(`/admin/v1/requests/${id}`)).status === 200);
    expect((await daypass.admin(`/admin/v1/requests/${id}`)).body).toMatchObject({
      endpoint: 'embeddings',
      policy: { input: 'off' },
    });
    // A visitor, and a key's own policy, can only tighten.
    const asked = await post({ model, input: flagged, moderateInput: true }, {}, off);
    expect(asked.status).toBe(400);
    const strict = await daypass.createKey({ campaign: off.campaign, key: { moderation: { input: 'gate' } } });
    expect((await post({ model, input: flagged }, {}, strict)).status).toBe(400);
    const messages = [{ role: 'user' as const, content: flagged }];
    const chat = await errorOf(client.chat.completions.create({ model: chatModel, messages }));
    expect(chat).toMatchObject({ code: 'moderation_blocked' });
    const loose = { campaign: off.campaign, budget_usd: '1.00', moderation: { embeddings: 'off' } };
    expect((await daypass.admin('/admin/v1/keys', { body: loose })).status).toBe(400);
  });

  it.each<[string, object, string]>([
    ['input', { input: undefined }, 'invalid_request'],
    ['input', { input: '' }, 'invalid_request'],
    ['input', { input: [] }, 'invalid_request'],
    ['input', { input: 7 }, 'invalid_request'],
    ['input', { input: { text: 'Hi' } }, 'invalid_request'],
    ['input[0]', { input: [true] }, 'invalid_request'],
    ['input', { input: ['Hi', [1]] }, 'invalid_request'],
    ['input', { input: [[1], 1] }, 'invalid_request'],
    ['input', { input: [100_300] }, 'invalid_request'],
    ['input', { input: [...MANY, 'one more'] }, 'invalid_request'],
    ['model', { model: 7 }, 'invalid_request'],
    ['dimensions', { dimensions: 1.5 }, 'invalid_request'],
    ['encoding_format', { encoding_format: 'int8' }, 'invalid_request'],
    ['user', { user: {} }, 'invalid_request'],
    ['decoded', { decoded: ['Hi'] }, 'unknown_parameter'],
    ['input_type', { input_type: 'query' }, 'unknown_parameter'],
  ])('are refused by name: %s %#', async (param, more, code) => {
    const response = await post({ model, input: 'Hi', ...more });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param, code, message: expect.any(String) } });
    expect(sent()).toEqual([]);
  });

  it('pass the upstream’s own refusals on, at no cost', async () => {
    const long = 'word '.repeat(9_000);
    const error = await errorOf(openai.embeddings.create({ model, input: long }));
    expect(error).toMatchObject({ status: 400, message: expect.stringContaining('8192 tokens') });
    const { response } = await openai.embeddings.create({ model, input: 'Hi' }).withResponse();
    expect(await paidFor(response.headers.get('x-request-id')!)).toBe(INPUT_NANO);
  });

  it('are of models for it: others are the upstream’s to refuse, and what has no price never goes there', async () => {
    const chat = await errorOf(openai.embeddings.create({ model: chatModel, input: 'Hi' }));
    expect(chat).toMatchObject({ status: 403, message: expect.stringContaining('not allowed to generate embeddings') });
    const messages = [{ role: 'user' as const, content: 'Hi' }];
    const unpriced = await errorOf(openai.chat.completions.create({ model, messages }));
    expect(unpriced).toMatchObject({ status: 400, code: 'unpriceable_request', param: 'model' });
    expect(daypass.rehearsal.chatCalls()).toEqual([]);
    expect(await errorOf(openai.embeddings.create({ model: 'text-embedding-ada-002', input: 'Hi' }))).toBeInstanceOf(
      NotFoundError,
    );
    expect((await openai.models.list()).data.map(({ id }) => id)).toContain(model);
  });

  it('are repeated under an idempotency key where they are small enough to be kept, and never billed twice', async () => {
    const body = (inputs: number): object => ({ model, input: MANY.slice(0, inputs), encoding_format: 'base64' });
    // In one reply, in frames, and in too many of them.
    for (const [name, inputs] of [
      ['small', 3],
      ['framed', 400],
      ['large', 1_000],
    ] as const) {
      const idempotency = { 'idempotency-key': `${name}-${Date.now()}` };
      const first = await post(body(inputs), idempotency);
      const text = await first.text();
      expect(first.status).toBe(200);
      const again = await post(body(inputs), idempotency);
      if (text.length <= KEPT_ANSWER_BYTES_MAX) {
        expect(again.headers.get('idempotent-replayed')).toBe('true');
        expect((await again.text()) === text).toBe(true);
        expect(again.headers.get('x-daypass-cost-usd')).toBe(first.headers.get('x-daypass-cost-usd'));
      } else {
        expect({ name, status: again.status }).toEqual({ name: 'large', status: 409 });
        expect(await again.json()).toMatchObject({ error: { code: 'idempotency_conflict' } });
      }
    }
    expect(sent()).toHaveLength(3);
  });

  it('that come in numbers alone, as some servers send them, are shown in either form', async () => {
    daypass.rehearsal.onEmbeddings = () => ({ numbersOnly: true });
    expect(vectorsOf(await openai.embeddings.create({ model, input: TEXTS }))).toEqual(exact(TEXTS));
    expect(vectorsOf(await openai.embeddings.create({ model, input: TEXTS, encoding_format: 'float' }))).toEqual(
      exact(TEXTS),
    );
  });

  it('that are none are the upstream’s failure: nothing of them is shown, and nothing is paid', async () => {
    for (const raw of ['{"object":"list","data":[]}', '{"data":[{"embedding":"Hello there"}]}', '<html>']) {
      daypass.rehearsal.onEmbeddings = () => ({ raw });
      const error = await errorOf(openai.embeddings.create({ model, input: 'Hi' }));
      expect(error).toMatchObject({ status: 502, code: 'upstream_error' });
    }
    daypass.rehearsal.onEmbeddings = () => ({ cutAfterVectors: 100 });
    const cut = await errorOf(openai.embeddings.create({ model, input: MANY }));
    expect(cut).toMatchObject({ status: 502, code: 'upstream_outcome_unknown' });
    await booksAtRest(daypass);
  });
});
