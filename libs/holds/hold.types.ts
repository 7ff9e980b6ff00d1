import type { RequestEvent } from '#libs/contracts/audit.js';
import type { CampaignState, KeyState } from '#libs/contracts/key-state.js';
import type { StrikePolicy } from '#libs/contracts/policy.js';
import type { Recorded } from '#libs/redis/event.recorder.js';
import type { LaneUpstream } from '#libs/pacing/lane.upstreams.js';

/** A hold whose holder falls silent is ended after this long; holders renew every third of it. */
export const LEASE_MS = 15_000;
/** In which the one call that tries a failing upstream has to say how it went, before another tries. */
export const PROBE_MS = 5_000;

export interface HoldRequest {
  requestId: string;
  keyId: string;
  campaignId: string;
  /** Cost that does not depend on the output's length, nano-dollars. */
  fixedNano: bigint;
  /** Cost of one more output token over all choices, nano-dollars. */
  perTokenNano: bigint;
  capTokens: number;
  /** What the cap may be clamped to where the free balance carries no more. */
  leastCapTokens: number;
  inputTokens: number;
  choices: number;
  maxWaitMs: number;
  detail: string;
  lane: string;
  replyTo: string;
  /** With an `Idempotency-Key`: the hash of that name, and a fingerprint of the body that came with it. */
  idempotency?: { nameHash: string; fingerprint: string } | undefined;
  /** What the record keeps of the call, beside its body, which has to be stored before. */
  recorded?: RequestEvent | undefined;
}

export interface HoldBounds {
  journalEntries: number;
  /** Of what waits to be booked in the record. */
  auditBytes: number;
  /** The operator's own budgets, nano-dollars; undefined where there is none. */
  operatorDayNano: bigint | undefined;
  operatorTotalNano: bigint | undefined;
  /** Where only running holds stand in the way of a longer answer, say `busy` rather than clamp or refuse. */
  patient: boolean;
}

export type HoldAnswer =
  | {
      code: 'ok';
      capTokens: number;
      amountNano: bigint;
      nowMs: number;
      availableNano: bigint;
      windowRequests: number;
      windowTokens: number;
      repeated: boolean;
      /** UTC days since 1970: the day of the operator's budget that the call counts against. */
      day: number;
    }
  | { code: 'conflict' | 'recovering' | 'overloaded' | 'invalid' | 'suspended' }
  | { code: 'busy'; level: BudgetLevel }
  | {
      code: 'insufficient';
      level: BudgetLevel;
      period: '' | 'day' | 'total';
      freeNano: bigint;
      heldNano: bigint;
      needNano: bigint;
    }
  | { code: 'concurrency'; limit: number }
  | { code: 'requests'; limit: number; waitMs: number }
  /** `waitMs` −1: the request is larger than the whole limit and can never pass. */
  | { code: 'tokens'; limit: number; waitMs: number; need: number }
  /** What an idempotency key finds: another body, a first call that runs, its kept answer, or that none could be kept. */
  | { code: 'reused' | 'in_progress' | 'unanswered' }
  | { code: 'answered'; requestId: string };

export type BudgetLevel = 'key' | 'campaign' | 'operator';

export interface StartRequest {
  requestId: string;
  keyId: string;
  campaignId: string;
  lane: string;
  /** That it takes of the lane. */
  tokens: number;
  /** In the order that they are taken in. */
  upstreams: readonly LaneUpstream[];
  nonce: string;
}

export type StartAnswer =
  /**
   * `laneRequests`, `laneTokens`: what the upstream's window counts, this call included; 0 where it was heard of before.
   * `failures`: of that upstream, in a row until now.
   */
  | {
      code: 'started';
      attempt: number;
      nowMs: number;
      laneRequests: number;
      laneTokens: number;
      upstream: string;
      failures: number;
    }
  /** `why`: the upstream that would be the first to have room fails, or refuses the account; '' where its limits are in use. */
  | { code: 'wait' | 'late'; waitMs: number; why: '' | 'failing' | 'account' }
  | { code: 'too_large' | 'invalid' | 'suspended' }
  | { code: 'recovering' }
  | { code: 'ended'; state: string }
  /** The caller's own dispatch, which it never heard of and nobody sent, was presumed meanwhile. */
  | { code: 'unsent'; attempt: number };

/** A dispatched call as its worker knows it: enough to make its hold again where Redis lost it. */
export interface CallClaim {
  requestId: string;
  keyId: string;
  campaignId: string;
  lane: string;
  replyTo: string;
  amountNano: bigint;
  day: number;
  attempt: number;
}

export interface EndRequest {
  requestId: string;
  keyId: string;
  campaignId: string;
  lane: string;
  replyTo: string;
  transition: 'post' | 'void' | 'cancel' | 'presume' | 'expire';
  costNano?: bigint;
  /** Input and output tokens that were really used; corrects what the windows reserved. */
  usedTokens?: number;
  detail: Record<string, unknown>;
  /** The sealed final reply, handed to the visitor's ingress in the same step. */
  reply?: Buffer;
  /** What an idempotent repeat is answered with: that reply, or another sealed one. Nothing: a repeat of a voided call runs anew. */
  keep?: 'reply' | Buffer;
  /** A refused input: it counts against the key, and has consequences where the policy says so. */
  strike?: StrikePolicy | true;
  /** For the record, in the same step and before the reply: the verdicts that this follows from. */
  events?: readonly Recorded[];
  /** From the worker that dispatched the call. */
  dispatched?: Pick<CallClaim, 'amountNano' | 'day' | 'attempt'> & { upstream?: string };
}

export interface EndAnswer {
  /** `recovering`: the door is closed, nothing was done: ask again. */
  outcome: 'applied' | 'repeated' | 'corrected' | 'running' | 'missing' | 'leased' | 'refused' | 'recovering';
  state: string;
  paidNano: bigint;
  absorbedNano: bigint;
  availableNano: bigint;
}

/** A hold as the ledger knows it. */
export interface KnownHold {
  requestId: string;
  keyId: string;
  campaignId: string;
  amountNano: bigint;
  state: 'held' | 'dispatched' | 'posted' | 'voided' | 'presumed';
  paidNano: bigint;
  absorbedNano: bigint;
  day: number;
  attempt: number;
}

export type KeyAnswer =
  { code: 'recovering' | 'unknown' } | { code: 'ok'; key: KeyState; campaign: CampaignState; nowMs: number };

/** A hold whose lease has run out, with what ending it takes. */
export interface ExpiredHold {
  requestId: string;
  keyId: string;
  campaignId: string;
  lane: string;
  replyTo: string;
  state: string;
}
