/**
 * Every header that Daypass adds to an answer, and what it says. Web pages may read each of them, by name: a `*` counts
 * without credentials only. Where a page cannot read `x-should-retry`, the official client asks for a spent budget
 * again.
 */
export const ANSWER_HEADERS: Readonly<Record<string, string>> = {
  'x-request-id': 'The name of the call, for questions to the operator',
  'x-should-retry': 'With every error: whether the same call can succeed later',
  'retry-after': 'With an error: seconds until it can succeed, where Daypass knows',
  'retry-after-ms': 'The same in milliseconds',
  'x-ratelimit-limit-requests': 'How many requests a minute the key may send',
  'x-ratelimit-limit-tokens': 'How many tokens a minute the key may use',
  'x-ratelimit-remaining-requests': 'How many of these requests are left',
  'x-ratelimit-remaining-tokens': 'How many of these tokens are left',
  'x-ratelimit-reset-requests': 'When all of these requests are there again',
  'x-ratelimit-reset-tokens': 'When all of these tokens are there again',
  'x-daypass-adjusted': 'The fields that Daypass left out or decided itself',
  'x-daypass-available-usd': 'What the key has left, in dollars',
  'x-daypass-cost-usd': 'What the call cost in dollars, where Daypass knows before the first byte',
  'x-daypass-moderation': 'What moderation decided, e.g. `input=pass; output=pass`',
  'x-daypass-output-cap': 'The output cap, where Daypass lowered it',
  'x-daypass-queue-ms': 'How long the call waited, in milliseconds',
  'x-daypass-strikes': "The key's number of strikes, with an answer that added one",
  'idempotent-replayed': '`true`: this is the first answer to the Idempotency-Key, again',
};

/** A page of any origin may read every answer, because the key is in a header of its own. There are no cookies. */
export const CORS_HEADERS: Readonly<Record<string, string>> = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': Object.keys(ANSWER_HEADERS).join(', '),
};
