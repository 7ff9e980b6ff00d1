import type { BytesAnswer } from '#libs/holds/hold.types.js';

const KEYS_MAX = 10_000;
/** After so long ingress asks Redis again: somebody may have raised the limit. */
const REMEMBERED_MS = 5_000;

interface Full {
  answer: BytesAnswer;
  atMs: number;
}

/**
 * Keys that have just sent too many bytes, so that ingress does no work for their next large request. Times are of
 * `performance.now`.
 */
export class FullKeys {
  private readonly keys = new Map<string, Full>();

  remember(keyId: string, answer: BytesAnswer, atMs: number): void {
    this.keys.delete(keyId);
    if (this.keys.size >= KEYS_MAX) this.keys.delete(this.keys.keys().next().value!);
    this.keys.set(keyId, { answer, atMs });
  }

  /** What Redis would say of a request with so many bytes; undefined: ask it. */
  refusalOf(keyId: string, bytes: number, nowMs: number): BytesAnswer | undefined {
    const full = this.keys.get(keyId);
    if (!full || bytes < full.answer.need) return undefined;
    const { answer, atMs } = full;
    const waitMs = answer.waitMs < 0 ? answer.waitMs : answer.waitMs - (nowMs - atMs);
    const isOver = nowMs - atMs >= REMEMBERED_MS || (answer.waitMs >= 0 && waitMs <= 0);
    if (isOver) this.keys.delete(keyId);
    return isOver ? undefined : { ...answer, need: bytes, waitMs };
  }
}
