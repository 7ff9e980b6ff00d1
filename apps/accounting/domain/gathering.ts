/** Where few entries came, somebody may be looking at them. */
const FEW_ENTRIES = 8;
const LEAST_MS = 100;
/** For so long entries are in Redis and its append-only file alone. */
const MOST_MS = 400;
/** More entries make no entry cheaper, and what lives for longer costs the garbage collector more (measured). */
const BATCH_ENTRIES = 128;

/**
 * For how long a drain waits after a batch of so many entries, which came within this time. A transaction costs much
 * the same for one entry as for a hundred.
 */
export function gatherMs(entries: number, withinMs: number): number {
  if (entries <= FEW_ENTRIES) return LEAST_MS;
  return Math.min(MOST_MS, Math.max(LEAST_MS, (BATCH_ENTRIES * withinMs) / entries));
}
