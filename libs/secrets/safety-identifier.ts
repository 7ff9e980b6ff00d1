import type { KeyObject } from 'node:crypto';
import { knownHash } from './known-hashes.js';

/** The provider names one visitor by it. It is stable and reveals nothing. */
export function safetyIdentifier(visitorId: string, pepper: KeyObject): string {
  return knownHash(visitorId, pepper);
}
