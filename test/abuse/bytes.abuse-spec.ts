import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { completionOf, planAnswer } from '#libs/rehearsal/rehearsal.chat.js';
import type { TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { Abuse, expectHarmless } from './abuse.js';

const model = 'gpt-5.4-mini';
/** By default. */
const HOUR_BYTES = 62_914_560;
/** What a campaign says instead. */
const CAMPAIGN_BYTES = 20_000_000;
const MIB = 1_048_576;
const AT_ONCE = 4;
/** Of an attacker who is refused. */
const PAUSE_MS = 200;
/** Below the largest body that ingress takes. */
const LARGE = 2_000_000;
const FEW = { prompt_tokens: 9, completion_tokens: 9 };
const ATTACK_LIMIT_MS = 180_000;
const OFF = { campaign: { moderation: { input: 'off', output: 'off' } } };

const saying = (content: string) => ({ messages: [{ role: 'user', content }] });

interface Told {
  status: number;
  code: string | undefined;
  limit: string | undefined;
  bytes: number;
}

describe('a visitor who sends much and pays little', () => {
  let abuse: Abuse;
  beforeAll(async () => {
    abuse = await Abuse.share();
  }, 60_000);
  afterAll(() => abuse?.stop());

  /** `body`: written once, because the attacker has machines of its own. */
  const send = async (key: TestKey, body: string, headers: Record<string, string> = {}): Promise<Told> => {
    const response = await fetch(`${abuse.daypass.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json', ...headers },
      body,
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    if (response.ok) return { status: response.status, code: undefined, limit: undefined, bytes: bytes.byteLength };
    const { error } = JSON.parse(bytes.toString()) as { error: { code: string; daypass?: { limit?: string } } };
    return { status: response.status, code: error.code, limit: error.daypass?.limit, bytes: bytes.byteLength };
  };
  /** Sends again and again, from some connections. */
  const flood = (signal: AbortSignal, once: () => Promise<unknown>): Promise<unknown> =>
    Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        while (!signal.aborted) await once();
      }),
    );
  const chats = async (): Promise<number> => {
    const { rows } = await abuse.sql.query<{ bytes: string }>(
      'SELECT coalesce(sum(octet_length(sealed)), 0) AS bytes FROM audit.contents',
    );
    return Number(rows[0]!.bytes);
  };

  it.each([
    ['of text that no model reads', { user: random(LARGE) }, '1.00'],
    ['of text that its budget does not cover', saying('word '.repeat(LARGE / 5)), '0.001'],
    ['of requests that are wrong', { wrong: random(LARGE) }, '1.00'],
  ] as const)(
    '%s, is refused within an hour, and leaves nothing of it behind',
    async (name, body, budgetUsd) => {
      const key_defaults = { limits: { bytes_per_hour: CAMPAIGN_BYTES } };
      const attacker = await abuse.key(budgetUsd, { campaign: { ...OFF.campaign, key_defaults } });
      const sent = written(body);
      const before = await chats();
      const told = new Map<string, number>();
      const report = await abuse.measure(name, {
        attacker,
        isReached: () => told.has('429 rate_limit_exceeded bytes'),
        attack: (signal) =>
          flood(signal, async () => {
            const { status, code, limit } = await send(attacker, sent);
            const what = [status, code, limit].filter((word) => word !== undefined).join(' ');
            told.set(what, (told.get(what) ?? 0) + 1);
            if (limit !== undefined) await sleep(PAUSE_MS);
          }),
      });
      const letIn = [...told].reduce((sum, [what, count]) => sum + (/bytes$/.test(what) ? 0 : count), 0);
      expect(letIn).toBeLessThanOrEqual(CAMPAIGN_BYTES / LARGE);
      expect(told.get('429 rate_limit_exceeded bytes')).toBeGreaterThan(0);
      expect(await chats()).toBeLessThan(before + MIB);
      expect(report.redisBytes).toBeLessThan(16 * MIB);
      expectHarmless(report);
    },
    ATTACK_LIMIT_MS,
  );

  it(
    'while its budget is held, keeps no body in Redis',
    async () => {
      const attacker = await abuse.key('3.00', OFF);
      const held = Promise.withResolvers<void>();
      abuse.daypass.rehearsal.onChat = (body) => (body.seed === 1 ? held.promise.then(() => undefined) : undefined);
      // Holds nearly all of the budget.
      const running = send(attacker, written({ seed: 1, max_tokens: 128_000, n: 5 }));
      await until('the first call holds the money', async () => (await abuse.redis.zcard('{dp}:leases')) > 0);
      const wait = { 'x-daypass-max-wait-ms': '3000' };
      const large = written(saying('word '.repeat(LARGE / 5)));
      let largest = 0;
      const look = async (signal: AbortSignal): Promise<void> => {
        while (!signal.aborted) {
          const bodies = await abuse.redis.keys('{dp}:body:*');
          const sizes = await Promise.all(bodies.map((body) => abuse.redis.strlen(body)));
          largest = Math.max(largest, ...sizes);
          await sleep(PAUSE_MS);
        }
      };
      const told: string[] = [];
      const report = await abuse.measure('large calls that wait for money', {
        attacker,
        attack: async (signal) => {
          const waiting = flood(signal, async () => {
            const { code } = await send(attacker, large, wait);
            told.push(code ?? 'answered');
            await sleep(PAUSE_MS);
          });
          await Promise.all([waiting, look(signal)]);
          held.resolve();
          await running;
        },
      });
      abuse.daypass.rehearsal.onChat = undefined;
      expect(new Set(told)).toEqual(new Set(['insufficient_quota']));
      expect(largest).toBeGreaterThan(0);
      expect(largest).toBeLessThan(MIB);
      expect(report.redisBytes).toBeLessThan(16 * MIB);
      expectHarmless(report);
    },
    ATTACK_LIMIT_MS,
  );

  it(
    'gets a kept answer again only as often as its limits say',
    async () => {
      const attacker = await abuse.key('1.00', OFF);
      const answer = largeAnswer();
      abuse.daypass.rehearsal.onChat = (body) => (body.seed === 2 ? { raw: answer } : undefined);
      const named = { 'idempotency-key': 'large' };
      const asked = written({ seed: 2, max_tokens: 100_000 });
      const first = await send(attacker, asked, named);
      expect(first.status).toBe(200);
      let got = 0;
      const told = new Set<string>();
      const report = await abuse.measure('replays', {
        attacker,
        isReached: () => told.has('429 bytes'),
        attack: (signal) =>
          flood(signal, async () => {
            const { status, bytes, limit } = await send(attacker, asked, named);
            if (status === 200) got += bytes;
            told.add(`${status} ${limit ?? ''}`);
            if (status !== 200) await sleep(PAUSE_MS);
          }),
      });
      abuse.daypass.rehearsal.onChat = undefined;
      expect(got).toBeGreaterThan(HOUR_BYTES / 2);
      expect(got).toBeLessThanOrEqual(HOUR_BYTES);
      expect([...told].sort()).toEqual(['200 ', '429 bytes']);
      expectHarmless(report);
    },
    ATTACK_LIMIT_MS,
  );
});

/** Text that does not compress to nothing. */
function random(characters: number): string {
  let text = '';
  while (text.length < characters) text += Math.random().toString(36).slice(2);
  return text.slice(0, characters);
}

const written = (body: object): string => JSON.stringify({ model, max_tokens: 20, ...saying('hi'), ...body });

/** Of some megabytes, for a few tokens. */
function largeAnswer(): string {
  const body = { model };
  return JSON.stringify(completionOf(planAnswer(body, { content: 'word '.repeat(700_000), usage: FEW }), body));
}
