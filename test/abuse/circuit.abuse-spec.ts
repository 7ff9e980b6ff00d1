import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ChatOverride } from '#libs/rehearsal/rehearsal.chat.face.js';
import { Abuse, expectHarmless } from './abuse.js';

const AT_ONCE = 4;
/** The attack is what the upstream says, not how many calls there are. */
const PAUSE_MS = 100;
const ATTACK_LIMIT_MS = 90_000;

/** What the upstream answers to one hostile visitor's words, again and again. */
const ATTACKS: readonly { what: string; answer: ChatOverride; visitorGets: string[] }[] = [
  {
    what: '403 for its content',
    answer: { refuse: { status: 403, error: { message: 'This is not for you.', code: 'forbidden_words' } } },
    visitorGets: ['403 forbidden_words'],
  },
  {
    what: '429 for a request above the whole limit',
    answer: {
      refuse: {
        status: 429,
        headers: { 'retry-after': '20' },
        error: {
          message: 'Request too large for gpt-5.4-mini: Limit 30000, Requested 40000. Please try again in 20s.',
          type: 'tokens',
          code: 'rate_limit_exceeded',
        },
      },
    },
    visitorGets: ['429 rate_limit_exceeded'],
  },
  {
    what: '429 for itself',
    answer: { refuse: { status: 429, error: { message: 'Not so often with these words.' } } },
    visitorGets: ['429 rate_limit_exceeded'],
  },
  {
    what: '500 for its content',
    answer: { refuse: { status: 500, error: { message: 'The server had an error' } } },
    visitorGets: ['502 upstream_error'],
  },
  {
    what: 'a broken connection',
    answer: { cutAfterFrames: 0 },
    visitorGets: ['502 upstream_outcome_unknown'],
  },
];

describe('a visitor whose requests the upstream refuses', () => {
  let abuse: Abuse;
  beforeAll(async () => {
    abuse = await Abuse.share();
    abuse.daypass.rehearsal.onChat = (body) => {
      const words = JSON.stringify(body.messages);
      return ATTACKS.find(({ what }) => words.includes(`attack: ${what}`))?.answer;
    };
  }, 60_000);
  afterAll(() => abuse?.stop());

  it.each(ATTACKS)(
    'again and again opens no circuit and freezes no lane for another: $what',
    async ({ what, visitorGets }) => {
      const attacker = await abuse.key('1.00');
      const told = new Set<string>();
      const call = async (): Promise<void> => {
        const response = await fetch(`${abuse.daypass.baseUrl}/chat/completions`, {
          method: 'POST',
          headers: { authorization: `Bearer ${attacker.key}`, 'content-type': 'application/json' },
          body: JSON.stringify({
            model: 'gpt-5.4-mini',
            messages: [{ role: 'user', content: `attack: ${what}` }],
            max_tokens: 20,
            stream: what === 'a broken connection',
          }),
        });
        const { error } = (await response.json()) as { error: { code: string } };
        told.add(`${response.status} ${error.code}`);
      };
      const report = await abuse.measure(what, {
        attacker,
        attack: (signal) =>
          Promise.all(
            Array.from({ length: AT_ONCE }, async () => {
              while (!signal.aborted) {
                await call();
                await sleep(PAUSE_MS);
              }
            }),
          ),
      });
      expect([...told]).toEqual(visitorGets);
      expectHarmless(report);
    },
    ATTACK_LIMIT_MS,
  );

  it(
    'again and again opens no circuit for another campaign, with six keys of one campaign',
    async () => {
      const attacker = await abuse.key('0.10');
      const keys = [attacker];
      for (let index = 1; index < 6; index++) keys.push(await abuse.key('0.10', { campaign: attacker.campaign }));
      const told = new Set<number>();
      const call = async (key: string): Promise<void> => {
        const response = await fetch(`${abuse.daypass.baseUrl}/chat/completions`, {
          method: 'POST',
          headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
          body: JSON.stringify({
            model: 'gpt-5.4-mini',
            messages: [{ role: 'user', content: 'attack: 500 for its content' }],
            max_tokens: 20,
          }),
        });
        await response.arrayBuffer();
        told.add(response.status);
      };
      const report = await abuse.measure('six keys of one campaign whose requests get 500', {
        attacker,
        attack: (signal) =>
          Promise.all(
            keys.map(async ({ key }) => {
              while (!signal.aborted) {
                await call(key);
                await sleep(PAUSE_MS);
              }
            }),
          ),
      });
      expect([...told]).toEqual([502]);
      expectHarmless(report);
    },
    ATTACK_LIMIT_MS,
  );
});
