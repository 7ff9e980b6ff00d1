import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { Ticket } from '#libs/contracts/jobs.js';
import { CallEnder } from '#libs/holds/call-ender.js';
import type { LeaseKeeper } from '#libs/holds/lease-keeper.js';
import { Money } from '#libs/holds/money.fixture.js';
import { RecentRefusals } from '#libs/holds/recent-refusals.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { until } from '#libs/testing/until.js';
import type { Admission } from './admission.js';
import type { CallQueues } from './call.queues.js';
import { CallService } from './call.service.js';

const LANE = 'lane';
let money: Money;
beforeAll(async () => {
  money = await Money.start();
  await money.reset();
  await money.campaign();
  await money.key();
});
afterAll(() => money.stop());

const ticketOf = (requestId: string): Ticket =>
  ({ requestId, keyId: 'k', campaignId: 'c', lane: LANE, replyTo: 'door', patienceMs: 60_000 }) as Ticket;

it('ends the waits of calls whose hold or whose place in the line Redis lost, and leaves the others', async () => {
  let reopen = (): void => undefined;
  const calls = new CallService(
    pino({ level: 'silent' }),
    money.redis,
    money.holds,
    new CallEnder(
      money.holds,
      new ContentBox(randomBytes(32)),
      { all: 1e9, ofKey: 1e9 },
      new RecentRefusals(money.redis),
    ),
    { enqueue: () => Promise.resolve({ code: 'entered' }) } as unknown as CallQueues,
    {} as Admission,
    { whenReopened: (listener: () => void) => (reopen = listener) } as unknown as LeaseKeeper,
  );
  const told: [string, string][] = [];
  const wait = (id: string): Promise<void> =>
    calls.enqueue({ ticket: ticketOf(id) } as Parameters<CallService['enqueue']>[0], (outcome) =>
      told.push([id, outcome]),
    );
  for (const id of ['in-line', 'of-no-line', 'restored']) await money.take(id);
  await money.dispatched('runs');
  await money.redis.zadd(redisKeys.laneWaiting(LANE), 1, 'in-line');
  await money.redis.hset(redisKeys.hold('restored'), 'restored', '1');
  for (const id of ['in-line', 'of-no-line', 'restored', 'runs', 'gone']) await wait(id);

  reopen();
  await until('what nobody knows or accounting restored is told at once', () => told.length === 2);
  expect(Object.fromEntries(told)).toEqual({ gone: 'lost', restored: 'voided' });
  await until('moderation has had its time', () => told.length === 3);
  expect(told[2]).toEqual(['of-no-line', 'voided']);
  const states = ['in-line', 'of-no-line', 'restored', 'runs'].map((id) =>
    money.redis.hget(redisKeys.hold(id), 'state'),
  );
  expect(await Promise.all(states)).toEqual(['held', 'voided', 'voided', 'dispatched']);
});
