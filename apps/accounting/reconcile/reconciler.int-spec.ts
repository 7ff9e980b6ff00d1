import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { redisKeys } from '#libs/redis/keys.js';
import { Rehearsal } from '#libs/rehearsal/rehearsal.js';
import { EMBEDDINGS } from '#libs/endpoints/embeddings/embeddings.endpoint.js';
import { apiKeyIdOf, type UsageReport } from '#libs/rehearsal/rehearsal.usage.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { dayOf } from '../domain/period.js';
import { ReconcileRepository } from './reconcile.repository.js';
import { Reconciler, type RunFigures } from './reconciler.js';

const model = 'gpt-5.4-mini';
const rates = { input: 750, cachedInput: 75, cacheWrite: 750, output: 4_500 };
const MINUTE_MS = 60_000;
const OUR_KEY = apiKeyIdOf('Bearer sk-ours');
const HELD_NANO = 1_000_000n;

let rehearsal: Rehearsal;
let accounting: AccountingFixture;
let key: { id: string };
let campaignId: string;

beforeAll(async () => {
  rehearsal = await Rehearsal.start();
});
// A presumed call of one test would count against the calls of the next.
beforeEach(async () => {
  rehearsal.reset();
  accounting = await AccountingFixture.start({
    OPENAI_BASE_URL: rehearsal.url,
    OPENAI_ADMIN_KEY: 'sk-admin-test',
    OPENAI_API_KEY_ID: OUR_KEY,
    DAYPASS_REPORT_DELAY_MS: '0',
    DAYPASS_RECONCILE_EVERY_MS: '86400000',
  });
  campaignId = (await accounting.createCampaign('c', { budget_usd: '100' })).id;
  key = await accounting.createKey('c', { budget_usd: '1' });
});
afterEach(() => accounting.stop());
afterAll(() => rehearsal.stop());

interface PastCall {
  minutesAgo: number;
  durationMs?: number;
  /** How the call was booked: `presumed`, or with the usage of its answer. */
  booked: 'presumed' | { input: number; output: number };
  model?: string;
  served?: string;
  withoutRates?: boolean;
  endpoint?: string;
  /** Its upstream, if not the first. */
  upstream?: string;
}

const usageOf = ({ input, output }: { input: number; output: number }) => ({
  prompt_tokens: input,
  completion_tokens: output,
  total_tokens: input + output,
  prompt_tokens_details: { cached_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 0 },
});
const costOf = ({ input, output }: { input: number; output: number }): bigint =>
  BigInt(input * rates.input + output * rates.output);

/** A past call with its journal entries and balances, as the scripts would leave them. Returns its request id. */
async function past(call: PastCall): Promise<string> {
  const { minutesAgo, durationMs = 2_000, booked } = call;
  const atMs = Date.now() - minutesAgo * MINUTE_MS;
  const request = `req_${atMs.toString(16).padStart(12, '0')}${randomBytes(10).toString('hex')}`;
  const cost = booked === 'presumed' ? HELD_NANO : costOf(booked);
  const day = dayOf(atMs);
  const journal = async (kind: string, at: number, paid: bigint, detail: object): Promise<void> => {
    const event = {
      kind,
      request,
      key: key.id,
      campaign: campaignId,
      amount: HELD_NANO,
      paid,
      absorbed: 0,
      day,
      attempt: kind === 'dispatch' ? 1 : 0,
      upstream: call.upstream ?? '',
    };
    await accounting.redis.xadd(
      redisKeys.journal,
      '*',
      ...Object.entries({ ...event, at_ms: at, detail: JSON.stringify(detail) })
        .flat()
        .map(String),
    );
  };
  const named = { model: call.model ?? model, ...(call.upstream ? { upstream: call.upstream } : {}) };
  const api = call.endpoint === undefined ? {} : { endpoint: call.endpoint };
  await journal('hold', atMs, 0n, { ...api, ...named, ...(call.withoutRates ? {} : { rates }) });
  await journal('dispatch', atMs + 10, 0n, {});
  if (booked === 'presumed') await journal('presume', atMs + durationMs, cost, { ...named, reason: 'lease expired' });
  else {
    const usage = { input: booked.input, cached: 0, cacheWrite: 0, output: booked.output };
    await journal('post', atMs + durationMs, cost, {
      ...named,
      usage,
      tier: 'default',
      served: call.served ?? call.model ?? model,
      estimated: false,
    });
  }
  for (const level of [
    redisKeys.key(key.id),
    redisKeys.campaign(campaignId),
    redisKeys.operatorTotal,
    `${redisKeys.operatorPrefix}${day}`,
  ])
    await accounting.redis.hincrby(level, 'spent', cost.toString());
  return request;
}

