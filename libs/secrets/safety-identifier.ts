import { createHmac, type KeyObject } from 'node:crypto';

/** The provider names one visitor by it. It is stable and reveals nothing. */
export function safetyIdentifier(visitorId: string, pepper: KeyObject): string {
  return createHmac('sha256', pepper).update(visitorId).digest('base64url');
}
