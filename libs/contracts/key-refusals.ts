import { DaypassError } from './errors.js';

/** Why a key calls no more. `sinceMs`: milliseconds since the epoch; 0: nobody knows. */
export interface KeyEnd {
  reason: 'revoked' | 'expired' | 'campaign_closed';
  sinceMs: number;
}

/** One answer for unknown, malformed and rotated keys, so that nobody learns which it is. */
export function invalidKey(): DaypassError {
  return new DaypassError(
    'invalid_api_key',
    'Incorrect API key provided. Ask whoever gave you this Daypass key for a new one.',
  );
}

const ENDS: Record<KeyEnd['reason'], string> = {
  revoked: 'This Daypass key was revoked',
  expired: 'This Daypass key has expired',
  campaign_closed: 'The campaign of this Daypass key was closed',
};

/** For whoever holds the true secret of a key that has ended. Nobody else gets this answer. */
export function endedKey({ reason, sinceMs }: KeyEnd): DaypassError {
  const since = sinceMs > 0 ? new Date(sinceMs).toISOString() : null;
  return new DaypassError(
    'invalid_api_key',
    `${ENDS[reason]}${since === null ? '' : ` (${since})`}. Ask whoever gave it to you for a new one.`,
    { details: { reason, since } },
  );
}

/** The key ended between its look-up and the start of the call, which costs nothing. */
export function endedMeanwhile(): DaypassError {
  return new DaypassError(
    'invalid_api_key',
    'This Daypass key ended while the call waited. GET /v1/key says why. The call cost nothing.',
  );
}

/** Only whoever holds the key learns it. */
export function notStarted(startsMs: number): DaypassError {
  const startsAt = new Date(startsMs).toISOString();
  return new DaypassError('invalid_api_key', `This key works from ${startsAt} on. Try again then.`, {
    details: { reason: 'not_started', starts_at: startsAt },
  });
}

/** The key rests for a while after some strikes. */
export function coolingDown(untilMs: number): DaypassError {
  const until = new Date(untilMs).toISOString();
  return new DaypassError(
    'key_suspended',
    `This key rests until ${until}, because moderation refused too much of what it sent.`,
    {
      details: { until, reason: 'strikes' },
    },
  );
}

export function suspended(): DaypassError {
  return new DaypassError(
    'key_suspended',
    'This key is suspended until a person decides about it. Ask whoever gave it to you.',
  );
}
