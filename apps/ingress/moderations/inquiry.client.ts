import { InjectQueue } from '@nestjs/bullmq';
import { Inject, Injectable } from '@nestjs/common';
import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { INQUIRY_QUEUE, type InquiryJob } from '#libs/contracts/jobs.js';
import { effectivePolicy } from '#libs/contracts/policy.js';
import type { AnswerOfBytes } from '#libs/contracts/reply.js';
import { MODERATIONS_NAME, writtenInquiry, type Inquiry } from '#libs/endpoints/moderations/moderations.request.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import type { KeyAfterRepeat } from '#libs/holds/hold.types.js';
import { Places } from '#libs/pacing/places.js';
import { redisKeys } from '#libs/redis/keys.js';
import { isOutOfMemory } from '#libs/redis/out-of-memory.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { ReplyReader } from '../answers/reply.reader.js';
import type { Visitor } from '../door/authenticator.service.js';
import { KeyBytes } from '../door/key.bytes.js';
import { hungUp, noPlace, overloaded, recovering, refusalOf } from '../refusals.js';

/** So many inquiries one key has open at one process while nobody else asks. */
const OPEN_MAX = 32;
/** A quarter of what waits for the record, as of calls. */
const KEY_SHARE = 4;
/** Beyond its wait and the endpoint's answer. */
const SLACK_MS = 2_000;
const AWAY_RETRY_MS = 1_000;
/** Nobody judges an inquiry. */
const UNJUDGED = { input: 'off', output: 'off' } as const;

interface Wish {
  requestId: string;
  sent: { bytes: number; isCounted: boolean };
  maxWaitMs: number;
  left: AbortSignal;
}

/** Asks the moderation service what a visitor wants to know of its endpoint: a job has ids, the texts lie sealed in Redis. */
@Injectable()
export class InquiryClient {
  private readonly places = new Places(OPEN_MAX);

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    @InjectQueue(INQUIRY_QUEUE) private readonly queue: Queue<InquiryJob>,
    private readonly holds: HoldStore,
    private readonly box: ContentBox,
    private readonly replies: ReplyReader,
    private readonly keyBytes: KeyBytes,
  ) {}

  /** @throws DaypassError where the key may not ask now, or nobody answered in time; VisitorLeft */
  async ask(visitor: Visitor, inquiry: Inquiry, wish: Wish): Promise<{ answer: AnswerOfBytes; after: KeyAfterRepeat }> {
    const holder = { keyId: visitor.key.id, campaignId: visitor.campaign.id };
    if (!this.places.take(holder)) throw noPlace(this.places.heldBy(holder), this.places.heldByCampaignOf(holder));
    const { requestId, left } = wish;
    const { promise, resolve } = Promise.withResolvers<AnswerOfBytes | null>();
    this.replies.listen(requestId, (reply) => void (reply.type === 'answer' && resolve(reply)));
    const patienceMs = wish.maxWaitMs + this.config.limits.moderationTimeoutMs + SLACK_MS;
    const timer = setTimeout(() => resolve(null), patienceMs);
    const leave = (): void => resolve(null);
    left.addEventListener('abort', leave, { once: true });
    try {
      const after = await this.enter(visitor, inquiry, wish, patienceMs);
      if (!left.aborted) await this.send(holder.keyId, inquiry, wish);
      const answer = left.aborted ? null : await promise;
      if (answer !== null) return { answer, after };
      // Whoever finds no body asks nothing.
      await this.redis.del(redisKeys.body(requestId)).catch(() => undefined);
      throw left.aborted ? hungUp() : away();
    } finally {
      clearTimeout(timer);
      left.removeEventListener('abort', leave);
      this.replies.forget(requestId);
      this.places.release(holder);
    }
  }

  /** Counts it, records it, and keeps its body. */
  private async enter(
    { key, campaign }: Visitor,
    inquiry: Inquiry,
    { requestId, sent }: Wish,
    lifeMs: number,
  ): Promise<KeyAfterRepeat> {
    const { auditBytes, keyBytesPerHour } = this.config.limits;
    const policy = {
      ...effectivePolicy(campaign.policy, key.policy, { input: false, output: false }, false),
      ...UNJUDGED,
    };
    const answer = await this.holds
      .takeInquiry(
        {
          requestId,
          keyId: key.id,
          tokens: inquiry.tokens,
          sentBytes: sent.isCounted ? 0 : sent.bytes,
          recorded: {
            kind: 'request',
            id: requestId,
            key: key.id,
            campaign: campaign.id,
            endpoint: MODERATIONS_NAME,
            model: inquiry.model,
            stream: false,
            policy,
          },
          body: { encrypted: this.box.seal(writtenInquiry(inquiry), requestId), lifeMs },
        },
        { keyBytesPerHour, auditBytes, auditBytesOfKey: Math.ceil(auditBytes / KEY_SHARE) },
      )
      .catch((error: unknown) => {
        if (isOutOfMemory(error)) throw overloaded();
        this.logger.warn({ err: error, requestId }, 'ingress could not take an inquiry');
        throw recovering();
      });
    sent.isCounted = true;
    if (answer.code === 'ok') return answer;
    throw answer.code === 'bytes' ? this.keyBytes.tooMany(key.id, answer) : refusalOf(answer);
  }

  private async send(key: string, { tokens, results }: Inquiry, { requestId: id, maxWaitMs }: Wish): Promise<void> {
    const job = { id, key, replyTo: this.replies.processId, tokens, results, patienceMs: maxWaitMs };
    try {
      // A worker that dies leaves it to another: to ask twice costs nothing.
      await this.queue.add(INQUIRY_QUEUE, job, { jobId: id, attempts: 1 });
    } catch (error) {
      this.logger.warn({ err: error, requestId: id }, 'ingress could not send an inquiry');
      throw recovering();
    }
  }
}

function away(): DaypassError {
  return new DaypassError('moderation_unavailable', 'The moderation service did not answer in time. Please retry.', {
    retryAfterMs: AWAY_RETRY_MS,
  });
}