/** The provider's counts. */
function served(
  minutesAgo: number,
  usage: { input: number; output: number },
  its: { model?: string; apiKeyId?: string; api?: UsageReport } = {},
): void {
  const atMs = Date.now() - minutesAgo * MINUTE_MS + 1_000;
  rehearsal.reports.bill({
    ...(its.api === undefined ? {} : { api: its.api }),
    atMs,
    model: its.model ?? model,
    serviceTier: 'default',
    apiKeyId: its.apiKeyId ?? OUR_KEY,
    usage: usageOf(usage),
  });
}

/** A much later measured call, in the reports and in the books. It proves that the reports reach so far. */
async function later(): Promise<void> {
  served(60, { input: 10, output: 10 });
  await past({ minutesAgo: 60, booked: { input: 10, output: 10 } });
}

async function reconcile(): Promise<RunFigures> {
  await accounting.drained();
  for (;;) {
    const figures = await accounting.app.get(Reconciler).run();
    if (figures !== 'busy') return figures as RunFigures;
    await sleep(20);
  }
}

const spent = async (): Promise<bigint> => BigInt((await accounting.redis.hget(redisKeys.key(key.id), 'spent')) ?? 0);
const verified = async () => {
  await accounting.drained();
  const { ok, problems, differences } = (await accounting.admin('GET', '/admin/v1/ledger/verify')).body;
  return { ok, problems, differences };
};
const SOUND = { ok: true, problems: [], differences: [] };
const LATER_NANO = costOf({ input: 10, output: 10 });

