import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { Money } from '#libs/holds/money.fixture.js';
import { withIncludes } from './scripts.js';

/** The window under a clock of the test's own: what the scripts do with it, on a copy where a test only looks ahead. */
const HARNESS = withIncludes(`
--@include common
--@include window
--@include window-steady
--@include window-correct
local key, now = KEYS[1], tonumber(ARGV[2])
if ARGV[1] == 'correct' then
  window_correct(key, tonumber(ARGV[3]), tonumber(ARGV[4]))
  return { 0 }
end
if ARGV[1] == 'look' then
  redis.call('DEL', KEYS[2])
  redis.call('COPY', key, KEYS[2])
  key = KEYS[2]
end
if ARGV[1] == 'steady' then
  local requests, tokens = window_steady(key, window_advance(key, now), now, tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[4]))
  return { string.format('%.12f', requests), string.format('%.12f', tokens) }
end
local requests, tokens = tonumber(ARGV[3]), tonumber(ARGV[4])
local window = window_advance(key, now)
local wait = window_wait(key, window, now, tonumber(ARGV[5]), tonumber(ARGV[6]), requests, tokens)
if wait == 0 and ARGV[1] == 'reserve' then window_add(key, window, requests, tokens) end
return { wait, window.current }
`);

const BUCKET_MS = 250;
const BUCKETS = 243;
const MINUTE_MS = 60_000;
const BEGIN_MS = 1_795_000_000_123;

interface Limits {
  rpm: number;
  tpm: number;
}

class WindowUnderTest {
  private static made = 0;
  private readonly key = `window-${WindowUnderTest.made++}`;

  constructor(
    private readonly redis: Redis,
    private readonly limits: Limits,
  ) {}

  private async run(
    mode: string,
    nowMs: number,
    requests: number,
    tokens: number,
  ): Promise<{ waitMs: number; bucket: number }> {
    const [waitMs, bucket] = (await this.redis.eval(
      HARNESS,
      2,
      this.key,
      `${this.key}-copy`,
      mode,
      nowMs,
      requests,
      tokens,
      this.limits.rpm,
      this.limits.tpm,
    )) as [number, number];
    return { waitMs, bucket };
  }

  reserve(nowMs: number, tokens: number) {
    return this.run('reserve', nowMs, 1, tokens);
  }

  async wouldWait(nowMs: number, tokens: number): Promise<number> {
    return (await this.run('look', nowMs, 1, tokens)).waitMs;
  }

  /** Requests and tokens a ms. */
  async steady(nowMs: number, slackMs: number): Promise<[number, number]> {
    const { waitMs, bucket } = await this.run('steady', nowMs, 0, slackMs);
    return [Number(waitMs), Number(bucket)];
  }

  /** Ms until Redis forgets it. */
  livesMs(): Promise<number> {
    return this.redis.pttl(this.key);
  }

  async endsIn(ms: number): Promise<void> {
    await this.redis.pexpire(this.key, ms);
  }

  async correct(bucket: number, change: number): Promise<void> {
    await this.run('correct', 0, bucket, change);
  }
}

interface Admitted {
  atMs: number;
  bucket: number;
  tokens: number;
}

/** The plainest reading of the limit: what was admitted in the buckets that can touch the last 60 s. */
function naiveWait(admitted: readonly Admitted[], nowMs: number, tokens: number, { rpm, tpm }: Limits): number {
  const fits = (atMs: number): boolean => {
    const counted = admitted.filter(({ bucket }) => bucket > Math.floor(atMs / BUCKET_MS) - BUCKETS);
    const sum = counted.reduce((total, one) => total + one.tokens, 0);
    return (rpm === 0 || counted.length + 1 <= rpm) && (tpm === 0 || sum + tokens <= tpm);
  };
  if (fits(nowMs)) return 0;
  const next = Math.floor(nowMs / BUCKET_MS) + 1;
  for (let bucket = next; bucket < next + 1_000; bucket++)
    if (fits(bucket * BUCKET_MS)) return bucket * BUCKET_MS - nowMs;
  throw new Error('it would never fit');
}

const steps = fc.array(
  fc.record({
    pauseMs: fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 2_000 }) },
      { weight: 2, arbitrary: fc.integer({ min: 0, max: 30_000 }) },
      { weight: 1, arbitrary: fc.integer({ min: 58_000, max: 63_000 }) },
      { weight: 1, arbitrary: fc.integer({ min: 119_000, max: 400_000 }) },
    ),
    tokens: fc.integer({ min: 0, max: 60 }),
    /** Which earlier call reports now, and which part of its reservation it used. */
    report: fc.option(fc.record({ which: fc.nat(), part: fc.double({ min: 0, max: 1, noNaN: true }) })),
    obeys: fc.boolean(),
  }),
  { minLength: 1, maxLength: 60 },
);
const limits = fc.record({ rpm: fc.constantFrom(0, 1, 5, 12), tpm: fc.constantFrom(0, 60, 100, 300) });

let money: Money;
beforeAll(async () => {
  money = await Money.start();
});
afterAll(() => money.stop());

