import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { errorAnswer, KEPT_ANSWER_BYTES_MAX } from '#libs/contracts/answers.js';
import type { CheckEvent } from '#libs/contracts/audit.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { largerThanLane } from '#libs/contracts/queue-refusals.js';
import type { Reply } from '#libs/contracts/reply.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { RecentRefusals } from './recent-refusals.js';
import { CallEnder, type DispatchedCall, type EndDetails } from './call-ender.js';
import { Door } from './door.js';
import { readKeptReply } from './kept-reply.js';
import { Money } from './money.fixture.js';

const META = { moderation: { input: 'pass', output: 'off' }, queueMs: 7 } as const;
const answer = (body = '{}'): Reply => ({
  ...{ type: 'answer', status: 200, contentType: 'application/json', headers: {}, body, meta: META },
});
const LARGE = 'x'.repeat(KEPT_ANSWER_BYTES_MAX + 1);
/** The last entry of a stream that was shown piece by piece. */
const STREAM_END: Reply = { type: 'end', frames: 3 };
const BLOCKED = errorAnswer(new DaypassError('moderation_blocked', 'No.'), META);
const TRY_AGAIN = errorAnswer(new DaypassError('recovering', 'Again, please.'), META);

const ticketOf = (requestId: string, changes: Partial<Ticket> = {}): Ticket =>
  ({
    ...{ requestId, keyId: 'k', campaignId: 'c', lane: 'lane', replyTo: 'door', model: 'm' },
    ...{ heldNano: '1000', day: 20_000, keepAnswer: true, policy: {} },
    ...changes,
  }) as Ticket;
const sent = (requestId: string, changes: Partial<Ticket> = {}): DispatchedCall => ({
  ticket: ticketOf(requestId, changes),
  dispatched: { attempt: 1, upstream: 'openai' },
});
const ending = (reply: Reply | null, changes: Partial<EndDetails> = {}): EndDetails => ({
  detail: {},
  reply,
  ...changes,
});
const posting = (reply: Reply | null, changes: { kept?: Reply } = {}) => ({
  ...{ ...ending(reply), costNano: 400n, usedTokens: 50 },
  ...changes,
});

const KEPT = { all: 1e9, ofKey: 1e9 };
const box = new ContentBox(randomBytes(32));
let money: Money;
let ender: CallEnder;
let refusals: RecentRefusals;
beforeAll(async () => {
  money = await Money.start();
  refusals = new RecentRefusals(money.redis);
  ender = new CallEnder(money.holds, box, KEPT, refusals);
});
afterAll(() => money.stop());
beforeEach(async () => {
  await money.reset();
  await money.campaign();
  await money.key();
});

const named = { idempotency: { nameHash: 'name', fingerprint: 'body' } };
const last = async () => (await money.journal()).at(-1)!;
const keyBalance = () => money.balance(redisKeys.key('k'));
/** What waits on a reply stream: for whom, and encrypted. */
const replies = async (replyTo = 'door') =>
  (await money.redis.xrangeBuffer(redisKeys.reply(replyTo), '-', '+')).map(([, flat]) => {
    const field = (name: string) => flat[flat.findIndex((each) => each.toString() === name) + 1]!;
    return { id: field('id').toString(), payload: field('payload') };
  });

