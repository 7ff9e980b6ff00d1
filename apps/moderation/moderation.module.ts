import { BullModule, getQueueToken } from '@nestjs/bullmq';
import { Module, type DynamicModule } from '@nestjs/common';
import type { Queue } from 'bullmq';
import type { Registry } from 'prom-client';
import type { DaypassConfig } from '#libs/config/config.js';
import { laneQueue, MODERATION_QUEUE } from '#libs/contracts/jobs.js';
import type { Logger } from '#libs/service/logger.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { PlatformModule } from '#libs/service/platform.module.js';
import { upstreamProviders } from '#libs/service/upstream.providers.js';
import { bullOptions } from '#libs/queues/bull.options.js';
import { queueErrors, queuesOf } from '#libs/service/queue.providers.js';
import { LaneQueues } from '#libs/queues/lane-queues.js';
import { InputModerator } from './input.moderator.js';
import { createModerationProcessor } from './moderation.processor.js';
import { QueueMetrics } from './queue.metrics.js';

@Module({})
export class ModerationModule {
  static register(config: DaypassConfig, logger: Logger, registry: Registry): DynamicModule {
    const lanes = new LaneTable(config.file).names();
    return {
      module: ModerationModule,
      imports: [
        PlatformModule.register(config, logger, registry),
        BullModule.forRoot(bullOptions(config.redisUrl, config.traces)),
        queuesOf([MODERATION_QUEUE, ...lanes.map(laneQueue)]),
      ],
      providers: [
        queueErrors([MODERATION_QUEUE, ...lanes.map(laneQueue)]),
        ...upstreamProviders,
        {
          provide: LaneQueues,
          inject: [LaneLine, ...lanes.map((lane) => getQueueToken(laneQueue(lane)))],
          useFactory: (line: LaneLine, ...queues: Queue[]) => new LaneQueues(lanes, queues, line),
        },
        InputModerator,
        QueueMetrics,
        createModerationProcessor(config),
      ],
    };
  }
}
