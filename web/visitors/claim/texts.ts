import type { LinkPageState, LinkView } from '#libs/contracts/claims.js';
import { explain } from '#libs/contracts/help.js';
import type { Fault } from '../../shared/api.js';
import type { Tone } from '../../shared/parts.js';
import { duration } from '../../shared/time.js';

export interface Words {
  tone: Tone;
  title: string;
  text: string;
}

export const RECOVERING: Words = {
  tone: 'warn',
  title: 'The service is starting again.',
  text: 'It checks its books first, and gives out no key before. This page looks by itself.',
};

/** What a link that gives no key says. `open` gives one. */
export const STATE_WORDS: Readonly<Record<Exclude<LinkPageState, 'open'>, (view: LinkView) => Words>> = {
  not_started: () => ({
    tone: 'calm',
    title: 'This link gives no keys yet.',
    text: 'This page opens by itself when the time has come.',
  }),
  paused: () => ({
    tone: 'warn',
    title: 'This link is paused.',
    text: 'The operator gives out no new keys for now. Keys that exist still work.',
  }),
  ended: () => ({
    tone: 'calm',
    title: 'The time of this link is over.',
    text: 'It gives out no more keys. Keys that exist work until their own time ends.',
  }),
  exhausted: ({ max_claims }) => ({
    tone: 'calm',
    title: max_claims === 1 ? 'The one key of this link is taken.' : `All ${max_claims} keys of this link are taken.`,
    text: 'Ask whoever gave you the link for another one.',
  }),
  budget_gone: () => ({
    tone: 'calm',
    title: 'The budget for new keys is spent.',
    text: 'Everything that this project gives away is promised or spent. A new key needs new money from the operator.',
  }),
  door_shut: () => ({
    tone: 'warn',
    title: 'The operator has stopped everything for now.',
    text: 'No new keys and no new calls until the operator opens again. This page looks by itself.',
  }),
  recovering: () => RECOVERING,
};

export const UNKNOWN: Words = {
  tone: 'bad',
  title: 'There is no such link.',
  text: 'Compare the address with the one that you got: a letter may be missing. Or somebody removed the link.',
};

export const AWAY: Words = {
  tone: 'warn',
  title: 'This page cannot reach the service.',
  text: 'Check your connection. This page tries again by itself.',
};

/** How a sign-in with GitHub ended that did not work. */
export const SIGN_IN_ENDS: Readonly<Record<string, Words | undefined>> = {
  denied: { tone: 'warn', title: 'You did not sign in.', text: 'This link gives keys to accounts at GitHub only.' },
  expired: { tone: 'warn', title: 'The sign-in took too long.', text: 'Begin again, in this same browser.' },
  failed: { tone: 'bad', title: 'GitHub did not take the sign-in.', text: 'Begin again. It costs nothing.' },
  busy: { tone: 'warn', title: 'GitHub does not answer at the moment.', text: 'Try again in a minute.' },
  off: { tone: 'warn', title: 'Nobody can sign in here now.', text: 'The operator has to set it up again.' },
};

/** What there was too much of. */
const LIMITS: Readonly<Record<string, { title: string; text: string }>> = {
  address: {
    title: 'Too many keys went to your network.',
    text: 'Everybody behind your Wi-Fi or office network counts together. Another network may get one now.',
  },
  guesses: {
    title: 'Too many wrong codes came from your network.',
    text: 'Compare your code with your card until then.',
  },
  campaign: { title: 'Too many people claim at this time.', text: 'The project gives out so many keys in an hour.' },
  links: {
    title: 'Too many unknown links came from your network.',
    text: 'Compare the address with the link that you were given.',
  },
  mails: {
    title: 'Your network asked for too many mails.',
    text: 'Everybody behind your Wi-Fi or office network counts together.',
  },
  all_mails: { title: 'Too many mails go out at this time.', text: 'A code that you have still works.' },
  repeats: { title: 'This page asked too often.', text: 'It asks for the same key then.' },
};

/** What a press brought instead of a key. */
export function refusalWords({ code, message, details, retryAfterMs, requestId }: Fault, isCode: boolean): Words {
  const named = requestId === null ? '' : ` (request ${requestId})`;
  switch (code) {
    case 'claim_rate_limited': {
      const wait = retryAfterMs === null ? 'later' : `in ${minutes(retryAfterMs)}`;
      const { title, text } = LIMITS[String(details.limit)] ?? LIMITS.address!;
      return { tone: 'warn', title, text: `${text} Try again ${wait}.` };
    }
    case 'claim_refused':
      return { tone: 'bad', title: explain(code).what, text: details.why === 'erasure' ? message : explain(code).now };
    case 'code_invalid': {
      const left = Number(details.tries_left);
      const tries = Number.isInteger(left)
        ? ` You have ${left === 1 ? 'one try' : `${left} tries`} left within the hour.`
        : '';
      return { tone: 'bad', title: explain(code).what, text: `${explain(code).now}${tries}` };
    }
    case 'already_claimed': {
      const which = typeof details.prefix === 'string' ? ` Your key begins with ${details.prefix}.` : '';
      return { tone: 'calm', title: explain(code).what, text: `${explain(code).now}${which}` };
    }
    case 'offline':
    case 'unavailable':
    case 'unreadable':
    case 'recovering':
    case 'overloaded':
      return {
        tone: 'warn',
        title: code === 'offline' ? 'No answer came.' : 'The service is not ready at the moment.',
        text: 'This page tried four times. Press the button again: it asks for the same key, so that you never use up two.',
      };
    case 'pow_invalid':
      return { tone: 'bad', title: 'The check of this browser failed.', text: message };
    default:
      return {
        tone: 'bad',
        title: 'You got no key.',
        text: `${message}${named} ${isCode ? 'Your code is not used up.' : ''}`.trim(),
      };
  }
}

/** The same, where the link asks who claims. */
export function identityWords(fault: Fault): Words {
  const { code, message, details } = fault;
  switch (code) {
    case 'code_invalid': {
      const left = Number(details.tries_left);
      const tries = Number.isInteger(left) ? ` You have ${left === 1 ? 'one try' : `${left} tries`} left.` : '';
      return { tone: 'bad', title: 'This code does not work.', text: `${message}${tries}` };
    }
    case 'claim_refused':
      return typeof details.why === 'string'
        ? { tone: 'bad', title: explain(code).what, text: message }
        : refusalWords(fault, false);
    case 'already_claimed':
      return details.replaceable === true
        ? { tone: 'calm', title: explain(code).what, text: 'Use it. If you lost it, replace it here.' }
        : {
            tone: 'calm',
            title: 'You had a key from this project already.',
            text: 'It has ended, and there is one each.',
          };
    case 'identity_required':
      return { tone: 'warn', title: 'You are no longer signed in.', text: 'Sign in again. Your claim was not lost.' };
    case 'invalid_request':
      return { tone: 'bad', title: 'That did not work.', text: message };
    default:
      return refusalWords(fault, false);
  }
}

/** Rounded up: a visitor who comes back then finds it open. */
const minutes = (ms: number): string => duration(Math.max(1, Math.ceil(ms / 60_000)) * 60);

export const lifeWords = (ttlSeconds: number | null): string => (ttlSeconds === null ? 'no end' : duration(ttlSeconds));
