import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { formatUsd, parseUsd } from '#libs/money/nano.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import { laneUpstream } from '#libs/holds/money.fixture.js';
import type { HoldRequest } from '#libs/holds/hold.types.js';
import { BOUNDS, holdRequest } from '#libs/holds/money.fixture.js';
import { Arena, billOf } from './arena.js';
import { scenario } from './scenario.js';

/** What 100 output tokens cost at most, beyond the least that a call needs. */
const CAP_NANO = 84n * 4_500n;

describe('money', () => {
  let arena: Arena;
  let direct: Redis;
  let holds: HoldStore;
  beforeAll(async () => {
    arena = await Arena.start();
    direct = new Redis(arena.daypass.redisUrl);
    holds = new HoldStore(direct);
  }, 90_000);
  afterAll(async () => {
    direct?.disconnect();
    await arena?.stop();
  });
  afterEach(() => arena.clear());

  const request = (
    key: { id: string; campaignId: string },
    requestId: string,
    changes: Partial<HoldRequest> = {},
  ): HoldRequest =>
    holdRequest(requestId, { keyId: key.id, campaignId: key.campaignId, replyTo: 'nobody', ...changes });

  scenario(1, '500 parallel calls, money for 7', { quick: true }, async () => {
    // What its calls need at least is learned from its own refusal: the same words are the same tokens.
    const key = await arena.key('0.000001');
    const { text } = await arena.call(key);
    const leastNano = parseUsd(/"needed_usd":"([\d.]+)"/.exec(text)![1]!);
    const neededNano = leastNano + CAP_NANO;
    const budgetNano = 7n * neededNano + neededNano / 2n;
    const funded = await arena.daypass.admin(`/admin/v1/keys/${key.id}`, {
      method: 'PATCH',
      body: { budget_usd: formatUsd(budgetNano) },
    });
    expect(funded.status).toBe(200);
    let running = 0;
    let most = 0;
    const sevenRun = Promise.withResolvers<void>();
    arena.daypass.rehearsal.onChat = async (body) => {
      if (body.max_tokens !== 100) return { content: 'short' };
      most = Math.max(most, ++running);
      if (running === 7) sevenRun.resolve();
      await Promise.race([sevenRun.promise, sleep(10_000)]);
      await sleep(100);
      running--;
      return { content: 'x '.repeat(100), usage: { prompt_tokens: 30, completion_tokens: 100 } };
    };
    const outcomes = await Promise.all(Array.from({ length: 500 }, () => arena.call(key)));
    const answered = outcomes.filter(({ status }) => status === 200).length;
    const refused = outcomes.filter(({ code }) => code === 'insufficient_quota').length;
    expect(answered + refused).toBe(500);
    expect(most).toBe(7);
    expect(answered).toBeGreaterThanOrEqual(7);
    // Each upstream call was answered and its bill booked to the nano-dollar; nothing was refused that the rest would have carried.
    const sent = arena.upstream.filter(({ body }) => JSON.stringify(body.messages).includes(key.id));
    const spentNano = parseUsd((await arena.daypass.admin(`/admin/v1/keys/${key.id}`)).body.spent_usd as string);
    expect(sent).toHaveLength(answered);
    expect(spentNano).toBe(sent.reduce((sum, call) => sum + billOf(call), 0n));
    expect(budgetNano - spentNano).toBeLessThan(leastNano);
    return `${answered} answered, ${refused} refused, at most ${most} at once; ${await arena.holds()}`;
  });

  scenario(2, 'any story of holds, ends, top-ups and suspensions', { quick: true }, async () => {
    let steps = 0;
    const step = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({
          say: fc.constant('take' as const),
          call: fc.nat(11),
          tokens: fc.integer({ min: 1, max: 100 }),
        }),
      },
      { weight: 3, arbitrary: fc.record({ say: fc.constant('start' as const), call: fc.nat(11) }) },
      {
        weight: 4,
        arbitrary: fc.record({
          say: fc.constantFrom('post', 'void', 'presume', 'cancel' as const),
          call: fc.nat(11),
          cost: fc.nat(1_500),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ say: fc.constant('budget' as const), nano: fc.integer({ min: 0, max: 6_000 }) }),
      },
      { weight: 1, arbitrary: fc.record({ say: fc.constantFrom('suspend', 'reinstate' as const) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 15, maxLength: 40 }), fc.nat(1e9), async (story, run) => {
        const key = await arena.key('0.000004');
        arena.withoutUpstream.add(key.id);
        const book = { budget: 4_000, spent: 0, held: 0, suspended: false };
        const calls = new Map<number, { amount: number; state: string; paid: number }>();
        const idOf = (call: number): string => `story-${run}-${call}-${key.id}`;
        for (const sentence of story) {
          steps++;
          if (sentence.say === 'take') {
            const known = calls.get(sentence.call);
            const answer = await holds.take(
              request(key, idOf(sentence.call), { capTokens: sentence.tokens, leastCapTokens: sentence.tokens }),
              BOUNDS,
            );
            if (known) continue;
            const amount = 100 + 10 * sentence.tokens;
            const fits = book.spent + book.held + amount <= book.budget;
            expect(answer.code).toBe(book.suspended ? 'suspended' : fits ? 'ok' : 'insufficient');
            if (answer.code !== 'ok') continue;
            book.held += amount;
            calls.set(sentence.call, { amount, state: 'held', paid: 0 });
          } else if (sentence.say === 'start') {
            const known = calls.get(sentence.call);
            const requestId = idOf(sentence.call);
            const answer = await holds.start({
              requestId,
              keyId: key.id,
              campaignId: key.campaignId,
              lane: 'lane',
              tokens: 1,
              upstreams: [laneUpstream()],
              nonce: requestId,
            });
            if (known?.state === 'held') {
              expect(answer.code).toBe(book.suspended ? 'suspended' : 'started');
              if (answer.code === 'started') known.state = 'dispatched';
            }
          } else if (sentence.say === 'budget') {
            const { status } = await arena.daypass.admin(`/admin/v1/keys/${key.id}`, {
              method: 'PATCH',
              body: { budget_usd: formatUsd(BigInt(sentence.nano)) },
            });
            const covered = sentence.nano >= book.spent + book.held || sentence.nano >= book.budget;
            expect(status).toBe(covered ? 200 : 409);
            if (covered) book.budget = sentence.nano;
          } else if ('cost' in sentence) {
            const known = calls.get(sentence.call);
            const end = {
              requestId: idOf(sentence.call),
              keyId: key.id,
              campaignId: key.campaignId,
              lane: 'lane',
              replyTo: 'nobody',
              detail: {},
            };
            const answer = await holds.end({ ...end, transition: sentence.say, costNano: BigInt(sentence.cost) });
            if (!known) {
              expect(answer.outcome).toBe('missing');
              continue;
            }
            endInBook(book, known, sentence.say, sentence.cost);
            expect(answer.state).toBe(known.state);
          } else {
            await arena.daypass.admin(`/admin/v1/keys/${key.id}/${sentence.say}`, { body: {} });
            book.suspended = sentence.say === 'suspend';
          }
          const [spent, held] = await arena.redis.hmget(`{dp}:key:${key.id}`, 'spent', 'held');
          expect({ spent: Number(spent), held: Number(held) }).toEqual({ spent: book.spent, held: book.held });
          expect(book.spent + book.held).toBeLessThanOrEqual(book.budget);
        }
        // These calls never went upstream: none may stay behind as a spend that the bill does not know.
        for (const [call, known] of calls) {
          const end = {
            requestId: idOf(call),
            keyId: key.id,
            campaignId: key.campaignId,
            lane: 'lane',
            replyTo: 'nobody',
            detail: {},
          };
          if (known.state !== 'posted' && known.state !== 'voided') await holds.end({ ...end, transition: 'void' });
        }
      }),
      { numRuns: 12 },
    );
    await arena.until(async () => (await arena.redis.zcard('{dp}:leases')) === 0, 'no hold is left');
    const { body } = await arena.daypass.admin('/admin/v1/ledger/verify');
    // They were made at the scripts, without an upstream: that a spend has its dispatch is checked where there is one.
    expect([body.problems, body.differences]).toEqual([[], []]);
    return `${steps} steps agree with a reference ledger, books sound`;
  });

  scenario(3, 'the reply to a hold dropped after it was applied', { quick: true }, async () => {
    const key = await arena.key();
    const dropped = arena.daypass.redisProxy!.dropReplyTo('"input_tokens"');
    const outcome = await arena.call(key);
    await dropped;
    expect(outcome.status).toBe(200);
    const { rows } = await arena.sql.query(`SELECT id FROM ledger.transfers WHERE key_id = $1 AND kind = 'hold'`, [
      key.id,
    ]);
    expect(rows.length).toBeLessThanOrEqual(1);
    return `answered, held once; ${await arena.holds()}`;
  });

  scenario(4, 'the same id with another amount', { quick: true }, async () => {
    const key = await arena.key();
    const first = await holds.take(request(key, 'twice'), BOUNDS);
    const same = await holds.take(request(key, 'twice'), BOUNDS);
    const other = await holds.take(request(key, 'twice', { capTokens: 80 }), BOUNDS);
    expect([first.code, same.code, other.code]).toEqual(['ok', 'ok', 'conflict']);
    expect(await arena.redis.hget(`{dp}:key:${key.id}`, 'held')).toBe('1000');
    await holds.end({
      requestId: 'twice',
      keyId: key.id,
      campaignId: key.campaignId,
      lane: 'lane',
      replyTo: 'nobody',
      transition: 'void',
      detail: {},
    });
    return `refused as a conflict, held once; ${await arena.holds()}`;
  });

  scenario(22, 'usage above the bound', { quick: true }, async () => {
    const key = await arena.key();
    arena.daypass.rehearsal.onChat = () => ({
      content: 'hello',
      usage: { prompt_tokens: 50_000, completion_tokens: 9_000 },
    });
    const outcome = await arena.call(key);
    arena.daypass.rehearsal.onChat = undefined;
    expect(outcome.status).toBe(200);
    await arena.until(async () => {
      const found = await arena.sql.query<{ absorbed: string }>(
        `SELECT coalesce(-sum(amount_nano), 0) AS absorbed FROM ledger.entries WHERE account = 'absorbed'`,
      );
      return BigInt(found.rows[0]!.absorbed) > 0n;
    }, 'the rest is absorbed');
    const metrics = await (await fetch(`${arena.daypass.opsUrls.forwarding}/metrics`)).text();
    expect(metrics).toMatch(/bound_exceeded\S* [1-9]/);
    return `the visitor pays the bound, the operator absorbs the rest, and a metric says so; ${await arena.holds()}`;
  });

  scenario(23, 'a key revoked, expired or suspended while its call waits', { quick: true }, async () => {
    const codes: string[] = [];
    for (const what of ['revoke', 'suspend', 'expire']) {
      const key = await arena.key('1.00', what === 'expire' ? { key: { ttl_seconds: 3 } } : {});
      // The lane is closed for a while, so that the call waits.
      await arena.redis.hset('{dp}:window:lane:default', 'frozen_until_ms', String(Date.now() + 4_000));
      const waiting = arena.call(key);
      await arena.until(
        async () => (await arena.redis.hget(`{dp}:key:${key.id}`, 'running')) === '1',
        'the call waits',
      );
      if (what !== 'expire') await arena.daypass.admin(`/admin/v1/keys/${key.id}/${what}`, { body: {} });
      const outcome = await waiting;
      codes.push(`${what}: ${outcome.status} ${outcome.code}`);
      expect(arena.upstream.filter((call) => JSON.stringify(call.body).includes(key.id))).toEqual([]);
    }
    expect(codes).toEqual(['revoke: 401 invalid_api_key', 'suspend: 403 key_suspended', 'expire: 401 invalid_api_key']);
    return `never sent (401, 403, 401); ${await arena.holds()}`;
  });
});

function endInBook(
  book: { budget: number; spent: number; held: number },
  call: { amount: number; state: string; paid: number },
  transition: 'post' | 'void' | 'presume' | 'cancel',
  cost: number,
): void {
  const paid = Math.min(cost, call.amount);
  if (call.state === 'presumed' && (transition === 'post' || transition === 'void')) {
    const owed = transition === 'post' ? paid : 0;
    book.spent -= call.amount - owed;
    Object.assign(call, { state: transition === 'post' ? 'posted' : 'voided', paid: owed });
    return;
  }
  if (call.state !== 'held' && call.state !== 'dispatched') return;
  if (call.state === 'dispatched' && transition === 'cancel') return;
  if (call.state === 'held' && transition === 'post') return;
  book.held -= call.amount;
  if (transition === 'post') Object.assign(call, { state: 'posted', paid });
  else if (transition === 'presume' && call.state === 'dispatched')
    Object.assign(call, { state: 'presumed', paid: call.amount });
  else Object.assign(call, { state: 'voided' });
  book.spent += call.paid;
}
