import type { Redis } from 'ioredis';
import { z } from 'zod';
import { ERRORS, type ErrorBody } from '#libs/contracts/errors.js';
import { refusalSchema, type Refusal } from '#libs/contracts/held-key.js';
import type { Reply } from '#libs/contracts/reply.js';
import { redisKeys } from '#libs/redis/keys.js';

/** A key's holder sees so many, of the last day. */
export const REFUSALS_MAX = 20;
const LIFE_SECONDS = 86_400;
/** A key may be refused a thousand times a second. Redis hears of it as often as this. */
const FLUSH_MS = 250;
/** Within that time. The refusals of further keys are not kept. */
const KEYS_MAX = 1_000;
const DETAILS_CHARACTERS_MAX = 2_000;

/** The last refusals of each key, which its holder may see. Nobody waits for them, and a Redis that is away loses them. */
export class RecentRefusals {
  private refusals = new Map<string, string[]>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly redis: Redis) {}

  note(keyId: string, requestId: string, { code, daypass = {} }: Pick<ErrorBody['error'], 'code' | 'daypass'>): void {
    if (code === null || !Object.hasOwn(ERRORS, code)) return;
    const ofKey = this.refusals.get(keyId) ?? [];
    if (ofKey.length === 0 && this.refusals.size >= KEYS_MAX) return;
    const details = JSON.stringify(daypass).length > DETAILS_CHARACTERS_MAX ? {} : daypass;
    const refusal: Refusal = { at: new Date().toISOString(), code, details, request_id: requestId };
    this.refusals.set(keyId, [...ofKey, JSON.stringify(refusal)].slice(-REFUSALS_MAX));
    this.timer ??= setTimeout(() => void this.flush(), FLUSH_MS).unref();
  }

  /** The same of an answer on its way to the visitor, where it is a refusal of Daypass. */
  noteReply(keyId: string, requestId: string, reply: Reply | null): void {
    if (reply?.type !== 'answer' || reply.status < 400 || reply.binary) return;
    const parsed = errorSchema.safeParse(json(reply.body));
    if (parsed.success) this.note(keyId, requestId, parsed.data.error);
  }

  /** The newest first. */
  async of(keyId: string): Promise<Refusal[]> {
    const texts = await this.redis.lrange(redisKeys.refusals(keyId), 0, REFUSALS_MAX - 1);
    return texts.map((text) => refusalSchema.parse(JSON.parse(text)));
  }

  async flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    const { refusals } = this;
    if (refusals.size === 0) return;
    this.refusals = new Map();
    const pipeline = this.redis.pipeline();
    for (const [keyId, texts] of refusals) {
      const list = redisKeys.refusals(keyId);
      pipeline.lpush(list, ...texts);
      pipeline.ltrim(list, 0, REFUSALS_MAX - 1);
      pipeline.expire(list, LIFE_SECONDS);
    }
    await pipeline.exec().catch(() => undefined);
  }
}

const errorSchema = z.object({
  error: z.object({ code: z.string().nullable(), daypass: z.record(z.string(), z.unknown()).optional() }),
});

/** An upstream's answer may be anything. */
function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
