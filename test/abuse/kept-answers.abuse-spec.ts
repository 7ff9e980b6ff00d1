import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { redisKeys } from '#libs/redis/keys.js';
import { completionOf, planAnswer } from '#libs/rehearsal/rehearsal.chat.js';
import type { TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { Abuse, expectHarmless } from './abuse.js';

const model = 'gpt-5.4-mini';
const AT_ONCE = 10;
/** With twenty alternatives each, these tokens make an answer of some megabytes. */
const TOKENS = 1_500;
/** A sixteenth of 64 MiB. */
const KEPT_OF_KEY_MAX = 4_194_304;
/** Bookings, the record, and what Redis' allocator keeps for later. */
const SLACK_BYTES = 8_388_608;
const ATTACK_LIMIT_MS = 180_000;

describe('a visitor whose answers are large, each under an Idempotency-Key', () => {
  let abuse: Abuse;
  beforeAll(async () => {
    abuse = await Abuse.share();
    const answer = largeAnswer();
    abuse.daypass.rehearsal.onChat = (body) =>
      body.logprobs ? { raw: answer, usage: { prompt_tokens: 20, completion_tokens: 1_500 } } : undefined;
  }, 60_000);
  afterAll(() => abuse?.stop());

  const call = async (key: TestKey, name: string) => {
    const response = await fetch(`${abuse.daypass.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json', 'idempotency-key': name },
      body: JSON.stringify({
        model,
        messages: [{ role: 'user', content: 'Say much' }],
        max_tokens: TOKENS,
        logprobs: true,
        top_logprobs: 20,
      }),
    });
    return {
      status: response.status,
      replayed: response.headers.get('idempotent-replayed'),
      text: await response.text(),
    };
  };
  /** Of all keys: attacks share a Daypass. */
  const keptBytes = async (): Promise<number> => Number(await abuse.redis.get(redisKeys.keptBytes));
  const usedBytes = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await abuse.redis.info('memory'))![1]);

  it(
    'fills its own share of Redis alone, whatever it asks for',
    async () => {
      const moderation = { input: 'off', output: 'off' };
      const attacker = await abuse.key('1.00', { campaign: { moderation } });
      const before = await usedBytes();
      const keptBefore = await keptBytes();
      let answered = 0;
      let names = 0;
      /** Answered before all others, so that there was room to keep it. */
      let first: string | undefined;
      const report = await abuse.measure('large kept answers', {
        attacker,
        isReached: () => answered > 3 * (KEPT_OF_KEY_MAX + SLACK_BYTES),
        attack: (signal) =>
          Promise.all(
            Array.from({ length: AT_ONCE }, async () => {
              while (!signal.aborted) {
                const name = `name ${names++}`;
                const { status, text } = await call(attacker, name);
                if (status !== 200) continue;
                answered += text.length;
                first ??= name;
              }
            }),
          ),
      });
      // Uncompressed and unbounded, they would lie in Redis for a day.
      expect(answered).toBeGreaterThan(2 * (KEPT_OF_KEY_MAX + SLACK_BYTES));
      const kept = (await keptBytes()) - keptBefore;
      expect(kept).toBeGreaterThan(KEPT_OF_KEY_MAX / 2);
      expect(kept).toBeLessThanOrEqual(KEPT_OF_KEY_MAX);
      await until('Redis holds no more than it keeps', async () => (await usedBytes()) - before < kept + SLACK_BYTES);
      // What was kept goes out again; what had no room is refused by name.
      expect(await call(attacker, first!)).toMatchObject({ status: 200, replayed: 'true' });
      const late = await call(attacker, `name ${names - 1}`);
      expect(late.status).toBe(409);
      expect(JSON.parse(late.text)).toMatchObject({ error: { code: 'idempotency_conflict' } });
      // And all of it goes with the key.
      await abuse.daypass.admin(`/admin/v1/keys/${attacker.id}/revoke`, { method: 'POST', body: {} });
      expect(await keptBytes()).toBe(keptBefore);
      expectHarmless(report);
    },
    ATTACK_LIMIT_MS,
  );
});

/** As OpenAI answers with `logprobs` and twenty alternatives to each token. Made once: an upstream has machines of its own. */
function largeAnswer(): string {
  const body = { model, logprobs: true, top_logprobs: 20, max_tokens: TOKENS };
  return JSON.stringify(completionOf(planAnswer(body, { content: 'word '.repeat(TOKENS) }), body));
}
