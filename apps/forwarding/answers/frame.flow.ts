import { setTimeout as sleep } from 'node:timers/promises';
import type { ReplyChannel } from '#libs/holds/reply.channel.js';
import { insist } from '#libs/redis/insist.js';

/** One argument of a script, and one entry of a stream, has at most so many bytes of an answer. */
export const FRAME_BYTES = 524_288;
/** So many bytes come with the end of the call. */
export const LAST_BYTES = 1_024;
/** So many frames of one answer lie in Redis at most until its ingress has read them. */
const AHEAD = 8;
/** An ingress that reads nothing for so long is gone, or its visitor is. */
export const PATIENCE_MS = 30_000;
const LOOK_EVERY_MS = 5;

export type FrameChannel = Pick<ReplyChannel, 'sendFrame' | 'readUpTo'>;

/** Sends frames of bytes no faster than their ingress reads them. */
export class FrameFlow {
  private readonly ids: string[] = [];

  constructor(
    private readonly channel: FrameChannel,
    private readonly to: { replyTo: string; requestId: string },
    private readonly left?: AbortSignal,
  ) {}

  /** Sends a frame. `n`: its number. False where nobody reads them any more. @throws where Redis is away for too long */
  async send(n: number, bytes: readonly Uint8Array[]): Promise<boolean> {
    const before = this.ids.at(-AHEAD);
    if (this.left?.aborted || (before !== undefined && !(await this.isRead(before)))) return false;
    const { replyTo, requestId } = this.to;
    this.ids.push(await insist(() => this.channel.sendFrame(replyTo, requestId, n, bytes), PATIENCE_MS));
    if (this.ids.length > AHEAD) this.ids.shift();
    return true;
  }

  private async isRead(id: string): Promise<boolean> {
    const { replyTo } = this.to;
    for (const untilMs = performance.now() + PATIENCE_MS; performance.now() < untilMs && !this.left?.aborted;) {
      if (!isAfter(id, await insist(() => this.channel.readUpTo(replyTo), PATIENCE_MS))) return true;
      await sleep(LOOK_EVERY_MS);
    }
    return false;
  }
}

/** Whether an entry of a stream came after another one: `<ms>-<n>`. */
function isAfter(id: string, other: string): boolean {
  const [ms, n] = id.split('-').map(Number) as [number, number];
  const [otherMs, otherN] = other.split('-').map(Number) as [number, number];
  return ms === otherMs ? n > otherN : ms > otherMs;
}
