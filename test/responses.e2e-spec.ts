import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import type {
  Response,
  ResponseCreateParamsNonStreaming,
  ResponseInput,
  ResponseStreamEvent,
  Tool,
} from 'openai/resources/responses/responses';
import pg from 'pg';
import { z } from 'zod';
import type { OutputItem } from '#libs/rehearsal/rehearsal.responses.types.js';
import type { ResponsesCall } from '#libs/rehearsal/rehearsal.responses.face.js';
import { FLAGGED_PHRASE } from '#libs/rehearsal/rehearsal.moderation.js';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, cancelledUpstream, errorOf, LONG } from './at-rest.js';

const model = 'gpt-5.4-mini';
const input = 'Say hello';
const PRICE = { input: 750n, output: 4_500n };
const ENCRYPTED = 'reasoning.encrypted_content' as const;
const SENTENCES = 'The first sentence is about the sea. The second sentence is about the hills. ';
const weather: Tool = {
  type: 'function',
  name: 'get_weather',
  strict: false,
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};
const MODES = ['gate', 'window', 'trail', 'observe', 'off'] as const;

/** A response's usage in nano-dollars. */
const costOf = ({ usage }: Response): bigint =>
  BigInt(usage!.input_tokens) * PRICE.input + BigInt(usage!.output_tokens) * PRICE.output;

