import type { Ticket } from '#libs/contracts/jobs.js';
import { costOf, readChatUsage, TIER_PERCENT, type Usage } from '#libs/money/cost.js';

export interface Settlement {
  costNano: bigint;
  usedTokens: number;
  detail: { usage: Usage; tier: string; estimated: boolean };
}

/** The true cost of an answer, from the upstream's own report. Null where it reported nothing that can be read. */
export function settle(ticket: Ticket, reported: unknown, serviceTier: string | undefined): Settlement | null {
  const usage = readChatUsage(reported);
  return usage && booked(ticket, usage, serviceTier, false);
}

/** Reading the input is not generating; silence beyond this is taken for reasoning that nobody sees and everybody pays. */
const PREFILL_MS = 500;
const REASONING_TOKENS_PER_SECOND = 200;

/**
 * The cost of an answer that was cut before its usage came: the input as counted, the output as far as it was seen, and for
 * `unseenMs` of silence before it what a model can have reasoned in that time, never more than the cap.
 */
export function settleCut(ticket: Ticket, seenTokens: number, unseenMs: number): Settlement {
  const unseen = Math.ceil((Math.max(0, unseenMs - PREFILL_MS) / 1_000) * REASONING_TOKENS_PER_SECOND) * ticket.choices;
  const output = Math.max(seenTokens, Math.min(seenTokens + unseen, ticket.capTokens * ticket.choices));
  return booked(ticket, { input: ticket.inputTokens, cached: 0, cacheWrite: 0, output }, undefined, true);
}

function booked(ticket: Ticket, usage: Usage, serviceTier: string | undefined, estimated: boolean): Settlement {
  const tier = serviceTier ?? 'default';
  return {
    costNano: costOf(ticket.price, usage, TIER_PERCENT[tier] ?? 100),
    usedTokens: usage.input + usage.output,
    detail: { usage, tier, estimated },
  };
}
