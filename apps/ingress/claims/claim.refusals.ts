import type { Challenge } from 'altcha-lib';
import { DaypassError } from '#libs/contracts/errors.js';
import type { PowFault } from './proof.of.work.js';

const PROOFS: Readonly<Record<PowFault, string>> = {
  missing: 'This link asks for a proof of work.',
  expired: 'The challenge has expired.',
  too_easy: 'Many people claim at this time, so that proofs of work have become dearer.',
  wrong: 'This is no solution of a challenge of this link.',
  used: 'This proof of work was used for another claim.',
};

/** With a new challenge, so that the page can go on by itself. */
export function badProof(why: PowFault, challenge: Challenge): DaypassError {
  return new DaypassError('pow_invalid', `${PROOFS[why]} Solve the challenge in this answer, and send it again.`, {
    param: 'pow',
    details: { why, challenge },
  });
}

export function badIdempotencyKey(): DaypassError {
  return new DaypassError(
    'invalid_request',
    'A claim needs the header Idempotency-Key: 22 to 255 printable ASCII characters, at random. Repeat a claim under the same one.',
    { param: 'idempotency-key' },
  );
}

export function noCode(): DaypassError {
  return new DaypassError('code_invalid', "This link asks for a one-time code of 12 characters: send it as 'code'.", {
    param: 'code',
    details: { why: 'form' },
  });
}

export function wrongCode({ message, details }: DaypassError, triesLeft: number): DaypassError {
  return new DaypassError('code_invalid', message, { param: 'code', details: { ...details, tries_left: triesLeft } });
}

export function originNotAllowed(origin: string | undefined): DaypassError {
  const whose = origin === undefined ? 'of another address' : `of ${origin.slice(0, 200)}`;
  return new DaypassError(
    'origin_not_allowed',
    `Pages ${whose} may not claim a key of this link. Ask the operator to add the origin to the link's 'origins'.`,
  );
}

export function tooManyOfAddress(most: number, waitMs: number): DaypassError {
  return new DaypassError(
    'claim_rate_limited',
    `Your network has its ${most === 1 ? 'key' : `${most} keys`} of this link for today. Try again in ${minutes(waitMs)}.`,
    { retryAfterMs: waitMs, details: { limit: 'address' } },
  );
}

const BOUNDS = {
  repeats: 'You have asked for this claim too often.',
  guesses: 'Too many wrong codes came from your network.',
  campaign: 'Too many people claim at this time.',
  links: 'Your network has asked for too many links that do not exist.',
  handOvers: 'Too many codes were made for this key.',
} as const;

export function tooMany(limit: keyof typeof BOUNDS, waitMs: number): DaypassError {
  return new DaypassError('claim_rate_limited', `${BOUNDS[limit]} Try again in ${minutes(waitMs)}.`, {
    retryAfterMs: waitMs,
    details: { limit },
  });
}

/** Its virtual key was shown, or is lost: nobody has it but whoever claimed. */
export function claimedBefore(prefix: string): DaypassError {
  return new DaypassError(
    'already_claimed',
    `This claim was made before, and its key ${prefix}… is shown once only. Claim again under a new Idempotency-Key.`,
    { details: { prefix, replaceable: false } },
  );
}

function minutes(ms: number): string {
  const count = Math.ceil(ms / 60_000);
  return count === 1 ? '1 minute' : `${count} minutes`;
}
