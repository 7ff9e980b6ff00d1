import type { RequestEvent } from '#libs/contracts/audit.js';
import type { PacedUnits } from '#libs/contracts/jobs.js';
import type { CampaignState, KeyState } from '#libs/contracts/key-state.js';
import type { StrikePolicy } from '#libs/contracts/policy.js';
import type { Recorded } from '#libs/redis/event.recorder.js';
import type { LaneUpstream } from '#libs/pacing/lane.upstreams.js';

/**
 * The sweeper ends a hold that nobody renewed for so long. Who answers for a hold renews it every third of that time.
 */
export const LEASE_MS = 15_000;
/** While one call tries a failing upstream, no other tries it within this time. */
export const PROBE_MS = 5_000;

export interface HoldRequest {
  requestId: string;
  keyId: string;
  campaignId: string;
  /** Cost that does not depend on the output's length, nano-dollars. */
  fixedNano: bigint;
  /** Cost of one more token of every output, nano-dollars. */
  perUnitNano: bigint;
  /** The cap of each output. 0, as are `perUnitNano` and `outputs`, where the price does not depend on the output. */
  capTokens: number;
  /** Daypass may lower the cap to this, where the free budget covers no more. */
  leastCapTokens: number;
  inputTokens: number;
  outputs: number;
  maxWaitMs: number;
  detail: string;
  lane: string;
  replyTo: string;
  /** With an `Idempotency-Key`: the hash of that name, and a fingerprint of the body that came with it. */
  idempotency?: { nameHash: string; fingerprint: string } | undefined;
  /** Tells a repeat of a call whose answer was blocked. */
  repeatHash?: string | undefined;
  /** For the record, which keeps the body with it. */
  recorded?: RequestEvent | undefined;
  /** The encrypted body, which Redis stores with the hold. Nothing of a call without a hold stays in Redis. */
  body?: { encrypted: Buffer; lifeMs: number } | undefined;
  /** How many pieces of files Redis has for it. They get the life of the body. Absent: none. */
  filePieces?: number;
  /** The request's bytes, which count against the key's limit. 0: an earlier question about the call counted them. */
  sentBytes?: number;
  /** Answer `ready` instead of taking the hold. */
  question?: boolean;
  /**
   * The versions of key and campaign, where the caller remembers them from an earlier call. It gets `stale` where they
   * changed, or where the key may not call now. Absent: the caller has just read them.
   */
  remembered?: { key: string; campaign: string } | undefined;
}

