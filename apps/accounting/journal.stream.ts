import type { Redis } from 'ioredis';
import { JOURNAL_GROUP } from '#libs/contracts/journal.js';
import { redisKeys } from '#libs/redis/keys.js';

const BATCH = 1_000;
const BLOCK_MS = 500;
/** Longer than any batch takes, so that a living process keeps what it read. */
const ABANDONED_AFTER_MS = 30_000;

export interface JournalEntry {
  id: string;
  /** Empty where the stream no longer has the entry. */
  fields: Record<string, string>;
}

type RawEntry = [id: string, flat: string[] | null];

/** The journal as one consumer of the group sees it. Its connection blocks in reads and serves nothing else. */
export class JournalStream {
  constructor(
    private readonly redis: Redis,
    private readonly consumer: string,
  ) {}

  async createGroup(): Promise<void> {
    try {
      await this.redis.xgroup('CREATE', redisKeys.journal, JOURNAL_GROUP, '0', 'MKSTREAM');
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('BUSYGROUP')) throw error;
    }
  }

  readOwn(): Promise<JournalEntry[]> {
    return this.readFrom('0');
  }

  readNew(): Promise<JournalEntry[]> {
    return this.readFrom('>');
  }

  async claimAbandoned(): Promise<JournalEntry[]> {
    const [, entries] = (await this.redis.xautoclaim(redisKeys.journal, JOURNAL_GROUP, this.consumer, ABANDONED_AFTER_MS, '0-0', 'COUNT', BATCH)) as [
      string,
      RawEntry[],
    ];
    return entries.map(toEntry);
  }

  /** Acknowledges committed entries, and trims what every consumer has acknowledged. */
  async acknowledge(ids: readonly string[]): Promise<void> {
    await this.redis.xack(redisKeys.journal, JOURNAL_GROUP, ...ids);
    const [, oldestPending] = (await this.redis.xpending(redisKeys.journal, JOURNAL_GROUP)) as [number, string | null];
    // Entries are handed out in order: what is older than ours and not pending is committed.
    const newest = ids.reduce((a, b) => (isBefore(a, b) ? b : a));
    const keepFrom = oldestPending !== null && isBefore(oldestPending, newest) ? oldestPending : after(newest);
    await this.redis.xtrim(redisKeys.journal, 'MINID', '=', keepFrom);
  }

  length(): Promise<number> {
    return this.redis.xlen(redisKeys.journal);
  }

  close(): void {
    this.redis.disconnect();
  }

  private async readFrom(start: '0' | '>'): Promise<JournalEntry[]> {
    const answer = await this.redis.xreadgroup('GROUP', JOURNAL_GROUP, this.consumer, 'COUNT', BATCH, 'BLOCK', BLOCK_MS, 'STREAMS', redisKeys.journal, start);
    const [stream] = (answer ?? []) as [string, RawEntry[]][];
    return (stream?.[1] ?? []).map(toEntry);
  }
}

/** The id of the last entry ever written; 0-0 when there was none. */
export async function journalHead(redis: Redis): Promise<string> {
  if ((await redis.exists(redisKeys.journal)) === 0) return '0-0';
  const info = pairs((await redis.xinfo('STREAM', redisKeys.journal)) as unknown[]);
  return String(info.get('last-generated-id'));
}

/** Lets the ids of an older or empty journal go on above `id`: a place in the journal must never come twice. */
export async function raiseJournalTo(redis: Redis, id: string): Promise<void> {
  if (!isBefore(await journalHead(redis), id)) return;
  await redis.xgroup('CREATE', redisKeys.journal, JOURNAL_GROUP, '0', 'MKSTREAM').catch(() => undefined);
  await redis.call('XSETID', redisKeys.journal, id);
}

/** Whether every entry up to `id` has been booked and acknowledged. */
export async function isDrainedTo(redis: Redis, id: string): Promise<boolean> {
  if ((await redis.exists(redisKeys.journal)) === 0) return true;
  // Trimmed is only what was committed. An older Redis may not know that it was ever delivered, and never will.
  if ((await redis.xrange(redisKeys.journal, '-', id, 'COUNT', 1)).length === 0) return true;
  const groups = (await redis.xinfo('GROUPS', redisKeys.journal)) as unknown[][];
  const group = groups.map(pairs).find((one) => one.get('name') === JOURNAL_GROUP);
  if (!group) return (await redis.xlen(redisKeys.journal)) === 0;
  if (isBefore(String(group.get('last-delivered-id')), id)) return false;
  const [, oldestPending] = (await redis.xpending(redisKeys.journal, JOURNAL_GROUP)) as [number, string | null];
  return oldestPending === null || isBefore(id, oldestPending);
}

function pairs(flat: unknown[]): Map<unknown, unknown> {
  return new Map(Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index], flat[2 * index + 1]]));
}

function toEntry([id, flat]: RawEntry): JournalEntry {
  return { id, fields: Object.fromEntries(pairs(flat ?? [])) as Record<string, string> };
}

export function isBefore(a: string, b: string): boolean {
  const [aMs, aSequence] = parts(a);
  const [bMs, bSequence] = parts(b);
  return aMs !== bMs ? aMs < bMs : aSequence < bSequence;
}

function after(id: string): string {
  const [ms, sequence] = parts(id);
  return `${ms}-${sequence + 1n}`;
}

function parts(id: string): [bigint, bigint] {
  const [ms, sequence] = id.split('-');
  return [BigInt(ms!), BigInt(sequence ?? 0)];
}
