import { createHmac, type KeyObject } from 'node:crypto';

/** Of each pepper. */
const HASHES_MAX = 10_000;
const known = new WeakMap<KeyObject, Map<string, string>>();

/** The HMAC of an id that many calls have. A process makes it once, and forgets those that came first. */
export function knownHash(id: string, pepper: KeyObject): string {
  let hashes = known.get(pepper);
  if (hashes === undefined) known.set(pepper, (hashes = new Map()));
  let hash = hashes.get(id);
  if (hash === undefined) {
    hash = createHmac('sha256', pepper).update(id).digest('base64url');
    if (hashes.size >= HASHES_MAX) hashes.delete(hashes.keys().next().value!);
    hashes.set(id, hash);
  }
  return hash;
}
