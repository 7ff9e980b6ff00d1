import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import type { Response, ResponseStreamEvent } from 'openai/resources/responses/responses';
import type { ResponsesOverride } from '#libs/rehearsal/rehearsal.responses.face.js';
import type { TestKey } from '#libs/testing/daypass.js';
import { cancelledUpstream } from '../at-rest.js';
import { Arena, MODEL, type Outcome } from './arena.js';
import { scenario } from './scenario.js';
import { tally } from './tally.js';

/** Reasoning with a summary, then a message of three sentences: every kind of event that a plain answer has. */
const REASONING = { reasoning: { summary: 'auto' } };
const WORDS = 12;
/** Words that no other call has, so that a text shown can be looked for among the texts judged. */
const textOf = (call: string): string =>
  Array.from({ length: WORDS }, (_, index) => `${call}w${index}${index % 4 === 3 ? '.' : ''}`).join(' ');
const WINDOW = { campaign: { moderation: { input: 'off', output: 'window' } } };
const LONG = Array.from({ length: 200 }, (_, index) => `w${index} `).join('');

const eventsIn = (text: string): ResponseStreamEvent[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => JSON.parse(line.slice(6)) as ResponseStreamEvent);
/** The deltas, and the words of the last event: what a visitor has seen. */
const wordsIn = (text: string): string[] => text.match(/\bc\d+[a-z]+w\d+\b/g) ?? [];

