import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import type { ChatOverride } from '#libs/rehearsal/rehearsal.chat.face.js';
import { Arena, type Outcome } from './arena.js';
import { scenario } from './scenario.js';
import { tally } from './tally.js';

const CALLS_EACH = 5;

interface Failure {
  what: string;
  answer: ChatOverride;
  stream: boolean;
  /** What the visitor is told: a status and a code, or `cut` for a stream that ends with an error in it. */
  told: string;
  booked: 'void' | 'post' | 'presume';
}

const refusal = (status: number): ChatOverride => ({
  refuse: { status, error: { message: 'The server had an error.', type: 'server_error' } },
});
const FLOWING: ChatOverride = { content: 'word '.repeat(30), tokensPerSecond: 200 };
const FAILURES: Failure[] = [
  { what: '500', answer: refusal(500), stream: false, told: '502 upstream_error', booked: 'void' },
  { what: '503', answer: refusal(503), stream: true, told: '502 upstream_error', booked: 'void' },
  {
    what: 'hang',
    answer: { firstTokenMs: 30_000 },
    stream: false,
    told: '502 upstream_outcome_unknown',
    booked: 'presume',
  },
  {
    what: 'hang of a stream',
    answer: { firstTokenMs: 30_000 },
    stream: true,
    told: '502 upstream_outcome_unknown',
    booked: 'presume',
  },
  { what: 'cut stream', answer: { ...FLOWING, cutAfterFrames: 8 }, stream: true, told: 'cut', booked: 'presume' },
  {
    what: 'stream cut at once',
    answer: { ...FLOWING, cutAfterFrames: 0 },
    stream: true,
    told: '502 upstream_outcome_unknown',
    booked: 'presume',
  },
  {
    what: 'missing usage',
    answer: { content: 'short', withoutUsage: true },
    stream: false,
    told: '200',
    booked: 'post',
  },
  {
    what: 'missing usage of a stream',
    answer: { ...FLOWING, withoutUsage: true },
    stream: true,
    told: '200',
    booked: 'post',
  },
];

describe('an upstream', () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.start({ env: { DAYPASS_UPSTREAM_TIMEOUT_MS: '3000', DAYPASS_MAX_WAIT_MS: '120000' } });
  }, 90_000);
  afterAll(() => arena?.stop());
  afterEach(() => arena.clear());

  scenario(20, 'a storm of upstream 429s', { quick: true }, async () => {
    const key = await arena.key('5.00');
    const stormUntil = Date.now() + 4_000;
    let refused = 0;
    arena.daypass.rehearsal.onChat = (_, call) => {
      // As from a provider at its limit: all for a while, then some.
      if (Date.now() > stormUntil && call.id % 4 !== 0) return undefined;
      refused++;
      const headers: Record<string, string> = refused % 2 === 0 ? { 'retry-after-ms': '300' } : { 'retry-after': '1' };
      return {
        refuse: {
          status: 429,
          headers,
          error: { message: 'Rate limit reached.', type: 'requests', code: 'rate_limit_exceeded' },
        },
      };
    };
    const outcomes = await Promise.all(
      Array.from({ length: 120 }, (_, index) => arena.call(key, { stream: index % 2 === 0 })),
    );
    arena.daypass.rehearsal.onChat = undefined;
    expect(tally(outcomes).codes).toEqual([]);
    expect(outcomes.every(({ done }) => done)).toBe(true);
    expect(refused).toBeGreaterThan(10);
    return `${tally(outcomes).text}, ${refused} refusals upstream unseen by visitors; ${await arena.holds()}`;
  });

  scenario(21, 'upstream 500s, hangs, cut streams, missing usage', { quick: true }, async () => {
    const keys = await Promise.all(FAILURES.map(() => arena.key()));
    arena.daypass.rehearsal.onChat = (body) => {
      const content = JSON.stringify(body.messages);
      return FAILURES[keys.findIndex(({ id }) => content.includes(id))]?.answer;
    };
    const told = await Promise.all(
      FAILURES.map(({ stream }, index) =>
        Promise.all(Array.from({ length: CALLS_EACH }, async () => toldBy(await arena.call(keys[index]!, { stream })))),
      ),
    );
    const invariants = await arena.holds();
    const { rows } = await arena.sql.query<{ key_id: string; kind: string; count: string }>(
      `SELECT key_id, kind, count(*) FROM ledger.transfers WHERE kind IN ('post', 'void', 'presume', 'correct') GROUP BY 1, 2`,
    );
    const booked = keys.map(({ id }) =>
      rows.filter(({ key_id }) => key_id === id).map(({ kind, count }) => `${count} ${kind}`),
    );
    // A stream that waited for another try is a 200 by then, so that its error is in it.
    const asTold = (index: number): string[] =>
      [...new Set(told[index])].filter((one) => !(one === 'cut' && FAILURES[index]!.stream));
    expect(
      FAILURES.map(({ what, told: expected }, index) => [
        what,
        asTold(index).filter((one) => one !== expected),
        booked[index],
      ]),
    ).toEqual(FAILURES.map((failure) => [failure.what, [], [`${CALLS_EACH} ${failure.booked}`]]));
    expect(told.flat().filter((one) => one === '200')).toHaveLength(2 * CALLS_EACH);
    return `${FAILURES.length * CALLS_EACH} calls, each told and booked as it ended (void, presumed, estimated); ${invariants}`;
  });
});

function toldBy({ status, code, done }: Outcome): string {
  if (status === 200) return done && code === null ? '200' : 'cut';
  return `${status} ${code}`;
}
