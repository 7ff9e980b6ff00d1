import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { Abuse, expectHarmless } from './abuse.js';

const LIMIT_MS = 120_000;
const OPEN = 60;
const RUNNING = 32;
const RETRY_MS = 3_000;
/** From this to twice as long, so that calls do not end all at once. */
const SLOW_MS = 4_000;
/** The rehearsal holds back what has this in it. */
const SLOW = 'take your time';

describe('places of calls', () => {
  let abuse: Abuse;
  beforeAll(async () => {
    abuse = await Abuse.start({
      env: { DAYPASS_MAX_CALLS: String(OPEN), DAYPASS_CONCURRENCY: String(RUNNING), DAYPASS_KEY_CONCURRENT: '24' },
    });
  }, 60_000);
  afterAll(() => abuse?.stop());

  let slow = 0;
  let free: () => void;
  beforeEach(() => {
    slow = 0;
    const freed = new Promise<void>((resolve) => (free = resolve));
    abuse.daypass.rehearsal.onChat = async (body) => {
      if (!JSON.stringify(body.messages).includes(SLOW)) return undefined;
      slow++;
      await Promise.race([freed, new Promise((resolve) => setTimeout(resolve, SLOW_MS * (1 + Math.random())))]);
      slow--;
      return undefined;
    };
  });
  afterEach(() => {
    free();
    abuse.daypass.rehearsal.onChat = undefined;
  });

  const call = async (
    { key }: TestKey,
    signal: AbortSignal,
  ): Promise<{ status: number; body: string; headers: Headers }> => {
    const response = await fetch(`${abuse.daypass.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'gpt-5.4-mini',
        messages: [{ role: 'user', content: `Please ${SLOW}, ${Math.random()}` }],
        max_tokens: 20,
      }),
      signal,
    });
    return { status: response.status, body: await response.text(), headers: response.headers };
  };

  /** Each key opens as many calls as it can, and a new one for each that ends. Returns what refused calls were told. */
  async function fill(keys: readonly TestKey[], callsOfKey: number, signal: AbortSignal): Promise<Set<string>> {
    const refusals = new Set<string>();
    const lane = async (key: TestKey): Promise<void> => {
      while (!signal.aborted) {
        const answer = await call(key, signal).catch(() => null);
        if (answer === null || answer.status === 200) continue;
        expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
        refusals.add(`${answer.status} ${(JSON.parse(answer.body) as { error: { code: string } }).error.code}`);
        // A patient attacker, so that a refusal costs the machine no more than a call does.
        await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    };
    await Promise.all(keys.flatMap((key) => Array.from({ length: callsOfKey }, () => lane(key))));
    return refusals;
  }

  /** Measures while so many slow calls run at the upstream. */
  async function measure(
    name: string,
    keys: readonly TestKey[],
    callsOfKey: number,
    running: number,
  ): Promise<string[]> {
    let refusals = new Set<string>();
    const report = await abuse.measure(name, {
      attacker: keys[0]!,
      attack: async (signal) => {
        const over = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
        const filling = fill(keys, callsOfKey, signal);
        await over;
        free();
        refusals = await filling;
      },
      inFullSwing: () => until(`${running} slow calls run`, () => slow >= running, 30_000),
    });
    expectHarmless(report);
    return [...refusals];
  }

  it(
    'are left to others by a key that opens as many waiting calls as it can',
    async () => {
      const key = await abuse.key('5.00', { key: { limits: { concurrent: 10_000 } } });
      expect(await measure('one key opens all calls', [key], 2 * OPEN, RUNNING)).toEqual(['429 rate_limit_exceeded']);
    },
    LIMIT_MS,
  );

  it(
    'are at most the default for a key without a limit of its own',
    async () => {
      const key = await abuse.key('5.00');
      expect(await measure('one key without a limit', [key], OPEN, 24)).toEqual(['429 rate_limit_exceeded']);
    },
    LIMIT_MS,
  );

  it(
    'at a slow upstream are left to others by a key whose calls fill the worker',
    async () => {
      const key = await abuse.key('5.00', { key: { limits: { concurrent: 10_000 } } });
      expect(await measure('one key at a slow upstream', [key], RUNNING + 8, RUNNING)).toEqual([]);
    },
    LIMIT_MS,
  );

  it(
    'are left to another campaign by many keys of one',
    async () => {
      const first = await abuse.key('5.00', { campaign: { key_defaults: { limits: { concurrent: 10_000 } } } });
      const others = await Promise.all(
        Array.from({ length: 5 }, () => abuse.key('5.00', { campaign: first.campaign })),
      );
      const told = await measure('six keys of one campaign', [first, ...others], 20, RUNNING);
      expect(told).toEqual(['429 rate_limit_exceeded']);
    },
    LIMIT_MS,
  );
});
