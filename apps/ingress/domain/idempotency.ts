import { createHash, createHmac, type KeyObject } from 'node:crypto';
import { DaypassError } from '#libs/contracts/errors.js';
import { idempotencyKeyFault } from '#libs/contracts/idempotency-key.js';

export interface Idempotency {
  nameHash: string;
  /** An HMAC, because a plain hash of a prompt could be guessed. */
  fingerprint: string;
}

/**
 * Reads the header `Idempotency-Key`; undefined without one. `asked`: the request as its JSON is written again, which
 * a repeat must equal.
 * @throws DaypassError when the header is not 1 to 255 printable ASCII characters
 */
export function idempotencyOf(
  header: string | string[] | undefined,
  asked: string,
  pepper: KeyObject,
): Idempotency | undefined {
  if (header === undefined) return undefined;
  const name = String(header);
  const fault = idempotencyKeyFault(name);
  if (fault !== null) throw new DaypassError('invalid_request', fault, { param: 'idempotency-key' });
  return {
    nameHash: createHash('sha256').update(name).digest('base64url'),
    fingerprint: createHmac('sha256', pepper).update(asked).digest('base64url'),
  };
}
