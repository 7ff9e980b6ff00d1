import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { EndRequest } from './hold.types.js';
import { redisKeys } from '#libs/redis/keys.js';
import { Money } from './money.fixture.js';

/*
 * A plain ledger in memory beside the scripts: both are told the same random story, and must agree after every sentence.
 */
interface Level {
  budget: number;
  spent: number;
  held: number;
  absorbed: number;
}
interface Hold {
  key: string;
  campaign: string;
  cap: number;
  amount: number;
  state: 'held' | 'dispatched' | 'posted' | 'voided' | 'presumed';
  attempt: number;
  paid: number;
  absorbed: number;
  fixed: number;
  rate: number;
  asked: number;
  least: number;
}

const KEYS = ['k0', 'k1', 'k2', 'k3'];
const campaignOf = (key: string) => (key === 'k3' ? 'c1' : 'c0');
const DAY_BUDGET = 9_000;
const TOTAL_BUDGET = 8_500;
const OUTSIDE_WINDOWS = 1_000_000_000;

class Ledger {
  readonly keys = new Map<string, Level>();
  readonly campaigns = new Map<string, Level>();
  readonly day: Level = { budget: DAY_BUDGET, spent: 0, held: 0, absorbed: 0 };
  readonly total: Level = { budget: TOTAL_BUDGET, spent: 0, held: 0, absorbed: 0 };
  readonly holds = new Map<string, Hold>();
  absorbed = 0;

  levels(key: string): [string, Level][] {
    return [
      ['key', this.keys.get(key)!],
      ['campaign', this.campaigns.get(campaignOf(key))!],
      ['operator', this.day],
      ['operator', this.total],
    ];
  }

  take(id: string, key: string, fixed: number, rate: number, asked: number, least: number): string {
    const known = this.holds.get(id);
    if (known) {
      const same =
        known.key === key &&
        known.fixed === fixed &&
        known.rate === rate &&
        known.asked === asked &&
        known.least === least;
      return same ? `ok ${known.cap} ${known.amount}` : 'conflict';
    }
    let cap = asked;
    for (const [name, { budget, spent, held, absorbed }] of this.levels(key)) {
      const free = budget - spent - held - (name === 'key' ? 0 : absorbed);
      while (cap >= least && fixed + rate * cap > free) cap--;
      if (cap < least) return `insufficient ${name}`;
    }
    const amount = fixed + rate * cap;
    for (const [, level] of this.levels(key)) level.held += amount;
    this.holds.set(id, {
      key,
      campaign: campaignOf(key),
      cap,
      amount,
      state: 'held',
      attempt: 0,
      paid: 0,
      absorbed: 0,
      fixed,
      rate,
      asked,
      least,
    });
    return `ok ${cap} ${amount}`;
  }

  start(id: string): string {
    const hold = this.holds.get(id);
    if (hold?.state !== 'held') return `ended ${hold?.state ?? 'missing'}`;
    hold.state = 'dispatched';
    return `started ${++hold.attempt}`;
  }

  defer(id: string, attempt: number): boolean {
    const hold = this.holds.get(id);
    if (!hold || hold.attempt !== attempt || attempt === 0) return false;
    if (hold.state === 'dispatched') hold.state = 'held';
    return hold.state === 'held';
  }

  end(id: string, transition: EndRequest['transition'], cost: number, lapsed: boolean): string {
    const hold = this.holds.get(id);
    if (!hold) return 'missing';
    const paid = Math.min(cost, hold.amount);
    if (hold.state === 'presumed' && (transition === 'post' || transition === 'void')) {
      const [owed, absorbed] = transition === 'post' ? [paid, cost - paid] : [0, 0];
      for (const [, level] of this.levels(hold.key)) {
        level.spent -= hold.amount - owed;
        level.absorbed += absorbed;
      }
      Object.assign(hold, { state: transition === 'post' ? 'posted' : 'voided', paid: owed, absorbed });
      this.absorbed += absorbed;
      return 'corrected';
    }
    if (hold.state !== 'held' && hold.state !== 'dispatched') return 'repeated';
    if (transition === 'cancel' && hold.state === 'dispatched') return 'running';
    if (transition === 'post' && hold.state === 'held') return 'refused';
    if (transition === 'expire' && !lapsed) return 'leased';
    if (transition === 'post') Object.assign(hold, { state: 'posted', paid, absorbed: cost - paid });
    else if (hold.state === 'dispatched' && transition !== 'void')
      Object.assign(hold, { state: 'presumed', paid: hold.amount });
    else hold.state = 'voided';
    this.absorbed += hold.absorbed;
    for (const [, level] of this.levels(hold.key)) {
      level.held -= hold.amount;
      level.spent += hold.paid;
      level.absorbed += hold.absorbed;
    }
    return 'applied';
  }
}

