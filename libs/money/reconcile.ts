import type { Rates } from '#libs/contracts/jobs.js';

/**
 * What the provider's usage reports leave of a presumed call. A report tells the tokens of a minute, not of a call, so a
 * call is judged by what remains of them once all calls are taken away whose usage is known to the token.
 */

export const MINUTE_MS = 60_000;

/** Counts that reports and bookings share. `uncached`, `cached` and `cacheWrite` add up to the input. */
export const COUNTS = ['requests', 'uncached', 'cached', 'cacheWrite', 'output'] as const;
export type Counts = Record<(typeof COUNTS)[number], number>;

export interface MinuteCounts extends Counts {
  /** Start of a whole minute, ms since 1970. */
  minuteMs: number;
}

/** All that is known of a stretch of time, for the models that a presumed call may have been reported under. */
export interface Evidence {
  /** Reports are final from here to there, on whole minutes. */
  fromMs: number;
  toMs: number;
  reported: readonly MinuteCounts[];
  /** Calls of known usage by the minute that they were sent in, and the same calls by the minute that they ended in. */
  knownByStart: readonly MinuteCounts[];
  knownByEnd: readonly MinuteCounts[];
}

export interface PresumedCall {
  /** Nano-dollars that were booked. */
  boundNano: bigint;
  /** Nano-dollars per token, at the dearest tier and length that the call could have been served at; null where nobody knows. */
  rates: Rates | null;
  /** Nano-dollars beside the tokens, if it ran at all. */
  feeNano: bigint;
  /** When the provider may have counted it. */
  fromMs: number;
  toMs: number;
}

export type Finding =
  /** What is left of the reports: no more than this can have been the call's. */
  | { kind: 'judged'; left: Counts; keptNano: bigint }
  /** The reports lack calls that certainly ran: they are not complete, or not about this account. */
  | { kind: 'incomplete'; left: Counts }
  /** The reports do not reach far enough yet, or no longer. */
  | { kind: 'uncovered' };

/**
 * The reports of one stretch, made ready for judging any number of calls.
 *
 * Between any two moments L and R, what was reported less what is known to have been counted there is the most that a call
 * in between can have had. A call is counted at one moment between its start and its end, so those sent after L and ended
 * before R are surely in, and they number at least (ended before R) − (sent before L). Hence the remainder is the
 * difference of a figure of R alone and one of L alone, and the least remainder is found by looking at each moment once:
 * quiet moments, where nothing straddles, are found by themselves.
 */
export class Reports {
  private readonly minutes: number;
  /** At each minute's start: reported so far, less what had ended by then; and less what had been sent by then. */
  private readonly lessEnded: Counts[];
  private readonly lessSent: Counts[];

  /** `slackMs`: how far the clocks of the provider and of the bookings may be apart. */
  constructor(
    private readonly evidence: Evidence,
    private readonly slackMs: number,
  ) {
    const { fromMs, toMs, reported, knownByStart, knownByEnd } = evidence;
    this.minutes = Math.max(0, Math.floor((toMs - fromMs) / MINUTE_MS));
    const reports = this.sums(reported, (sinceMs) => Math.floor(sinceMs / MINUTE_MS) + 1);
    // Of a minute's calls, each may have been sent at its beginning, and ended with its end.
    const sent = this.sums(knownByStart, (sinceMs) => Math.max(0, Math.floor((sinceMs - slackMs) / MINUTE_MS) + 1));
    const ended = this.sums(knownByEnd, (sinceMs) => Math.max(0, Math.ceil((sinceMs + slackMs) / MINUTE_MS) + 1));
    this.lessEnded = reports.map((counts, index) => minus(counts, ended[index]!));
    this.lessSent = reports.map((counts, index) => minus(counts, sent[index]!));
  }

  judge(call: PresumedCall): Finding {
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
    return { kind: 'judged', left, keptNano: keptOf(call, left) };
  }

  /** Up to each minute's start; `placeOf` says from which on a row counts, given its distance from the first. */
  private sums(rows: readonly MinuteCounts[], placeOf: (sinceMs: number) => number): Counts[] {
    const sums = Array.from({ length: this.minutes + 1 }, none);
    for (const row of rows) {
      const sum = sums[placeOf(row.minuteMs - this.evidence.fromMs)];
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
