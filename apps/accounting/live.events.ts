import { Inject, Injectable } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { StreamEvent } from '#libs/contracts/admin/console.js';
import { redisKeys } from '#libs/redis/keys.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';

/** So many campaigns, keys or other events in one message. Of more a page had better fetch what it shows. */
const NAMED_MAX = 100;

/**
 * Tells open consoles what accounting stored just now, whichever process they are connected to. Nobody waits for it,
 * and what is lost here is not lost: a page fetches what it shows again.
 */
@Injectable()
export class LiveEvents {
  constructor(@Inject(MONEY_REDIS) private readonly redis: Redis) {}

  /** Terms or balances of these campaigns and keys changed. */
  changed(campaignIds: readonly string[], keyIds: readonly string[]): void {
    this.tell([
      ...named(campaignIds).map((id) => ({ event: 'campaign' as const, data: { id } })),
      ...named(keyIds).map((id) => ({ event: 'key' as const, data: { id } })),
    ]);
  }

  tell(events: readonly StreamEvent[]): void {
    if (events.length === 0) return;
    void this.redis
      .publish(redisKeys.consoleChannel, JSON.stringify(events.slice(0, 2 * NAMED_MAX)))
      .catch(() => undefined);
  }
}

function named(ids: readonly string[]): (string | null)[] {
  const distinct = [...new Set(ids)];
  return distinct.length > NAMED_MAX ? [null] : distinct;
}
