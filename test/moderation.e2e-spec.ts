import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { redisKeys } from '#libs/redis/keys.js';
import { forgetVerdicts, startDaypass, type Daypass } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
const FLAG = 'DAYPASS-REHEARSAL-FLAG';
const say = (content: string): OpenAI.ChatCompletionMessageParam[] => [{ role: 'user', content }];

describe('moderation', () => {
  let daypass: Daypass;
  const clientWith = async (moderation?: object): Promise<OpenAI> => {
    const key = await daypass.createKey({ campaign: moderation ? { moderation } : {} });
    return new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 0 });
  };

  beforeAll(async () => {
    daypass = await startDaypass({ env: { DAYPASS_MODERATION_TIMEOUT_MS: '2500' } });
  });
  afterAll(() => daypass?.stop());
  beforeEach(async () => {
    daypass.rehearsal.reset();
    await forgetVerdicts(daypass);
    // A lane that a refusal froze would keep the next test waiting.
    const redis = new Redis(daypass.redisUrl);
    await redis.del(redisKeys.laneWindow('moderation'));
    redis.disconnect();
  });

  it.each([
    ['whole', false],
    ['streamed', true],
  ])('lets a flagged prompt reach the moderation endpoint and nothing else (%s)', async (_, stream) => {
    const client = await clientWith();
    const error = await errorOf(client.chat.completions.create({ model, messages: say(`please ${FLAG}`), stream }));
    expect(error).toMatchObject({
      status: 400,
      code: 'moderation_blocked',
      error: { daypass: { direction: 'input', categories: ['violence'] } },
    });
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error.headers?.get('x-should-retry')).toBe('false');
    expect(daypass.rehearsal.moderationCalls()).toHaveLength(1);
    expect(daypass.rehearsal.chatCalls()).toHaveLength(0);
    const calls = await booksAtRest(daypass);
    expect(calls.filter((call) => call.paid > 0n)).toEqual([]);
  });

  it('finds the phrase in an earlier message, a tool result and a tool definition', async () => {
    const client = await clientWith();
    const bodies: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming>[] = [
      { messages: [{ role: 'system', content: FLAG }, ...say('hi')] },
      {
        messages: [
          ...say('hi'),
          {
            role: 'assistant',
            content: null,
            tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }],
          },
          { role: 'tool', tool_call_id: 'c', content: FLAG },
        ],
      },
      { messages: say('hi'), tools: [{ type: 'function', function: { name: 'f', description: FLAG } }] },
    ];
    for (const body of bodies) {
      expect(await errorOf(client.chat.completions.create({ model, messages: [], ...body }))).toMatchObject({
        code: 'moderation_blocked',
      });
    }
    expect(daypass.rehearsal.chatCalls()).toHaveLength(0);
  });

  it('shows nothing of a flagged answer, and books what it cost', async () => {
    const client = await clientWith();
    daypass.rehearsal.onChat = () => ({ content: `some words and then ${FLAG} at the end` });
    const { data, response } = await client.chat.completions
      .create({ model, messages: say('hi'), n: 2 })
      .withResponse();
    expect(JSON.stringify(data)).not.toContain('words');
    expect(data.choices.map((choice) => [choice.index, choice.finish_reason, choice.message.content])).toEqual([
      [0, 'content_filter', null],
      [1, 'content_filter', null],
    ]);
    expect(response.headers.get('x-daypass-moderation')).toBe('input=pass; output=blocked');

    let streamed = '';
    let finish: string | null | undefined;
    for await (const chunk of await client.chat.completions.create({ model, messages: say('hi'), stream: true })) {
      streamed += JSON.stringify(chunk);
      finish = chunk.choices[0]?.finish_reason ?? finish;
    }
    expect(streamed).not.toContain('words');
    expect(finish).toBe('content_filter');
    const calls = await booksAtRest(daypass);
    expect(calls.filter((call) => call.paid > 0n)).toHaveLength(2);
  });

  it("ends a blocked stream so that the official SDK's helper takes it", async () => {
    const client = await clientWith();
    daypass.rehearsal.onChat = () => ({ content: FLAG });
    const completion = await client.chat.completions.stream({ model, messages: say('hi') }).finalChatCompletion();
    expect(completion.choices[0]).toMatchObject({ finish_reason: 'content_filter', message: { role: 'assistant' } });
  });

  it('bills an answer that could not be checked once, and does not make the client ask again', async () => {
    const key = await daypass.createKey();
    const client = new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 2 });
    daypass.rehearsal.onModeration = (body) =>
      JSON.stringify(body.input).includes('question') ? undefined : { status: 500, error: { message: 'down' } };
    daypass.rehearsal.onChat = () => ({ content: 'an answer' });
    expect(await errorOf(client.chat.completions.create({ model, messages: say('question') }))).toMatchObject({
      status: 503,
      code: 'moderation_unavailable',
    });
    expect(daypass.rehearsal.chatCalls()).toHaveLength(1);
  });

  it('refuses by 400 what the endpoint will never judge', async () => {
    const client = await clientWith();
    daypass.rehearsal.onModeration = () => ({ status: 400, error: { message: 'cannot read this image' } });
    expect(await errorOf(client.chat.completions.create({ model, messages: say('hi') }))).toMatchObject({
      status: 400,
      code: 'invalid_request',
      param: 'messages',
    });
  });

  it.each([
    ['refuses', 400],
    ['has no answer for', 503],
  ])('finds the phrase beside an image that the endpoint %s, under an open policy', async (_, status) => {
    const client = await clientWith({ input: 'gate', output: 'off', on_unavailable: 'open' });
    daypass.rehearsal.onModeration = (body) =>
      JSON.stringify(body.input).includes('data:image') ? { status, error: { message: 'no' } } : undefined;
    const content = (text: string): OpenAI.ChatCompletionContentPart[] => [
      { type: 'text', text },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
    ];
    const ask = (text: string) =>
      client.chat.completions.create({ model, messages: [{ role: 'user', content: content(text) }] });
    expect(await errorOf(ask(FLAG))).toMatchObject({ status: 400, code: 'moderation_blocked' });
    expect(daypass.rehearsal.chatCalls()).toHaveLength(0);
    // A refused image is closed, and an endpoint that is away is what the operator chose to be open for.
    if (status === 400) {
      expect(await errorOf(ask('hi'))).toMatchObject({ status: 400, code: 'invalid_request', param: 'messages' });
      expect(daypass.rehearsal.chatCalls()).toHaveLength(0);
    } else {
      const { response } = await ask('hi').withResponse();
      expect(response.headers.get('x-daypass-moderation')).toContain('input=unchecked');
    }
  });

  it('shows the answer at once when the output is only observed, and judges it all the same', async () => {
    const client = await clientWith({ input: 'observe', output: 'observe' });
    daypass.rehearsal.onChat = () => ({ content: `before ${FLAG} after` });
    const flaggedOutputs = async (): Promise<number> => {
      const metrics = await (await fetch(`${daypass.opsUrls.forwarding}/metrics`)).text();
      return Number(
        /^daypass_moderation_verdicts\w*\{[^}]*direction="output",decision="flagged"[^}]*\} (\d+)$/m.exec(
          metrics,
        )?.[1] ?? 0,
      );
    };
    const before = await flaggedOutputs();
    let text = '';
    for await (const chunk of await client.chat.completions.create({ model, messages: say(FLAG), stream: true }))
      text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe(`before ${FLAG} after`);
    await until('input and output are judged', () => daypass.rehearsal.moderationCalls().length === 2);
    // The verdict is counted once it is in the record.
    await until('the verdict is counted', async () => (await flaggedOutputs()) === before + 1);
  });

  const sentence = 'This is a sentence of some length, and nothing is wrong with it. ';
  /** What a stream showed, when its first words came, and how it ended. */
  const watched = async (client: OpenAI, params: Partial<OpenAI.ChatCompletionCreateParamsStreaming> = {}) => {
    const begun = performance.now();
    const stream = await client.chat.completions.create({ model, messages: say('hi'), ...params, stream: true });
    const seen = {
      text: '',
      firstMs: 0,
      ms: 0,
      finish: [] as string[],
      usage: undefined as OpenAI.CompletionUsage | undefined,
    };
    for await (const chunk of stream) {
      const content = chunk.choices[0]?.delta.content ?? '';
      if (content !== '' && seen.firstMs === 0) seen.firstMs = performance.now() - begun;
      seen.text += content;
      for (const { finish_reason } of chunk.choices) if (finish_reason) seen.finish.push(finish_reason);
      seen.usage = chunk.usage ?? seen.usage;
    }
    return { ...seen, ms: performance.now() - begun };
  };

  it.each(['window', 'trail'])('streams while it judges (%s), and shows all of a harmless answer', async (output) => {
    const client = await clientWith({ output });
    daypass.rehearsal.onChat = () => ({ content: sentence.repeat(10), tokensPerSecond: 80 });
    const { text, firstMs, ms, finish } = await watched(client);
    expect({ text, finish }).toEqual({ text: sentence.repeat(10), finish: ['stop'] });
    expect(firstMs).toBeLessThan(ms / 2);
    expect(daypass.rehearsal.moderationCalls().length).toBeGreaterThan(3);
    const whole = await client.chat.completions.create({ model, messages: say('hi') }).withResponse();
    expect(whole.response.headers.get('x-daypass-moderation')).toBe('input=pass; output=pass');
  });

  it.each([
    ['window', 0],
    ['trail', 1_000],
  ])(
    'ends a stream that turns bad (%s) with at most %i characters of it, hangs up upstream, and books what was generated',
    async (output, more) => {
      const client = await clientWith({ output });
      daypass.rehearsal.onChat = () => ({
        content: `${sentence.repeat(20)}${FLAG} ${sentence.repeat(2_000)}`,
        tokensPerSecond: 2_000,
      });
      const before = new Set((await booksAtRest(daypass)).map(({ request_id }) => request_id));
      const { text, finish, usage } = await watched(client, { stream_options: { include_usage: true } });
      expect(text.length).toBeLessThanOrEqual(20 * sentence.length + more);
      expect(`${sentence.repeat(20)}${FLAG} ${sentence.repeat(2_000)}`.startsWith(text)).toBe(true);
      expect(finish).toEqual(['content_filter']);
      const calls = (await booksAtRest(daypass)).filter(({ request_id }) => !before.has(request_id));
      const [upstream] = daypass.rehearsal.chatCalls();
      expect(upstream!.state).toBe('aborted');
      expect(calls).toHaveLength(1);
      const generated = BigInt(upstream!.usage!.prompt_tokens * 750 + upstream!.usage!.completion_tokens * 4_500);
      expect(calls[0]!.paid).toBeGreaterThanOrEqual(generated);
      expect(calls[0]!.paid).toBe(BigInt(usage!.prompt_tokens * 750 + usage!.completion_tokens * 4_500));
    },
  );

  it.each(['gate', 'window'])(
    'of a conversation costs its new turn only (%s): what was said, and what was answered, is known',
    async (output) => {
      const client = await clientWith({ output });
      const messages = say(`first question (${output})`);
      const asked = (): string[] => daypass.rehearsal.moderationCalls().flatMap(({ body }) => body.input as string[]);
      for (let turn = 1; turn <= 3; turn++) {
        daypass.rehearsal.reset();
        daypass.rehearsal.onChat = () => ({ content: `Answer ${turn} (${output}). It has two sentences.` });
        let answer = '';
        for await (const chunk of await client.chat.completions.create({ model, messages, stream: true }))
          answer += chunk.choices[0]?.delta.content ?? '';
        // Verdicts are kept behind the answer's back.
        await sleep(100);
        expect(asked().filter((text) => text.includes('question'))).toEqual([messages.at(-1)!.content]);
        for (let former = 1; former < turn; former++) expect(asked().join()).not.toContain(`Answer ${former}`);
        messages.push({ role: 'assistant', content: answer }, ...say(`question after ${turn} (${output})`));
      }
      // A flagged text stays so, known or not.
      for (let time = 0; time < 2; time++) {
        daypass.rehearsal.reset();
        expect(
          await errorOf(client.chat.completions.create({ model, messages: [...messages, ...say(FLAG)] })),
        ).toMatchObject({ code: 'moderation_blocked' });
        await sleep(100);
        expect(asked()).toEqual(time === 0 ? expect.arrayContaining([FLAG]) : []);
      }
    },
  );

  it('stops at a hit although the upstream has fallen silent', async () => {
    const client = await clientWith({ output: 'window' });
    daypass.rehearsal.onChat = () => ({ content: `${FLAG}. ${sentence.repeat(3)}`, tokensPerSecond: 0.2 });
    const { text, ms, finish } = await watched(client);
    expect({ text, finish }).toEqual({ text: '', finish: ['content_filter'] });
    // The upstream would take minutes.
    expect(ms).toBeLessThan(30_000);
  });

  it.each(['window', 'trail'])(
    'ends a stream by an error where it cannot be judged (%s), under a closed policy',
    async (output) => {
      const [closed, open] = [await clientWith({ output }), await clientWith({ output, on_unavailable: 'open' })];
      daypass.rehearsal.onChat = () => ({ content: `${sentence.repeat(20)}`, tokensPerSecond: 400 });
      daypass.rehearsal.onModeration = (body) =>
        JSON.stringify(body.input).includes('"hi"') ? undefined : { status: 500, error: { message: 'down' } };
      const [error, { text }] = await Promise.all([errorOf(watched(closed)), watched(open)]);
      expect(error).toMatchObject({ code: 'moderation_unavailable' });
      expect(text).toBe(sentence.repeat(20));
    },
    30_000,
  );

  it('judges tool calls and every choice of a stream', async () => {
    const client = await clientWith({ output: 'window' });
    const tools: OpenAI.ChatCompletionTool[] = [
      {
        type: 'function',
        function: {
          name: 'note',
          parameters: { type: 'object', properties: { text: { type: 'string', enum: ['fine'] } } },
        },
      },
    ];
    daypass.rehearsal.onModeration = (body) => {
      const flagged = JSON.stringify(body.input).includes('"text\\":\\"');
      return flagged ? { status: 500, error: { message: 'the arguments came here' } } : undefined;
    };
    const params = { tools, tool_choice: 'required' as const, n: 2 };
    expect(await errorOf(watched(client, params))).toMatchObject({
      code: 'moderation_unavailable',
      error: { daypass: { direction: 'output' } },
    });
  });

  describe('of the input while the call runs (parallel)', () => {
    /** When the upstream of moderation answered. */
    let judgedAtMs = 0;
    const slowly = (): void => {
      daypass.rehearsal.onModeration = async () => {
        await sleep(1_200);
        judgedAtMs = Date.now();
        return undefined;
      };
      daypass.rehearsal.onChat = () => ({ content: 'an answer', firstTokenMs: 1_200 });
    };

    it.each([false, true])('costs no time where the upstream is as slow (streamed: %s)', async (stream) => {
      const client = await clientWith({ input: 'parallel', output: 'off' });
      slowly();
      const { data, response } = await client.chat.completions
        .create({ model, messages: say('hi'), stream })
        .withResponse();
      if (Symbol.asyncIterator in data) for await (const _ of data);
      expect(daypass.rehearsal.chatCalls()[0]!.startedAtMs).toBeLessThan(judgedAtMs);
      expect(response.headers.get('x-daypass-moderation')).toBe('input=pass; output=off');
    });

    it.each([
      ['whole', false, ['hold', 'presume']],
      ['streamed', true, ['hold', 'post']],
    ] as const)(
      'shows nothing of an answer to a flagged input, hangs up upstream, and books it (%s)',
      async (_, stream, kinds) => {
        const client = await clientWith({ input: 'parallel', output: 'off' });
        slowly();
        daypass.rehearsal.onChat = () => ({ content: 'an answer to it', tokensPerSecond: 1 });
        const before = new Set((await booksAtRest(daypass)).map(({ request_id }) => request_id));
        const error = await errorOf(client.chat.completions.create({ model, messages: say(FLAG), stream }));
        expect(error).toMatchObject({
          status: 400,
          code: 'moderation_blocked',
          error: { daypass: { direction: 'input' } },
        });
        expect(error.headers?.get('x-daypass-strikes')).toBe('1');
        const calls = (await booksAtRest(daypass)).filter(({ request_id }) => !before.has(request_id));
        expect(calls).toMatchObject([{ kinds }]);
        const [upstream] = daypass.rehearsal.chatCalls();
        expect(upstream!.state).toBe('aborted');
        expect(calls[0]!.paid).toBeGreaterThanOrEqual(
          BigInt(upstream!.usage!.prompt_tokens * 750 + upstream!.usage!.completion_tokens * 4_500),
        );
      },
    );

    it('that cannot be had is refused under a closed policy, and not asked for again by the SDK', async () => {
      const key = await daypass.createKey({ campaign: { moderation: { input: 'parallel', output: 'off' } } });
      daypass.rehearsal.onModeration = () => ({ status: 500, error: { message: 'down' } });
      const client = new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 2 });
      expect(await errorOf(client.chat.completions.create({ model, messages: say('hi') }))).toMatchObject({
        status: 503,
        code: 'moderation_unavailable',
      });
      expect(daypass.rehearsal.chatCalls()).toHaveLength(1);
      await booksAtRest(daypass);
    });
  });

  it('asks nobody when it is off, unless the caller wants it', async () => {
    const client = await clientWith({ input: 'off', output: 'off' });
    const { response } = await client.chat.completions.create({ model, messages: say(FLAG) }).withResponse();
    expect(response.headers.get('x-daypass-moderation')).toBe('input=off; output=off');
    expect(daypass.rehearsal.moderationCalls()).toHaveLength(0);
    const asked = await errorOf(
      client.chat.completions.create(
        { model, messages: say(FLAG) },
        { headers: { 'x-daypass-moderate-input': 'true' } },
      ),
    );
    expect(asked).toMatchObject({ code: 'moderation_blocked' });
    const inBody = { model, messages: say(FLAG), moderateInput: true };
    expect(await errorOf(client.chat.completions.create(inBody))).toMatchObject({ code: 'moderation_blocked' });
  });

  it('judges by thresholds of its own where the policy has them', async () => {
    const lax = await clientWith({ thresholds: { violence: 0.995 } });
    await lax.chat.completions.create({ model, messages: say(FLAG) });
    const strict = await clientWith({ thresholds: { harassment: 0.00005 } });
    expect(await errorOf(strict.chat.completions.create({ model, messages: say('hello') }))).toMatchObject({
      code: 'moderation_blocked',
      error: { daypass: { categories: ['harassment'] } },
    });
  });

  it('refuses what it could not check under a closed policy, and lets it pass under an open one', async () => {
    daypass.rehearsal.onModeration = () => ({ status: 500, error: { message: 'down' } });
    const [closed, open] = [await clientWith(), await clientWith({ on_unavailable: 'open' })];
    const [error, { response }] = await Promise.all([
      errorOf(closed.chat.completions.create({ model, messages: say('closed') })),
      open.chat.completions.create({ model, messages: say('open') }).withResponse(),
    ]);
    expect(error).toMatchObject({ status: 503, code: 'moderation_unavailable' });
    expect(error.headers?.get('x-should-retry')).toBe('true');
    expect(error.headers?.get('x-daypass-moderation')).toBe('input=unavailable; output=off');
    expect(daypass.rehearsal.chatCalls().map(({ body }) => body.messages)).toEqual([say('open')]);
    expect(response.headers.get('x-daypass-moderation')).toBe('input=unchecked; output=unchecked');
    await booksAtRest(daypass);
  });

  const garbage = (text: string) => ({ status: 200, error: { message: '' }, garbage: text });
  it.each([
    ['no JSON', garbage('<html>bad gateway</html>')],
    ['no results', garbage('{}')],
    ['too few results', garbage('{"results":[]}')],
    ['a result without scores', garbage('{"results":[{"flagged":false,"categories":{}}]}')],
    ['a limit without end', { status: 429, headers: { 'retry-after': '30' }, error: { message: 'slow down' } }],
    ['a refused account', { status: 401, error: { message: 'no such key' } }],
  ])(
    'that answers with %s is away: refused under a closed policy, marked under an open one, and never told as the upstream',
    async (what, refusal) => {
      daypass.rehearsal.onModeration = () => refusal;
      const [closed, open] = [
        await clientWith({ output: 'off' }),
        await clientWith({ output: 'off', on_unavailable: 'open' }),
      ];
      const begun = performance.now();
      const [error, { response }] = await Promise.all([
        errorOf(closed.chat.completions.create({ model, messages: say(`${what}, closed`) })),
        open.chat.completions.create({ model, messages: say(`${what}, open`) }).withResponse(),
      ]);
      expect(error).toMatchObject({
        status: 503,
        code: 'moderation_unavailable',
        error: { daypass: { direction: 'input' } },
      });
      expect(error.message).not.toMatch(/upstream|limit|html/i);
      // One of them asks for 30 s.
      expect(performance.now() - begun).toBeLessThan(15_000);
      expect(daypass.rehearsal.chatCalls().map(({ body }) => body.messages)).toEqual([say(`${what}, open`)]);
      expect(response.headers.get('x-daypass-moderation')).toBe('input=unchecked; output=off');
    },
  );

  /** Much more than the time that moderation has. */
  const SLOW_MS = 10_000;
  it('that is slow is waited for within its time, and retried when it asks for a moment', async () => {
    const client = await clientWith({ output: 'off' });
    daypass.rehearsal.onModeration = async () => {
      await sleep(SLOW_MS);
      return undefined;
    };
    const begun = performance.now();
    expect(await errorOf(client.chat.completions.create({ model, messages: say('slowly') }))).toMatchObject({
      code: 'moderation_unavailable',
    });
    expect(performance.now() - begun).toBeLessThan(SLOW_MS);
    let asked = 0;
    daypass.rehearsal.onModeration = () =>
      asked++ === 0
        ? { status: 429, headers: { 'retry-after-ms': '200' }, error: { message: 'in a moment' } }
        : undefined;
    const { response } = await client.chat.completions.create({ model, messages: say('in a moment') }).withResponse();
    expect(response.headers.get('x-daypass-moderation')).toBe('input=pass; output=off');
    expect(asked).toBe(2);
  });

  it('asks about many visitors in few calls', async () => {
    const client = await clientWith();
    await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        client.chat.completions.create({ model, messages: say(`question ${index}`), max_tokens: 5 }),
      ),
    );
    const inputs = daypass.rehearsal
      .moderationCalls()
      .flatMap((call) => (Array.isArray(call.body.input) ? call.body.input : []));
    expect(inputs.filter((text) => typeof text === 'string' && text.startsWith('question'))).toHaveLength(40);
    expect(daypass.rehearsal.moderationCalls().length).toBeLessThan(60);
  });
});
