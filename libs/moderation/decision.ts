import { DaypassError } from '#libs/contracts/errors.js';
import type { VerdictWord } from '#libs/contracts/jobs.js';
import type { CallPolicy } from '#libs/contracts/policy.js';
import type { Check } from './check.js';

export type Decision = { pass: true; word: VerdictWord } | { pass: false; error: DaypassError; strike: boolean };

const UNAVAILABLE_RETRY_MS = 2_000;

/** What becomes of a call whose input was judged: before it was sent (`gate`), or while it ran (`parallel`), which costs. */
export function decide(finding: Check, policy: CallPolicy): Decision {
  const cost = policy.input === 'parallel' ? 'It was forwarded meanwhile, and what that cost was charged.' : 'Nothing was forwarded and nothing was charged.';
  if (finding.outcome === 'unavailable') {
    if (policy.onUnavailable === 'open') return { pass: true, word: 'unchecked' };
    if (finding.refused) {
      const error = new DaypassError(
        'invalid_request',
        'The moderation endpoint does not take this input (an image that cannot be read, or a text larger than its limit), and unchecked input is not forwarded.',
        { param: 'messages', details: { direction: 'input' } },
      );
      return { pass: false, error, strike: false };
    }
    const error = new DaypassError('moderation_unavailable', 'The input could not be checked right now, and unchecked input is not forwarded. Please retry.', {
      // What was charged is not to be charged again and again by a client that repeats by itself.
      ...(policy.input === 'parallel' ? { retry: false } : { retryAfterMs: UNAVAILABLE_RETRY_MS }),
      details: { direction: 'input' },
    });
    return { pass: false, error, strike: false };
  }
  if (!finding.judgement.flagged) return { pass: true, word: 'pass' };
  const { categories } = finding.judgement;
  const error = new DaypassError('moderation_blocked', `The input was refused by moderation (${categories.join(', ')}). ${cost}`, {
    param: 'messages',
    details: { direction: 'input', categories },
  });
  return { pass: false, error, strike: true };
}
