import type { Redis } from 'ioredis';
import { sealOfFrame, type Reply, type ReplyParts } from '#libs/contracts/reply.js';
import { addLargeEntry } from '#libs/redis/large-entry.js';
import { TickBatch } from '#libs/redis/tick-batch.js';
import { redisKeys } from '#libs/redis/keys.js';
import type { ContentBox } from '#libs/secrets/content-box.js';
import { REPLY_STREAM_LIFE_MS, REPLY_STREAM_MAX_ENTRIES } from './hold.args.js';

interface Part {
  /** The ingress process that holds the visitor's connection. */
  replyTo: string;
  requestId: string;
  reply: Reply;
}

const PARTS_MAX = 64;

/**
 * Sends replies to the reply streams of the ingress processes. The replies of many calls within one tick make one
 * entry, encrypted together in its field `parts`.
 */
export class ReplyChannel {
  private readonly parts = new TickBatch<Part, void>(PARTS_MAX, (parts) => this.write(parts));

  constructor(
    private readonly redis: Redis,
    private readonly box: ContentBox,
  ) {}

  /** @throws when Redis does not confirm the write */
  send(part: Part): Promise<void> {
    return this.parts.add(part);
  }

  /** Sends a frame of a large answer. Returns its place in the stream. @throws when Redis does not confirm the write */
  async sendFrame(replyTo: string, requestId: string, n: number, bytes: readonly Uint8Array[]): Promise<string> {
    const stream = redisKeys.reply(replyTo);
    const sealed = this.box.sealPieces(bytes, sealOfFrame(requestId, n));
    const bound = ['MAXLEN', '~', String(REPLY_STREAM_MAX_ENTRIES)];
    const [id] = await Promise.all([
      addLargeEntry(this.redis, [stream, ...bound, '*', 'id', requestId, 'n', String(n), 'frame'], sealed),
      this.redis.pexpire(stream, REPLY_STREAM_LIFE_MS),
    ]);
    return id;
  }

  /** Up to where the ingress has read the frames of its stream; '0-0': none. */
  async readUpTo(replyTo: string): Promise<string> {
    return (await this.redis.get(redisKeys.replyRead(replyTo))) ?? '0-0';
  }

  private async write(parts: readonly Part[]): Promise<void[]> {
    await Promise.all(
      [...Map.groupBy(parts, ({ replyTo }) => replyTo)].map(([replyTo, some]) => {
        const stream = redisKeys.reply(replyTo);
        const entry: ReplyParts = some.map(({ requestId, reply }) => ({ id: requestId, reply }));
        const encrypted = this.box.seal(JSON.stringify(entry), replyTo);
        // The stream of an ingress process that died must not stay.
        return Promise.all([
          this.redis.xadd(stream, 'MAXLEN', '~', REPLY_STREAM_MAX_ENTRIES, '*', 'parts', encrypted),
          this.redis.pexpire(stream, REPLY_STREAM_LIFE_MS),
        ]);
      }),
    );
    return parts.map(() => undefined);
  }
}
