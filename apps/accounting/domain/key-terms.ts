import type { KeyLimits, StoredLimits } from '#libs/contracts/key-state.js';
import { MAX_AMOUNT_NANO, parseUsd } from '#libs/money/nano.js';
import type { Campaign } from '../store/entities/campaign.entity.js';
import type { Key } from '../store/entities/key.entity.js';
import type { KeyRaise } from './key-status.js';
import { isOver } from './budget-return.js';
import { mergePatch } from './merge-patch.js';

const TTL_MAX_MS = 10 * 366 * 86_400_000;
const NO_LIMITS: KeyLimits = { rpm: 0, tpm: 0, concurrent: 0, bytes_per_hour: 0 };

type GivenLimits = { [Name in keyof KeyLimits]?: number | undefined };

/** The terms that a request for a key names. */
interface GivenTerms {
  budget_usd?: bigint | undefined;
  ttl_seconds?: number | undefined;
  ttl_from?: 'creation' | 'first_use' | undefined;
  starts_at?: Date | undefined;
  limits?: GivenLimits | undefined;
}

interface KeyTerms {
  budgetNano: bigint;
  expiresAt: Date | null;
  startsAt: Date | null;
  ttlFromUseSeconds: number | null;
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
  const ttlSeconds = given.ttl_seconds ?? defaults.ttl_seconds ?? null;
  const startsAt = given.starts_at ?? null;
  const fromUse = (given.ttl_from ?? defaults.ttl_from) === 'first_use';
  return {
    budgetNano: given.budget_usd ?? defaultNano,
    expiresAt: ttlSeconds === null || fromUse ? null : expiryAfter(ttlSeconds, beginOf(startsAt, now)),
    startsAt,
    ttlFromUseSeconds: fromUse ? ttlSeconds : null,
    limits: mergeLimits(given.limits, mergeLimits(defaults.limits, NO_LIMITS)),
  };
}

/** A key that starts later has its time from then on. */
function beginOf(startsAt: Date | null, now: Date): Date {
  return startsAt !== null && startsAt > now ? startsAt : now;
}

const expiryAfter = (ttlSeconds: number, now: Date): Date => new Date(now.getTime() + ttlSeconds * 1_000);

interface GivenChange {
  budget_usd?: bigint | undefined;
  ttl_seconds?: number | null | undefined;
  expires_at?: Date | null | undefined;
  starts_at?: Date | null | undefined;
}

type Term = 'budgetNano' | 'expiresAt' | 'startsAt' | 'ttlFromUseSeconds' | 'returnedNano' | 'closedAt' | 'returnDueAt';

/**
 * What a change does to a key's budget and time. An extended key gets the budget back that it had returned, unless the
 * request gives another. `over`: the request gives a budget, but the key's time is over and stays so. `never`: the key
 * would end before it starts.
 */
export function changedTerms(
  given: GivenChange,
  key: Pick<Key, Term | 'status' | 'firstUsedAt'>,
  now: Date,
): Pick<Key, Term> | 'over' | 'never' {
  const timed = given.expires_at !== undefined || given.ttl_seconds !== undefined;
  const startsAt = given.starts_at === undefined ? key.startsAt : given.starts_at;
  // The time of a key that waits for its first call still begins with that call.
  const waits = key.ttlFromUseSeconds !== null && key.firstUsedAt === null;
  const fromUseSeconds = waits ? (given.ttl_seconds ?? null) : null;
  const expiresAt = timed ? (fromUseSeconds === null ? expiryOf(given, startsAt, now) : null) : key.expiresAt;
  if ((timed || given.starts_at !== undefined) && isNever(startsAt, expiresAt)) return 'never';
  const over = isOver({ status: key.status, expiresAt }, now) || (key.closedAt !== null && !timed);
  if (over && given.budget_usd !== undefined) return 'over';
  const again = key.closedAt !== null && !over;
  return {
    budgetNano: given.budget_usd ?? key.budgetNano + (again ? key.returnedNano : 0n),
    expiresAt,
    startsAt,
    ttlFromUseSeconds: timed ? fromUseSeconds : key.ttlFromUseSeconds,
    returnedNano: again ? 0n : key.returnedNano,
    closedAt: again ? null : key.closedAt,
    returnDueAt: timed ? expiresAt : key.returnDueAt,
  };
}

/**
 * What many keys get at once: more time beyond their end, or from now on where it is over; or more budget. Text: why
 * this key cannot have it.
 */
export function raisedTerms(
  raise: KeyRaise,
  key: Pick<Key, Term | 'status' | 'firstUsedAt'>,
  now: Date,
): Pick<Key, Term> | string {
  if ('amountNano' in raise) {
    const budgetNano = key.budgetNano + raise.amountNano;
    if (budgetNano > MAX_AMOUNT_NANO) return 'its budget would be more than the most that Daypass can count';
    const terms = changedTerms({ budget_usd: budgetNano }, key, now);
    return typeof terms === 'string' ? 'its time is over: extend it first' : terms;
  }
  const waits = key.ttlFromUseSeconds !== null && key.firstUsedAt === null;
  if (waits) return timed({ ttl_seconds: (key.ttlFromUseSeconds ?? 0) + raise.ttlSeconds }, key, now);
  if (key.expiresAt === null) return 'it has no end';
  const from = Math.max(key.expiresAt.getTime(), now.getTime());
  return timed({ expires_at: new Date(from + raise.ttlSeconds * 1_000) }, key, now);
}

function timed(
  given: GivenChange,
  key: Pick<Key, Term | 'status' | 'firstUsedAt'>,
  now: Date,
): Pick<Key, Term> | string {
  const end = given.expires_at?.getTime() ?? now.getTime() + (given.ttl_seconds ?? 0) * 1_000;
  if (end > now.getTime() + TTL_MAX_MS) return 'it would end in more than ten years';
  const terms = changedTerms(given, key, now);
  return typeof terms === 'string' ? 'its time cannot be extended' : terms;
}

/** Whether a key would end before it starts. */
const isNever = (startsAt: Date | null, expiresAt: Date | null): boolean =>
  startsAt !== null && expiresAt !== null && expiresAt <= startsAt;

function expiryOf({ expires_at, ttl_seconds }: GivenChange, startsAt: Date | null, now: Date): Date | null {
  if (expires_at !== undefined) return expires_at;
  return ttl_seconds === undefined || ttl_seconds === null ? null : expiryAfter(ttl_seconds, beginOf(startsAt, now));
}

function mergeLimits(given: GivenLimits | undefined, fallback: StoredLimits): KeyLimits {
  return {
    rpm: given?.rpm ?? fallback.rpm,
    tpm: given?.tpm ?? fallback.tpm,
    concurrent: given?.concurrent ?? fallback.concurrent,
    bytes_per_hour: given?.bytes_per_hour ?? fallback.bytes_per_hour ?? 0,
  };
}

/** null removes a limit of the key: the campaign's default counts again. */
export function patchLimits(
  patch: Record<string, unknown> | null | undefined,
  current: StoredLimits,
  { limits }: Campaign['keyDefaults'],
): KeyLimits {
  const given = patch === null ? {} : (mergePatch(current, patch ?? {}) as GivenLimits);
  return mergeLimits(given, mergeLimits(limits, NO_LIMITS));
}

/** The first model that the campaign does not have; undefined when it has them all. */
export function strangerAmong(
  models: readonly string[] | null | undefined,
  campaign: readonly string[],
): string | undefined {
  return models?.find((model) => !campaign.includes(model));
}
