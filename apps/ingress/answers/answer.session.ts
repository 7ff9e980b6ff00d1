import type { FastifyReply } from 'fastify';
import { DaypassError, type ErrorBody } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { AnswerOfBytes, FrameOfBytes, ReadReply, Reply, ReplyMeta } from '#libs/contracts/reply.js';
import { endpointLabel, endpointOf } from '#libs/endpoints/registry.js';
import type { Cancelled } from '#libs/holds/call-ender.js';
import type { Logger } from '#libs/service/logger.js';
import type { Place } from '#libs/pacing/lane-line.js';
import { asksAgain, isEventStream, toldBytes, writeHead, type Head } from './answer.head.js';
import type { Visitor } from '../door/authenticator.service.js';
import { clientRequestId } from '../domain/client-headers.js';
import type { AdmittedCall } from '../domain/admitted-call.js';
import type { IngressMetrics } from '../ingress.metrics.js';
import { outcomeUnknown, recovering } from '../refusals.js';
import type { PlaceTeller } from './place.teller.js';
import type { ReplyReader, KeyAtEnd } from './reply.reader.js';
import type { VisitorStream } from './visitor.stream.js';

/** Ingress hangs up on a visitor who leaves more than this unread. */
const UNREAD_BYTES_MAX = 8_388_608;
/** The deadline bounds the wait in the lane. The margin is for the verdict before it, and for a refusal on its way. */
const DEADLINE_MARGIN_MS = 2_000;
/** After the upstream's time limit a worker, or the sweeper, needs this long to end the call. */
const SETTLING_MS = 30_000;
/** Once Redis has ended the call, its answer comes within this time, or is lost. */
const ON_ITS_WAY_MS = 5_000;
const RETRY_MS = 1_000;

/** What a session asks of the service that runs its call. */
export interface Calls {
  enqueue(call: AdmittedCall, onLost: (outcome: 'voided' | 'lost') => void): Promise<void>;
  giveUp(ticket: Ticket, reason: string): Promise<Cancelled>;
  abandon(ticket: Ticket): Promise<void>;
  release(ticket: Ticket): void;
}

export interface SessionParts {
  calls: Calls;
  replies: ReplyReader;
  places: PlaceTeller;
  metrics: IngressMetrics;
  logger: Logger;
  upstreamTimeoutMs: number;
}

/**
 * One visitor who waits for one call. The session ends once: with the answer, with an error, or when the visitor
 * leaves.
 */
export class AnswerSession {
  private readonly startedMs = performance.now();
  private readonly done = Promise.withResolvers<void>();
  private timer: NodeJS.Timeout | undefined;
  private ended = false;
  /** How many frames of the stream the visitor saw; the next one has this number. */
  private frames = 0;
  /** The visitor saw all of the stream. */
  private whole = false;
  /** The bytes of a large whole answer that are still to come; undefined: there is none. */
  private rest: number | undefined;
  /** Bytes come while they are made. Nobody knows how many. */
  private flows = false;

  constructor(
    private readonly parts: SessionParts,
    private readonly call: AdmittedCall,
    private readonly visitor: Visitor,
    private readonly reply: FastifyReply,
    private readonly stream: VisitorStream,
  ) {}

  /**
   * Resolves when the visitor has the whole answer, or is gone.
   * @throws DaypassError while the session has shown nothing
   */
  async run(): Promise<void> {
    const { raw } = this.reply;
    raw.on('close', this.onClose);
    this.timer = setTimeout(() => void this.onDeadline(), this.call.maxWaitMs + DEADLINE_MARGIN_MS);
    this.parts.replies.listen(this.call.ticket.requestId, (message, keyAtEnd) => this.onReply(message, keyAtEnd));
    if (this.call.ticket.stream) {
      this.stream.keepAlive(() => this.headSoFar());
      this.parts.places.listen(this.call.ticket, (place) => this.onPlace(place));
    }
    const onLost = (outcome: 'voided' | 'lost'): void =>
      this.fail(outcome === 'voided' ? recovering() : outcomeUnknown());
    this.parts.calls.enqueue(this.call, onLost).catch((error: unknown) => {
      if (this.end('not enqueued')) this.done.reject(error);
    });
    // The close event of a visitor who left while ingress took the hold has come already.
    if (raw.destroyed) this.onClose();
    await this.done.promise;
  }

