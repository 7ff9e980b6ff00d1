import { readCampaignPage } from '#libs/contracts/key-state.js';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Refusal } from '#libs/contracts/held-key.js';
import { effectivePolicy } from '#libs/contracts/policy.js';
import { formatUsd } from '#libs/money/nano.js';
import { remaining } from '../domain/limit-headers.js';
import type { Visitor } from '../door/authenticator.service.js';
import type { OfferedModel } from '../model.offer.js';

const NO_WISH = { input: false, output: false };

type ProcessLimits = Pick<
  DaypassConfig['limits'],
  'bodyBytes' | 'defaultOutputTokens' | 'keyBytesPerHour' | 'keyConcurrent' | 'minOutputTokens'
>;

/** A key as its holder sees it: its state, and every limit that a call of it can meet. */
export function showHeldKey(
  visitor: Visitor,
  models: readonly OfferedModel[],
  limits: ProcessLimits,
  refusals: readonly Refusal[],
) {
  const { key, campaign, nowMs, ended, use } = visitor;
  const page = readCampaignPage(campaign.page);
  const whole = effectivePolicy(campaign.policy, key.policy, NO_WISH, false);
  const stream = effectivePolicy(campaign.policy, key.policy, NO_WISH, true);
  const { windowMs = 0 } = whole.strikes ?? {};
  const strikes = key.strike_times.filter((at) => windowMs === 0 || at > nowMs - windowMs).length;
  return {
    id: key.id,
    label: key.label,
    campaign: campaign.slug,
    status: statusOf(visitor),
    ended_at: ended ? time(ended.sinceMs) : null,
    suspended_until: isResting(key, nowMs) ? time(key.cooldown_until) : null,
    starts_at: time(key.starts_ms),
    expires_at: time(key.expires_ms),
    // Before its first call the time of some keys has not begun.
    ttl_seconds: key.expires_ms === 0 && key.ttl_from_use_ms > 0 ? key.ttl_from_use_ms / 1_000 : null,
    budget_usd: formatUsd(key.budget),
    spent_usd: formatUsd(key.spent),
    held_usd: formatUsd(key.held),
    available_usd: formatUsd(key.budget - key.spent - key.held),
    // Nobody outside learns how much the campaign has.
    campaign_available: campaign.budget > campaign.spent + campaign.held + campaign.absorbed,
    limits: {
      rpm: key.rpm,
      tpm: key.tpm,
      concurrent: key.concurrent || limits.keyConcurrent,
      bytes_per_hour: key.bytes_per_hour || limits.keyBytesPerHour,
      body_bytes: limits.bodyBytes,
      output_tokens: {
        default: limits.defaultOutputTokens,
        least: limits.minOutputTokens,
        most: Object.fromEntries(models.map(({ id, maxOutputTokens }) => [id, maxOutputTokens])),
      },
    },
    remaining: remaining(use),
    models: models.map(({ id }) => id),
    moderation: {
      input: whole.input,
      output: whole.output,
      stream_output: stream.output,
      on_unavailable: whole.onUnavailable,
    },
    // Absent where accounting has not told yet.
    ...(campaign.retention_days === undefined ? {} : { retention_days: campaign.retention_days || null }),
    strikes,
    // null: strikes suspend no key here.
    strikes_suspend_at: whole.strikes?.suspendAfter || null,
    title: page?.title ?? null,
    project_url: page?.project_url ?? null,
    contact: page?.contact ?? null,
    recent_refusals: refusals,
  };
}

function statusOf({ key, ended, nowMs }: Visitor): string {
  if (ended) return ended.reason;
  if (key.status === 'active' && key.starts_ms > nowMs) return 'not_started';
  return isResting(key, nowMs) ? 'suspended' : key.status;
}

const isResting = ({ status, cooldown_until }: Visitor['key'], nowMs: number): boolean =>
  status === 'active' && cooldown_until > nowMs;

/** null: never, or nobody knows. */
function time(ms: number): string | null {
  return ms > 0 ? new Date(ms).toISOString() : null;
}
