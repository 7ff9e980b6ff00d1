import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { COUNTS, MINUTE_MS, Reports, type Counts, type MinuteCounts, type PresumedCall } from './reconcile.js';

const FROM_MS = Date.UTC(2026, 10, 1);
const MINUTES = 60;
const SLACK_MS = 30_000;
const rates = { input: 750, cachedInput: 75, cacheWrite: 900, output: 4_500 };

interface TrueCall {
  startMs: number;
  endMs: number;
  /** When the provider counted it, by its own clock. */
  countedMs: number;
  counts: Counts;
}

const none: Counts = { requests: 0, uncached: 0, cached: 0, cacheWrite: 0, output: 0 };
const minuteOf = (ms: number): number => Math.floor(ms / MINUTE_MS) * MINUTE_MS;
const costOf = (counts: Counts): bigint =>
  BigInt(
    counts.uncached * rates.input +
      counts.cached * rates.cachedInput +
      counts.cacheWrite * rates.cacheWrite +
      counts.output * rates.output,
  );
const rows = (calls: readonly TrueCall[], at: (call: TrueCall) => number): MinuteCounts[] =>
  calls.map((call) => ({ minuteMs: minuteOf(at(call)), ...call.counts }));

/** The stretch as a provider that knows everything would report it, and as Daypass booked the calls whose usage it saw. */
function evidenceOf(all: readonly TrueCall[], measured: readonly TrueCall[]) {
  return {
    fromMs: FROM_MS,
    toMs: FROM_MS + MINUTES * MINUTE_MS,
    reported: rows(all, ({ countedMs }) => countedMs),
    measuredByStart: rows(measured, ({ startMs }) => startMs),
    measuredByEnd: rows(measured, ({ endMs }) => endMs),
  };
}

const presumed = (call: TrueCall, boundNano = 10n ** 12n): PresumedCall => ({
  boundNano,
  rates,
  feeNano: 0n,
  fromMs: call.startMs,
  toMs: call.endMs,
});

const share = fc.integer({ min: 0, max: 10_000 }).map((parts) => parts / 10_000);
const counts = fc.record({
  requests: fc.constant(1),
  uncached: fc.integer({ min: 0, max: 5_000 }),
  cached: fc.integer({ min: 0, max: 5_000 }),
  cacheWrite: fc.integer({ min: 0, max: 500 }),
  output: fc.integer({ min: 0, max: 5_000 }),
});
/** Anywhere in the stretch, up to ten minutes long, counted anywhere in it by a clock that is up to the slack off. */
const call = fc
  .record({ at: share, length: share, counted: share, skew: fc.integer({ min: -SLACK_MS, max: SLACK_MS }), counts })
  .map((drawn): TrueCall => {
    const startMs = FROM_MS + Math.floor(drawn.at * MINUTES * MINUTE_MS);
    const endMs = startMs + Math.floor(drawn.length * 10 * MINUTE_MS);
    return {
      startMs,
      endMs,
      countedMs: startMs + Math.floor(drawn.counted * (endMs - startMs)) + drawn.skew,
      counts: drawn.counts,
    };
  });

