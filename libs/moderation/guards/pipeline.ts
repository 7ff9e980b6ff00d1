import type { Direction } from '#libs/contracts/audit.js';
import { contentsReplaced, type Content, type Replacement } from '#libs/endpoints/content.js';
import { GuardUnavailableError, type Guard, type GuardContext, type GuardVerdict } from './guard.js';

/** A guard, and when it looks. */
export interface PlacedGuard {
  guard: Guard;
  directions: readonly Direction[];
  /** For every call, or where a policy names it. */
  always: boolean;
  /** It costs next to nothing and asks nobody else, so it looks first. */
  local: boolean;
  /** It reads what the provider said beside the content, and looks only where there is some. */
  ofProvider?: boolean;
}

/** What one guard made of some content. */
export type Finding = { guard: string; model: string; latencyMs: number } & (
  | { outcome: 'judged'; verdict: GuardVerdict }
  /** `refused`: it will never judge this very content. */
  | { outcome: 'unavailable'; reason: string; refused: boolean }
);

/** Those that look first, those that look then, or both one after the other. */
export type Stage = 'local' | 'remote' | 'all';

/**
 * The guards in their order: the local ones first, then, unless one of those flagged it already, all others at once. What
 * local guards take out of the content the others do not see.
 */
export class GuardPipeline {
  constructor(private readonly placed: readonly PlacedGuard[]) {}

  /** One finding for each guard that looked. A guard that a policy names and nobody knows has no verdict. */
  async check(contents: readonly Content[], context: GuardContext, stage: Stage = 'all'): Promise<Finding[]> {
    const mine = this.placed.filter(
      ({ guard, directions, always, ofProvider = false }) =>
        directions.includes(context.direction) &&
        (always || context.policy.guards?.includes(guard.name)) &&
        (ofProvider ? context.provider : contents).length > 0,
    );
    const known = new Set(this.placed.map(({ guard }) => guard.name));
    const missing = (context.policy.guards ?? []).filter((name) => !known.has(name)).map(nobody);
    const look = (local: boolean, shown: readonly Content[]): Promise<Finding[]> =>
      Promise.all(mine.filter((one) => one.local === local).map(({ guard }) => lookWith(guard, shown, context)));
    if (stage === 'remote') return look(false, contents);
    const first = [...missing, ...(await look(true, contents))];
    if (stage === 'local' || first.some(isFlagged)) return first;
    const redactions = redactionsOf(first);
    return [
      ...first,
      ...(await look(false, redactions.length > 0 ? contentsReplaced(contents, redactions) : contents)),
    ];
  }
}

async function lookWith(guard: Guard, contents: readonly Content[], context: GuardContext): Promise<Finding> {
  const begun = performance.now();
  const about = () => ({ guard: guard.name, model: guard.model, latencyMs: performance.now() - begun });
  try {
    const verdict = await guard.check(contents, context);
    return { ...about(), outcome: 'judged', verdict };
  } catch (error) {
    const known = error instanceof GuardUnavailableError;
    // Whatever else a guard throws may quote what it looked at.
    return {
      ...about(),
      outcome: 'unavailable',
      reason: known ? error.message : 'it failed',
      refused: known && error.refused,
    };
  }
}

function nobody(name: string): Finding {
  return {
    guard: name,
    model: 'unknown',
    latencyMs: 0,
    outcome: 'unavailable',
    reason: 'DAYPASS_CONFIG has no guard of this name',
    refused: false,
  };
}

export const isFlagged = (finding: Finding): boolean => finding.outcome === 'judged' && finding.verdict.flagged;

export function redactionsOf(findings: readonly Finding[]): Replacement[] {
  return findings.flatMap((finding) => (finding.outcome === 'judged' ? finding.verdict.redactions : []));
}
