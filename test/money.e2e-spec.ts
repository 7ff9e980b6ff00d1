import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Say hello' }];

describe('money', () => {
  let daypass: SharedDaypass;
  const clientOf = (key: TestKey): OpenAI => new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 2 });

  beforeAll(async () => {
    daypass = await shareDaypass();
  }, 60_000);
  afterAll(() => daypass?.stop());
  beforeEach(() => daypass.rehearsal.reset());

  it('is settled to the nano-dollar, cached input at its own price', async () => {
    daypass.rehearsal.onChat = () => ({
      content: 'ok',
      usage: { prompt_tokens: 40, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 33 } },
    });
    const key = await daypass.createKey();
    const { response } = await clientOf(key).chat.completions.create({ model, messages }).withResponse();
    // 7 × 750 + 33 × 75 + 7 × 4,500 nano-dollars
    expect(response.headers.get('x-daypass-cost-usd')).toBe('0.000039225');
    const calls = await booksAtRest(daypass);
    expect(calls.find((call) => call.request_id === response.headers.get('x-request-id'))?.paid).toBe(39_225n);
    // What an auditor reckons it by again, and reconciliation reads.
    const { data } = (await daypass.admin(`/admin/v1/keys/${key.id}/transfers`)).body as {
      data: { kind: string; detail: object }[];
    };
    expect(data.find(({ kind }) => kind === 'post')?.detail).toMatchObject({
      usage: { input: 40, cached: 33, cacheWrite: 0, output: 7 },
      tier: 'default',
      served: model,
      estimated: false,
    });
    expect(data.find(({ kind }) => kind === 'hold')?.detail).toMatchObject({
      model,
      rates: { input: 750, cachedInput: 75, cacheWrite: 750, output: 4_500 },
      fee: '0',
    });
  });

  it('that is not there raises RateLimitError without a retry, and says which level, what is free and what it takes', async () => {
    const key = await daypass.createKey({ key: { budget_usd: '0.0001' } });
    let requests = 0;
    const client = new OpenAI({
      apiKey: key.key,
      baseURL: daypass.baseUrl,
      fetch: (...args: Parameters<typeof fetch>) => {
        requests++;
        return fetch(...args);
      },
    });
    const error = await errorOf(client.chat.completions.create({ model, messages, max_tokens: 1_000 }));
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(error).toMatchObject({
      status: 429,
      code: 'insufficient_quota',
      type: 'insufficient_quota',
      error: { daypass: { level: 'key', free_usd: '0.0001', held_usd: '0.00' } },
    });
    expect(error.message).toMatch(/budget of the key .* needs at least \$0\.0001\d+.*\$0\.0001 is free/);
    expect(requests).toBe(1);
    expect(daypass.rehearsal.chatCalls()).toHaveLength(0);
  });

  it('at the standard tier unless another is asked for, billed by the tier that served', async () => {
    daypass.rehearsal.onChat = () => ({ content: 'ok', usage: { prompt_tokens: 10, completion_tokens: 2 } });
    const key = await daypass.createKey();
    const costOf = async (service_tier?: 'auto' | 'priority' | 'flex'): Promise<string | null> => {
      const call = clientOf(key).chat.completions.create({
        model,
        messages,
        ...(service_tier ? { service_tier } : {}),
      });
      return (await call.withResponse()).response.headers.get('x-daypass-cost-usd');
    };
    // 10 × 750 + 2 × 4,500 nano-dollars; half of it, and twice
    expect([await costOf(), await costOf('auto'), await costOf('flex'), await costOf('priority')]).toEqual([
      '0.0000165',
      '0.0000165',
      '0.00000825',
      '0.000033',
    ]);
    expect(daypass.rehearsal.chatCalls().map(({ body }) => body.service_tier)).toEqual([
      'default',
      'default',
      'flex',
      'priority',
    ]);
  });

  it('for a search of the web is a fee that the campaign prices, and no search without it', async () => {
    daypass.rehearsal.onChat = () => ({ content: 'ok', usage: { prompt_tokens: 8_000, completion_tokens: 2 } });
    const models = [model, 'gpt-4o-mini-search-preview'];
    const search = {
      model: models[1]!,
      messages,
      max_tokens: 50,
      web_search_options: { search_context_size: 'low' as const },
    };
    const unpriced = await daypass.createKey({ campaign: { models } });
    for (const call of [search, { ...search, web_search_options: undefined }, { ...search, model }]) {
      const param = call.web_search_options ? 'web_search_options' : 'model';
      expect(await errorOf(clientOf(unpriced).chat.completions.create(call))).toMatchObject({
        status: 400,
        code: 'unpriceable_request',
        param,
      });
    }
    const priced = await daypass.createKey({
      campaign: { models, tool_prices: { web_search: { usd_per_request: '0.025', input_tokens_per_request: 8_000 } } },
    });
    const { response } = await clientOf(priced).chat.completions.create(search).withResponse();
    // 8,000 × 150 + 2 × 600 nano-dollars, and the fee
    expect(response.headers.get('x-daypass-cost-usd')).toBe('0.0262012');
    const refusedAt = async (budget_usd: string): Promise<unknown> => {
      const key = await daypass.createKey({ campaign: priced.campaign, key: { budget_usd } });
      return clientOf(key)
        .chat.completions.create(search)
        .then(() => 'answered')
        .catch((error: InstanceType<typeof OpenAI.APIError>) => error.code);
    };
    expect(await refusedAt('0.0255')).toBe('insufficient_quota');
    expect(await refusedAt('0.03')).toBe('answered');
    await booksAtRest(daypass);
  });

  it("is bounded by the campaign's budget too, whatever its keys were promised", async () => {
    const key = await daypass.createKey({ campaign: { budget_usd: '0.0001' }, key: { budget_usd: '5.00' } });
    expect(await errorOf(clientOf(key).chat.completions.create({ model, messages, max_tokens: 1_000 }))).toMatchObject({
      code: 'insufficient_quota',
      error: {
        daypass: {
          level: 'campaign',
          free_usd: '0.0001',
          held_usd: '0.00',
          needed_usd: expect.stringMatching(/^0\.0001\d+$/),
        },
      },
    });
  });

  it('that carries only a short answer clamps the cap, our own as well as one that was asked for', async () => {
    const key = await daypass.createKey({ key: { budget_usd: '0.001' } });
    daypass.rehearsal.onChat = () => ({ content: 'ok' });
    for (const name of [undefined, 'max_tokens', 'max_completion_tokens'] as const) {
      const { data, response } = await clientOf(key)
        .chat.completions.create({ model, messages, ...(name ? { [name]: 4_000 } : {}) })
        .withResponse();
      expect(data.choices[0]?.message.content).toBe('ok');
      const cap = daypass.rehearsal.chatCalls().at(-1)?.body[name ?? 'max_completion_tokens'] as number;
      expect(cap).toBeGreaterThanOrEqual(16);
      expect(cap).toBeLessThan(220);
      expect(response.headers.get('x-daypass-output-cap')).toBe(String(cap));
    }
    const rich = await daypass.createKey();
    const { response } = await clientOf(rich)
      .chat.completions.create({ model, messages, max_tokens: 10 })
      .withResponse();
    expect(response.headers.get('x-daypass-output-cap')).toBeNull();
    expect(daypass.rehearsal.chatCalls().at(-1)?.body.max_tokens).toBe(10);
  });

  it('is limited by requests, tokens and calls at once of the key, with an honest wait', async () => {
    const slow = await daypass.createKey({ key: { limits: { rpm: 2 } } });
    const client = new OpenAI({ apiKey: slow.key, baseURL: daypass.baseUrl, maxRetries: 0 });
    await client.chat.completions.create({ model, messages });
    await client.chat.completions.create({ model, messages });
    const error = await errorOf(client.chat.completions.create({ model, messages }));
    expect(error).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    expect(Number(error.headers?.get('retry-after'))).toBeGreaterThan(50);
    expect(Number(error.headers?.get('retry-after-ms'))).toBeLessThanOrEqual(61_000);

    const small = await daypass.createKey({ key: { limits: { tpm: 500 } } });
    const long: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'word '.repeat(600) }];
    const never = await errorOf(
      new OpenAI({ apiKey: small.key, baseURL: daypass.baseUrl, maxRetries: 2 }).chat.completions.create({
        model,
        messages: long,
      }),
    );
    expect(never).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    expect(never.headers?.get('x-should-retry')).toBe('false');

    daypass.rehearsal.onChat = () => ({ firstTokenMs: 500 });
    const single = await daypass.createKey({ key: { limits: { concurrent: 1 } } });
    const one = new OpenAI({ apiKey: single.key, baseURL: daypass.baseUrl, maxRetries: 0 });
    const both = await Promise.allSettled([
      one.chat.completions.create({ model, messages }),
      one.chat.completions.create({ model, messages }),
    ]);
    expect(both.map((end) => end.status).sort()).toEqual(['fulfilled', 'rejected']);
  });
});
