import { DaypassError } from '#libs/contracts/errors.js';
import type { VerdictWord } from '#libs/contracts/jobs.js';
import type { CallPolicy } from '#libs/contracts/policy.js';
import type { Replacement } from '#libs/endpoints/content.js';
import type { Outcome } from './checker.js';

export type Decision =
  | { pass: true; word: VerdictWord; redactions: readonly Replacement[] }
  | { pass: false; word: 'blocked' | 'unavailable'; error: DaypassError; strike: boolean };

const UNAVAILABLE_RETRY_MS = 2_000;

/** What becomes of a call whose input was judged: before it was sent, or while it ran (`forwarded`), which costs. */
export function decide(
  outcome: Outcome,
  { onUnavailable }: Pick<CallPolicy, 'onUnavailable'>,
  forwarded = false,
): Decision {
  switch (outcome.kind) {
    case 'pass':
      return { pass: true, word: outcome.redactions.length > 0 ? 'redacted' : 'pass', redactions: outcome.redactions };
    case 'flagged': {
      const { categories, strike } = outcome;
      const cost = forwarded
        ? 'It was forwarded meanwhile, and what that cost was charged.'
        : 'Nothing was forwarded and nothing was charged.';
      const error = new DaypassError(
        'moderation_blocked',
        `The input was refused by moderation (${categories.join(', ')}). ${cost}`,
        {
          param: 'messages',
          details: { direction: 'input', categories },
        },
      );
      return { pass: false, word: 'blocked', error, strike };
    }
    case 'unavailable':
      return onUnavailable === 'open'
        ? { pass: true, word: 'unchecked', redactions: [] }
        : { pass: false, word: 'unavailable', error: unavailable(outcome, forwarded), strike: false };
  }
}

function unavailable({ refused }: { refused: boolean }, forwarded: boolean): DaypassError {
  if (refused) {
    return new DaypassError(
      'invalid_request',
      'The moderation endpoint does not take this input (an image that cannot be read, or a text larger than its limit), and unchecked input is not forwarded.',
      { param: 'messages', details: { direction: 'input' } },
    );
  }
  return new DaypassError(
    'moderation_unavailable',
    'The input could not be checked right now, and unchecked input is not forwarded. Please retry.',
    {
      // What was charged is not to be charged again and again by a client that repeats by itself.
      ...(forwarded ? { retry: false } : { retryAfterMs: UNAVAILABLE_RETRY_MS }),
      details: { direction: 'input' },
    },
  );
}
