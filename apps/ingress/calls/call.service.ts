import { Inject, Injectable } from '@nestjs/common';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { effectivePolicy, type CallPolicy } from '#libs/contracts/policy.js';
import { refusalAtLane } from '#libs/contracts/queue-refusals.js';
import { replySchema, type Reply } from '#libs/contracts/reply.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import type { HoldAnswer, HoldRequest } from '#libs/holds/hold.types.js';
import { redisKeys } from '#libs/redis/keys.js';
import { LeaseKeeper } from '#libs/holds/lease-keeper.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { safetyIdentifier } from '#libs/secrets/safety-identifier.js';
import type { Visitor } from '../door/authenticator.service.js';
import { BudgetLine, type Place } from './budget.line.js';
import { CallQueues } from './call.queues.js';
import { CallQuoter, type Quote } from './call.quoter.js';
import type { ChatRequest } from '../domain/chat-request.js';
import type { Idempotency } from '../domain/idempotency.js';
import { hungUp, overloaded, recovering, refusalOf, unkeptAnswer } from '../refusals.js';
import { ReplyReader } from '../answers/reply.reader.js';

/** What a visitor asks for, with what of it is not in the body. */
export interface Wanted {
  requestId: string;
  chat: ChatRequest;
  wish: ChatRequest['wish'];
  /** How long the call may wait for its turn, and for running calls to give money back. */
  maxWaitMs: number;
  idempotency: Idempotency | undefined;
  /** W3C's traceparent, where calls are traced. */
  trace: string | undefined;
  /** Aborts when the visitor hangs up. */
  left: AbortSignal;
}

/** A call whose hold is taken. */
export interface AdmittedCall {
  ticket: Ticket;
  hold: Extract<HoldAnswer, { code: 'ok' }>;
  /** What is left of the wait. */
  maxWaitMs: number;
}

/** The first answer to a call that is repeated under its idempotency key. */
export interface KeptAnswer {
  requestId: string;
  reply: Extract<Reply, { type: 'answer' }>;
}

/** `voided`: it was never sent and cost nothing. `lost`: nobody knows. */
type LostListener = (outcome: 'voided' | 'lost') => void;

const TAKE_PATIENCE_MS = 6_000;
const TAKE_PAUSE_MS = 150;
/** One key may have a quarter of all calls wait for its money. */
const KEY_SHARE = 4;

