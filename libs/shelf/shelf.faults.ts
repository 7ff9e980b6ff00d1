import { DaypassError } from '#libs/contracts/errors.js';
import type { Ref } from '#libs/endpoints/shelved.js';
import { CHAIN_MAX } from './shelf.types.js';

/** Another key's id, one of nobody and one that is gone are the same to whoever asks. The words are OpenAI's. */

const SHORT = 100;

export function itemNotFound(id: string, param = 'input'): DaypassError {
  return new DaypassError('not_found', `Item with id '${id.slice(0, SHORT)}' not found.`, { param });
}

export function conversationNotFound(id: string, param = 'conversation'): DaypassError {
  return new DaypassError('not_found', `Conversation with id '${id.slice(0, SHORT)}' not found.`, { param });
}

export function responseNotFound(id: string): DaypassError {
  return new DaypassError('not_found', `Response with id '${id.slice(0, SHORT)}' not found.`, { param: 'response_id' });
}

/** What a request names is not there. */
export function refNotFound({ kind, id, param }: Ref): DaypassError {
  if (kind === 'item') return itemNotFound(id, param);
  if (kind === 'conversation') return conversationNotFound(id, param);
  return new DaypassError(
    'previous_response_not_found',
    `Previous response with id '${id.slice(0, SHORT)}' not found.`,
    { param },
  );
}

/** The named response is there, and what it continues is not. */
export function brokenChain({ id, param }: Ref, missingId: string): DaypassError {
  return new DaypassError(
    'previous_response_not_found',
    `The response '${id.slice(0, SHORT)}' continues '${missingId.slice(0, SHORT)}', which is not found: it is older than a day, was deleted, or made room for newer ones. Send the conversation itself as input.`,
    { param },
  );
}

export function chainTooLong({ id, param }: Ref): DaypassError {
  return new DaypassError(
    'previous_response_not_found',
    `The response '${id.slice(0, SHORT)}' continues a chain of more than ${CHAIN_MAX} responses, which Daypass does not follow. Send the conversation itself as input, or use a conversation.`,
    { param },
  );
}

export function tooMuchNamed(bytes: number): DaypassError {
  return new DaypassError(
    'request_too_large',
    `With what it names this request has ${bytes} bytes, which is too large. Start anew with a summary, or ask the operator to raise DAYPASS_MAX_BODY_BYTES.`,
  );
}

/** Another DAYPASS_SECRET encrypted it, or somebody altered it. */
export function unreadable(id: string): DaypassError {
  return new DaypassError('not_found', `'${id}' can no longer be read. Send its content again.`);
}

export function tooManyReads(): DaypassError {
  return new DaypassError(
    'rate_limit_exceeded',
    'Too many requests of this key read its stored responses at once. Please retry in a moment.',
    { retryAfterMs: 1_000, details: { limit: 'shelf' } },
  );
}

/** Redis does not answer, or has not the memory. */
export function shelfUnavailable(): DaypassError {
  return new DaypassError('recovering', 'Daypass cannot reach what it stores right now. Please retry in a moment.', {
    retryAfterMs: 2_000,
  });
}
