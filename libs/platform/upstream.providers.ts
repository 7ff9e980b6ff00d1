import OpenAI from 'openai';
import type { Redis } from 'ioredis';
import type { Registry } from 'prom-client';
import type { DaypassConfig } from '#libs/config/config.js';
import { ModerationMetrics } from '#libs/moderation/moderation.metrics.js';
import { Moderator } from '#libs/moderation/moderator.js';
import { VerdictCache } from '#libs/moderation/verdict-cache.js';
import { LanePacer } from '#libs/pacing/lane-pacer.js';
import { LaneTable, MODERATION_LANE } from '#libs/pacing/lanes.js';
import { CONFIG, MONEY_REDIS, REGISTRY } from './platform.tokens.js';

/** The upstream's official client with its own retries off: what may be repeated is for the holds to say. */
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
      }),
    inject: [CONFIG],
  },
  { provide: ModerationMetrics, useFactory: (registry: Registry) => new ModerationMetrics(registry), inject: [REGISTRY] },
  {
    provide: Moderator,
    useFactory: (config: DaypassConfig, redis: Redis, lanes: LaneTable, client: OpenAI, metrics: ModerationMetrics) =>
      new Moderator({
        client,
        model: config.moderationModel,
        pacer: new LanePacer(redis, MODERATION_LANE, lanes.limitsOf(MODERATION_LANE)),
        cache: new VerdictCache(redis, { pepper: config.secrets.verdictPepper }),
        timeoutMs: config.limits.moderationTimeoutMs,
        observe: (seconds, outcome) => metrics.call(seconds, outcome),
        observeCache: (known, texts) => metrics.texts(known, texts),
      }),
    inject: [CONFIG, MONEY_REDIS, LaneTable, OpenAI, ModerationMetrics],
  },
];
