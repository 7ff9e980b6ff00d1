import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import { Arena, type Outcome } from './arena.js';
import { scenario } from './scenario.js';

const WORDS = Array.from({ length: 60 }, (_, index) => `w${index} `).join('');

describe('the upstream', () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.start({ env: { DAYPASS_UPSTREAM_TIMEOUT_MS: '4000' } });
  }, 90_000);
  afterAll(() => arena?.stop());
  afterEach(() => arena.clear());

  scenario(20, 'a storm of upstream 429s', { quick: true }, async () => {
    const key = await arena.key('5.00');
    let asked = 0;
    const until = Date.now() + 3_000;
    arena.daypass.rehearsal.onChat = () => {
      asked++;
      if (Date.now() > until && asked % 5 !== 0) return undefined;
      return { refuse: { status: 429, headers: { 'retry-after-ms': '150' }, error: { message: 'Rate limit reached', code: 'rate_limit_exceeded' } } };
    };
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => arena.call(key)));
    arena.daypass.rehearsal.onChat = undefined;
    expect(outcomes.filter(({ status }) => status === 200)).toHaveLength(100);
    return `100 of 100 answered, ${asked - 100} refusals unseen by visitors; ${await arena.holds()}`;
  });

  scenario(21, 'upstream 500s, hangs, cut streams, missing usage', { quick: true }, async () => {
    const key = await arena.key('5.00');
    const all = async (count: number, stream: boolean): Promise<Outcome[]> =>
      Promise.all(Array.from({ length: count }, () => arena.call(key, { stream, max_tokens: 200 })));
    const codes = (outcomes: Outcome[]): string => [...new Set(outcomes.map(({ status, code, done }) => (done ? 'answered' : `${status} ${code}`)))].join('/');
    const { rehearsal } = arena.daypass;
    rehearsal.onChat = () => ({ refuse: { status: 500, error: { message: 'The server had an error', type: 'server_error' } } });
    const errors = codes(await all(10, false));
    rehearsal.onChat = () => ({ firstTokenMs: 60_000 });
    const hangs = codes(await all(10, false));
    rehearsal.onChat = () => ({ content: WORDS, cutAfterFrames: 20, tokensPerSecond: 100 });
    const cuts = codes(await all(10, true));
    rehearsal.onChat = () => ({ content: WORDS, withoutUsage: true });
    const unreported = codes([...(await all(10, true)), ...(await all(10, false))]);
    rehearsal.onChat = undefined;
    expect([errors, hangs, cuts, unreported]).toEqual(['502 upstream_error', '502 upstream_outcome_unknown', '200 upstream_outcome_unknown', 'answered']);
    return `500: given back · hang and cut: presumed · no usage: counted; ${await arena.holds()}`;
  });
});
