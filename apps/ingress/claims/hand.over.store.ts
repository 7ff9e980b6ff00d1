import { Inject, Injectable } from '@nestjs/common';
import { createHash, randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { redisKeys } from '#libs/redis/keys.js';
import { defineBinaryScript, type Script } from '#libs/redis/scripts.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';

/** A one-time code lives so long. */
export const HAND_OVER_LIFE_MS = 60_000;
/** For so long Daypass tells that a code was used; then nobody knows it any more. */
const USED_LIFE_MS = 600_000;
/** Codes that one key gets within a minute. */
export const HAND_OVERS_MOST = 10;
const WINDOW_MS = 60_000;
const CODE_BYTES = 32;
const USED = 'used';

const handOverSchema = z.object({
  key: z.string(),
  base_url: z.string(),
  expires_at: z.string().nullable(),
  /** null: the code is for the project's own page, which proves nothing more. */
  challenge: z.string().nullable(),
  /** Pages of these origins may exchange the code. */
  origins: z.array(z.string()),
});
/** What a one-time code stands for. */
export type HandOver = z.infer<typeof handOverSchema>;

/** One-time codes in Redis: what each stands for is sealed, and the code itself is not there. */
@Injectable()
export class HandOverStore {
  private readonly keepScript: Script;

  constructor(
    @Inject(MONEY_REDIS) private readonly redis: Redis,
    private readonly box: ContentBox,
  ) {
    this.keepScript = defineBinaryScript(redis, 'keep-hand-over');
  }

  /** Returns a new code, or after how many milliseconds the key may have one. */
  async keep(keyId: string, handOver: HandOver): Promise<{ code: string } | { waitMs: number }> {
    const code = randomBytes(CODE_BYTES).toString('base64url');
    const name = nameOf(code);
    const keys = [redisKeys.handOver(name), redisKeys.handOverCount(keyId)];
    const sealed = this.box.seal(JSON.stringify(handOver), sealOf(name));
    const args = [sealed, HAND_OVER_LIFE_MS, HAND_OVERS_MOST, WINDOW_MS];
    const [word, wait] = (await this.keepScript(keys, args)) as Buffer[];
    return String(word) === 'ok' ? { code } : { waitMs: Math.max(1, Number(String(wait))) };
  }

  /** Changes nothing. null: nobody knows the code, or no longer. */
  async find(code: string): Promise<HandOver | 'used' | null> {
    const name = nameOf(code);
    return this.open(await this.redis.getBuffer(redisKeys.handOver(name)), name);
  }

  /** As `find`, and uses the code up: of several at once one finds it. */
  async take(code: string): Promise<HandOver | 'used' | null> {
    const name = nameOf(code);
    const args = [redisKeys.handOver(name), USED, 'XX', 'GET', 'PX', USED_LIFE_MS];
    return this.open((await this.redis.callBuffer('SET', ...args)) as Buffer | null, name);
  }

  private open(found: Buffer | null, name: string): HandOver | 'used' | null {
    if (found === null) return null;
    if (String(found) === USED) return 'used';
    return handOverSchema.parse(JSON.parse(this.box.open(found, sealOf(name))));
  }
}

const nameOf = (code: string): string => createHash('sha256').update(code).digest('base64url');
const sealOf = (name: string): string => `hand-over ${name}`;
