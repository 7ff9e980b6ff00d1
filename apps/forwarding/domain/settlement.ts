import type { Ticket } from '#libs/contracts/jobs.js';
import type { Report } from '#libs/endpoints/endpoint.js';
import { costOf, TIER_PERCENT, type Metered } from '#libs/money/cost.js';

export interface Settlement {
  costNano: bigint;
  usedTokens: number;
  detail: { usage: Required<Metered>; tier: string; served: string; estimated: boolean };
}

/** The true cost of an answer, from the upstream's own report. null: it reported no usage that Daypass can read. */
export function settle(ticket: Ticket, report: Report): Settlement | null {
  return report.metered && booked(ticket, report.metered, report, false);
}

/** A model reads its input in this time. Daypass takes longer silence for hidden reasoning, which costs like output. */
const PREFILL_MS = 500;
const REASONING_TOKENS_PER_SECOND = 200;

/** So long after Daypass hung up, the upstream still generates and bills output that nobody reads. */
const HANG_UP_MS = 200;

/** How far an answer came before it broke off. */
export interface CutAnswer {
  /** Output tokens that forwarding saw. */
  seenTokens: number;
  /** The time until the first of them. */
  unseenMs: number;
  /** The time from the first of them on. */
  flowingMs: number;
  /** Daypass hung up; otherwise the upstream ended the answer. */
  hungUp: boolean;
}

/**
 * The cost of an answer that broke off before its usage came. It is the sum of the counted input, the output that
 * forwarding saw, and what a model can have reasoned in `unseenMs` of silence. Where Daypass hung up, the output on its
 * way is added, at this answer's own pace. The output never counts more than its cap.
 */
export function settleCut(ticket: Ticket, { seenTokens, unseenMs, flowingMs, hungUp }: CutAnswer): Settlement {
  const { outputs, capTokens, inputTokens } = ticket;
  const unseen = Math.ceil((Math.max(0, unseenMs - PREFILL_MS) / 1_000) * REASONING_TOKENS_PER_SECOND) * outputs;
  const onItsWay =
    hungUp && seenTokens > 0 ? 1 + Math.ceil((seenTokens * HANG_UP_MS) / Math.max(flowingMs, HANG_UP_MS)) : 0;
  const output = Math.max(seenTokens, Math.min(seenTokens + unseen + onItsWay, capTokens * outputs));
  return booked(ticket, { input: inputTokens, output }, { serviceTier: undefined, model: undefined }, true);
}

function booked(
  ticket: Ticket,
  { input = 0, cached = 0, cacheWrite = 0, output = 0 }: Metered,
  { serviceTier, model }: Omit<Report, 'metered'>,
  estimated: boolean,
): Settlement {
  const usage = { input, cached, cacheWrite, output };
  // Where the report names no tier, or an unknown one, the call pays for the tier that it asked for.
  const percent =
    serviceTier !== undefined && Object.hasOwn(TIER_PERCENT, serviceTier)
      ? TIER_PERCENT[serviceTier]!
      : ticket.tierPercent;
  return {
    costNano: costOf(ticket.price, usage, percent) + BigInt(ticket.feeNano),
    usedTokens: input + output,
    detail: { usage, tier: serviceTier ?? '', served: model ?? '', estimated },
  };
}