describe('the sliding window', () => {
  it('lives on for as long as what it counts', async () => {
    const window = new WindowUnderTest(money.redis, { rpm: 10, tpm: 0 });
    await window.reserve(BEGIN_MS, 1);
    await window.endsIn(5_000);
    await window.reserve(BEGIN_MS + BUCKET_MS, 1);
    expect(await window.livesMs()).toBeGreaterThan(MINUTE_MS);
  });

  it('admits what the limits allow and never more in any 60 s, and a wait is exact to one bucket', async () => {
    await fc.assert(
      fc.asyncProperty(limits, steps, async (limit, sequence) => {
        const window = new WindowUnderTest(money.redis, limit);
        const admitted: Admitted[] = [];
        let nowMs = BEGIN_MS;
        for (const { pauseMs, tokens, report, obeys } of sequence) {
          nowMs += pauseMs;
          const { waitMs, bucket } = await window.reserve(nowMs, tokens);
          expect(waitMs).toBe(naiveWait(admitted, nowMs, tokens, limit));
          if (waitMs === 0) {
            admitted.push({ atMs: nowMs, bucket, tokens });
          } else {
            expect(await window.wouldWait(nowMs + waitMs, tokens)).toBe(0);
            expect(await window.wouldWait(nowMs + waitMs - 1, tokens)).toBe(1);
            if (obeys) {
              nowMs += waitMs;
              const again = await window.reserve(nowMs, tokens);
              expect(again.waitMs).toBe(0);
              admitted.push({ atMs: nowMs, bucket: again.bucket, tokens });
            }
          }
          const reported = report && admitted[report.which % Math.max(1, admitted.length)];
          if (reported) {
            const used = Math.floor(reported.tokens * report.part);
            await window.correct(reported.bucket, used - reported.tokens);
            reported.tokens = used;
          }
        }
        for (const { atMs } of admitted) {
          const inMinute = admitted.filter((other) => other.atMs >= atMs && other.atMs < atMs + MINUTE_MS);
          if (limit.rpm > 0) expect(inMinute.length).toBeLessThanOrEqual(limit.rpm);
          if (limit.tpm > 0)
            expect(inMinute.reduce((sum, { tokens }) => sum + tokens, 0)).toBeLessThanOrEqual(limit.tpm);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('knows the pace that can be kept up without ever standing still, and no slower one', async () => {
    const burst = fc.array(
      fc.record({ pauseMs: fc.integer({ min: 0, max: 20_000 }), tokens: fc.integer({ min: 1, max: 40 }) }),
      { maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(burst, fc.constantFrom(0, 3_000), async (calls, slackMs) => {
        const tpm = 300;
        const window = new WindowUnderTest(money.redis, { rpm: 0, tpm });
        const admitted: Admitted[] = [];
        let nowMs = BEGIN_MS;
        for (const { pauseMs, tokens } of calls) {
          nowMs += pauseMs;
          const { waitMs, bucket } = await window.reserve(nowMs, tokens);
          if (waitMs === 0) admitted.push({ atMs: nowMs, bucket, tokens });
        }
        const [, steady] = await window.steady(nowMs, slackMs);
        const counted = admitted.filter(({ bucket }) => (bucket + BUCKETS) * BUCKET_MS > nowMs);
        const used = counted.reduce((sum, { tokens }) => sum + tokens, 0);
        // Just before each bucket leaves.
        const current = Math.floor(nowMs / BUCKET_MS);
        const bounds = Array.from({ length: BUCKETS }, (_, age) => current - age)
          .filter((bucket) => (bucket + BUCKETS) * BUCKET_MS - nowMs >= 5_000)
          .map((bucket) => {
            const left = counted.filter((one) => one.bucket < bucket).reduce((sum, { tokens }) => sum + tokens, 0);
            return (tpm + (tpm * slackMs) / MINUTE_MS - used + left) / ((bucket + BUCKETS) * BUCKET_MS - nowMs);
          });
        expect(steady).toBeCloseTo(Math.min(...bounds), 9);
      }),
      { numRuns: 100 },
    );
  });

  it('counts a report above its reservation, and makes the next call wait for it', async () => {
    const window = new WindowUnderTest(money.redis, { rpm: 0, tpm: 100 });
    const { bucket } = await window.reserve(BEGIN_MS, 10);
    await window.correct(bucket, 80);
    expect(await window.wouldWait(BEGIN_MS + 5, 10)).toBe(0);
    expect(await window.wouldWait(BEGIN_MS + 5, 11)).toBe((bucket + BUCKETS) * BUCKET_MS - BEGIN_MS - 5);
  });

  it('lets a report that comes too late change nothing', async () => {
    const window = new WindowUnderTest(money.redis, { rpm: 0, tpm: 100 });
    const { bucket } = await window.reserve(BEGIN_MS, 100);
    await window.reserve(BEGIN_MS + 61_250, 100);
    await window.correct(bucket, -100);
    expect(await window.wouldWait(BEGIN_MS + 61_250, 1)).toBeGreaterThan(0);
  });

  it.each([1, 900, 5_000, 59_000])('forgets nothing when the clock steps back by %i ms', async (stepMs) => {
    const window = new WindowUnderTest(money.redis, { rpm: 2, tpm: 0 });
    await window.reserve(BEGIN_MS, 1);
    await window.reserve(BEGIN_MS, 1);
    expect((await window.reserve(BEGIN_MS - stepMs, 1)).waitMs).toBeGreaterThan(0);
    expect((await window.reserve(BEGIN_MS + 58_000, 1)).waitMs).toBeGreaterThan(0);
    expect((await window.reserve(BEGIN_MS + 61_250, 1)).waitMs).toBe(0);
  });
});
