import { ERRORS, type ErrorBody, type ErrorCode } from './errors.js';

/** Where the page of visitors explains the codes: each has a place of its own there (`/help#insufficient_quota`). */
export const HELP_PATH = '/help';
/** The place of whatever is not in the catalogue: the provider of a model has codes of its own. */
export const PROVIDERS_OWN = 'provider';

/**
 * Whether the same request can succeed. `soon`: in a moment, and official clients send it again by themselves. `later`: once
 * something has changed that is not in the request. `changed`: no, the request has to be another one.
 */
export type Again = 'soon' | 'later' | 'changed';

export const AGAIN_WORDS: Readonly<Record<Again, string>> = {
  soon: 'Yes, in a moment. OpenAI’s clients do so by themselves.',
  later: 'Not now. Something else has to change first.',
  changed: 'No. The same request gets the same answer.',
};

/** What an error is about, in the order of the page. */
export const TOPICS = {
  money: 'Money, limits and waiting',
  checks: 'Checks of what you send',
  key: 'Your key',
  request: 'The form of your request',
  link: 'Claim links',
  service: 'Daypass and the provider',
} as const;
export type Topic = keyof typeof TOPICS;

export interface Help {
  topic: Topic;
  /** What happened, as a short line. */
  what: string;
  /** What to do about it. */
  now: string;
  again: Again;
  /** What `error.daypass` says of it beside `help`, by the names of its fields. Each may be absent. */
  details?: Readonly<Record<string, string>>;
}

const DIRECTION = '`input` or `output`: what was judged.';
const SAME_CALL_LATER = 'Send the same call again in a moment. OpenAI’s clients do so by themselves.';
const NEW_LINK = 'Ask whoever gave you the link for another one.';