  private onReply(message: ReadReply | FrameOfBytes, keyAtEnd: KeyAtEnd): void {
    const { raw } = this.reply;
    switch (message.type) {
      case 'desk':
        return;
      case 'answer':
        // Its worker died in the middle of it.
        if (this.inBytes) {
          this.fail(outcomeUnknown());
          break;
        }
        if (message.status < 400) this.firstShown();
        else this.parts.metrics.refusedLater(message.bytes.toString());
        this.end(message.status < 400 ? 'ok' : String(message.status));
        // Ingress may have opened the stream to show its place, or for a worker that died. Whoever answers does not
        // know it.
        if (
          isEventStream(message.contentType)
            ? this.stream.opened
            : this.stream.mustTell(message.status, asksAgain(message))
        ) {
          this.stream.open(this.headOf(message.meta, keyAtEnd, message.headers));
          if (isEventStream(message.contentType)) this.stream.end(message.bytes);
          else this.stream.fail(JSON.parse(message.bytes.toString()) as ErrorBody, asksAgain(message));
          this.done.resolve();
          break;
        }
        this.showWhole(message, keyAtEnd);
        this.done.resolve();
        break;
      case 'open':
        // The writer repeats it where Redis did not confirm it.
        if (this.inBytes) break;
        if (message.contentType === undefined) this.stream.open(this.headOf(message.meta, keyAtEnd));
        else if (message.bytes === undefined) this.openFlow(message);
        else this.openWhole(message, message.bytes);
        break;
      case 'bytes':
        if (!this.isNext(message.n)) break;
        if (this.rest !== undefined) {
          this.rest -= message.bytes.length;
          raw.write(message.bytes);
        } else if (this.flows) {
          raw.write(message.bytes);
          if (raw.writableLength > UNREAD_BYTES_MAX) raw.destroy();
        } else if (this.call.ticket.stream) {
          this.openLate();
          this.stream.write(message.bytes);
        } else {
          // Its head has the length, and is lost.
          this.lose();
        }
        break;
      case 'frames':
        if (!this.isNext(message.n)) break;
        this.openLate();
        this.stream.write(message.text);
        // Clients hang up after the last frame, while the stream's end is still on its way.
        this.whole = endpointOf(this.call.ticket).isLast(message.text);
        if (raw.writableLength > UNREAD_BYTES_MAX) raw.destroy();
        break;
      case 'end':
        if (message.frames !== this.frames || !this.takeLast(message.last)) {
          this.lose();
          break;
        }
        if (this.flows) {
          this.endFlow(message.whole === true);
          break;
        }
        if (message.whole && this.frames === 0) this.firstShown();
        this.openLate();
        this.end(message.text === undefined || message.whole ? 'ok' : 'stream_error');
        this.stream.end(message.text ?? '');
        this.done.resolve();
        break;
    }
  }

  private showWhole({ status, contentType, headers, bytes, meta }: AnswerOfBytes, keyAtEnd: KeyAtEnd): void {
    const shown = toldBytes(status, bytes, this.stream.origin);
    const more = { ...headers, 'content-type': contentType, 'content-length': String(shown.length) };
    writeHead(this.reply, status, this.headOf(meta, keyAtEnd, more));
    this.reply.raw.end(shown);
  }

  /** Opens a large whole answer, whose head says its length: so a client notices where it breaks off. */
  private openWhole(
    { status = 200, contentType = '', headers, meta }: Extract<Reply, { type: 'open' }>,
    bytes: number,
  ): void {
    this.rest = bytes;
    const { availableNano, amountNano } = this.call.hold;
    // As the books have it in a moment.
    const available = BigInt(availableNano) + BigInt(amountNano) - BigInt(meta.costNano ?? amountNano);
    const atEnd = { availableNano: available.toString(), strikes: 0 };
    if (isEventStream(contentType) || this.stream.opened) {
      this.stream.open(this.headOf(meta, atEnd, headers));
      // A frame may end in the middle of an event, where no comment may stand.
      this.stream.stop();
    } else {
      const more = { ...headers, 'content-type': contentType, 'content-length': String(bytes) };
      writeHead(this.reply, status, this.headOf(meta, atEnd, more));
    }
  }

  /** Opens an answer that comes while it is made. Without a length, its last chunk says that it is whole. */
  private openFlow({ status = 200, contentType = '', headers, meta }: Extract<Reply, { type: 'open' }>): void {
    this.flows = true;
    const more = { ...headers, 'content-type': contentType, 'x-accel-buffering': 'no' };
    writeHead(this.reply, status, this.headOf(meta, { availableNano: undefined, strikes: 0 }, more));
  }

  private endFlow(isWhole: boolean): void {
    this.end(isWhole ? 'ok' : 'stream_error');
    if (isWhole) this.reply.raw.end();
    else this.breakOff();
    this.done.resolve();
  }

  /** What came goes out first: only a connection that ends short says that the rest will not come. */
  private breakOff(): void {
    this.reply.raw.socket?.destroySoon();
  }

  /** A part of a whole answer is out, so that no error can follow. */
  private get inBytes(): boolean {
    return this.flows || this.rest !== undefined;
  }

  /** Redis lost the head of a stream, and nothing of its text. Ingress knows enough for another head. */
  private openLate(): void {
    if (!this.inBytes && !this.stream.opened) this.stream.open(this.headSoFar());
  }

