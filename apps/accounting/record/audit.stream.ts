import type { Redis } from 'ioredis';
import { AUDIT_GROUP } from '#libs/contracts/audit.js';
import { redisKeys } from '#libs/redis/keys.js';
import { EventStream, isStreamDrainedTo, streamHead, type StreamEntry } from '../books/event.stream.js';

/** Contents are large, but all that waits is bounded by its bytes (DAYPASS_AUDIT_MAX_BYTES). */
const BATCH = 512;

export function auditStream(redis: Redis, consumer: string): EventStream {
  return new EventStream(redis, {
    key: redisKeys.audit,
    group: AUDIT_GROUP,
    consumer,
    batch: BATCH,
    hasContent: true,
    counted: { key: redisKeys.auditBytes, bytesOf },
  });
}

/** Whether everything that was asked and judged so far is in the record. */
export async function isRecordUpToDate(redis: Redis): Promise<boolean> {
  return isStreamDrainedTo(redis, redisKeys.audit, AUDIT_GROUP, await streamHead(redis, redisKeys.audit));
}

/** As the scripts count them. */
function bytesOf({ fields, content }: StreamEntry): number {
  return Buffer.byteLength(fields.event ?? '') + content.length;
}
