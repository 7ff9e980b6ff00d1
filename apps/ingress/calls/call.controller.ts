import { Controller, Inject, Post, Req, Res, type Type } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { Span } from '@opentelemetry/api';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { DaypassConfig } from '#libs/config/config.js';
import { DaypassError, type ErrorBody } from '#libs/contracts/errors.js';
import type { Body, Blob, Endpoint } from '#libs/endpoints/endpoint.js';
import { isObject } from '#libs/endpoints/json.js';
import { FileStore } from '#libs/holds/file.store.js';
import { RecentRefusals } from '#libs/holds/recent-refusals.js';
import { nameOf } from '#libs/endpoints/registry.js';
import type { Logger } from '#libs/service/logger.js';
import { CONFIG, LOGGER } from '#libs/service/platform.tokens.js';
import { traced, traceparentNow } from '#libs/service/tracing.js';
import { asksAgain, isEventStream, shownBody, toldBytes, writeHead, type Head } from '../answers/answer.head.js';
import { AnswerSession, type SessionParts } from '../answers/answer.session.js';
import { PlaceTeller } from '../answers/place.teller.js';
import { ReplyReader } from '../answers/reply.reader.js';
import { UnreadAnswers } from '../answers/unread.answers.js';
import { VisitorStream } from '../answers/visitor.stream.js';
import type { AdmittedCall } from '../domain/admitted-call.js';
import { clientOf, clientRequestId } from '../domain/client-headers.js';
import { idempotencyOf } from '../domain/idempotency.js';
import { maxWaitOf } from '../domain/max-wait.js';
import { wishOf } from '../domain/wish.js';
import type { Visitor } from '../door/authenticator.service.js';
import type { ReadBody } from '../door/body.reader.js';
import { SERVED } from '../door/http.adapter.js';
import { KeyBytes } from '../door/key.bytes.js';
import { HOLDS, RouteGuard } from '../door/route-guard.js';
import { publicUrlOf } from '../door/public.url.js';
import { visitorOf } from '../door/visitor.js';
import { requestPath } from '../domain/request-path.js';
import { IngressMetrics } from '../ingress.metrics.js';
import { Admission, policyOf, StaleVisitor, type KeptAnswer, type Wanted } from './admission.js';
import { StepLine } from '../step.line.js';
import { BackgroundCalls } from './background.calls.js';
import { CallService } from './call.service.js';

const LEFT = 'the visitor left';
const REPLAYED = { 'idempotent-replayed': 'true' };

type SentBody = Omit<ReadBody, 'place'> & { place?: ReadBody['place'] };

