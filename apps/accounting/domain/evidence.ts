import type { Evidence, MinuteCounts } from '#libs/money/reconcile.js';

/** Measured calls by the minute of their start or end. The answer named the model `served`. */
export interface MeasuredCalls extends MinuteCounts {
  edge: 'start' | 'end';
  model: string;
  served: string;
}

export interface Reported extends MinuteCounts {
  /** null where the provider names none. */
  model: string | null;
}

/**
 * The reports and bookings that bear on a call of `model`. Reports name the dated model that served; an alias becomes
 * one only with the answer. So a row stays out only if it surely is about another model: answers to calls of other
 * models named it, and no answer to a call of this model did.
 */
export function evidenceFor(
  model: string,
  reported: readonly Reported[],
  measured: readonly MeasuredCalls[],
  fromMs: number,
  toMs: number,
): Evidence {
  const own = new Set(measured.filter((row) => row.model === model).map(({ served }) => served));
  const others = new Set(measured.filter((row) => row.model !== model).map(({ served }) => served));
  const mayBe = (name: string | null): boolean =>
    name === null || name === model || name.startsWith(`${model}-`) || own.has(name) || !others.has(name);
  const counted = measured.filter(({ served }) => mayBe(served));
  return {
    fromMs,
    toMs,
    reported: reported.filter((row) => mayBe(row.model)),
    measuredByStart: counted.filter(({ edge }) => edge === 'start'),
    measuredByEnd: counted.filter(({ edge }) => edge === 'end'),
  };
}

/** For reports that count calls alone: tokens that they lack are no gap. */
export function withoutTokens(calls: MeasuredCalls): MeasuredCalls {
  return { ...calls, uncached: 0, cached: 0, cacheWrite: 0, output: 0 };
}

/** Groups calls that forwarding sent within `spanMs` of the group's first, so that one read fetches their evidence. */
export function stretchesOf<T extends { sentFromMs: number }>(calls: readonly T[], spanMs: number): T[][] {
  const stretches: T[][] = [];
  for (const call of calls.toSorted((a, b) => a.sentFromMs - b.sentFromMs)) {
    const stretch = stretches.at(-1);
    if (stretch && call.sentFromMs - stretch[0]!.sentFromMs <= spanMs) stretch.push(call);
    else stretches.push([call]);
  }
  return stretches;
}
