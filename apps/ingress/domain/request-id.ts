import { randomFillSync } from 'node:crypto';

const RANDOM_BYTES = 10;
/** Fetches random bytes for so many ids at a time. */
const IDS = 512;
const random = Buffer.alloc(IDS * RANDOM_BYTES);
let used = IDS;

/** As in UUIDv7 the milliseconds come first, so that the ledger reads the month of a call from its id. */
export function newRequestId(): string {
  if (used === IDS) {
    randomFillSync(random);
    used = 0;
  }
  const start = used++ * RANDOM_BYTES;
  return `req_${Date.now().toString(16).padStart(12, '0')}${random.toString('hex', start, start + RANDOM_BYTES)}`;
}
