/** So many wrong tokens in a row are free; then one a minute. */
const FREE_MISTAKES = 5;
const FORGIVEN_EVERY_MS = 60_000;
/** Beyond so many addresses the one that was wrong first is forgotten. */
const ADDRESSES_MAX = 1_000;

/** Slows down guesses of the admin token, by the address that they come from. */
export class SignInBrake {
  /** By address: how many mistakes are not forgiven, and as of when. */
  private readonly mistakes = new Map<string, { count: number; atMs: number }>();

  /** How long this address has to wait before its next try, in ms; 0: it need not. */
  waitMs(address: string, nowMs = Date.now()): number {
    const { count, atMs } = this.of(address, nowMs);
    return count < FREE_MISTAKES ? 0 : atMs + FORGIVEN_EVERY_MS - nowMs;
  }

  wrong(address: string, nowMs = Date.now()): void {
    const { count, atMs } = this.of(address, nowMs);
    this.mistakes.delete(address);
    if (this.mistakes.size >= ADDRESSES_MAX) this.mistakes.delete(this.mistakes.keys().next().value!);
    this.mistakes.set(address, { count: count + 1, atMs: count === 0 ? nowMs : atMs });
  }

  private of(address: string, nowMs: number): { count: number; atMs: number } {
    const former = this.mistakes.get(address);
    if (former === undefined) return { count: 0, atMs: nowMs };
    // The clock may have gone back.
    const forgiven = Math.max(0, Math.floor((nowMs - former.atMs) / FORGIVEN_EVERY_MS));
    const count = Math.max(0, former.count - forgiven);
    return { count, atMs: former.atMs + forgiven * FORGIVEN_EVERY_MS };
  }
}
