import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { redisKeys } from '#libs/redis/keys.js';
import type { TestKey } from '#libs/testing/daypass.js';
import { Abuse, expectHarmless } from './abuse.js';

const model = 'gpt-5.4-mini';
/** Calls that are large, or name much. */
const LARGE_AT_ONCE = 4;
const SMALL_AT_ONCE = 10;
/** The defaults of DAYPASS_SHELF_BYTES_PER_KEY and of the entries that a key may have. */
const BYTES_OF_KEY = 4_194_304;
const ENTRIES_OF_KEY = 1_024;
/** Redis' allocator rounds up. */
const ROUNDING = 1.6;
/** Bookings, the record, and what Redis' allocator keeps for later. */
const SLACK_BYTES = 16_777_216;
const CHAIN_MAX = 200;
/** Of each response in the chain: the bytes that a key has for an hour are enough to make it, and to name it some ten times. */
const CHAIN_TEXT_BYTES = 1_600;
/** Of an attacker who is refused. */
const PAUSE_MS = 200;
const ATTACK_LIMIT_MS = 240_000;
const UNJUDGED = { campaign: { moderation: { input: 'off', output: 'off' } } };

describe('a visitor who makes the most of the shelf', () => {
  let abuse: Abuse;
  let answer = (): string => 'ok';
  beforeAll(async () => {
    abuse = await Abuse.share();
    abuse.daypass.rehearsal.onResponses = () => ({ content: answer(), usage: { input_tokens: 10, output_tokens: 10 } });
  }, 60_000);
  afterAll(() => abuse?.stop());
  beforeEach(() => {
    answer = () => 'ok';
  });

  const ask = async (key: TestKey, body: object, signal?: AbortSignal) => {
    const response = await fetch(`${abuse.daypass.baseUrl}/responses`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model, max_output_tokens: 100, ...body }),
      ...(signal ? { signal } : {}),
    });
    return { status: response.status, body: (await response.json()) as { id: string; error?: { code: string } } };
  };
  const namesOf = async (key: TestKey): Promise<string[]> => abuse.redis.keys(`${redisKeys.shelfPrefix}*${key.id}*`);
  const entriesOf = async (key: TestKey): Promise<string[]> =>
    (await namesOf(key)).filter((name) => name.startsWith(`${redisKeys.shelfPrefix}of:`));
  const memoryOf = async (key: TestKey): Promise<number> => {
    const bytes = await Promise.all((await namesOf(key)).map((name) => abuse.redis.memory('USAGE', name)));
    return bytes.reduce<number>((sum, one) => sum + (one ?? 0), 0);
  };
  const countedBytes = async (key: TestKey): Promise<number> =>
    Number(await abuse.redis.hget(`${redisKeys.shelfPrefix}sums:${key.id}`, 'bytes'));

  it(
    'fills its own share of it, and no more, with large answers',
    async () => {
      const attacker = await abuse.key('20.00', UNJUDGED);
      // Nobody compresses it.
      answer = () => randomBytes(60_000).toString('base64');
      let answered = 0;
      const report = await abuse.measure('one key fills the shelf', {
        attacker,
        isReached: () => answered * 60_000 > 4 * BYTES_OF_KEY,
        attack: (signal) =>
          Promise.all(
            Array.from({ length: LARGE_AT_ONCE }, async () => {
              while (!signal.aborted) if ((await ask(attacker, { input: 'much' })).status === 200) answered++;
            }),
          ),
      });
      expect(answered * 60_000).toBeGreaterThan(2 * BYTES_OF_KEY);
      expect(await countedBytes(attacker)).toBeGreaterThan(BYTES_OF_KEY / 2);
      expect(await countedBytes(attacker)).toBeLessThanOrEqual(BYTES_OF_KEY);
      expect(await memoryOf(attacker)).toBeLessThanOrEqual(ROUNDING * BYTES_OF_KEY);
      expect(report.redisBytes).toBeLessThan(ROUNDING * BYTES_OF_KEY + SLACK_BYTES);
      expectHarmless(report);
    },
    ATTACK_LIMIT_MS,
  );

  it(
    'fills its own share of it, and no more, with many small answers and conversations',
    async () => {
      const attacker = await abuse.key('20.00', UNJUDGED);
      let [made, answered] = [0, 0];
      const little = async (): Promise<void> => {
        if ((await ask(attacker, { input: 'little' })).status === 200) answered++;
      };
      const conversation = async (): Promise<void> => {
        const response = await fetch(`${abuse.daypass.baseUrl}/conversations`, {
          method: 'POST',
          headers: { authorization: `Bearer ${attacker.key}`, 'content-type': 'application/json' },
          body: JSON.stringify({ items: [{ type: 'message', role: 'user', content: 'x' }] }),
        });
        await response.arrayBuffer();
        if (response.ok) made++;
      };
      const report = await abuse.measure('one key makes many entries', {
        attacker,
        isReached: () => made + answered > 1.5 * ENTRIES_OF_KEY,
        attack: (signal) =>
          Promise.all(
            Array.from({ length: SMALL_AT_ONCE }, async (_, lane) => {
              while (!signal.aborted) await (lane % 2 === 0 ? little() : conversation());
            }),
          ),
      });
      expect(made).toBeGreaterThan(ENTRIES_OF_KEY / 4);
      const entries = await entriesOf(attacker);
      expect(entries.length).toBeGreaterThan(ENTRIES_OF_KEY / 2);
      expect(entries.length).toBeLessThanOrEqual(ENTRIES_OF_KEY);
      expect(await memoryOf(attacker)).toBeLessThanOrEqual(ROUNDING * BYTES_OF_KEY);
      expect(report.redisBytes).toBeLessThan(ROUNDING * BYTES_OF_KEY + SLACK_BYTES);
      expectHarmless(report);
    },
    ATTACK_LIMIT_MS,
  );

  it(
    'names the longest chain again and again',
    async () => {
      const attacker = await abuse.key('20.00', UNJUDGED);
      answer = () => randomBytes(CHAIN_TEXT_BYTES / 2).toString('hex');
      let last: string | undefined;
      for (let turn = 0; turn < CHAIN_MAX; turn++) {
        const { status, body } = await ask(attacker, {
          input: 'x',
          ...(last === undefined ? {} : { previous_response_id: last }),
        });
        expect([turn, status]).toEqual([turn, 200]);
        last = body.id;
      }
      answer = () => 'ok';
      const outcomes = new Map<string, number>();
      const report = await abuse.measure('a chain of 200, again and again', {
        attacker,
        isReached: () => outcomes.get('200')! > CHAIN_MAX / 10 && outcomes.size > 1,
        attack: (signal) =>
          Promise.all(
            Array.from({ length: LARGE_AT_ONCE }, async () => {
              while (!signal.aborted) {
                const { status, body } = await ask(attacker, { input: 'x', previous_response_id: last, store: false });
                const outcome = `${status} ${body.error?.code ?? ''}`.trim();
                outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
                if (status !== 200) await sleep(PAUSE_MS);
              }
            }),
          ),
      });
      process.stderr.write(`    ${[...outcomes].map(([outcome, count]) => `${count} × ${outcome}`).join(', ')}\n`);
      expect(outcomes.get('200')).toBeGreaterThan(CHAIN_MAX / 10);
      // The bytes of what it names end the attack, as those of what it sends would.
      expect([...outcomes.keys()].filter((outcome) => outcome !== '200')).toEqual(['429 rate_limit_exceeded']);
      expectHarmless(report);
    },
    ATTACK_LIMIT_MS,
  );
});