describe('the end of a call', () => {
  it('that is a refusal is noted for the holder of the key, once', async () => {
    await money.take('r');
    await ender.void(sent('r'), ending(BLOCKED));
    await ender.void(sent('r'), ending(BLOCKED));
    await money.take('answered');
    await ender.void(sent('answered'), ending(answer()));
    await refusals.flush();
    expect(await refusals.of('k')).toMatchObject([{ code: 'moderation_blocked', request_id: 'r' }]);
  });

  it.each([
    ['post', () => ender.post(sent('r'), posting(answer())), { spent: 400, held: 0 }],
    ['void', () => ender.void(sent('r'), ending(answer())), { spent: 0, held: 0 }],
    ['void', () => ender.refuse(sent('r'), largerThanLane(), META), { spent: 0, held: 0 }],
    ['presume', () => ender.presume(sent('r'), ending(answer())), { spent: 1_000, held: 0 }],
  ] as const)('moves its money and answers its visitor: %s', async (kind, end, balance) => {
    await money.dispatched('r');
    expect((await end()).outcome).toBe('applied');
    expect(await last()).toMatchObject({ kind, request: 'r', key: 'k', campaign: 'c' });
    expect(await keyBalance()).toEqual(balance);
    expect((await replies()).map(({ id }) => id)).toEqual(['r']);
  });

  it('seals the reply for its own request id, and sends it to the ingress that waits', async () => {
    await money.dispatched('r');
    await ender.post(sent('r', { replyTo: 'other door' }), posting(answer('{"said":"hello"}')));
    expect(await replies()).toEqual([]);
    const { payload } = (await replies('other door'))[0]!;
    expect(JSON.parse(box.open(payload, 'r'))).toEqual(answer('{"said":"hello"}'));
    expect(() => box.open(payload, 's')).toThrow('authenticate');
  });

  it('answers nobody where the visitor is gone', async () => {
    await money.dispatched('r');
    await ender.presume(sent('r'), ending(null));
    expect(await replies()).toEqual([]);
  });

  it('tells the journal what the caller knows, and of a refusal the reason', async () => {
    await money.dispatched('r');
    await ender.void(sent('r'), ending(null, { detail: { reason: 'visitor left' } }));
    expect(JSON.parse((await last()).detail!)).toEqual({ reason: 'visitor left' });
    await money.take('s');
    await ender.refuse({ ticket: ticketOf('s') }, largerThanLane(), META, { model: 'm' });
    expect(JSON.parse((await last()).detail!)).toEqual({ model: 'm', reason: 'rate_limit_exceeded' });
  });

  it('corrects what the windows reserved', async () => {
    await money.dispatched('r');
    await ender.post(sent('r'), posting(answer()));
    expect((await money.window(redisKeys.keyWindow('k'))).tokens).toBe(50);
  });

  it('books a call that Redis lost, for whoever dispatched it, on the day of its hold', async () => {
    expect((await ender.post(sent('lost'), posting(answer()))).outcome).toBe('applied');
    expect(await last()).toMatchObject({ kind: 'post', amount: '1000', paid: '400', day: '20000', upstream: 'openai' });
    expect((await ender.void({ ticket: ticketOf('never') }, ending(answer()))).outcome).toBe('missing');
  });

  it('brings its verdicts into the record', async () => {
    await money.take('r');
    const event = { kind: 'check', id: 'chk_1' } as unknown as CheckEvent;
    await ender.void({ ticket: ticketOf('r') }, ending(BLOCKED, { events: [{ event, encrypted: null }] }));
    expect(await money.redis.xlen(redisKeys.audit)).toBe(1);
  });

  it('is said again while Redis is mended', async () => {
    await money.dispatched('r');
    await new Door(money.redis).close();
    const end = ender.post(sent('r'), posting(answer()));
    await sleep(120);
    await new Door(money.redis).set('open', 1);
    expect((await end).outcome).toBe('applied');
  });
});

describe('a strike', () => {
  const struck = (policy: object, strike: boolean) =>
    ender.void({ ticket: ticketOf('r', { policy: policy as Ticket['policy'] }) }, ending(BLOCKED, { strike }));
  const strikes = async () => (await money.journal()).flatMap(({ step }) => (step === undefined ? [] : [step]));
  const consequences = { strikes: { cooldownAfter: 0, cooldownMs: 0, suspendAfter: 1, windowMs: 0 } };

  it.each([
    ['has the consequences that the policy names', consequences, true, ['suspend']],
    ['is counted where the policy names none', {}, true, ['warn']],
    ['is for refused contents only', consequences, false, []],
  ] as const)('%s', async (_, policy, strike, steps) => {
    await money.take('r');
    await struck(policy, strike);
    expect(await strikes()).toEqual(steps);
  });
});

