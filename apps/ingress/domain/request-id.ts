import { randomBytes } from 'node:crypto';

/** As in UUIDv7 the milliseconds come first, so that the ledger reads the month of a call from its id. */
export function newRequestId(): string {
  return `req_${Date.now().toString(16).padStart(12, '0')}${randomBytes(10).toString('hex')}`;
}
