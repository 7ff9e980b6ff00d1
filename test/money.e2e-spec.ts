import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { encode } from 'gpt-tokenizer/encoding/cl100k_base';
import OpenAI from 'openai';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Say hello' }];

/** The first article of human rights. */
const SCRIPTS: Record<string, string> = {
  Georgian: 'ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებითა და უფლებებით. ',
  Malayalam: 'മനുഷ്യരെല്ലാവരും തുല്യാവകാശങ്ങളോടും അന്തസ്സോടും സ്വാതന്ത്ര്യത്തോടുംകൂടി ജനിച്ചിട്ടുള്ളവരാണ്. ',
  Hindi: 'सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। ',
};

describe('money', () => {
  let daypass: SharedDaypass;
  const clientOf = (key: TestKey): OpenAI => new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 2 });

  beforeAll(async () => {
    daypass = await shareDaypass();
  });
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

  it('of a service tier is that of the model and the tier, and a tier without a price is refused by name', async () => {
    daypass.rehearsal.onChat = () => ({ content: 'ok', usage: { prompt_tokens: 40, completion_tokens: 7 } });
    const key = await daypass.createKey({ campaign: { models: ['gpt-5.5', 'gpt-5.4-nano', 'gpt-4'] } });
    const costOf = async (name: string, service_tier: OpenAI.ChatCompletionCreateParams['service_tier']) => {
      const call = { model: name, messages, service_tier, max_tokens: 50 };
      const { response } = await clientOf(key).chat.completions.create(call).withResponse();
      return response.headers.get('x-daypass-cost-usd');
    };
    // 40 × 5 + 7 × 30 dollars a million, times 2.5
    expect(await costOf('gpt-5.5', 'priority')).toBe('0.001025');
    expect(await costOf('gpt-5.5', 'default')).toBe('0.00041');
    expect(await costOf('gpt-5.5', 'flex')).toBe('0.000205');
    expect(await costOf('gpt-5.4-nano', 'flex')).toBe('0.000008375');
    for (const [name, service_tier] of [
      ['gpt-5.4-nano', 'priority'],
      ['gpt-4', 'flex'],
    ] as const) {
      const calls = daypass.rehearsal.chatCalls().length;
      const error = await errorOf(clientOf(key).chat.completions.create({ model: name, messages, service_tier }));
      expect(error).toMatchObject({ status: 400, code: 'unpriceable_request', param: 'service_tier' });
      expect(error.message).toContain(`'${service_tier}' costs for the model '${name}'`);
      expect(daypass.rehearsal.chatCalls()).toHaveLength(calls);
    }
    const calls = await booksAtRest(daypass);
    expect(calls.reduce((sum, { paid }) => sum + paid, 0n)).toBeGreaterThanOrEqual(1_025_000n);
  });

  it.each(['Georgian', 'Malayalam', 'Hindi'])(
    'covers a text in %s as a model of an older tokenizer counts it',
    async (script) => {
      const key = await daypass.createKey({ campaign: { models: ['gpt-4'] } });
      const text = SCRIPTS[script]!.repeat(40);
      daypass.rehearsal.onChat = () => ({
        content: 'ok',
        usage: { prompt_tokens: encode(text).length + 7, completion_tokens: 1 },
      });
      const create = { model: 'gpt-4', messages: [{ role: 'user' as const, content: text }], max_tokens: 20 };
      await clientOf(key).chat.completions.create(create);
      await booksAtRest(daypass);
      const { body } = await daypass.admin(`/admin/v1/campaigns/${key.campaign}`);
      expect(body).toMatchObject({ absorbed_usd: '0.00' });
    },
  );

  it('of an upstream that bills more than the bound ends with the budget of the campaign, and no key pays for it', async () => {
    daypass.rehearsal.onChat = () => ({
      content: 'ok',
      usage: { prompt_tokens: 4_000_000, completion_tokens: 1 },
    });
    // Each call is billed 3.0000045 dollars, of which the key pays its bound of less than a cent.
    const key = await daypass.createKey({ campaign: { budget_usd: '10.00' }, key: { budget_usd: '10.00' } });
    const other = await daypass.createKey({ campaign: key.campaign, key: { budget_usd: '10.00' } });
    const outcomes: string[] = [];
    for (let call = 0; call < 6; call++) {
      const create = { model, messages, max_tokens: 20 };
      await clientOf(call % 2 === 0 ? key : other)
        .chat.completions.create(create)
        .then(
          () => outcomes.push('ok'),
          (error: unknown) => outcomes.push((error as InstanceType<typeof OpenAI.APIError>).code ?? ''),
        );
    }
    expect(outcomes).toEqual(['ok', 'ok', 'ok', 'ok', 'insufficient_quota', 'insufficient_quota']);
    const error = await errorOf(clientOf(key).chat.completions.create({ model, messages, max_tokens: 20 }));
    expect((error.error as { daypass?: object }).daypass).toMatchObject({ level: 'campaign', free_usd: '0.00' });
    await booksAtRest(daypass);
    const { body } = await daypass.admin(`/admin/v1/campaigns/${key.campaign}`);
    expect(Number(body.absorbed_usd)).toBeGreaterThan(11.9);
    expect(Number(body.available_usd)).toBeLessThan(0);
    expect(Number((await daypass.admin(`/admin/v1/keys/${key.id}`)).body.spent_usd)).toBeLessThan(0.01);
    const metrics = await (await fetch(`${daypass.opsUrls.accounting}/metrics`)).text();
    expect(Number(/^daypass_absorbed_usd_total(?:\{[^}]*\})? (\S+)$/m.exec(metrics)?.[1])).toBeGreaterThan(11.9);
  });

  it('has its limits told with every refusal that comes after the key is known', async () => {
    const key = await daypass.createKey({ key: { limits: { rpm: 3, tpm: 50_000 } } });
    const client = new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 0 });
    const told = ({ headers }: { headers?: Headers | undefined }) => [
      headers?.get('x-ratelimit-limit-requests'),
      headers?.get('x-ratelimit-remaining-requests'),
      headers?.get('x-ratelimit-limit-tokens'),
      headers?.get('x-ratelimit-reset-requests'),
    ];
    const fresh = await errorOf(client.chat.completions.create({ model: 'gpt-9', messages }));
    expect([fresh.status, ...told(fresh)]).toEqual([404, '3', '3', '50000', '0ms']);
    for (let call = 0; call < 3; call++) await client.chat.completions.create({ model, messages, max_tokens: 20 });
    const limited = await errorOf(client.chat.completions.create({ model, messages, max_tokens: 20 }));
    expect([limited.status, ...told(limited)]).toEqual([429, '3', '0', '50000', '1m0s']);
    const unpriceable = await errorOf(client.chat.completions.create({ model, messages, modalities: ['audio'] }));
    expect([unpriceable.status, ...told(unpriceable)]).toEqual([400, '3', '0', '50000', '1m0s']);
    await daypass.admin(`/admin/v1/keys/${key.id}/suspend`, { body: {} });
    const suspended = await errorOf(client.chat.completions.create({ model, messages, max_tokens: 20 }));
    expect([suspended.status, ...told(suspended)]).toEqual([403, '3', '0', '50000', '1m0s']);
  });

  it('is limited by requests, tokens and calls at once of the key, with an honest wait', async () => {
    const slow = await daypass.createKey({ key: { limits: { rpm: 2 } } });
    const client = new OpenAI({ apiKey: slow.key, baseURL: daypass.baseUrl, maxRetries: 0 });
    await client.chat.completions.create({ model, messages });
    await client.chat.completions.create({ model, messages });
    const error = await errorOf(client.chat.completions.create({ model, messages }));
    expect(error).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    expect(Number(error.headers?.get('retry-after'))).toBeGreaterThan(50);
    expect(Number(error.headers?.get('retry-after-ms'))).toBeLessThanOrEqual(60_000);
    // The official clients wait for at most a minute.
    expect(error.headers?.get('x-should-retry')).toBe('true');

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