describe('what a repeat under the idempotency key hears', () => {
  /** Of a call that came with a key, unless `ticket` says otherwise. */
  const heard = async (end: (call: DispatchedCall) => Promise<unknown>, ticket: Partial<Ticket> = {}) => {
    await money.take('first', named);
    await money.start('first');
    await end(sent('first', ticket));
    const { code } = await money.take('again', named);
    const kept = code === 'answered' ? await money.holds.keptAnswer('k', 'name') : null;
    return [code, kept && (await readKeptReply(box, 'first', kept))];
  };

  it.each([
    ['a posted answer', answer('posted'), posting(answer('posted'))],
    ['a whole stream instead of its end', answer('whole'), posting(STREAM_END, { kept: answer('whole') })],
  ])('%s', async (_, kept, booked) => {
    expect(await heard((call) => ender.post(call, booked))).toEqual(['answered', kept]);
  });

  it('what was refused for good: a voided input, a presumed end', async () => {
    expect(await heard((call) => ender.void(call, ending(BLOCKED)))).toEqual(['answered', BLOCKED]);
    await money.redis.del(redisKeys.idempotency('k', 'name'), redisKeys.hold('first'));
    expect(await heard((call) => ender.presume(call, ending(BLOCKED)))).toEqual(['answered', BLOCKED]);
  });

  it.each([
    ['was voided without an answer', (call: DispatchedCall) => ender.void(call, ending(null))],
    ['was voided with an answer that asks for a retry', (call) => ender.void(call, ending(TRY_AGAIN))],
    ['was voided in the middle of a stream', (call) => ender.void(call, ending(STREAM_END))],
    ['was refused, even for good', (call) => ender.refuse(call, largerThanLane(), META)],
  ] as [string, (call: DispatchedCall) => Promise<unknown>][])(
    'nothing, and runs anew, where it %s',
    async (_, end) => {
      expect(await heard(end)).toEqual(['ok', null]);
    },
  );

  it.each([
    ['was posted to a visitor who left', (call: DispatchedCall) => ender.post(call, posting(null))],
    ['was a stream of which nothing is kept', (call) => ender.post(call, posting(STREAM_END))],
    ['was a stream too large to keep', (call) => ender.post(call, posting(STREAM_END, { kept: answer(LARGE) }))],
    ['was presumed without an answer', (call) => ender.presume(call, ending(null))],
  ] as [string, (call: DispatchedCall) => Promise<unknown>][])(
    'that it is paid for and unanswered, where it %s',
    async (_, end) => {
      expect(await heard(end)).toEqual(['unanswered', null]);
    },
  );

  it.each([
    ['post', 'unanswered', (call: DispatchedCall) => ender.post(call, posting(answer(), { kept: answer() }))],
    ['void', 'ok', (call) => ender.void(call, ending(BLOCKED))],
    ['presume', 'unanswered', (call) => ender.presume(call, ending(BLOCKED))],
  ] as [string, string, (call: DispatchedCall) => Promise<unknown>][])(
    'no answer where the ticket says that none is kept: %s',
    async (_, code, end) => {
      expect(await heard(end, { keepAnswer: false })).toEqual([code, null]);
    },
  );
});

describe('a call that nobody waits for', () => {
  const cancel = () => ender.cancel(ticketOf('r'), 'visitor left');

  it('is voided while it waits, and its answer does not come', async () => {
    await money.take('r');
    expect(await cancel()).toBe('voided');
    expect(await last()).toMatchObject({ kind: 'void', detail: '{"reason":"visitor left"}' });
    expect([await keyBalance(), await replies()]).toEqual([{ spent: 0, held: 0 }, []]);
  });

  it('is left to the worker that runs it', async () => {
    await money.dispatched('r');
    expect(await cancel()).toBe('running');
    expect(await keyBalance()).toEqual({ spent: 0, held: 1_000 });
  });

  it('is known as ended, or as lost', async () => {
    expect(await cancel()).toBe('lost');
    await money.take('r');
    await ender.void({ ticket: ticketOf('r') }, ending(answer()));
    expect(await cancel()).toBe('ended');
  });

  it('is not insisted on while Redis is mended', async () => {
    await money.take('r');
    await new Door(money.redis).close();
    expect(await cancel()).toBe('recovering');
  });
});
