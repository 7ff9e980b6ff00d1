import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { DaypassConfig } from '#libs/config/config.js';
import { readReply, readReplyParts, sealOfFrame, type FrameOfBytes, type ReadReply } from '#libs/contracts/reply.js';
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
type ReplyListener = (reply: ReadReply | FrameOfBytes, keyAtEnd: KeyAtEnd) => void;

const BLOCK_MS = 5_000;
const READ_MAX = 500;
const TRIM_EVERY_MS = 1_000;
/** One read may bring many large entries. After so long the process turns to its other work. */
const WORK_MAX_MS = 10;
const READ_LIFE_MS = 60_000;
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
        let frames = 0;
        let sinceMs = performance.now();
        for (const [id, fields] of answer?.[0]?.[1] ?? []) {
          this.lastId = id.toString();
          frames += this.deliver(fields) ? 1 : 0;
          if (performance.now() - sinceMs < WORK_MAX_MS) continue;
          await turn();
          sinceMs = performance.now();
        }
        this.trim(frames > 0);
      } catch (error) {
        if (!this.running) return;
        this.logger.warn({ err: error }, 'ingress could not read replies');
        await sleep(200);
      }
    }
  }

  /**
   * An entry has parts of streams, or, with `id` and `payload`, the reply that ends one call, or, with `id`, `n` and
   * `frame`, bytes of a large answer. Returns whether it has such bytes.
   */
  private deliver(fields: Buffer[]): boolean {
    const entry: Record<string, Buffer> = {};
    for (let i = 0; i + 1 < fields.length; i += 2) entry[fields[i]!.toString()] = fields[i + 1]!;
    try {
      if (entry.parts) {
        for (const { id, reply } of readReplyParts(this.box.open(entry.parts, this.processId)))
          this.handOn(id, reply, NOT_ENDED);
        return false;
      }
      const requestId = entry.id?.toString() ?? '';
      if (!this.listeners.has(requestId)) return entry.frame !== undefined;
      if (entry.frame) {
        const n = Number(entry.n?.toString());
        this.handOn(
          requestId,
          { type: 'bytes', n, bytes: this.box.openBytes(entry.frame, sealOfFrame(requestId, n)) },
          NOT_ENDED,
        );
        return true;
      }
      if (!entry.payload) return false;
      this.handOn(requestId, readReply(this.box.openBytes(entry.payload, requestId)), {
        availableNano: entry.available?.toString(),
        strikes: Number(entry.strikes?.toString() ?? 0),
      });
    } catch (error) {
      this.logger.error({ err: error, requestId: entry.id?.toString() }, 'ingress could not read a reply');
    }
    return entry.frame !== undefined;
  }

  private handOn(requestId: string, reply: ReadReply | FrameOfBytes, keyAtEnd: KeyAtEnd): void {
    try {
      this.listeners.get(requestId)?.(reply, keyAtEnd);
    } catch (error) {
      this.logger.error({ err: error, requestId }, 'ingress could not show a reply');
    }
  }

  /**
   * Trims the entries that this process has read, so that the stream stays short: those with large frames at once. Their
   * workers send more when they see that these are read.
   */
  private trim(hadFrames: boolean): void {
    const now = Date.now();
    if ((!hadFrames && now - this.trimmedAt < TRIM_EVERY_MS) || this.lastId === '0-0') return;
    this.trimmedAt = now;
    if (hadFrames)
      void this.redis.set(redisKeys.replyRead(this.processId), this.lastId, 'PX', READ_LIFE_MS).catch(() => undefined);
    void this.redis.xtrim(this.stream, 'MINID', this.lastId).catch(() => undefined);
  }
}
