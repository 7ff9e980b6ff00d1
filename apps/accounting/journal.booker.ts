import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, QueryFailedError } from 'typeorm';
import { journalEventSchema } from '#libs/contracts/journal.js';
import type { Logger } from '#libs/observability/logger.js';
import { LOGGER } from '#libs/platform/platform.tokens.js';
import { AccountingMetrics } from './accounting.metrics.js';
import { transferOf, type Transfer } from './domain/transfer.js';
import type { JournalEntry } from './journal.stream.js';
import { LedgerRepository, type RejectedEntry } from './ledger.repository.js';

/** Books a batch of journal entries in one transaction. An entry that cannot be booked is set aside, never in the way. */
@Injectable()
export class JournalBooker {
  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly ledger: LedgerRepository,
    private readonly metrics: AccountingMetrics,
  ) {}

  /** Resolves once committed. @throws when Postgres cannot take the batch now; nothing is booked then */
  async book(entries: readonly JournalEntry[]): Promise<void> {
    const transfers: Transfer[] = [];
    const rejected: RejectedEntry[] = [];
    for (const entry of entries) {
      const read = readEntry(entry);
      if ('reason' in read) rejected.push(read);
      else transfers.push(read);
    }
    try {
      await this.commit(transfers, rejected);
    } catch (error) {
      if (!isBadData(error)) throw error;
      if (entries.length > 1) {
        // One of them is to blame; alone, each shows whether it is the one.
        for (const entry of entries) await this.book([entry]);
        return;
      }
      await this.commit([], [{ journalId: entries[0]!.id, raw: entries[0]!.fields, reason: error.message }]);
    }
  }

  private async commit(transfers: readonly Transfer[], rejected: readonly RejectedEntry[]): Promise<void> {
    const booked = await this.source.transaction(async (manager) => {
      await this.ledger.reject(manager, rejected);
      return this.ledger.book(manager, transfers);
    });
    this.metrics.booked(transfers.filter(({ id }) => booked.has(id)));
    this.metrics.entriesRejected(rejected.length);
    for (const { journalId, reason } of rejected)
      this.logger.error({ journalId, reason }, 'a journal entry cannot be booked; it is kept in ledger.rejected_events');
  }
}

function readEntry({ id, fields }: JournalEntry): Transfer | RejectedEntry {
  const event = journalEventSchema.safeParse(fields);
  if (!event.success) return { journalId: id, raw: fields, reason: event.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ') };
  try {
    return transferOf(event.data, id);
  } catch (error) {
    return { journalId: id, raw: fields, reason: error instanceof Error ? error.message : String(error) };
  }
}

/** SQLSTATE class 22 (data) and 23 (constraints): the same statement would fail the same way for ever. */
function isBadData(error: unknown): error is QueryFailedError {
  const code = error instanceof QueryFailedError ? (error.driverError as { code?: string }).code : undefined;
  return code !== undefined && /^2[23]/.test(code);
}