describe('a presumed call', () => {
  it('that the provider never counted is refunded wholly, once', async () => {
    const requestId = await past({ minutesAgo: 180, booked: 'presumed' });
    await later();
    expect(await reconcile()).toEqual({ judged: 1, refunded_usd: '0.001', waiting: 0, incomplete: 0 });
    expect(await spent()).toBe(LATER_NANO);
    expect(await reconcile()).toEqual({ judged: 0, refunded_usd: '0.00', waiting: 0, incomplete: 0 });
    expect(await verified()).toEqual(SOUND);
    const { body } = await accounting.admin('GET', `/admin/v1/keys/${key.id}/transfers`);
    expect(body.data.find(({ kind }: { kind: string }) => kind === 'correct')).toMatchObject({
      request_id: requestId,
      detail: { reason: 'usage report', model },
    });
    const [judgement] = await accounting.source.query(
      'SELECT held_nano, kept_nano, evidence FROM ledger.judgements WHERE request_id = $1',
      [requestId],
    );
    expect(judgement).toMatchObject({
      held_nano: String(HELD_NANO),
      kept_nano: '0',
      evidence: { left: { requests: 0, uncached: 0, output: 0 } },
    });
  });

  it('of embeddings is assessed by their own report, as far as that reaches', async () => {
    const embeddings = { model: 'text-embedding-3-small', endpoint: 'embeddings' };
    const api = { model: embeddings.model, api: 'embeddings' as const };
    await past({ minutesAgo: 180, booked: 'presumed', ...embeddings });
    served(179, { input: 100, output: 0 }, api);
    await later();
    // The report of completions reaches further, and says nothing of embeddings.
    expect(await reconcile()).toMatchObject({ judged: 0, waiting: 1 });
    served(60, { input: 10, output: 0 }, api);
    await past({ minutesAgo: 60, booked: { input: 10, output: 0 }, ...embeddings });
    expect(await reconcile()).toMatchObject({ judged: 1, waiting: 0 });
    expect(await spent()).toBe(costOf({ input: 110, output: 0 }) + LATER_NANO);
    expect(await verified()).toEqual(SOUND);
  });

  describe('of an API whose report counts calls and not what they cost', () => {
    const painter = { model: 'painter', endpoint: EMBEDDINGS.name };
    const api = { model: 'painter', api: 'images' as const };
    /** Booked with its tokens, of which the report says nothing. */
    const laterImage = async (): Promise<void> => {
      served(60, { input: 10, output: 0 }, api);
      await past({ minutesAgo: 60, booked: { input: 10, output: 0 }, ...painter });
    };
    beforeEach(() => void jest.replaceProperty(EMBEDDINGS as { usageReport?: string }, 'usageReport', 'images'));
    afterEach(() => void jest.restoreAllMocks());

    it('is refunded where none of them may be it', async () => {
      await past({ minutesAgo: 180, booked: 'presumed', ...painter });
      await later();
      expect(await reconcile()).toMatchObject({ judged: 0, waiting: 1 });
      await laterImage();
      expect(await reconcile()).toMatchObject({ judged: 1, waiting: 0, incomplete: 0 });
      expect(await spent()).toBe(costOf({ input: 10, output: 0 }) + LATER_NANO);
      expect(await verified()).toEqual(SOUND);
    });

    it('keeps its bound where one may be it', async () => {
      await past({ minutesAgo: 180, booked: 'presumed', ...painter });
      served(179, { input: 1, output: 0 }, api);
      await laterImage();
      expect(await reconcile()).toMatchObject({ judged: 1, waiting: 0 });
      expect(await spent()).toBe(HELD_NANO + costOf({ input: 10, output: 0 }));
    });
  });

  it('of an API that books bounds, and is in no report, is not refunded by the report of completions', async () => {
    const api = EMBEDDINGS as { usageReport?: string | undefined; unreported?: 'bound' };
    const { usageReport } = api;
    Object.assign(api, { usageReport: undefined, unreported: 'bound' });
    try {
      await past({ minutesAgo: 180, booked: 'presumed', endpoint: EMBEDDINGS.name });
      await later();
      expect(await reconcile()).toMatchObject({ judged: 0, waiting: 1 });
      expect(await spent()).toBe(HELD_NANO + LATER_NANO);
    } finally {
      Object.assign(api, { usageReport });
      delete api.unreported;
    }
  });

  it('of a response is assessed by the report of completions, which has both', async () => {
    await past({ minutesAgo: 180, booked: 'presumed', endpoint: 'responses' });
    served(179, { input: 100, output: 20 });
    await past({ minutesAgo: 178, booked: { input: 30, output: 5 } });
    served(177, { input: 30, output: 5 });
    await later();
    expect(await reconcile()).toMatchObject({ judged: 1, waiting: 0 });
    expect(await spent()).toBe(costOf({ input: 130, output: 25 }) + LATER_NANO);
    expect(await verified()).toEqual(SOUND);
  });

  it('of an API that only a later version knows waits for it', async () => {
    await past({ minutesAgo: 180, booked: 'presumed', endpoint: 'later' });
    await later();
    expect(await reconcile()).toMatchObject({ judged: 0, waiting: 1 });
    expect(await spent()).toBe(HELD_NANO + LATER_NANO);
  });

  it('that another upstream ran is left as it is: it is on no report of this account', async () => {
    await past({ minutesAgo: 180, booked: 'presumed', upstream: 'spare' });
    await later();
    expect(await reconcile()).toMatchObject({ judged: 0 });
    expect(await spent()).toBe(HELD_NANO + LATER_NANO);
    expect(await verified()).toEqual(SOUND);
  });

  it('that ran is refunded down to what it used', async () => {
    await past({ minutesAgo: 180, booked: 'presumed' });
    served(179, { input: 100, output: 20 });
    await later();
    expect(await reconcile()).toMatchObject({ judged: 1 });
    expect(await spent()).toBe(costOf({ input: 100, output: 20 }) + LATER_NANO);
    expect(await verified()).toEqual(SOUND);
  });

  it('that ran up to its bound is confirmed, and not assessed again', async () => {
    await past({ minutesAgo: 180, booked: 'presumed' });
    served(180, { input: 1_000, output: 1_000 });
    await later();
    expect(await reconcile()).toMatchObject({ judged: 1, refunded_usd: '0.00' });
    expect(await spent()).toBe(HELD_NANO + LATER_NANO);
    expect(await reconcile()).toMatchObject({ judged: 0 });
  });

  it('shares a minute with another: neither is refunded what one of them may have used', async () => {
    await past({ minutesAgo: 180, booked: 'presumed' });
    await past({ minutesAgo: 180, booked: 'presumed' });
    served(180, { input: 100, output: 20 });
    await later();
    expect(await reconcile()).toMatchObject({ judged: 2 });
    expect(await spent()).toBe(2n * costOf({ input: 100, output: 20 }) + LATER_NANO);
  });

  it('is separated from the measured calls around it, also where they straddle its minutes', async () => {
    await past({ minutesAgo: 180, booked: 'presumed' });
    for (const [minutesAgo, durationMs] of [
      [183, 300_000],
      [181, 90_000],
      [180, 1_000],
      [179, 200_000],
    ] as const) {
      await past({ minutesAgo, durationMs, booked: { input: 500, output: 100 } });
      served(minutesAgo - durationMs / MINUTE_MS, { input: 500, output: 100 });
    }
    await later();
    expect(await reconcile()).toMatchObject({ judged: 1, refunded_usd: '0.001' });
    expect(await spent()).toBe(4n * costOf({ input: 500, output: 100 }) + LATER_NANO);
  });

  it("is not held against what is surely another model's, and is against what may be its own", async () => {
    await past({ minutesAgo: 180, booked: 'presumed' });
    served(180, { input: 30_000, output: 10_000 }, { model: 'gpt-5.4-nano-2026-03-17' });
    await past({
      minutesAgo: 200,
      model: 'gpt-5.4-nano',
      served: 'gpt-5.4-nano-2026-03-17',
      booked: { input: 10, output: 1 },
    });
    served(200, { input: 10, output: 1 }, { model: 'gpt-5.4-nano-2026-03-17' });
    served(180, { input: 7, output: 1 }, { model: 'gpt-5.4-mini-2026-03-17' });
    await later();
    expect(await reconcile()).toMatchObject({ judged: 1 });
    expect(await spent()).toBe(costOf({ input: 7, output: 1 }) + costOf({ input: 10, output: 1 }) + LATER_NANO);
  });

  it('is not held against what others use the account for, where a key of our own is named', async () => {
    await past({ minutesAgo: 180, booked: 'presumed' });
    served(180, { input: 500, output: 500 }, { apiKeyId: 'key_of_somebody_else' });
    await later();
    expect(await reconcile()).toMatchObject({ judged: 1, refunded_usd: '0.001' });
  });

  it('waits until the reports have come so far', async () => {
    await past({ minutesAgo: 180, booked: 'presumed' });
    served(190, { input: 10, output: 10 });
    await past({ minutesAgo: 190, booked: { input: 10, output: 10 } });
    expect(await reconcile()).toMatchObject({ judged: 0, waiting: 1 });
    served(180, { input: 100, output: 20 });
    expect(await reconcile()).toMatchObject({ judged: 0, waiting: 1 });
    await later();
    expect(await reconcile()).toMatchObject({ judged: 1, waiting: 0 });
    expect(await spent()).toBe(costOf({ input: 100, output: 20 }) + 2n * LATER_NANO);
  });

  it('waits where it is younger than the longest call', async () => {
    await past({ minutesAgo: 30, booked: 'presumed' });
    served(0, { input: 1, output: 1 });
    expect(await reconcile()).toMatchObject({ judged: 0, waiting: 1 });
  });

  it('waits where the reports lack a call that certainly ran', async () => {
    await past({ minutesAgo: 180, booked: 'presumed' });
    await past({ minutesAgo: 170, booked: { input: 500, output: 100 } });
    await later();
    expect(await reconcile()).toMatchObject({ judged: 0, incomplete: 1 });
    expect(await spent()).toBe(HELD_NANO + costOf({ input: 500, output: 100 }) + LATER_NANO);
  });

  it('keeps its bound where its rates are missing, unless the reports leave nothing for it', async () => {
    await past({ minutesAgo: 180, booked: 'presumed', withoutRates: true });
    served(180, { input: 1, output: 1 });
    await later();
    await past({ minutesAgo: 900, booked: 'presumed', withoutRates: true });
    expect(await reconcile()).toMatchObject({ judged: 2, refunded_usd: '0.001' });
  });

  it('that was assessed by a process which died at once is corrected to the same sum', async () => {
    const requestId = await past({ minutesAgo: 180, booked: 'presumed' });
    await later();
    await accounting.source.query(`INSERT INTO ledger.judgements VALUES ($1, $2, 4321, '{}')`, [
      requestId,
      String(HELD_NANO),
    ]);
    expect(await reconcile()).toMatchObject({ judged: 1 });
    expect(await spent()).toBe(4_321n + LATER_NANO);
  });

  it('older than a week keeps its bound', async () => {
    await past({ minutesAgo: 8 * 24 * 60, booked: 'presumed' });
    await later();
    expect(await reconcile()).toMatchObject({ judged: 0, waiting: 0 });
  });
});