const id = fc.nat(24).map((number) => `r${number}`);
const sentences = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        say: fc.constant('take' as const),
        id,
        key: fc.constantFrom(...KEYS),
        fixed: fc.nat(400),
        rate: fc.nat(12),
        asked: fc.integer({ min: 1, max: 120 }),
        clamps: fc.boolean(),
      }),
    },
    { weight: 4, arbitrary: fc.record({ say: fc.constant('start' as const), id }) },
    {
      weight: 1,
      arbitrary: fc.record({ say: fc.constant('defer' as const), id, attempt: fc.integer({ min: 0, max: 3 }) }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        say: fc.constant('end' as const),
        id,
        transition: fc.constantFrom('post', 'post', 'void', 'cancel', 'presume', 'expire' as const),
        cost: fc.nat(1_800),
        lapses: fc.boolean(),
        used: fc.option(fc.nat(500)),
      }),
    },
  ),
  { minLength: 20, maxLength: 150 },
);

let money: Money;
beforeAll(async () => {
  money = await Money.start();
});
afterAll(() => money.stop());

async function agree(ledger: Ledger, day: string): Promise<void> {
  const levels: [string, Level][] = [
    ...[...ledger.keys].map(([key, level]): [string, Level] => [redisKeys.key(key), level]),
    ...[...ledger.campaigns].map(([campaign, level]): [string, Level] => [redisKeys.campaign(campaign), level]),
    [day, ledger.day],
    [redisKeys.operatorTotal, ledger.total],
  ];
  for (const [hash, level] of levels) {
    const { spent, held } = await money.balance(hash);
    const absorbed = Number((await money.redis.hget(hash, 'absorbed')) ?? 0);
    expect({ hash, spent, held, absorbed }).toEqual({
      hash,
      spent: level.spent,
      held: level.held,
      absorbed: level.absorbed,
    });
    expect(spent + held).toBeLessThanOrEqual(level.budget);
    expect(Math.min(spent, held)).toBeGreaterThanOrEqual(0);
  }
}

/** What an accountant who sees nothing but the journal would say that each account spent and holds. */
function readJournal(
  entries: readonly Record<string, string>[],
  field: 'key' | 'campaign',
): Map<string, { spent: number; held: number }> {
  const books = new Map<string, { spent: number; held: number }>();
  for (const entry of entries) {
    const book = books.get(entry[field]!) ?? { spent: 0, held: 0 };
    books.set(entry[field]!, book);
    const [amount, paid] = [Number(entry.amount), Number(entry.paid)];
    if (entry.kind === 'hold') book.held += amount;
    else if (entry.kind === 'dispatch' || entry.kind === 'defer') continue;
    else if (entry.kind === 'correct') book.spent -= amount - paid;
    else {
      book.held -= amount;
      book.spent += paid;
    }
  }
  return books;
}