describe('responses', () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.start({ env: { DAYPASS_SHUTDOWN_DEADLINE_MS: '25000' } });
  }, 90_000);
  afterAll(() => arena?.stop());
  afterEach(() => arena.clear());

  const ask = (key: TestKey, content: string, more: object = {}, signal?: AbortSignal): Promise<Outcome> =>
    arena.call(key, { api: 'responses', content, max_tokens: 400, more, ...(signal ? { signal } : {}) });
  const stream = (key: TestKey, content: string, signal?: AbortSignal): Promise<Outcome> =>
    arena.call(key, {
      ...{ api: 'responses', stream: true, content, max_tokens: 400, more: REASONING },
      ...(signal ? { signal } : {}),
    });
  const judged = (): string => JSON.stringify(arena.daypass.rehearsal.moderationCalls().map(({ body }) => body.input));
  const nothingHeld = (keys: readonly TestKey[]): Promise<void> =>
    arena.until(async () => {
      const held = await Promise.all(keys.map(({ id }) => arena.redis.hmget(`{dp}:key:${id}`, 'held', 'running')));
      return held.every((amounts) => amounts.every((amount) => Number(amount ?? 0) === 0));
    }, 'nothing is held');

  scenario(28, 'a stream of responses cut at each of its events', { quick: true }, async () => {
    const whole = await arena.key('5.00', WINDOW);
    arena.daypass.rehearsal.onResponses = () => ({ content: textOf('c0whole') });
    const events = eventsIn((await stream(whole, 'whole')).text).length;
    expect(events).toBeGreaterThan(25);

    const error = { code: 'server_error', message: 'The server had an error.' };
    const ways: Record<string, (after: number) => ResponsesOverride> = {
      cut: (after) => ({ cutAfterEvents: after }),
      error: (after) => ({ errorAfterEvents: { events: after, error } }),
      failed: (after) => ({ errorAfterEvents: { events: after, error, as: 'failed' } }),
    };
    const keys: TestKey[] = [];
    const outcomes: { name: string; way: string; after: number; outcome: Outcome }[] = [];
    for (const way of Object.keys(ways)) {
      const key = await arena.key('5.00', WINDOW);
      keys.push(key);
      arena.daypass.rehearsal.onResponses = (body) => {
        const after = Number(/at event (\d+)/.exec(JSON.stringify(body.input))![1]);
        return { content: textOf(`c${after}${way}`), tokensPerSecond: 200, ...ways[way]!(after) };
      };
      const run = Array.from({ length: events }, async (_, after) => {
        const outcome = await stream(key, `${way} at event ${after}`);
        outcomes.push({ name: `c${after}${way}`, way, after, outcome });
      });
      await Promise.all(run);
    }
    const texts = judged();
    for (const { name, outcome } of outcomes) {
      const seen = wordsIn(outcome.text);
      // Nobody has seen a word that was not judged, or one of another call.
      expect([name, seen.filter((word) => !texts.includes(word) || !word.startsWith(name))]).toEqual([name, []]);
      expect([name, outcome.done]).toEqual([name, false]);
      if (outcome.status !== 200) {
        expect([name, outcome.status]).toEqual([name, 502]);
        continue;
      }
      const all = eventsIn(outcome.text);
      expect(all.map(({ sequence_number }) => sequence_number)).toEqual(all.map((_, index) => index));
      expect([name, all.at(-1)!.type]).toEqual([name, 'error']);
    }
    await nothingHeld(keys);
    const invariants = await arena.holds();
    const { rows } = await arena.sql.query<{ requests: string; ends: string }>(
      `SELECT count(DISTINCT request_id) AS requests, count(*) FILTER (WHERE kind IN ('post', 'void', 'presume')) AS ends
         FROM ledger.transfers WHERE key_id = ANY ($1)`,
      [keys.map(({ id }) => id)],
    );
    expect(rows).toEqual([{ requests: String(3 * events), ends: String(3 * events) }]);
    const refused = outcomes.filter(({ outcome }) => outcome.status !== 200).length;
    return `${outcomes.length} streams, each told (${refused} by an HTTP error) and booked once; ${invariants}`;
  });

  scenario(29, 'kill -9 of forwarding in the middle of a response', {}, async () => {
    const key = await arena.key();
    arena.daypass.rehearsal.onResponses = () => ({ content: LONG, tokensPerSecond: 20 });
    const call = stream(key, 'long');
    await arena.upstreamRuns(1);
    await sleep(1_500);
    arena.daypass.services.kill('forwarding');
    const outcome = await call;
    expect(outcome).toMatchObject({ status: 200, done: false });
    expect(outcome.text).toContain('upstream_outcome_unknown');
    const events = eventsIn(outcome.text);
    expect(events.at(-1)!.type).toBe('error');
    arena.daypass.rehearsal.onResponses = undefined;
    await arena.daypass.services.whenReady('forwarding');
    // What was never shown whole cannot be named.
    const { response } = events[0] as { response: Response };
    const later = await ask(key, 'and now?', { previous_response_id: response.id });
    expect([later.status, later.code]).toEqual([400, 'previous_response_not_found']);
    await nothingHeld([key]);
    return `the stream ends with an error event, presumed, and is not on the shelf; ${await arena.holds()}`;
  });

  scenario(30, 'the visitor leaves in the middle of a response', { quick: true }, async () => {
    const key = await arena.key();
    arena.daypass.rehearsal.onResponses = () => ({ content: LONG, tokensPerSecond: 10 });
    const leave = new AbortController();
    const calls = Array.from({ length: 10 }, (_, index) => stream(key, `leaves ${index}`, leave.signal));
    await arena.upstreamRuns(10);
    await sleep(700);
    leave.abort();
    const leftAt = performance.now();
    const left = await Promise.all(calls);
    await cancelledUpstream(arena.daypass, 10_000, arena.daypass.rehearsal.responsesCalls());
    const cancelledMs = performance.now() - leftAt;
    arena.daypass.rehearsal.onResponses = undefined;
    await nothingHeld([key]);
    const ids = left.map(({ text }) => /"id":"(resp_[^"]+)"/.exec(text)?.[1]).filter((id) => id !== undefined);
    expect(ids).toHaveLength(10);
    const named = await Promise.all(ids.map((id) => ask(key, 'and now?', { previous_response_id: id })));
    expect(tally(named).codes).toEqual(['400 previous_response_not_found']);
    return `10 upstream calls cancelled within ${cancelledMs.toFixed(0)} ms, billed for what was generated, none on the shelf; ${await arena.holds()}`;
  });

  scenario(31, 'Redis is flushed between two turns', {}, async () => {
    const key = await arena.key();
    const client = new OpenAI({ apiKey: key.key, baseURL: arena.daypass.baseUrl, maxRetries: 0 });
    const first = await client.responses.create({ model: MODEL, input: arena.signed(key, 'first') });
    const second = await ask(key, 'second', { previous_response_id: first.id });
    expect(second.status).toBe(200);
    await arena.redis.flushall();
    await arena.back();
    const lost = await ask(key, 'third', { previous_response_id: first.id });
    expect([lost.status, lost.code]).toEqual([400, 'previous_response_not_found']);
    const afresh = await ask(key, 'afresh');
    const { id } = JSON.parse(afresh.text) as { id: string };
    expect((await ask(key, 'goes on', { previous_response_id: id })).status).toBe(200);
    return `ids of before are unknown, those of after are known; ${await arena.holds()}`;
  });

  scenario(32, 'the upstream fails before its first event, in each way', { quick: true }, async () => {
    const refusal = (status: number, code: string): ResponsesOverride => ({
      refuse: { status, error: { message: 'No.', type: 'server_error', code } },
    });
    const failures: [what: string, answer: ResponsesOverride, told: string][] = [
      ['500', refusal(500, 'server_error'), '502 upstream_error'],
      ['503', refusal(503, 'server_is_overloaded'), '502 upstream_error'],
      ['missing usage', { content: 'short', withoutUsage: true }, '200 null'],
    ];
    const keys: TestKey[] = [];
    for (const [what, answer, told] of failures) {
      const key = await arena.key();
      keys.push(key);
      arena.daypass.rehearsal.onResponses = () => answer;
      // Without usage nobody sees what a model thought.
      const { status, code } = await ask(key, what, { reasoning: { effort: 'none' } });
      expect([what, `${status} ${code}`]).toEqual([what, told]);
    }
    arena.daypass.rehearsal.onResponses = undefined;
    await nothingHeld(keys);
    return `${failures.length} failures told; ${await arena.holds()}`;
  });
});
