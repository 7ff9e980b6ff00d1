import type { Redis } from 'ioredis';
import { AUDIT_GROUP } from '#libs/contracts/audit.js';
import { redisKeys } from '#libs/redis/keys.js';
import {
  EventStream,
  isStreamDrainedTo,
  streamHead,
  type EntryBytes,
  type StreamEntry,
} from '../books/event.stream.js';

/** Contents are large. DAYPASS_AUDIT_MAX_BYTES bounds all that wait. */
const BATCH = 512;

export function auditStream(redis: Redis, consumer: string): EventStream {
  return new EventStream(redis, {
    key: redisKeys.audit,
    group: AUDIT_GROUP,
    consumer,
    batch: BATCH,
    hasContent: true,
    counted: { key: redisKeys.auditBytes, byOwner: redisKeys.auditKeyBytes, bytesOf },
  });
}

/** Whether the record has everything that the stream had at this moment. */
export async function isRecordUpToDate(redis: Redis): Promise<boolean> {
  return isStreamDrainedTo(redis, redisKeys.audit, AUDIT_GROUP, await streamHead(redis, redisKeys.audit));
}

/** Counts as the scripts do. An entry that is no event is nobody's: accounting sets it aside. */
function bytesOf({ fields, content }: StreamEntry): EntryBytes {
  const event = fields.event ?? '';
  return { bytes: Buffer.byteLength(event) + content.length, owner: keyOf(event) };
}

/** How services write what they recorded. An escaped character stands nowhere in it. */
const WRITTEN_KEY = /^\{"kind":"(?:request|check)","id":"[^"\\]*",(?:"request":"[^"\\]*",)?"key":"([^"\\]*)"/;

function keyOf(event: string): string | undefined {
  const written = WRITTEN_KEY.exec(event)?.[1];
  if (written !== undefined) return written;
  try {
    const { key } = JSON.parse(event) as { key?: unknown };
    return typeof key === 'string' ? key : undefined;
  } catch {
    return undefined;
  }
}