/** One class for each API: decorators see its path only when the class is made. */
export function createCallController(endpoint: Endpoint): Type<unknown> {
  @Controller(endpoint.path)
  class CallController {
    private readonly parts: SessionParts;

    constructor(
      @Inject(CONFIG) private readonly config: DaypassConfig,
      @Inject(LOGGER) logger: Logger,
      @Inject(Admission) private readonly admission: Admission,
      @Inject(StepLine) private readonly steps: StepLine,
      @Inject(KeyBytes) private readonly keyBytes: KeyBytes,
      @Inject(RouteGuard) private readonly guard: RouteGuard,
      @Inject(CallService) calls: CallService,
      @Inject(ReplyReader) replies: ReplyReader,
      @Inject(PlaceTeller) places: PlaceTeller,
      @Inject(IngressMetrics) metrics: IngressMetrics,
      @Inject(UnreadAnswers) private readonly unread: UnreadAnswers,
      @Inject(RecentRefusals) private readonly refusals: RecentRefusals,
      @Inject(BackgroundCalls) private readonly background: BackgroundCalls,
      @Inject(FileStore) private readonly files: FileStore,
    ) {
      this.parts = { calls, replies, places, metrics, logger, upstreamTimeoutMs: config.limits.upstreamTimeoutMs };
    }

    @Post()
    @RouteConfig(HOLDS)
    create(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
      return traced('call', { kind: 'server', attributes: { 'daypass.request_id': request.id } }, (span) =>
        this.answer(request, reply, span),
      );
    }

    private async answer(http: FastifyRequest, reply: FastifyReply, span: Span): Promise<void> {
      const left = new AbortController();
      // With a reason: without one Node makes an error and its stack.
      const leave = (): void => left.abort(LEFT);
      reply.raw.once('close', leave);
      // It may have come while the body was read.
      if (reply.raw.destroyed) left.abort(LEFT);
      const { key, campaign } = visitorOf(http);
      this.unread.watch(reply.raw, { keyId: key.id, campaignId: campaign.id });
      const origin = publicUrlOf(http.headers, this.config);
      const stream = new VisitorStream(reply, endpoint, this.config.limits.silenceMs, origin);
      try {
        const { call, adjusted } = await this.admitted(http, { span, left: left.signal, stream });
        // As the hold found it.
        const visitor = visitorOf(http);
        if (!('reply' in call) && call.body) return await this.sendQueued(call, call.body, adjusted, visitor, reply);
        if (!('reply' in call)) return await new AnswerSession(this.parts, call, visitor, reply, stream).run();
        sendKept(call, adjusted, visitor, reply, stream);
        if (call.stopped) this.parts.metrics.repeated(endpoint.name);
        else this.replayed(http, call.requestId, visitor);
      } catch (error) {
        if (!(error instanceof DaypassError) || !stream.mustTell(error.status, error.retry)) throw error;
        this.parts.metrics.refused(error.code, endpoint.name);
        this.refusals.note(key.id, http.id, error.body().error);
        const called = clientRequestId(http.headers);
        this.parts.logger.info({ requestId: http.id, ...called, code: error.code, status: error.status }, 'refused');
        stream.fail(error.body(), error.retry);
      } finally {
        stream.stop();
        reply.raw.off('close', leave);
      }
    }

    /** The call runs on behind its visitor. */
    private async sendQueued(
      call: AdmittedCall,
      body: Body,
      adjusted: readonly string[],
      { key: { rpm, tpm } }: Visitor,
      reply: FastifyReply,
    ): Promise<void> {
      const queued = Buffer.from(JSON.stringify(await this.background.start(call, endpoint, body)));
      const { hold, ticket } = call;
      writeHead(reply, 200, {
        requestId: ticket.requestId,
        meta: { moderation: { input: ticket.policy.input, output: ticket.policy.output }, queueMs: 0 },
        availableNano: hold.availableNano,
        use: { rpm, tpm, requests: hold.windowRequests, tokens: hold.windowTokens },
        adjusted,
        headers: { 'content-type': 'application/json', 'content-length': String(queued.length) },
      });
      reply.raw.end(queued);
    }

    private replayed({ id, headers }: FastifyRequest, firstRequestId: string, { key }: Visitor): void {
      this.parts.metrics.replayed(endpoint.name);
      this.parts.logger.info({ requestId: id, ...clientRequestId(headers), firstRequestId, keyId: key.id }, 'replayed');
    }

    /** Keeps the body no longer than until the call has its hold. */
    private async admitted(
      http: FastifyRequest,
      { span, left, stream }: { span: Span; left: AbortSignal; stream: VisitorStream },
    ): Promise<{ call: (AdmittedCall & { body?: Body }) | KeptAnswer; adjusted: readonly string[] }> {
      const body = (http.body as ReadBody | undefined) ?? noBody();
      http.body = undefined;
      const { key, campaign } = visitorOf(http);
      let isAdmitted = false;
      try {
        const wanted = await this.read(http, body, key.id, left);
        if (wanted.request.background && policyOf(visitorOf(http), wanted).shelf === 'off') throw keepsNothing();
        span.setAttributes({
          'daypass.key_id': key.id,
          'daypass.campaign': campaign.slug,
          'gen_ai.request.model': wanted.request.model,
        });
        stream.facts = wanted.request.facts;
        if (wanted.request.stream) stream.keepAlive(headBeforeHold(http, wanted));
        const call = await traced('hold', {}, () => this.steps.run(key.id, body.bytes, () => this.admit(http, wanted)));
        isAdmitted = !('reply' in call);
        const { request } = wanted;
        const queued = request.background && !('reply' in call) ? { body: request.body } : {};
        return { call: { ...call, ...queued }, adjusted: request.adjusted };
      } catch (error) {
        if (!body.isCounted) await this.keyBytes.count(key.id, body.bytes);
        throw error;
      } finally {
        body.place?.leave();
        // With its call, whoever ends that deletes them. What stays here lapses.
        if (body.blobs.length > 0 && !isAdmitted) await this.files.drop(http.id).catch(() => undefined);
      }
    }

    private async admit(http: FastifyRequest, wanted: Wanted): Promise<AdmittedCall | KeptAnswer> {
      try {
        return await this.admission.admit(visitorOf(http), wanted);
      } catch (error) {
        if (!(error instanceof StaleVisitor)) throw error;
        const visitor = await this.guard.enterAgain(http);
        return this.steps.run(visitor.key.id, wanted.sent.bytes, () => this.admission.admit(visitor, wanted));
      }
    }

    /** @throws DaypassError that names what is wrong with the request */
    private async read(
      { id, headers, originalUrl }: FastifyRequest,
      sent: SentBody,
      keyId: string,
      left: AbortSignal,
    ): Promise<Wanted> {
      const { deployment } = requestPath(originalUrl, SERVED);
      // As with Azure, the model in the path wins.
      const { json, blobs, bytes } = sent;
      const body = deployment === null || !isObject(json) ? json : { ...json, model: deployment };
      const step = <T>(work: () => T): Promise<T> => this.steps.run(keyId, bytes, work);
      const request = await step(() => endpoint.parse({ json: body, blobs }, clientOf(headers)));
      const wish = wishOf(request.wish, headers);
      const { limits, secrets } = this.config;
      const name = headers['idempotency-key'];
      const asked =
        name === undefined
          ? ''
          : await step(() => JSON.stringify({ ...nameOf(endpoint), body, wish, ...askedFiles(blobs) }));
      return {
        requestId: id,
        endpoint,
        request,
        wish,
        maxWaitMs: maxWaitOf(headers['x-daypass-max-wait-ms'], limits.maxWaitMs),
        idempotency: await step(() => idempotencyOf(name, asked, secrets.idempotencyPepper)),
        origin: publicUrlOf(headers, this.config),
        trace: traceparentNow(),
        sent,
        left,
      };
    }
  }
  return CallController;
}

