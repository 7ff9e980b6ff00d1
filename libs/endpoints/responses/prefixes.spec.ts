import { describe, expect, it } from '@jest/globals';
import { createOpenAI } from '@ai-sdk/openai';
import { streamText } from 'ai';
import OpenAI, { APIError } from 'openai';
import { DaypassError } from '#libs/contracts/errors.js';
import { withHelp } from '#libs/contracts/help.js';
import { StreamTexts } from '../content.js';
import type { Ending } from '../endpoint.js';
import type { JsonObject } from '../json.js';
import { AnswerTexts } from './answer.texts.js';
import { isLast, streamError } from './frames.js';
import { ResponsesReader } from './responses.reader.js';
import { STREAMS } from './streams.fixture.js';

const BLOCKED: Ending = { kind: 'blocked' };
const BROKEN: Ending = {
  kind: 'error',
  error: new DaypassError('upstream_error', 'The upstream broke off.'),
  charged: true,
};
const USAGE = { input: 20, cached: 8, cacheWrite: 2, output: 7 };
const REQUEST = { model: 'gpt-5.4-mini', input: 'Hi' } as const;

const readerOf = (codex: boolean): ResponsesReader =>
  new ResponsesReader(
    { requestId: 'req_019abcdef0123456789abcdef0123456', model: REQUEST.model, outputs: 1, facts: { codex } },
    { kept: { store: true, asked: [] }, sent: { input: 'Hi' }, tag: '' },
  );

interface Shown {
  text: string;
  /** By path. */
  judged: Map<string, string>;
}

/** What a visitor gets of so many events of a stream, and of its end. */
function shownOf(
  events: readonly JsonObject[],
  length: number,
  { ending, codex = false, beats = false }: { ending?: Ending; codex?: boolean; beats?: boolean },
): Shown {
  const reader = readerOf(codex);
  const judged = new StreamTexts();
  const frames = events.slice(0, length).flatMap((event) => {
    const read = reader.event({ name: event.type as string, data: JSON.stringify(event) });
    for (const { texts } of read) judged.add(texts.filter(({ path }) => !path.includes('.logprobs.')));
    return [...read.map(({ text }) => reader.show(text)), ...(beats ? [reader.beat() ?? ''] : [])];
  });
  if (ending) frames.push(reader.ending(ending, length > 0, USAGE));
  const byPath = judged.byPath().map(({ path, text }) => [path, text] as const);
  return { text: frames.join(''), judged: new Map(byPath) };
}

const fetching = (body: string) => (): Promise<Response> =>
  Promise.resolve(new Response(body, { headers: { 'content-type': 'text/event-stream' } }));
const clientOf = (body: string): OpenAI =>
  new OpenAI({ apiKey: 'dp_x', baseURL: 'http://localhost/v1', maxRetries: 0, fetch: fetching(body) });

/** What the official client has of it at its end. */
async function finalOf(body: string): Promise<OpenAI.Responses.Response> {
  return clientOf(body).responses.stream(REQUEST).finalResponse();
}

/** What the client adds by itself. */
const PARSED = new Set(['parsed', 'parsed_arguments']);

function textsOf(answered: unknown): Map<string, string> {
  const own = (name: string, value: unknown): unknown => (PARSED.has(name) ? undefined : value);
  const output: unknown = JSON.parse(JSON.stringify(answered, own));
  const texts = new StreamTexts();
  texts.add(new AnswerTexts().ofResponse({ output }).filter(({ path }) => !path.includes('.logprobs.')));
  return new Map(texts.byPath().map(({ path, text }) => [path, text]));
}

const sorted = (texts: ReadonlyMap<string, string>): [string, string][] =>
  [...texts].sort(([a], [b]) => (a < b ? -1 : 1));

function numbersOf(body: string): unknown[] {
  const data = body.split('\n').filter((line) => line.startsWith('data: '));
  return data.map((line) => (JSON.parse(line.slice(6)) as JsonObject).sequence_number);
}

