import type { Ticket } from '#libs/contracts/jobs.js';
import { costOf, readChatUsage, TIER_PERCENT, type Usage } from '#libs/money/cost.js';

export interface Settlement {
  costNano: bigint;
  usedTokens: number;
  detail: { usage: Usage; tier: string; served: string; estimated: boolean };
}

/** What an answer, or its frames, say of what it cost. */
export interface Told {
  usage: unknown;
  /** The tier that served, and the dated model. */
  serviceTier: string | undefined;
  model: string | undefined;
}

/** The true cost of an answer, from the upstream's own report. Null where it reported nothing that can be read. */
export function settle(ticket: Ticket, told: Told): Settlement | null {
  const usage = readChatUsage(told.usage);
  return usage && booked(ticket, usage, told, false);
}

/** Reading the input is not generating; silence beyond this is taken for reasoning that nobody sees and everybody pays. */
const PREFILL_MS = 500;
const REASONING_TOKENS_PER_SECOND = 200;

/** The upstream generates, and bills, until it hears that we hung up; and what it had sent by then may never be read. */
const HANG_UP_MS = 200;

/** An answer as far as it came before it was cut. */
export interface CutAnswer {
  /** Output tokens that were seen. */
  seenTokens: number;
  /** Until the first of them. */
  unseenMs: number;
  /** From the first of them on. */
  flowingMs: number;
  /** Whether we hung up in the middle; else the upstream came to its end. */
  hungUp: boolean;
}

/**
 * The cost of an answer that was cut before its usage came: the input as counted, the output as far as it was seen, for `unseenMs`
 * of silence before it what a model can have reasoned in that time, and where we hung up what was on its way by then, at this
 * answer's own pace. Never more than the cap.
 */
export function settleCut(ticket: Ticket, { seenTokens, unseenMs, flowingMs, hungUp }: CutAnswer): Settlement {
  const unseen = Math.ceil((Math.max(0, unseenMs - PREFILL_MS) / 1_000) * REASONING_TOKENS_PER_SECOND) * ticket.choices;
  const onItsWay =
    hungUp && seenTokens > 0 ? 1 + Math.ceil((seenTokens * HANG_UP_MS) / Math.max(flowingMs, HANG_UP_MS)) : 0;
  const output = Math.max(seenTokens, Math.min(seenTokens + unseen + onItsWay, ticket.capTokens * ticket.choices));
  return booked(
    ticket,
    { input: ticket.inputTokens, cached: 0, cacheWrite: 0, output },
    { serviceTier: undefined, model: undefined },
    true,
  );
}

function booked(
  ticket: Ticket,
  usage: Usage,
  { serviceTier, model }: Omit<Told, 'usage'>,
  estimated: boolean,
): Settlement {
  // A tier that was not told, or that nobody knows, is taken for the one that was asked for.
  const percent = (serviceTier === undefined ? undefined : TIER_PERCENT[serviceTier]) ?? ticket.tierPercent;
  return {
    costNano: costOf(ticket.price, usage, percent) + BigInt(ticket.feeNano),
    usedTokens: usage.input + usage.output,
    detail: { usage, tier: serviceTier ?? '', served: model ?? '', estimated },
  };
}
