import { createHmac, type KeyObject } from 'node:crypto';

/**
 * Tells one call from another, and nothing of what it holds: an HMAC, because a plain hash of a prompt could be guessed.
 * `how`: what beside the body decides how the call is answered. `body`: as it waits for forwarding.
 */
export function callHash(how: unknown, body: string, pepper: KeyObject): string {
  return createHmac('sha256', pepper).update(JSON.stringify(how)).update('\0').update(body).digest('base64url');
}
