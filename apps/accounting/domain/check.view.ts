import type { CheckView } from '#libs/contracts/admin/answers.js';
import type { CheckDecision, Direction } from '#libs/contracts/audit.js';

/** A check as the record's tables have it. */
export interface ListedCheck {
  id: string;
  at: Date;
  request_id: string;
  visitor_id: string;
  key_id: string;
  campaign: string | null;
  direction: Direction;
  guard: string;
  model: string;
  decision: CheckDecision;
  categories: string[];
  scores: Record<string, number>;
  thresholds: Record<string, number>;
  policy_version: string;
  latency_ms: number;
  reason: string | null;
  seq: string;
}

/** A check as the admin API shows it. */
export function showCheck({ at, visitor_id: visitor, key_id: key, seq, ...check }: ListedCheck): CheckView {
  return { ...check, at: at.toISOString(), visitor, key, seq: Number(seq) };
}
