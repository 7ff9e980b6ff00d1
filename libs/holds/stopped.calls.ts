import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Ticket } from '#libs/contracts/jobs.js';
import { replySchema, type Reply } from '#libs/contracts/reply.js';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import type { ContentBox } from '#libs/secrets/content-box.js';

/** A client that takes a blocked answer for a broken line sends the call again at once. */
const STOPPED_LIFE_MS = 60_000;
/** More answers of one key are not kept at once, nor longer ones. */
const OF_KEY_MAX = 32;
const BYTES_MAX = 65_536;

const stoppedSchema = z.object({ requestId: z.string(), reply: replySchema });

/** The blocked answer to a call, and the call that got it first. */
export interface StoppedCall {
  requestId: string;
  reply: Extract<Reply, { type: 'answer' }>;
}

/** Keeps blocked answers for a minute, so that a client which repeats its call pays once. `take-hold` finds them. */
export class StoppedCalls {
  private readonly keepScript: Script;

  constructor(
    redis: Redis,
    private readonly box: ContentBox,
  ) {
    this.keepScript = defineScript(redis, 'keep-stopped');
  }

  /** Returns whether it was kept. @throws when Redis does not take it */
  async keep({ keyId, requestId, repeatHash }: Ticket, reply: Reply): Promise<boolean> {
    if (repeatHash === undefined) return false;
    const sealed = this.box.seal(JSON.stringify({ requestId, reply }), boundTo(keyId, repeatHash)).toString('base64');
    if (sealed.length > BYTES_MAX) return false;
    const keys = [redisKeys.stopped(keyId, repeatHash), redisKeys.stoppedOfKey(keyId)];
    return (await this.keepScript(keys, [sealed, STOPPED_LIFE_MS, OF_KEY_MAX])) === 1;
  }

  /** @throws when somebody altered it, or when it belongs to another call */
  read(keyId: string, repeatHash: string, sealed: string): StoppedCall {
    const text = this.box.open(Buffer.from(sealed, 'base64'), boundTo(keyId, repeatHash));
    const { requestId, reply } = stoppedSchema.parse(JSON.parse(text));
    if (reply.type !== 'answer') throw new Error('a stopped call has a whole answer');
    return { requestId, reply };
  }
}

const boundTo = (keyId: string, repeatHash: string): string => `stopped/${keyId}/${repeatHash}`;
