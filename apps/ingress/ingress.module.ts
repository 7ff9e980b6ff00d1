import { BullModule, getQueueToken } from '@nestjs/bullmq';
import { Module, type DynamicModule } from '@nestjs/common';
import type { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Registry } from 'prom-client';
import type { DaypassConfig } from '#libs/config/config.js';
import { DESK_QUEUE, ERRANDS_QUEUE } from '#libs/contracts/claims.js';
import { INQUIRY_QUEUE, laneQueue, MODERATION_QUEUE } from '#libs/contracts/jobs.js';
import { ENDPOINTS } from '#libs/endpoints/registry.js';
import { PriceBook } from '#libs/money/prices.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import type { Logger } from '#libs/service/logger.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { ConversationStore } from '#libs/shelf/conversation.store.js';
import { ShelfStore } from '#libs/shelf/shelf.store.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { PlatformModule } from '#libs/service/platform.module.js';
import { bullOptions } from '#libs/queues/bull.options.js';
import { queueErrors, queuesOf } from '#libs/service/queue.providers.js';
import { LaneQueues } from '#libs/queues/lane-queues.js';
import { Authenticator } from './door/authenticator.service.js';
import { BackgroundStore } from '#libs/shelf/background.store.js';
import { BackgroundCalls } from './calls/background.calls.js';
import { CallQueues } from './calls/call.queues.js';
import { CallQuoter } from './calls/call.quoter.js';
import { CallService } from './calls/call.service.js';
import { RepeatedCalls } from './calls/repeated.calls.js';
import { Admission } from './calls/admission.js';
import { ClaimAddress } from './claims/claim.address.js';
import { ClaimController } from './claims/claim.controller.js';
import { ClaimService } from './claims/claim.service.js';
import { ClaimStore } from './claims/claim.store.js';
import { HandOverController } from './claims/hand.over.controller.js';
import { HandOvers } from './claims/hand.over.service.js';
import { HandOverStore } from './claims/hand.over.store.js';
import { EmailGate } from './claims/email.gate.js';
import { GithubSignIn } from './claims/github.sign-in.js';
import { Identities } from './claims/identities.js';
import { IdentityCookies } from './claims/identity.cookies.js';
import { LinkOpens } from './claims/link.opens.js';
import { LinkViews } from './claims/link.views.js';
import { MailStore } from './claims/mail.store.js';
import { ProofOfWork } from './claims/proof.of.work.js';
import { SignInController } from './claims/sign-in.controller.js';
import { DeskClient } from './desk/desk.client.js';
import { createCallController } from './calls/call.controller.js';
import { KeyBytes } from './door/key.bytes.js';
import { BodyReader } from './door/body.reader.js';
import { RouteGuard } from './door/route-guard.js';
import { ErrorFilter } from './door/error.filter.js';
import { IngressMetrics } from './ingress.metrics.js';
import { PRICE_BOOK } from './ingress.tokens.js';
import { KeyController } from './key/key.controller.js';
import { ModelOffer } from './model.offer.js';
import { ModelsController } from './models/models.controller.js';
import { InquiryClient } from './moderations/inquiry.client.js';
import { ModerationsController } from './moderations/moderations.controller.js';
import { PlaceTeller } from './answers/place.teller.js';
import { ReplyReader } from './answers/reply.reader.js';
import { ConversationsController } from './shelf/conversations.controller.js';
import { InputTokensController } from './shelf/input-tokens.controller.js';
import { StoredResponsesController } from './shelf/stored-responses.controller.js';
import { VisitInterceptor } from './shelf/visit.interceptor.js';
import { StepLine } from './step.line.js';
import { UnreadAnswers } from './answers/unread.answers.js';

@Module({})
export class IngressModule {
  static register(config: DaypassConfig, logger: Logger, registry: Registry): DynamicModule {
    const lanes = new LaneTable(config.file).names();
    return {
      module: IngressModule,
      imports: [
        PlatformModule.register(config, logger, registry),
        BullModule.forRoot(bullOptions(config.redisUrl, config.traces)),
        queuesOf([MODERATION_QUEUE, INQUIRY_QUEUE, DESK_QUEUE, ERRANDS_QUEUE, ...lanes.map(laneQueue)]),
      ],
      controllers: [
        ...ENDPOINTS.map(createCallController),
        ModelsController,
        ModerationsController,
        KeyController,
        ClaimController,
        HandOverController,
        SignInController,
        InputTokensController,
        StoredResponsesController,
        ConversationsController,
      ],
      providers: [
        queueErrors([MODERATION_QUEUE, INQUIRY_QUEUE, DESK_QUEUE, ERRANDS_QUEUE, ...lanes.map(laneQueue)]),
        { provide: PRICE_BOOK, useValue: new PriceBook(config.file.prices) },
        {
          provide: CallQueues,
          inject: [LaneLine, getQueueToken(MODERATION_QUEUE), ...lanes.map((lane) => getQueueToken(laneQueue(lane)))],
          useFactory: (line: LaneLine, moderation: Queue, ...queues: Queue[]) =>
            new CallQueues(moderation, new LaneQueues(lanes, queues, line)),
        },
        {
          provide: ConversationStore,
          inject: [MONEY_REDIS, ContentBox, ShelfStore],
          useFactory: (redis: Redis, box: ContentBox, shelf: ShelfStore) => new ConversationStore(redis, box, shelf),
        },
        Admission,
        Authenticator,
        BackgroundCalls,
        {
          provide: BackgroundStore,
          inject: [MONEY_REDIS, ContentBox],
          useFactory: (redis: Redis, box: ContentBox) => new BackgroundStore(redis, box),
        },
        BodyReader,
        CallQuoter,
        CallService,
        ClaimAddress,
        ClaimService,
        ClaimStore,
        DeskClient,
        EmailGate,
        ErrorFilter,
        HandOvers,
        HandOverStore,
        GithubSignIn,
        Identities,
        IdentityCookies,
        IngressMetrics,
        InquiryClient,
        LinkOpens,
        LinkViews,
        MailStore,
        ModelOffer,
        PlaceTeller,
        ProofOfWork,
        KeyBytes,
        RepeatedCalls,
        ReplyReader,
        RouteGuard,
        StepLine,
        UnreadAnswers,
        VisitInterceptor,
      ],
    };
  }
}
