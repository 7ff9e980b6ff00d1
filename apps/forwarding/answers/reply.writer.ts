import type { Ticket } from '#libs/contracts/jobs.js';
import type { Reply } from '#libs/contracts/reply.js';
import { insist } from '#libs/redis/insist.js';
import type { ReplyChannel } from '#libs/holds/reply.channel.js';
import { FRAME_BYTES, FrameFlow } from './frame.flow.js';
import { framesOf } from './framed.answers.js';

/** Longer than a minute: a Redis that is away so long interrupts a stream, and does not end it. */
const PATIENCE_MS = 90_000;

/**
 * Sends a stream to the visitor as it comes. One write is on its way at a time, and the next takes all frames that
 * arrived meanwhile. So a fast model costs few round trips. Where Redis does not answer, the writer repeats a write
 * under its number.
 */
export class ReplyWriter {
  private pending: string[] = [];
  private writing: Promise<void> | null = null;
  private failure: Error | null = null;
  private sent = 0;
  private readonly flow: FrameFlow;

  constructor(
    private readonly channel: ReplyChannel,
    private readonly ticket: Ticket,
  ) {
    this.flow = new FrameFlow(channel, ticket);
  }

  /** A write was lost: the visitor sees no more. */
  get failed(): boolean {
    return this.failure !== null;
  }

  /** Frames wait until the stream is open. @throws as `flush` */
  open(reply: Extract<Reply, { type: 'open' }>): Promise<void> {
    this.writing = this.drain(reply);
    return this.flush();
  }

  /**
   * @throws when an earlier frame could not be written: the visitor sees no more
   */
  frames(text: string): void {
    if (this.failure) throw this.failure;
    if (text === '') return;
    this.pending.push(text);
    this.writing ??= this.drain();
  }

  /** Resolves when all frames are written. @throws the error that kept one from it */
  async flush(): Promise<void> {
    while (this.writing) await this.writing;
    if (this.failure) throw this.failure;
  }

  /** The reply that ends the stream. The script that moves the money sends it. */
  lastReply(text?: string): Extract<Reply, { type: 'end' }> {
    return { type: 'end', frames: this.sent, ...(text === undefined ? {} : { text }) };
  }

  private async drain(first?: Reply): Promise<void> {
    try {
      if (first) await this.send(first);
      while (this.pending.length > 0) {
        const text = this.pending.join('');
        this.pending = [];
        if (text.length > FRAME_BYTES && this.ticket.facts.answerBytes !== undefined) await this.sendBytes(text);
        else {
          await this.send({ type: 'frames', n: this.sent, text });
          this.sent++;
        }
      }
    } catch (error) {
      this.failure = error instanceof Error ? error : new Error(String(error));
    } finally {
      this.writing = null;
    }
  }

  /** In frames of bytes, as fast as ingress reads them: no write carries a whole image. */
  private async sendBytes(text: string): Promise<void> {
    for (const frame of framesOf([Buffer.from(text)])) {
      if (!(await this.flow.send(this.sent, frame))) throw new Error('nobody reads the answer');
      this.sent++;
    }
  }

  private async send(reply: Reply): Promise<void> {
    const { replyTo, requestId } = this.ticket;
    await insist(() => this.channel.send({ replyTo, requestId, reply }), PATIENCE_MS);
  }
}
