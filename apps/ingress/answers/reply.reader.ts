import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { DaypassConfig } from '#libs/config/config.js';
import { replyPartsSchema, replySchema, type Reply } from '#libs/contracts/reply.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { blockingConnection } from '#libs/redis/connection.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';

/** What the end of a call left of its key; the script that ends the call sends it with the reply. */
export interface KeyAtEnd {
  availableNano: string | undefined;
  /** Strikes of the key, where this call added one. */
  strikes: number;
}

/** Called for each reply, in order. */
type ReplyListener = (reply: Reply, keyAtEnd: KeyAtEnd) => void;

const BLOCK_MS = 5_000;
const READ_MAX = 500;
const TRIM_EVERY_MS = 1_000;
const NOT_ENDED: KeyAtEnd = { availableNano: undefined, strikes: 0 };

/** Reads the reply stream of this process, and hands each reply to the call that waits for it. */
@Injectable()
export class ReplyReader implements OnApplicationBootstrap, OnApplicationShutdown {
  /** New at every start: nobody waits for replies to a former process any more, and their stream expires. */
  readonly processId = randomUUID();
  private readonly listeners = new Map<string, ReplyListener>();
  private readonly stream = redisKeys.reply(this.processId);
  private readonly blocking: Redis;
  private lastId = '0-0';
  private trimmedAt = 0;
  private running = false;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly box: ContentBox,
  ) {
    this.blocking = blockingConnection(config.redisUrl);
    this.blocking.on('error', (error) => this.logger.warn({ err: error }, 'reply connection'));
  }

  onApplicationBootstrap(): void {
    this.running = true;
    void this.read();
  }

  onApplicationShutdown(): void {
    this.running = false;
    this.blocking.disconnect();
  }

  listen(requestId: string, listener: ReplyListener): void {
    this.listeners.set(requestId, listener);
  }

  forget(requestId: string): void {
    this.listeners.delete(requestId);
  }

  get waiting(): number {
    return this.listeners.size;
  }

  private async read(): Promise<void> {
    while (this.running) {
      try {
        const answer = (await this.blocking.xreadBuffer(
          'COUNT',
          READ_MAX,
          'BLOCK',
          BLOCK_MS,
          'STREAMS',
          this.stream,
          this.lastId,
        )) as [Buffer, [Buffer, Buffer[]][]][] | null;
        for (const [id, fields] of answer?.[0]?.[1] ?? []) {
          this.lastId = id.toString();
          this.deliver(fields);
        }
        this.trim();
      } catch (error) {
        if (!this.running) return;
        this.logger.warn({ err: error }, 'ingress could not read replies');
        await sleep(200);
      }
    }
  }

  /** An entry has parts of streams, or, with `id` and `payload`, the reply that ends one call. */
  private deliver(fields: Buffer[]): void {
    const entry: Record<string, Buffer> = {};
    for (let i = 0; i + 1 < fields.length; i += 2) entry[fields[i]!.toString()] = fields[i + 1]!;
    try {
      if (entry.parts) {
        const parts = replyPartsSchema.parse(JSON.parse(this.box.open(entry.parts, this.processId)));
        for (const { id, reply } of parts) this.handOn(id, reply, NOT_ENDED);
        return;
      }
      const requestId = entry.id?.toString() ?? '';
      if (!entry.payload || !this.listeners.has(requestId)) return;
      const reply = replySchema.parse(JSON.parse(this.box.open(entry.payload, requestId)));
      this.handOn(requestId, reply, {
        availableNano: entry.available?.toString(),
        strikes: Number(entry.strikes?.toString() ?? 0),
      });
    } catch (error) {
      this.logger.error({ err: error, requestId: entry.id?.toString() }, 'ingress could not read a reply');
    }
  }

  private handOn(requestId: string, reply: Reply, keyAtEnd: KeyAtEnd): void {
    try {
      this.listeners.get(requestId)?.(reply, keyAtEnd);
    } catch (error) {
      this.logger.error({ err: error, requestId }, 'ingress could not show a reply');
    }
  }

  /** Trims the entries that this process has read, so that the stream stays short. */
  private trim(): void {
    const now = Date.now();
    if (now - this.trimmedAt < TRIM_EVERY_MS || this.lastId === '0-0') return;
    this.trimmedAt = now;
    void this.redis.xtrim(this.stream, 'MINID', this.lastId).catch(() => undefined);
  }
}
