import { createHmac, type KeyObject } from 'node:crypto';

/** By what the provider may name one visitor: stable, and it reveals nothing. */
export function safetyIdentifier(visitorId: string, pepper: KeyObject): string {
  return createHmac('sha256', pepper).update(visitorId).digest('base64url');
}
