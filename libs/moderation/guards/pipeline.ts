import type { Direction } from '#libs/contracts/audit.js';
import { contentsReplaced, type Content, type Replacement } from '#libs/endpoints/content.js';
import { GuardUnavailableError, type Guard, type GuardContext, type GuardVerdict } from './guard.js';

/** A guard, and when it judges. */
export interface PlacedGuard {
  guard: Guard;
  directions: readonly Direction[];
  /** It judges every call; otherwise only where a policy names it. */
  always: boolean;
  /** It costs next to nothing and asks nobody else, so that it judges first. */
  local: boolean;
  /** It reads only the provider's own verdicts, and judges where there are some. */
  ofProvider?: boolean;
}

/** One guard's verdict, or why it gave none. */
export type Finding = { guard: string; model: string; latencyMs: number } & (
  | { outcome: 'judged'; verdict: GuardVerdict }
  | ({ outcome: 'unavailable'; reason: string } & Pick<GuardUnavailableError, 'refused' | 'retryAfterMs'>)
);

/** Local guards judge first, all others then; `all`: both, one after the other. */
export type Stage = 'local' | 'remote' | 'all';

/**
 * Asks the guards in their order: the local ones first, then all others at once, unless a local one flagged the
 * content. The others do not see what local guards take out.
 */
export class GuardPipeline {
  private readonly names: ReadonlySet<string>;

  constructor(private readonly placed: readonly PlacedGuard[]) {
    this.names = new Set(placed.map(({ guard }) => guard.name));
  }

  /** One finding for each guard. A guard that a policy names and DAYPASS_CONFIG does not have gives no verdict. */
  async check(contents: readonly Content[], context: GuardContext, stage: Stage = 'all'): Promise<Finding[]> {
    const mine = this.placed.filter(
      ({ guard, directions, always, ofProvider = false }) =>
        directions.includes(context.direction) &&
        (always || context.policy.guards?.includes(guard.name)) &&
        (ofProvider ? context.provider : contents).length > 0,
    );
    const missing = (context.policy.guards ?? []).filter((name) => !this.names.has(name)).map(missingGuard);
    const ask = (local: boolean, shown: readonly Content[]): Promise<Finding[]> =>
      Promise.all(mine.filter((one) => one.local === local).map(({ guard }) => findingOf(guard, shown, context)));
    if (stage === 'remote') return ask(false, contents);
    const first = [...missing, ...(await ask(true, contents))];
    if (stage === 'local' || first.some(isFlagged)) return first;
    const redactions = redactionsOf(first);
    return [...first, ...(await ask(false, redactions.length > 0 ? contentsReplaced(contents, redactions) : contents))];
  }
}

async function findingOf(guard: Guard, contents: readonly Content[], context: GuardContext): Promise<Finding> {
  const startedMs = performance.now();
  const about = () => ({ guard: guard.name, model: guard.model, latencyMs: performance.now() - startedMs });
  try {
    const verdict = await guard.check(contents, context);
    return { ...about(), outcome: 'judged', verdict };
  } catch (error) {
    const isOurs = error instanceof GuardUnavailableError;
    // Any other error of a guard's may quote the content, and comes of it: the guard itself is there.
    return {
      ...about(),
      outcome: 'unavailable',
      reason: isOurs ? error.message : 'it failed',
      refused: !isOurs || error.refused,
      ...(isOurs && error.retryAfterMs !== undefined ? { retryAfterMs: error.retryAfterMs } : {}),
    };
  }
}

function missingGuard(name: string): Finding {
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