function keepsNothing(): DaypassError {
  return new DaypassError(
    'invalid_request',
    "The campaign of this key keeps no responses, so that nobody could fetch this one. Leave 'background' out.",
    { param: 'background' },
  );
}

/** A request without a body. */
const noBody = (): SentBody => ({ json: undefined, blobs: [], bytes: 0, isCounted: true });

/** What tells the files of two requests from each other. */
const askedFiles = (blobs: readonly Blob[]): { files?: unknown } =>
  blobs.length > 0 ? { files: blobs.map(({ field, hash }) => [field, hash]) } : {};

/**
 * Sends the first answer again. Under an idempotency key it has the request id and the cost of the first call. The repeat
 * itself costs nothing.
 */
function sendKept(
  { requestId, reply: kept, stopped, after }: KeptAnswer,
  adjusted: readonly string[],
  { key: { rpm, tpm } }: Visitor,
  reply: FastifyReply,
  stream: VisitorStream,
): void {
  if (stream.opened) {
    if (isEventStream(kept.contentType)) stream.end(kept.body);
    else stream.fail(JSON.parse(kept.body) as ErrorBody, asksAgain(kept));
    return;
  }
  const body = toldBytes(kept.status, shownBody(kept), stream.origin);
  writeHead(reply, kept.status, {
    requestId,
    meta: kept.meta,
    availableNano: after.availableNano,
    use: { rpm, tpm, requests: after.windowRequests, tokens: after.windowTokens },
    adjusted,
    headers: {
      ...kept.headers,
      'content-type': kept.contentType,
      'content-length': String(body.length),
      ...(stopped ? {} : REPLAYED),
    },
  });
  reply.raw.end(body);
}

/** The head of a stream that waits for money. */
function headBeforeHold(http: FastifyRequest, wanted: Wanted): () => Head {
  const startedMs = performance.now();
  return () => {
    const visitor = visitorOf(http);
    const { input, output } = policyOf(visitor, wanted);
    const { budget, spent, held } = visitor.key;
    return {
      requestId: wanted.requestId,
      meta: { moderation: { input, output }, queueMs: performance.now() - startedMs },
      availableNano: budget - spent - held,
      use: visitor.use,
      adjusted: wanted.request.adjusted,
      headers: {},
    };
  };
}
