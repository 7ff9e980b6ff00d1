import type { Redis } from 'ioredis';
import { defineScript, type Script } from '#libs/redis/scripts.js';

/** Nobody waits for the end of an idle read: an entry, or `wake`, ends it. Shorter than SILENT_MAX_MS. */
const BLOCK_MS = 5_000;
const WAKE_TIMEOUT_MS = 1_000;
/** No batch takes longer, so that a living process keeps what it read. */
const ABANDONED_AFTER_MS = 30_000;

export interface StreamEntry {
  id: string;
  /** Empty where somebody trimmed the entry. */
  fields: Record<string, string>;
  /** The field `content`; empty where the entry has none. */
  content: Buffer;
}

export interface EventStreamOptions {
  key: string;
  group: string;
  consumer: string;
  /** The number of entries in one read. */
  batch: number;
  /** Whether entries may have a field `content`, which is bytes. */
  hasContent?: boolean;
  /** Where the waiting bytes are counted, in all and by virtual key, and whose bytes an entry has. */
  counted?: { key: string; byOwner: string; bytesOf: (entry: StreamEntry) => EntryBytes };
}

/** `owner`: the virtual key's id; undefined: nobody's. */
export interface EntryBytes {
  bytes: number;
  owner: string | undefined;
}

type RawEntry<T> = [id: T, flat: T[] | null];
const NO_CONTENT = Buffer.alloc(0);

/** A Redis stream, read by one consumer of its group. Reads block its connection, which serves nothing else. */
export class EventStream {
  private readonly end: Script;
  /** Of the connection that reads, as Redis knows it. */
  private connectionId: number | undefined;
  private waker: Redis | undefined;

  constructor(
    private readonly redis: Redis,
    private readonly options: EventStreamOptions,
  ) {
    this.end = defineScript(redis, 'acknowledge');
  }

  /** The read returned a whole batch, so that more entries may wait. */
  isFull(entries: readonly StreamEntry[]): boolean {
    return entries.length >= this.options.batch;
  }

  async createGroup(): Promise<void> {
    this.connectionId = await this.redis.client('ID');
    try {
      await this.redis.xgroup('CREATE', this.options.key, this.options.group, '0', 'MKSTREAM');
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('BUSYGROUP')) throw error;
    }
  }

  readOwn(): Promise<StreamEntry[]> {
    return this.readFrom('0');
  }

  readNew(): Promise<StreamEntry[]> {
    return this.readFrom('>');
  }

  async claimAbandoned(): Promise<StreamEntry[]> {
    const { key, group, consumer, batch, hasContent } = this.options;
    if (!hasContent) {
      const [, entries] = (await this.redis.xautoclaim(
        key,
        group,
        consumer,
        ABANDONED_AFTER_MS,
        '0-0',
        'COUNT',
        batch,
      )) as [string, RawEntry<string>[]];
      return entries.map(toEntry);
    }
    const [, entries] = (await this.redis.callBuffer(
      'XAUTOCLAIM',
      key,
      group,
      consumer,
      ABANDONED_AFTER_MS,
      '0-0',
      'COUNT',
      batch,
    )) as [Buffer, RawEntry<Buffer>[]];
    return entries.map(toEntryWithContent);
  }

  /** Acknowledges committed entries and trims what every consumer has acknowledged, in one step. */
  async acknowledge(entries: readonly StreamEntry[]): Promise<void> {
    const { key, group, counted } = this.options;
    const ids = entries.map(({ id }) => id);
    const byOwner = new Map<string, number>();
    let all = 0;
    for (const entry of counted ? entries : []) {
      const { bytes, owner } = counted!.bytesOf(entry);
      all += bytes;
      if (owner !== undefined) byOwner.set(owner, (byOwner.get(owner) ?? 0) + bytes);
    }
    await this.end(
      [key, ...(counted ? [counted.key, counted.byOwner] : [])],
      [group, all, after(ids.at(-1)!), byOwner.size, ...[...byOwner].flat(), ...ids],
    );
  }

  /** Ends a read that waits for entries, as if its time were up. Where Redis does not allow it, the read ends by itself. */
  async wake(): Promise<void> {
    if (this.connectionId === undefined) return;
    this.waker ??= this.redis
      .duplicate({ maxRetriesPerRequest: 0, commandTimeout: WAKE_TIMEOUT_MS })
      .on('error', () => undefined);
    await this.waker.client('UNBLOCK', this.connectionId, 'TIMEOUT').catch(() => undefined);
  }

  length(): Promise<number> {
    return this.redis.xlen(this.options.key);
  }

  close(): void {
    this.redis.disconnect();
    this.waker?.disconnect();
  }

  private async readFrom(start: '0' | '>'): Promise<StreamEntry[]> {
    const { key, group, consumer, batch, hasContent } = this.options;
    if (!hasContent) {
      const answer = await this.redis.xreadgroup(
        'GROUP',
        group,
        consumer,
        'COUNT',
        batch,
        'BLOCK',
        BLOCK_MS,
        'STREAMS',
        key,
        start,
      );
      const [stream] = (answer ?? []) as [string, RawEntry<string>[]][];
      return (stream?.[1] ?? []).map(toEntry);
    }
    const answer = await this.redis.callBuffer(
      'XREADGROUP',
      'GROUP',
      group,
      consumer,
      'COUNT',
      batch,
      'BLOCK',
      BLOCK_MS,
      'STREAMS',
      key,
      start,
    );
    const [stream] = (answer ?? []) as [Buffer, RawEntry<Buffer>[]][];
    return (stream?.[1] ?? []).map(toEntryWithContent);
  }
}

/** Also true of a stream without entries: it never had any, or acknowledge trimmed them all. */
export async function isStreamDrainedTo(redis: Redis, key: string, group: string, id: string): Promise<boolean> {
  if ((await redis.exists(key)) === 0) return true;
  // Only committed entries get trimmed. A Redis that came back older may lack the delivery, and never makes up for it.
  if ((await redis.xrange(key, '-', id, 'COUNT', 1)).length === 0) return true;
  const groups = (await redis.xinfo('GROUPS', key)) as unknown[][];
  const found = groups.map(pairs).find((one) => one.get('name') === group);
  if (!found) return (await redis.xlen(key)) === 0;
  if (isBefore(String(found.get('last-delivered-id')), id)) return false;
  const [, oldestPending] = (await redis.xpending(key, group)) as [number, string | null];
  return oldestPending === null || isBefore(id, oldestPending);
}

/** The id of the newest entry ever written; 0-0 when there was none. */
export async function streamHead(redis: Redis, key: string): Promise<string> {
  if ((await redis.exists(key)) === 0) return '0-0';
  const info = pairs((await redis.xinfo('STREAM', key)) as unknown[]);
  return String(info.get('last-generated-id'));
}

function pairs<T>(flat: readonly T[]): Map<T, T> {
  return new Map(Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index]!, flat[2 * index + 1]!]));
}

function toEntry([id, flat]: RawEntry<string>): StreamEntry {
  const fields: Record<string, string> = {};
  for (let at = 0; flat && at < flat.length; at += 2) fields[flat[at]!] = flat[at + 1]!;
  return { id, fields, content: NO_CONTENT };
}

function toEntryWithContent([id, flat]: RawEntry<Buffer>): StreamEntry {
  const fields: Record<string, string> = {};
  let content: Buffer = NO_CONTENT;
  for (let at = 0; flat && at < flat.length; at += 2) {
    const name = flat[at]!.toString();
    if (name === 'content') content = flat[at + 1]!;
    else fields[name] = flat[at + 1]!.toString();
  }
  return { id: id.toString(), fields, content };
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
