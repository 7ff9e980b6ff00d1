import { FIRST_UPSTREAM, type JournalEvent } from '#libs/contracts/journal.js';
import { dateOfDay, periodOfRequest } from './period.js';

export const OPERATOR = 'operator';
export const INFLIGHT = 'inflight';
export const ABSORBED = 'absorbed';
export const UPSTREAM_PREFIX = 'upstream:';
export const campaignAccount = (campaignId: string): string => `campaign:${campaignId}`;
export const keyAccount = (keyId: string): string => `key:${keyId}`;

/** Each upstream has an account of its own; '' is the upstream of OPENAI_API_KEY. */
function upstreamAccount(name: string): string {
  return `${UPSTREAM_PREFIX}${name || FIRST_UPSTREAM}`;
}

/** The events that move money. An attempt or a strike moves none. */
export type MoneyEvent = JournalEvent & { kind: Exclude<JournalEvent['kind'], 'dispatch' | 'defer' | 'strike'> };
export type TransferKind = 'fund' | 'grant' | 'return' | 'expire' | MoneyEvent['kind'];

/** Nano-dollars that an account gains; negative: that it loses. */
export interface Entry {
  account: string;
  amountNano: bigint;
}

/**
 * One movement of money. Its id follows from what it books, so that nothing is booked twice. Its entries sum to zero.
 */
export interface Transfer {
  id: string;
  kind: TransferKind;
  requestId: string | null;
  keyId: string | null;
  campaignId: string;
  at: Date;
  /** The ledger's month, `YYYY-MM-01`. */
  period: string;
  /** The day of the operator's budget, `YYYY-MM-DD`; null for budget transfers and bookings of an older Daypass. */
  budgetDay: string | null;
  detail: Record<string, unknown>;
  journalId: string | null;
  entries: Entry[];
}

/** The largest bigint of Postgres. No real amount comes near it. */
const AMOUNT_MAX = 2n ** 63n - 1n;

/**
 * The transfer of one journal event.
 * @throws RangeError or SyntaxError on an impossible date, an amount beyond any account, or a detail that is no JSON
 */
export function transferOf(event: MoneyEvent, journalId: string | null): Transfer {
  const amount = amountOf(event.amount);
  const paid = amountOf(event.paid);
  const absorbed = amountOf(event.absorbed);
  return {
    id: `${event.request}:${idSuffix(event.kind)}`,
    kind: event.kind,
    requestId: event.request,
    keyId: event.key,
    campaignId: event.campaign,
    at: dateOf(event.at_ms),
    period: periodOfRequest(event.request),
    budgetDay: event.day > 0 ? dateOfDay(event.day) : null,
    detail: detailOf(event.detail),
    journalId,
    entries: entriesOf(
      event.kind,
      upstreamAccount(event.upstream),
      keyAccount(event.key),
      amount,
      paid,
      absorbed,
    ).filter(({ amountNano }) => amountNano !== 0n),
  };
}

/** However a call ends, its end is one booking. Only a correction may follow it. */
function idSuffix(kind: MoneyEvent['kind']): string {
  return kind === 'hold' || kind === 'correct' ? kind : 'end';
}

function entriesOf(
  kind: MoneyEvent['kind'],
  upstream: string,
  key: string,
  amount: bigint,
  paid: bigint,
  absorbed: bigint,
): Entry[] {
  switch (kind) {
    case 'hold':
      return [
        { account: key, amountNano: -amount },
        { account: INFLIGHT, amountNano: amount },
      ];
    case 'void':
      return [
        { account: INFLIGHT, amountNano: -amount },
        { account: key, amountNano: amount },
      ];
    case 'post':
    case 'presume':
      return [{ account: INFLIGHT, amountNano: -amount }, ...spend(upstream, key, paid, amount - paid, absorbed)];
    case 'correct':
      // The presumption before it booked the whole hold as spent.
      return spend(upstream, key, paid - amount, amount - paid, absorbed);
  }
}

function spend(upstream: string, key: string, spent: bigint, back: bigint, absorbed: bigint): Entry[] {
  return [
    { account: upstream, amountNano: spent + absorbed },
    { account: key, amountNano: back },
    { account: ABSORBED, amountNano: -absorbed },
  ];
}

function amountOf(text: string): bigint {
  const amount = BigInt(text);
  if (amount > AMOUNT_MAX) throw new RangeError(`${text} nano-dollars are more than an account can hold`);
  return amount;
}

function dateOf(atMs: number): Date {
  const date = new Date(atMs);
  if (Number.isNaN(date.getTime())) throw new RangeError(`${atMs} ms is no point in time`);
  return date;
}

/** Forwarding sent a call, or the upstream refused it without work, at this attempt. */
export interface Attempt {
  requestId: string;
  attempt: number;
  kind: 'dispatch' | 'defer';
  period: string;
  at: Date;
}

/** @throws RangeError where the event's time is no point in time */
export function attemptOf(event: JournalEvent & { kind: 'dispatch' | 'defer' }): Attempt {
  return {
    requestId: event.request,
    attempt: event.attempt,
    kind: event.kind,
    period: periodOfRequest(event.request),
    at: dateOf(event.at_ms),
  };
}

/** The change that a transfer makes to the balances of its key, its campaign and the operator. */
export function effectOf({ entries }: Transfer): { spentNano: bigint; heldNano: bigint } {
  let [spentNano, heldNano] = [0n, 0n];
  for (const { account, amountNano } of entries) {
    if (account === INFLIGHT) heldNano += amountNano;
    else if (account === ABSORBED || account.startsWith(UPSTREAM_PREFIX)) spentNano += amountNano;
  }
  return { spentNano, heldNano };
}

function detailOf(text: string): Record<string, unknown> {
  const detail: unknown = JSON.parse(text);
  return typeof detail === 'object' && detail !== null && !Array.isArray(detail)
    ? (detail as Record<string, unknown>)
    : { value: detail };
}
