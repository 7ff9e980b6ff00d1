import { Inject, Injectable } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { effectivePolicy, type CallPolicy } from '#libs/contracts/policy.js';
import { replySchema, type Reply } from '#libs/contracts/reply.js';
import { writtenBody } from '#libs/endpoints/body.js';
import type { Endpoint, Request } from '#libs/endpoints/endpoint.js';
import { nameOf } from '#libs/endpoints/registry.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import type { HoldAnswer, HoldRequest } from '#libs/holds/hold.types.js';
import { LeaseKeeper } from '#libs/holds/lease-keeper.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { safetyIdentifier } from '#libs/secrets/safety-identifier.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { ReplyReader } from '../answers/reply.reader.js';
import type { AdmittedCall } from '../domain/admitted-call.js';
import type { Idempotency } from '../domain/idempotency.js';
import type { Visitor } from '../door/authenticator.service.js';
import { hungUp, overloaded, recovering, refusalOf, unkeptAnswer } from '../refusals.js';
import { BudgetLine, type Arrival } from './budget.line.js';
import { CallQuoter, type Quote } from './call.quoter.js';

/** A visitor's request, with the parts of it that are not in the body. */
export interface Wanted {
  requestId: string;
  endpoint: Endpoint;
  request: Request;
  wish: Request['wish'];
  /** How long the call may wait for its turn, and for running calls to give money back. */
  maxWaitMs: number;
  idempotency: Idempotency | undefined;
  /** W3C's traceparent, where calls are traced. */
  trace: string | undefined;
  /** Aborts when the visitor hangs up. */
  left: AbortSignal;
}

/** The first answer to a call that is repeated under its idempotency key. */
export interface KeptAnswer {
  requestId: string;
  reply: Extract<Reply, { type: 'answer' }>;
}

const TAKE_PATIENCE_MS = 6_000;
const TAKE_PAUSE_MS = 150;
/** A quarter of all calls may wait for the money of one key. */
const KEY_SHARE = 4;

