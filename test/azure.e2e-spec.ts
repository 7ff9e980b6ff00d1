import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { redisKeys } from '#libs/redis/keys.js';
import { startDaypass, type Daypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, errorOf } from './at-rest.js';
import { AzureDouble, PROMPT_PHRASE } from './azure.double.js';

/** Served by Azure alone, in the shape of deployments; and with a second account behind it, in that of v1. */
const alone = 'gpt-5.4-nano';
const model = 'gpt-5.4-mini';
const vectors = 'text-embedding-3-small';
const say = (content: string): OpenAI.ChatCompletionMessageParam[] => [{ role: 'user', content }];

describe('Azure OpenAI as an upstream', () => {
  const v1 = new AzureDouble('key-of-v1');
  const deployed = new AzureDouble('key-of-deployments');
  let daypass: Daypass;
  let redis: Redis;

  beforeAll(async () => {
    const [first, second] = await Promise.all([v1.start(), deployed.start()]);
    const upstream = { kind: 'azure', endpoints: ['chat', 'embeddings', 'responses'] };
    daypass = await startDaypass({
      config: {
        lanes: {
          shared: { models: [model], elsewhere_only: true },
          old: { models: [alone], elsewhere_only: true },
          vectors: { models: [vectors], elsewhere_only: true },
        },
        upstreams: [
          {
            ...upstream,
            name: 'azure-v1',
            base_url: `${first}/v1/`,
            lanes: { shared: {} },
            models: { [model]: 'our-mini' },
          },
          {
            ...upstream,
            name: 'azure-old',
            base_url: second,
            api_version: '2024-10-21',
            lanes: { shared: {}, old: {}, vectors: {} },
            models: { [model]: 'old mini', [alone]: 'old-nano', [vectors]: 'old-vectors' },
          },
        ],
      },
      env: { DAYPASS_UPSTREAM_KEYS: 'azure-v1=key-of-v1,azure-old=key-of-deployments' },
    });
    redis = new Redis(daypass.redisUrl);
  });
  afterAll(async () => {
    redis?.disconnect();
    await daypass?.stop();
    v1.stop();
    deployed.stop();
  });
  beforeEach(async () => {
    daypass.rehearsal.reset();
    for (const double of [v1, deployed]) double.reset();
    v1.deployments.add('our-mini');
    // A path names them encoded, and a body does not.
    for (const name of ['old%20mini', 'old mini', 'old-nano', 'old-vectors']) deployed.deployments.add(name);
    await redis.del(redisKeys.circuit('azure-v1'), redisKeys.circuit('azure-old'));
  });

  const keyWith = (moderation: object = {}): Promise<TestKey> =>
    daypass.createKey({ campaign: { models: [model, alone, vectors], moderation } });
  const clientOf = ({ key: apiKey }: TestKey): OpenAI =>
    new OpenAI({ apiKey, baseURL: daypass.baseUrl, maxRetries: 0 });
  const clientWith = async (moderation: object = {}): Promise<OpenAI> => clientOf(await keyWith(moderation));
  const textOf = async (client: OpenAI, of: string): Promise<[string, string | null | undefined]> => {
    let [text, finish]: [string, string | null | undefined] = ['', null];
    for await (const { choices } of await client.chat.completions.create({
      model: of,
      messages: say('hi'),
      stream: true,
    })) {
      text += choices[0]?.delta?.content ?? '';
      finish = choices[0]?.finish_reason ?? finish;
    }
    return [text, finish];
  };

  it('is called at its v1 address by its key, with the deployment as the model, whole and streamed', async () => {
    const client = await clientWith();
    const whole = await client.chat.completions.create({ model, messages: say('hi') });
    expect(whole.choices[0]!.message.content).toBe('fine words');
    expect(await textOf(client, model)).toEqual(['fine words that go on', 'stop']);
    expect(v1.calls.map(({ path, query }) => path + query)).toEqual(Array(2).fill('/openai/v1/chat/completions'));
    for (const { headers, body } of v1.calls) {
      expect(headers).toMatchObject({ 'api-key': 'key-of-v1' });
      expect(headers).not.toHaveProperty('authorization');
      expect(body.model).toBe('our-mini');
    }
    expect(v1.calls[1]!.body.stream_options).toEqual({ include_usage: true });
    await booksAtRest(daypass);
  });

  it('is called at its deployments with the version, also for embeddings', async () => {
    const client = await clientWith();
    await client.chat.completions.create({ model: alone, messages: say('hi') });
    expect((await client.embeddings.create({ model: vectors, input: 'hi' })).data[0]!.embedding).toEqual([1, 0]);
    expect(deployed.calls.map(({ path, query }) => path + query)).toEqual([
      '/openai/deployments/old-nano/chat/completions?api-version=2024-10-21',
      '/openai/deployments/old-vectors/embeddings?api-version=2024-10-21',
    ]);
    // Azure has no more models for it than OpenAI.
    expect(await errorOf(client.completions.create({ model: alone, prompt: 'hi' }))).toMatchObject({
      status: 404,
      code: 'model_not_found',
      param: 'model',
    });
    await booksAtRest(daypass);
  });

  it.each([
    [model, v1, '/openai/v1/responses', 'our-mini'],
    [alone, deployed, '/openai/responses?api-version=2024-10-21', 'old-nano'],
  ])(
    'answers responses of %s in turns, whole and streamed, and stores and knows no ids',
    async (of, double, path, name) => {
      const client = await clientWith();
      const first = await client.responses.create({ model: of, input: 'hi' });
      const items = {
        model: of,
        input: [...first.output, { role: 'user', content: 'and then?' }] as OpenAI.Responses.ResponseInput,
      };
      const second = await client.responses.stream(items).finalResponse();
      const third = await client.responses.create({ model: of, previous_response_id: second.id, input: 'and then?' });
      for (const { status, output_text: text, id } of [first, second, third]) {
        expect([status, text]).toEqual(['completed', 'fine words that go on']);
        expect(id).not.toContain('azure');
      }
      expect(double.calls.map((call) => call.path + call.query)).toEqual(Array(3).fill(path));
      for (const { headers, body } of double.calls) {
        expect(headers).not.toHaveProperty('authorization');
        expect(body).toMatchObject({ model: name, store: false, safety_identifier: expect.any(String) });
        expect(JSON.stringify(body.input)).not.toMatch(/"id"|azure_0/);
        expect(body).not.toHaveProperty('stream_options');
      }
      // What it alone reads comes back to it.
      expect(JSON.stringify(double.calls[2]!.body.input)).toContain('gAAA-of-azure');
      await booksAtRest(daypass);
    },
  );

  it('hands a response over to another account, without what only the first one reads', async () => {
    const client = await clientWith();
    const first = await client.responses.create({ model, input: 'hi' });
    v1.deployments.clear();
    const body = { model, previous_response_id: first.id, input: 'and then?' };
    const second = await client.responses.stream(body).finalResponse();
    expect(second.output_text).toBe('fine words that go on');
    expect([v1.calls.length, deployed.calls.length]).toEqual([2, 1]);
    const sent = JSON.stringify(deployed.calls[0]!.body.input);
    expect(sent).toContain('fine words that go on');
    expect(sent).not.toContain('gAAA');
    await booksAtRest(daypass);
  });

  it('of an older version is asked again without what it does not know, and still hears of the visitor', async () => {
    deployed.unknown = ['safety_identifier', 'prompt_cache_key'];
    const client = await clientWith();
    await client.chat.completions.create({ model: alone, messages: say('hi') });
    const [first, , last] = deployed.calls.map(({ body }) => body);
    expect(deployed.calls).toHaveLength(3);
    expect(last).toMatchObject({ user: first!.safety_identifier });
    for (const name of deployed.unknown) expect(last).not.toHaveProperty(name);
    await client.chat.completions.create({ model: alone, messages: say('hi') });
    expect(deployed.calls).toHaveLength(4);
  });

  it('refuses an input: the visitor reads why, pays nothing and gets a strike', async () => {
    const key = await keyWith({ strikes: { suspend_after: 2 } });
    const client = clientOf(key);
    const error = await errorOf(client.chat.completions.create({ model: alone, messages: say(PROMPT_PHRASE) }));
    expect(error).toMatchObject({
      status: 400,
      code: 'content_filter',
      error: { daypass: { categories: ['violence'] } },
    });
    expect(error.headers!.get('x-should-retry')).toBe('false');
    const shown = async () => (await daypass.admin(`/admin/v1/keys/${key.id}`)).body;
    await until('the strike is in the books', async () => (await shown()).strikes === 1);
    expect(await shown()).toMatchObject({ spent_usd: '0.00' });
    const again = { model: alone, input: `${PROMPT_PHRASE} again` };
    expect(await errorOf(client.responses.stream(again).finalResponse())).toMatchObject({
      status: 400,
      code: 'content_filter',
    });
    expect(await errorOf(client.chat.completions.create({ model: alone, messages: say('hi') }))).toMatchObject({
      code: 'key_suspended',
    });
    await booksAtRest(daypass);
  });

  it.each(['gate', 'window', 'trail'] as const)(
    'blocks an output that its filters catch, at its end or by an annotation after it: %s',
    async (output) => {
      const client = await clientWith({ output });
      for (const how of ['caught', 'late'] as const) {
        v1.output = how;
        expect((await textOf(client, model))[1]).toBe('content_filter');
      }
      const whole = await client.chat.completions.create({ model, messages: say('caught, whole') });
      expect(whole.choices[0]).toMatchObject({ finish_reason: 'content_filter', message: { content: null } });
      const ended = { status: 'incomplete', incomplete_details: { reason: 'content_filter' } };
      for (const how of ['caught', 'late'] as const) {
        v1.output = how;
        expect(await client.responses.create({ model, input: `whole, ${how}` })).toMatchObject({
          ...ended,
          output: [],
        });
        const streamed = await client.responses.stream({ model, input: `streamed, ${how}` }).finalResponse();
        expect(streamed).toMatchObject(ended);
        if (output === 'gate') expect(streamed.output).toEqual([]);
      }
      await booksAtRest(daypass);
    },
  );

  it.each([
    ['that lacks the deployment', () => v1.deployments.clear(), 'DeploymentNotFound'],
    [
      'whose network is shut',
      () =>
        void (v1.trouble = {
          status: 403,
          error: { code: 'AccessDenied', message: 'Access denied due to Virtual Network/Firewall rules.' },
        }),
      'AccessDenied',
    ],
    [
      'that refuses the key',
      () =>
        void (v1.trouble = {
          status: 401,
          error: { code: '401', message: 'Access denied due to invalid subscription key.' },
        }),
      '401',
    ],
    [
      'whose deployment is of another kind',
      () =>
        void (v1.trouble = {
          status: 400,
          error: {
            code: 'OperationNotSupported',
            message: 'The chatCompletion operation does not work with the specified model.',
          },
        }),
      'OperationNotSupported',
    ],
  ])('%s is passed over for another account, unseen by the visitor, and told to the operator', async (_, breaks) => {
    const troubles = async (): Promise<number> => {
      const metrics = await (await fetch(`${daypass.opsUrls.forwarding}/metrics`)).text();
      return Number(/daypass_account_trouble_total\{[^}]*upstream="azure-v1"[^}]*\} (\d+)/.exec(metrics)?.[1] ?? 0);
    };
    const before = await troubles();
    breaks();
    const answer = await (await clientWith()).chat.completions.create({ model, messages: say('hi') });
    expect(answer.choices[0]!.message.content).toBe('fine words');
    expect([v1.calls.length, deployed.calls.length]).toEqual([1, 1]);
    expect(await troubles()).toBe(before + 1);
    await booksAtRest(daypass);
  });

  it("has trouble that is never the visitor's missing model", async () => {
    deployed.deployments.clear();
    const error = await errorOf((await clientWith()).chat.completions.create({ model: alone, messages: say('hi') }));
    expect(error).toMatchObject({ status: 503, code: 'upstream_unavailable' });
    expect(error.message).not.toMatch(/deployment/i);
  });
});
