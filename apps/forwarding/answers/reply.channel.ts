import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { Reply, ReplyParts } from '#libs/contracts/reply.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { TickBatch } from '#libs/redis/tick-batch.js';
import { REPLY_STREAM_LIFE_MS, REPLY_STREAM_MAX_ENTRIES } from '#libs/holds/hold.store.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';

interface Part {
  /** The ingress process that holds the visitor's connection. */
  replyTo: string;
  requestId: string;
  reply: Reply;
}

const PARTS_MAX = 64;

/** The way to the ingress processes' reply streams. What many calls say within one turn goes to each in one entry, sealed together in its field `parts`. */
@Injectable()
export class ReplyChannel {
  private readonly parts = new TickBatch<Part, void>(PARTS_MAX, (parts) => this.write(parts));

  constructor(
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly box: ContentBox,
  ) {}

  /** @throws when Redis did not say that it took it */
  send(part: Part): Promise<void> {
    return this.parts.add(part);
  }

  private async write(said: readonly Part[]): Promise<void[]> {
    await Promise.all(
      [...Map.groupBy(said, ({ replyTo }) => replyTo)].map(([replyTo, some]) => {
        const stream = redisKeys.reply(replyTo);
        const parts: ReplyParts = some.map(({ requestId, reply }) => ({ id: requestId, reply }));
        const sealed = this.box.seal(JSON.stringify(parts), replyTo);
        // A stream whose reader died must not stay.
        return Promise.all([
          this.redis.xadd(stream, 'MAXLEN', '~', REPLY_STREAM_MAX_ENTRIES, '*', 'parts', sealed),
          this.redis.pexpire(stream, REPLY_STREAM_LIFE_MS),
        ]);
      }),
    );
    return said.map(() => undefined);
  }
}
