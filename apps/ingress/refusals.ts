import { DaypassError } from '#libs/contracts/errors.js';
import { formatUsd } from '#libs/money/nano.js';
import type { HoldAnswer } from '#libs/redis/hold.store.js';

const RECOVERING_RETRY_MS = 2_000;
const OVERLOADED_RETRY_MS = 5_000;
const CONCURRENCY_RETRY_MS = 1_000;

/** Unknown, malformed, expired or revoked: one answer for all, so that nobody learns which. */
export function invalidKey(): DaypassError {
  return new DaypassError('invalid_api_key', 'Incorrect API key provided. Ask whoever gave you this Daypass key for a new one.');
}

export function missingKey(): DaypassError {
  return new DaypassError('invalid_api_key', "No API key provided: send the header 'Authorization: Bearer dp_…'.");
}

export function suspended(): DaypassError {
  return new DaypassError('key_suspended', 'This key is suspended until a person decides about it. Ask whoever gave it to you.');
}

export function unknownUrl(method: string, url: string): DaypassError {
  return new DaypassError(
    'unknown_url',
    `Unknown request URL: ${method} ${url.slice(0, 200)}. Daypass serves POST /v1/chat/completions, GET /v1/models and GET /v1/key.`,
  );
}

export function unsupportedEncoding(): DaypassError {
  return new DaypassError('unsupported_content_type', 'Compressed requests are not supported: send the JSON as it is.');
}

export function recovering(): DaypassError {
  return new DaypassError('recovering', 'Daypass is recovering its balances and will be back in a moment. Please retry.', {
    retryAfterMs: RECOVERING_RETRY_MS,
  });
}

export function overloaded(): DaypassError {
  return new DaypassError('overloaded', 'Daypass has more to do than it can carry. Please retry in a few seconds.', { retryAfterMs: OVERLOADED_RETRY_MS });
}

/** What a visitor is told when a hold was not taken. */
export function refusalOf(answer: Exclude<HoldAnswer, { code: 'ok' }>): DaypassError {
  switch (answer.code) {
    case 'recovering':
      return recovering();
    case 'overloaded':
      return overloaded();
    case 'invalid':
      return invalidKey();
    case 'suspended':
      return suspended();
    case 'conflict':
      return new DaypassError('internal_error', 'This request id was used for another call. Please retry.');
    case 'insufficient':
      return new DaypassError(
        'insufficient_quota',
        `The budget of the ${answer.level} does not cover this call: it needs up to $${formatUsd(answer.needNano)}, $${formatUsd(answer.freeNano)} is free` +
          `${answer.heldNano > 0n ? ` and $${formatUsd(answer.heldNano)} is held by running calls` : ''}. ` +
          `Ask for fewer output tokens or a shorter input, or for a larger budget.`,
        {
          details: {
            level: answer.level,
            free_usd: formatUsd(answer.freeNano),
            held_usd: formatUsd(answer.heldNano),
            needed_usd: formatUsd(answer.needNano),
          },
        },
      );
    case 'concurrency':
      return new DaypassError('rate_limit_exceeded', `This key runs at most ${answer.limit} calls at once. Please retry when one has ended.`, {
        retryAfterMs: CONCURRENCY_RETRY_MS,
        details: { limit: 'concurrent' },
      });
    case 'requests':
      return new DaypassError(
        'rate_limit_exceeded',
        `Rate limit reached for this key: ${answer.limit} requests a minute. Please try again in ${seconds(answer.waitMs)}.`,
        {
          retryAfterMs: answer.waitMs,
          details: { limit: 'rpm' },
        },
      );
    case 'tokens':
      return answer.waitMs < 0
        ? new DaypassError(
            'rate_limit_exceeded',
            `This call may use ${answer.need} tokens, which is more than this key may use in a minute (${answer.limit}): make it smaller.`,
            {
              retry: false,
              details: { limit: 'tpm' },
            },
          )
        : new DaypassError(
            'rate_limit_exceeded',
            `Rate limit reached for this key: ${answer.limit} tokens a minute, this call may use ${answer.need}. Please try again in ${seconds(answer.waitMs)}.`,
            { retryAfterMs: answer.waitMs, details: { limit: 'tpm' } },
          );
  }
}

function seconds(ms: number): string {
  return `${(Math.ceil(ms / 100) / 10).toFixed(1)}s`;
}
