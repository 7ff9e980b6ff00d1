import type { Ticket } from '#libs/contracts/jobs.js';
import type { Reply } from '#libs/contracts/reply.js';
import { insist } from '#libs/redis/insist.js';
import type { ReplyChannel } from '#libs/holds/reply.channel.js';
import { FRAME_BYTES, FrameFlow } from './frame.flow.js';
import { framesOf } from './framed.answers.js';

/** Longer than a minute: a Redis that is away so long interrupts a stream, and does not end it. */
const PATIENCE_MS = 90_000;

/**
 * Sends a stream, or bytes, to the visitor as they come. One write is on its way at a time, and the next takes all frames that
 * arrived meanwhile. So a fast model costs few round trips. Where Redis does not answer, the writer repeats a write
 * under its number.
 */
export class ReplyWriter {
  private pending: string[] = [];
  private pendingCharacters = 0;
  private bytes: Uint8Array[] = [];
  private bytesLeft = 0;
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
    this.pendingCharacters += text.length;
    this.writing ??= this.drain();
  }

  /** Redis is slower than the upstream, so that whoever reads that should wait (`flush`). */
  get isBehind(): boolean {
    return this.pendingCharacters > FRAME_BYTES;
  }

  /** Resolves when there is room for more. @throws as `flush` */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.failure) throw this.failure;
    this.bytes.push(bytes);
    this.bytesLeft += bytes.byteLength;
    this.writing ??= this.drain();
    if (this.bytesLeft > FRAME_BYTES) await this.flush();
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
      while (this.pending.length > 0 || this.bytes.length > 0) {
        if (this.bytes.length > 0) {
          const bytes = this.bytes;
          this.bytes = [];
          this.bytesLeft = 0;
          await this.sendBytes(bytes);
          continue;
        }
        const text = this.pending.join('');
        this.pending = [];
        this.pendingCharacters = 0;
        if (text.length > FRAME_BYTES && this.ticket.facts.answerBytes !== undefined)
          await this.sendBytes([Buffer.from(text)]);
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
  private async sendBytes(bytes: readonly Uint8Array[]): Promise<void> {
    for (const frame of framesOf(bytes)) {
      if (!(await this.flow.send(this.sent, frame))) throw new Error('nobody reads the answer');
      this.sent++;
    }
  }

  private async send(reply: Reply): Promise<void> {
    const { replyTo, requestId } = this.ticket;
    await insist(() => this.channel.send({ replyTo, requestId, reply }), PATIENCE_MS);
  }
}
