import type { VisitorView } from '#libs/contracts/admin/safety.js';

interface Refused {
  percent: string;
  counts: string;
}

/** Blocked checks of all checks, as people read it; null: nothing was checked. */
export function refusedOf({ checks, blocked }: Pick<VisitorView, 'checks' | 'blocked'>): Refused | null {
  if (checks === 0) return null;
  return { percent: `${Math.round((blocked / checks) * 100)} %`, counts: `${blocked} of ${checks}` };
}

export function refusedShare(visitor: Pick<VisitorView, 'checks' | 'blocked'>): string {
  const refused = refusedOf(visitor);
  return refused === null ? '–' : `${refused.percent} (${refused.counts})`;
}

/** What holds of a visitor, the gravest first. */
export function visitorState({ erased_at, blocked_at, keys_active }: VisitorView): string {
  if (erased_at !== null) return 'erased';
  if (blocked_at !== null) return 'blocked';
  return keys_active > 0 ? 'active' : 'no live key';
}