/** Every refusal that a visitor can get, in plain words. The pages, the documentation and OpenAPI say what stands here. */
export const HELP: Readonly<Record<ErrorCode, Help>> = {
  invalid_request: {
    topic: 'request',
    what: 'The request has a field with a wrong value.',
    now: 'Correct the field that the error names in “param”.',
    again: 'changed',
    details: {
      direction: DIRECTION,
      image: 'Why Daypass could not fetch an image by its address.',
    },
  },
  hand_over_invalid: {
    topic: 'link',
    what: 'The one-time code for your key is used, too old or not of this app.',
    now: 'Begin again in the app: it gets a new code.',
    again: 'changed',
    details: { why: '`unknown`, `used` or `verifier`: what was wrong with the code.' },
  },
  invalid_json: {
    topic: 'request',
    what: 'The request was no valid JSON.',
    now: 'Send valid JSON in UTF-8.',
    again: 'changed',
  },
  moderation_blocked: {
    topic: 'checks',
    what: 'A guard refused your input, or the answer to it.',
    now: 'Change the input. The same input again counts as one more refused input, and too many suspend your key.',
    again: 'changed',
    details: {
      categories: 'What it was refused for.',
      direction: '`input` or `output`: what was judged. A refused output has cost money.',
    },
  },
  pow_invalid: {
    topic: 'link',
    what: 'The proof of work was wrong or too old.',
    now: 'Reload the page. It solves a new one by itself.',
    again: 'changed',
    details: { challenge: 'A new challenge: claim again with its solution.', why: 'What was wrong with the proof.' },
  },
  previous_response_not_found: {
    topic: 'request',
    what: 'Your key has no response under this id, or no longer.',
    now: 'Send the whole conversation, or name a newer response of the same key.',
    again: 'changed',
  },
  unknown_parameter: {
    topic: 'request',
    what: 'The request has a field that Daypass does not know.',
    now: 'Leave out the field that the error names in “param”.',
    again: 'changed',
  },
  unpriceable_request: {
    topic: 'money',
    what: 'The request asks for something whose cost has no bound.',
    now: 'Leave out the field that the error names in “param”.',
    again: 'changed',
  },
  invalid_api_key: {
    topic: 'key',
    what: 'The key is unknown, has ended, or is not valid yet.',
    now: 'Look at the state of your key on its page. If it has ended, ask whoever gave it to you for a new one.',
    again: 'later',
    details: {
      reason: '`revoked`, `expired`, `campaign_closed` or `not_started`. Only whoever holds the key learns it.',
      since: 'When it ended; null where Daypass does not know it.',
      starts_at: 'When it begins.',
    },
  },
  claim_refused: {
    topic: 'link',
    what: 'You get no key from this link.',
    now: 'Keys of yours were suspended for what they sent. Write to the contact of this project.',
    again: 'later',
    details: {
      why: '`erasure`: your texts wait for a review before they are deleted. `account_age`: your account at GitHub is too young. `nothing_to_replace`, `nobody_known`: no key of yours can be replaced here.',
      min_account_age_days: 'So old an account has to be, in days.',
    },
  },
  code_invalid: {
    topic: 'link',
    what: 'The code is wrong, used or expired.',
    now: 'Compare it with your card. If it is right, ask whoever gave it to you for another one.',
    again: 'changed',
    details: {
      tries_left:
        'How many wrong codes your network may still send within the hour. Of a mail: how many for that mail.',
      why: '`form`: it does not look like a code. Of a mail: `wrong`, `gone`, `spent` or `used`. Ask for another mail.',
    },
  },
  identity_required: {
    topic: 'link',
    what: 'The link asks who you are.',
    now: 'Sign in on the page of the link. A sign-in lasts for 15 minutes.',
    again: 'changed',
    details: { gate: '`github` or `email`: how you sign in.' },
  },
  key_suspended: {
    topic: 'key',
    what: 'Your key rests, or the operator suspended it.',
    now: 'Wait until the time that the page of your key shows. Without a time, write to the contact of this project.',
    again: 'later',
    details: { reason: '`strikes`: guards refused too many of its inputs.', until: 'When the rest is over.' },
  },
  link_not_started: {
    topic: 'link',
    what: 'The link gives no keys yet.',
    now: 'Come back at the time that the page shows.',
    again: 'later',
    details: { starts_at: 'When it begins.' },
  },
  link_paused: {
    topic: 'link',
    what: 'The operator paused the link.',
    now: 'Try again later. Keys that exist still work.',
    again: 'later',
  },
  origin_not_allowed: {
    topic: 'key',
    what: 'A web page called that may not use this key.',
    now: 'Call from a page of the project or from your own program, or ask the operator to allow the page.',
    again: 'later',
  },
  redirect_not_allowed: {
    topic: 'link',
    what: 'The app that sent you may take no key of this link.',
    now: 'Take the key on the link’s own page, or ask the operator to allow the app.',
    again: 'later',
  },
  endpoint_not_offered: {
    topic: 'request',
    what: 'Daypass does not offer this address of the API.',
    now: 'The error’s message names what to use instead.',
    again: 'changed',
  },
  link_unknown: {
    topic: 'link',
    what: 'There is no such link.',
    now: 'Compare the address with the one that you got.',
    again: 'changed',
  },
  model_not_found: {
    topic: 'key',
    what: 'Your key cannot call this model.',
    now: 'Use one of the models that the page of your key lists.',
    again: 'changed',
  },
  not_found: {
    topic: 'request',
    what: 'Your key has nothing under this id.',
    now: 'Use an id that Daypass gave to this key within the last day.',
    again: 'changed',
  },
  unknown_url: {
    topic: 'request',
    what: 'Daypass has no such address.',
    now: 'Compare the base URL with the one on the page of your key. It ends in /v1.',
    again: 'changed',
  },
  request_timeout: {
    topic: 'request',
    what: 'The request took too long to arrive.',
    now: 'Send less, or use a faster connection.',
    again: 'later',
  },
  already_claimed: {
    topic: 'link',
    what: 'You have a key from this link already.',
    now: 'Use the key that you have. If you lost it, write to the contact of this project.',
    again: 'changed',
    details: {
      claimed_at: 'When you claimed it.',
      prefix: 'How the key begins.',
      replaceable: 'Whether you may have another one in its place.',
    },
  },
  claims_exhausted: {
    topic: 'link',
    what: 'All keys of this link are taken, or its budget is spent.',
    now: NEW_LINK,
    again: 'later',
    details: { waitlist: 'Whether there is a list to wait on.', why: '`claims` or `budget`: what is used up.' },
  },
  idempotency_conflict: {
    topic: 'request',
    what: 'This Idempotency-Key belongs to another request, or to one whose answer is gone.',
    now: 'Use a new Idempotency-Key for a new request.',
    again: 'changed',
  },
  idempotency_in_progress: {
    topic: 'request',
    what: 'The first request under this Idempotency-Key still runs.',
    now: 'Wait for its answer. OpenAI’s clients ask again by themselves.',
    again: 'soon',
  },
  link_ended: { topic: 'link', what: 'The time of this link is over.', now: NEW_LINK, again: 'changed' },
  request_too_large: {
    topic: 'request',
    what: 'The request is too large.',
    now: 'Send less: shorter texts, fewer or smaller images.',
    again: 'changed',
  },
  unsupported_content_type: {
    topic: 'request',
    what: 'The request came in a form that Daypass does not read.',
    now: 'Send it as JSON with “content-type: application/json”, without compression.',
    again: 'changed',
  },
  websocket_not_supported: {
    topic: 'request',
    what: 'Daypass takes no WebSocket here.',
    now: 'Send the same request with POST. Clients that try a WebSocket first do so by themselves.',
    again: 'changed',
  },
  claim_rate_limited: {
    topic: 'link',
    what: 'Too many claims, codes or unknown links came at this time.',
    now: 'Try again after the time that the page shows, which “retry-after” has too.',
    again: 'soon',
    details: {
      limit:
        '`address`, `campaign`, `guesses`, `links`, `repeats`, `mails` or `all_mails`: what there was too much of.',
    },
  },
  insufficient_quota: {
    topic: 'money',
    what: 'The money did not cover the call.',
    now: 'Ask for a shorter answer (max_tokens), or use a cheaper model. If the budget is spent, this key makes no more calls.',
    again: 'later',
    details: {
      free_usd: 'What is free, in dollars.',
      held_usd: 'What running calls hold of it.',
      level: '`key`, `campaign` or `operator`: whose budget it is.',
      needed_usd: 'What the call needs at least.',
      period: '`day`: it is the budget of today alone.',
    },
  },
  rate_limit_exceeded: {
    topic: 'money',
    what: 'Your key sent more than its limits allow.',
    now: 'Wait for the time in “retry-after” and send less at once. Make a call smaller that is above a whole limit.',
    again: 'soon',
    details: {
      direction: DIRECTION,
      limit: 'What there was too much of, such as `rpm`, `tpm`, `concurrent`, `bytes`, `files` or `key_share`.',
    },
  },
  queue_full: {
    topic: 'money',
    what: 'The line was longer than your call may wait.',
    now: 'Send the call again later, or let it wait longer with “x-daypass-max-wait-ms”.',
    again: 'soon',
  },
  headers_too_large: {
    topic: 'request',
    what: 'The request’s headers are too large.',
    now: 'Send fewer headers or shorter ones.',
    again: 'changed',
  },
  internal_error: {
    topic: 'service',
    what: 'Daypass made a mistake.',
    now: 'Send the call again. If it happens again, write to the contact and name the request’s id.',
    again: 'later',
  },
  upstream_error: {
    topic: 'service',
    what: 'The provider of the model failed.',
    now: SAME_CALL_LATER,
    again: 'soon',
  },
  upstream_outcome_unknown: {
    topic: 'service',
    what: 'The connection to the provider broke during your call. It may have cost money.',
    now: 'Look at the calls on the page of your key before you send it again.',
    again: 'later',
  },
  moderation_unavailable: {
    topic: 'checks',
    what: 'Nobody could check the text. Unchecked text is neither sent nor shown.',
    now: SAME_CALL_LATER,
    again: 'soon',
    details: { direction: DIRECTION },
  },
  upstream_unavailable: {
    topic: 'service',
    what: 'The provider of the model serves nobody at the moment.',
    now: 'Try again later. If it lasts, write to the contact of this project.',
    again: 'later',
  },
  paused: {
    topic: 'service',
    what: 'The operator has stopped all new calls for now.',
    now: 'Try again later. Your key and its budget stay as they are.',
    again: 'soon',
  },
  recovering: {
    topic: 'service',
    what: 'Daypass was starting again.',
    now: SAME_CALL_LATER,
    again: 'soon',
    details: { key: 'A new key of which nobody knows yet whether it is in force.' },
  },
  overloaded: { topic: 'service', what: 'Daypass had too much to do.', now: SAME_CALL_LATER, again: 'soon' },
};

