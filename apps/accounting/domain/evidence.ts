import type { Evidence, MinuteCounts } from '#libs/money/reconcile.js';

/** Calls of known usage, by the minute of their start or end; `served` is the model that the answer named. */
export interface Known extends MinuteCounts {
  edge: 'start' | 'end';
  model: string;
  served: string;
}

export interface Reported extends MinuteCounts {
  /** null where the provider does not say. */
  model: string | null;
}

/**
 * What there is to judge a call of `model` by. Reports name the dated model that served, which a call by its alias does not
 * know before its answer. So a row is left out only if it surely is about another model: one that answers to other models'
 * calls named, and none of this model's.
 */
export function evidenceFor(
  model: string,
  reported: readonly Reported[],
  known: readonly Known[],
  fromMs: number,
  toMs: number,
): Evidence {
  const own = new Set(known.filter((row) => row.model === model).map(({ served }) => served));
  const others = new Set(known.filter((row) => row.model !== model).map(({ served }) => served));
  const mayBe = (name: string | null): boolean =>
    name === null || name === model || name.startsWith(`${model}-`) || own.has(name) || !others.has(name);
  const counted = known.filter(({ served }) => mayBe(served));
  return {
    fromMs,
    toMs,
    reported: reported.filter((row) => mayBe(row.model)),
    knownByStart: counted.filter(({ edge }) => edge === 'start'),
    knownByEnd: counted.filter(({ edge }) => edge === 'end'),
  };
}

/** Calls whose evidence is read together: they were sent within `spanMs` of the first. Given in the order of their sending. */
export function stretchesOf<T extends { sentFromMs: number }>(calls: readonly T[], spanMs: number): T[][] {
  const stretches: T[][] = [];
  for (const call of calls.toSorted((a, b) => a.sentFromMs - b.sentFromMs)) {
    const stretch = stretches.at(-1);
    if (stretch && call.sentFromMs - stretch[0]!.sentFromMs <= spanMs) stretch.push(call);
    else stretches.push([call]);
  }
  return stretches;
}
