import { Inject, Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import type { Span } from '@opentelemetry/api';
import type { Redis } from 'ioredis';
import type { DaypassConfig } from '#libs/config/config.js';
import { errorAnswer } from '#libs/contracts/answers.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { invalidKey, suspended } from '#libs/contracts/key-refusals.js';
import { largerThanLane, queueFull } from '#libs/contracts/queue-refusals.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { Reply } from '#libs/contracts/reply.js';
import type { Logger } from '#libs/service/logger.js';
import { traced, type SpanOptions } from '#libs/service/tracing.js';
import { Circuits } from '#libs/pacing/circuit.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { CONFIG, LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import type { EndRequest } from '#libs/holds/hold.types.js';
import type { StartAnswer } from '#libs/holds/hold.types.js';
import { redisKeys } from '#libs/redis/keys.js';
import { LeaseKeeper } from '#libs/holds/lease-keeper.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { Progress } from '../answers/answer.progress.js';
import { AnswerRelay, errorFrame, UpstreamStreamError } from '../answers/answer.relay.js';
import { CancelListener, VisitorLeft } from './cancel.listener.js';
import { capped } from '../domain/capped.js';
import { metaOf } from '../domain/reply-meta.js';
import { settleCut } from '../domain/settlement.js';
import { accountTrouble, backoffMs, reactTo, unreachable } from '../domain/upstream-failure.js';
import { ForwardingMetrics } from '../forwarding.metrics.js';
import { InputJudge } from '#libs/moderation/input.judge.js';
import { InputRefused } from './input.refused.js';
import { insist, mended } from '#libs/redis/insist.js';
import { OutputGate } from '../answers/output.gate.js';
import { Settler, type EndingCall } from './settler.service.js';
import { failureOf, UpstreamClient } from './upstream.client.js';

const OVER = { state: 'over' } as const;
/** How often a call is sent at most, when upstreams fail before they did anything. */
const ATTEMPTS_MAX = 3;

/** A call whose dispatch is recorded: it must be run. */
export interface Begun {
  state: 'begun';
  call: EndingCall;
  queueMs: number;
  sealed: Buffer | null;
  controller: AbortController;
  /** What the upstream's window counted, this call included, and when. */
  counted: { requests: number; tokens: number; atMs: number };
}

type Heard = Exclude<StartAnswer, { code: 'recovering' }>;

/** One call: takes its turn, goes upstream once, and is settled whatever happens. */
@Injectable()
export class Forwarder {
  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly holds: HoldStore,
    private readonly leases: LeaseKeeper,
    private readonly box: ContentBox,
    private readonly lanes: LaneTable,
    private readonly line: LaneLine,
    private readonly upstream: UpstreamClient,
    private readonly circuits: Circuits,
    private readonly relay: AnswerRelay,
    private readonly inputs: InputJudge,
    private readonly gate: OutputGate,
    private readonly settler: Settler,
    private readonly cancels: CancelListener,
    private readonly metrics: ForwardingMetrics,
  ) {}

  /** Takes a call's turn. `wait`: the lane has no room yet. `over`: nothing is to be sent for it any more. */
  async begin(ticket: Ticket): Promise<Begun | { state: 'wait'; waitMs: number } | { state: 'over' }> {
    const { requestId } = ticket;
    // From here on the visitor's leaving is heard, so that it cannot fall between the dispatch and the call.
    const controller = this.cancels.track(requestId);
    try {
      const [start, sealed] = await Promise.all([this.start(ticket), this.body(requestId)]);
      if (start.code === 'started') {
        const { attempt, nowMs, upstream, failures, laneRequests: requests, laneTokens: tokens } = start;
        const queueMs = Math.max(0, nowMs - ticket.acceptedMs);
        this.metrics.dispatched(ticket.lane, ticket.campaignId, ticket.pacedTokens, queueMs / 1_000);
        return {
          state: 'begun',
          call: { ticket, attempt, upstream, failures },
          queueMs,
          sealed,
          controller,
          counted: { requests, tokens, atMs: nowMs },
        };
      }
      this.cancels.forget(requestId, controller);
      return await this.notStarted(ticket, start);
    } catch (error) {
      this.cancels.forget(requestId, controller);
      throw error;
    }
  }

  /** Sends it, and sees it to its end. */
  async run(begun: Begun): Promise<void> {
    try {
      const { call, queueMs, sealed } = begun;
      if (sealed) await traced('forward', spanOf(call, queueMs), (span) => this.call(begun, sealed, span));
      else await this.bodyLost(call, queueMs);
    } finally {
      this.cancels.forget(begun.call.ticket.requestId, begun.controller);
    }
  }

  private body(requestId: string): Promise<Buffer | null> {
    return insist(() => this.redis.getBuffer(redisKeys.body(requestId))).catch(() => null);
  }

  /**
   * Repeated when the answer is lost, or while Redis is mended: nothing was sent yet, and the nonce tells the script that it is
   * still the same attempt. Whoever gave up here, or came back under another nonce, would leave a call that is booked and was never sent.
   */
  private async start({ requestId, keyId, campaignId, lane, pacedTokens }: Ticket): Promise<Heard> {
    const call = {
      requestId,
      keyId,
      campaignId,
      lane,
      tokens: pacedTokens,
      upstreams: this.lanes.upstreamsOf(lane),
      nonce: randomUUID(),
    };
    return insist(() => this.holds.start(call).then(mended));
  }

  private async notStarted(
    ticket: Ticket,
    start: Exclude<Heard, { code: 'started' }>,
  ): Promise<{ state: 'wait'; waitMs: number } | { state: 'over' }> {
    const meta = metaOf(ticket, 0);
    const waiting: EndingCall = { ticket, attempt: 0, upstream: '', failures: 0 };
    switch (start.code) {
      // Decided while the call waited: nothing more is sent for this key.
      case 'invalid':
        await this.settler.refuse(waiting, invalidKey(), meta);
        return OVER;
      case 'suspended':
        await this.settler.refuse(waiting, suspended(), meta);
        return OVER;
      case 'wait':
      case 'late':
        if (start.why === 'account') {
          await this.settler.refuse(waiting, accountTrouble(), meta);
          return OVER;
        }
        if (start.code === 'late') {
          await this.settler.refuse(waiting, start.why === 'failing' ? unreachable() : queueFull(start.waitMs), meta);
          return OVER;
        }
        this.metrics.waited(ticket.lane);
        return { state: 'wait', waitMs: start.waitMs };
      case 'too_large':
        await this.settler.refuse(waiting, largerThanLane(), meta);
        return OVER;
      case 'unsent':
        await this.settler.void({ ...waiting, attempt: start.attempt }, 'never sent', null);
        return OVER;
      case 'ended':
        // Voided meanwhile, or another worker's: a dispatched call is never sent a second time.
        this.logger.info(
          { requestId: ticket.requestId, state: start.state },
          'call not forwarded: its hold is not waiting',
        );
        return OVER;
    }
  }

  private async call({ call, queueMs, controller, counted }: Begun, sealed: Buffer, span: Span): Promise<void> {
    const { ticket, attempt, upstream } = call;
    const { requestId, keyId, campaignId, lane, replyTo, day } = ticket;
    const progress = new Progress();
    const begun = performance.now();
    const timer = setTimeout(
      () => controller.abort(new Error('the upstream took too long')),
      this.config.limits.upstreamTimeoutMs,
    );
    this.leases.keepRunning({
      requestId,
      keyId,
      campaignId,
      lane,
      replyTo,
      day,
      attempt,
      amountNano: BigInt(ticket.heldNano),
    });
    this.metrics.running.inc();
    let outcome = 'ok';
    let response: Response | null = null;
    let sent = false;
    try {
      const asked = capped(JSON.parse(this.box.open(sealed, requestId)) as Record<string, unknown>, ticket.capTokens);
      const parallel = ticket.policy.input === 'parallel';
      const ready = parallel ? await this.prepare(ticket, asked) : { ticket, body: asked };
      // Who left until here left before anything was sent.
      controller.signal.throwIfAborted();
      sent = true;
      const admitted = parallel ? this.admit(ready.ticket, ready.body) : Promise.resolve(ticket);
      // Told at once, while the upstream may be silent.
      admitted.catch((error: unknown) => controller.abort(error));
      response = await traced('upstream', { kind: 'client' }, () =>
        this.upstream.open(upstream, ready.body, controller.signal),
      );
      this.learn(lane, upstream, response.headers, counted);
      this.well(call);
      const judged = await admitted;
      const answered = await (ticket.stream
        ? this.relay.stream(judged, response, queueMs, progress, controller)
        : this.relay.whole(judged, response, queueMs));
      outcome = answered.outcome;
      await this.settler.post(call, answered.settlement, answered.reply, outcome, answered);
      if (answered.observed.length > 0) await this.gate.observe(ticket, answered.observed);
    } catch (error) {
      // What is left of a failed answer must not hold the socket.
      void response?.body?.cancel().catch(() => undefined);
      if (!sent) outcome = await this.notSent(call, queueMs, error);
      else if (controller.signal.reason instanceof VisitorLeft) outcome = await this.visitorLeft(call, progress);
      else if (controller.signal.reason instanceof InputRefused)
        outcome = await this.inputRefused(call, queueMs, progress, controller.signal.reason, error);
      else outcome = await this.failed(call, queueMs, progress, controller, error);
    } finally {
      clearTimeout(timer);
      this.leases.release(requestId);
      this.metrics.running.dec();
      this.metrics.ended(lane, outcome, (performance.now() - begun) / 1000);
      span.setAttribute('daypass.outcome', outcome);
      this.logger.info(
        { requestId, keyId, lane, model: ticket.model, attempt, outcome, ms: Math.round(performance.now() - begun) },
        'upstream call',
      );
    }
  }

  /** Never in the way of the call. */
  private learn(lane: string, upstream: string, headers: Headers, counted: Begun['counted']): void {
    this.line
      .learn(lane, upstream, headers, counted)
      .catch((error: unknown) => this.logger.warn({ err: error, lane }, "an upstream's limits were not taken over"));
  }

  /** It answers, whatever it says. */
  private well({ upstream, failures }: EndingCall): void {
    if (failures === 0) return;
    this.circuits
      .well(upstream)
      .catch((error: unknown) => this.logger.warn({ err: error, upstream }, 'a circuit was not closed'));
  }

  /** Bodies are not in the ledger, so that a Redis which lost everything comes back with the hold alone: the visitor sends it once more. */
  private async bodyLost(call: EndingCall, queueMs: number): Promise<void> {
    this.logger.warn({ requestId: call.ticket.requestId }, "a call's body is gone");
    const lost = new DaypassError(
      'recovering',
      'Daypass lost this request before it could be forwarded. Nothing was charged. Please retry.',
    );
    await this.settler.refuse(call, lost, metaOf(call.ticket, queueMs));
  }

  /** What costs no time comes before the call (`parallel`). @throws InputRefused */
  private async prepare(
    ticket: Ticket,
    body: Record<string, unknown>,
  ): Promise<{ ticket: Ticket; body: Record<string, unknown> }> {
    const judged = await this.inputs.judge(ticket, body, { stage: 'local' });
    if (judged.body === null) throw new InputRefused(judged.decision);
    return { ticket: { ...ticket, inputVerdict: judged.decision.word }, body: judged.body };
  }

  /** The other guards look while the upstream reads (`parallel`). Returns the call as it goes on. @throws InputRefused */
  private async admit(ticket: Ticket, body: Record<string, unknown>): Promise<Ticket> {
    const { decision } = await this.inputs.judge(ticket, body, { stage: 'remote', forwarded: true });
    if (!decision.pass) throw new InputRefused(decision);
    return decision.word === 'pass' ? ticket : { ...ticket, inputVerdict: decision.word };
  }

  private notSent(call: EndingCall, queueMs: number, error: unknown): Promise<string> {
    if (error instanceof VisitorLeft) return this.neverSent(call);
    return error instanceof InputRefused
      ? this.inputRefused(call, queueMs, null, error, null)
      : this.unreadable(call, queueMs, error);
  }

  /** Nothing was sent, so nothing is owed. A body sealed under another DAYPASS_SECRET ends here. */
  private async unreadable(call: EndingCall, queueMs: number, error: unknown): Promise<string> {
    const { ticket } = call;
    this.logger.error({ requestId: ticket.requestId, err: briefly(error) }, "a call's body could not be read");
    const lost = new DaypassError(
      'internal_error',
      'The request was lost before it could be forwarded. Nothing was charged.',
    );
    await this.settler.refuse(call, lost, metaOf(ticket, queueMs));
    return lost.code;
  }

  private async neverSent(call: EndingCall): Promise<string> {
    await this.settler.void(call, 'visitor left', null);
    return 'visitor_left';
  }

  /** A stream is billed for what was generated; of a whole answer nobody knows how far it was, so its bound is booked until a report corrects it. */
  private async visitorLeft(call: EndingCall, progress: Progress): Promise<string> {
    const { ticket } = call;
    if (!ticket.stream) {
      await this.settler.presume(call, 'visitor left before the answer', null);
      return 'visitor_left_presumed';
    }
    await this.settler.post(call, settleCut(ticket, await progress.cut({ hungUp: true })), null, 'visitor_left');
    return 'visitor_left';
  }

  /**
   * The input was refused while the call ran: nothing is shown, and what was generated until then is booked as well as anybody
   * knows. `progress` null: it was not sent yet.
   */
  private async inputRefused(
    call: EndingCall,
    queueMs: number,
    progress: Progress | null,
    { refusal }: InputRefused,
    error: unknown,
  ): Promise<string> {
    const { ticket } = call;
    const meta = {
      ...metaOf(ticket, queueMs),
      moderation: { input: refusal.word === 'blocked' ? 'blocked' : 'unchecked', output: 'off' },
    } as const;
    const reply = errorAnswer(refusal.error, meta);
    const strike = refusal.strike ? strikeOf(ticket) : undefined;
    const { code } = refusal.error;
    if (!progress || reactTo(failureOf(error)).kind !== 'unknown') await this.settler.void(call, code, reply, strike);
    else if (ticket.stream)
      await this.settler.post(
        call,
        settleCut(ticket, await progress.cut({ hungUp: true })),
        reply,
        code,
        strike ? { strike } : {},
      );
    else await this.settler.presume(call, code, reply, strike);
    return code;
  }

  private async failed(
    call: EndingCall,
    queueMs: number,
    progress: Progress,
    controller: AbortController,
    error: unknown,
  ): Promise<string> {
    const { ticket, attempt } = call;
    const { requestId, lane } = ticket;
    if (error instanceof UpstreamStreamError) {
      const settlement = settleCut(ticket, await progress.cut({ hungUp: false }));
      const strike = error.safety ? strikeOf(ticket) : undefined;
      await this.settler.post(
        call,
        settlement,
        await this.errorReply(error, ticket, queueMs, progress),
        error.code,
        strike ? { strike } : {},
      );
      return 'stream_error';
    }
    const reaction = reactTo(failureOf(error));
    this.logger.warn({ requestId, lane, attempt, reaction: reaction.kind, err: briefly(error) }, 'upstream failed');
    switch (reaction.kind) {
      case 'defer':
        this.well(call);
        // What it counted includes what it refused.
        this.learn(lane, call.upstream, (error as { headers?: Headers }).headers ?? new Headers(), {
          requests: 0,
          tokens: 0,
          atMs: 0,
        });
        if (!(await this.defer(call, reaction.freezeMs))) return 'ended';
        return (await this.leftMeanwhile(call, controller)) ? 'visitor_left' : 'deferred';
      case 'retry':
      case 'account':
        await this.troubled(call, reaction.kind);
        if (await this.retry(call, reaction.kind))
          return (await this.leftMeanwhile(call, controller)) ? 'visitor_left' : 'retried';
        await this.settler.refuse(call, reaction.error, metaOf(ticket, queueMs));
        return reaction.error.code;
      case 'refuse':
        await this.settler.refuse(call, reaction.error, metaOf(ticket, queueMs));
        return reaction.error.code;
      case 'pass_on': {
        this.well(call);
        const reply: Reply = {
          type: 'answer',
          status: reaction.status,
          contentType: 'application/json',
          headers: { 'x-should-retry': 'false' },
          body: JSON.stringify(reaction.body),
          meta: metaOf(ticket, queueMs),
        };
        await this.settler.void(
          call,
          `upstream ${reaction.status}`,
          reply,
          reaction.strike ? strikeOf(ticket) : undefined,
        );
        return `upstream_${reaction.status}`;
      }
      case 'unknown':
        await this.troubled(call, 'retry');
        await this.settler.presume(
          call,
          reaction.error.code,
          await this.errorReply(reaction.error, ticket, queueMs, progress),
        );
        return reaction.error.code;
    }
  }

  /** A visitor who left while the upstream refused must not be sent again. */
  private async leftMeanwhile(call: EndingCall, { signal }: AbortController): Promise<boolean> {
    if (signal.aborted) await this.settler.void(call, 'visitor left', null);
    return signal.aborted;
  }

  /** Into its circuit; the account's own trouble is the operator's alarm. */
  private async troubled({ ticket, upstream }: EndingCall, trouble: 'retry' | 'account'): Promise<void> {
    const replaceable = this.lanes.upstreamsOf(ticket.lane).length > 1;
    if (trouble === 'account') {
      this.metrics.accountTrouble(upstream);
      this.logger.error(
        { requestId: ticket.requestId, upstream },
        'the upstream refuses the account: check its key, its money and its rights',
      );
    }
    try {
      const openMs = await this.circuits.failed(upstream, trouble === 'account' ? 'account' : 'failing', replaceable);
      if (openMs > 0) this.logger.error({ upstream, openMs }, 'the upstream is left alone for a while');
    } catch (error) {
      this.logger.warn({ err: error, upstream }, 'a failure was not counted');
    }
  }

  /** Back to its turn, where there is time for another try, at this upstream or at the next; false: it is over. */
  private async retry(call: EndingCall, trouble: 'retry' | 'account'): Promise<boolean> {
    const { ticket, attempt } = call;
    // The same account would say the same again.
    if (trouble === 'account' && this.lanes.upstreamsOf(ticket.lane).length === 1) return false;
    const pauseMs = backoffMs(attempt, Math.random());
    if (attempt >= ATTEMPTS_MAX || Date.now() + pauseMs >= ticket.acceptedMs + ticket.patienceMs) return false;
    return this.defer(call, pauseMs);
  }

  private defer({ ticket, attempt, upstream }: EndingCall, freezeMs: number): Promise<boolean> {
    const { slot } = this.lanes.upstreamOf(ticket.lane, upstream);
    return insist(() =>
      this.holds.defer({ requestId: ticket.requestId, lane: ticket.lane, slot, attempt, freezeMs }).then(mended),
    );
  }

  /** An error as a whole answer, or as the last frame of a stream that was begun. */
  private async errorReply(error: DaypassError, ticket: Ticket, queueMs: number, progress: Progress): Promise<Reply> {
    if (!progress.writer) return errorAnswer(error, metaOf(ticket, queueMs));
    // Frames that are still on their way come first; an end that knows their number tells whether they came.
    await progress.writer.flush().catch(() => undefined);
    return progress.writer.ending(errorFrame(error));
  }
}

function spanOf({ ticket, attempt, upstream }: EndingCall, queueMs: number): SpanOptions {
  const { requestId, lane, model, trace } = ticket;
  const attributes = {
    'daypass.request_id': requestId,
    'daypass.lane': lane,
    'daypass.upstream': upstream,
    'daypass.attempt': attempt,
    'daypass.queue_ms': queueMs,
  };
  return { parent: trace, attributes: { ...attributes, 'gen_ai.request.model': model } };
}

function strikeOf({ policy }: Ticket): NonNullable<EndRequest['strike']> {
  return policy.strikes ?? true;
}

/** An upstream's error may quote the request, so only its kind is logged. */
function briefly(error: unknown): { name: string; status: unknown; code: unknown } {
  const { name, status, code } = (error ?? {}) as { name?: string; status?: unknown; code?: unknown };
  return { name: name ?? typeof error, status, code };
}
