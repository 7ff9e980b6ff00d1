import { DaypassError } from '#libs/contracts/errors.js';
import { endedMeanwhile, suspended } from '#libs/contracts/key-refusals.js';
import { formatUsd } from '#libs/money/nano.js';
import type { HoldAnswer } from '#libs/holds/hold.types.js';
import { notOffered } from './domain/not-offered.js';
import { VISITOR_ROUTES } from './visitor.routes.js';

const SERVED = VISITOR_ROUTES.map(({ method, path }) => `${method} ${path}`).join(', ');
/** Codex asks for a WebSocket here first. After a 426 it sends one POST at once; after a 404 it tries seven times. */
const RESPONSES = '/v1/responses';
const RECOVERING_RETRY_MS = 2_000;
const PAUSED_RETRY_MS = 30_000;
const OVERLOADED_RETRY_MS = 5_000;
const CONCURRENCY_RETRY_MS = 1_000;
const IN_PROGRESS_RETRY_MS = 1_000;
const BODIES_RETRY_MS = 1_000;
const FILES_RETRY_MS = 1_000;
const PLACES_RETRY_MS = 1_000;

export function missingKey(): DaypassError {
  return new DaypassError(
    'invalid_api_key',
    "No API key provided: send the header 'Authorization: Bearer dp_…' or 'api-key: dp_…'.",
  );
}

/** For a request that no route serves. `url`: where it leads; `asked`: as its visitor wrote it. */
export function unservedUrl(method: string, url: string, asked: string): DaypassError {
  const row = notOffered(method, url);
  const what = `${method} ${asked.slice(0, 200)}`;
  return row
    ? new DaypassError('endpoint_not_offered', `Daypass does not offer ${what}. ${row.why} ${row.instead}`)
    : new DaypassError('unknown_url', `Unknown request URL: ${what}. Daypass serves ${SERVED}.`);
}

/** For a request that wants to become a WebSocket. */
export function noWebSocket(method: string, url: string, asked: string): DaypassError {
  if (url.split('?', 1)[0] === RESPONSES) {
    return new DaypassError(
      'websocket_not_supported',
      `Daypass takes no WebSocket at ${RESPONSES}. Send the same request with POST ${RESPONSES}, as one answer or as a stream.`,
    );
  }
  const error = unservedUrl(method, url, asked);
  if (error.code === 'endpoint_not_offered') return error;
  return new DaypassError(
    'endpoint_not_offered',
    `Daypass takes no WebSocket at ${asked.slice(0, 200)}. It serves ${SERVED}, each over plain HTTP.`,
  );
}

export function unsupportedEncoding(): DaypassError {
  return new DaypassError('unsupported_content_type', 'Compressed requests are not supported: send the JSON as it is.');
}

export function recovering(): DaypassError {
  return new DaypassError(
    'recovering',
    'Daypass is recovering its balances and will be back in a moment. Please retry.',
    {
      retryAfterMs: RECOVERING_RETRY_MS,
    },
  );
}

/** The operator shut the door: calls that run go on, and no new one begins. */
export function paused(): DaypassError {
  return new DaypassError(
    'paused',
    'The operator has paused Daypass: no new call and no claim begins now. Please try again later.',
    { retryAfterMs: PAUSED_RETRY_MS },
  );
}

export function outcomeUnknown(): DaypassError {
  return new DaypassError(
    'upstream_outcome_unknown',
    'Daypass did not see the end of this call in time, so its outcome is unknown.',
  );
}

export function overloaded(): DaypassError {
  return new DaypassError('overloaded', 'Daypass is overloaded. Please retry in a few seconds.', {
    retryAfterMs: OVERLOADED_RETRY_MS,
  });
}

/** Others need the places that are left. Whoever holds none meets a process that is full of others. */
export function noPlace(heldByKey: number, heldByCampaign: number): DaypassError {
  if (heldByCampaign === 0) return overloaded();
  const whose = heldByKey > 0 ? 'This key' : 'The campaign of this key';
  return new DaypassError(
    'rate_limit_exceeded',
    `${whose} has ${heldByKey || heldByCampaign} calls open, which is its share while others call too. Please retry when one has ended.`,
    { retryAfterMs: PLACES_RETRY_MS, details: { limit: heldByKey > 0 ? 'key_share' : 'campaign_share' } },
  );
}

/** Nobody reads this error. The log and the metrics have it as `visitor_left`. */
export class VisitorLeft extends Error {}

/** The visitor hung up before the call had its hold. */
export const hungUp = (): VisitorLeft => new VisitorLeft('the visitor hung up');

export function tooLarge(setting = 'DAYPASS_MAX_BODY_BYTES'): DaypassError {
  return new DaypassError(
    'request_too_large',
    `The request body is too large. Send less, or ask the operator to raise ${setting}.`,
  );
}

/** Files of one key, or of all, have as much room in Redis as they may. */
export function filesOf(owner: 'key' | 'all', mostBytes: number): DaypassError {
  if (owner === 'all') return overloaded();
  return new DaypassError(
    'rate_limit_exceeded',
    `Calls of this key hold ${mostBytes} bytes of files at most, together. Please retry when one has ended.`,
    { retryAfterMs: FILES_RETRY_MS, details: { limit: 'files' } },
  );
}

/** A call waited for longer than its files are kept. */
export function filesGone(): DaypassError {
  return new DaypassError(
    'recovering',
    'Daypass lost the files of this request before its call could begin. Nothing was charged. Please retry.',
    { retryAfterMs: FILES_RETRY_MS },
  );
}

