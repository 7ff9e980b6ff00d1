import type { Challenge } from 'altcha-lib';
import type { IdentityKind } from '#libs/contracts/claims.js';
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

/** `gate`: what the link asks for. */
export function noIdentity(gate: IdentityKind, link: string): DaypassError {
  const how =
    gate === 'github'
      ? `open /claim/v1/github/start?link=${link} in a browser`
      : `ask for a code by POST /claim/v1/links/${link}/email, and send 'email' and 'email_code'`;
  return new DaypassError('identity_required', `This link asks who claims: ${how}.`, { details: { gate } });
}

export const nobodyKnown = (): DaypassError =>
  new DaypassError(
    'claim_refused',
    'This link does not ask who claims, so that nobody knows which key is yours. Replace a key that you have on its own page.',
    { details: { why: 'nobody_known' } },
  );

export function otherGate(gate: IdentityKind): DaypassError {
  return new DaypassError('invalid_request', `This link does not ask for ${gate === 'email' ? 'an address' : gate}.`);
}

export function tooYoung(days: number): DaypassError {
  return new DaypassError(
    'claim_refused',
    `Your account at GitHub is too young: this link asks for one that is ${days} days old.`,
    { details: { why: 'account_age', min_account_age_days: days } },
  );
}

const MAIL_CODES = {
  form: 'The code has six digits, as the mail shows them.',
  wrong: 'This is not the code of the last mail.',
  gone: 'No code is on its way to this address, or it is too old. Ask for another mail.',
  spent: 'Too many wrong codes came for this mail. Ask for another one.',
  used: 'This code made a key already. Ask for another mail.',
} as const;

export function wrongMailCode(why: keyof typeof MAIL_CODES, triesLeft?: number): DaypassError {
  return new DaypassError('code_invalid', MAIL_CODES[why], {
    param: 'email_code',
    details: { why, ...(triesLeft === undefined ? {} : { tries_left: triesLeft }) },
  });
}

export function tooManyMails(limit: 'network' | 'total', waitMs: number): DaypassError {
  const what =
    limit === 'network' ? 'Your network has asked for too many mails.' : 'Too many mails go out at this time.';
  return new DaypassError('claim_rate_limited', `${what} Try again in ${minutes(waitMs)}.`, {
    retryAfterMs: waitMs,
    details: { limit: limit === 'network' ? 'mails' : 'all_mails' },
  });
}

export const nothingToWaitFor = (): DaypassError =>
  new DaypassError('invalid_request', 'This link still has keys: claim one, nobody has to wait.');

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
