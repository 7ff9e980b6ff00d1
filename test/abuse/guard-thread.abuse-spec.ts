import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { TestKey } from '#libs/testing/daypass.js';
import { Abuse, expectHarmless } from './abuse.js';

const LIMIT_MS = 120_000;
/** The machine shows what a thread costs others, and not what parsing a flood of large bodies does. */
const PAUSE_MS = 500;
/** Such a text takes 0.2 s of moderation's time, in steps of 50 ms. It once took a minute, in one step. */
const STANDSTILL_MS = 2_500;
const GUARDED = { moderation: { guards: ['pii'] } };

describe("a guard's thread", () => {
  let abuse: Abuse;
  beforeAll(async () => {
    abuse = await Abuse.share({ othersCampaign: GUARDED });
  }, 60_000);
  afterAll(() => abuse?.stop());

  /** Sends such messages again and again. Returns each status, and how often the calls got it. */
  async function send(
    { key }: TestKey,
    atOnce: number,
    content: () => string,
    signal: AbortSignal,
  ): Promise<Map<number, number>> {
    const told = new Map<number, number>();
    const lane = async (): Promise<void> => {
      while (!signal.aborted) {
        const status = await fetch(`${abuse.daypass.baseUrl}/chat/completions`, {
          method: 'POST',
          headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
          body: JSON.stringify({
            model: 'gpt-5.4-mini',
            max_tokens: 20,
            messages: [{ role: 'user', content: content() }],
          }),
          signal,
        }).then(
          async (response) => (await response.text(), response.status),
          () => 0,
        );
        if (status !== 0) told.set(status, (told.get(status) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    };
    await Promise.all(Array.from({ length: atOnce }, lane));
    return told;
  }

  it(
    'has turns for others while one key sends texts that it takes minutes for, and that key alone gets no verdict',
    async () => {
      const attacker = await abuse.key('5.00', { campaign: GUARDED });
      let told = new Map<number, number>();
      const report = await abuse.measure('texts that a guard takes minutes for', {
        attacker,
        attack: async (signal) => {
          told = await send(attacker, 4, () => '1.1.1.'.repeat(100_000), signal);
        },
        othersBody: { messages: [{ role: 'user', content: 'Call me at +49 30 901820, please' }] },
      });
      expectHarmless(report);
      // 429 where several at once wait for each other.
      for (const status of told.keys()) expect([400, 429]).toContain(status);
    },
    LIMIT_MS,
  );

  it(
    'and the process around it go on while one key sends texts with ten thousand findings',
    async () => {
      const attacker = await abuse.key('5.00', { campaign: GUARDED });
      const report = await abuse.measure('texts with ten thousand findings', {
        attacker,
        attack: (signal) =>
          send(
            attacker,
            1,
            () => Array.from({ length: 9_900 }, (_, n) => `p${n}@x.org ${'word '.repeat(20)}`).join(' '),
            signal,
          ),
      });
      expect(report.during.refused).toEqual([]);
      expect(report.during.p99Ms).toBeLessThan(Math.max(STANDSTILL_MS, 2 * report.before.p99Ms));
    },
    LIMIT_MS,
  );
});
