import { afterAll, beforeAll, describe, it } from '@jest/globals';
import { Abuse, expectHarmless } from './abuse.js';

const AT_ONCE = 8;
const ATTACK_LIMIT_MS = 90_000;

describe('a visitor who calls as often as it can', () => {
  let abuse: Abuse;
  beforeAll(async () => {
    abuse = await Abuse.share();
  }, 60_000);
  afterAll(() => abuse?.stop());

  it(
    'does not slow down another',
    async () => {
      const attacker = await abuse.key('1.00');
      const call = (): Promise<unknown> =>
        fetch(`${abuse.daypass.baseUrl}/chat/completions`, {
          method: 'POST',
          headers: { authorization: `Bearer ${attacker.key}`, 'content-type': 'application/json' },
          body: JSON.stringify({
            model: 'gpt-5.4-mini',
            messages: [{ role: 'user', content: `Once more, ${Math.random()}` }],
            max_tokens: 20,
          }),
        }).then((response) => response.text());
      const report = await abuse.measure('calls without a pause', {
        attacker,
        attack: (signal) =>
          Promise.all(
            Array.from({ length: AT_ONCE }, async () => {
              while (!signal.aborted) await call();
            }),
          ),
      });
      expectHarmless(report);
    },
    ATTACK_LIMIT_MS,
  );
});
