import { createHash, randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { redisNowMs } from '#libs/redis/clock.js';
import { redisKeys } from '#libs/redis/keys.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';

const LIFE_MS = 300_000;
/** Beyond so many the oldest ones no longer sign in. */
const CODES_MAX = 20;
const CODE_BYTES = 24;

export interface SignInLink {
  url: string;
  expires_at: string;
}

/** Links that sign in to the console once, within five minutes. Redis has only the hash of each code. */
@Injectable()
export class SignInLinks {
  constructor(@Inject(MONEY_REDIS) private readonly redis: Redis) {}

  /** `origin`: where the browser finds the console. The code stands behind `#`, so that no server logs it. */
  async make(origin: string): Promise<SignInLink> {
    const code = randomBytes(CODE_BYTES).toString('base64url');
    const nowMs = await redisNowMs(this.redis);
    const untilMs = nowMs + LIFE_MS;
    await this.redis
      .multi()
      .zremrangebyscore(redisKeys.signInCodes, '-inf', nowMs)
      .zadd(redisKeys.signInCodes, untilMs, hashOf(code))
      .zremrangebyrank(redisKeys.signInCodes, 0, -CODES_MAX - 1)
      .pexpire(redisKeys.signInCodes, LIFE_MS)
      .exec();
    return { url: `${origin}/console/login#code=${code}`, expires_at: new Date(untilMs).toISOString() };
  }

  /** Whether the code signs in. It does so once. */
  async redeem(code: string): Promise<boolean> {
    const nowMs = await redisNowMs(this.redis);
    const untilMs = await this.redis.zscore(redisKeys.signInCodes, hashOf(code));
    // Of two requests with one code, the one that removes it wins.
    return (
      untilMs !== null && (await this.redis.zrem(redisKeys.signInCodes, hashOf(code))) === 1 && Number(untilMs) > nowMs
    );
  }
}

const hashOf = (code: string): string => createHash('sha256').update(code).digest('base64url');
