import type { CALL_RESULTS, CallView } from '#libs/contracts/admin/answers.js';
import type { CheckDecision } from '#libs/contracts/audit.js';
import { formatUsd } from '#libs/money/nano.js';

/** A call as record and ledger have it. */
export interface ListedCall {
  id: string;
  at: Date;
  campaign: string | null;
  key_id: string;
  key_label: string | null;
  visitor_id: string;
  endpoint: string;
  model: string;
  stream: boolean;
  policy_version: string;
  checks: number;
  /** The decisions on its input, and on its output, each once. */
  input: CheckDecision[];
  output: CheckDecision[];
  /** null: none of its checks is flagged. */
  reviewed: boolean | null;
  /** The kinds of its bookings. */
  kinds: string[];
  held_nano: string;
  paid_nano: string;
}

type CallResult = (typeof CALL_RESULTS)[number];

/** By the booking that says most about the call's end. */
const RESULTS: [kind: string, result: CallResult][] = [
  ['correct', 'corrected'],
  ['presume', 'presumed'],
  ['post', 'posted'],
  ['void', 'voided'],
];

export function resultOf(kinds: readonly string[]): CallResult {
  return RESULTS.find(([kind]) => kinds.includes(kind))?.[1] ?? 'running';
}

/** A call as the admin API lists it, without content. `held_usd` is its bound. */
export function showCall({
  at,
  key_id: key,
  visitor_id: visitor,
  kinds,
  held_nano,
  paid_nano,
  ...call
}: ListedCall): CallView {
  return {
    ...call,
    at: at.toISOString(),
    key,
    visitor,
    result: resultOf(kinds),
    held_usd: formatUsd(BigInt(held_nano)),
    paid_usd: formatUsd(BigInt(paid_nano)),
  };
}