describe('when the reports cannot be had', () => {
  const lastRun = async () => (await accounting.admin('GET', '/admin/v1/reconciliation')).body.data.last_run;

  it.each([
    [
      'a refused key',
      { status: 403, message: 'You have insufficient permissions for this operation.' },
      /insufficient permissions/,
    ],
    ['a limit', { status: 429, message: 'slow down' }, /slow down/],
  ])('(%s) nothing changes, the run names it, and the next run goes on', async (_, failure, message) => {
    await past({ minutesAgo: 180, booked: 'presumed' });
    await later();
    rehearsal.reports.failure = failure;
    await expect(reconcile()).rejects.toThrow(message);
    expect(await spent()).toBe(HELD_NANO + LATER_NANO);
    expect((await lastRun()).outcome).toMatch(message);
    rehearsal.reports.failure = undefined;
    expect(await reconcile()).toMatchObject({ judged: 1, refunded_usd: '0.001' });
    expect(await lastRun()).toMatchObject({ outcome: 'ok', judged: 1, refunded_usd: '0.001' });
  });

  it("nothing is assessed by a clock that is not the provider's", async () => {
    await past({ minutesAgo: 180, booked: 'presumed' });
    await later();
    rehearsal.reports.aheadMs = 45_000;
    await expect(reconcile()).rejects.toThrow(/clocks .* 4\d s apart/);
    expect(await spent()).toBe(HELD_NANO + LATER_NANO);
  });

  it('one process alone compares at a time', async () => {
    const outcomes = await accounting.app
      .get(ReconcileRepository)
      .exclusively(() => accounting.app.get(Reconciler).run());
    expect(outcomes).toBe('busy');
  });
});

