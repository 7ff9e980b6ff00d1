import type { FastifyReply } from 'fastify';
import type { ErrorBody } from '#libs/contracts/errors.js';
import { withHelp } from '#libs/contracts/help.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { Endpoint } from '#libs/endpoints/endpoint.js';
import { STREAM_TYPE, writeHead, type Head } from './answer.head.js';

const SILENT = 'waiting';
const END_OF_EVENT = Buffer.from('\n\n');

/**
 * The stream that one visitor reads. Proxies cut a connection that says nothing. So a silent stream gets a comment, and
 * its head before that. Until then an error is an HTTP error.
 */
export class VisitorStream {
  /** Of the request, once it is read: they decide how its client is told of an error. */
  facts: Ticket['facts'] = {};
  /** The head is out, so that an error can only follow in the stream. */
  opened = false;
  /** The end of an event has not come yet, so that nothing else may stand here. */
  private inEvent = false;
  private timer: NodeJS.Timeout | undefined;
  private headSoFar: (() => Head) | undefined;

  constructor(
    private readonly reply: FastifyReply,
    private readonly endpoint: Pick<Endpoint, 'streamComment' | 'streamError' | 'heedsStreamsOnly'>,
    private readonly silenceMs: number,
    /** Where the visitor reaches Daypass. */
    readonly origin: string,
  ) {}

  /** @param headSoFar what is known of the call when the head must go out before its answer */
  keepAlive(headSoFar: () => Head): void {
    this.headSoFar = headSoFar;
    if (this.timer !== undefined || this.endpoint.streamComment(SILENT) === null) return;
    this.timer = setTimeout(() => this.onSilence(), this.silenceMs);
    this.reply.raw.once('close', () => this.stop());
  }

  open(head: Head): void {
    if (this.opened) return;
    this.opened = true;
    writeHead(this.reply, 200, { ...head, headers: { ...head.headers, 'content-type': STREAM_TYPE } });
  }

  /** Writes a comment, after the head. */
  comment(text: string): void {
    const comment = this.endpoint.streamComment(text);
    if (comment === null || this.headSoFar === undefined) return;
    if (!this.opened) this.open(this.headSoFar());
    this.write(comment);
  }

  write(part: string | Buffer): void {
    this.timer?.refresh();
    this.inEvent = typeof part !== 'string' && !part.subarray(-2).equals(END_OF_EVENT);
    this.reply.raw.write(part);
  }

  /** @param text the last part of it */
  end(text: string | Buffer): void {
    this.stop();
    this.reply.raw.end(text);
  }

  /** Whether an error must be told in the stream. `again`: as in `fail`. */
  mustTell(status: number, again: boolean): boolean {
    if (this.opened) return true;
    const isStream = this.headSoFar !== undefined;
    return isStream && !again && this.endpoint.heedsStreamsOnly?.(this.facts, status) === true;
  }

  /** @param again whether the same call may succeed later */
  fail(body: ErrorBody, again: boolean): void {
    if (this.inEvent) {
      // Only a broken connection says that the rest of the event will not come.
      this.stop();
      this.reply.raw.destroy();
      return;
    }
    if (!this.opened && this.headSoFar !== undefined) this.open(this.headSoFar());
    this.end(this.endpoint.streamError(withHelp(body, this.origin), this.facts, again));
  }

  /** No comment follows. */
  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.headSoFar = undefined;
  }

  private onSilence(): void {
    // Whoever does not read needs no comment, and comments must not pile up.
    if (this.reply.raw.writableLength === 0 && !this.inEvent) this.comment(SILENT);
    else this.timer?.refresh();
  }
}
