import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { startDaypass, type Daypass } from '#libs/testing/daypass.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
/** It does not reason, so that it has no encrypted reasoning. */
const PLAIN = 'gpt-4.1-mini';
const FLAG = 'DAYPASS-REHEARSAL-FLAG';
const BEAT_MS = 600;

interface Seen {
  events: OpenAI.Responses.ResponseStreamEvent[];
  headers: Headers;
}

/** What guards hold back of a stream of Responses, and what its client sees meanwhile. */
describe('a stream of Responses', () => {
  let daypass: Daypass;
  beforeAll(async () => {
    daypass = await startDaypass({ env: { DAYPASS_BEAT_MS: String(BEAT_MS), DAYPASS_MODERATION_TIMEOUT_MS: '5000' } });
  });
  afterAll(() => daypass?.stop());
  // The first call of a process takes longer.
  beforeAll(async () => void (await streamOf(await clientUnder('gate'))));
  beforeEach(() => daypass.rehearsal.reset());

  async function clientUnder(output: string, headers: Record<string, string> = {}): Promise<OpenAI> {
    const { key } = await daypass.createKey({ campaign: { models: [model, PLAIN], moderation: { output } } });
    return new OpenAI({ apiKey: key, baseURL: daypass.baseUrl, maxRetries: 0, defaultHeaders: headers });
  }

  async function streamOf(client: OpenAI, more: object = {}): Promise<Seen> {
    const params = { model, input: 'Hi', stream: true as const, ...more };
    const { data, response } = await client.responses.create(params).withResponse();
    const events: Seen['events'] = [];
    for await (const event of data) events.push(event);
    return { events, headers: response.headers };
  }

  const typesOf = ({ events }: Seen): string[] => events.map(({ type }) => type);
  const expectNumbered = ({ events }: Seen): void =>
    expect(events.map(({ sequence_number: number }) => number)).toEqual(events.map((_, index) => index));
  /** Each verdict on an output takes so long. */
  const slowOutput = (ms: number): void => {
    daypass.rehearsal.onModeration = async ({ input }) => {
      if (!JSON.stringify(input).includes('"Hi"')) await sleep(ms);
      return undefined;
    };
  };

  it('that is judged fast tells verdict and cost in its head', async () => {
    const seen = await streamOf(await clientUnder('gate'));
    expect(seen.headers.get('x-daypass-moderation')).toBe('input=pass; output=pass');
    expect(seen.headers.get('x-daypass-cost-usd')).toMatch(/^0\.\d+$/);
    expectNumbered(seen);
    expect(typesOf(seen).at(-1)).toBe('response.completed');
  });

  it.each(['gate', 'window'])('gives signs of life while a guard is slow, in order (%s)', async (output) => {
    slowOutput(4 * BEAT_MS);
    const seen = await streamOf(await clientUnder(output));
    expectNumbered(seen);
    const types = typesOf(seen);
    expect(types.filter((type) => type === 'response.in_progress').length).toBeGreaterThan(2);
    expect(types.at(-1)).toBe('response.completed');
    expect(types.lastIndexOf('response.in_progress')).toBeLessThan(types.indexOf('response.output_text.delta'));
    if (output === 'gate') expect(seen.headers.get('x-daypass-moderation')).toBe('input=pass; output=gate');
  });

  it.each([
    ['response.incomplete', {}],
    ['response.failed', { originator: 'codex_exec' }],
  ])('ends with %s where it was blocked after that, for a client with %j', async (type, headers) => {
    daypass.rehearsal.onResponses = () => ({ content: `Some words. ${FLAG}.` });
    slowOutput(3 * BEAT_MS);
    const seen = await streamOf(await clientUnder('gate', headers));
    expectNumbered(seen);
    expect(typesOf(seen).at(-1)).toBe(type);
    expect(JSON.stringify(seen.events)).not.toContain('words');
    const last = seen.events.at(-1) as { response: OpenAI.Responses.Response };
    if (type === 'response.failed') {
      const help = daypass.baseUrl.replace(/\/v1$/, '/help#moderation_blocked');
      expect(last.response.error).toMatchObject({ code: 'invalid_prompt', daypass: { direction: 'output', help } });
    } else expect(last.response.incomplete_details?.reason).toBe('content_filter');
    await booksAtRest(daypass);
  });

  it.each(['gate', 'window', 'off'])('can be named as soon as its end is seen (%s)', async (output) => {
    const client = await clientUnder(output);
    for (let turn = 0; turn < 5; turn++) {
      const seen = await streamOf(client, { input: `Turn ${turn}` });
      const { response } = seen.events.at(-1) as { response: OpenAI.Responses.Response };
      expect(response).toMatchObject({ store: true });
      const next = await client.responses.create({ model, input: 'And?', previous_response_id: response.id });
      expect(next.previous_response_id).toBe(response.id);
    }
  });

  it('that breaks off ends with an event of its API, in order', async () => {
    daypass.rehearsal.onResponses = () => ({ cutAfterEvents: 8 });
    const client = await clientUnder('off');
    const events: { type: string; sequence_number: number; code?: string | null }[] = [];
    const read = async (): Promise<void> => {
      for await (const event of await client.responses.create({ model, input: 'Hi', stream: true })) events.push(event);
    };
    // The official client throws what an `error` event says.
    expect(await errorOf(read())).toMatchObject({ code: 'upstream_outcome_unknown' });
    expect(events.map(({ sequence_number: number }) => number)).toEqual(events.map((_, index) => index));
    await booksAtRest(daypass);
  });

  it.each(['gate', 'window', 'off'])(
    'cut at each of its events ends for its client, and is booked once (%s)',
    async (output) => {
      const client = await clientUnder(output);
      const content = 'One sentence. Another one.';
      daypass.rehearsal.onResponses = () => ({ content });
      const whole = (await streamOf(client, { input: 'Count them' })).events.length;
      expect(whole).toBeGreaterThan(8);
      for (let cut = 0; cut < whole; cut++) {
        daypass.rehearsal.onResponses = () => ({ content, cutAfterEvents: cut });
        const events: { type: string; sequence_number: number }[] = [];
        const read = async (): Promise<void> => {
          const stream = await client.responses.create({
            model,
            input: `Cut ${cut}`,
            stream: true,
            max_output_tokens: 100,
          });
          for await (const event of stream) events.push(event);
        };
        const error = await errorOf(read());
        expect({ cut, code: error.code }).toEqual({ cut, code: expect.stringMatching(/^upstream_/) });
        expect(events.map(({ sequence_number: number }) => number)).toEqual(events.map((_, index) => index));
        expect(JSON.stringify(events)).not.toMatch(/"type":"response\.(completed|incomplete)"/);
        if (output === 'gate') expect(events).toEqual([]);
      }
      await booksAtRest(daypass);
    },
    120_000,
  );

  it('of a model without encrypted reasoning is asked for again without it, once a day', async () => {
    const client = await clientUnder('off');
    const asked = (): (string[] | undefined)[] =>
      daypass.rehearsal.responsesCalls().map(({ body }) => (body as { include?: string[] }).include);
    for (let call = 0; call < 2; call++) await client.responses.create({ model: PLAIN, input: 'Hi' });
    expect(asked().filter((include) => include?.includes('reasoning.encrypted_content'))).toHaveLength(1);
    expect(asked()).toHaveLength(3);
    await client.responses.create({ model, input: 'Hi' });
    expect(asked().at(-1)).toEqual(['reasoning.encrypted_content']);
  });

  it('whose visitor leaves is hung up on, and booked once', async () => {
    daypass.rehearsal.onResponses = () => ({ content: 'word '.repeat(3_000), tokensPerSecond: 100 });
    const client = await clientUnder('window');
    const stream = await client.responses.create({ model, input: 'Hi', stream: true });
    for await (const { type } of stream) if (type === 'response.output_text.delta') break;
    stream.controller.abort();
    const before = (await booksAtRest(daypass)).length;
    expect(daypass.rehearsal.responsesCalls().map(({ state }) => state)).toEqual(['aborted']);
    expect((await booksAtRest(daypass)).length).toBe(before);
  });
});
