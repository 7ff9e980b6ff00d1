import { expect } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import {
  shareDaypass,
  startDaypass,
  type Daypass,
  type DaypassOptions,
  type SharedDaypass,
  type TestKey,
} from '#libs/testing/daypass.js';
import { booksAtRest, callsAtRest } from '../at-rest.js';

/** Another visitor makes so many calls at once, all the time. */
const OTHERS_AT_ONCE = 2;
/** Below this a small machine measures its own noise: on two cores it also runs the attack, the upstream and the stores. */
const NOISE_MS = 250;
const SAMPLE_EVERY_MS = 200;
/** Of the other visitor in each phase: of fewer, the p99 would be the slowest one. */
const CALLS_MIN = 200;
const PHASE_MIN_MS = 2_000;
/** A slow machine measures fewer calls. */
const PHASE_MAX_MS = 15_000;
/** Several times what an attack takes for what it has to reach. */
const REACHED_MAX_MS = 60_000;
const WARM_UP_MS = 1_500;
const LATE_MS = 30_000;
/**
 * What calls took before the first attack, by what they are. It stands in the Redis of the attacked Daypass, because no
 * later test file must hide what former ones left.
 */
const BEFORE = 'abuse:before';

export interface Attack {
  /** Whose budget the attack spends; null: it has no key. */
  attacker: TestKey | null;
  /** Attacks until the signal aborts, in a bounded number of steps. */
  attack: (signal: AbortSignal) => Promise<unknown>;
  /** Resolves when the attack is in full swing; absent: half a second after its begin. */
  inFullSwing?: () => Promise<void>;
  /** Whether the attack has got what the test is about. The attack lasts until then; absent: as long as others are measured. */
  isReached?: () => boolean;
  /** What another visitor's call is; absent: a short answer in one piece. */
  othersBody?: Record<string, unknown>;
}

/** A phase lasts until all of it holds. */
interface PhaseLength {
  calls?: number;
  leastMs?: number;
  isReached?: (() => boolean) | undefined;
}

interface Phase {
  calls: number;
  p50Ms: number;
  p99Ms: number;
  /** Every answer that was no success, as `status code`. */
  refused: string[];
}

export interface Report {
  name: string;
  before: Phase;
  during: Phase;
  /** What the attacker paid for all of it. */
  paidUsd: string;
  /** Redis' memory at its highest during the attack, beyond that of before. */
  redisBytes: number;
  /** Postgres' growth from before the attack until its books are at rest. */
  postgresBytes: number;
}

/** One hostile visitor, and another visitor who must not feel it. */
export class Abuse<Target extends SharedDaypass = SharedDaypass> {
  readonly redis: Redis;
  readonly sql: pg.Pool;
  private other: TestKey | undefined;

  private constructor(
    readonly daypass: Target,
    /** What the campaign of the other visitor says. */
    private readonly othersCampaign: Record<string, unknown> = {},
  ) {
    this.redis = new Redis(daypass.redisUrl);
    this.sql = new pg.Pool({ connectionString: daypass.databaseUrl, max: 2 });
  }

  /** A Daypass with the settings `attacked`, which earlier test files have attacked already. */
  static async share({ othersCampaign = {} }: { othersCampaign?: Record<string, unknown> } = {}): Promise<Abuse> {
    return new Abuse(await shareDaypass({ settings: 'attacked', rehearsal: { keepCalls: 0 } }), othersCampaign);
  }

  static async start(options: DaypassOptions = {}): Promise<Abuse<Daypass>> {
    return new Abuse(await startDaypass({ ...options, rehearsal: { keepCalls: 0 } }));
  }

  /** @throws where the attacks left books or a record that do not hold */
  async stop(): Promise<void> {
    try {
      await booksAtRest(this.daypass);
    } finally {
      await this.end();
    }
  }

  private async end(): Promise<void> {
    this.redis.disconnect();
    await this.sql.end();
    await this.daypass.stop();
  }

  /** A key in a campaign of its own, or in the one whose slug is given. */
  key(
    budgetUsd: string,
    { campaign, key }: { campaign?: Record<string, unknown> | string; key?: Record<string, unknown> } = {},
  ): Promise<TestKey> {
    return this.daypass.createKey({
      campaign: typeof campaign === 'string' ? campaign : { budget_usd: '1000.00', ...campaign },
      key: { budget_usd: budgetUsd, ...key },
    });
  }

