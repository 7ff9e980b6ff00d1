import { DaypassError } from '#libs/contracts/errors.js';
import type { VerdictWord } from '#libs/contracts/jobs.js';
import type { CallPolicy } from '#libs/contracts/policy.js';
import type { Replacement } from '#libs/endpoints/content.js';
import type { Endpoint } from '#libs/endpoints/endpoint.js';
import type { Outcome } from './checker.js';

/** `verdict`: as the header `x-daypass-moderation` shows it. `word`: as metrics and logs have it. */
export type Decision =
  | { pass: true; verdict: PassWord; word: PassWord; redactions: readonly Replacement[] }
  | {
      pass: false;
      verdict: Extract<VerdictWord, 'blocked' | 'unchecked'>;
      word: 'blocked' | 'unavailable';
      error: DaypassError;
      strike: boolean;
    };

type PassWord = Extract<VerdictWord, 'pass' | 'redacted' | 'unchecked'>;

const UNAVAILABLE_RETRY_MS = 2_000;

/** `forwarded`: the call runs already, which costs. `param`: the parameter that holds the input. */
interface Circumstances {
  forwarded: boolean;
  param: string;
  /** How the call's API words it; absent: as the catalogue does. */
  blockedForm?: Endpoint['blockedForm'];
}

/**
 * Whether a policy lets content through without a verdict. No policy does where the content is itself the cause, or its
 * key. Otherwise a visitor could choose what is judged, by sending what no guard can read.
 */
export function isLetThrough(
  { refused }: Pick<Extract<Outcome, { kind: 'unavailable' }>, 'refused'>,
  { onUnavailable }: Pick<CallPolicy, 'onUnavailable'>,
): boolean {
  return onUnavailable === 'open' && !refused;
}

/** Decides whether a call goes on after all verdicts on its input. */
export function decide(
  outcome: Outcome,
  { onUnavailable }: Pick<CallPolicy, 'onUnavailable'>,
  circumstances: Circumstances,
): Decision {
  const { forwarded, param } = circumstances;
  switch (outcome.kind) {
    case 'pass':
      return passed(outcome.redactions.length > 0 ? 'redacted' : 'pass', outcome.redactions);
    case 'flagged': {
      const { categories, strike } = outcome;
      const cost = forwarded
        ? 'Daypass had forwarded it meanwhile, and what that cost was charged.'
        : 'Nothing was forwarded and nothing was charged.';
      const error = new DaypassError(
        'moderation_blocked',
        `Moderation refused the input (${categories.join(', ')}). ${cost}`,
        { param, details: { direction: 'input', categories }, form: circumstances.blockedForm?.('input', categories) },
      );
      return { pass: false, verdict: 'blocked', word: 'blocked', error, strike };
    }
    case 'unavailable':
      return isLetThrough(outcome, { onUnavailable })
        ? passed('unchecked', [])
        : {
            pass: false,
            verdict: 'unchecked',
            word: 'unavailable',
            error: unavailable(outcome, circumstances),
            strike: false,
          };
  }
}

function passed(verdict: PassWord, redactions: readonly Replacement[]): Decision {
  return { pass: true, verdict, word: verdict, redactions };
}

function unavailable(
  { refused, retryAfterMs }: Extract<Outcome, { kind: 'unavailable' }>,
  { forwarded, param }: Circumstances,
): DaypassError {
  if (refused && retryAfterMs !== undefined) {
    return new DaypassError(
      'rate_limit_exceeded',
      'Moderation has too much of this key to judge, or rests after an input of this key that it could not end. Wait for the answers of your other calls, and send shorter texts.',
      { param, ...(forwarded ? { retry: false } : { retryAfterMs }), details: { direction: 'input' } },
    );
  }
  if (refused) {
    return new DaypassError(
      'invalid_request',
      'Moderation cannot judge this input: a guard fails at it, takes too long for it, or refuses an image of it. A retry does not help. Send a shorter or simpler text, or another image (png, jpeg, webp or gif).',
      { param, details: { direction: 'input' } },
    );
  }
  return new DaypassError(
    'moderation_unavailable',
    'The input could not be checked right now, and unchecked input is not forwarded. Please retry.',
    {
      // A client that repeats a forwarded call by itself would pay again each time.
      ...(forwarded ? { retry: false } : { retryAfterMs: UNAVAILABLE_RETRY_MS }),
      details: { direction: 'input' },
    },
  );
}
