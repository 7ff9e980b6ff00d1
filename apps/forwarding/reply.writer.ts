import type { Redis } from 'ioredis';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { Reply } from '#libs/contracts/reply.js';
import { redisKeys } from '#libs/redis/keys.js';
import type { ContentBox } from '#libs/secrets/content-box.js';

const STREAM_MAX_ENTRIES = 50_000;
/** A stream whose reader died must not stay. */
const STREAM_LIFE_MS = 120_000;

/**
 * Sends the parts of a stream that is shown as it comes. One write is on its way at a time; what arrives meanwhile goes
 * with the next one, so that a fast model costs few round trips.
 */
export class ReplyWriter {
  private pending: string[] = [];
  private writing: Promise<void> | null = null;
  private failure: unknown;

  constructor(
    private readonly redis: Redis,
    private readonly box: ContentBox,
    private readonly ticket: Ticket,
  ) {}

  async open(reply: Extract<Reply, { type: 'open' }>): Promise<void> {
    await this.send(reply);
    await this.redis.pexpire(redisKeys.reply(this.ticket.replyTo), STREAM_LIFE_MS);
  }

  frames(text: string): void {
    if (text === '') return;
    this.pending.push(text);
    this.writing ??= this.drain();
  }

  /** Resolves when everything is written. @throws what kept a part from being written */
  async flush(): Promise<void> {
    while (this.writing) await this.writing;
    if (this.failure) throw this.failure as Error;
  }

  private async drain(): Promise<void> {
    try {
      while (this.pending.length > 0) {
        const text = this.pending.join('');
        this.pending = [];
        await this.send({ type: 'frames', text });
      }
    } catch (error) {
      this.failure = error;
    } finally {
      this.writing = null;
    }
  }

  private async send(reply: Reply): Promise<void> {
    const payload = this.box.seal(JSON.stringify(reply), this.ticket.requestId);
    await this.redis.xadd(redisKeys.reply(this.ticket.replyTo), 'MAXLEN', '~', STREAM_MAX_ENTRIES, '*', 'id', this.ticket.requestId, 'payload', payload);
  }
}
