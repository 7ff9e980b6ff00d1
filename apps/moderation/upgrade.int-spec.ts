import 'reflect-metadata';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { NestFactory } from '@nestjs/core';
import type { INestApplicationContext } from '@nestjs/common';
import { Redis } from 'ioredis';
import { loadConfig } from '#libs/config/config.js';
import { LaneLine } from '#libs/pacing/lane-line.js';
import { redisKeys } from '#libs/redis/keys.js';
import { Rehearsal } from '#libs/rehearsal/rehearsal.js';
import { createLogger, NestLogger } from '#libs/service/logger.js';
import { createRegistry } from '#libs/service/ops-server.js';
import { borrowRedis } from '#libs/testing/borrowed.js';
import { until } from '#libs/testing/until.js';
import { BEFORE, formerTicket, formerTicketSchema, restoreBefore, ticketNow } from '#libs/testing/version-before.js';
import { ModerationModule } from './moderation.module.js';

let redis: Redis;
let rehearsal: Rehearsal;
let app: INestApplicationContext;
beforeAll(async () => {
  const redisUrl = await borrowRedis();
  redis = new Redis(redisUrl);
  rehearsal = await Rehearsal.start();
  await restoreBefore(redis);
  const config = loadConfig('moderation', {
    OPENAI_API_KEY: 'unused',
    OPENAI_BASE_URL: rehearsal.url,
    REDIS_URL: redisUrl,
    DAYPASS_SECRET: BEFORE.secret,
    DAYPASS_LOG_LEVEL: 'silent',
  });
  const logger = createLogger('moderation', 'silent');
  app = await NestFactory.createApplicationContext(
    ModerationModule.register(config, logger, createRegistry('moderation')),
    { logger: new NestLogger(logger) },
  );
});
afterAll(async () => {
  await app?.close();
  await rehearsal?.stop();
  redis?.disconnect();
});

describe('jobs of the version before', () => {
  it('are judged, and go on so that both versions can read them', async () => {
    const { judged, inLane } = BEFORE.calls;
    const written = (requestId: string) => redis.get(redisKeys.ticket(requestId));
    await until('both have been judged', async () => (await Promise.all(judged.map(written))).every(Boolean));
    expect(rehearsal.moderationCalls().flatMap(({ body }) => body.input)).toEqual(
      expect.arrayContaining(['Judge me first', 'Judge me, too', 'look\n{"place":"here"}', 'found']),
    );

    for (const requestId of judged) {
      const read = formerTicketSchema.parse(JSON.parse((await written(requestId))!));
      expect(read).toEqual({ ...formerTicket(requestId), inputVerdict: 'pass' });
    }
    const heads = await app.get(LaneLine).heads('default', 10);
    expect(heads).toHaveLength(3);
    expect(heads).toEqual(expect.arrayContaining([inLane, ...judged].map(ticketNow)));
  });
});
