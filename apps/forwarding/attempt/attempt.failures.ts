import { Inject, Injectable } from '@nestjs/common';
import { errorAnswer, unsent } from '#libs/contracts/answers.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Reply } from '#libs/contracts/reply.js';
import { MisshapenAnswer, UpstreamStreamError, type Body } from '#libs/endpoints/endpoint.js';
import { FILES_GONE, FilesGone } from '#libs/holds/file.store.js';
import { endpointOf } from '#libs/endpoints/registry.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import type { IsTheirs } from '../domain/account-ids.js';
import { metaOf } from '../domain/reply-meta.js';
import { settle, settleCut, settleSeen, type Settlement } from '../domain/settlement.js';
import { reactTo, stoppedStream, type Reaction } from '../domain/upstream-failure.js';
import type { Attempt, StartedCall } from './attempt.js';
import { CallEnds } from './call.ends.js';
import { CallRequeue, type Requeued } from './call.requeue.js';
import { VisitorLeft } from './cancel.listener.js';
import { InputRefused } from './parallel.input.js';
import { causeCode, failureOf, Unsendable } from './upstream.client.js';
import { UpstreamHealth } from './upstream.health.js';

/** Decides what becomes of an attempt that failed. Each decision returns the attempt's outcome in one word. */
@Injectable()
export class AttemptFailures {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly ends: CallEnds,
    private readonly requeue: CallRequeue,
    private readonly health: UpstreamHealth,
    private readonly lanes: LaneTable,
  ) {}

  /**
   * The ledger has no bodies: a Redis that lost everything gets only the hold back. The visitor has to send the call
   * again.
   */
  async bodyLost(call: StartedCall): Promise<void> {
    this.logger.warn({ requestId: call.ticket.requestId }, "a call's body is gone");
    const lost = new DaypassError(
      'recovering',
      'Daypass lost this request before it could be forwarded. Nothing was charged. Please retry.',
    );
    await this.ends.refuse(call, lost, call.queueMs);
  }

  /** Forwarding sent nothing, so the call costs nothing. A body encrypted under another DAYPASS_SECRET ends here. */
  async beforeSending(attempt: Attempt, error: unknown): Promise<string> {
    if (error instanceof InputRefused) return this.inputRefused(attempt, error, { sent: false, worked: false });
    if (error instanceof FilesGone) {
      await this.bodyLost(attempt);
      return 'body_lost';
    }
    if (error instanceof VisitorLeft) {
      await this.ends.void(attempt, 'visitor left', null);
      return 'visitor_left';
    }
    const { requestId } = attempt.ticket;
    this.logger.error({ requestId, err: briefly(error) }, "a call's body could not be read");
    return this.refused(
      attempt,
      new DaypassError('internal_error', 'The request was lost before it could be forwarded. Nothing was charged.'),
    );
  }

  /**
   * Where Daypass hung up, its reason decides. The error only follows from it. `body`: what the visitor sent, which an
   * error may quote.
   */
  async afterSending(attempt: Attempt, error: unknown, body: Body): Promise<string> {
    const reason: unknown = attempt.controller.signal.reason;
    if (reason instanceof VisitorLeft) return this.visitorLeft(attempt);
    if (reason instanceof InputRefused)
      return this.inputRefused(attempt, reason, { sent: true, worked: reactTo(failureOf(error)).kind === 'unknown' });
    // The upstream got a part of a form whose length it knows, so that it waits for the rest, and does nothing.
    if (causeCode(error) === FILES_GONE) {
      await this.bodyLost(attempt);
      return 'body_lost';
    }
    const isTheirs = theirs(body);
    if (error instanceof Unsendable) return this.unsendable(attempt, error);
    if (error instanceof UpstreamStreamError) return this.streamBroken(attempt, error, isTheirs);
    // It failed after it had worked, and told its cost.
    if (error instanceof MisshapenAnswer && attempt.progress.reader?.report.metered)
      return this.streamBroken(attempt, new UpstreamStreamError(error.error ?? {}), isTheirs);
    return this.upstreamFailed(attempt, error, isTheirs);
  }

  private async visitorLeft(attempt: Attempt): Promise<string> {
    const { stream } = attempt.ticket;
    await this.hungUp(attempt, stream ? 'visitor_left' : 'visitor left before the answer', null);
    return stream ? 'visitor_left' : 'visitor_left_presumed';
  }

  /** The visitor sees nothing of the answer. `worked`: the upstream may have done some work, which the visitor pays. */
  private async inputRefused(
    attempt: Attempt,
    { refusal: { verdict, error, strike } }: InputRefused,
    { sent, worked }: { sent: boolean; worked: boolean },
  ): Promise<string> {
    const moderation = { input: verdict, output: 'off' } as const;
    const meta = { ...metaOf(attempt.ticket, attempt.queueMs), moderation };
    const reply = errorAnswer(error, sent ? meta : unsent(meta));
    if (worked) await this.hungUp(attempt, error.code, reply, strike);
    else await this.ends.void(attempt, error.code, reply, strike);
    return error.code;
  }

  /** Nothing was sent: this upstream cannot read a part of the request. Another may, e.g. the one that wrote it. */
  private async unsendable(attempt: Attempt, { error }: Unsendable): Promise<string> {
    const put = this.isReplaceable(attempt) ? await this.requeue.retry(attempt) : 'ended';
    return this.orRefused(attempt, put, error, 'retried');
  }

  /** The upstream stopped in the middle of its answer. */
  private async streamBroken(attempt: Attempt, broken: UpstreamStreamError, isTheirs: IsTheirs): Promise<string> {
    const { error, strike } = stoppedStream(broken.error, isTheirs);
    const settlement = await settlementOf(attempt, { hungUp: false });
    const reply = await errorReply(attempt, error, settlement.costNano > 0n);
    await this.ends.post(attempt, settlement, reply, error.code, { strike });
    return 'stream_error';
  }

  private async upstreamFailed(attempt: Attempt, error: unknown, isTheirs: IsTheirs): Promise<string> {
    const { ticket, dispatched } = attempt;
    const { requestId, lane } = ticket;
    const reaction = reactTo(failureOf(error), isTheirs);
    const failure = { requestId, lane, attempt: dispatched.attempt, reaction: reaction.kind, err: briefly(error) };
    this.logger.warn(failure, 'upstream failed');
    switch (reaction.kind) {
      case 'defer': {
        this.answeredWithLimits(attempt, error);
        const put = await this.requeue.freeze(attempt, reaction.freezeMs);
        return put === 'queued' ? 'deferred' : put;
      }
      case 'pause': {
        this.answeredWithLimits(attempt, error);
        return this.orRefused(attempt, await this.requeue.later(attempt), reaction.error, 'paused');
      }
      case 'too_large': {
        this.answeredWithLimits(attempt, error);
        const put = this.isReplaceable(attempt) ? await this.requeue.retry(attempt) : 'ended';
        return this.orRefused(attempt, put, reaction.error, 'retried');
      }
      case 'retry': {
        const itsOwn = !reaction.unreachable;
        await this.health.failed(attempt, 'failing', { replaceable: this.isReplaceable(attempt), itsOwn });
        return this.orRefused(attempt, await this.requeue.retry(attempt), reaction.error, 'retried');
      }
      case 'account': {
        const replaceable = this.isReplaceable(attempt);
        this.health.accountTrouble(attempt);
        if (reaction.opens) await this.health.failed(attempt, 'account', { replaceable, itsOwn: false });
        // The same account would refuse the call again.
        const put = replaceable ? await this.requeue.retry(attempt) : 'ended';
        return this.orRefused(attempt, put, reaction.error, 'retried');
      }
      case 'refuse':
        return this.refused(attempt, reaction.error);
      case 'pass_on':
        this.health.answered(attempt);
        await this.ends.void(attempt, `upstream ${reaction.status}`, passedOn(attempt, reaction), reaction.strike);
        return `upstream_${reaction.status}`;
      case 'unknown': {
        await this.health.failed(attempt, 'failing', { replaceable: this.isReplaceable(attempt), itsOwn: true });
        const reply = await errorReply(attempt, reaction.error, true);
        const seen = seenOf(attempt);
        if (seen) await this.ends.post(attempt, seen, reply, reaction.error.code);
        else await this.ends.presume(attempt, reaction.error.code, reply);
        return reaction.error.code;
      }
    }
  }

  /** An answer that tells limits, though the upstream did no work. */
  private answeredWithLimits(attempt: Attempt, error: unknown): void {
    this.health.answered(attempt);
    const headers = (error as { headers?: Headers }).headers ?? new Headers();
    // The upstream counts requests that it refuses, too, so that there is nothing to compare.
    this.health.learn(attempt, headers, { requests: 0, tokens: 0, atMs: 0 }, false);
  }

  private async orRefused(attempt: Attempt, put: Requeued, error: DaypassError, queued: string): Promise<string> {
    if (put === 'ended') return this.refused(attempt, error);
    return put === 'queued' ? queued : put;
  }

  private async refused(attempt: Attempt, error: DaypassError): Promise<string> {
    await this.ends.refuse(attempt, error, attempt.queueMs);
    return error.code;
  }

  /**
   * Daypass hung up while the upstream worked. A stream costs what the model generated. How far a whole answer was,
   * nobody knows: its bound is booked until a report corrects it.
   */
  private async hungUp(attempt: Attempt, why: string, reply: Reply | null, strike = false): Promise<void> {
    if (attempt.ticket.stream)
      await this.ends.post(attempt, await settlementOf(attempt, { hungUp: true }), reply, why, { strike });
    else await this.ends.presume(attempt, why, reply, strike);
  }

  private isReplaceable({ ticket }: Attempt): boolean {
    return this.lanes.upstreamsFor(ticket.lane, ticket).length > 1;
  }
}

