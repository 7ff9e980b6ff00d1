import { hash } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager } from 'typeorm';
import { readAuditEvent, type CheckEvent, type RequestEvent, type SafetyEvent } from '#libs/contracts/audit.js';
import type { Logger } from '#libs/service/logger.js';
import { LOGGER } from '#libs/service/platform.tokens.js';
import { Stats } from '#libs/service/stats.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { RecordMetrics } from './record.metrics.js';
import { policyVersionOf, type CheckRow, type RequestRow } from '../domain/audit.chain.js';
import { periodOfRequest } from '../domain/period.js';
import { parseStorable } from '../domain/storable.js';
import { BooksMetrics } from '../books/books.metrics.js';
import type { StreamEntry } from '../books/event.stream.js';
import { LedgerRepository, type RejectedEntry } from '../books/ledger.repository.js';
import { TrafficRepository } from '../books/traffic.repository.js';
import { sumTraffic } from '../domain/traffic.js';
import { LiveEvents } from '../live.events.js';
import { bookOrSetAside } from '../books/set-aside.js';
import { AuditRepository, type NewRow } from './audit.repository.js';
import { VisitorFinder } from './visitor.finder.js';
import { VisitorVault } from './visitor.vault.js';

const SLUGS_MAX = 10_000;

/** An event of the stream, with its content decrypted and compressed. */
interface ReadEvent {
  event: RequestEvent | CheckEvent;
  policyVersion: string;
  atMs: number;
  compressed: Buffer | null;
}

/** A notice of the provider, for the safety desk. */
interface ReadNotice {
  notice: SafetyEvent;
  atMs: number;
}

type Reading = ReadEvent | ReadNotice | RejectedEntry;

/**
 * Books a batch of the record in one transaction. It encrypts content anew under its visitor's secret, and chains each
 * row to the one before it.
 */
@Injectable()
export class AuditBooker {
  private readonly knownSlugs = new Map<string, string>();

  constructor(
    @InjectDataSource() private readonly source: DataSource,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly box: ContentBox,
    private readonly vault: VisitorVault,
    private readonly audit: AuditRepository,
    private readonly visitors: VisitorFinder,
    private readonly ledger: LedgerRepository,
    private readonly metrics: RecordMetrics,
    private readonly books: BooksMetrics,
    private readonly traffic: TrafficRepository,
    private readonly stats: Stats,
    private readonly live: LiveEvents,
  ) {}

  /** Resolves once committed. @throws when Postgres cannot take the batch now; it booked nothing then */
  book(entries: readonly StreamEntry[]): Promise<void> {
    return bookOrSetAside(
      entries,
      async (some) => this.commit(await Promise.all(some.map((entry) => this.read(entry)))),
      (entry, reason) => this.commit([rejected(entry, reason)]),
    );
  }

  private async commit(readings: readonly Reading[]): Promise<void> {
    const events = readings.filter((reading): reading is ReadEvent => 'event' in reading);
    const refused = readings.filter((reading): reading is RejectedEntry => 'reason' in reading);
    const notices = readings.filter((reading): reading is ReadNotice => 'notice' in reading);
    const policies: string[] = [];
    const booked = await this.source.transaction(async (manager) => {
      await this.ledger.reject(manager, refused);
      await this.keepNotices(manager, notices);
      if (events.length === 0) return [];
      // The lock keeps other drains from booking the same events meanwhile.
      const head = await this.audit.lockHead(manager);
      policies.push(...(await this.keepPolicies(manager, events)));
      const rows = await this.fresh(manager, events);
      await this.audit.append(manager, head, rows);
      await this.traffic.add(manager, sumTraffic(flagsOf(rows.map(({ row }) => row))));
      return rows.map(({ row }) => row);
    });
    this.audit.policiesKept(policies);
    const checks = booked.filter((row): row is CheckRow => row.kind === 'check');
    this.metrics.recorded(booked.length, checks, checks.length > 0 ? await this.slugs(checks) : new Map());
    this.tell(flagsOf(booked));
    this.books.entriesRejected(refused.length);
    for (const { journalId, reason } of refused)
      this.logger.error(
        { journalId, reason },
        'accounting cannot book an entry of the record, and keeps it in ledger.rejected_events',
      );
  }

  /** Consoles see it at once. */
  private tell(flags: readonly Flag[]): void {
    if (flags.length > 0) this.stats.add('flagged', BigInt(flags.length));
    this.live.tell(
      flags.map(({ keyId: key, campaignId: campaign, requestId: request, decision }) => ({
        event: 'flag',
        data: { request, key, campaign, decision },
      })),
    );
  }

