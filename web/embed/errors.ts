import type { ErrorCode } from '#libs/contracts/errors.js';
import type { LinkPageState, LinkView } from '#libs/contracts/claims.js';
import type { Fault, FaultCode } from '../shared/api.js';

/**
 * Why there is no key: a code of the API, or one of these. `popup_blocked`: the browser opened no window. `timed_out`:
 * nobody finished in the window. `aborted`: the page's own signal, or a newer claim. `cancelled`: the visitor went back.
 * `storage_closed`: the browser keeps nothing for the page, which must not leave then.
 */
export type ClaimErrorCode =
  ErrorCode | FaultCode | 'popup_blocked' | 'timed_out' | 'aborted' | 'cancelled' | 'storage_closed';

/** Its message says what happened and what to do, in words for the visitor. */
export class ClaimError extends Error {
  override readonly name = 'ClaimError';

  constructor(
    readonly code: ClaimErrorCode,
    message: string,
    /** What the API adds, such as `starts_at`. */
    readonly details: Readonly<Record<string, unknown>> = {},
    /** The same claim can succeed after so long; null: nobody knows, or never. */
    readonly retryAfterMs: number | null = null,
    /** For questions to the operator. */
    readonly requestId: string | null = null,
  ) {
    super(message);
  }
}

const AWAY: Partial<Record<FaultCode, string>> = {
  offline: 'No answer came. Check the connection, and try again: it asks for the same key.',
  unavailable: 'The service is not there at the moment. Try again in a minute.',
  unreadable: 'The answer came damaged. Try again.',
};

export const errorOf = ({ code, message, details, retryAfterMs, requestId }: Fault): ClaimError =>
  new ClaimError(code, AWAY[code] ?? message, details, retryAfterMs, requestId);

const CLOSED: Readonly<Record<Exclude<LinkPageState, 'open'>, [ErrorCode, string]>> = {
  not_started: ['link_not_started', 'This link gives no keys yet. Come back later.'],
  paused: ['link_paused', 'The operator paused this link. Try again later.'],
  ended: ['link_ended', 'This link has ended: it gives no more keys.'],
  exhausted: ['claims_exhausted', 'All keys of this link are taken.'],
  budget_gone: ['claims_exhausted', 'The budget behind this link is spent.'],
  door_shut: ['paused', 'The operator has stopped new keys for now. Try again later.'],
  recovering: ['recovering', 'The service is starting again. Try again in a moment.'],
};

/** Why a link takes no claim; null: it does. */
export function closedError({ state, starts_at }: LinkView): ClaimError | null {
  if (state === 'open') return null;
  const [code, message] = CLOSED[state];
  return new ClaimError(code, message, starts_at === null ? {} : { starts_at });
}
