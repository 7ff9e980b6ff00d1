import { BullModule, getQueueToken } from '@nestjs/bullmq';
import { Module, type DynamicModule } from '@nestjs/common';
import type { Queue } from 'bullmq';
import OpenAI from 'openai';
import type { Redis } from 'ioredis';
import type { Registry } from 'prom-client';
import type { DaypassConfig } from '#libs/config/config.js';
import { INQUIRY_QUEUE, laneQueue, MODERATION_QUEUE } from '#libs/contracts/jobs.js';
import type { Logger } from '#libs/service/logger.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import { ReplyChannel } from '#libs/holds/reply.channel.js';
import { LastPacer } from '#libs/pacing/last.pacer.js';
import { LaneTable, MODERATION_LANE } from '#libs/pacing/lanes.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { moderationEndpoint } from '#libs/service/moderation.endpoint.js';
import { PlatformModule } from '#libs/service/platform.module.js';
import { upstreamProviders } from '#libs/service/upstream.providers.js';
import { bullOptions } from '#libs/queues/bull.options.js';
import { queueErrors, queuesOf } from '#libs/service/queue.providers.js';
import { LaneQueues } from '#libs/queues/lane-queues.js';
import { ImageAddresses } from '#libs/moderation/images/image.addresses.js';
import { ImageAllowance } from '#libs/moderation/images/image.allowance.js';
import { ImageFetcher } from '#libs/moderation/images/image.fetcher.js';
import { RemoteImages } from '#libs/moderation/images/remote.images.js';
import { LOGGER, MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { ImageMetrics } from './image.metrics.js';
import { InputModerator } from './input.moderator.js';
import { InquiryDesk } from './inquiry.desk.js';
import { createInquiryProcessor } from './inquiry.processor.js';
import { JudgingPlaces } from './judging.places.js';
import { createModerationProcessor } from './moderation.processor.js';
import { QueueMetrics } from './queue.metrics.js';

/** A call that is judged costs a process far less than one that runs. */
const JUDGED_PER_CONCURRENCY = 4;

@Module({})
export class ModerationModule {
  static register(config: DaypassConfig, logger: Logger, registry: Registry): DynamicModule {
    const lanes = new LaneTable(config.file).names();
    return {
      module: ModerationModule,
      imports: [
        PlatformModule.register(config, logger, registry),
        BullModule.forRoot(bullOptions(config.redisUrl, config.traces)),
        queuesOf([MODERATION_QUEUE, INQUIRY_QUEUE, ...lanes.map(laneQueue)]),
      ],
      providers: [
        queueErrors([MODERATION_QUEUE, INQUIRY_QUEUE, ...lanes.map(laneQueue)]),
        ...upstreamProviders,
        {
          provide: LaneQueues,
          inject: [LaneLine, ...lanes.map((lane) => getQueueToken(laneQueue(lane)))],
          useFactory: (line: LaneLine, ...queues: Queue[]) => new LaneQueues(lanes, queues, line),
        },
        ImageMetrics,
        {
          provide: RemoteImages,
          inject: [MONEY_REDIS, ImageMetrics],
          useFactory: (redis: Redis, metrics: ImageMetrics) => remoteImages(config, redis, metrics),
        },
        { provide: JudgingPlaces, useValue: new JudgingPlaces(JUDGED_PER_CONCURRENCY * config.limits.concurrency) },
        InputModerator,
        {
          provide: InquiryDesk,
          inject: [MONEY_REDIS, ContentBox, ReplyChannel, LaneTable, OpenAI, LOGGER],
          useFactory: (
            redis: Redis,
            box: ContentBox,
            channel: ReplyChannel,
            table: LaneTable,
            client: OpenAI,
            log: Logger,
          ) =>
            new InquiryDesk({
              redis,
              box,
              channel,
              pacer: new LastPacer(redis, table.upstreamsOf(MODERATION_LANE)[0]!),
              ask: moderationEndpoint(client),
              timeoutMs: config.limits.moderationTimeoutMs,
              logger: log,
            }),
        },
        createInquiryProcessor(config),
        QueueMetrics,
        createModerationProcessor(config),
      ],
    };
  }
}

function remoteImages({ images }: DaypassConfig, redis: Redis, metrics: ImageMetrics): RemoteImages {
  return new RemoteImages({
    fetcher: new ImageFetcher(new ImageAddresses(images.hostsAllowed)),
    allowance: new ImageAllowance(redis, images.bytesPerHour),
    observe: (outcome, count) => metrics.fetched(outcome, count),
    mostBytes: images.bytes,
    timeoutMs: images.timeoutMs,
  });
}
