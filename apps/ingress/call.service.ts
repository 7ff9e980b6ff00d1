import { Inject, Injectable } from '@nestjs/common';
import { createHmac, randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { effectivePolicy } from '#libs/contracts/policy.js';
import { chatInputContents } from '#libs/moderation/chat-contents.js';
import { boundOf, imageTokensOf } from '#libs/money/bound.js';
import type { PriceBook } from '#libs/money/prices.js';
import { countTextTokens } from '#libs/money/tokens.js';
import type { Logger } from '#libs/observability/logger.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { CONFIG, LOGGER, MONEY_REDIS } from '#libs/platform/platform.tokens.js';
import { HoldStore, type HoldAnswer } from '#libs/redis/hold.store.js';
import { redisKeys } from '#libs/redis/keys.js';
import { LeaseKeeper } from '#libs/redis/lease-keeper.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import type { Visitor } from './authenticator.service.js';
import type { ChatRequest } from './domain/chat-request.js';
import { CallQueues } from './call.queues.js';
import { overloaded, recovering, refusalOf } from './refusals.js';
import { ReplyReader } from './reply.reader.js';
import { PRICE_BOOK } from './ingress.tokens.js';

/** A call whose hold is taken. */
export interface AdmittedCall {
  ticket: Ticket;
  hold: Extract<HoldAnswer, { code: 'ok' }>;
}

/** Documented by nobody means: as long as the longest known answer. */
const MAX_OUTPUT_TOKENS = 128_000;

/** Prices a call, holds its bound, and sends it on its way; gives it up when nobody waits any more. */
@Injectable()
export class CallService {
  /** Calls admitted or being admitted; each is let go by `release`, or by a refusal. */
  private open = 0;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @Inject(PRICE_BOOK) private readonly prices: PriceBook,
    private readonly holds: HoldStore,
    private readonly leases: LeaseKeeper,
    private readonly box: ContentBox,
    private readonly lanes: LaneTable,
    private readonly queues: CallQueues,
    private readonly replies: ReplyReader,
  ) {}

  /** @throws DaypassError with everything that can be wrong before a queue sees the call */
  async admit(requestId: string, visitor: Visitor, request: ChatRequest, wish: ChatRequest['wish'], maxWaitMs: number): Promise<AdmittedCall> {
    if (this.open >= this.config.limits.calls) throw overloaded();
    this.open++;
    try {
      return await this.hold(requestId, visitor, request, wish, maxWaitMs);
    } catch (error) {
      this.open--;
      throw error;
    }
  }

  private async hold(requestId: string, visitor: Visitor, request: ChatRequest, wish: ChatRequest['wish'], maxWaitMs: number): Promise<AdmittedCall> {
    const { key, campaign } = visitor;
    if (!visitor.models.includes(request.model)) {
      throw new DaypassError(
        'model_not_found',
        `The model '${request.model}' does not exist or this key has no access to it. GET /v1/models lists what it can use.`,
        {
          param: 'model',
        },
      );
    }
    const priced = this.prices.find(request.model);
    if (!priced) {
      throw new DaypassError(
        'unpriceable_request',
        `The model '${request.model}' has no known price, so its cost has no bound. The operator can set one in DAYPASS_CONFIG.`,
        {
          param: 'model',
        },
      );
    }
    const mostTokens = priced.maxOutputTokens ?? MAX_OUTPUT_TOKENS;
    if ((request.capTokens ?? 0) > mostTokens) {
      const param = request.body.max_completion_tokens === undefined ? 'max_tokens' : 'max_completion_tokens';
      throw new DaypassError(
        'invalid_request',
        `'${param}' is too large: ${request.model} gives at most ${mostTokens} output tokens, and ${request.capTokens} were asked for.`,
        {
          param,
        },
      );
    }

    const texts = chatInputContents(request.body).flatMap((content) => (content.kind === 'text' ? [content.text] : []));
    const prediction = request.body.prediction;
    const [textTokens, predictionTokens] = await Promise.all([
      countTextTokens(texts),
      prediction === undefined || prediction === null ? 0 : countTextTokens([JSON.stringify(prediction)]),
    ]);
    const bound = boundOf(priced.price, {
      textTokens,
      messages: request.messages,
      images: request.images,
      imageTokens: imageTokensOf(request.model, request.originalImages),
      predictionTokens,
      choices: request.choices,
      serviceTier: request.serviceTier,
    });
    const lane = this.lanes.laneOf(request.model);
    const { tpm } = this.lanes.limitsOf(lane);
    // A cap of our own making must not be what makes a call too large for its lane.
    const laneRoom = tpm > 0 ? Math.floor((tpm - bound.inputTokens) / request.choices) : Infinity;
    const capTokens = request.capTokens ?? Math.max(this.config.limits.minOutputTokens, Math.min(this.config.limits.defaultOutputTokens, mostTokens, laneRoom));
    const body = JSON.stringify(this.forwardedBody(request, key.id));

    // Both commands travel together; the body of a refused call is taken back below.
    const [, hold] = await Promise.all([
      this.redis.set(redisKeys.body(requestId), this.box.seal(body, requestId), 'PX', maxWaitMs + this.config.limits.upstreamTimeoutMs),
      this.holds.take(
        {
          requestId,
          keyId: key.id,
          campaignId: campaign.id,
          fixedNano: bound.fixedNano,
          perTokenNano: bound.perTokenNano,
          capTokens,
          leastCapTokens: request.capTokens ?? Math.min(this.config.limits.minOutputTokens, capTokens),
          inputTokens: bound.inputTokens,
          choices: request.choices,
          maxWaitMs,
          detail: JSON.stringify({ model: request.model, stream: request.stream, input_tokens: bound.inputTokens }),
          lane,
          replyTo: this.replies.processId,
        },
        { journalEntries: this.config.limits.journalEntries, operatorDayNano: this.config.file.operator.budget_usd_per_day },
      ),
    ]).catch((error: unknown) => {
      this.logger.warn({ err: error, requestId }, 'the hold could not be taken');
      throw recovering();
    });
    if (hold.code !== 'ok') {
      void this.redis.del(redisKeys.body(requestId)).catch(() => undefined);
      throw refusalOf(hold);
    }
    // Only while the call waits: once dispatched, the worker answers for it, and its death must show.
    this.leases.keep(requestId, 'waiting');

    const policy = effectivePolicy(campaign.policy, key.policy, wish);
    return {
      hold,
      ticket: {
        requestId,
        keyId: key.id,
        campaignId: campaign.id,
        replyTo: this.replies.processId,
        model: request.model,
        lane,
        stream: request.stream,
        includeUsage: request.includeUsage,
        choices: request.choices,
        inputTokens: bound.inputTokens,
        capTokens: hold.capTokens,
        price: priced.price,
        heldNano: hold.amountNano.toString(),
        policy,
        inputVerdict: policy.input === 'gate' ? 'pass' : policy.input,
        acceptedMs: hold.nowMs,
      },
    };
  }

  /** Hands the call to the first queue on its way. @throws DaypassError `recovering` after giving the hold back */
  async enqueue({ ticket }: AdmittedCall): Promise<void> {
    try {
      await this.queues.enqueue(ticket);
    } catch (error) {
      this.logger.warn({ err: error, requestId: ticket.requestId }, 'the call could not be enqueued');
      // Where Redis does not take this either, the lease ends the hold.
      await this.giveUp(ticket, 'not enqueued').catch(() => undefined);
      throw recovering();
    }
  }

  /**
   * Ends a call that nobody waits for: a waiting one gives its hold back at once (`voided`), a dispatched one is
   * cancelled upstream and settled by the worker that runs it (`running`). `ended`: the answer is on its way. `lost`: Redis
   * does not know the call any more.
   */
  async giveUp(ticket: Ticket, reason: string): Promise<'voided' | 'running' | 'ended' | 'lost'> {
    const { requestId, keyId, campaignId, lane, replyTo } = ticket;
    const { outcome } = await this.holds.end({ requestId, keyId, campaignId, lane, replyTo, transition: 'cancel', detail: { reason } });
    if (outcome === 'applied') return 'voided';
    if (outcome === 'missing') return 'lost';
    return outcome === 'running' ? 'running' : 'ended';
  }

  async cancelUpstream(requestId: string): Promise<void> {
    await this.redis.publish(redisKeys.cancelChannel, requestId);
  }

  release(requestId: string): void {
    this.open--;
    this.leases.release(requestId);
  }

  /**
   * What goes upstream: the visitor's own parameters, and three that are not theirs to choose. The usage of a stream is
   * always asked for, data is not stored at the provider (so that metadata, which OpenAI takes with stored data only, has no
   * place), and the identifier lets the provider name one visitor.
   */
  private forwardedBody(request: ChatRequest, keyId: string): Record<string, unknown> {
    const { metadata: _, ...own } = request.body;
    return {
      ...own,
      store: false,
      safety_identifier: createHmac('sha256', this.config.secrets.safetyPepper).update(keyId).digest('base64url'),
      ...(request.stream ? { stream_options: { ...(request.body.stream_options as object | undefined), include_usage: true } } : {}),
    };
  }
}

export function newRequestId(): string {
  return `req_${randomBytes(16).toString('hex')}`;
}