  /** False where a large whole answer is not whole. */
  private takeLast(last = ''): boolean {
    if (this.rest === undefined) return (this.flows || this.call.ticket.stream) && last === '';
    const bytes = Buffer.from(last, 'base64');
    if (bytes.length !== this.rest) return false;
    this.reply.raw.write(bytes);
    return true;
  }

  /** Counts a frame. False for one that came before, or after one that is lost: that ends the session. */
  private isNext(n: number): boolean {
    if (n > this.frames) this.lose();
    if (n !== this.frames) return false;
    if (this.frames++ === 0) this.firstShown();
    return true;
  }

  /** Measures the time to the first frame of a stream, which may hold all of it. */
  private firstShown(): void {
    const { ticket } = this.call;
    if (!ticket.stream && !this.flows) return;
    this.parts.metrics.firstShown(endpointLabel(ticket), (performance.now() - this.startedMs) / 1_000);
  }

  private onPlace({ before, waitMs }: Place): void {
    if (this.ended || this.frames > 0) return;
    this.stream.comment(`queued position=${before + 1} eta_ms=${waitMs}`);
  }

  private readonly onClose = (): void => {
    if (this.reply.raw.writableFinished || !this.end(this.whole ? 'ok' : 'visitor left')) return;
    if (!this.whole) void this.parts.calls.abandon(this.call.ticket);
    this.done.resolve();
  };

  /** Refuses a call that waited too long. A call that runs already may end. */
  private async onDeadline(): Promise<void> {
    const state = await this.parts.calls
      .giveUp(this.call.ticket, 'waited too long')
      .catch(() => 'unreachable' as const);
    if (this.ended) return;
    if (state === 'voided') {
      this.fail(
        new DaypassError(
          'queue_full',
          "No turn came in time: the account's rate limits are in full use, or Daypass has only just recovered. Please retry.",
          {
            retryAfterMs: Math.max(1_000, this.call.maxWaitMs),
          },
        ),
      );
      return;
    }
    const unknown = outcomeUnknown();
    switch (state) {
      case 'lost':
        this.fail(unknown);
        break;
      case 'unreachable':
        if (performance.now() - this.startedMs < this.call.maxWaitMs + this.parts.upstreamTimeoutMs)
          this.timer = setTimeout(() => void this.onDeadline(), RETRY_MS);
        else this.fail(unknown);
        break;
      case 'ended':
        this.timer = setTimeout(() => this.fail(unknown), ON_ITS_WAY_MS);
        break;
      case 'running':
        this.timer = setTimeout(() => this.fail(unknown), this.parts.upstreamTimeoutMs + SETTLING_MS);
    }
  }

  /** Ends a stream that lost a part: an error is better than a text with a hole. */
  private lose(): void {
    void this.parts.calls.abandon(this.call.ticket);
    this.fail(new DaypassError('upstream_outcome_unknown', 'Part of the answer was lost on its way to you.'));
  }

  private fail(error: DaypassError): void {
    if (!this.end(error.code)) return;
    if (!this.inBytes) {
      this.done.reject(error);
      return;
    }
    this.breakOff();
    this.done.resolve();
  }

  /** Returns false where the session had ended before. */
  private end(outcome: string): boolean {
    if (this.ended) return false;
    this.ended = true;
    clearTimeout(this.timer);
    this.reply.raw.off('close', this.onClose);
    const { requestId, keyId, model, stream } = this.call.ticket;
    this.parts.replies.forget(requestId);
    this.parts.places.forget(requestId);
    this.parts.calls.release(this.call.ticket);
    const ms = Math.round(performance.now() - this.startedMs);
    const { slug } = this.visitor.campaign;
    this.parts.metrics.callEnded(endpointLabel(this.call.ticket), slug, outcome, ms / 1_000);
    const called = clientRequestId(this.reply.request.headers);
    this.parts.logger.info({ requestId, ...called, keyId, model, stream, outcome, ms }, 'call');
    return true;
  }

  /** The head of a stream that has no answer yet. */
  private headSoFar(): Head {
    const { policy, capLowered, capTokens } = this.call.ticket;
    return this.headOf(
      {
        moderation: { input: policy.input, output: policy.output },
        queueMs: performance.now() - this.startedMs,
        ...(capLowered ? { outputCap: capTokens } : {}),
      },
      { availableNano: undefined, strikes: 0 },
    );
  }

  private headOf(
    meta: ReplyMeta,
    { availableNano, strikes }: KeyAtEnd,
    headers: Readonly<Record<string, string>> = {},
  ): Head {
    const { hold, ticket } = this.call;
    const { rpm, tpm } = this.visitor.key;
    return {
      requestId: ticket.requestId,
      meta,
      availableNano: BigInt(availableNano ?? hold.availableNano),
      use: { rpm, tpm, requests: hold.windowRequests, tokens: hold.windowTokens },
      adjusted: this.call.adjusted,
      headers: { ...(strikes > 0 ? { 'x-daypass-strikes': String(strikes) } : {}), ...headers },
    };
  }
}
