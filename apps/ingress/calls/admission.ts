import { Inject, Injectable } from '@nestjs/common';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { visitorOf } from '#libs/contracts/key-state.js';
import { effectivePolicy, type CallPolicy } from '#libs/contracts/policy.js';
import type { Reply } from '#libs/contracts/reply.js';
import { writtenBody } from '#libs/endpoints/body.js';
import type { Endpoint, Request } from '#libs/endpoints/endpoint.js';
import { nameOf } from '#libs/endpoints/registry.js';
import { piecesOf } from '#libs/holds/file.store.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import type { HoldAnswer, HoldRequest, KeyAfterRepeat } from '#libs/holds/hold.types.js';
import { readKeptReply } from '#libs/holds/kept-reply.js';
import { LeaseKeeper } from '#libs/holds/lease-keeper.js';
import { Places } from '#libs/pacing/places.js';
import { isOutOfMemory } from '#libs/redis/out-of-memory.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { callHash } from '#libs/secrets/call-hash.js';
import { promptCacheKey } from '#libs/secrets/prompt-cache-key.js';
import { safetyIdentifier } from '#libs/secrets/safety-identifier.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { ShelfStore } from '#libs/shelf/shelf.store.js';
import { ReplyReader } from '../answers/reply.reader.js';
import type { AdmittedCall } from '../domain/admitted-call.js';
import type { Idempotency } from '../domain/idempotency.js';
import type { Visitor } from '../door/authenticator.service.js';
import type { ReadBody } from '../door/body.reader.js';
import { KeyBytes } from '../door/key.bytes.js';
import type { BodyPlace } from '../door/body.room.js';
import { StepLine } from '../step.line.js';
import { hungUp, noPlace, recovering, refusalOf, unkeptAnswer } from '../refusals.js';
import { BudgetLine, type Arrival } from './budget.line.js';
import { CallQuoter, type Quote } from './call.quoter.js';
import { ImageRules } from './image.rules.js';
import { NamedParts } from './named.parts.js';
import { RepeatedCalls } from './repeated.calls.js';

/** A visitor's request, with the parts of it that are not in the body. */
export interface Wanted {
  requestId: string;
  endpoint: Endpoint;
  request: Request;
  wish: Request['wish'];
  /** How long the call may wait for its turn, and for running calls to give money back. */
  maxWaitMs: number;
  idempotency: Idempotency | undefined;
  /** Where its visitor reaches Daypass. */
  origin: string;
  /** W3C's traceparent, where calls are traced. */
  trace: string | undefined;
  /** The request's body, as the visitor sent it. */
  sent: Pick<ReadBody, 'blobs' | 'bytes' | 'isCounted'> & { place?: BodyPlace };
  /** Aborts when the visitor hangs up. */
  left: AbortSignal;
}

/**
 * The first answer to a call that is repeated under its idempotency key; or, `stopped`, without one, of a call that was
 * blocked a moment ago.
 */
export interface KeptAnswer {
  requestId: string;
  stopped: boolean;
  reply: Extract<Reply, { type: 'answer' }>;
  /** The key with this repeat. */
  after: KeyAfterRepeat;
}

/** Ingress remembers the visitor of a call, and what it remembers is not enough: read the key, and admit the call again. */
export class StaleVisitor extends Error {}

const TAKE_PATIENCE_MS = 6_000;
const TAKE_PAUSE_MS = 150;
/** A quarter of all calls may wait for the money of one key. So may a quarter of what waits for the record. */
const KEY_SHARE = 4;
/** Requests that wait for money lie in the memory of this process. */
const WAITING_BYTES_MAX = 134_217_728;
const WAITING_BYTES_OF_KEY_MAX = 16_777_216;
/** A larger body does not travel to Redis at each try of a waiting call. */
const SMALL_BODY_BYTES = 16_384;
/** The hash of a larger body takes more than a millisecond. */
const LARGE_CHARACTERS = 1_048_576;

