import type { CallView } from '#libs/contracts/admin/answers.js';
import { Status } from './status.tsx';

/** The worst first: what a row says of many checks. */
const ORDER = ['blocked', 'unavailable', 'flagged', 'redacted', 'unchecked', 'pass'] as const;

/** What checks decided about one direction of a call. */
export function Decisions({ of }: { of: CallView['input'] }) {
  const worst = ORDER.find((decision) => of.includes(decision));
  if (worst === undefined) return <span className="dimmed">none</span>;
  return <Status of={worst} />;
}

export const DECISION_OPTIONS = [
  { value: '', label: 'All' },
  { value: 'blocked,flagged', label: 'Blocked or flagged' },
  { value: 'blocked', label: 'Blocked' },
  { value: 'flagged', label: 'Flagged' },
  { value: 'redacted', label: 'Redacted' },
  { value: 'unchecked,unavailable', label: 'Without a verdict' },
  { value: 'pass', label: 'Passed' },
] as const;
