import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { EventRecorder } from './event.recorder.js';
import { redisKeys } from './keys.js';
import { Money } from '#libs/holds/money.fixture.js';

let money: Money;
beforeAll(async () => {
  money = await Money.start();
});
afterAll(() => money.stop());

it('hands on each event of a tick once, with its own content, and counts their bytes', async () => {
  await money.redis.del(redisKeys.audit, redisKeys.auditBytes);
  const recorder = new EventRecorder(money.redis);
  const events = Array.from(
    { length: 40 },
    (_, n) => ({ kind: 'safety', id: `case_${n}`, type: 'safety.warning_issued' }) as const,
  );
  await Promise.all(events.map((event, n) => recorder.record(event, n % 2 ? Buffer.from(`content ${n}`) : null)));
  const entries = (await money.redis.xrange(redisKeys.audit, '-', '+')).map(
    ([, fields]) => [JSON.parse(fields[3]!), fields[5]] as [unknown, string],
  );
  expect(entries).toEqual(events.map((event, n) => [event, n % 2 ? `content ${n}` : '']));
  const bytes = events.reduce(
    (sum, event, n) => sum + JSON.stringify(event).length + (n % 2 ? `content ${n}`.length : 0),
    0,
  );
  expect(await money.redis.get(redisKeys.auditBytes)).toBe(String(bytes));
});