describe('bills', () => {
  it('are shown beside what was booked, day by day, and one above it is a problem of the books', async () => {
    const daysAgo = 2 * 24 * 60;
    const usage = { input: 1_000_000, output: 10_000 };
    await past({ minutesAgo: daysAgo, booked: usage });
    served(daysAgo, usage);
    // A bill of another account.
    await past({ minutesAgo: daysAgo, booked: usage, upstream: 'spare' });
    // A bill from before Daypass' first call, which it cannot have booked.
    served(daysAgo + 24 * 60, { input: 50_000_000, output: 0 });
    await reconcile();
    const day = new Date(Date.now() - daysAgo * MINUTE_MS).toISOString().slice(0, 10);
    const shown = async () => (await accounting.admin('GET', '/admin/v1/reconciliation')).body.data;
    expect(await shown()).toMatchObject({ enabled: true, scope: OUR_KEY, last_run: { outcome: 'ok' } });
    expect((await shown()).days.find((one: { day: string }) => one.day === day)).toEqual({
      day,
      booked_usd: '0.795',
      billed_usd: '0.795',
      drift_usd: '0.00',
    });
    expect(await verified()).toEqual(SOUND);

    served(daysAgo, { input: 10_000_000, output: 0 });
    await reconcile();
    expect((await shown()).days.find((one: { day: string }) => one.day === day)).toMatchObject({
      billed_usd: '8.295',
      drift_usd: '-7.50',
    });
    const { ok, problems } = await verified();
    expect(ok).toBe(false);
    expect(problems).toEqual([
      expect.stringMatching(
        /^upstream key_\w+: since its first reported bill the provider billed \d\.\d+ dollars more than was booked$/,
      ),
    ]);
    const versions = await accounting.source.query(
      'SELECT amount_nano FROM ledger.costs WHERE day = $1 ORDER BY fetched_at',
      [day],
    );
    expect(versions).toHaveLength(2);
  });
});