export interface HoldBounds {
  journalEntries: number;
  /** The most bytes that may wait for the record. */
  auditBytes: number;
  /** The most of them that may belong to one key. */
  auditBytesOfKey: number;
  /** What a key without a limit of its own may send, and get again, within an hour. 0: no limit. */
  keyBytesPerHour: number;
  /** The operator's own budgets, nano-dollars; undefined: no budget. */
  operatorDayNano: bigint | undefined;
  operatorTotalNano: bigint | undefined;
  /** Answer `busy`, rather than lower the cap or refuse, where the end of running calls would allow more. */
  patient: boolean;
  /** The limit `concurrent` of a key that has none of its own; absent: such a key has no limit. */
  keyConcurrent?: number;
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
  | { code: 'conflict' | 'recovering' | 'paused' | 'overloaded' | 'invalid' | 'suspended' }
  /** What the caller remembers of the key has changed, or the key may not call now. */
  | { code: 'stale' }
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
  /** `waitMs` −1: the request is larger than the whole limit, so that it never passes. */
  | { code: 'tokens'; limit: number; waitMs: number; need: number }
  | BytesAnswer
  /** Too much of this key waits for the record. */
  | { code: 'record' }
  /** Redis has no more all the files of the request. */
  | { code: 'files' }
  /** To a question: nothing is taken. */
  | { code: 'ready' }
  /** The idempotency key came with another body before, or its first call runs, or that call left no answer. */
  | { code: 'reused' | 'in_progress' | 'unanswered' }
  /** The same call was blocked within the last minute. `sealed`: its answer. */
  | ({ code: 'stopped'; sealed: string } & KeyAfterRepeat)
  /** Redis keeps the answer to the first call under the idempotency key. */
  | ({ code: 'answered'; requestId: string } & KeyAfterRepeat);

/** The key of a repeat that gets a kept answer, with this repeat. */
export interface KeyAfterRepeat {
  availableNano: bigint;
  windowRequests: number;
  windowTokens: number;
}

/** The key sent too many bytes within the hour. `waitMs` −1: the request is larger than the whole limit. */
export interface BytesAnswer {
  code: 'bytes';
  limit: number;
  waitMs: number;
  need: number;
}

export type RequestAnswer = 'ok' | { code: 'requests'; limit: number; waitMs: number } | BytesAnswer;

/** What a visitor asks of the moderation endpoint: free, without a hold. */
export interface InquiryRequest {
  requestId: string;
  keyId: string;
  /** As the provider counts it. */
  tokens: number;
  /** 0: somebody counted them already. */
  sentBytes: number;
  /** For the record, which keeps the body with it. */
  recorded: RequestEvent;
  body: { encrypted: Buffer; lifeMs: number };
}

export type InquiryAnswer =
  | ({ code: 'ok' } & KeyAfterRepeat)
  | Extract<HoldAnswer, { code: 'recovering' | 'requests' | 'tokens' | 'record' } | BytesAnswer>;

export type BudgetLevel = 'key' | 'campaign' | 'operator';

export interface StartRequest {
  requestId: string;
  keyId: string;
  campaignId: string;
  lane: string;
  /** How many tokens it takes of the lane. */
  tokens: number;
  /** Images and seconds of sound that it takes; absent: none. */
  units?: PacedUnits | undefined;
  /** In the order of preference. */
  upstreams: readonly LaneUpstream[];
  nonce: string;
  /**
   * The calls before it in the line get no place in this process, so that it may overtake them. `behind`: this process
   * starts that call right before it. Absent: it starts only as the first of the line.
   */
  overtakes?: { behind: string | null } | undefined;
}

/** A look of one process at a lane, which begins the calls whose turns are next. */
export interface LookRequest {
  lane: string;
  /** How many calls it begins at most. */
  count: number;
  /** Tells the process from others at this lane. */
  process: string;
  /** One higher than that of the process' look before. */
  look: number;
  /** An answer to the same look was lost. */
  isRepeat: boolean;
  /** Of every call of the lane, in the order of preference. */
  upstreams: readonly LaneUpstream[];
}

/** A call whose turn was next, and what became of it. */
export interface NextCall {
  requestId: string;
  /** As the lane keeps it (`libs/endpoints/ticket.ts`); '': Redis has none any more. */
  ticket: string;
  /** The body of a started call; null: Redis lost it. `large`: the answer has no room for it. */
  encrypted: Buffer | 'large' | null;
  start: Exclude<StartAnswer, { code: 'recovering' }>;
}

/** `waiting`: how many calls the line still has. */
export type LookAnswer = { code: 'looked'; waiting: number; calls: NextCall[] } | { code: 'recovering' };

export type StartAnswer =
  /**
   * `laneRequests`, `laneTokens`: what the upstream's window counts, with this call; 0 where the script repeats its
   * answer. `failures`: how often that upstream failed in a row.
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
  /**
   * `why`: the upstream with the shortest wait fails, or refuses the account; '' where its limits are in full use, and
   * `images` where only those of the model are that draws for the call's own.
   */
  | { code: 'wait' | 'late'; waitMs: number; why: '' | 'images' | 'failing' | 'account' }
  | { code: 'too_large' | 'invalid' | 'suspended' }
  | { code: 'recovering' }
  | { code: 'ended'; state: string }
  /** The caller lost the answer to its own dispatch, never sent the call, and accounting presumed it meanwhile. */
  | { code: 'unsent'; attempt: number };

/** A call that its upstream refused without doing work. `slot`: that upstream's part of the lane. */
export interface DeferRequest {
  requestId: string;
  lane: string;
  slot: string;
  attempt: number;
  /** The lane leaves the upstream alone for so long; 0: it does not. */
  freezeMs: number;
  /** false: the call waits outside of the line, until a later request of the same attempt lets it join. */
  joins?: boolean;
  /** At the next attempt other upstreams with room go before this one. */
  avoided?: string;
  /** What the call takes of its lane, where the hold does not say it any more. */
  tokens?: number;
}

/** A dispatched call as its worker knows it. From this a script makes the hold again where Redis lost it. */
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
  /** Input and output tokens of the call's usage, by which the script corrects the reservations. */
  usedTokens?: number;
  /** Images that another model made for it; absent: nobody knows, so that all that it reserved count. */
  drawn?: number | undefined;
  detail: Record<string, unknown>;
  /** The encrypted last reply, which the script hands to the visitor's ingress. */
  reply?: Buffer;
  /** The answer for a repeat. Without it, a repeat of a voided call is a new call. */
  keep?: KeptReply;
  /** The call is a strike against its key, with the consequences of the policy. */
  strike?: StrikePolicy | true;
  /** The verdicts that led to this end, for the record. The script writes them before the reply. */
  events?: readonly Recorded[];
  /** Given by the worker that dispatched the call. */
  dispatched?: Pick<CallClaim, 'amountNano' | 'day' | 'attempt'> & { upstream?: string };
}

/** An answer that Redis keeps for repeats, where its bounds allow it. */
export interface KeptReply {
  /** Compressed and encrypted. */
  packed: Buffer;
  /** As a repeat gets it. */
  shownBytes: number;
  bounds: KeptBounds;
}

/** How many bytes of kept answers Redis takes. */
export interface KeptBounds {
  all: number;
  ofKey: number;
}

export interface EndAnswer {
  /** `recovering`: the door is closed, and the script changed nothing. The caller asks again. */
  outcome: 'applied' | 'repeated' | 'corrected' | 'running' | 'missing' | 'leased' | 'refused' | 'recovering';
  state: string;
  paidNano: bigint;
  absorbedNano: bigint;
  availableNano: bigint;
}

/** A call's kept answer. `isPacked`: it is compressed. The version before kept it as it was. */
export interface KeptForm {
  sealed: Buffer;
  isPacked: boolean;
}

/** A hold as the ledger has it. */
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
  | { code: 'recovering' | 'unknown' }
  | {
      code: 'ok';
      key: KeyState;
      campaign: CampaignState;
      nowMs: number;
      /** What the key's window counts. */
      windowRequests: number;
      windowTokens: number;
    };

/** A hold whose lease has run out, with all that its end needs. */
export interface ExpiredHold {
  requestId: string;
  keyId: string;
  campaignId: string;
  lane: string;
  replyTo: string;
  state: string;
}

export interface HoldState {
  /** null: Redis has no such hold. */
  state: string | null;
  /** Redis had lost it, and accounting restored it from the ledger. */
  restored: boolean;
  /** Its call waits in the line of its lane. */
  isInLine: boolean;
}
