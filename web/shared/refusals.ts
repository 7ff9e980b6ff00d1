import type { ErrorCode } from '#libs/contracts/errors.js';

export interface Explanation {
  /** What happened, as a short line. */
  what: string;
  /** What to do about it. */
  now: string;
}

const SAME_CALL_LATER = 'Send the same call again in a moment. OpenAI’s clients do so by themselves.';
const NEW_LINK = 'Ask whoever gave you the link for another one.';

/** Every refusal that a visitor can get, in plain words. */
export const REFUSALS: Readonly<Record<ErrorCode, Explanation>> = {
  invalid_request: {
    what: 'The request has a field with a wrong value.',
    now: 'Correct the field that the error names in “param”.',
  },
  hand_over_invalid: {
    what: 'The one-time code for your key is used, too old or not of this app.',
    now: 'Begin again in the app: it gets a new code.',
  },
  invalid_json: { what: 'The request was no valid JSON.', now: 'Send valid JSON in UTF-8.' },
  moderation_blocked: {
    what: 'A guard refused your input. The call was not sent.',
    now: 'Change the input. The same input again counts as one more refused input, and too many suspend your key.',
  },
  pow_invalid: {
    what: 'The proof of work was wrong or too old.',
    now: 'Reload the page. It solves a new one by itself.',
  },
  previous_response_not_found: {
    what: 'Your key has no response under this id, or no longer.',
    now: 'Send the whole conversation, or name a newer response of the same key.',
  },
  unknown_parameter: {
    what: 'The request has a field that Daypass does not know.',
    now: 'Leave out the field that the error names in “param”.',
  },
  unpriceable_request: {
    what: 'The request asks for something whose cost has no bound.',
    now: 'Leave out the field that the error names in “param”.',
  },
  invalid_api_key: {
    what: 'The key is unknown, has ended, or is not valid yet.',
    now: 'Look at the state of your key above. If the key has ended, ask whoever gave it to you for a new one.',
  },
  claim_refused: {
    what: 'You get no key from this link.',
    now: 'Keys of yours were suspended for what they sent. Write to the contact of this project.',
  },
  code_invalid: {
    what: 'The code is wrong, used or expired.',
    now: 'Compare it with your card. If it is right, ask whoever gave it to you for another one.',
  },
  key_suspended: {
    what: 'Your key rests, or the operator suspended it.',
    now: 'Wait until the time that the page shows. Without a time, write to the contact of this project.',
  },
  link_not_started: { what: 'The link gives no keys yet.', now: 'Come back at the time that the page shows.' },
  link_paused: { what: 'The operator paused the link.', now: 'Try again later. Keys that exist still work.' },
  origin_not_allowed: {
    what: 'A web page called that may not use this key.',
    now: 'Call from a page of the project or from your own program, or ask the operator to allow the page.',
  },
  redirect_not_allowed: {
    what: 'The app that sent you may take no key of this link.',
    now: 'Take the key on the link’s own page, or ask the operator to allow the app.',
  },
  endpoint_not_offered: {
    what: 'Daypass does not offer this address of the API.',
    now: 'The error’s message names what to use instead.',
  },
  link_unknown: { what: 'There is no such link.', now: 'Compare the address with the one that you got.' },
  model_not_found: {
    what: 'Your key cannot call this model.',
    now: 'Use one of the models that this page lists.',
  },
  not_found: {
    what: 'Your key has nothing under this id.',
    now: 'Use an id that Daypass gave to this key within the last day.',
  },
  unknown_url: {
    what: 'Daypass has no such address.',
    now: 'Compare the base URL with the one on this page. It ends in /v1.',
  },
  request_timeout: {
    what: 'The request took too long to arrive.',
    now: 'Send less, or use a faster connection.',
  },
  already_claimed: {
    what: 'You have a key from this link already.',
    now: 'Use the key that you have. If you lost it, write to the contact of this project.',
  },
  claims_exhausted: { what: 'All keys of this link are taken.', now: NEW_LINK },
  idempotency_conflict: {
    what: 'This Idempotency-Key belongs to another request.',
    now: 'Use a new Idempotency-Key for a new request.',
  },
  idempotency_in_progress: {
    what: 'The first request under this Idempotency-Key still runs.',
    now: 'Wait for its answer. OpenAI’s clients ask again by themselves.',
  },
  link_ended: { what: 'The time of this link is over.', now: NEW_LINK },
  request_too_large: { what: 'The request is too large.', now: 'Send less: shorter texts, fewer or smaller images.' },
  unsupported_content_type: {
    what: 'The request came in a form that Daypass does not read.',
    now: 'Send it as JSON with “content-type: application/json”, without compression.',
  },
  websocket_not_supported: { what: 'Daypass takes no WebSocket here.', now: 'Send the same request with POST.' },
  claim_rate_limited: {
    what: 'Too many claims came from your network.',
    now: 'Try again after the time that the page shows.',
  },
  insufficient_quota: {
    what: 'The money did not cover the call.',
    now: 'Ask for a shorter answer (max_tokens), or use a cheaper model. If the budget is spent, this key makes no more calls.',
  },
  rate_limit_exceeded: {
    what: 'Your key sent more than its limits allow.',
    now: 'Wait for a moment and send less at once. OpenAI’s clients wait by themselves.',
  },
  queue_full: {
    what: 'The line was longer than your call may wait.',
    now: 'Send the call again later, or let it wait longer with “x-daypass-max-wait-ms”.',
  },
  headers_too_large: { what: 'The request’s headers are too large.', now: 'Send fewer headers or shorter ones.' },
  internal_error: {
    what: 'Daypass made a mistake.',
    now: 'Send the call again. If it happens again, write to the contact and name the request’s id.',
  },
  upstream_error: { what: 'The provider of the model failed.', now: SAME_CALL_LATER },
  upstream_outcome_unknown: {
    what: 'The connection to the provider broke during your call. It may have cost money.',
    now: 'Look at the calls below before you send it again.',
  },
  moderation_unavailable: { what: 'Nobody could check your input. The call was not sent.', now: SAME_CALL_LATER },
  upstream_unavailable: {
    what: 'The provider of the model serves nobody at the moment.',
    now: 'Try again later. If it lasts, write to the contact of this project.',
  },
  paused: {
    what: 'The operator has stopped all new calls for now.',
    now: 'Try again later. Your key and its budget stay as they are.',
  },
  recovering: { what: 'Daypass was starting again.', now: SAME_CALL_LATER },
  overloaded: { what: 'Daypass had too much to do.', now: SAME_CALL_LATER },
};

/** A version of Daypass that is newer than this page may know other codes. */
export const explain = (code: string): Explanation =>
  (REFUSALS as Readonly<Record<string, Explanation | undefined>>)[code] ?? {
    what: 'The call was refused.',
    now: 'Read the message of the error. It says what to do.',
  };
