import { Global, Module, type DynamicModule } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { Registry } from 'prom-client';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Logger } from './logger.js';
import { assertKeepsData, moneyConnection, whenReady } from '#libs/redis/connection.js';
import { CallEnder } from '#libs/holds/call-ender.js';
import { FileStore } from '#libs/holds/file.store.js';
import { keptBounds } from '#libs/holds/kept-reply.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import { LeaseKeeper } from '#libs/holds/lease-keeper.js';
import { RecentRefusals } from '#libs/holds/recent-refusals.js';
import { ReplyChannel } from '#libs/holds/reply.channel.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { ShelfStore } from '#libs/shelf/shelf.store.js';
import { shelfBounds } from '#libs/shelf/shelf.types.js';
import { Circuits } from '#libs/pacing/circuit.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { CONFIG, LOGGER, MONEY_REDIS, REGISTRY } from './platform.tokens.js';
import { RedisLifecycle } from './redis.lifecycle.js';
import { Stats } from './stats.js';

/** What the services on a call's way share: configuration, log, metrics, the money connection and its scripts. */
@Global()
@Module({})
export class PlatformModule {
  static register(config: DaypassConfig, logger: Logger, registry: Registry): DynamicModule {
    const providers = [
      { provide: CONFIG, useValue: config },
      { provide: LOGGER, useValue: logger },
      { provide: REGISTRY, useValue: registry },
      {
        provide: MONEY_REDIS,
        useFactory: async (): Promise<Redis> => {
          const redis = moneyConnection(config.redisUrl);
          redis.on('error', (error) => logger.warn({ err: error }, 'Redis connection'));
          await whenReady(redis);
          await assertKeepsData(redis);
          return redis;
        },
      },
      { provide: HoldStore, useFactory: (redis: Redis) => new HoldStore(redis), inject: [MONEY_REDIS] },
      {
        provide: LeaseKeeper,
        useFactory: (redis: Redis, holds: HoldStore) =>
          new LeaseKeeper(redis, holds, (error) =>
            logger.warn({ err: error }, 'the process could not renew its leases'),
          ),
        inject: [MONEY_REDIS, HoldStore],
      },
      { provide: ContentBox, useValue: new ContentBox(config.secrets.contentKey) },
      {
        provide: CallEnder,
        useFactory: (holds: HoldStore, box: ContentBox, refusals: RecentRefusals) =>
          new CallEnder(holds, box, keptBounds(config.limits), refusals),
        inject: [HoldStore, ContentBox, RecentRefusals],
      },
      {
        provide: FileStore,
        useFactory: (redis: Redis, box: ContentBox) =>
          new FileStore(redis, box, { most: config.limits.uploadsBytes, largest: config.limits.uploadBytes }),
        inject: [MONEY_REDIS, ContentBox],
      },
      { provide: RecentRefusals, useFactory: (redis: Redis) => new RecentRefusals(redis), inject: [MONEY_REDIS] },
      {
        provide: ReplyChannel,
        useFactory: (redis: Redis, box: ContentBox) => new ReplyChannel(redis, box),
        inject: [MONEY_REDIS, ContentBox],
      },
      {
        provide: ShelfStore,
        useFactory: (redis: Redis, box: ContentBox) => new ShelfStore(redis, box, shelfBounds(config.limits)),
        inject: [MONEY_REDIS, ContentBox],
      },
      { provide: Stats, useFactory: (redis: Redis) => new Stats(config.service, redis), inject: [MONEY_REDIS] },
      { provide: LaneTable, useValue: new LaneTable(config.file, config.openai.baseUrl) },
      { provide: Circuits, useFactory: (redis: Redis) => new Circuits(redis), inject: [MONEY_REDIS] },
      {
        provide: LaneLine,
        useFactory: (redis: Redis, lanes: LaneTable) => new LaneLine(redis, lanes),
        inject: [MONEY_REDIS, LaneTable],
      },
    ];
    return {
      module: PlatformModule,
      providers: [...providers, RedisLifecycle],
      exports: providers.map(({ provide }) => provide),
    };
  }
}
