import type { StrikeView } from '#libs/contracts/admin/answers.js';
import type { JournalEvent } from '#libs/contracts/journal.js';

export type Step = 'warn' | 'cooldown' | 'suspend';

/** A refused input, and the step that followed. */
export interface Strike {
  requestId: string;
  keyId: string;
  campaignId: string;
  at: Date;
  /** Its number within the policy's window. */
  strikes: number;
  step: Step;
  /** The end of the key's rest. */
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

/** A strike as the admin API shows it. */
export function showStrike({ requestId, keyId, at, strikes, step, detail }: Strike): StrikeView {
  return { request_id: requestId, key: keyId, at: at.toISOString(), strikes, step, detail };
}

const WHAT: Record<Step, string> = {
  warn: 'was refused an input',
  cooldown: 'rests for a while',
  suspend: 'is suspended until a person reinstates it',
};

/** The notice to the operator. Slack and its like show `text`. */
export function noticeOf({ requestId, keyId, campaignId, at, strikes, step, detail }: Strike): Record<string, unknown> {
  const categories = Array.isArray(detail.categories) ? ` (${detail.categories.join(', ')})` : '';
  return {
    type: `strike.${step}`,
    text: `Daypass: the key ${keyId} ${WHAT[step]}, after ${strikes} ${strikes === 1 ? 'refused input' : 'refused inputs'}${categories}.`,
    data: { key: keyId, campaign: campaignId, request_id: requestId, strikes, at: at.toISOString(), detail },
  };
}
