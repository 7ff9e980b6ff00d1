import { createHmac, type KeyObject } from 'node:crypto';

/** Two ways of writing one label: case, width and spaces name nobody else. */
export function normalLabel(label: string): string {
  return label.normalize('NFKC').toLowerCase().replaceAll(/\s+/g, ' ').trim();
}

/**
 * Tells a claimant in every campaign, and says nothing about the person. `subject`: `label:<label>`, or that of an
 * `Identity`.
 */
export function hashOfSubject(subject: string, pepper: KeyObject): string {
  return createHmac('sha256', pepper).update(subject).digest('base64url');
}
