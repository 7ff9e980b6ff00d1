import { DaypassError } from './errors.js';

/** Unknown, malformed, expired or revoked: one answer for all, so that nobody learns which. */
export function invalidKey(): DaypassError {
  return new DaypassError('invalid_api_key', 'Incorrect API key provided. Ask whoever gave you this Daypass key for a new one.');
}

export function suspended(): DaypassError {
  return new DaypassError('key_suspended', 'This key is suspended until a person decides about it. Ask whoever gave it to you.');
}
