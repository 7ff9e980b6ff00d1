import { DaypassError } from './errors.js';

/** One answer for unknown, malformed, expired and revoked keys, so that nobody learns which it is. */
export function invalidKey(): DaypassError {
  return new DaypassError(
    'invalid_api_key',
    'Incorrect API key provided. Ask whoever gave you this Daypass key for a new one.',
  );
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