  /** The rows that the record does not have yet, in the order of their events. */
  private async fresh(manager: EntityManager, events: readonly ReadEvent[]): Promise<NewRow<RequestRow | CheckRow>[]> {
    const keyIds = [...new Set(events.map(({ event }) => event.key))];
    // The books say whose a key is. So an event of an older worker, which knew no claimants, has the right visitor.
    const claimants = await this.visitors.claimantsOf(manager, keyIds);
    const visitorOf = (keyId: string): string => claimants.get(keyId) ?? keyId;
    const boxes = await this.vault.boxes(manager, keyIds.map(visitorOf));
    const rows = new Map(
      events.map((read) => {
        const row = rowOf(read, visitorOf(read.event.key));
        const period = periodOfRequest(row.kind === 'request' ? row.id : row.requestId);
        const sealed = read.compressed ? (boxes.get(row.visitorId)?.seal(read.compressed, row.id) ?? null) : null;
        return [
          row.id,
          { row: { ...row, contentHash: sealed && hash('sha256', sealed, 'hex') }, period, sealed },
        ] as const;
      }),
    );
    for (const id of await this.audit.recordedIds(manager, [...rows.values()])) rows.delete(id);
    return [...rows.values()];
  }

  private keepPolicies(manager: EntityManager, events: readonly ReadEvent[]): Promise<readonly string[]> {
    return this.audit.keepPolicies(
      manager,
      new Map(events.map(({ event, policyVersion }) => [policyVersion, event.policy])),
    );
  }

  private async read(entry: StreamEntry): Promise<Reading> {
    try {
      const event = readAuditEvent(parseStorable(entry.fields.event ?? ''));
      const atMs = Number(entry.fields.at_ms);
      if (!Number.isSafeInteger(atMs)) throw new Error('at_ms is no point in time');
      if (event.kind === 'safety') return { notice: event, atMs };
      const requestId = event.kind === 'request' ? event.id : event.request;
      const compressed =
        entry.content.length > 0 ? await this.vault.compress(this.box.open(entry.content, requestId)) : null;
      return { event, policyVersion: policyVersionOf(event.policy), atMs, compressed };
    } catch (error) {
      return rejected(entry, error instanceof Error ? error.message : String(error));
    }
  }

  private async keepNotices(manager: EntityManager, notices: readonly ReadNotice[]): Promise<void> {
    if (notices.length === 0) return;
    await manager.query(
      `INSERT INTO access.safety_cases (id, type, at) SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[]) ON CONFLICT DO NOTHING`,
      [
        notices.map(({ notice }) => notice.id),
        notices.map(({ notice }) => notice.type),
        notices.map(({ atMs }) => new Date(atMs)),
      ],
    );
  }

  /** A campaign keeps its slug. */
  private async slugs(checks: readonly CheckRow[]): Promise<ReadonlyMap<string, string>> {
    const unknown = [...new Set(checks.map(({ campaignId }) => campaignId))].filter((id) => !this.knownSlugs.has(id));
    if (unknown.length === 0) return this.knownSlugs;
    const rows = await this.source.query<{ id: string; slug: string }[]>(
      'SELECT id, slug FROM access.campaigns WHERE id = ANY ($1)',
      [unknown],
    );
    if (this.knownSlugs.size + rows.length > SLUGS_MAX) this.knownSlugs.clear();
    for (const { id, slug } of rows) this.knownSlugs.set(id, slug);
    return this.knownSlugs;
  }
}

type Flag = Pick<CheckRow, 'requestId' | 'keyId' | 'campaignId'> & {
  decision: 'blocked' | 'flagged';
  at: Date;
  flagged: 1;
};

/** The calls with a verdict that blocked or flagged, each once. */
function flagsOf(rows: readonly (RequestRow | CheckRow)[]): Flag[] {
  const flags = new Map<string, Flag>();
  for (const row of rows) {
    if (row.kind !== 'check' || (row.decision !== 'blocked' && row.decision !== 'flagged')) continue;
    const { requestId, keyId, campaignId, decision, atMs } = row;
    flags.set(requestId, { requestId, keyId, campaignId, decision, at: new Date(atMs), flagged: 1 });
  }
  return [...flags.values()];
}

/** The id in the record's stream takes the column of the journal id. The content stays out. */
function rejected({ id, fields }: StreamEntry, reason: string): RejectedEntry {
  return { journalId: `audit:${id}`, raw: fields, reason };
}

function rowOf({ event, policyVersion, atMs }: ReadEvent, visitorId: string): RequestRow | CheckRow {
  const common = {
    id: event.id,
    atMs,
    visitorId,
    keyId: event.key,
    campaignId: event.campaign,
    contentHash: null,
  };
  if (event.kind === 'request') {
    const { endpoint, model, stream } = event;
    return { kind: 'request', ...common, endpoint, model, stream, policyVersion };
  }
  const thresholds = Object.fromEntries(
    Object.entries(event.policy.thresholds).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
  const { request: requestId, direction, guard, model, decision, categories, scores, reason } = event;
  const latencyMs = Math.min(Math.ceil(event.latency_ms), 2_147_483_647);
  return {
    kind: 'check',
    ...common,
    requestId,
    direction,
    guard,
    model,
    decision,
    categories,
    scores,
    thresholds,
    policyVersion,
    latencyMs,
    reason,
  };
}