/** Reads the request only where an error holds something to look for. */
function theirs({ json }: Body): IsTheirs {
  let request: string | undefined;
  return (text) => (request ??= JSON.stringify(json)).includes(text);
}

/** What an answer cost until it broke off. */
async function settlementOf(attempt: Attempt, { hungUp }: { hungUp: boolean }): Promise<Settlement> {
  const { ticket, progress } = attempt;
  // What comes after a hang-up is in no report.
  const reported = hungUp || !progress.reader ? null : settle(ticket, progress.reader.report);
  return reported ?? seenOf(attempt) ?? settleCut(ticket, await progress.cut(ticket, { hungUp }), endpointOf(ticket));
}

/** By what came of it, where its API can tell. null: it cannot, or Daypass hung up, and the upstream may have done more. */
function seenOf({ ticket, progress, controller }: Attempt): Settlement | null {
  const seen = controller.signal.aborted ? null : progress.reader?.cut?.();
  return seen ? settleSeen(ticket, seen) : null;
}

/** An error as a whole answer, or as the end of one that the visitor sees already. `charged`: the visitor pays. */
async function errorReply(
  { ticket, queueMs, progress }: Attempt,
  error: DaypassError,
  charged: boolean,
): Promise<Reply> {
  const { shown } = progress;
  return shown?.opened ? shown.broken(error, charged) : errorAnswer(error, metaOf(ticket, queueMs));
}

/** Passes the upstream's own refusal on to the visitor. */
function passedOn({ ticket, queueMs }: Attempt, { status, body }: Extract<Reaction, { kind: 'pass_on' }>): Reply {
  return {
    type: 'answer',
    status,
    contentType: 'application/json',
    headers: { 'x-should-retry': 'false' },
    body: JSON.stringify(body),
    meta: metaOf(ticket, queueMs),
  };
}

/** An upstream's error may quote the request, so only its kind is logged. */
function briefly(error: unknown): { name: string; status: unknown; code: unknown } {
  const { name, status, code } = (error ?? {}) as { name?: string; status?: unknown; code?: unknown };
  return { name: name ?? typeof error, status, code };
}