/** Holds what a call can cost, and sends it on its way; gives it up when nobody waits any more. */
@Injectable()
export class CallService {
  /** Calls admitted or being admitted; each is let go by `release`, or by a refusal. */
  private open = 0;
  private readonly line: BudgetLine;
  /** Who waits for which call, to be told when Redis lost it. */
  private readonly waiting = new Map<string, { ticket: Ticket; onLost: LostListener }>();

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly quoter: CallQuoter,
    private readonly holds: HoldStore,
    private readonly leases: LeaseKeeper,
    private readonly box: ContentBox,
    private readonly queues: CallQueues,
    private readonly replies: ReplyReader,
  ) {
    this.line = new BudgetLine(Math.ceil(config.limits.calls / KEY_SHARE));
    leases.whenReopened(() => void this.findLost());
  }

  /** @throws DaypassError with everything that can be wrong before a queue sees the call */
  async admit(visitor: Visitor, wanted: Wanted): Promise<AdmittedCall | KeptAnswer> {
    if (this.open >= this.config.limits.calls) throw overloaded();
    this.open++;
    try {
      const admitted = await this.hold(visitor, wanted);
      if ('reply' in admitted) this.open--;
      return admitted;
    } catch (error) {
      this.open--;
      throw error;
    }
  }

  private async hold(visitor: Visitor, wanted: Wanted): Promise<AdmittedCall | KeptAnswer> {
    const { key, campaign } = visitor;
    const { requestId, chat, idempotency } = wanted;
    const quote = await this.quoter.quote(visitor, chat);
    const untilMs = performance.now() + wanted.maxWaitMs;
    const policy = effectivePolicy(campaign.policy, key.policy, wanted.wish, chat.stream);
    const hold = await this.take(visitor, wanted, { ...quote, policy }, untilMs).catch((error: unknown) => {
      this.forgetBody(requestId);
      throw error;
    });
    if (hold.code !== 'ok') {
      this.forgetBody(requestId);
      if (hold.code === 'answered') return this.kept(key.id, idempotency!.nameHash, hold.requestId);
      throw refusalOf(hold);
    }
    // Only while the call waits: once dispatched, the worker answers for it, and its death must show.
    this.leases.keepWaiting(requestId);
    return {
      hold,
      maxWaitMs: Math.max(0, untilMs - performance.now()),
      ticket: {
        requestId,
        keyId: key.id,
        campaignId: campaign.id,
        replyTo: this.replies.processId,
        model: chat.model,
        lane: quote.lane,
        stream: chat.stream,
        includeUsage: chat.includeUsage,
        choices: chat.choices,
        inputTokens: quote.bound.inputTokens,
        pacedTokens: quote.pacedInputTokens + hold.capTokens * chat.choices,
        weight: campaign.weight,
        patienceMs: Math.max(0, Math.round(untilMs - performance.now())),
        capTokens: hold.capTokens,
        capLowered: hold.capTokens < quote.capTokens,
        price: quote.price,
        feeNano: quote.bound.feeNano.toString(),
        tierPercent: quote.bound.tierPercent,
        heldNano: hold.amountNano.toString(),
        day: hold.day,
        keepAnswer: idempotency !== undefined,
        policy,
        inputVerdict: policy.input === 'gate' ? 'pass' : policy.input,
        acceptedMs: hold.nowMs,
        ...(wanted.trace === undefined ? {} : { trace: wanted.trace }),
      },
    };
  }

  /**
   * Takes the hold. Where running calls hold what is missing, it waits for them within the call's deadline. At the end of its
   * wait it lowers the output cap to what the free budget covers.
   */
  private async take(
    visitor: Visitor,
    wanted: Wanted,
    quote: Quote & { policy: CallPolicy },
    untilMs: number,
  ): Promise<HoldAnswer> {
    const { requestId, chat, idempotency } = wanted;
    const accounts = { key: visitor.key.id, campaign: visitor.campaign.id, operator: 'operator' };
    const body = this.box.seal(JSON.stringify(this.forwardedBody(chat, visitor.key.id)), requestId);
    const bodyLifeMs = 2 * wanted.maxWaitMs + this.config.limits.upstreamTimeoutMs;
    let stored = false;
    const store = async (): Promise<void> => {
      if (!stored) await this.redis.set(redisKeys.body(requestId), body, 'PX', bodyLifeMs);
      stored = true;
    };
    const needNano = quote.bound.fixedNano + quote.bound.perTokenNano * BigInt(quote.capTokens);
    let place: Place | undefined;
    try {
      for (let patient = wanted.maxWaitMs > 0; ; patient = place !== undefined && performance.now() < untilMs) {
        const request: HoldRequest = {
          requestId,
          keyId: visitor.key.id,
          campaignId: visitor.campaign.id,
          fixedNano: quote.bound.fixedNano,
          perTokenNano: quote.bound.perTokenNano,
          capTokens: quote.capTokens,
          leastCapTokens: quote.leastCapTokens,
          inputTokens: quote.bound.inputTokens,
          choices: chat.choices,
          maxWaitMs: Math.max(0, Math.round(untilMs - performance.now())),
          detail: JSON.stringify({
            model: chat.model,
            stream: chat.stream,
            input_tokens: quote.bound.inputTokens,
            rates: quote.bound.rates,
            fee: quote.bound.feeNano.toString(),
          }),
          lane: quote.lane,
          replyTo: this.replies.processId,
          idempotency,
          recorded: {
            kind: 'request',
            id: requestId,
            key: visitor.key.id,
            campaign: visitor.campaign.id,
            model: chat.model,
            stream: chat.stream,
            policy: quote.policy,
          },
        };
        const hold = await this.takeOnce(request, patient, store).catch((error: unknown) => {
          this.logger.warn({ err: error, requestId }, 'the hold could not be taken');
          throw recovering();
        });
        if (hold.code !== 'busy') return hold;
        place ??= this.line.enter(visitor.key.id, needNano);
        if (place !== undefined) await this.line.wait(accounts[hold.level], place, untilMs, wanted.left);
        if (wanted.left.aborted) throw hungUp();
      }
    } finally {
      if (place !== undefined) this.line.leave(place, Object.values(accounts));
    }
  }

  /** Asked again where the answer was lost: the same request id gets the same hold. */
  private async takeOnce(request: HoldRequest, patient: boolean, store: () => Promise<void>): Promise<HoldAnswer> {
    const { budget_usd_per_day: operatorDayNano, budget_usd_total: operatorTotalNano } = this.config.file.operator;
    const { journalEntries, auditBytes } = this.config.limits;
    const bounds = { journalEntries, auditBytes, operatorDayNano, operatorTotalNano, patient };
    const begun = performance.now();
    for (let attempt = 1; ; attempt++) {
      try {
        // Both commands travel together, the body first, because the record takes it from there; that of a refused call is taken back.
        const [, hold] = await Promise.all([store(), this.holds.take(request, bounds)]);
        return hold;
      } catch (error) {
        // Redis answered, and took nothing.
        if (isOutOfMemory(error)) return { code: 'overloaded' };
        if (performance.now() - begun > TAKE_PATIENCE_MS) throw error;
        await sleep(TAKE_PAUSE_MS * attempt);
      }
    }
  }

  /** The body of a call that was not admitted is of no use to anybody. */
  private forgetBody(requestId: string): void {
    void this.redis.del(redisKeys.body(requestId)).catch(() => undefined);
  }

  private async kept(keyId: string, nameHash: string, requestId: string): Promise<KeptAnswer> {
    const sealed = await this.holds.keptAnswer(keyId, nameHash).catch(() => {
      throw recovering();
    });
    if (!sealed) throw unkeptAnswer();
    const reply = replySchema.parse(JSON.parse(this.box.open(sealed, requestId)));
    if (reply.type !== 'answer') throw unkeptAnswer();
    return { requestId, reply };
  }

  /** Hands the call to the first queue on its way. @throws DaypassError `recovering` or `queue_full` after giving the hold back */
  async enqueue({ ticket }: AdmittedCall, onLost: LostListener): Promise<void> {
    this.waiting.set(ticket.requestId, { ticket, onLost });
    try {
      const refusal = refusalAtLane(await this.queues.enqueue(ticket), ticket.patienceMs);
      if (refusal) throw refusal;
    } catch (error) {
      if (error instanceof DaypassError) {
        await this.giveUp(ticket, error.code).catch(() => undefined);
        throw error;
      }
      this.logger.warn({ err: error, requestId: ticket.requestId }, 'the call could not be enqueued');
      // Where Redis does not take this either, the lease ends the hold.
      await this.giveUp(ticket, 'not enqueued').catch(() => undefined);
      throw recovering();
    }
  }

  /**
   * Ends a call that nobody waits for: a waiting one gives its hold back at once (`voided`), a dispatched one is
   * cancelled upstream and settled by the worker that runs it (`running`). `ended`: the answer is on its way. `lost`: Redis
   * does not know the call any more. @throws while Redis recovers
   */
  async giveUp(ticket: Ticket, reason: string): Promise<'voided' | 'running' | 'ended' | 'lost'> {
    const { requestId, keyId, campaignId, lane, replyTo } = ticket;
    const { outcome } = await this.holds.end({
      requestId,
      keyId,
      campaignId,
      lane,
      replyTo,
      transition: 'cancel',
      detail: { reason },
    });
    switch (outcome) {
      case 'recovering':
        throw recovering();
      case 'applied':
        return 'voided';
      case 'missing':
        return 'lost';
      default:
        return outcome === 'running' ? 'running' : 'ended';
    }
  }

  async cancelUpstream(requestId: string): Promise<void> {
    await this.redis.publish(redisKeys.cancelChannel, requestId);
  }

  /** After Redis lost something its queues may have, too: calls that no worker claimed are not waited for any longer. */
  private async findLost(): Promise<void> {
    for (const [requestId, { ticket, onLost }] of [...this.waiting]) {
      try {
        const { state, restored } = await this.holds.look(requestId);
        if (state === null) onLost('lost');
        else if (state === 'held' && restored && (await this.giveUp(ticket, 'queue lost')) === 'voided')
          onLost('voided');
      } catch (error) {
        this.logger.warn({ err: error, requestId }, 'a call could not be looked for; its deadline ends it');
      }
    }
  }

  release({ requestId, keyId, campaignId }: Ticket): void {
    this.open--;
    this.waiting.delete(requestId);
    this.leases.release(requestId);
    this.line.wake([keyId, campaignId, 'operator']);
  }

  /**
   * What goes upstream: the visitor's own parameters, and four that are not theirs to choose. The usage of a stream is
   * always asked for, data is not stored at the provider (so that metadata, which OpenAI takes with stored data only, has no
   * place), the identifier lets the provider name one visitor, and the service tier is named, because unnamed the project's
   * own setting would decide on the price.
   */
  private forwardedBody(request: ChatRequest, keyId: string): Record<string, unknown> {
    const { metadata: _, ...own } = request.body;
    return {
      ...own,
      store: false,
      service_tier: request.serviceTier,
      safety_identifier: safetyIdentifier(keyId, this.config.secrets.safetyPepper),
      ...(request.stream
        ? { stream_options: { ...(request.body.stream_options as object | undefined), include_usage: true } }
        : {}),
    };
  }
}

function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && /\bOOM command not allowed\b/.test(error.message);
}

/** Like UUIDv7 the milliseconds come first, so that the ledger knows the month of a call by its id. */
export function newRequestId(): string {
  return `req_${Date.now().toString(16).padStart(12, '0')}${randomBytes(10).toString('hex')}`;
}
