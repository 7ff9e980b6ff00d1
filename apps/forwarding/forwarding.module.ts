import { BullModule } from '@nestjs/bullmq';
import { Module, type DynamicModule } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { Registry } from 'prom-client';
import type { DaypassConfig } from '#libs/config/config.js';
import { laneQueue } from '#libs/contracts/jobs.js';
import type { Logger } from '#libs/service/logger.js';
import { StoppedCalls } from '#libs/holds/stopped.calls.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { PlatformModule } from '#libs/service/platform.module.js';
import { upstreamProviders } from '#libs/service/upstream.providers.js';
import { bullOptions } from '#libs/queues/bull.options.js';
import { queueErrors, queuesOf } from '#libs/service/queue.providers.js';
import { AnswerRelay } from './answers/answer.relay.js';
import { AnswerDelivery } from './attempt/answer.delivery.js';
import { AttemptFailures } from './attempt/attempt.failures.js';
import { AttemptRunner } from './attempt/attempt.runner.js';
import { CallEnds } from './attempt/call.ends.js';
import { CallRequeue } from './attempt/call.requeue.js';
import { CancelListener } from './attempt/cancel.listener.js';
import { ParallelInput } from './attempt/parallel.input.js';
import { ForwardingMetrics } from './forwarding.metrics.js';
import { createLaneProcessor } from './turns/lane.processor.js';
import { TurnTaker } from './turns/turn.taker.js';
import { OutputGate } from './answers/output.gate.js';
import { UpstreamClient } from './attempt/upstream.client.js';
import { UpstreamExchange } from './attempt/upstream.exchange.js';
import { UpstreamHealth } from './attempt/upstream.health.js';
import { UpstreamQuestion } from './attempt/upstream.question.js';

@Module({})
export class ForwardingModule {
  static register(config: DaypassConfig, logger: Logger, registry: Registry): DynamicModule {
    const lanes = new LaneTable(config.file).names();
    return {
      module: ForwardingModule,
      imports: [
        PlatformModule.register(config, logger, registry),
        BullModule.forRoot(bullOptions(config.redisUrl, config.traces)),
        queuesOf(lanes.map(laneQueue)),
      ],
      providers: [
        queueErrors(lanes.map(laneQueue)),
        ...upstreamProviders,
        AnswerDelivery,
        AnswerRelay,
        AttemptFailures,
        AttemptRunner,
        CallEnds,
        CallRequeue,
        CancelListener,
        ForwardingMetrics,
        OutputGate,
        ParallelInput,
        {
          provide: StoppedCalls,
          useFactory: (redis: Redis, box: ContentBox) => new StoppedCalls(redis, box),
          inject: [MONEY_REDIS, ContentBox],
        },
        TurnTaker,
        UpstreamClient,
        UpstreamExchange,
        UpstreamHealth,
        UpstreamQuestion,
        ...lanes.map((lane) => createLaneProcessor(lane, config)),
      ],
    };
  }
}
