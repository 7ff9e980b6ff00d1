import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { Reply, ReplyParts } from '#libs/contracts/reply.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { TickBatch } from '#libs/redis/tick-batch.js';
import { REPLY_STREAM_LIFE_MS, REPLY_STREAM_MAX_ENTRIES } from '#libs/holds/hold.args.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';

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
@Injectable()
export class ReplyChannel {
  private readonly parts = new TickBatch<Part, void>(PARTS_MAX, (parts) => this.write(parts));

  constructor(
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly box: ContentBox,
  ) {}

  /** @throws when Redis does not confirm the write */
  send(part: Part): Promise<void> {
    return this.parts.add(part);
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
