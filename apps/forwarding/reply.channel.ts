import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { MONEY_REDIS } from '#libs/platform/platform.tokens.js';
import { TickBatch } from '#libs/queues/tick-batch.js';
import { REPLY_STREAM_LIFE_MS, REPLY_STREAM_MAX_ENTRIES } from '#libs/redis/hold.store.js';
import { redisKeys } from '#libs/redis/keys.js';

interface Part {
  /** The ingress process that holds the visitor's connection. */
  replyTo: string;
  requestId: string;
  payload: Buffer;
}

const PARTS_MAX = 64;

/** The way to the ingress processes' reply streams. What many calls say within one turn goes to each in one entry: a pair of `id` and `payload` for each. */
@Injectable()
export class ReplyChannel {
  private readonly parts = new TickBatch<Part, void>(PARTS_MAX, (parts) => this.write(parts));

  constructor(@Inject(MONEY_REDIS) private readonly redis: Redis) {}

  /** @throws when Redis did not say that it took it */
  send(part: Part): Promise<void> {
    return this.parts.add(part);
  }

  private async write(parts: readonly Part[]): Promise<void[]> {
    await Promise.all(
      [...Map.groupBy(parts, ({ replyTo }) => replyTo)].map(([replyTo, some]) => {
        const stream = redisKeys.reply(replyTo);
        const pairs = some.flatMap(({ requestId, payload }) => ['id', requestId, 'payload', payload]);
        // A stream whose reader died must not stay.
        return Promise.all([this.redis.xadd(stream, 'MAXLEN', '~', REPLY_STREAM_MAX_ENTRIES, '*', ...pairs), this.redis.pexpire(stream, REPLY_STREAM_LIFE_MS)]);
      }),
    );
    return parts.map(() => undefined);
  }
}
