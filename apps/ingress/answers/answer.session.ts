import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Reply, ReplyMeta } from '#libs/contracts/reply.js';
import type { Logger } from '#libs/service/logger.js';
import type { Place } from '#libs/pacing/lane-line.js';
import { insist } from '#libs/redis/insist.js';
import { writeHead } from './answer.head.js';
import type { Visitor } from '../door/authenticator.service.js';
import type { AdmittedCall, CallService } from '../calls/call.service.js';
import type { IngressMetrics } from '../ingress.metrics.js';
import { outcomeUnknown, recovering } from '../refusals.js';
import type { PlaceTeller } from './place.teller.js';
import type { ReplyReader, Told } from './reply.reader.js';

/** A visitor who reads slower than the model writes may leave this much unread before the call is ended. */
const UNREAD_BYTES_MAX = 8_388_608;
/** The deadline is for the lane's queue; the margin is for what comes before it (the verdict) and for the refusal on its way. */
const DEADLINE_MARGIN_MS = 2_000;
/** Beyond the upstream's own time limit: the worker's settling, or the sweeper's. */
const SETTLING_MS = 30_000;
/** An answer that Redis has recorded is on its way; longer than this means that it was lost. */
const ON_ITS_WAY_MS = 5_000;
const RETRY_MS = 1_000;
/** A worker that hears it ends the call at once; one that is dead loses the call's lease within this many seconds. */
const CANCELS_MAX = 40;
/** A Redis that is away for a minute does not make the operator pay for answers that nobody reads. */
const ABANDON_PATIENCE_MS = 90_000;
/** Clients hang up once they have read it, while the stream's end is still on its way. */
const LAST_FRAME = 'data: [DONE]\n\n';
const STREAM_TYPE = 'text/event-stream; charset=utf-8';

export interface SessionParts {
  calls: CallService;
  replies: ReplyReader;
  places: PlaceTeller;
  metrics: IngressMetrics;
  logger: Logger;
  upstreamTimeoutMs: number;
}

/** One visitor waiting for one call: it ends with the answer, an error, or the visitor's leaving, and exactly once. */
export class AnswerSession {
  private readonly begun = performance.now();
  private readonly done = Promise.withResolvers<void>();
  private timer: NodeJS.Timeout | undefined;
  /** A stream is being shown, so that an error can only follow in the stream. */
  private opened = false;
  private ended = false;
  /** Frames of the stream that were shown; the next one has this number. */
  private frames = 0;
  /** All of the stream was shown. */
  private whole = false;

  constructor(
    private readonly parts: SessionParts,
    private readonly call: AdmittedCall,
    private readonly visitor: Visitor,
    private readonly reply: FastifyReply,
  ) {}

  /** Resolves when the visitor has the whole answer, or is gone. @throws DaypassError while nothing was shown */
  async run(): Promise<void> {
    const { raw } = this.reply;
    raw.on('close', this.onClose);
    this.timer = setTimeout(() => void this.onDeadline(), this.call.maxWaitMs + DEADLINE_MARGIN_MS);
    this.parts.replies.listen(this.call.ticket.requestId, (message, told) => this.onReply(message, told));
    if (this.call.ticket.stream) this.parts.places.listen(this.call.ticket, (place) => this.onPlace(place));
    const onLost = (outcome: 'voided' | 'lost'): void =>
      this.fail(outcome === 'voided' ? recovering() : outcomeUnknown());
    this.parts.calls.enqueue(this.call, onLost).catch((error: unknown) => {
      if (this.end('not enqueued')) this.done.reject(error);
    });
    // A visitor who left while the hold was taken has sent its close event already.
    if (raw.destroyed) this.onClose();
    await this.done.promise;
  }

  private onReply(message: Reply, told: Told): void {
    const { raw } = this.reply;
    switch (message.type) {
      case 'answer':
        if (message.status < 400) this.firstShown();
        this.end(message.status < 400 ? 'ok' : String(message.status));
        // Whoever answers does not know that a stream was begun, to tell its place or by a worker that died since.
        if (this.opened) {
          raw.end(message.contentType.startsWith('text/event-stream') ? message.body : `data: ${message.body}\n\n`);
          this.done.resolve();
          break;
        }
        this.writeHead(message.status, { ...message.headers, 'content-type': message.contentType }, message.meta, told);
        raw.end(message.body);
        this.done.resolve();
        break;
      case 'open':
        // Sent again where the writer did not hear that it arrived.
        if (this.opened) break;
        this.opened = true;
        this.writeHead(200, { 'content-type': STREAM_TYPE, 'cache-control': 'no-cache' }, message.meta, told);
        break;
      case 'frames':
        if (message.n < this.frames) break;
        if (message.n > this.frames) {
          this.lose();
          break;
        }
        if (this.frames === 0) this.firstShown();
        this.frames++;
        raw.write(message.text);
        this.whole = message.text.endsWith(LAST_FRAME);
        if (raw.writableLength > UNREAD_BYTES_MAX) raw.destroy();
        break;
      case 'end':
        if (message.frames !== this.frames) {
          this.lose();
          break;
        }
        this.end(message.text === undefined ? 'ok' : 'stream_error');
        raw.end(message.text ?? '');
        this.done.resolve();
        break;
    }
  }