/** `accepts`: what the address takes. */
export function unsupportedType(accepts: readonly string[]): DaypassError {
  const [first = 'application/json'] = accepts;
  return new DaypassError(
    'unsupported_content_type',
    `The content type is not supported: send ${accepts.includes('application/json') ? "JSON with the header 'content-type: application/json'" : `a form (${first}), as an official client does`}${accepts.length > 1 ? ', or a form (multipart/form-data)' : ''}.`,
  );
}

/** Too many bytes of one key's or campaign's requests are on their way in, or wait for their holds. */
export function bodiesOf(owner: 'key' | 'campaign', mostBytes: number): DaypassError {
  return new DaypassError(
    'rate_limit_exceeded',
    `This ${owner} sends too much at once: Daypass holds at most ${mostBytes} bytes of its requests until their calls begin. Please retry in a moment.`,
    { retryAfterMs: BODIES_RETRY_MS, details: { limit: 'bytes' } },
  );
}

export function originNotAllowed(origin: string): DaypassError {
  return new DaypassError(
    'origin_not_allowed',
    `Pages of ${origin.slice(0, 200)} may not use this key. Ask the operator to add the origin to the campaign's 'origins'.`,
  );
}

export function unkeptAnswer(): DaypassError {
  return new DaypassError(
    'idempotency_conflict',
    'The first call with this Idempotency-Key has ended. Daypass did not keep its answer: it broke off, was too large, or your key has no room for more answers. Send the call again under a new key.',
    { param: 'idempotency-key' },
  );
}

/** The error for a visitor whose call gets no hold. */
export function refusalOf(
  answer: Exclude<HoldAnswer, { code: 'ok' | 'answered' | 'stopped' | 'stale' }>,
): DaypassError {
  switch (answer.code) {
    case 'recovering':
      return recovering();
    case 'paused':
      return paused();
    case 'overloaded':
      return overloaded();
    case 'invalid':
      return endedMeanwhile();
    case 'suspended':
      return suspended();
    case 'reused':
      return new DaypassError(
        'idempotency_conflict',
        'This Idempotency-Key came with another request body within the last 24 hours. Use a new key for a new request.',
        { param: 'idempotency-key' },
      );
    case 'in_progress':
      return new DaypassError(
        'idempotency_in_progress',
        'The first call with this Idempotency-Key is still running. Ask again for its answer in a moment.',
        {
          param: 'idempotency-key',
          retryAfterMs: IN_PROGRESS_RETRY_MS,
        },
      );
    case 'unanswered':
      return unkeptAnswer();
    // Only a patient caller gets `busy`, and only a question gets `ready`.
    case 'busy':
    case 'ready':
    case 'conflict':
      return new DaypassError('internal_error', 'This request id was used for another call. Please retry.');
    case 'insufficient':
      return new DaypassError(
        'insufficient_quota',
        `The budget of the ${answer.level}${answer.period === 'day' ? ' for today' : ''} does not cover this call: it needs at least $${formatUsd(answer.needNano)}, $${formatUsd(answer.freeNano)} is free` +
          `${answer.heldNano > 0n ? ` and $${formatUsd(answer.heldNano)} is held by running calls` : ''}. ` +
          `Ask for fewer output tokens or a shorter input, or for a larger budget.`,
        {
          details: {
            level: answer.level,
            ...(answer.period ? { period: answer.period } : {}),
            free_usd: formatUsd(answer.freeNano),
            held_usd: formatUsd(answer.heldNano),
            needed_usd: formatUsd(answer.needNano),
          },
        },
      );
    case 'concurrency':
      return new DaypassError(
        'rate_limit_exceeded',
        `This key runs at most ${answer.limit} calls at once. Please retry when one has ended.`,
        {
          retryAfterMs: CONCURRENCY_RETRY_MS,
          details: { limit: 'concurrent' },
        },
      );
    case 'requests':
      return new DaypassError(
        'rate_limit_exceeded',
        `Rate limit reached for this key: ${answer.limit} requests a minute. Please try again in ${seconds(answer.waitMs)}.`,
        {
          retryAfterMs: answer.waitMs,
          details: { limit: 'rpm' },
        },
      );
    case 'files':
      return filesGone();
    case 'record':
      return new DaypassError(
        'rate_limit_exceeded',
        'Too many earlier requests of this key still wait to be recorded. Please retry in a few seconds.',
        { retryAfterMs: OVERLOADED_RETRY_MS, details: { limit: 'record' } },
      );
    case 'bytes':
      return answer.waitMs < 0
        ? new DaypassError(
            'rate_limit_exceeded',
            `This call has ${answer.need} bytes, and this key may send ${answer.limit} an hour: make it smaller.`,
            { retry: false, details: { limit: 'bytes' } },
          )
        : new DaypassError(
            'rate_limit_exceeded',
            `Rate limit reached for this key: ${answer.limit} bytes an hour, of requests and of repeated answers. This call has ${answer.need}. Please try again in ${seconds(answer.waitMs)}.`,
            { retryAfterMs: answer.waitMs, details: { limit: 'bytes' } },
          );
    case 'tokens':
      return answer.waitMs < 0
        ? new DaypassError(
            'rate_limit_exceeded',
            `This call may use ${answer.need} tokens, and this key may use ${answer.limit} a minute: make it smaller.`,
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
