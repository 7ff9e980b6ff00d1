import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import type { CheckEvent } from '#libs/contracts/audit.js';
import { replayAnswer, type Replay } from '#libs/contracts/admin/audit.js';
import {
  effectivePolicy,
  moderationPolicySchema,
  MODERATION_CATEGORIES,
  type CallPolicy,
  type ModerationPolicy,
} from '#libs/contracts/policy.js';
import { judgementOf, type ModerationResult } from '#libs/moderation/verdict.js';
import { EventRecorder } from '#libs/redis/event.recorder.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { dataSourceOptions } from '../store/data-source.factory.js';
import { isRecordUpToDate } from './audit.stream.js';
import { ThresholdReplay } from './threshold.replay.js';

type Category = (typeof MODERATION_CATEGORIES)[number];
type Thresholds = ModerationPolicy['thresholds'];
interface Kept {
  id: string;
  request: string;
  results: ModerationResult[];
  policy: CallPolicy;
  keyId: string;
  flagged: boolean;
}

const WISH = { input: false, output: false };
/** With a category that only another model than OpenAI's has. */
const NAMES = [...MODERATION_CATEGORIES, 'gambling'];
const CHECKS = 400;
const REPLAYS = 25;

// The same cases each time, so that a failure comes again (mulberry32).
let seed = 24;
function random(): number {
  seed = (seed + 0x6d_2b_79_f5) | 0;
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
}
const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
/** Few values, so that scores often equal thresholds; also those that a double just has. */
const SCORES = [0, 0.1, 0.3, 0.30000000000000004, 0.5, 0.7, 1, 1.2e-7, 5e-324];
const scoreOf = (): number => (random() < 0.5 ? pick(SCORES) : random());

function thresholdsOf(share: number): Thresholds {
  return Object.fromEntries(MODERATION_CATEGORIES.flatMap((name) => (random() < share ? [[name, scoreOf()]] : [])));
}
const policyOf = (thresholds: Thresholds): ModerationPolicy => moderationPolicySchema.parse({ thresholds });
const joined = (campaign: Thresholds, key: Thresholds | null): CallPolicy =>
  effectivePolicy(policyOf(campaign), key && policyOf(key), WISH, false);

/** As the endpoint answers: a few parts, some scores and flags null, missing, or low beside a flag. */
function resultsOf(): ModerationResult[] {
  return Array.from({ length: 1 + Math.floor(random() * 3) }, () => {
    const categories: Record<string, boolean | null> = {};
    const scores: Record<string, number | null> = {};
    for (const name of NAMES) {
      if (random() < 0.1) continue;
      scores[name] = random() < 0.05 ? null : random() < 0.8 ? random() * 0.2 : scoreOf();
      categories[name] = random() < 0.05 ? null : random() < 0.06;
    }
    return { flagged: Object.values(categories).includes(true), categories, category_scores: scores };
  });
}

let accounting: AccountingFixture;
/** Who may lock tables. */
let owner: DataSource;
let recorder: EventRecorder;
let campaign: string;
let calls = 0;
/** By key: the thresholds of its own policy. */
const keys = new Map<string, Thresholds | null>();
const kept: Kept[] = [];

async function record(keyId: string, its: Partial<CheckEvent> & Pick<CheckEvent, 'policy'>): Promise<CheckEvent> {
  calls += 1;
  const request = `req_${Date.now().toString(16).padStart(12, '0')}${calls.toString(16).padStart(20, '0')}`;
  const event: CheckEvent = {
    ...{ kind: 'check', id: `chk_${calls}`, request, key: keyId, campaign, direction: 'input', guard: 'moderation' },
    ...{ model: 'omni', decision: 'pass', categories: [], scores: {}, reason: null, latency_ms: 1 },
    ...its,
  } as CheckEvent;
  await recorder.record(event);
  return event;
}

const ask = (body: object) => accounting.admin('POST', '/admin/v1/moderation/replay', body);
async function replay(thresholds: Thresholds): Promise<Replay> {
  const { status, body } = await ask({ campaign: 'tried', thresholds });
  expect([status, replayAnswer.strict().safeParse(body).error]).toEqual([200, undefined]);
  return (body as { data: Replay }).data;
}