/** Of a code that is not in the catalogue. */
export const HELP_OF_PROVIDERS: Help = {
  topic: 'service',
  what: 'The provider of the model refused the call, with a code of its own.',
  now: 'Read the message of the error. It says what to do. Such a call costs nothing.',
  again: 'changed',
};

const isKnown = (code: string | null): code is ErrorCode => code !== null && Object.hasOwn(ERRORS, code);

/** A version of Daypass that is newer than a page may know other codes, and a provider has its own. */
export const explain = (code: string): Help =>
  Object.hasOwn(HELP, code) ? HELP[code as ErrorCode] : HELP_OF_PROVIDERS;

export const statusOf = (code: ErrorCode): number => ERRORS[code].status;

/** The path of what explains a code. */
export const helpPath = (code: string | null): string => `${HELP_PATH}#${isKnown(code) ? code : PROVIDERS_OWN}`;

declare const told: unique symbol;

/** An error as its visitor gets it. Only `withHelp` makes one, and whatever writes an error for a visitor takes no other. */
export type ToldError = ErrorBody & { readonly [told]: true };

/**
 * The same error with the address of its explanation in `error.daypass.help`. `origin`: where its visitor reaches Daypass;
 * undefined: nobody knows, so that the error stays as it is.
 */
export function withHelp({ error }: ErrorBody, origin: string | undefined): ToldError {
  const help = origin === undefined ? {} : { daypass: { ...error.daypass, help: origin + helpPath(error.code) } };
  return { error: { ...error, ...help } } as ErrorBody as ToldError;
}
