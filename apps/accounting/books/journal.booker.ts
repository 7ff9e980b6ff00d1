import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { readJournalEvent, type JournalEvent } from '#libs/contracts/journal.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { Stats } from '#libs/service/stats.js';
import { BooksMetrics } from './books.metrics.js';
import { strikeOf, type Strike } from '../domain/strike.js';
import { attemptOf, effectOf, transferOf, type Attempt, type MoneyEvent, type Transfer } from '../domain/transfer.js';
import { isBefore, type StreamEntry } from './event.stream.js';
import { FirstUseRepository, type FirstUse } from './first-use.repository.js';
import { LedgerRepository, type RejectedEntry } from './ledger.repository.js';
import { LiveEvents } from '../live.events.js';
import { bookOrSetAside } from './set-aside.js';
import { StrikeRepository } from './strike.repository.js';

interface Batch {
  transfers: Transfer[];
  attempts: Attempt[];
  strikes: Strike[];
  firstUses: FirstUse[];
  rejected: RejectedEntry[];
  /** The newest entry's id. */
  head: string;
}

/**
 * Books a batch of journal entries in one transaction. It sets aside what cannot be booked, so that the rest goes on.
 */
@Injectable()
export class JournalBooker {
  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly ledger: LedgerRepository,
    private readonly strikes: StrikeRepository,
    private readonly firstUses: FirstUseRepository,
    private readonly metrics: BooksMetrics,
    private readonly stats: Stats,
    private readonly live: LiveEvents,
  ) {}

  /** Resolves once committed. @throws when Postgres cannot take the batch now; it booked nothing then */
  book(entries: readonly StreamEntry[]): Promise<void> {
    return bookOrSetAside(
      entries,
      (some) => this.commit(batchOf(some)),
      (entry, reason) => this.commit({ ...NOTHING, rejected: [rejected(entry, reason)], head: entry.id }),
    );
  }

  private async commit({ transfers, attempts, strikes, firstUses, rejected, head }: Batch): Promise<void> {
    const newestAt = transfers.reduce((newest, { at }) => Math.max(newest, at.getTime()), Number(head.split('-')[0]));
    const [booked, struck] = await this.source.transaction(async (manager) => {
      // First, so that `drainedTo` waits for this transaction: the door keeper compares a restarted Redis with it.
      await this.ledger.markDrained(manager, head, new Date(newestAt));
      await this.ledger.reject(manager, rejected);
      await this.ledger.bookAttempts(manager, attempts);
      await this.firstUses.book(manager, firstUses);
      const fresh = await this.strikes.book(manager, strikes);
      const ids = await this.ledger.book(manager, transfers);
      return [ids, fresh] as const;
    });
    const fresh = transfers.filter(({ id }) => booked.has(id));
    this.metrics.booked(fresh);
    this.metrics.struck(struck.map(({ step }) => step));
    this.tell(fresh, struck);
    this.metrics.entriesRejected(rejected.length);
    for (const { journalId, reason } of rejected)
      this.logger.error(
        { journalId, reason },
        'accounting cannot book a journal entry, and keeps it in ledger.rejected_events',
      );
  }

  /** Consoles see it at once. */
  private tell(transfers: readonly Transfer[], strikes: readonly Strike[]): void {
    for (const transfer of transfers) {
      const { kind, campaignId } = transfer;
      const { spentNano } = effectOf(transfer);
      if (kind === 'hold') this.stats.addOf(campaignId, 'calls');
      if (spentNano !== 0n) this.stats.addOf(campaignId, 'spent', spentNano);
    }
    this.live.changed(
      transfers.map(({ campaignId }) => campaignId),
      [...transfers, ...strikes].flatMap(({ keyId }) => keyId ?? []),
    );
    this.live.tell(
      strikes.map(({ keyId: key, campaignId: campaign, requestId: request, step, strikes: count }) => ({
        event: 'strike',
        data: { key, campaign, request, step, strikes: count },
      })),
    );
  }
}

function isAttempt(event: JournalEvent): event is JournalEvent & { kind: Attempt['kind'] } {
  return event.kind === 'dispatch' || event.kind === 'defer';
}

function isStrike(event: JournalEvent): event is JournalEvent & { kind: 'strike' } {
  return event.kind === 'strike';
}

const NOTHING = { transfers: [], attempts: [], strikes: [], firstUses: [], rejected: [] };

function batchOf(entries: readonly StreamEntry[]): Batch {
  const batch: Batch = {
    transfers: [],
    attempts: [],
    strikes: [],
    firstUses: [],
    rejected: [],
    head: newestOf(entries),
  };
  for (const entry of entries) {
    try {
      take(entry, batch);
    } catch (error) {
      batch.rejected.push(rejected(entry, error instanceof Error ? error.message : String(error)));
    }
  }
  return batch;
}

/** @throws RangeError or SyntaxError where nobody could book the event */
function take(entry: StreamEntry, batch: Batch): void {
  const read = readJournalEvent(entry.fields);
  if ('reason' in read) return void batch.rejected.push(rejected(entry, read.reason));
  const { event } = read;
  if (isAttempt(event)) return void batch.attempts.push(attemptOf(event));
  if (isStrike(event)) return void batch.strikes.push(strikeOf(event));
  const transfer = transferOf(event as MoneyEvent, entry.id);
  batch.transfers.push(transfer);
  if (event.first_use === '1') batch.firstUses.push({ keyId: event.key, at: transfer.at });
}

function rejected({ id, fields }: StreamEntry, reason: string): RejectedEntry {
  return { journalId: id, raw: fields, reason };
}

function newestOf(entries: readonly StreamEntry[]): string {
  return entries.reduce((newest, { id }) => (isBefore(newest, id) ? id : newest), entries[0]?.id ?? '0-0');
}