/** Holds what a call can cost, or refuses the call. */
@Injectable()
export class Admission {
  /** How many calls are admitted, or are about to be. `release` or a refusal counts each of them down. */
  private open = 0;
  private readonly line: BudgetLine;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly quoter: CallQuoter,
    private readonly holds: HoldStore,
    private readonly leases: LeaseKeeper,
    private readonly box: ContentBox,
    private readonly replies: ReplyReader,
  ) {
    this.line = new BudgetLine(Math.ceil(config.limits.calls / KEY_SHARE));
  }

  /** @throws DaypassError for all that can be wrong before a queue sees the call */
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
    const { requestId, endpoint, request, idempotency } = wanted;
    const quote = await this.quoter.quote(visitor, endpoint, request);
    const untilMs = performance.now() + wanted.maxWaitMs;
    const policy = policyOf(visitor, wanted);
    const hold = await this.take(visitor, wanted, { ...quote, policy }, untilMs).catch((error: unknown) => {
      this.forgetBody(requestId);
      throw error;
    });
    if (hold.code !== 'ok') {
      this.forgetBody(requestId);
      if (hold.code === 'answered') return this.kept(key.id, idempotency!.nameHash, hold.requestId);
      throw refusalOf(hold);
    }
    // Only while the call waits. Its worker renews the lease from the dispatch on, so that the worker's death shows.
    this.leases.keepWaiting(requestId);
    return {
      hold,
      maxWaitMs: Math.max(0, untilMs - performance.now()),
      adjusted: request.adjusted,
      ticket: {
        requestId,
        keyId: key.id,
        campaignId: campaign.id,
        replyTo: this.replies.processId,
        ...nameOf(endpoint),
        model: request.model,
        lane: quote.lane,
        stream: request.stream,
        facts: request.facts,
        outputs: request.outputs,
        inputTokens: quote.bound.inputTokens,
        pacedTokens: quote.pacedInputTokens + hold.capTokens * request.outputs,
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
   * Takes the hold. Where running calls hold the missing money, the call waits for their ends. At the end of its wait
   * Daypass lowers the output cap to what the free budget covers.
   */
  private async take(
    visitor: Visitor,
    wanted: Wanted,
    quote: Quote & { policy: CallPolicy },
    untilMs: number,
  ): Promise<HoldAnswer> {
    const { requestId, endpoint, request, idempotency } = wanted;
    const accounts = { key: visitor.key.id, campaign: visitor.campaign.id, operator: 'operator' };
    const forced = {
      serviceTier: request.serviceTier,
      safetyIdentifier: safetyIdentifier(visitor.key.id, this.config.secrets.safetyPepper),
    };
    const body = this.box.seal(writtenBody(endpoint.forwarded(request, forced)), requestId);
    const bodyLifeMs = 2 * wanted.maxWaitMs + this.config.limits.upstreamTimeoutMs;
    let stored = false;
    const store = async (): Promise<void> => {
      if (!stored) await this.redis.set(redisKeys.body(requestId), body, 'PX', bodyLifeMs);
      stored = true;
    };
    const needNano = quote.bound.fixedNano + quote.bound.perUnitNano * BigInt(quote.capTokens);
    let arrival: Arrival | undefined;
    try {
      for (let patient = wanted.maxWaitMs > 0; ; patient = arrival !== undefined && performance.now() < untilMs) {
        const asked: HoldRequest = {
          requestId,
          keyId: visitor.key.id,
          campaignId: visitor.campaign.id,
          fixedNano: quote.bound.fixedNano,
          perUnitNano: quote.bound.perUnitNano,
          capTokens: quote.capTokens,
          leastCapTokens: quote.leastCapTokens,
          inputTokens: quote.bound.inputTokens,
          outputs: request.outputs,
          maxWaitMs: Math.max(0, Math.round(untilMs - performance.now())),
          detail: JSON.stringify({
            ...nameOf(endpoint),
            model: request.model,
            stream: request.stream,
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
            ...nameOf(endpoint),
            model: request.model,
            stream: request.stream,
            policy: quote.policy,
          },
        };
        const hold = await this.takeHold(asked, patient, store).catch((error: unknown) => {
          this.logger.warn({ err: error, requestId }, 'ingress could not take the hold');
          throw recovering();
        });
        if (hold.code !== 'busy') return hold;
        arrival ??= this.line.enter(visitor.key.id, needNano);
        if (arrival !== undefined) await this.line.wait(accounts[hold.level], arrival, untilMs, wanted.left);
        if (wanted.left.aborted) throw hungUp();
      }
    } finally {
      if (arrival !== undefined) this.line.leave(arrival, Object.values(accounts));
    }
  }

  /** Asks again where Redis did not answer: the same request id gets the same hold. */
  private async takeHold(request: HoldRequest, patient: boolean, store: () => Promise<void>): Promise<HoldAnswer> {
    const { budget_usd_per_day: operatorDayNano, budget_usd_total: operatorTotalNano } = this.config.file.operator;
    const { journalEntries, auditBytes } = this.config.limits;
    const bounds = { journalEntries, auditBytes, operatorDayNano, operatorTotalNano, patient };
    const startedMs = performance.now();
    for (let attempt = 1; ; attempt++) {
      try {
        // Both commands travel together. The body comes first, because the script copies it into the record.
        const [, hold] = await Promise.all([store(), this.holds.take(request, bounds)]);
        return hold;
      } catch (error) {
        // Redis is full: it answered, and took nothing.
        if (isOutOfMemory(error)) return { code: 'overloaded' };
        if (performance.now() - startedMs > TAKE_PATIENCE_MS) throw error;
        await sleep(TAKE_PAUSE_MS * attempt);
      }
    }
  }

  /** Deletes the body of a call that ingress did not admit. */
  private forgetBody(requestId: string): void {
    void this.redis.del(redisKeys.body(requestId)).catch(() => undefined);
  }

  private async kept(keyId: string, nameHash: string, requestId: string): Promise<KeptAnswer> {
    const encrypted = await this.holds.keptAnswer(keyId, nameHash).catch(() => {
      throw recovering();
    });
    if (!encrypted) throw unkeptAnswer();
    const reply = replySchema.parse(JSON.parse(this.box.open(encrypted, requestId)));
    if (reply.type !== 'answer') throw unkeptAnswer();
    return { requestId, reply };
  }

  /** The call is over, and calls that wait for its money may try again. */
  release({ requestId, keyId, campaignId }: Ticket): void {
    this.open--;
    this.leases.release(requestId);
    this.line.wake([keyId, campaignId, 'operator']);
  }
}

/** A direction without contents has nothing to judge. */
function policyOf({ campaign, key }: Visitor, { endpoint: { directions }, request, wish }: Wanted): CallPolicy {
  const policy = effectivePolicy(campaign.policy, key.policy, wish, request.stream);
  return {
    ...policy,
    ...(directions.input === 'silent' ? { input: 'off' as const } : {}),
    ...(directions.output === 'silent' ? { output: 'off' as const } : {}),
  };
}

function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && /\bOOM command not allowed\b/.test(error.message);
}
