import type { Rates } from '#libs/contracts/jobs.js';

/**
 * What the provider's usage reports leave of a presumed call. A report counts the tokens of a minute, not of a call. A
 * measured call is one whose tokens the books know exactly. A presumed call cost at most the reports less all measured
 * calls.
 */

export const MINUTE_MS = 60_000;

/** Counts that reports and bookings share. `uncached`, `cached` and `cacheWrite` add up to the input. */
export const COUNTS = ['requests', 'uncached', 'cached', 'cacheWrite', 'output'] as const;
export type Counts = Record<(typeof COUNTS)[number], number>;

export interface MinuteCounts extends Counts {
  /** Start of a whole minute, ms since 1970. */
  minuteMs: number;
}

/**
 * Reports and bookings of a stretch of time, for the models that the provider may have reported a presumed call under.
 */
export interface Evidence {
  /** Reports are final from here to there, on whole minutes. */
  fromMs: number;
  toMs: number;
  reported: readonly MinuteCounts[];
  /** Measured calls by the minute in which Daypass sent them, and the same calls by the minute in which they ended. */
  measuredByStart: readonly MinuteCounts[];
  measuredByEnd: readonly MinuteCounts[];
}

export interface PresumedCall {
  /** Nano-dollars that accounting booked. */
  boundNano: bigint;
  /** Nano-dollars per token, at the dearest tier and length that the call may have had; null where nobody knows. */
  rates: Rates | null;
  /** Nano-dollars beside the tokens, if the call ran at all. */
  feeNano: bigint;
  /** Between these moments the provider may have counted the call. */
  fromMs: number;
  toMs: number;
}

export type Finding =
  /** `left` is the rest of the reports. The call used no more than this. */
  | { kind: 'assessed'; left: Counts; keptNano: bigint }
  /** The reports lack calls that certainly ran. They are incomplete, or they are about another account. */
  | { kind: 'incomplete'; left: Counts }
  /** The reports do not reach far enough yet, or no longer. */
  | { kind: 'uncovered' };

/**
 * The reports of one stretch, ready to assess any number of calls.
 *
 * Take two moments, L and R. The reports between them, less the measured calls that surely count there, bound any other
 * call in between. The provider counts a call at one moment between its start and its end. So a call that was sent
 * after L and ended before R surely counts there. At least (ended before R) − (sent before L) calls do. The remainder
 * is therefore a figure of R alone less a figure of L alone. One pass over the moments finds the least remainder. It
 * falls on quiet moments, which no call straddles, without a search for them.
 */
export class Reports {
  private readonly minutes: number;
  /**
   * At each minute's start: the reports so far, less the calls that had ended; and less the calls that had been sent.
   */
  private readonly lessEnded: Counts[];
  private readonly lessSent: Counts[];

  /** The clocks of the provider and of the bookings may differ by `slackMs`. */
  constructor(
    private readonly evidence: Evidence,
    private readonly slackMs: number,
  ) {
    const { fromMs, toMs, reported, measuredByStart, measuredByEnd } = evidence;
    this.minutes = Math.max(0, Math.floor((toMs - fromMs) / MINUTE_MS));
    const reports = this.sums(reported, (sinceMs) => Math.floor(sinceMs / MINUTE_MS) + 1);
    // A minute's calls may have been sent at its first moment, and may have ended at its last.
    const sent = this.sums(measuredByStart, (sinceMs) => Math.max(0, Math.floor((sinceMs - slackMs) / MINUTE_MS) + 1));
    const ended = this.sums(measuredByEnd, (sinceMs) => Math.max(0, Math.ceil((sinceMs + slackMs) / MINUTE_MS) + 1));
    this.lessEnded = reports.map((counts, index) => minus(counts, ended[index]!));
    this.lessSent = reports.map((counts, index) => minus(counts, sent[index]!));
  }

  assess(call: PresumedCall): Finding {
    const { fromMs, toMs } = this.evidence;
    const last = Math.floor((call.fromMs - this.slackMs - fromMs) / MINUTE_MS);
    const first = Math.ceil((call.toMs + this.slackMs - fromMs) / MINUTE_MS);
    if (call.fromMs - this.slackMs < fromMs || call.toMs + this.slackMs > toMs || first > this.minutes)
      return { kind: 'uncovered' };
    const left = {} as Counts;
    for (const count of COUNTS) {
      let [least, most] = [Infinity, -Infinity];
      for (let index = first; index <= this.minutes; index++) least = Math.min(least, this.lessEnded[index]![count]);
      for (let index = 0; index <= last; index++) most = Math.max(most, this.lessSent[index]![count]);
      left[count] = least - most;
    }
    if (COUNTS.some((count) => left[count] < 0)) return { kind: 'incomplete', left };
    return { kind: 'assessed', left, keptNano: keptOf(call, left) };
  }

  /**
   * Sums up to each minute's start. `minuteOf` maps a row's distance from `fromMs` to the minute from which it counts.
   */
  private sums(rows: readonly MinuteCounts[], minuteOf: (sinceMs: number) => number): Counts[] {
    const sums = Array.from({ length: this.minutes + 1 }, none);
    for (const row of rows) {
      const sum = sums[minuteOf(row.minuteMs - this.evidence.fromMs)];
      if (sum) for (const count of COUNTS) sum[count] += row[count];
    }
    for (let index = 1; index <= this.minutes; index++)
      for (const count of COUNTS) sums[index]![count] += sums[index - 1]![count];
    return sums;
  }
}

function keptOf({ boundNano, rates, feeNano }: PresumedCall, left: Counts): bigint {
  if (COUNTS.every((count) => left[count] === 0)) return 0n;
  if (!rates) return boundNano;
  const cost =
    feeNano +
    BigInt(left.uncached) * BigInt(rates.input) +
    BigInt(left.cached) * BigInt(rates.cachedInput) +
    BigInt(left.cacheWrite) * BigInt(rates.cacheWrite) +
    BigInt(left.output) * BigInt(rates.output);
  return cost < boundNano ? cost : boundNano;
}

const none = (): Counts => ({ requests: 0, uncached: 0, cached: 0, cacheWrite: 0, output: 0 });
const minus = (a: Counts, b: Counts): Counts =>
  Object.fromEntries(COUNTS.map((count) => [count, a[count] - b[count]])) as Counts;