it('is an error that its client throws where Daypass knows nothing of a stream', async () => {
  const body = withHelp(new DaypassError('overloaded', 'Too much.').body(), 'https://try.example');
  await expect(finalOf(streamError(body, {}, true))).rejects.toMatchObject({ code: 'overloaded' });
  await expect(finalOf(streamError(body, { codex: true }, true))).resolves.toMatchObject({
    error: { code: 'server_error' },
  });
});

describe.each(STREAMS.map((stream) => [stream.name, stream] as const))('a stream of %s', (_, { events, output }) => {
  const all = Array.from({ length: events.length }, (__, length) => length);

  it('is shown as it came, in numbered events, each text judged once', async () => {
    for (const beats of [false, true]) {
      const { text, judged } = shownOf(events, events.length, { beats });
      const final = await finalOf(text);
      expect(sorted(judged)).toEqual(sorted(textsOf(output)));
      expect(sorted(judged)).toEqual(sorted(textsOf(final.output)));
      expect(final).toMatchObject({
        id: 'resp_019abcdef0123456789abcdef0123456',
        store: true,
        safety_identifier: null,
      });
      expect(numbersOf(text)).toEqual(numbersOf(text).map((___, index) => index));
      expect(isLast(text)).toBe(true);
    }
  });

  it('ends after each of its events as moderation stops it: its client has what was judged, and no more', async () => {
    for (const length of all) {
      const { text, judged } = shownOf(events, length, { ending: BLOCKED, beats: length % 2 === 1 });
      const final = await finalOf(text);
      expect({ length, ...final }).toMatchObject({
        length,
        status: 'incomplete',
        incomplete_details: { reason: 'content_filter' },
        usage: { input_tokens: 20, output_tokens: 7, total_tokens: 27 },
      });
      expect({ length, texts: sorted(textsOf(final.output)) }).toEqual({ length, texts: sorted(judged) });
      expect(numbersOf(text)).toEqual(numbersOf(text).map((__, index) => index));
      expect(isLast(text)).toBe(true);
      const types: string[] = [];
      for await (const { type } of await clientOf(text).responses.create({ ...REQUEST, stream: true }))
        types.push(type);
      expect(types[0]).toBe('response.created');
      expect(types.at(-1)).toBe('response.incomplete');
    }
  });

  it('ends for Codex with a failure that it does not repeat, where it was blocked or charged', async () => {
    for (const length of all) {
      for (const [ending, code] of [
        [BLOCKED, 'invalid_prompt'],
        [BROKEN, 'invalid_prompt'],
        [{ ...BROKEN, charged: false }, 'server_error'],
      ] as const) {
        const { text, judged } = shownOf(events, length, { ending, codex: true });
        const final = await finalOf(text);
        expect({ length, status: final.status, code: final.error?.code }).toEqual({ length, status: 'failed', code });
        expect(sorted(textsOf(final.output))).toEqual(sorted(judged));
        expect(isLast(text)).toBe(true);
      }
    }
  });

  it('ends after each of its events with an error that its client throws', async () => {
    for (const length of all) {
      const { text } = shownOf(events, length, { ending: BROKEN });
      const error = await finalOf(text).then(
        () => 'none',
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(APIError);
      expect(error).toMatchObject({ code: 'upstream_error', message: expect.stringContaining('broke off') });
      // OpenAI's client for Python takes no error before a response.
      expect(text).toMatch(/^event: response\.created\n/);
      expect(numbersOf(text)).toEqual(numbersOf(text).map((__, index) => index));
      expect(isLast(text)).toBe(true);
    }
  });

  it("ends after each of its events so that Vercel's AI SDK sees a content filter", async () => {
    for (const length of all) {
      const { text } = shownOf(events, length, { ending: BLOCKED });
      const openai = createOpenAI({ apiKey: 'dp_x', baseURL: 'http://localhost/v1', fetch: fetching(text) });
      const errors: unknown[] = [];
      const result = streamText({
        model: openai.responses(REQUEST.model),
        prompt: 'Hi',
        maxRetries: 0,
        onError: ({ error }) => void errors.push(error),
      });
      await result.consumeStream();
      expect({ length, reason: await result.finishReason, errors }).toEqual({
        length,
        reason: 'content-filter',
        errors: [],
      });
    }
  });
});
