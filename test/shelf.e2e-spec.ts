import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import type {
  Response,
  ResponseCreateParamsNonStreaming,
  ResponseInput,
  ResponseItem,
  Tool,
} from 'openai/resources/responses/responses';
import { redisKeys } from '#libs/redis/keys.js';
import { FLAGGED_PHRASE } from '#libs/rehearsal/rehearsal.moderation.js';
import { Rehearsal } from '#libs/rehearsal/rehearsal.js';
import type { ResponsesCall } from '#libs/rehearsal/rehearsal.responses.face.js';
import { startDaypass, type Daypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
/** Its only upstream has no Responses. */
const chatOnly = 'gpt-5.4-nano';
const MAIL = 'john.doe@example.com';
const UNJUDGED = { moderation: { input: 'off', output: 'off' } };
/** Room for two keys that fill their own, and not for a third. */
const BYTES_OF_KEY = 600_000;
const CHAIN_MAX = 200;
const weather: Tool = {
  type: 'function',
  name: 'get_weather',
  strict: false,
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
};

interface SentItem {
  type?: string;
  role?: string;
  id?: string;
  content?: string | { text: string }[];
  encrypted_content?: string;
  output?: string;
}

/** What openai's types leave out of a response. */
const isStored = (response: Response): boolean => (response as Response & { store: boolean }).store;

describe('the shelf', () => {
  let daypass: Daypass;
  let spare: Rehearsal;
  let redis: Redis;
  let key: TestKey;
  let client: OpenAI;

  beforeAll(async () => {
    spare = await Rehearsal.start({ organization: 'the spare one' });
    daypass = await startDaypass({
      rehearsal: { organization: 'the first one' },
      config: {
        guards: [{ name: 'pii', type: 'personal_data', kinds: ['email'] }],
        lanes: { mini: { rpm: 100_000, models: [model] }, nano: { elsewhere_only: true, models: [chatOnly] } },
        upstreams: [
          { name: 'spare', base_url: spare.url, lanes: { mini: { rpm: 100_000 } } },
          { name: 'chatty', base_url: spare.url, keyless: true, endpoints: ['chat'], lanes: { nano: {} } },
        ],
      },
      env: {
        DAYPASS_UPSTREAM_KEYS: 'spare=sk-spare',
        DAYPASS_SHELF_BYTES_PER_KEY: String(BYTES_OF_KEY),
        DAYPASS_SHELF_MAX_BYTES: String(2 * BYTES_OF_KEY),
      },
    });
    redis = new Redis(daypass.redisUrl);
    key = await daypass.createKey({ campaign: UNJUDGED });
    client = clientOf(key);
  });
  afterAll(async () => {
    redis?.disconnect();
    await daypass?.stop();
    await spare?.stop();
  });
  beforeEach(async () => {
    daypass.rehearsal.reset();
    spare.reset();
    await redis.del(redisKeys.circuit('openai'), redisKeys.circuit('spare'));
  });

  const clientOf = (whose: TestKey): OpenAI =>
    new OpenAI({ apiKey: whose.key, baseURL: daypass.baseUrl, maxRetries: 0 });
  const clientWith = async (campaign: object, key: object = {}): Promise<OpenAI> =>
    clientOf(
      await daypass.createKey({ campaign: campaign as Record<string, unknown>, key: key as Record<string, unknown> }),
    );
  const shelved = async ({ id }: TestKey): Promise<number> =>
    (await redis.keys(`${redisKeys.shelfPrefix}*${id}*`)).length;
  const lastSent = (upstream: Rehearsal = daypass.rehearsal): ResponsesCall => upstream.responsesCalls().at(-1)!;
  const items = (call: ResponsesCall = lastSent()): SentItem[] => call.body.input as unknown as SentItem[];
  const texts = (call?: ResponsesCall): string[] =>
    items(call).flatMap(({ content, output }) =>
      output !== undefined
        ? [output]
        : typeof content === 'string'
          ? [content]
          : (content ?? []).map(({ text }) => text),
    );
  const ask = (body: Partial<ResponseCreateParamsNonStreaming>, whose = client): Promise<Response> =>
    whose.responses.create({ model, ...body });
  const streamed = (body: Partial<ResponseCreateParamsNonStreaming>, whose = client): Promise<Response> =>
    whose.responses.stream({ model, ...body } as Parameters<OpenAI['responses']['stream']>[0]).finalResponse();

  describe.each([
    ['whole', ask],
    ['streamed', streamed],
  ])('with previous_response_id (%s)', (_, turn) => {
    it('gives the model what was said in all turns before, without the instructions of an earlier one', async () => {
      daypass.rehearsal.onResponses = ({ input }) => ({
        content: `answer to ${texts({ body: { input } } as ResponsesCall).at(-1)}`,
      });
      const one = await turn({ input: 'one', instructions: 'Be brief.' });
      const two = await turn({ input: 'two', previous_response_id: one.id });
      const three = await turn({ input: [{ role: 'user', content: 'three' }], previous_response_id: two.id });
      expect(texts()).toEqual(['one', 'answer to one', 'two', 'answer to two', 'three']);
      expect(lastSent().body.instructions ?? null).toBeNull();
      expect(lastSent().body).toMatchObject({ store: false });
      expect(lastSent().body).not.toHaveProperty('previous_response_id');
      expect([two.previous_response_id, three.previous_response_id]).toEqual([one.id, two.id]);
      expect(three.usage!.input_tokens).toBeGreaterThan(two.usage!.input_tokens);
      // The upstream that sealed the reasoning of both turns reads it again.
      expect(items().filter(({ type }) => type === 'reasoning')).toHaveLength(2);
      expect(JSON.stringify(items())).not.toContain('"id":');
      const calls = await booksAtRest(daypass);
      const paid = calls.find(({ request_id }) => request_id === three.id.replace(/^resp_/, 'req_'))!.paid;
      expect(paid).toBe(BigInt(three.usage!.input_tokens) * 750n + BigInt(three.usage!.output_tokens) * 4_500n);
    });

    it('goes on after a tool with its result alone', async () => {
      const first = await turn({ input: 'How is the weather?', tools: [weather] });
      const call = first.output.find((item) => item.type === 'function_call')!;
      const second = await turn({
        tools: [weather],
        previous_response_id: first.id,
        input: [{ type: 'function_call_output', call_id: call.call_id, output: 'Sunny in Lisbon' }],
      });
      expect(second.output_text).toContain('Sunny in Lisbon');
      expect(items().map(({ type }) => type ?? 'message')).toEqual([
        'message',
        'reasoning',
        'function_call',
        'function_call_output',
      ]);
    });
  });

  it('counts a second turn with all that it stands for: for its money and for the limits of its key', async () => {
    const large = 'word '.repeat(3_000);
    const poor = clientOf(await daypass.createKey({ campaign: key.campaign, key: { budget_usd: '0.005' } }));
    const ask100 = { max_output_tokens: 100 };
    // Alone each of them is paid for; together they are not.
    const first = await ask({ ...ask100, input: large }, poor);
    expect(await errorOf(ask({ ...ask100, input: 'and?', previous_response_id: first.id }, poor))).toMatchObject({
      status: 429,
      code: 'insufficient_quota',
    });
    expect((await ask({ ...ask100, input: 'and?' }, poor)).usage!.input_tokens).toBeLessThan(20);
    const slow = clientOf(await daypass.createKey({ campaign: key.campaign, key: { limits: { tpm: 4_000 } } }));
    const begun = await ask({ ...ask100, input: large }, slow);
    expect(await errorOf(ask({ ...ask100, input: 'and?', previous_response_id: begun.id }, slow))).toMatchObject({
      status: 429,
      code: 'rate_limit_exceeded',
    });
    expect((await ask({ ...ask100, input: 'and?' }, slow)).usage!.input_tokens).toBeLessThan(20);
  });

  it('judges what a name stands for as part of the request, and pays for a verdict once', async () => {
    const judged = await clientWith({ moderation: { output: 'off' } });
    daypass.rehearsal.onResponses = ({ input }) => ({
      content: texts({ body: { input } } as ResponsesCall).at(-1) === 'one of a kind' ? 'a first answer' : 'the end',
    });
    const first = await ask({ input: 'one of a kind' }, judged);
    await ask({ input: 'another of a kind', previous_response_id: first.id }, judged);
    expect(daypass.rehearsal.moderationCalls().flatMap(({ body }) => body.input)).toEqual([
      'one of a kind',
      'a first answer',
      'another of a kind',
    ]);
    // A text that nobody judged when it was shelved is judged when it is named.
    const open = await daypass.createKey({ campaign: UNJUDGED });
    const bad = await ask({ input: FLAGGED_PHRASE }, clientOf(open));
    await daypass.admin(`/admin/v1/keys/${open.id}`, { method: 'PATCH', body: { moderation: { input: 'gate' } } });
    await until('the policy is in force', async () => {
      const outcome = await ask({ input: 'go on', previous_response_id: bad.id }, clientOf(open)).then(
        () => 'answered',
        (error: { code?: string }) => error.code,
      );
      return outcome === 'moderation_blocked';
    });
  });

  it('gives conversations their turns', async () => {
    const { id } = await client.conversations.create({
      metadata: { topic: 'weather' },
      items: [{ type: 'message', role: 'user', content: 'We talk about Lisbon' }],
    });
    expect(id).toMatch(/^conv_/);
    const first = await ask({ input: 'first turn', conversation: id });
    expect(first.conversation).toEqual({ id });
    await streamed({ input: 'second turn', conversation: { id } });
    expect(texts().filter((text) => !text.includes('rehearsal'))).toEqual([
      'We talk about Lisbon',
      'first turn',
      'second turn',
    ]);
    const listed: string[] = [];
    for await (const item of client.conversations.items.list(id, { order: 'asc', limit: 2 })) listed.push(item.type);
    expect(listed).toEqual(['message', 'message', 'reasoning', 'message', 'message', 'reasoning', 'message']);
    const added = await client.conversations.items.create(id, {
      items: [{ type: 'message', role: 'user', content: 'a note in between' }],
    });
    await client.conversations.items.delete(added.data[0]!.id!, { conversation_id: id });
    await ask({ input: 'third turn', conversation: id });
    expect(texts()).not.toContain('a note in between');
    expect((await client.conversations.retrieve(id)).metadata).toEqual({ topic: 'weather' });
    await client.conversations.delete(id);
    expect(await errorOf(ask({ input: 'x', conversation: id }))).toMatchObject({ status: 404, param: 'conversation' });
  });

  it("knows items that it showed by their references, as the AI SDK's second turn has them", async () => {
    const first = await ask({ input: 'How is the weather?', tools: [weather] });
    const [reasoning, call] = first.output as unknown as [
      { id: string },
      { call_id: string; name: string; arguments: string },
    ];
    const turn: ResponseInput = [
      { role: 'user', content: [{ type: 'input_text', text: 'How is the weather?' }] },
      { type: 'item_reference', id: reasoning.id },
      { type: 'function_call', call_id: call.call_id, name: call.name, arguments: call.arguments },
      { type: 'function_call_output', call_id: call.call_id, output: 'sunny' },
    ];
    const second = await ask({ input: turn, tools: [weather] });
    expect(items()[1]).toMatchObject({ type: 'reasoning', encrypted_content: expect.stringMatching(/^gAAAAA/) });
    const message = second.output.at(-1) as { id: string };
    await streamed({ input: [...turn, { type: 'item_reference', id: message.id }, { role: 'user', content: 'and?' }] });
    expect(texts().at(-2)).toBe(second.output_text);
    expect(JSON.stringify(items())).not.toContain('item_reference');
  });

  it("fills in reasoning that comes with its id alone, as LangChain's second turn has it, and passes over one that nobody knows", async () => {
    const first = await ask({ input: 'How is the weather?', tools: [weather], reasoning: { summary: 'auto' } });
    const [reasoning, call] = first.output as [ResponseItem, { call_id: string }];
    const turn = (one: object): ResponseInput =>
      [
        { type: 'message', role: 'user', content: 'How is the weather?' },
        one,
        call,
        { type: 'function_call_output', call_id: call.call_id, output: 'sunny' },
      ] as ResponseInput;
    await ask({ input: turn(reasoning) });
    expect(items()[1]).toMatchObject({ type: 'reasoning', encrypted_content: expect.stringMatching(/^gAAAAA/) });
    const other = { type: 'reasoning', id: 'rs_of_nobody', summary: [] };
    expect((await ask({ input: turn(other) })).status).toBe('completed');
    expect(items().map(({ type }) => type ?? 'message')).toEqual(['message', 'function_call', 'function_call_output']);
  });

  it('finds for no key what another was shown, nor what nobody was, nor what was deleted', async () => {
    const owner = await daypass.createKey({ campaign: UNJUDGED });
    const stranger = clientOf(await daypass.createKey({ campaign: owner.campaign }));
    const own = clientOf(owner);
    const response = await ask({ input: 'mine' }, own);
    const { id: conversation } = await own.conversations.create({});
    await ask({ input: 'mine, too', conversation }, own);
    const item = (response.output.at(-1) as { id: string }).id;
    type Named = [body: Partial<ResponseCreateParamsNonStreaming>, status: number, code: string, param: string];
    const named = (which: { response: string; conversation: string; item: string }): Named[] => [
      [
        { previous_response_id: which.response, input: 'x' },
        400,
        'previous_response_not_found',
        'previous_response_id',
      ],
      [{ conversation: which.conversation, input: 'x' }, 404, 'not_found', 'conversation'],
      [{ input: [{ type: 'item_reference', id: which.item }] }, 404, 'not_found', 'input'],
    ];
    const ids = { response: response.id, conversation, item };
    const refused = async (whose: OpenAI, which: typeof ids): Promise<void> => {
      for (const [body, status, code, param] of named(which)) {
        const error = await errorOf(ask(body, whose));
        expect([error.status, error.code, error.param]).toEqual([status, code, param]);
        expect(error.headers?.get('x-should-retry')).toBe('false');
        expect(error.message).toContain('not found');
      }
      for (const look of [
        () => whose.responses.retrieve(which.response),
        () => whose.responses.inputItems.list(which.response),
        () => whose.responses.delete(which.response),
        () => whose.conversations.retrieve(which.conversation),
        () => whose.conversations.items.list(which.conversation),
        () => whose.conversations.delete(which.conversation),
      ])
        expect(await errorOf(Promise.resolve(look()))).toMatchObject({ status: 404 });
    };
    const before = daypass.rehearsal.responsesCalls().length;
    await refused(stranger, ids);
    await refused(own, { response: 'resp_of_nobody', conversation: 'conv_of_nobody', item: 'msg_of_nobody' });
    expect(daypass.rehearsal.responsesCalls()).toHaveLength(before);
    // A stranger's attempts have deleted nothing.
    expect((await own.responses.retrieve(response.id)).id).toBe(response.id);
    await own.responses.delete(response.id);
    await own.conversations.delete(conversation);
    await refused(own, ids);
    await booksAtRest(daypass);
  });

  it('keeps what a key was shown when its token changes, and not when it is revoked, or its visitor erased', async () => {
    const owner = await daypass.createKey({ campaign: UNJUDGED });
    const first = await ask({ input: 'before' }, clientOf(owner));
    const { body } = await daypass.admin(`/admin/v1/keys/${owner.id}/rotate`, { body: {} });
    const rotated = clientOf({ ...owner, key: body.key as string });
    await until('the new token is in force', async () =>
      ask({ input: 'after', previous_response_id: first.id }, rotated).then(
        () => true,
        () => false,
      ),
    );
    expect(await shelved(owner)).toBeGreaterThan(0);
    await daypass.admin(`/admin/v1/keys/${owner.id}/revoke`, { body: {} });
    await until('its shelf is empty', async () => (await shelved(owner)) === 0);
    const { status } = await daypass.admin(`/admin/v1/visitors/${owner.id}/erase`, { body: { note: 'asked for it' } });
    expect([status, await shelved(owner)]).toEqual([200, 0]);
  });

  it(`follows a chain of ${CHAIN_MAX} responses, and says that a longer one is too long`, async () => {
    const owner = await daypass.createKey({ campaign: UNJUDGED, key: { budget_usd: '5.00' } });
    const long = clientOf(owner);
    daypass.rehearsal.onResponses = () => ({ content: 'ok' });
    let previous: string | undefined;
    for (let turn = 0; turn <= CHAIN_MAX; turn++) {
      const body = { input: `turn ${turn}`, max_output_tokens: 100 };
      const { id } = await ask(previous === undefined ? body : { ...body, previous_response_id: previous }, long);
      previous = id;
    }
    expect(texts().filter((text) => text.startsWith('turn '))).toEqual(
      Array.from({ length: CHAIN_MAX + 1 }, (_, turn) => `turn ${turn}`),
    );
    const error = await errorOf(ask({ input: 'one more', previous_response_id: previous! }, long));
    expect(error).toMatchObject({ status: 400, param: 'previous_response_id' });
    expect(error.message).toContain(String(CHAIN_MAX));
    await booksAtRest(daypass);
    // Others need the room.
    await daypass.admin(`/admin/v1/keys/${owner.id}/revoke`, { body: {} });
    await until('its shelf is empty', async () => (await shelved(owner)) === 0);
  });

  it('shows what it keeps: a response, its input, sealed reasoning only where asked for; and deletes it', async () => {
    const first = await ask({
      input: [
        { role: 'user', content: 'one' },
        { role: 'user', content: 'two' },
      ],
      metadata: { a: 'b' },
    });
    const again = await client.responses.retrieve(first.id);
    const { output_text: _, ...plain } = first;
    expect(again).toMatchObject(JSON.parse(JSON.stringify(plain)) as object);
    expect(JSON.stringify(again)).not.toContain('encrypted_content');
    const sealed = await client.responses.retrieve(first.id, { include: ['reasoning.encrypted_content'] });
    expect(sealed.output[0]).toMatchObject({ encrypted_content: expect.stringMatching(/^gAAAAA/) });
    const listed: unknown[] = [];
    for await (const item of client.responses.inputItems.list(first.id, { order: 'asc', limit: 1 })) listed.push(item);
    expect(listed).toHaveLength(2);
    expect(JSON.stringify(listed)).toMatch(/one.*two/);
    await client.responses.delete(first.id);
    expect(await errorOf(Promise.resolve(client.responses.retrieve(first.id)))).toMatchObject({ status: 404 });
    expect(await errorOf(ask({ input: 'x', previous_response_id: first.id }))).toMatchObject({ status: 400 });
  });

  it('keeps nothing where the visitor says so, and nothing in a campaign whose shelf is off', async () => {
    const unkept = await ask({ input: 'forget it', store: false });
    expect(unkept).toMatchObject({ store: false });
    expect(lastSent().body.include ?? []).toEqual([]);
    expect(await errorOf(ask({ input: 'x', previous_response_id: unkept.id }))).toMatchObject({ status: 400 });
    const off = await daypass.createKey({ campaign: { moderation: { ...UNJUDGED.moderation, shelf: 'off' } } });
    for (const turn of [ask, streamed]) {
      const shown = await turn({ input: 'hello' }, clientOf(off));
      expect(shown).toMatchObject({ store: false, status: 'completed' });
      expect(await errorOf(ask({ input: 'x', previous_response_id: shown.id }, clientOf(off)))).toMatchObject({
        status: 400,
        code: 'previous_response_not_found',
      });
    }
    expect(await shelved(off)).toBe(0);
  });

  it('has for later only what was shown: nothing of a blocked answer, and redacted texts as they were read', async () => {
    const judged = await clientWith({ moderation: { input: 'gate', output: 'window' } });
    daypass.rehearsal.onResponses = () => ({ content: `This was fine and whole. Then ${FLAGGED_PHRASE} and more.` });
    const whole = await ask({ input: 'one' }, judged);
    const cut = await streamed({ input: 'two' }, judged);
    for (const { id } of [whole, cut]) {
      const kept = JSON.stringify(await judged.responses.retrieve(id));
      expect(kept).not.toContain(FLAGGED_PHRASE);
      expect(kept).toContain('content_filter');
      daypass.rehearsal.onResponses = undefined;
      await ask({ input: 'go on', previous_response_id: id }, judged);
      expect(JSON.stringify(lastSent().body)).not.toContain(FLAGGED_PHRASE);
    }
    expect(texts()[1]).toContain('This was fine and whole.');

    daypass.rehearsal.onResponses = () => ({ content: `Dear ${MAIL}, hello.` });
    for (const turn of [ask, streamed]) {
      const { id, output_text } = await turn({ input: `I am ${MAIL}` }, judged);
      expect(output_text).toBe('Dear [email], hello.');
      expect(JSON.stringify(await judged.responses.retrieve(id))).not.toContain(MAIL);
      await turn({ input: 'go on', previous_response_id: id }, judged);
      expect(texts().slice(0, 2)).toEqual(['I am [email]', 'Dear [email], hello.']);
    }
  });

  it('gives sealed reasoning to the upstream that made it, and to no other', async () => {
    const first = await ask({ input: 'How is the weather?', tools: [weather] });
    const call = first.output.find((item) => item.type === 'function_call')!;
    const result = { type: 'function_call_output' as const, call_id: call.call_id, output: 'sunny' };
    daypass.rehearsal.onResponses = () => ({ refuse: { status: 500, error: { message: 'down' } } });
    const second = await ask({
      previous_response_id: first.id,
      input: [result],
      include: ['reasoning.encrypted_content'],
    });
    expect(second.status).toBe('completed');
    expect(items(lastSent(spare)).map(({ type }) => type ?? 'message')).toEqual([
      'message',
      'function_call',
      'function_call_output',
    ]);
    daypass.rehearsal.onResponses = undefined;
    await redis.del(redisKeys.circuit('openai'));
    const third = await ask({ previous_response_id: second.id, input: 'and tomorrow?' });
    expect(third.status).toBe('completed');
    // Of two reasoning items the first upstream reads its own.
    expect(items().filter(({ type }) => type === 'reasoning')).toHaveLength(1);
    // What the visitor holds itself says whose it is, too.
    const theirs = second.output.find((item) => item.type === 'reasoning')!;
    await ask({ input: [{ role: 'user', content: 'hi' }, theirs as never, { role: 'user', content: 'go on' }] });
    expect(items().filter(({ type }) => type === 'reasoning')).toHaveLength(0);
  });

  it('makes room for the newest of a key, and says that it stores nothing where there is none at all', async () => {
    /** Nobody compresses it. */
    const noise = (): string => randomBytes(30_000).toString('base64');
    daypass.rehearsal.onResponses = () => ({ content: noise(), usage: { input_tokens: 10, output_tokens: 10 } });
    const fill = async (): Promise<{ whose: OpenAI; ids: string[] }> => {
      const whose = await clientWith(UNJUDGED, { budget_usd: '5.00' });
      const ids: string[] = [];
      for (let n = 0; n < 24; n++) ids.push((await ask({ input: `${n}` }, whose)).id);
      return { whose, ids };
    };
    const first = await fill();
    expect(await errorOf(ask({ input: 'x', previous_response_id: first.ids[0]! }, first.whose))).toMatchObject({
      code: 'previous_response_not_found',
    });
    expect((await first.whose.responses.retrieve(first.ids.at(-1)!)).id).toBe(first.ids.at(-1));
    await fill();
    const late = await clientWith(UNJUDGED);
    for (const turn of [ask, streamed]) {
      let shown = await turn({ input: 'some room' }, late);
      for (let n = 0; n < 10 && isStored(shown); n++) shown = await turn({ input: `${n}` }, late);
      expect(shown).toMatchObject({ status: 'completed', store: false });
      expect(await errorOf(Promise.resolve(late.responses.retrieve(shown.id)))).toMatchObject({ status: 404 });
    }
    await booksAtRest(daypass);
  });

  it('is told of a model whose upstream has no Responses before any money is held', async () => {
    const messages = [{ role: 'user' as const, content: 'hi' }];
    expect((await client.chat.completions.create({ model: chatOnly, messages })).choices).toHaveLength(1);
    const before = (await booksAtRest(daypass)).length;
    for (const stream of [false, true]) {
      const error = await errorOf(client.responses.create({ model: chatOnly, input: 'hi', stream }));
      expect(error).toMatchObject({ status: 404, code: 'endpoint_not_offered', param: 'model' });
      expect(error.headers?.get('x-should-retry')).toBe('false');
    }
    expect(spare.responsesCalls()).toEqual([]);
    expect(await booksAtRest(daypass)).toHaveLength(before);
  });

  it('is lost with Redis, and says so in the words of a client that would have known', async () => {
    const first = await ask({ input: 'before' });
    await redis.flushall();
    await until(
      'calls are answered again',
      async () =>
        ask({ input: 'again' }).then(
          () => true,
          () => false,
        ),
      30_000,
    );
    expect(await errorOf(ask({ input: 'x', previous_response_id: first.id }))).toMatchObject({
      status: 400,
      code: 'previous_response_not_found',
      param: 'previous_response_id',
    });
    const afresh = await ask({ input: 'afresh' });
    expect((await ask({ input: 'goes on', previous_response_id: afresh.id })).status).toBe('completed');
    await booksAtRest(daypass);
  });
});