describe('money under any story', () => {
  it('is where a plain ledger says it is, never above a budget, and the journal alone can tell', async () => {
    await fc.assert(
      fc.asyncProperty(
        sentences,
        fc.array(fc.integer({ min: 200, max: 6_000 }), { minLength: 6, maxLength: 6 }),
        async (story, budgets) => {
          await money.reset();
          const ledger = new Ledger();
          for (const [index, campaign] of ['c0', 'c1'].entries()) {
            ledger.campaigns.set(campaign, { budget: budgets[index]!, spent: 0, held: 0, absorbed: 0 });
            await money.campaign({ id: campaign, budgetNano: BigInt(budgets[index]!) });
          }
          for (const [index, key] of KEYS.entries()) {
            ledger.keys.set(key, { budget: budgets[index + 2]!, spent: 0, held: 0, absorbed: 0 });
            await money.key({ id: key, campaignId: campaignOf(key), budgetNano: BigInt(budgets[index + 2]!) });
          }
          const day = await money.today();

          for (const sentence of story) {
            const { say, id: requestId } = sentence;
            const hold = ledger.holds.get(requestId);
            if (say === 'take') {
              const { key, fixed, rate, asked } = sentence;
              const least = sentence.clamps ? Math.min(16, asked) : asked;
              const answer = await money.take(
                requestId,
                {
                  keyId: key,
                  campaignId: campaignOf(key),
                  fixedNano: BigInt(fixed),
                  perUnitNano: BigInt(rate),
                  capTokens: asked,
                  leastCapTokens: least,
                },
                { operatorDayNano: BigInt(DAY_BUDGET), operatorTotalNano: BigInt(TOTAL_BUDGET) },
              );
              const outcome =
                answer.code === 'ok'
                  ? `ok ${answer.capTokens} ${answer.amountNano}`
                  : answer.code === 'insufficient'
                    ? `insufficient ${answer.level}`
                    : answer.code;
              expect(outcome).toBe(ledger.take(requestId, key, fixed, rate, asked, least));
            } else if (say === 'start') {
              const answer = await money.start(requestId, {
                keyId: hold?.key ?? 'k0',
                campaignId: hold?.campaign ?? 'c0',
                tpm: OUTSIDE_WINDOWS,
              });
              if (answer.code === 'wait') continue; // A deferral just before froze the lane for a millisecond.
              expect(
                answer.code === 'started'
                  ? `started ${answer.attempt}`
                  : answer.code === 'ended'
                    ? `ended ${answer.state}`
                    : answer.code,
              ).toBe(ledger.start(requestId));
            } else if (say === 'defer') {
              expect(
                await money.holds.defer({
                  requestId,
                  lane: 'lane',
                  slot: 'lane',
                  attempt: sentence.attempt,
                  freezeMs: 0,
                }),
              ).toBe(ledger.defer(requestId, sentence.attempt));
            } else {
              if (sentence.lapses) await money.lapse(requestId);
              const lapsed = sentence.lapses;
              const answer = await money.end(requestId, sentence.transition, {
                keyId: hold?.key ?? 'k0',
                campaignId: hold?.campaign ?? 'c0',
                costNano: BigInt(sentence.cost),
                ...(sentence.used === null ? {} : { usedTokens: sentence.used }),
              });
              expect(answer.outcome).toBe(ledger.end(requestId, sentence.transition, sentence.cost, lapsed));
              if (hold)
                expect({ state: answer.state, paid: answer.paidNano }).toEqual({
                  state: hold.state,
                  paid: BigInt(hold.paid),
                });
              // A lease that lapsed and was not used counts as renewed, as its holder would have done.
              if (sentence.lapses) await money.redis.zadd(redisKeys.leases, 'XX', Date.now() + 60_000, requestId);
            }
            await agree(ledger, day);
          }

          const entries = await money.journal();
          for (const [field, levels] of [
            ['key', ledger.keys],
            ['campaign', ledger.campaigns],
          ] as const) {
            const books = readJournal(entries, field);
            for (const [account, { spent, held }] of levels)
              expect({ account, ...(books.get(account) ?? { spent: 0, held: 0 }) }).toEqual({ account, spent, held });
          }
          expect(entries.reduce((sum, { absorbed }) => sum + Number(absorbed), 0)).toBe(ledger.absorbed);
          const holds = [...ledger.holds];
          const open = holds.filter(([, { state }]) => state === 'held' || state === 'dispatched');
          expect((await money.redis.zrange(redisKeys.leases, 0, -1)).sort()).toEqual(
            open.map(([requestId]) => requestId).sort(),
          );
          for (const key of KEYS) {
            expect(Number((await money.redis.hget(redisKeys.key(key), 'running')) ?? 0)).toBe(
              open.filter(([, hold]) => hold.key === key).length,
            );
          }
          for (const [requestId, hold] of holds) {
            const life = await money.redis.pttl(redisKeys.hold(requestId));
            expect({ requestId, ends: life > 0 }).toEqual({
              requestId,
              ends: hold.state !== 'held' && hold.state !== 'dispatched',
            });
          }
        },
      ),
      { numRuns: 40 },
    );
  }, 240_000);
});
