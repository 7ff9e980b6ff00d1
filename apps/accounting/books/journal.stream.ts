import type { Redis } from 'ioredis';
import { JOURNAL_GROUP } from '#libs/contracts/journal.js';
import { redisKeys } from '#libs/redis/keys.js';
import { EventStream, isBefore, isStreamDrainedTo, streamHead } from './event.stream.js';

const BATCH = 1_000;

export function journalStream(redis: Redis, consumer: string): EventStream {
  return new EventStream(redis, { key: redisKeys.journal, group: JOURNAL_GROUP, consumer, batch: BATCH });
}

/** The id of the newest entry ever written; 0-0 when there was none. */
export const journalHead = (redis: Redis): Promise<string> => streamHead(redis, redisKeys.journal);

/** Raises the next id of an older or empty journal above `id`: no journal id may come twice. */
export async function raiseJournalTo(redis: Redis, id: string): Promise<void> {
  if (!isBefore(await journalHead(redis), id)) return;
  await redis.xgroup('CREATE', redisKeys.journal, JOURNAL_GROUP, '0', 'MKSTREAM').catch(() => undefined);
  await redis.call('XSETID', redisKeys.journal, id);
}

/** Whether accounting has booked and acknowledged every entry up to `id`. */
export const isDrainedTo = (redis: Redis, id: string): Promise<boolean> =>
  isStreamDrainedTo(redis, redisKeys.journal, JOURNAL_GROUP, id);
