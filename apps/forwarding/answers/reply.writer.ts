import type { Ticket } from '#libs/contracts/jobs.js';
import type { Reply } from '#libs/contracts/reply.js';
import { insist } from '#libs/redis/insist.js';
import type { ReplyChannel } from './reply.channel.js';

/** A Redis that is away for a minute interrupts a stream, and does not end it. */
const PATIENCE_MS = 90_000;

/**
 * Sends the parts of a stream that is shown as it comes. One write is on its way at a time; what arrives meanwhile goes
 * with the next one, so that a fast model costs few round trips. A write whose answer is lost is repeated under its number.
 */
export class ReplyWriter {
  private pending: string[] = [];
  private writing: Promise<void> | null = null;
  private failure: Error | null = null;
  private sent = 0;

  constructor(
    private readonly channel: ReplyChannel,
    private readonly ticket: Ticket,
  ) {}

  async open(reply: Extract<Reply, { type: 'open' }>): Promise<void> {
    await this.send(reply);
  }

  /** @throws when the visitor cannot be reached any more: what would follow has nobody to see it */
  frames(text: string): void {
    if (this.failure) throw this.failure;
    if (text === '') return;
    this.pending.push(text);
    this.writing ??= this.drain();
  }

  /** Resolves when everything is written. @throws what kept a part from being written */
  async flush(): Promise<void> {
    while (this.writing) await this.writing;
    if (this.failure) throw this.failure;
  }

  /** The entry that ends the stream; it goes with the money, in one script. */
  ending(text?: string): Extract<Reply, { type: 'end' }> {
    return { type: 'end', frames: this.sent, ...(text === undefined ? {} : { text }) };
  }

  private async drain(): Promise<void> {
    try {
      while (this.pending.length > 0) {
        const text = this.pending.join('');
        this.pending = [];
        await this.send({ type: 'frames', n: this.sent, text });
        this.sent++;
      }
    } catch (error) {
      this.failure = error instanceof Error ? error : new Error(String(error));
    } finally {
      this.writing = null;
    }
  }

  private async send(reply: Reply): Promise<void> {
    const { replyTo, requestId } = this.ticket;
    await insist(() => this.channel.send({ replyTo, requestId, reply }), PATIENCE_MS);
  }
}
