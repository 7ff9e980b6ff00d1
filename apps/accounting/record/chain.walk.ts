import type { EntityManager } from 'typeorm';
import { GENESIS, linkAfter, type ActRow, type Link } from '../domain/audit.chain.js';
import type { AuditRepository } from './audit.repository.js';
import type { Checkpoint } from './checkpoint.signer.js';
import type { KeptRow } from './kept.rows.js';

const BATCH = 5_000;
export const REPORTED_MAX = 100;

export interface AuditProblem {
  /**
   * `missing`: deleted or cut off · `altered`: edited, moved or inserted · `unsigned`: differs from what was signed ·
   * `content`: differs from the hash in its row.
   */
  kind: 'missing' | 'altered' | 'unsigned' | 'content';
  /** Numbers in the chain. */
  from: number;
  to: number;
  /** The row's id, where the problem is one row. */
  id: string | null;
  message: string;
}

interface ContentRow {
  id: string;
  period: string;
  hash: string;
}

/** Walks along the chain once, and collects what it finds. */
export class ChainWalk {
  readonly problems: AuditProblem[] = [];
  readonly policyVersions = new Set<string>();
  rows = 0;
  contents = 0;
  /** By campaign: retention deleted contents older than this. */
  private readonly retained = new Map<string, number>();
  private readonly erased = new Set<string>();

  constructor(
    private readonly audit: AuditRepository,
    private readonly manager: EntityManager,
  ) {}

  report(kind: AuditProblem['kind'], from: number, to: number, id: string | null, message: string): void {
    if (this.problems.length < REPORTED_MAX) this.problems.push({ kind, from, to, id, message });
  }

  async walk(head: Link, signed: readonly Checkpoint[]): Promise<void> {
    const last = Math.max(head.seq, ...(await this.lastRow()), ...signed.map(({ seq }) => seq));
    for (const act of await this.audit.acts(this.manager)) this.remember(act);
    const signedHashes = Map.groupBy(signed, ({ seq }) => seq);
    let before = GENESIS;
    for (let from = 1; from <= last; from += BATCH) {
      const to = Math.min(from + BATCH - 1, last);
      const rows = await this.audit.rowsBetween(this.manager, from, to);
      await this.compareContents(rows);
      for (const row of rows) {
        this.follow(before, row);
        for (const { hash } of signedHashes.get(row.link.seq) ?? []) {
          if (hash === row.link.hash) continue;
          const message = `what stands at ${row.link.seq} is not what was signed: rows up to there were rewritten, or the signed place was`;
          this.report('unsigned', row.link.seq, row.link.seq, row.row.id, message);
        }
        before = row.link;
      }
    }
    if (before.seq < last)
      this.report(
        'missing',
        before.seq + 1,
        last,
        null,
        `rows ${before.seq + 1} to ${last} are missing: the end of the record was cut off`,
      );
    else if (before.seq > 0 && (before.seq !== head.seq || before.hash !== head.hash))
      this.report(
        'altered',
        head.seq,
        before.seq,
        null,
        `the head says ${head.seq}, and the last row stands at ${before.seq}`,
      );
    await this.compareVisitors();
  }

  private follow(before: Link, { link, row }: KeptRow): void {
    this.rows++;
    if (row.kind !== 'act') this.policyVersions.add(row.policyVersion);
    if (link.seq <= before.seq) {
      this.report(
        'altered',
        link.seq,
        link.seq,
        row.id,
        `two rows stand at ${link.seq}: ${row.id} was moved or put in`,
      );
      return;
    }
    if (link.seq > before.seq + 1) {
      const [first, past] = [before.seq + 1, link.seq - 1];
      this.report(
        'missing',
        first,
        past,
        null,
        first === past ? `the row at ${first} is missing` : `the rows from ${first} to ${past} are missing`,
      );
      // Without the row before it nothing proves this one. The row after it does.
      return;
    }
    if (linkAfter(before, row).hash !== link.hash) {
      const what = before.seq === 0 ? '' : `, or the row before it was`;
      this.report(
        'altered',
        link.seq,
        link.seq,
        row.id,
        `the ${row.kind} ${row.id} at ${link.seq} was edited or moved${what}`,
      );
    }
  }

  private remember({ act, subject, beforeMs }: ActRow): void {
    if (act === 'erasure') this.erased.add(subject);
    if (act === 'retention') this.retained.set(subject, Math.max(beforeMs ?? 0, this.retained.get(subject) ?? 0));
  }

  private async lastRow(): Promise<number[]> {
    const rows = await this.manager.query<{ seq: string | null }[]>(
      `SELECT max(seq) AS seq FROM audit.requests UNION ALL SELECT max(seq) FROM audit.checks UNION ALL SELECT max(seq) FROM audit.acts`,
    );
    return rows.map(({ seq }) => Number(seq ?? 0));
  }

  private async compareContents(rows: readonly KeptRow[]): Promise<void> {
    const hashed = rows.flatMap(({ link, row, period }) =>
      row.kind !== 'act' && row.contentHash !== null ? [{ seq: link.seq, row, period }] : [],
    );
    if (hashed.length === 0) return;
    const found = await this.manager.query<ContentRow[]>(
      `SELECT content.id, encode(sha256(content.sealed), 'hex') AS hash
         FROM unnest($1::text[], $2::date[]) AS hashed (id, period) JOIN audit.contents content ON content.id = hashed.id AND content.period = hashed.period`,
      [hashed.map(({ row }) => row.id), hashed.map(({ period }) => period)],
    );
    const hashes = new Map(found.map(({ id, hash }) => [id, hash]));
    for (const { seq, row } of hashed) {
      const hash = hashes.get(row.id);
      if (hash === undefined) {
        if (row.atMs >= (this.retained.get(row.campaignId) ?? 0))
          this.report('content', seq, seq, row.id, `the content of ${row.id} was deleted before its time`);
      } else if (hash !== row.contentHash)
        this.report('content', seq, seq, row.id, `the content of ${row.id} was replaced`);
      else this.contents++;
    }
  }

  private async compareVisitors(): Promise<void> {
    const gone = await this.manager.query<{ id: string }[]>('SELECT id FROM audit.visitors WHERE wrapped_key IS NULL');
    for (const { id } of gone)
      if (!this.erased.has(id))
        this.report(
          'content',
          0,
          0,
          id,
          `the key of the visitor ${id} was destroyed, and no act in the record names it`,
        );
  }
}
