import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createVirtualKey } from '#libs/secrets/virtual-key.js';
import { Abuse, expectHarmless } from './abuse.js';
import { flood } from './flood.js';

const AT_ONCE = 8;
const ATTACK_LIMIT_MS = 120_000;
const BODY_BYTES = 8_388_608;
const MIB = 1_048_576;
/** Eight connections of strangers send 40 MiB a second in all, and those of one key 10 MiB. */
const EVERY_MS_OF_MIB = { stranger: 200, key: 800 };
/** Eight connections read about 40 MiB a second of it. */
const DOCS_EVERY_MS = 100;

const brackets = `[${'[],'.repeat(666_666)}[]]`;
const tool = (parameters: string): string =>
  `{"model":"gpt-5.4-mini","max_tokens":5,"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":${parameters}}}]`;
/** What takes a parser the longest, within all bounds: names that it has never seen. */
const names = `${tool(`{${Array.from({ length: 24_900 }, (_, n) => `"${String(n).padStart(320, 'x')}":1`).join(',')}}`)}}`;
/** The same, and no JSON. */
const brokenAtItsEnd = `${names}}`;

describe('a stranger with large bodies', () => {
  let abuse: Abuse;
  beforeAll(async () => {
    abuse = await Abuse.share();
  }, 60_000);
  afterAll(() => abuse?.stop());

  /** What the answers to a flood were: HTTP's statuses. */
  let statuses: string[];
  const posting =
    (who: 'stranger' | 'key', paths: readonly string[], body: string, headers: Record<string, string> = {}) =>
    async (over: AbortSignal): Promise<void> => {
      const { origin } = new URL(abuse.daypass.baseUrl);
      const everyMs = (EVERY_MS_OF_MIB[who] * body.length) / MIB;
      const answers = await flood(over, { origin, paths, headers, body, atOnce: AT_ONCE, everyMs });
      statuses = Object.keys(answers).filter((status) => /^\d+$/.test(status));
    };

  it.each([
    ['a spelling of a path that only the router knows', ['/%76%31/chat/completions'], '401'],
    ['addresses that are not offered', ['/v1/files', '/v1/vector_stores', '/%76%31/batches'], '404'],
    ['addresses that nobody serves', ['/nothing', '/v1/nothing', '/', '/webhooks/openai'], '404'],
  ])(
    'does not slow down a visitor by 2 MB of brackets at %s',
    async (name, paths, status) => {
      const report = await abuse.measure(name, { attacker: null, attack: posting('stranger', paths, brackets) });
      expect(statuses).toEqual([status]);
      expectHarmless(report);
    },
    ATTACK_LIMIT_MS,
  );

  it(
    'does not slow down a visitor by reading the documentation again and again',
    async () => {
      const { origin } = new URL(abuse.daypass.baseUrl);
      const paths = ['/docs/swagger-ui-bundle.js', '/docs/openapi.json'];
      const attack = async (over: AbortSignal): Promise<void> => {
        statuses = Object.keys(await flood(over, { origin, paths, body: '', atOnce: AT_ONCE, everyMs: DOCS_EVERY_MS }));
      };
      const report = await abuse.measure('the documentation', { attacker: null, attack });
      expect(statuses.filter((status) => status !== 'over')).toEqual(['200']);
      expectHarmless(report);
    },
    ATTACK_LIMIT_MS,
  );

  it(
    'does not slow down a visitor by bodies with a key that nobody knows',
    async () => {
      const headers = { authorization: `Bearer ${createVirtualKey()}` };
      const attack = posting('stranger', ['/v1/chat/completions'], brackets, headers);
      const report = await abuse.measure('a key that nobody knows', { attacker: null, attack });
      expect(statuses).toEqual(['401']);
      expectHarmless(report);
    },
    ATTACK_LIMIT_MS,
  );

  it.each([
    ['8 MB of names, which is no JSON at its end', brokenAtItsEnd],
    ['8 MB of one string, which is no JSON at its end', `"${'x'.repeat(BODY_BYTES - 100)}`],
    ['2 MB of brackets', brackets],
  ])(
    'does not slow down another visitor with a key and %s',
    async (name, body) => {
      const attacker = await abuse.key('1.00');
      const headers = { authorization: `Bearer ${attacker.key}` };
      const attack = posting('key', ['/v1/chat/completions'], body, headers);
      expectHarmless(await abuse.measure(name, { attacker, attack }));
    },
    ATTACK_LIMIT_MS,
  );
});
