import type { KeyLimits } from '#libs/contracts/key-state.js';
import { parseUsd } from '#libs/money/nano.js';
import type { Campaign } from '../store/entities/campaign.entity.js';
import type { Key } from '../store/entities/key.entity.js';
import { isOver } from './budget-return.js';

type GivenLimits = { [Name in keyof KeyLimits]?: number | undefined };

/** The terms that a request for a key names. */
export interface GivenTerms {
  budget_usd?: bigint | undefined;
  ttl_seconds?: number | undefined;
  limits?: GivenLimits | undefined;
}

export interface KeyTerms {
  budgetNano: bigint;
  expiresAt: Date | null;
  limits: KeyLimits;
}

/** A key gets the request's terms, else its campaign's defaults, else the campaign's budget, no end and no limits. */
export function termsOf(
  given: GivenTerms,
  campaign: Pick<Campaign, 'budgetNano' | 'keyDefaults'>,
  now: Date,
): KeyTerms {
  const { keyDefaults: defaults } = campaign;
  const defaultNano = defaults.budget_usd === undefined ? campaign.budgetNano : parseUsd(defaults.budget_usd);
  const ttlSeconds = given.ttl_seconds ?? defaults.ttl_seconds;
  return {
    budgetNano: given.budget_usd ?? defaultNano,
    expiresAt: ttlSeconds === undefined ? null : expiryAfter(ttlSeconds, now),
    limits: mergeLimits(given.limits, mergeLimits(defaults.limits, { rpm: 0, tpm: 0, concurrent: 0 })),
  };
}

export const expiryAfter = (ttlSeconds: number, now: Date): Date => new Date(now.getTime() + ttlSeconds * 1_000);

interface GivenChange {
  budget_usd?: bigint | undefined;
  ttl_seconds?: number | null | undefined;
  expires_at?: Date | null | undefined;
}

type Term = 'budgetNano' | 'expiresAt' | 'returnedNano' | 'closedAt' | 'returnDueAt';

/**
 * What a change does to a key's budget and time. An extended key gets the budget back that it had returned, unless the
 * request gives another. `over`: the request gives a budget, but the key's time is over and stays so.
 */
export function changedTerms(given: GivenChange, key: Pick<Key, Term | 'status'>, now: Date): Pick<Key, Term> | 'over' {
  const timed = given.expires_at !== undefined || given.ttl_seconds !== undefined;
  const expiresAt = timed ? expiryOf(given, now) : key.expiresAt;
  const over = isOver({ status: key.status, expiresAt }, now) || (key.closedAt !== null && !timed);
  if (over && given.budget_usd !== undefined) return 'over';
  const again = key.closedAt !== null && !over;
  return {
    budgetNano: given.budget_usd ?? key.budgetNano + (again ? key.returnedNano : 0n),
    expiresAt,
    returnedNano: again ? 0n : key.returnedNano,
    closedAt: again ? null : key.closedAt,
    returnDueAt: timed ? expiresAt : key.returnDueAt,
  };
}

function expiryOf({ expires_at, ttl_seconds }: GivenChange, now: Date): Date | null {
  if (expires_at !== undefined) return expires_at;
  return ttl_seconds === undefined || ttl_seconds === null ? null : expiryAfter(ttl_seconds, now);
}

export function mergeLimits(given: GivenLimits | undefined, fallback: KeyLimits): KeyLimits {
  return {
    rpm: given?.rpm ?? fallback.rpm,
    tpm: given?.tpm ?? fallback.tpm,
    concurrent: given?.concurrent ?? fallback.concurrent,
  };
}

/** The first model that the campaign does not have; undefined when it has them all. */
export function strangerAmong(
  models: readonly string[] | null | undefined,
  campaign: readonly string[],
): string | undefined {
  return models?.find((model) => !campaign.includes(model));
}