describe('POST /v1/responses through the official client', () => {
  let daypass: SharedDaypass;
  let key: TestKey;
  let client: OpenAI;

  beforeAll(async () => {
    daypass = await shareDaypass();
    key = await daypass.createKey();
    client = clientOf(key);
  });
  afterAll(() => daypass?.stop());
  beforeEach(() => daypass.rehearsal.reset());

  const clientOf = (whose: TestKey, maxRetries = 0): OpenAI =>
    new OpenAI({ apiKey: whose.key, baseURL: daypass.baseUrl, maxRetries });
  const clientWith = async (moderation: object, more: object = {}): Promise<OpenAI> =>
    clientOf(await daypass.createKey({ campaign: { moderation, ...more } }));
  const sent = (): readonly ResponsesCall[] => daypass.rehearsal.responsesCalls();
  const paidFor = async (requestId: string | null): Promise<bigint | undefined> =>
    (await booksAtRest(daypass)).find((call) => call.request_id === requestId)?.paid;
  const eventsOf = async (whose: OpenAI, body: Omit<ResponseCreateParamsNonStreaming, 'stream'>, headers = {}) => {
    const events: ResponseStreamEvent[] = [];
    for await (const event of await whose.responses.create({ ...body, stream: true }, { headers })) events.push(event);
    return events;
  };
  /** All that the events of a stream showed as they came, without their repeats. */
  const shownIn = (events: readonly ResponseStreamEvent[]): string =>
    events.map((event) => ('delta' in event && typeof event.delta === 'string' ? event.delta : '')).join('');
  /** The request over plain HTTP. */
  const post = async (body: unknown, headers: Record<string, string> = {}, whose = key) => {
    const response = await fetch(`${daypass.baseUrl}/responses`, {
      method: 'POST',
      headers: { authorization: `Bearer ${whose.key}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    return { status: response.status, headers: response.headers, text: await response.text() };
  };

  it('answers under an id of its own, with the cost and the verdicts in its headers, and keeps nothing upstream', async () => {
    const { data, response } = await client.responses
      .create({ model, input, metadata: { trace: 'mine' }, prompt_cache_key: 'docs' })
      .withResponse();
    const requestId = response.headers.get('x-request-id')!;
    expect(data).toMatchObject({
      id: requestId.replace(/^req_/, 'resp_'),
      status: 'completed',
      store: true,
      metadata: { trace: 'mine' },
      prompt_cache_key: 'docs',
      previous_response_id: null,
    });
    expect(data.output_text).toContain('Say hello');
    expect(data).toHaveProperty('_request_id', requestId);
    expect(data.safety_identifier ?? null).toBeNull();
    expect(response.headers.get('x-daypass-moderation')).toBe('input=pass; output=pass');
    expect(Math.round(Number(response.headers.get('x-daypass-cost-usd')) * 1e9)).toBe(Number(costOf(data)));
    expect(await paidFor(requestId)).toBe(costOf(data));
    // The reasoning comes without the contents that the visitor did not ask for, and the relay did.
    expect(data.output.map(({ type }) => type)).toEqual(['reasoning', 'message']);
    expect(JSON.stringify(data)).not.toContain('encrypted_content');
    const [{ body }] = sent() as [ResponsesCall];
    expect(body).toMatchObject({
      store: false,
      include: [ENCRYPTED],
      service_tier: 'default',
      safety_identifier: expect.stringMatching(/^[\w-]{43}$/),
      prompt_cache_key: expect.stringMatching(/^[\w-]{43}$/),
    });
    expect(body).not.toHaveProperty('metadata');
  });

  it('passes every parameter on untouched, but for what is not the visitor’s to choose', async () => {
    const own = {
      model,
      input: [
        { role: 'developer', content: 'Be brief' },
        { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hi' }] },
      ],
      instructions: 'Answer in English',
      max_output_tokens: 300,
      parallel_tool_calls: false,
      reasoning: { effort: 'low', summary: 'auto' },
      text: { format: { type: 'text' }, verbosity: 'low' },
      tool_choice: 'none',
      tools: [weather],
      truncation: 'auto',
      include: ['message.output_text.logprobs'],
      top_logprobs: 2,
    };
    const theirs = {
      metadata: { trace: 'mine' },
      prompt_cache_key: 'k',
      safety_identifier: 'mine',
      store: true,
      user: 'someone',
      client_metadata: { from: 'here' },
      moderateInput: true,
    };
    const { status, headers, text } = await post({ ...own, ...theirs });
    expect([status, status === 200 ? '' : text]).toEqual([200, '']);
    const adjusted = headers.get('x-daypass-adjusted')?.split(', ') ?? [];
    expect(adjusted).toEqual(expect.arrayContaining(['client_metadata', 'safety_identifier', 'user']));
    const { input: items, include, ...body } = sent()[0]!.body;
    const { input: _, include: __, ...unchanged } = own;
    expect(body).toEqual({
      ...unchanged,
      store: false,
      service_tier: 'default',
      safety_identifier: expect.stringMatching(/^[\w-]{43}$/),
      prompt_cache_key: expect.stringMatching(/^[\w-]{43}$/),
    });
    expect(include).toEqual(['message.output_text.logprobs', ENCRYPTED]);
    expect(JSON.stringify(items)).toContain('Be brief');
    const shown = JSON.parse(text) as Response;
    expect(shown).toMatchObject({ metadata: { trace: 'mine' }, prompt_cache_key: 'k', store: true });
  });

  it('streams every event of the upstream, numbered, in one response of its own', async () => {
    const { data, response } = await client.responses
      .create({ model, input, stream: true, reasoning: { summary: 'auto' }, metadata: { trace: 'mine' } })
      .withResponse();
    const events: ResponseStreamEvent[] = [];
    for await (const event of data) events.push(event);
    const requestId = response.headers.get('x-request-id')!;
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, index) => index));
    const kinds = events.map(({ type }) => type);
    expect(kinds.slice(0, 2)).toEqual(['response.created', 'response.in_progress']);
    expect(kinds).toEqual(
      expect.arrayContaining([
        'response.reasoning_summary_part.added',
        'response.reasoning_summary_text.delta',
        'response.reasoning_summary_text.done',
        'response.content_part.added',
        'response.output_text.done',
        'response.content_part.done',
        'response.output_item.done',
      ]),
    );
    for (const event of events)
      if ('response' in event)
        expect(event.response).toMatchObject({
          id: requestId.replace(/^req_/, 'resp_'),
          metadata: { trace: 'mine' },
          store: true,
        });
    const last = events.at(-1) as { type: string; response: Response };
    expect(last.type).toBe('response.completed');
    expect(await paidFor(requestId)).toBe(costOf(last.response));
    expect(JSON.stringify(events)).not.toMatch(/encrypted_content|obfuscation|safety_identifier":"/);

    const runner = client.responses.stream({ model, input });
    const final = await runner.finalResponse();
    expect([final.status, final.output_text]).toEqual(['completed', expect.stringContaining('Say hello')]);
  });

  it('parses structured outputs, and takes no harm of one that is cut', async () => {
    const format = zodTextFormat(z.object({ city: z.string(), sure: z.boolean() }), 'place');
    const ask = { model, input: 'Where is it? In Lisbon', text: { format } };
    expect((await client.responses.parse(ask)).output_parsed).toEqual({ city: 'Lisbon', sure: true });
    const streamed = await client.responses.stream(ask).finalResponse();
    expect(streamed.output_parsed).toEqual({ city: 'Lisbon', sure: true });
    const cut = await client.responses.create({ model, input: 'word '.repeat(40), max_output_tokens: 20 });
    expect(cut).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } });
    expect(cut.usage!.output_tokens).toBeLessThanOrEqual(20);
    expect(sent().at(-1)!.body.max_output_tokens).toBe(20);
  });

  it.each([
    ['whole', false],
    ['streamed', true],
  ])('carries a loop with tools whose items the visitor sends again (%s)', async (_, streamed) => {
    const ask = async (items: ResponseInput): Promise<Response> => {
      const body = { model, tools: [weather, { ...weather, name: 'get_time' }], input: items };
      return streamed ? client.responses.stream(body).finalResponse() : client.responses.create(body);
    };
    const items: ResponseInput = [{ role: 'user', content: 'call get_weather and get_time' }];
    const first = await ask(items);
    expect(first.output.map(({ type }) => type)).toEqual(['reasoning', 'function_call', 'function_call']);
    items.push(...(first.output as ResponseInput));
    for (const call of first.output)
      if (call.type === 'function_call')
        items.push({ type: 'function_call_output', call_id: call.call_id, output: `${call.name} says Lisbon` });
    const second = await ask(items);
    expect(second.output_text).toContain('get_time says Lisbon');
    // Id-only reasoning came back from the shelf, for the upstream that had made it.
    const last = sent().at(-1)!;
    const reasoning = (last.body.input as { type?: string; encrypted_content?: string; id?: string }[]).filter(
      ({ type }) => type === 'reasoning',
    );
    expect(reasoning).toMatchObject([{ encrypted_content: expect.stringMatching(/^gAAAAA/) }]);
    expect(JSON.stringify(last.body.input)).not.toMatch(/"id":/);
    await booksAtRest(daypass);
  });

  it('carries custom tools, namespaces, patches and shells that the visitor runs', async () => {
    const kinds = async (tools: Tool[], text: string): Promise<unknown[]> => {
      const whole = await client.responses.create({ model, tools, input: text });
      const streamed = await client.responses.stream({ model, tools, input: text }).finalResponse();
      const shapes = [whole, streamed].map(({ output }) => {
        const { id: _, call_id: __, parsed_arguments: ___, ...rest } = output.at(-1) as unknown as OutputItem;
        return rest;
      });
      expect(shapes[1]).toEqual(shapes[0]);
      return [shapes[0]!.type, shapes[0]!.name ?? null];
    };
    expect(await kinds([{ type: 'custom', name: 'run_script' }], 'call run_script')).toEqual([
      'custom_tool_call',
      'run_script',
    ]);
    const space = { type: 'namespace', name: 'crm', description: 'Customers', tools: [weather] } as Tool;
    expect(await kinds([space], 'call get_weather')).toEqual(['function_call', 'get_weather']);
    expect(await kinds([{ type: 'apply_patch' }], 'call apply_patch')).toEqual(['apply_patch_call', null]);
    const shell = { type: 'shell', environment: { type: 'local' } } as Tool;
    expect(await kinds([shell], 'call shell')).toEqual(['shell_call', null]);
    expect(await kinds([{ type: 'local_shell' }], 'call local_shell')).toEqual(['local_shell_call', null]);
  });

  it('gives sealed reasoning to those who ask, and takes it back without a shelf', async () => {
    const first = await client.responses.create({ model, input, include: [ENCRYPTED], store: false });
    expect(first).toMatchObject({ store: false });
    expect(first.output[0]).toMatchObject({ type: 'reasoning', encrypted_content: expect.stringMatching(/^gAAAAA/) });
    const again = [{ role: 'user' as const, content: input }, ...(first.output as ResponseInput)];
    const second = await client.responses.create({
      model,
      input: [...again, { role: 'user', content: 'And now?' }],
      store: false,
    });
    expect(second.status).toBe('completed');
    const forged = { ...first.output[0], encrypted_content: 'gAAAAAforged' } as never;
    expect(
      await errorOf(client.responses.create({ model, input: [forged, { role: 'user', content: 'x' }] })),
    ).toMatchObject({
      status: 400,
    });
  });

  it('asks a model that does not reason once more without sealed contents, and remembers it', async () => {
    const plain = clientOf(await daypass.createKey({ campaign: { models: ['gpt-4.1-mini'] } }));
    for (let turn = 0; turn < 2; turn++) {
      const answer = await plain.responses.create({ model: 'gpt-4.1-mini', input: `turn ${turn}` });
      expect(answer.output.map(({ type }) => type)).toEqual(['message']);
    }
    expect(sent().map(({ body, state }) => [body.include?.length ?? 0, state])).toEqual([
      [1, 'refused'],
      [0, 'finished'],
      [0, 'finished'],
    ]);
    const asked = await errorOf(plain.responses.create({ model: 'gpt-4.1-mini', input, include: [ENCRYPTED] }));
    expect(asked).toMatchObject({ status: 400, param: 'include' });
  });

  describe.each(MODES)('under output moderation %s', (output) => {
    it('shows a clean answer whole, in one piece and streamed, each text judged at most once', async () => {
      const visitor = await clientWith({ input: 'off', output });
      daypass.rehearsal.onResponses = () => ({ content: SENTENCES.repeat(3) });
      const ask = { model, input, reasoning: { summary: 'auto' as const } };
      expect((await visitor.responses.create(ask)).output_text).toBe(SENTENCES.repeat(3));
      const events = await eventsOf(visitor, ask);
      expect(events.at(-1)).toMatchObject({ type: 'response.completed' });
      expect(shownIn(events)).toContain(SENTENCES.repeat(3));
      expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, index) => index));
      await booksAtRest(daypass);
    });

    it('ends a flagged answer as its policy says', async () => {
      const visitor = await clientWith({ input: 'off', output });
      daypass.rehearsal.onResponses = () => ({ content: `${SENTENCES} ${FLAGGED_PHRASE} ${SENTENCES}` });
      const stopped = ['gate', 'window', 'trail'].includes(output);
      const whole = await visitor.responses.create({ model, input: `whole ${output}` });
      expect(whole.status).toBe(stopped ? 'incomplete' : 'completed');
      if (stopped) {
        expect(whole).toMatchObject({ incomplete_details: { reason: 'content_filter' }, output: [] });
        expect(whole.usage!.output_tokens).toBeGreaterThan(0);
      }
      const runner = visitor.responses.stream({ model, input: `streamed ${output}` });
      let shown = '';
      runner.on('response.output_text.delta', ({ delta }) => (shown += delta));
      const final = await runner.finalResponse();
      expect(final.status).toBe(stopped ? 'incomplete' : 'completed');
      if (stopped) {
        expect(final.incomplete_details).toEqual({ reason: 'content_filter' });
        expect(shown.trim()).toBe(final.output_text.trim());
        // Under `trail` a text is out before its verdict.
        if (output !== 'trail') expect(JSON.stringify(final)).not.toContain(FLAGGED_PHRASE);
        if (output === 'gate') expect(shown).toBe('');
        if (output === 'window') expect(shown).toContain('about the sea.');
      } else expect(shown).toContain(FLAGGED_PHRASE);
      const calls = await booksAtRest(daypass);
      for (const { id } of [whole, final])
        expect(calls.find(({ request_id }) => request_id === id.replace(/^resp_/, 'req_'))?.paid).toBeGreaterThan(0n);
    });
  });

  it('judges summaries, refusals, arguments and inputs of tools, streamed or not', async () => {
    const visitor = await clientWith({ input: 'off', output: 'window' });
    const args = JSON.stringify({ city: FLAGGED_PHRASE });
    const items: Record<string, OutputItem> = {
      summary: { id: 'rs_1', type: 'reasoning', summary: [{ type: 'summary_text', text: FLAGGED_PHRASE }] },
      refusal: {
        ...{ id: 'msg_1', type: 'message', role: 'assistant', status: 'completed' },
        content: [{ type: 'refusal', refusal: FLAGGED_PHRASE }],
      },
      arguments: {
        id: 'fc_1',
        type: 'function_call',
        call_id: 'call_1',
        name: 'f',
        arguments: args,
        status: 'completed',
      },
      name: {
        id: 'fc_1',
        type: 'function_call',
        call_id: 'call_1',
        name: FLAGGED_PHRASE,
        arguments: '{}',
        status: 'completed',
      },
      input: {
        id: 'ctc_1',
        type: 'custom_tool_call',
        call_id: 'call_1',
        name: 'f',
        input: FLAGGED_PHRASE,
        status: 'completed',
      },
      command: {
        ...{ id: 'sh_1', type: 'shell_call', call_id: 'call_1', status: 'completed', environment: { type: 'local' } },
        action: { commands: [`echo ${FLAGGED_PHRASE}`], max_output_length: null, timeout_ms: null },
      },
      operation: {
        ...{ id: 'apc_1', type: 'apply_patch_call', call_id: 'call_1', status: 'completed' },
        operation: { type: 'create_file', path: 'a', diff: FLAGGED_PHRASE },
      },
    };
    for (const [place, item] of Object.entries(items)) {
      daypass.rehearsal.onResponses = () => ({ items: [item] });
      const whole = await post({ model, input: `whole ${place}` }, { authorization: `Bearer ${visitor.apiKey}` });
      const streamed = await post(
        { model, input: `streamed ${place}`, stream: true },
        { authorization: `Bearer ${visitor.apiKey}` },
      );
      for (const { text } of [whole, streamed]) {
        expect([place, text.includes(FLAGGED_PHRASE)]).toEqual([place, false]);
        expect([place, text.includes('content_filter')]).toEqual([place, true]);
      }
    }
    await booksAtRest(daypass);
  });

  it('refuses a flagged input wherever it stands, sends nothing upstream and takes no money', async () => {
    const visitor = await clientWith({ strikes: { cooldown_after: 100 } });
    const places: Partial<ResponseCreateParamsNonStreaming>[] = [
      { input: FLAGGED_PHRASE },
      { instructions: FLAGGED_PHRASE },
      { input: [{ role: 'user', content: [{ type: 'input_text', text: FLAGGED_PHRASE }] }] },
      { tools: [{ ...weather, description: FLAGGED_PHRASE } as Tool] },
      { text: { format: { type: 'json_schema', name: 'f', schema: { title: FLAGGED_PHRASE } } } },
      {
        input: [
          { type: 'function_call', call_id: 'call_1', name: 'f', arguments: JSON.stringify({ a: FLAGGED_PHRASE }) },
          { type: 'function_call_output', call_id: 'call_1', output: 'fine' },
        ],
      },
      {
        input: [
          { type: 'function_call', call_id: 'call_1', name: 'f', arguments: '{}' },
          { type: 'function_call_output', call_id: 'call_1', output: FLAGGED_PHRASE },
        ],
      },
    ];
    for (const [index, place] of places.entries())
      for (const stream of [false, true]) {
        const error = await errorOf(visitor.responses.create({ model, input, ...place, stream }));
        expect([index, error.status, error.code, error.type]).toEqual([
          index,
          400,
          'moderation_blocked',
          'invalid_request_error',
        ]);
        expect(error.headers?.get('x-should-retry')).toBe('false');
      }
    expect(sent()).toHaveLength(0);
    const calls = await booksAtRest(daypass);
    const { body } = await daypass.admin(`/admin/v1/keys?limit=1`);
    expect(calls.length).toBeGreaterThan(0);
    expect(body.data).toHaveLength(1);
  });

  it('counts a refused input as a strike, like any other', async () => {
    const struck = await daypass.createKey({
      campaign: { moderation: { output: 'off', strikes: { suspend_after: 2, window_seconds: 600 } } },
    });
    const visitor = clientOf(struck);
    const first = await errorOf(visitor.responses.create({ model, input: FLAGGED_PHRASE }));
    expect(first.headers?.get('x-daypass-strikes')).toBe('1');
    await errorOf(visitor.responses.create({ model, input: FLAGGED_PHRASE, stream: true }));
    expect(await errorOf(visitor.responses.create({ model, input }))).toMatchObject({
      status: 403,
      code: 'key_suspended',
    });
  });

  it('ends a stopped stream for Codex so that it does not ask again', async () => {
    const visitor = await clientWith({ input: 'off', output: 'window' });
    daypass.rehearsal.onResponses = () => ({ content: `${SENTENCES} ${FLAGGED_PHRASE}` });
    const headers = { originator: 'codex_exec' };
    const events = await eventsOf(visitor, { model, input: 'codex' }, headers);
    expect(events.at(-1)).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', error: { code: 'invalid_prompt' } },
    });
    expect(shownIn(events)).toContain('about the sea.');
    expect(JSON.stringify(events)).not.toContain(FLAGGED_PHRASE);
  });

  it('answers the repeat of a blocked call the same way, unsent and unbilled, for this key only', async () => {
    const blocked = await daypass.createKey({ campaign: { moderation: { input: 'off', output: 'window' } } });
    const other = await daypass.createKey({ campaign: blocked.campaign });
    daypass.rehearsal.onResponses = () => ({ content: `${SENTENCES} ${FLAGGED_PHRASE}` });
    for (const stream of [false, true]) {
      const body = { model, input: 'again and again', stream };
      const first = await post(body, {}, blocked);
      const upstream = sent().length;
      const again = await post(body, {}, blocked);
      expect(again.status).toBe(first.status);
      expect(again.text).toContain('content_filter');
      expect(sent()).toHaveLength(upstream);
      expect(Number(again.headers.get('x-daypass-cost-usd'))).toBe(0);
      await post(body, {}, other);
      await post({ ...body, input: 'something else' }, {}, blocked);
      expect(sent()).toHaveLength(upstream + 2);
    }
    // The first call has grown the conversation.
    const { id: conversation } = await clientOf(blocked).conversations.create({});
    const body = { model, input: 'in a conversation', conversation };
    await post(body, {}, blocked);
    const upstream = sent().length;
    expect(Number((await post(body, {}, blocked)).headers.get('x-daypass-cost-usd'))).toBe(0);
    expect(sent()).toHaveLength(upstream);
    const spent = (await daypass.admin(`/admin/v1/keys/${blocked.id}`)).body.spent_usd as string;
    expect(Number(spent)).toBeGreaterThan(0);
    await booksAtRest(daypass);
  });

  it('searches the web where its campaign has a price for it, and pays for each search that was made', async () => {
    const prices = { web_search: { usd_per_request: '0.01', input_tokens_per_request: 100, max_calls: 2 } };
    const searching = await daypass.createKey({ campaign: { tool_prices: prices } });
    const tools: Tool[] = [{ type: 'web_search' }];
    for (const stream of [false, true]) {
      const body = { model, tools, input: 'Please search it' };
      const answer = stream
        ? await clientOf(searching).responses.stream(body).finalResponse()
        : await clientOf(searching).responses.create(body);
      expect(answer.output.map(({ type }) => type)).toEqual(['reasoning', 'web_search_call', 'message']);
      expect(answer.output.at(-1)).toMatchObject({ content: [{ annotations: [{ type: 'url_citation' }] }] });
      expect(sent().at(-1)!.body.max_tool_calls).toBe(2);
      expect(await paidFor(answer.id.replace(/^resp_/, 'req_'))).toBe(costOf(answer) + 10_000_000n);
    }
  });

  it('compacts a conversation within the longest answer of its model, and goes on with what is left', async () => {
    const first = await client.responses.create({ model, input: 'Remember the lagoon' });
    const turns = [{ role: 'user' as const, content: 'Remember the lagoon' }, ...first.output];
    const asked = [
      { model, input: turns as ResponseInput, instructions: 'Be short.' },
      { model, previous_response_id: first.id },
    ];
    for (const body of asked) {
      const { data, response } = await client.responses.compact(body).withResponse();
      expect(data).toMatchObject({ object: 'response.compaction', id: expect.stringMatching(/^resp_/) });
      expect(data.output.map(({ type }) => type)).toEqual(['message', 'compaction']);
      expect(sent().at(-1)).toMatchObject({ compacts: true });
      expect(Object.keys(sent().at(-1)!.body).sort()).toEqual(
        [
          'input',
          'model',
          'prompt_cache_key',
          'service_tier',
          ...('instructions' in body ? ['instructions'] : []),
        ].sort(),
      );
      const cost = costOf(data as unknown as Response);
      expect(await paidFor(response.headers.get('x-request-id'))).toBe(cost);
      const next = await client.responses.create({
        model,
        input: [...(data.output as ResponseInput), { role: 'user', content: 'Say hello' }],
      });
      expect([next.status, next.output_text]).toEqual(['completed', expect.stringContaining('Say hello')]);
      expect((sent().at(-1)!.body.input as { type: string }[]).map(({ type }) => type)).toContain('compaction');
    }
    const poor = await daypass.createKey({ key: { budget_usd: '0.2' } });
    // The longest answer alone costs $0.576: nobody holds less.
    expect(await errorOf(clientOf(poor).responses.compact({ model, input }))).toMatchObject({
      status: 429,
      code: 'insufficient_quota',
    });
    const gate = await clientWith({ input: 'gate' });
    expect(await errorOf(gate.responses.compact({ model, input: FLAGGED_PHRASE }))).toMatchObject({
      status: 400,
      code: 'moderation_blocked',
    });
    daypass.rehearsal.onResponses = () => ({
      items: [
        { id: 'msg_1', type: 'message', role: 'user', content: [{ type: 'input_text', text: FLAGGED_PHRASE }] },
        { id: 'cmp_1', type: 'compaction', encrypted_content: 'gAAA' },
      ],
    });
    const blocked = await errorOf(gate.responses.compact({ model, input }));
    expect(blocked).toMatchObject({ status: 400, code: 'moderation_blocked' });
    expect(blocked.headers!.get('x-should-retry')).toBe('false');
  });

  it('cancels upstream when the visitor hangs up in mid-stream, and books what was generated', async () => {
    const watched = await daypass.createKey({ campaign: { moderation: { input: 'off', output: 'off' } } });
    daypass.rehearsal.onResponses = () => ({ content: LONG, tokensPerSecond: 10 });
    // What a model reasons unseen is counted by its silence, and here is none.
    const reasoning = { effort: 'none' } as const;
    const stream = await clientOf(watched).responses.create({ model, input, reasoning, stream: true });
    let seen = 0;
    for await (const _ of stream) if (++seen === 20) break;
    const [call] = await cancelledUpstream(daypass, 10_000, sent());
    const calls = await booksAtRest(daypass);
    const bill = BigInt(call!.usage!.input_tokens) * PRICE.input + BigInt(call!.usage!.output_tokens) * PRICE.output;
    const { body } = await daypass.admin(`/admin/v1/keys/${watched.id}`);
    expect(BigInt(Math.round(Number(body.spent_usd) * 1e9))).toBeGreaterThanOrEqual(bill);
    expect(calls.at(-1)!.kinds).not.toContain('presume');
  });

  describe('under an Idempotency-Key', () => {
    it.each([false, true])('gets its first answer again (stream: %s)', async (stream) => {
      const name = { 'idempotency-key': `one-${stream}` };
      const first = await post({ model, input, stream }, name);
      const again = await post({ model, input, stream }, name);
      expect(again.text).toBe(first.text);
      expect(again.headers.get('idempotent-replayed')).toBe('true');
      expect(sent()).toHaveLength(1);
    });

    it('is another call than the same body at another address', async () => {
      const name = { 'idempotency-key': 'path' };
      expect((await post({ model, input }, name)).status).toBe(200);
      const elsewhere = await fetch(`${daypass.baseUrl}/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json', ...name },
        body: JSON.stringify({ model, messages: [{ role: 'user', content: input }] }),
      });
      expect(elsewhere.status).toBe(409);
      expect(await elsewhere.json()).toMatchObject({ error: { code: 'idempotency_conflict' } });
    });
  });

  it('is counted with chat in the limits of the key and in the lane of its model', async () => {
    interface Lane {
      models: string[];
      lane: string;
      requests: { used: number };
      tokens: { used: number };
    }
    const used = async (): Promise<number> =>
      ((await daypass.admin('/admin/v1/lanes')).body.data as Lane[])
        .filter(({ lane }) => lane !== 'moderation')
        .reduce((sum, { requests }) => sum + requests.used, 0);
    const limited = await daypass.createKey({
      campaign: { moderation: { input: 'off', output: 'off' } },
      key: { limits: { rpm: 2 } },
    });
    const before = await used();
    await clientOf(limited).responses.create({ model, input });
    await clientOf(limited).chat.completions.create({ model, messages: [{ role: 'user', content: input }] });
    expect((await used()) - before).toBe(2);
    expect(await errorOf(clientOf(limited).responses.create({ model, input }))).toMatchObject({
      status: 429,
      code: 'rate_limit_exceeded',
    });
  });

  it('stands in the record as a call of responses, with what was asked and judged', async () => {
    const { response } = await client.responses.create({ model, input: 'for the record' }).withResponse();
    const id = response.headers.get('x-request-id')!;
    await booksAtRest(daypass);
    const { body } = await daypass.admin(`/admin/v1/requests/${id}`);
    expect(body).toMatchObject({ endpoint: 'responses' });
    expect(JSON.stringify(body.asked)).toContain('for the record');
    expect(body.checks.map(({ direction, decision }: Record<string, string>) => [direction, decision])).toEqual([
      ['input', 'pass'],
      ['output', 'pass'],
    ]);
    const sql = new pg.Client({ connectionString: daypass.databaseUrl });
    await sql.connect();
    const { rows } = await sql.query(`select endpoint from audit.requests where id = $1`, [id]);
    await sql.end();
    expect(rows).toEqual([{ endpoint: 'responses' }]);
  });

  describe('with bad input', () => {
    const upstreamCalls = (): number => sent().length;

    it.each<[string, unknown]>([
      ['model', 5],
      ['input', 5],
      ['input', { role: 'user' }],
      ['instructions', ['x']],
      ['max_output_tokens', 'many'],
      ['max_output_tokens', 1.5],
      ['max_output_tokens', 15],
      ['max_output_tokens', 0],
      ['metadata', 'x'],
      ['parallel_tool_calls', 'yes'],
      ['temperature', 'hot'],
      ['top_p', 'x'],
      ['top_logprobs', 'x'],
      ['truncation', 'sometimes'],
      ['stream', 'yes'],
      ['store', 'yes'],
      ['include', 'x'],
      ['include', ['file_search_call.results']],
      ['include', ['everything']],
      ['reasoning', 'high'],
      ['reasoning.effort', { reasoning: { effort: 5 } }],
      ['reasoning.mode', { reasoning: { mode: 'pro' } }],
      ['text', 'x'],
      ['text.format', { text: { format: 'json' } }],
      ['tools', {}],
      ['tools', 'x'],
      ['tool_choice', 5],
      ['previous_response_id', 5],
      ['conversation', 5],
      ['service_tier', 5],
      ['service_tier', 'scale'],
      ['prompt_cache_options.ttl', { prompt_cache_options: { mode: 'implicit', ttl: '12h' } }],
      ['background', 'yes'],
      ['prompt', { id: 'pmpt_1' }],
      ['context_management', [{ type: 'compaction' }]],
      ['access_programs', { cyber: 'standard' }],
      ['nonsense', 1],
      ['messages', [{ role: 'user', content: 'hi' }]],
      ['max_tokens', 5],
    ])('names %s when it is wrong', async (param, value) => {
      const wrong = param.includes('.') ? (value as object) : { [param]: value };
      const { status, headers, text } = await post({ model, input, ...wrong });
      const { error } = JSON.parse(text) as { error: { param: string | null; message: string; code: string } };
      expect([status, headers.get('x-should-retry')]).toEqual([400, 'false']);
      expect(error.param?.split(/[.[]/)[0]).toBe(param.split('.')[0]);
      expect(error.message.length).toBeGreaterThan(20);
      expect(upstreamCalls()).toBe(0);
    });

    it.each<[string, object]>([
      ['input[0].type', { type: 'letter', text: 'x' }],
      ['input[0].type', { type: 'mcp_call', id: 'mcp_1', name: 'x', arguments: '{}', server_label: 'x' }],
      ['input[0].type', { type: 'file_search_call', id: 'fs_1', queries: ['x'], status: 'completed' }],
      [
        'input[0].type',
        { type: 'code_interpreter_call', id: 'ci_1', code: 'x', container_id: 'c', status: 'completed' },
      ],
      ['input[0].role', { role: 'wizard', content: 'x' }],
      ['input[0].content', { role: 'user', content: 5 }],
      ['input[0].content[0].file_id', { role: 'user', content: [{ type: 'input_file', file_id: 'file-1' }] }],
      ['input[0].content[0]', { role: 'user', content: [{ type: 'input_audio', input_audio: {} }] }],
      ['input[0].content[0].text', { role: 'user', content: [{ type: 'input_text', text: 5 }] }],
      ['input[0].call_id', { type: 'function_call_output', call_id: 'a b', output: 'x' }],
      ['input[0].call_id', { type: 'function_call_output', call_id: 'x'.repeat(65), output: 'x' }],
      ['input[0].encrypted_content', { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'say this' }],
      ['input[0].note', { role: 'user', content: 'x', note: 'y' }],
      ['input[0]', 5 as unknown as object],
    ])('names %s when an item is wrong', async (param, item) => {
      const { status, text } = await post({ model, input: [item] });
      const { error } = JSON.parse(text) as { error: { param: string | null; message: string } };
      expect([status, error.param?.slice(0, 8)]).toEqual([400, param.slice(0, 8)]);
      expect(upstreamCalls()).toBe(0);
    });

    it.each<[string, object]>([
      ['a tool that nobody knows', { type: 'teleport' }],
      ['code_interpreter', { type: 'code_interpreter', container: { type: 'auto' } }],
      ['file_search', { type: 'file_search', vector_store_ids: ['vs_1'] }],
      ['mcp', { type: 'mcp', server_label: 'x', server_url: 'https://example.com' }],
      ['programmatic_tool_calling', { type: 'programmatic_tool_calling' }],
      ['a shell in a container', { type: 'shell', environment: { type: 'container_auto' } }],
      ['a search that nobody priced, alone', { type: 'web_search' }],
    ])('names the tool: %s', async (_, tool) => {
      const { status, text } = await post({ model, input, tools: [tool] });
      const { error } = JSON.parse(text) as { error: { param: string | null; message: string } };
      expect([status, error.param?.startsWith('tools')]).toEqual([400, true]);
      expect(upstreamCalls()).toBe(0);
    });

    it('drops a search that nobody priced from among other tools, and says so, as Codex needs it', async () => {
      const tools = [weather, { type: 'web_search', external_web_access: false }];
      const { status, headers } = await post({ model, input, tools });
      expect(status).toBe(200);
      expect(headers.get('x-daypass-adjusted')?.split(', ')).toContain('tools.web_search');
      expect(sent()[0]!.body.tools).toHaveLength(1);
    });

    it('names a missing input, and both names of what went before at once', async () => {
      const missing = JSON.parse((await post({ model })).text) as { error: { param: string } };
      expect(missing.error.param).toBe('input');
      const both = await post({ model, input, previous_response_id: 'resp_1', conversation: 'conv_1' });
      expect([both.status, both.text.includes('previous_response_id')]).toEqual([400, true]);
    });
  });

  it.each([
    ['no JSON', 'Bad gateway'],
    ['another shape', '{"id":"x","object":"response"}'],
    ['another object', '{"object":"chat.completion","choices":[]}'],
  ])('takes an answer of %s for a failure of the upstream, and charges nothing', async (_, raw) => {
    daypass.rehearsal.onResponses = () => ({ raw });
    const error = await errorOf(client.responses.create({ model, input: `raw ${raw}` }));
    expect(error).toMatchObject({ status: 502, code: 'upstream_error' });
    expect(await paidFor(error.requestID ?? null)).toBe(0n);
  });

  it('tells of an upstream that ends a stream with an error, and charges what the upstream would', async () => {
    const error = { code: 'server_error', message: 'The server had an error.' };
    for (const as of ['error', 'failed'] as const) {
      daypass.rehearsal.onResponses = () => ({ content: SENTENCES, errorAfterEvents: { events: 12, error, as } });
      const visitor = await clientWith({ input: 'off', output: 'off' });
      const { text } = await post({ model, input: as, stream: true }, { authorization: `Bearer ${visitor.apiKey}` });
      expect(text).toMatch(/event: (error|response\.failed)\n/);
      const codex = await post(
        { model, input: `${as} codex`, stream: true },
        { authorization: `Bearer ${visitor.apiKey}`, originator: 'codex_cli_rs' },
      );
      expect(codex.text).toMatch(/event: response\.failed\n/);
    }
    await booksAtRest(daypass);
    await until('nothing runs upstream', () => sent().every(({ state }) => state !== 'running'));
  });
});
