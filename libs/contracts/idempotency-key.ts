/** For so long a repeat under an `Idempotency-Key` gets the first answer. */
export const IDEMPOTENCY_LIFE_MS = 24 * 3_600_000;

/** What is wrong with an `Idempotency-Key`, as its sender reads it; null: nothing. */
export function idempotencyKeyFault(name: string): string | null {
  return /^[\x20-\x7e]{1,255}$/.test(name)
    ? null
    : 'The header Idempotency-Key must be 1 to 255 printable ASCII characters.';
}
