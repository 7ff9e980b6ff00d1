import { createHmac, type KeyObject } from 'node:crypto';
import { knownHash } from './known-hashes.js';

/**
 * The `prompt_cache_key` of a visitor's calls: 43 characters, of at most 64 (OpenAI, "Prompt caching"). Two visitors
 * who name a prefix alike get different ones. `named`: what the visitor calls it.
 */
export function promptCacheKey(visitorId: string, named: string | undefined, pepper: KeyObject): string {
  if (named === undefined) return knownHash(`${visitorId}\0`, pepper);
  return createHmac('sha256', pepper).update(`${visitorId}\0named ${named}`).digest('base64url');
}