/** Holds what a call can cost, or refuses the call. */
@Injectable()
export class Admission {
  /** Those of calls that are admitted, or are about to be. `release` or a refusal frees each of them. */
  private readonly places: Places;
  private readonly line: BudgetLine;
  private readonly images: ImageRules;
  private readonly named: NamedParts;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly quoter: CallQuoter,
    private readonly holds: HoldStore,
    private readonly leases: LeaseKeeper,
    private readonly box: ContentBox,
    private readonly replies: ReplyReader,
    private readonly keyBytes: KeyBytes,
    private readonly steps: StepLine,
    shelf: ShelfStore,
    private readonly repeated: RepeatedCalls,
  ) {
    this.named = new NamedParts(config.limits, shelf, steps, keyBytes);
    this.places = new Places(config.limits.calls);
    this.images = new ImageRules(config.images);
    this.line = new BudgetLine({
      callsOfKey: Math.ceil(config.limits.calls / KEY_SHARE),
      bytesOfKey: WAITING_BYTES_OF_KEY_MAX,
      bytes: WAITING_BYTES_MAX,
    });
  }

  /**
   * @throws DaypassError for all that can be wrong before a queue sees the call; StaleVisitor only where the visitor is
   *   remembered: it has counted nothing and taken nothing
   */
  async admit(visitor: Visitor, wanted: Wanted): Promise<AdmittedCall | KeptAnswer> {
    // What it names counts as soon as it is read.
    if (visitor.isRemembered && wanted.request.refs?.length) throw new StaleVisitor();
    const holder = { keyId: visitor.key.id, campaignId: visitor.campaign.id };
    if (!this.places.take(holder)) throw noPlace(this.places.heldBy(holder), this.places.heldByCampaignOf(holder));
    try {
      const admitted = wanted.request.refs?.length
        ? await this.holdNamed(visitor, wanted)
        : await this.hold(visitor, wanted);
      if ('reply' in admitted) this.places.release(holder);
      return admitted;
    } catch (error) {
      this.places.release(holder);
      throw error;
    }
  }

  /** All that follows sees the request with contents in the place of names. Its work on them is a step of its own. */
  private async holdNamed(visitor: Visitor, wanted: Wanted): Promise<AdmittedCall | KeptAnswer> {
    const { request, bytes } = await this.named.expanded(visitor, wanted, policyOf(visitor, wanted));
    return this.steps.run(visitor.key.id, bytes, () => this.hold(visitor, { ...wanted, request }, wanted.request));
  }

  /** Takes the dearest of the request's forms that the budget carries. `asked`: the request with its names. */
  private async hold(
    visitor: Visitor,
    named: Wanted,
    asked: Request = named.request,
  ): Promise<AdmittedCall | KeptAnswer> {
    const untilMs = performance.now() + named.maxWaitMs;
    const forms = await known(visitor, () => this.quoter.forms(visitor, named.endpoint, named.request));
    for (const request of forms.slice(0, -1)) {
      try {
        return await this.holdForm(visitor, { ...named, request }, request, untilMs);
      } catch (error) {
        if (!(error instanceof DaypassError) || error.code !== 'insufficient_quota') throw error;
      }
    }
    const request = forms.at(-1)!;
    return this.holdForm(visitor, { ...named, request }, asked === named.request ? request : asked, untilMs);
  }

  /** `asked`: what it names may grow from one repeat to the next, as a conversation does. */
  private async holdForm(
    visitor: Visitor,
    named: Wanted,
    asked: Request,
    untilMs: number,
  ): Promise<AdmittedCall | KeptAnswer> {
    const { key, campaign } = visitor;
    const { wanted, policy, quote } = await known(visitor, () => this.offer(visitor, named));
    const { requestId, endpoint, request, idempotency } = wanted;
    const bodyOf = (request: Request): string => this.bodyOf(visitor, { ...wanted, request }, { ...quote, policy });
    const body = bodyOf(request);
    const repeatHash = this.repeatHashOf(wanted, policy, () => (asked === named.request ? body : bodyOf(asked)));
    // To seal it takes as long again.
    if (body.length > LARGE_CHARACTERS) await turn();
    const hold = await this.take(visitor, wanted, { ...quote, policy, body, repeatHash }, untilMs);
    if (hold.code !== 'ok') {
      if (hold.code === 'stopped') {
        const { reply } = await this.repeated.answer(visitor, { requestId, hash: repeatHash!, policy }, hold.sealed);
        return { requestId, reply, stopped: true, after: hold };
      }
      if (hold.code === 'answered') return this.kept(key.id, idempotency!.nameHash, hold);
      // Of a repeat the answer's bytes may be too many, and not the request's.
      if (hold.code === 'bytes' && hold.need === wanted.sent.bytes) throw this.keyBytes.tooMany(key.id, hold);
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
        remoteImages: request.remoteImages,
        facts: request.facts,
        outputs: request.outputs,
        inputTokens: quote.bound.inputTokens,
        ...(quote.estimate === undefined ? {} : { estimate: quote.estimate }),
        ...(quote.pacedUnits === undefined ? {} : { pacedUnits: quote.pacedUnits }),
        pacedTokens: quote.pacedInputTokens + hold.capTokens * request.outputs,
        weight: campaign.weight,
        patienceMs: Math.max(0, Math.round(untilMs - performance.now())),
        capTokens: hold.capTokens,
        capLowered: hold.capTokens < quote.capTokens,
        price: quote.price,
        feeNano: quote.bound.feeNano.toString(),
        tierPercent: quote.bound.tierPercent,
        tiers: quote.tiers,
        encoding: quote.encoding,
        heldNano: hold.amountNano.toString(),
        day: hold.day,
        keepAnswer: idempotency !== undefined,
        takesFrames: true,
        takesBytes: true,
        takesFlow: true,
        ...(request.stream ? { origin: wanted.origin } : {}),
        ...(repeatHash === undefined ? {} : { repeatHash }),
        policy,
        inputVerdict: policy.input === 'gate' ? 'pass' : policy.input,
        acceptedMs: hold.nowMs,
        ...(wanted.trace === undefined ? {} : { trace: wanted.trace }),
      },
    };
  }

  /** What the call is to this visitor. @throws DaypassError where the visitor may not make it */
  private async offer(visitor: Visitor, named: Wanted): Promise<{ wanted: Wanted; policy: CallPolicy; quote: Quote }> {
    const wanted = { ...named, request: this.quoter.offered(visitor, named.endpoint, named.request) };
    const policy = policyOf(visitor, wanted);
    this.images.check(wanted.endpoint, wanted.request, policy);
    return { wanted, policy, quote: await this.quoter.quote(visitor, wanted.endpoint, wanted.request) };
  }

  /** As it waits for moderation and forwarding. */
  private bodyOf(
    { key }: Visitor,
    { endpoint, request }: Wanted,
    { decoded, policy }: Pick<Quote, 'decoded'> & { policy: CallPolicy },
  ): string {
    const { safetyPepper, cachePepper } = this.config.secrets;
    const forced = {
      serviceTier: request.serviceTier,
      safetyIdentifier: safetyIdentifier(visitorOf(key), safetyPepper),
      cacheKey: promptCacheKey(key.id, request.cacheKey, cachePepper),
      ...(policy.shelf === 'off' ? { shelf: false } : {}),
    };
    return writtenBody(endpoint.forwarded({ ...request, decoded }, forced));
  }

  /** undefined: nobody stops its output, so that no answer waits for a repeat. */
  private repeatHashOf(
    { endpoint, request: { facts } }: Wanted,
    policy: CallPolicy,
    askedBody: () => string,
  ): string | undefined {
    if (policy.output === 'off' || policy.output === 'observe') return undefined;
    return callHash({ endpoint: endpoint.name, facts, policy }, askedBody(), this.config.secrets.repeatPepper);
  }

  /**
   * Takes the hold. Where running calls hold the missing money, the call waits for their ends. At the end of its wait
   * Daypass lowers the output cap to what the free budget covers. The body goes to Redis with the hold, in one step. A
   * waiting call asks without a large body until it can have the hold.
   */
  private async take(
    visitor: Visitor,
    wanted: Wanted,
    quote: Quote & { policy: CallPolicy; body: string; repeatHash: string | undefined },
    untilMs: number,
  ): Promise<Exclude<HoldAnswer, { code: 'stale' }>> {
    const { requestId, endpoint, request, idempotency } = wanted;
    const { isRemembered, key, campaign } = visitor;
    const accounts = { key: visitor.key.id, campaign: visitor.campaign.id, operator: 'operator' };
    const body = {
      encrypted: this.box.seal(quote.body, requestId),
      lifeMs: 2 * wanted.maxWaitMs + this.config.limits.upstreamTimeoutMs,
    };
    const isLarge = body.encrypted.byteLength > SMALL_BODY_BYTES;
    const needNano = quote.bound.fixedNano + quote.bound.perUnitNano * BigInt(quote.capTokens);
    let arrival: Arrival | undefined;
    const { sent } = wanted;
    let patient = wanted.maxWaitMs > 0;
    let question = false;
    try {
      for (;;) {
        const asked: HoldRequest = {
          requestId,
          keyId: visitor.key.id,
          campaignId: visitor.campaign.id,
          fixedNano: quote.bound.fixedNano,
          perUnitNano: quote.bound.perUnitNano,
          capTokens: quote.capTokens,
          leastCapTokens: quote.leastCapTokens,
          inputTokens: quote.bound.estimatedTokens,
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
          repeatHash: quote.repeatHash,
          sentBytes: sent.isCounted ? 0 : sent.bytes,
          question,
          remembered: isRemembered ? { key: key.version, campaign: campaign.version } : undefined,
          ...(question ? {} : { body }),
          filePieces: piecesOf(sent.blobs),
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
        const hold = await this.takeHold(asked, patient).catch((error: unknown) => {
          this.logger.warn({ err: error, requestId }, 'ingress could not take the hold');
          throw recovering();
        });
        if (hold.code === 'stale') throw new StaleVisitor();
        sent.isCounted = true;
        if (hold.code === 'ready') {
          question = false;
          continue;
        }
        if (hold.code !== 'busy') return hold;
        // It waits anyway, and the head of its stream may go out meanwhile.
        if (isRemembered) throw new StaleVisitor();
        arrival ??= this.line.enter(visitor.key.id, needNano, sent.bytes);
        if (arrival !== undefined) await this.line.wait(accounts[hold.level], arrival, untilMs, wanted.left);
        if (wanted.left.aborted) throw hungUp();
        patient = arrival !== undefined && performance.now() < untilMs;
        question = patient && isLarge;
      }
    } finally {
      if (arrival !== undefined) this.line.leave(arrival, Object.values(accounts));
    }
  }

  /** Asks again where Redis did not answer: the same request id gets the same hold. */
  private async takeHold(request: HoldRequest, patient: boolean): Promise<HoldAnswer> {
    const { budget_usd_per_day: operatorDayNano, budget_usd_total: operatorTotalNano } = this.config.file.operator;
    const { journalEntries, auditBytes, keyBytesPerHour, keyConcurrent } = this.config.limits;
    const auditBytesOfKey = Math.ceil(auditBytes / KEY_SHARE);
    const records = { journalEntries, auditBytes, auditBytesOfKey, keyBytesPerHour, keyConcurrent };
    const bounds = { ...records, operatorDayNano, operatorTotalNano, patient };
    const startedMs = performance.now();
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.holds.take(request, bounds);
      } catch (error) {
        if (isOutOfMemory(error)) return { code: 'overloaded' };
        if (performance.now() - startedMs > TAKE_PATIENCE_MS) throw error;
        await sleep(TAKE_PAUSE_MS * attempt);
      }
    }
  }

  private async kept(
    keyId: string,
    nameHash: string,
    { requestId, ...after }: { requestId: string } & KeyAfterRepeat,
  ): Promise<KeptAnswer> {
    const kept = await this.holds.keptAnswer(keyId, nameHash).catch(() => {
      throw recovering();
    });
    if (!kept) throw unkeptAnswer();
    const reply = await readKeptReply(this.box, requestId, kept);
    if (reply.type !== 'answer') throw unkeptAnswer();
    return { requestId, reply, stopped: false, after };
  }

  /** The call is over, and calls that wait for its money may try again. */
  release({ requestId, keyId, campaignId }: Ticket): void {
    this.places.release({ keyId, campaignId });
    this.leases.release(requestId);
    this.line.wake([keyId, campaignId, 'operator']);
  }
}

/** @throws StaleVisitor where the visitor is remembered, and is refused: somebody may have allowed it, or changed its price */
async function known<T>(visitor: Visitor, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw visitor.isRemembered && error instanceof DaypassError ? new StaleVisitor() : error;
  }
}

/** What is judged of a call. A direction without contents has nothing to judge. */
export function policyOf(
  { campaign, key }: Visitor,
  { endpoint: { directions, waiver }, request, wish }: Pick<Wanted, 'endpoint' | 'request' | 'wish'>,
): CallPolicy {
  const policy = effectivePolicy(campaign.policy, key.policy, wish, request.stream, waiver);
  return {
    ...policy,
    ...(directions.input === 'silent' ? { input: 'off' as const } : {}),
    ...(directions.output !== 'judged' ? { output: 'off' as const } : {}),
  };
}
