import { FairQueue } from './fair.queue.js';

const MIB = 1_048_576;
/** Less takes no room. */
const LARGE_BYTES = 524_288;
const OF_KEY_MAX = 64 * MIB;
const MAX = 256 * MIB;

interface Waiting {
  keyId: string;
  bytes: number;
  enter: () => void;
}

/**
 * Bounds the memory of a process for work whose size is known before, for each key and in all. Forwarding reads a large
 * answer only when there is room for it, and until then the upstream's connection waits. So do the images of a form,
 * before guards see them.
 */
export class MemoryRoom {
  private all = 0;
  private readonly ofKey = new Map<string, number>();
  private readonly waiting = new FairQueue<Waiting>();

  constructor(private readonly bounds = { ofKey: OF_KEY_MAX, all: MAX }) {}

  /** Does the work when there is room for it. @throws the reason of `left` where it aborts before; what the work throws */
  async within<T>(keyId: string, bytes: number, left: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (bytes < LARGE_BYTES) return work();
    await this.enter(keyId, bytes, left);
    try {
      return await work();
    } finally {
      this.count(keyId, -bytes);
      this.admit();
    }
  }

  private async enter(keyId: string, bytes: number, left: AbortSignal): Promise<void> {
    left.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const one: Waiting = { keyId, bytes, enter: resolve };
    const leave = (): void => {
      this.waiting.remove(keyId, one);
      reject(left.reason as Error);
      this.admit();
    };
    left.addEventListener('abort', leave, { once: true });
    this.waiting.add(keyId, one);
    this.admit();
    try {
      await promise;
    } finally {
      left.removeEventListener('abort', leave);
    }
  }

  /** Keys with the least in here go first. Nobody overtakes one that waits only for the room of all. */
  private admit(): void {
    for (;;) {
      const next = this.waiting
        .heads()
        .toSorted((a, b) => this.heldBy(a.keyId) - this.heldBy(b.keyId))
        .find(({ keyId, bytes }) => this.heldBy(keyId) === 0 || this.heldBy(keyId) + bytes <= this.bounds.ofKey);
      if (!next || (this.all > 0 && this.all + next.bytes > this.bounds.all)) return;
      this.waiting.remove(next.keyId, next);
      this.count(next.keyId, next.bytes);
      next.enter();
    }
  }

  private heldBy(keyId: string): number {
    return this.ofKey.get(keyId) ?? 0;
  }

  private count(keyId: string, change: number): void {
    this.all += change;
    const held = this.heldBy(keyId) + change;
    if (held > 0) this.ofKey.set(keyId, held);
    else this.ofKey.delete(keyId);
  }
}
