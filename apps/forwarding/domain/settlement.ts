import type { Ticket } from '#libs/contracts/jobs.js';
import type { Endpoint, Report } from '#libs/endpoints/endpoint.js';
import { costOf, tokensOf, type Metered, type TextMetered } from '#libs/money/cost.js';
import { percentOf } from '#libs/money/tiers.js';

export interface Settlement {
  costNano: bigint;
  usedTokens: number;
  /** Images that another model made; undefined: nobody knows. */
  drawn?: number | undefined;
  detail: { usage: TextMetered & Metered; tier: string; served: string; estimated: boolean };
  /** Nobody knows what the call cost, so that its bound is booked. A usage report may correct it. */
  presumed?: true;
}

/** The true cost of an answer, from the upstream's own report. null: it reported no usage that Daypass can read. */
export function settle(ticket: Ticket, report: Report): Settlement | null {
  const { metered, images: drawn } = report;
  if (!metered || isBesidePrice(ticket, metered)) return null;
  return { ...booked(ticket, metered, report, false), ...(drawn === undefined ? {} : { drawn }) };
}

/** It counts only what the model's price has no rate for, e.g. tokens of a model that is paid by the hour. */
function isBesidePrice({ estimate, price, heldNano }: Ticket, metered: Metered): boolean {
  return estimate !== undefined && BigInt(heldNano) > 0n && tokensOf(metered) > 0 && costOf(price, metered) === 0n;
}

/** As the version before priced them, whatever the model. Its tickets have no tiers. */
const FORMER_TIERS = { default: 100, flex: 50, priority: 200, fast: 200 };

/** A model reads its input in this time. Daypass takes longer silence for hidden reasoning, which costs like output. */
const PREFILL_MS = 500;
const REASONING_TOKENS_PER_SECOND = 200;

/** So long after Daypass hung up, the upstream still generates and bills output that nobody reads. */
const HANG_UP_MS = 200;

/** How far an answer came before it broke off. */
export interface CutAnswer {
  /** Output tokens that forwarding saw, or a bound of them. */
  seenTokens: number;
  /** The time until the first of them. */
  unseenMs: number;
  /** The time from the first of them on. */
  flowingMs: number;
  /** Daypass hung up; otherwise the upstream ended the answer. */
  hungUp: boolean;
}

/**
 * The cost of an answer without a usage, or one that broke off before its usage came. Where its API says nothing else, it is the sum of the counted input, the output that
 * forwarding saw, and what a model can have reasoned in `unseenMs` of silence. Where Daypass hung up, the output on its
 * way is added, at this answer's own pace. The output never counts more than its cap. Beside the output it is the estimate.
 */
export function settleCut(
  ticket: Ticket,
  { seenTokens, unseenMs, flowingMs, hungUp }: CutAnswer,
  { unreported }: Pick<Endpoint, 'unreported'>,
): Settlement {
  const { outputs, capTokens, encoding } = ticket;
  const estimate = { ...ticket.estimate, input: ticket.inputTokens };
  if (unreported === 'bound') return atBound(ticket, estimate);
  if (unreported === 'estimate') return booked(ticket, estimate, UNTOLD, true);
  // More bytes than the cap has tokens prove nothing: the upstream holds to its cap.
  const seen = encoding === 'bytes' ? Math.min(seenTokens, capTokens * outputs) : seenTokens;
  const unseen = Math.ceil((Math.max(0, unseenMs - PREFILL_MS) / 1_000) * REASONING_TOKENS_PER_SECOND) * outputs;
  const onItsWay = hungUp && seen > 0 ? 1 + Math.ceil((seen * HANG_UP_MS) / Math.max(flowingMs, HANG_UP_MS)) : 0;
  const output = Math.max(seen, Math.min(seen + unseen + onItsWay, capTokens * outputs));
  return booked(ticket, { ...estimate, output }, UNTOLD, true);
}

/** The cost of an answer that the upstream broke off, by what came of it: never above the bound. */
export function settleSeen(ticket: Ticket, seen: Metered): Settlement {
  const settlement = booked(ticket, seen, UNTOLD, true);
  const heldNano = BigInt(ticket.heldNano);
  return settlement.costNano > heldNano ? { ...settlement, costNano: heldNano } : settlement;
}

const UNTOLD = { serviceTier: undefined, model: undefined };

function atBound(ticket: Ticket, estimate: Metered): Settlement {
  return { ...booked(ticket, estimate, UNTOLD, true), costNano: BigInt(ticket.heldNano), presumed: true };
}

function booked(
  ticket: Ticket,
  metered: Metered,
  { serviceTier, model, searches }: Omit<Report, 'metered'>,
  estimated: boolean,
): Settlement {
  const usage = { input: 0, cached: 0, cacheWrite: 0, output: 0, ...metered };
  // The report may name no tier, or one without a price. Then the call pays for the tier that it asked for.
  const percent =
    serviceTier === undefined
      ? ticket.tierPercent
      : (percentOf(ticket.tiers ?? FORMER_TIERS, serviceTier) ?? ticket.tierPercent);
  return {
    costNano: costOf(ticket.price, usage, percent) + feeOf(ticket, searches),
    usedTokens: tokensOf(usage),
    detail: { usage, tier: serviceTier ?? '', served: model ?? '', estimated },
  };
}

/**
 * The hold has the fees of all searches that the call may make. An API that tells how many it made pays for those, also for
 * more than it was allowed: what goes beyond the hold is absorbed. Otherwise the call pays for all.
 */
function feeOf({ feeNano, facts }: Ticket, searches: number | undefined): bigint {
  const heldNano = BigInt(feeNano);
  const allowed = Number(facts.searchCalls ?? 0);
  if (searches === undefined || allowed === 0) return heldNano;
  return (heldNano / BigInt(allowed)) * BigInt(searches);
}
