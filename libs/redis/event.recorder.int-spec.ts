import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { AuditEvent } from '#libs/contracts/audit.js';
import { EventRecorder } from './event.recorder.js';
import { redisKeys } from './keys.js';
import { defineScript } from './scripts.js';
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

it('counts the bytes of each key that wait, down to none', async () => {
  await money.redis.del(redisKeys.audit, redisKeys.auditBytes, redisKeys.auditKeyBytes);
  const event = (key: string, id: string) => ({ kind: 'request', id, key, campaign: 'c' }) as unknown as AuditEvent;
  const recorder = new EventRecorder(money.redis);
  await recorder.record(event('mine', 'a'), Buffer.alloc(100));
  await recorder.record(event('theirs', 'b'), Buffer.alloc(300));
  await recorder.record(event('mine', 'c'), Buffer.alloc(500));
  const size = JSON.stringify(event('mine', 'a')).length;
  const waiting = () => money.redis.hgetall(redisKeys.auditKeyBytes);
  expect(await waiting()).toEqual({ mine: String(2 * size + 600), theirs: String(size + 2 + 300) });
  await money.redis.xgroup('CREATE', redisKeys.audit, 'readers', '0');
  const read = await money.redis.xreadgroup('GROUP', 'readers', 'one', 'COUNT', 9, 'STREAMS', redisKeys.audit, '>');
  const ids = (read as [string, [string, string[]][]][])[0]![1].map(([id]) => id);
  const acknowledge = defineScript(money.redis, 'acknowledge');
  const keys = [redisKeys.audit, redisKeys.auditBytes, redisKeys.auditKeyBytes];
  const done = (some: string[], bytes: number, ofKeys: (string | number)[]) =>
    acknowledge(keys, ['readers', bytes, '0-1', ofKeys.length / 2, ...ofKeys, ...some]);
  await done([ids[0]!, ids[1]!], 2 * size + 402, ['mine', size + 100, 'theirs', size + 302]);
  expect(await waiting()).toEqual({ mine: String(size + 500) });
  await done([ids[2]!], size + 500, ['mine', size + 500]);
  expect(await money.redis.exists(redisKeys.auditKeyBytes)).toBe(0);
});
