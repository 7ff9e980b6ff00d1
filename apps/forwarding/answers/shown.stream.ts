import { KEPT_ANSWER_BYTES_MAX } from '#libs/contracts/answers.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket, VerdictWord } from '#libs/contracts/jobs.js';
import type { Reply } from '#libs/contracts/reply.js';
import type { Metered } from '#libs/money/cost.js';
import type { AnswerReader, Endpoint, Ending } from '#libs/endpoints/endpoint.js';
import type { ShelfStore } from '#libs/shelf/shelf.store.js';
import { metaOf } from '../domain/reply-meta.js';
import type { Settlement } from '../domain/settlement.js';
import { cutAt } from '#libs/endpoints/text.js';
import { unjudgedWord, wholeReply, type Answered } from './answered.js';
import { FRAME_BYTES, LAST_BYTES } from './frame.flow.js';
import type { ReplyChannel } from '#libs/holds/reply.channel.js';
import { ReplyWriter } from './reply.writer.js';

export const STREAM_TYPE = 'text/event-stream; charset=utf-8';

interface ShownCall {
  ticket: Ticket;
  queueMs: number;
}

/**
 * What the visitor gets of a stream, in its order. The last frame goes out with the reply that ends the call: by then the
 * shelf has the answer, so that whoever sees its end can name it.
 */
export class ShownStream {
  private readonly writer: ReplyWriter;
  /** What went out already, for a repeat under the call's idempotency key; null: nobody keeps it. */
  private sent: string[] | null;
  private sentCharacters = 0;
  /** What goes out with the end. */
  private readonly rest: string[] = [];
  private timer: NodeJS.Timeout | undefined;
  private isOpen = false;
  /** The visitor saw a frame. */
  private begun = false;
  /** Only the end may follow. */
  private isOver = false;
  /** An error ends it: what guards let go from now on is not shown, and has no number. */
  private isBroken = false;

  /** `direct`: frames go out as they come. Otherwise all go out with the end, but those that `send` is given. */
  constructor(
    private readonly call: ShownCall,
    private readonly endpoint: Pick<Endpoint, 'isLast'>,
    private readonly reader: AnswerReader,
    channel: ReplyChannel,
    private readonly direct: boolean,
  ) {
    this.writer = new ReplyWriter(channel, call.ticket);
    this.sent = call.ticket.keepAnswer ? [] : null;
  }

  /** Opens the stream; an error can then only follow in it. Frames wait for it. @throws as `flush` */
  open(): Promise<void> {
    this.isOpen = true;
    const { ticket, queueMs } = this.call;
    return this.writer.open({ type: 'open', meta: metaOf(ticket, queueMs, unjudgedWord(ticket)) });
  }

  get opened(): boolean {
    return this.isOpen;
  }

  /** Calls back each time when nothing went out for so long, until the end, or until a frame could not be written. */
  whenSilent(ms: number, onSilence: () => void): void {
    this.timer = setTimeout(() => {
      if (this.writer.failed) return;
      onSilence();
      this.timer?.refresh();
    }, ms);
  }

  /** @throws when an earlier frame could not be written: the visitor sees no more */
  show(frame: string): void {
    if (this.isBroken) return;
    const text = this.reader.show?.(frame) ?? frame;
    if (this.endpoint.isLast(text)) this.stop();
    if (this.direct && !this.isOver) this.write(text);
    else this.rest.push(text);
  }

  /** Shows a frame at once, whatever goes out with the end. */
  send(frame: string): void {
    this.write(this.reader.show?.(frame) ?? frame);
  }

  /** A sign of life, where the API has one and something was shown. */
  beat(): void {
    const text = this.reader.beat?.();
    if (text) this.write(text);
  }

  /** Ends the stream in the place of what does not go out any more. */
  end(why: Ending, metered: Metered | null): void {
    this.stop();
    this.rest.push(this.reader.ending(why, this.begun, metered));
  }

  /** No sign of life follows. What guards let go still goes out: an error waits for it. */
  quiet(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  /** Only the end may follow. */
  stop(): void {
    this.isOver = true;
    this.quiet();
  }

  /** So much waits that whoever reads the upstream should wait (`flushed`). */
  get isBehind(): boolean {
    return this.writer.isBehind;
  }

  /** Resolves when all that was to go out at once is written; false where a part of it was lost. */
  async flushed(): Promise<boolean> {
    return this.writer.flush().then(
      () => true,
      () => false,
    );
  }

  /** The reply that ends a stream of which a part did not reach its visitor. */
  lost(): Promise<Reply> {
    const error = new DaypassError(
      'upstream_outcome_unknown',
      'The rest of the answer was lost on its way to you. It was charged.',
    );
    return this.broken(error, true);
  }

  /**
   * Sends a large end but for its last bytes: the script that ends the call does not carry it. false: a part of it was lost.
   */
  async sendAhead(): Promise<boolean> {
    const rest = this.rest.join('');
    if (!this.isOpen || rest.length <= FRAME_BYTES) return true;
    const end = cutAt(rest, rest.length - LAST_BYTES);
    this.rest.splice(0, this.rest.length, rest.slice(end));
    this.write(rest.slice(0, end));
    return this.flushed();
  }

  /** Keeps the answer for later calls of the key. Where nobody can, its last frame says so. */
  async shelve(shelf: Pick<ShelfStore, 'put'>): Promise<void> {
    const record = this.reader.shelved?.();
    if (!record || (await shelf.put(this.call.ticket, record)) === 'stored') return;
    const last = this.rest.pop();
    if (last !== undefined) this.rest.push(this.reader.unshelved?.(last) ?? last);
  }

  /** The reply that ends the call, and the whole stream for a repeat. `word`: the verdict on it. */
  reply(settlement: Settlement, word: VerdictWord): Pick<Answered, 'reply' | 'kept'> {
    const rest = this.rest.join('');
    const whole = (body: string): Reply => wholeReply(this.call, settlement, { contentType: STREAM_TYPE, body }, word);
    if (!this.isOpen) return { reply: whole(rest) };
    const reply: Reply = { ...this.writer.lastReply(rest), ...(word === 'blocked' ? {} : { whole: true }) };
    return this.sent ? { reply, kept: whole(`${this.sent.join('')}${rest}`) } : { reply };
  }

  /** The reply that ends an open stream with an error. `charged`: the visitor pays for the call. */
  async broken(error: DaypassError, charged: boolean, metered: Metered | null = null): Promise<Reply> {
    this.isBroken = true;
    this.stop();
    // The last frames go out first. The end names their number, so that ingress notices a lost one.
    await this.flushed();
    return this.writer.lastReply(this.reader.ending({ kind: 'error', error, charged }, this.begun, metered));
  }

  private write(text: string): void {
    this.begun = true;
    this.timer?.refresh();
    this.writer.frames(text);
    this.sentCharacters += text.length;
    if (this.sentCharacters > KEPT_ANSWER_BYTES_MAX) this.sent = null;
    this.sent?.push(text);
  }
}