beforeAll(async () => {
  accounting = await AccountingFixture.start();
  owner = await new DataSource(dataSourceOptions(accounting.config.databaseUrl, () => undefined)).initialize();
  recorder = new EventRecorder(accounting.redis);
  campaign = (await accounting.createCampaign('tried')).id;
  const others = (await accounting.createCampaign('others')).id;
  for (const own of [null, null, thresholdsOf(0.3), thresholdsOf(0.1)]) {
    const { id } = await accounting.createKey('tried', own ? { moderation: { thresholds: own } } : {});
    keys.set(id, own);
  }
  for (let made = 0; made < CHECKS; made++) {
    const keyId = pick([...keys.keys()]);
    const policy = joined(thresholdsOf(pick([0, 0.2, 1])), keys.get(keyId)!);
    const results = resultsOf();
    const { flagged, categories, scores } = judgementOf(results, policy);
    const decision = flagged ? pick(['blocked', 'flagged'] as const) : 'pass';
    const { id, request } = await record(keyId, { policy, categories, scores: { ...scores }, decision });
    kept.push({ id, request, results, policy, keyId, flagged });
  }
  const [keyId] = [...keys.keys()];
  const policy = joined({ violence: 0.5 }, null);
  const away = { policy, decision: 'unavailable', reason: 'away' } as const;
  await record(keyId!, away);
  await record(keyId!, { policy, guard: 'words', model: 'blocklist', decision: 'blocked', categories: ['words'] });
  await record(keyId!, { policy, guard: 'words', model: 'blocklist' });
  await record(keyId!, { policy, guard: 'repeat', model: 'repeat', decision: 'blocked', categories: ['violence'] });
  await record(keyId!, { policy, guard: 'provider', model: 'provider', decision: 'blocked', categories: ['hate'] });
  await record(keyId!, {
    policy,
    campaign: others,
    scores: { violence: 1 },
    categories: ['violence'],
    decision: 'blocked',
  });
  await accounting.until(() => isRecordUpToDate(accounting.redis));
});
afterAll(async () => {
  await owner?.destroy();
  await accounting?.stop();
});

/** What the policy's own code says; null: the record lacks a flag that it needs. */
function verdictOf({ results, policy, keyId }: Kept, thresholds: Thresholds): boolean | null {
  const next = joined(thresholds, keys.get(keyId)!);
  const lacks = (category: Category): boolean => {
    const former = Object.hasOwn(policy.thresholds, category) ? policy.thresholds[category]! : null;
    const isOwnAsked = next.thresholds[category] === undefined || next.flagsToo?.includes(category) === true;
    if (!isOwnAsked || former === null) return false;
    if (!policy.flagsToo?.includes(category)) return true;
    return results.some(({ category_scores: scores }) => (scores[category] ?? -1) >= former);
  };
  // Whatever the flags are that the record lacks, the verdict has to be the same. Otherwise nobody knows it.
  const lacking = MODERATION_CATEGORIES.filter(lacks);
  const [without, withAll] = [false, true].map(
    (flag) =>
      judgementOf(
        results.map((result) => ({
          ...result,
          categories: { ...result.categories, ...Object.fromEntries(lacking.map((name) => [name, flag])) },
        })),
        next,
      ).flagged,
  );
  return without === withAll ? without! : null;
}

