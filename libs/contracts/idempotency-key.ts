/** What a visitor or an operator may send as `Idempotency-Key`, and for how long it stands for the first answer. */
export const IDEMPOTENCY_LIFE_MS = 24 * 3_600_000;

/** null: as it should be; else what is wrong with it, to be told. */
export function idempotencyKeyFault(name: string): string | null {
  return /^[\x20-\x7e]{1,255}$/.test(name)
    ? null
    : 'The header Idempotency-Key must be 1 to 255 printable ASCII characters.';
}
