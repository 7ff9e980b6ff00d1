import type { KeyLimits } from '#libs/contracts/key-state.js';
import { parseUsd } from '#libs/money/nano.js';
import type { Campaign } from '../entities/campaign.entity.js';

type GivenLimits = { [Name in keyof KeyLimits]?: number | undefined };

/** What a creator of a key said. */
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

/** What a key gets: what was said, else the campaign's default, else the campaign's budget, no end, and no limits. */
export function termsOf(given: GivenTerms, campaign: Pick<Campaign, 'budgetNano' | 'keyDefaults'>, now: Date): KeyTerms {
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

export function mergeLimits(given: GivenLimits | undefined, fallback: KeyLimits): KeyLimits {
  return { rpm: given?.rpm ?? fallback.rpm, tpm: given?.tpm ?? fallback.tpm, concurrent: given?.concurrent ?? fallback.concurrent };
}

/** The first model that the campaign does not have; undefined when there is none. */
export function strangerAmong(models: readonly string[] | null | undefined, campaign: readonly string[]): string | undefined {
  return models?.find((model) => !campaign.includes(model));
}