  /** Measures another visitor's calls before the attack and during it, and what the attack costs and leaves behind. */
  async measure(name: string, { attacker, attack, inFullSwing, isReached, othersBody }: Attack): Promise<Report> {
    this.other ??= await this.key('100.00', { campaign: this.othersCampaign });
    const before = await this.beforeAttacks(this.other, othersBody);
    const [redisBefore, postgresBefore] = [await this.redisBytes(), await this.postgresBytes()];
    const over = new AbortController();
    const peak = this.redisPeak(over.signal);
    const attacking = attack(over.signal);
    await Promise.race([inFullSwing ? inFullSwing() : sleep(500), attacking]);
    const during = await this.others(this.other, othersBody, { isReached });
    over.abort();
    await attacking;
    const redisBytes = (await peak) - redisBefore;
    await callsAtRest(this.daypass);
    const report: Report = {
      name,
      before,
      during,
      paidUsd: attacker === null ? '0' : await this.spentUsd(attacker),
      redisBytes,
      postgresBytes: (await this.postgresBytes()) - postgresBefore,
    };
    process.stderr.write(`    ${lineOf(report)}\n`);
    return report;
  }

  private async beforeAttacks(other: TestKey, body?: Record<string, unknown>): Promise<Phase> {
    const what = JSON.stringify([this.othersCampaign, body]);
    const known = await this.redis.hget(BEFORE, what);
    if (known !== null) return JSON.parse(known) as Phase;
    // Nobody measures the first calls, for which processes load code.
    await this.others(other, body, { calls: 0, leastMs: WARM_UP_MS });
    const phase = await this.others(other, body);
    await this.redis.hset(BEFORE, what, JSON.stringify(phase));
    return phase;
  }

  async spentUsd({ id }: TestKey): Promise<string> {
    const { body } = await this.daypass.admin(`/admin/v1/keys/${id}`);
    return body.spent_usd as string;
  }

  private async others(
    key: TestKey,
    wish: Record<string, unknown> = {},
    { calls = CALLS_MIN, leastMs = PHASE_MIN_MS, isReached = () => true }: PhaseLength = {},
  ): Promise<Phase> {
    const startedMs = performance.now();
    const took: number[] = [];
    const refused: string[] = [];
    const goesOn = (): boolean => {
      const ms = performance.now() - startedMs;
      return ms < leastMs || (ms < PHASE_MAX_MS && took.length < calls) || (ms < REACHED_MAX_MS && !isReached());
    };
    const lane = async (): Promise<void> => {
      while (goesOn()) {
        const begunMs = performance.now();
        const outcome = await this.callOfOther(key, wish);
        took.push(performance.now() - begunMs);
        if (outcome !== '200') refused.push(outcome);
      }
    };
    await Promise.all(Array.from({ length: OTHERS_AT_ONCE }, lane));
    took.sort((a, b) => a - b);
    const at = (share: number): number => Math.round(took[Math.min(took.length - 1, Math.floor(took.length * share))]!);
    return { calls: took.length, p50Ms: at(0.5), p99Ms: at(0.99), refused };
  }

  private async callOfOther(key: TestKey, wish: Record<string, unknown>): Promise<string> {
    try {
      const response = await fetch(`${this.daypass.baseUrl}/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json' },
        body: JSON.stringify({
          model: 'gpt-5.4-mini',
          messages: [{ role: 'user', content: `Say hello, ${Math.random()}` }],
          max_tokens: 20,
          ...wish,
        }),
        signal: AbortSignal.timeout(LATE_MS),
      });
      const text = await response.text();
      return response.ok ? '200' : `${response.status} ${text.slice(0, 200)}`;
    } catch (error) {
      return `no answer: ${String(error)}`;
    }
  }

  private async redisBytes(): Promise<number> {
    return Number(/used_memory:(\d+)/.exec(await this.redis.info('memory'))![1]);
  }

  private async redisPeak(over: AbortSignal): Promise<number> {
    let most = 0;
    while (!over.aborted) {
      most = Math.max(most, await this.redisBytes());
      await sleep(SAMPLE_EVERY_MS);
    }
    return most;
  }

  private async postgresBytes(): Promise<number> {
    const { rows } = await this.sql.query<{ size: string }>('SELECT pg_database_size(current_database()) AS size');
    return Number(rows[0]!.size);
  }
}

/** Nobody refuses the other visitor, whose calls stay within twice their p99 of before. */
export function expectHarmless({ name, before, during }: Report): void {
  expect({ name, refusedBefore: before.refused.slice(0, 3), refused: during.refused.slice(0, 3) }).toEqual({
    name,
    refusedBefore: [],
    refused: [],
  });
  expect(during.calls).toBeGreaterThan(0);
  expect(during.p99Ms).toBeLessThanOrEqual(Math.max(NOISE_MS, 2 * before.p99Ms));
}

function lineOf({ name, before, during, paidUsd, redisBytes, postgresBytes }: Report): string {
  const mb = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MB`;
  return (
    `${name}: attacker pays $${paidUsd}; others' p50 ${before.p50Ms} → ${during.p50Ms} ms, ` +
    `p99 ${before.p99Ms} → ${during.p99Ms} ms, ${during.refused.length} of ${during.calls} refused; ` +
    `Redis ${mb(redisBytes)}, Postgres ${mb(postgresBytes)} more`
  );
}
