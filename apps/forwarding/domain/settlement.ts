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

/** The cost of an answer that was cut before its usage came: the input as counted, the output as far as it was generated. */
export function settleCut(ticket: Ticket, outputTokens: number): Settlement {
  return booked(ticket, { input: ticket.inputTokens, cached: 0, cacheWrite: 0, output: outputTokens }, undefined, true);
}

function booked(ticket: Ticket, usage: Usage, serviceTier: string | undefined, estimated: boolean): Settlement {
  const tier = serviceTier ?? 'default';
  return {
    costNano: costOf(ticket.price, usage, TIER_PERCENT[tier] ?? 100),
    usedTokens: usage.input + usage.output,
    detail: { usage, tier, estimated },
  };
}