describe('what reports leave of a presumed call', () => {
  it('is never less than what the provider billed for it, wherever calls fall among the minutes', () => {
    let assessed = 0;
    fc.assert(
      fc.property(
        fc.array(call, { maxLength: 30 }),
        fc.array(fc.record({ call, ran: fc.boolean() }), { minLength: 1, maxLength: 5 }),
        fc.array(call, { maxLength: 3 }),
        (measured, unknown, foreign) => {
          const ran = unknown.filter((one) => one.ran).map((one) => one.call);
          const reports = new Reports(evidenceOf([...measured, ...ran, ...foreign], measured), SLACK_MS);
          for (const one of unknown) {
            const finding = reports.assess(presumed(one.call));
            expect(finding.kind).not.toBe('incomplete');
            if (finding.kind !== 'assessed') continue;
            assessed++;
            expect(finding.keptNano).toBeGreaterThanOrEqual(one.ran ? costOf(one.call.counts) : 0n);
          }
        },
      ),
      { numRuns: 2_000 },
    );
    expect(assessed).toBeGreaterThan(1_000);
  });

  it('is nothing where the call never ran, however busy the time around it, if only there is a quiet moment before and after', () => {
    const around = fc.array(call, { minLength: 1, maxLength: 30 }).map((calls) =>
      // Three busy stretches with five minutes of silence between them.
      calls.map((one, index): TrueCall => {
        const startMs = FROM_MS + ((index % 3) * 20 + 3) * MINUTE_MS + ((one.startMs - FROM_MS) % (8 * MINUTE_MS));
        const endMs = startMs + ((one.endMs - one.startMs) % (2 * MINUTE_MS));
        return { startMs, endMs, countedMs: endMs, counts: one.counts };
      }),
    );
    fc.assert(
      fc.property(around, share, (measured, at) => {
        const startMs = FROM_MS + 24 * MINUTE_MS + Math.floor(at * 6 * MINUTE_MS);
        const finding = new Reports(evidenceOf(measured, measured), SLACK_MS).assess({
          ...presumed(measured[0]!),
          fromMs: startMs,
          toMs: startMs + 2 * MINUTE_MS,
        });
        expect(finding).toEqual({ kind: 'assessed', left: none, keptNano: 0n });
      }),
      { numRuns: 500 },
    );
  });

  const alone: TrueCall = {
    startMs: FROM_MS + 20 * MINUTE_MS,
    endMs: FROM_MS + 22 * MINUTE_MS,
    countedMs: FROM_MS + 22 * MINUTE_MS,
    counts: { requests: 1, uncached: 100, cached: 50, cacheWrite: 10, output: 40 },
  };

  it('is its true cost where nothing else is unknown, and never above what was booked', () => {
    const reports = new Reports(evidenceOf([alone], []), SLACK_MS);
    expect(reports.assess(presumed(alone))).toEqual({
      kind: 'assessed',
      left: alone.counts,
      keptNano: costOf(alone.counts),
    });
    expect(reports.assess(presumed(alone, 7n))).toMatchObject({ keptNano: 7n });
    expect(reports.assess({ ...presumed(alone), feeNano: 5n })).toMatchObject({ keptNano: costOf(alone.counts) + 5n });
  });

  it('keeps a request that was counted without tokens at its fee', () => {
    const unmetered = { ...alone, counts: { ...none, requests: 1 } };
    expect(
      new Reports(evidenceOf([unmetered], []), SLACK_MS).assess({ ...presumed(alone), feeNano: 5n }),
    ).toMatchObject({ keptNano: 5n });
  });

  it.each(COUNTS)('says that reports are incomplete that lack %s of calls which certainly ran', (count) => {
    const other = { ...alone, counts: { ...alone.counts, [count]: alone.counts[count] + 1 } };
    const evidence = {
      ...evidenceOf([alone], []),
      measuredByStart: rows([other], ({ startMs }) => startMs),
      measuredByEnd: rows([other], ({ endMs }) => endMs),
    };
    expect(new Reports(evidence, SLACK_MS).assess(presumed(alone))).toMatchObject({ kind: 'incomplete' });
  });

  it.each([
    ['begins before the reports', -1, 10],
    ['begins less than the slack after their beginning', 0.4, 10],
    ['ends after the reports', 10, MINUTES + 1],
    ['ends less than the slack before their end', 10, MINUTES - 0.4],
  ])('is not assessed when it %s', (_, from, to) => {
    const finding = new Reports(evidenceOf([], []), SLACK_MS).assess({
      ...presumed(alone),
      fromMs: FROM_MS + from * MINUTE_MS,
      toMs: FROM_MS + to * MINUTE_MS,
    });
    expect(finding).toEqual({ kind: 'uncovered' });
  });
});
