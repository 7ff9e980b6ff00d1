import OpenAI from 'openai';
import type { Redis } from 'ioredis';
import type { Registry } from 'prom-client';
import type { DaypassConfig } from '#libs/config/config.js';
import { FileStore } from '#libs/holds/file.store.js';
import { Checker } from '#libs/moderation/checker.js';
import { createGuards } from '#libs/moderation/guards/guards.factory.js';
import { BlobImages } from '#libs/moderation/images/blob.images.js';
import { InputJudge } from '#libs/moderation/input.judge.js';
import { ModerationMetrics } from '#libs/moderation/moderation.metrics.js';
import { Moderator } from '#libs/moderation/moderator.js';
import { VerdictCache } from '#libs/moderation/verdict-cache.js';
import type { Logger } from './logger.js';
import { LanePacer } from '#libs/pacing/lane-pacer.js';
import { LaneTable, MODERATION_LANE } from '#libs/pacing/lanes.js';
import { EventRecorder } from '#libs/redis/event.recorder.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { moderationEndpoint } from './moderation.endpoint.js';
import { plainFetch } from './plain-fetch.js';
import { CONFIG, LOGGER, MONEY_REDIS, REGISTRY } from './platform.tokens.js';

/**
 * The upstream's official client without its own retries. The holds decide what may be repeated. Verdicts are asked for
 * without it.
 */
export const upstreamProviders = [
  {
    provide: OpenAI,
    useFactory: (config: DaypassConfig) =>
      new OpenAI({
        apiKey: config.openai.apiKey,
        baseURL: config.openai.baseUrl,
        organization: null,
        project: null,
        maxRetries: 0,
        timeout: config.limits.upstreamTimeoutMs,
        fetch: plainFetch(),
      }),
    inject: [CONFIG],
  },
  {
    provide: ModerationMetrics,
    useFactory: (registry: Registry) => new ModerationMetrics(registry),
    inject: [REGISTRY],
  },
  {
    provide: Moderator,
    useFactory: (config: DaypassConfig, redis: Redis, lanes: LaneTable, client: OpenAI, metrics: ModerationMetrics) =>
      new Moderator({
        askEndpoint: moderationEndpoint(client),
        model: config.moderationModel,
        pacer: new LanePacer(redis, lanes.upstreamsOf(MODERATION_LANE)[0]!),
        cache: new VerdictCache(redis, { pepper: config.secrets.verdictPepper }),
        timeoutMs: config.limits.moderationTimeoutMs,
        observe: (seconds, outcome) => metrics.call(seconds, outcome),
        observeCache: (cached, texts) => metrics.texts(cached, texts),
      }),
    inject: [CONFIG, MONEY_REDIS, LaneTable, OpenAI, ModerationMetrics],
  },
  {
    provide: Checker,
    useFactory: async (
      config: DaypassConfig,
      logger: Logger,
      redis: Redis,
      box: ContentBox,
      moderator: Moderator,
      metrics: ModerationMetrics,
    ) =>
      new Checker({
        guards: await createGuards(config.file.guards, moderator, config.moderationModel),
        recorder: new EventRecorder(redis),
        box,
        metrics,
        logger,
      }),
    inject: [CONFIG, LOGGER, MONEY_REDIS, ContentBox, Moderator, ModerationMetrics],
  },
  {
    provide: InputJudge,
    useFactory: (checker: Checker, metrics: ModerationMetrics, logger: Logger, files: FileStore) =>
      new InputJudge(checker, metrics, logger, new BlobImages((requestId, blob) => files.read(requestId, blob))),
    inject: [Checker, ModerationMetrics, LOGGER, FileStore],
  },
];