  /** Of a stream; where it is judged as a whole, its first piece is all of it. */
  private firstShown(): void {
    if (this.call.ticket.stream) this.parts.metrics.firstShown((performance.now() - this.begun) / 1_000);
  }

  /** A comment, which clients of event streams pass over. */
  private onPlace({ before, waitMs }: Place): void {
    if (this.ended || this.frames > 0) return;
    if (!this.opened) {
      const { policy, capLowered, capTokens } = this.call.ticket;
      this.opened = true;
      const meta = {
        moderation: { input: policy.input, output: policy.output },
        queueMs: performance.now() - this.begun,
      };
      this.writeHead(
        200,
        { 'content-type': STREAM_TYPE, 'cache-control': 'no-cache' },
        { ...meta, ...(capLowered ? { outputCap: capTokens } : {}) },
        { availableNano: undefined, strikes: 0 },
      );
    }
    this.reply.raw.write(`: queued position=${before + 1} eta_ms=${waitMs}\n\n`);
  }

  private readonly onClose = (): void => {
    if (this.reply.raw.writableFinished || !this.end(this.whole ? 'ok' : 'visitor left')) return;
    if (!this.whole) void this.abandon();
    this.done.resolve();
  };

  /** The wait is over: a call that was not dispatched is refused, one that runs is waited for. */
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
        if (performance.now() - this.begun < this.call.maxWaitMs + this.parts.upstreamTimeoutMs)
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

  /** Part of the stream is missing: better an error than a text with a hole. */
  private lose(): void {
    void this.abandon();
    this.fail(new DaypassError('upstream_outcome_unknown', 'Part of the answer was lost on its way to you.'));
  }

  private fail(error: DaypassError): void {
    if (!this.end(error.code)) return;
    if (!this.opened) {
      this.done.reject(error);
      return;
    }
    this.reply.raw.end(`data: ${JSON.stringify(error.body())}\n\n`);
    this.done.resolve();
  }

  /** False when it had ended before. */
  private end(outcome: string): boolean {
    if (this.ended) return false;
    this.ended = true;
    clearTimeout(this.timer);
    this.reply.raw.off('close', this.onClose);
    const { requestId, keyId, model, stream } = this.call.ticket;
    this.parts.replies.forget(requestId);
    this.parts.places.forget(requestId);
    this.parts.calls.release(this.call.ticket);
    const ms = Math.round(performance.now() - this.begun);
    this.parts.metrics.callEnded(this.visitor.campaign.slug, outcome, ms / 1_000);
    this.parts.logger.info({ requestId, keyId, model, stream, outcome, ms }, 'call');
    return true;
  }

  /**
   * Said until it has come to an end: the upstream may have refused at this very moment, so that the call waits again, and
   * the worker that runs it does not hear what is published while its connection is made anew.
   */
  private async abandon(): Promise<void> {
    const { calls, logger } = this.parts;
    const { ticket } = this.call;
    try {
      for (let said = 0; said < CANCELS_MAX; said++) {
        if ((await insist(() => calls.giveUp(ticket, 'visitor left'), ABANDON_PATIENCE_MS)) !== 'running') return;
        await insist(() => calls.cancelUpstream(ticket.requestId), ABANDON_PATIENCE_MS);
        await sleep(RETRY_MS);
      }
      logger.warn({ requestId: ticket.requestId }, 'an abandoned call runs on');
    } catch (error) {
      // A call that waits loses its lease, which is no longer renewed from here; one that runs is paid for until its end.
      logger.warn({ err: error, requestId: ticket.requestId }, 'an abandoned call could not be given up');
    }
  }

  private writeHead(
    status: number,
    headers: Record<string, string>,
    meta: ReplyMeta,
    { availableNano, strikes }: Told,
  ): void {
    const { hold, ticket } = this.call;
    const { rpm, tpm } = this.visitor.key;
    writeHead(this.reply, status, {
      requestId: ticket.requestId,
      meta,
      availableNano: BigInt(availableNano ?? hold.availableNano),
      use: { rpm, tpm, requests: hold.windowRequests, tokens: hold.windowTokens },
      headers: { ...(strikes > 0 ? { 'x-daypass-strikes': String(strikes) } : {}), ...headers },
    });
  }
}