describe('a replay of thresholds', () => {
  it(`decides ${REPLAYS} times about ${CHECKS} random verdicts as the policy itself does`, async () => {
    let unknown = 0;
    let changed = 0;
    for (let tried = 0; tried < REPLAYS; tried++) {
      const thresholds = thresholdsOf(pick([0, 0.3, 0.8, 1, 1, 1]));
      const verdicts = kept.map((check) => ({ ...check, would: verdictOf(check, thresholds) }));
      const newly = verdicts.filter(({ would, flagged }) => would === true && !flagged);
      const answer = await replay(thresholds);
      expect({ thresholds, ...answer }).toMatchObject({
        thresholds,
        checks: CHECKS,
        now_blocked: kept.filter(({ flagged }) => flagged).length,
        would_block: verdicts.filter(({ would }) => would).length,
        unknown: verdicts.filter(({ would }) => would === null).length,
      });
      expect(answer.examples).toHaveLength(Math.min(10, newly.length));
      const callOf = new Map(newly.map(({ id, request }) => [id, request]));
      expect(answer.example_calls).toEqual(answer.examples.map((id) => callOf.get(id)));
      unknown += answer.unknown;
      changed += newly.length;
    }
    // The cases reach each kind of answer.
    expect([unknown > 0, changed > 0]).toEqual([true, true]);
  });

  it('tells which verdicts it leaves out, and why', async () => {
    expect((await replay({ violence: 0.5 })).left_out).toEqual([
      { guard: 'words', checks: 2, why: 'own_rules' },
      { guard: 'moderation', checks: 1, why: 'no_verdict' },
      { guard: 'provider', checks: 1, why: 'own_rules' },
      { guard: 'repeat', checks: 1, why: 'own_rules' },
    ]);
  });

  it('reads the days that it is asked for, and no other campaign', async () => {
    await accounting.createCampaign('silent');
    expect((await ask({ campaign: 'silent', thresholds: {} })).body.data).toMatchObject({ checks: 0, would_block: 0 });
    expect((await ask({ campaign: 'others', thresholds: { violence: 0.5 } })).body.data).toMatchObject({
      checks: 1,
      now_blocked: 1,
      would_block: 1,
    });
    const { since } = (await ask({ campaign: 'tried', thresholds: {}, days: 2 })).body.data;
    expect(Math.round((Date.now() - Date.parse(since)) / 86_400_000)).toBe(2);
  });

  it('says what is wrong with a question', async () => {
    expect((await ask({ campaign: 'nobody', thresholds: {} })).status).toBe(404);
    for (const body of [
      { campaign: 'tried' },
      { campaign: 'tried', thresholds: { violence: 1.1 } },
      { campaign: 'tried', thresholds: { rudeness: 0.5 } },
      { campaign: 'tried', thresholds: {}, days: 31 },
    ])
      expect([body, (await ask(body)).status]).toEqual([body, 400]);
  });

  it('runs few at once, and gives up in time and says what helps', async () => {
    const replays = accounting.app.get(ThresholdReplay);
    const usualMs = replays.timeoutMs;
    const lock = owner.createQueryRunner();
    const locked = async (work: () => Promise<void>): Promise<void> => {
      await lock.startTransaction();
      try {
        // Nobody can read the checks' policies now, as if the table were large.
        await lock.query('LOCK TABLE audit.policies IN ACCESS EXCLUSIVE MODE');
        await work();
      } finally {
        await lock.rollbackTransaction();
      }
    };
    const waiting = async (): Promise<number> =>
      (
        await owner.query<{ n: number }[]>(
          `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%seen AS MATERIALIZED%'`,
        )
      )[0]!.n;
    try {
      replays.timeoutMs = 60_000;
      let asked: ReturnType<typeof ask>[] = [];
      await locked(async () => {
        asked = [1, 2].map(() => ask({ campaign: 'tried', thresholds: {} }));
        await accounting.until(async () => (await waiting()) === 2);
        const third = await ask({ campaign: 'tried', thresholds: {} });
        expect([third.status, third.body.error.code, third.headers.get('retry-after')]).toEqual([503, 'too_busy', '2']);
      });
      expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([200, 200]);
      replays.timeoutMs = 200;
      await locked(async () => {
        const { status, body } = await ask({ campaign: 'tried', thresholds: {} });
        expect([status, body.error]).toEqual([
          400,
          expect.objectContaining({
            param: 'days',
            message: 'days: the checks of 30 days cannot be replayed within 0.2 s. Ask for fewer days.',
          }),
        ]);
      });
    } finally {
      replays.timeoutMs = usualMs;
      await lock.release();
    }
    expect((await replay({})).checks).toBe(CHECKS);
  });
});
