import type { JournalEvent } from '#libs/contracts/journal.js';

export type Step = 'warn' | 'cooldown' | 'suspend';

/** A refused input, and what followed from it. */
export interface Strike {
  requestId: string;
  keyId: string;
  campaignId: string;
  at: Date;
  /** Which it is within the policy's window. */
  strikes: number;
  step: Step;
  /** The key rests until then. */
  cooldownUntil: Date | null;
  detail: Record<string, unknown>;
}

export function strikeOf(event: JournalEvent & { kind: 'strike' }): Strike {
  return {
    requestId: event.request,
    keyId: event.key,
    campaignId: event.campaign,
    at: new Date(event.at_ms),
    strikes: event.strikes,
    step: event.step === '' ? 'warn' : event.step,
    cooldownUntil: event.until_ms > 0 ? new Date(event.until_ms) : null,
    detail: JSON.parse(event.detail) as Record<string, unknown>,
  };
}

/** A strike as the admin API tells it. */
export function showStrike({ requestId, at, strikes, step, detail }: Strike) {
  return { request_id: requestId, at: at.toISOString(), strikes, step, detail };
}

export type StrikeView = ReturnType<typeof showStrike>;

const WHAT: Record<Step, string> = {
  warn: 'was refused an input',
  cooldown: 'rests for a while',
  suspend: 'is suspended until a person reinstates it',
};

/** What the operator is told; `text` is what Slack and its like show. */
export function noticeOf({ requestId, keyId, campaignId, at, strikes, step, detail }: Strike): Record<string, unknown> {
  const categories = Array.isArray(detail.categories) ? ` (${detail.categories.join(', ')})` : '';
  return {
    type: `strike.${step}`,
    text: `Daypass: the key ${keyId} ${WHAT[step]}, after ${strikes} ${strikes === 1 ? 'refused input' : 'refused inputs'}${categories}.`,
    data: { key: keyId, campaign: campaignId, request_id: requestId, strikes, at: at.toISOString(), detail },
  };
}
