import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager } from 'typeorm';
import { GENESIS, linkAfter, policyVersionOf, type ActRow, type Link } from '../domain/audit.chain.js';
import { OneAtATime } from '../one-at-a-time.js';
import { AuditRepository, type KeptRow } from './audit.repository.js';
import { CheckpointKeeper, type Checkpoint } from './checkpoint.keeper.js';

const BATCH = 5_000;
const REPORTED_MAX = 100;
const STATEMENT_TIMEOUT_MS = 900_000;

export interface AuditProblem {
  /** `missing`: deleted, or cut off · `altered`: edited, moved, or put in · `unsigned`: not what was signed · `content`: not what the row tells of. */
  kind: 'missing' | 'altered' | 'unsigned' | 'content';
  /** Places in the chain. */
  from: number;
  to: number;
  /** The row's id, where there is one row. */
  id: string | null;
  message: string;
}

export interface AuditVerification {
  ok: boolean;
  checked: { rows: number; contents: number; checkpoints: number; policies: number };
  /** The last link: kept elsewhere, it proves later that nothing before it was changed. */
  head: Link;
  /** Checks the signatures of `audit.checkpoints` (Ed25519, SPKI). */
  public_key: string;
  problems: AuditProblem[];
}

interface ContentRow {
  id: string;
  period: string;
  hash: string;
}

/** Proves the record: that no row was edited, deleted, moved or cut off, and that each content is what its row tells of. */
@Injectable()
export class AuditVerifier {
  private readonly once = new OneAtATime(() => this.run());

  constructor(
    @InjectDataSource() private readonly source: DataSource,
    private readonly audit: AuditRepository,
    private readonly checkpoints: CheckpointKeeper,
  ) {}

  verify(): Promise<AuditVerification> {
    return this.once.ask();
  }

  private async run(): Promise<AuditVerification> {
    // Read before the rows: what it tells of is in the record by then.
    const anchor = await this.checkpoints.anchor();
    return this.source.transaction('REPEATABLE READ', async (manager) => {
      await manager.query(`SET LOCAL statement_timeout = '${STATEMENT_TIMEOUT_MS}ms'`);
      const walk = new ChainWalk(this.audit, manager);
      const head = await this.audit.head(manager);
      const signed = await this.signed(manager);
      await walk.walk(head, [...signed, ...(anchor ? [anchor] : [])]);
      const signatures = walk.problems.length === 0 && signed.length > 0 ? [signed.at(-1)!] : signed;
      for (const checkpoint of signatures) {
        if (!this.checkpoints.isGenuine(checkpoint))
          walk.report(
            'unsigned',
            checkpoint.seq,
            checkpoint.seq,
            null,
            `the checkpoint at ${checkpoint.seq} was not signed by Daypass`,
          );
      }
      const policies = await this.policies(manager, walk);
      return {
        ok: walk.problems.length === 0,
        checked: { rows: walk.rows, contents: walk.contents, checkpoints: signed.length, policies },
        head,
        public_key: this.checkpoints.publicKey,
        problems: walk.problems.slice(0, REPORTED_MAX),
      };
    });
  }

  private async signed(manager: EntityManager): Promise<Checkpoint[]> {
    const rows = await manager.query<{ seq: string; hash: string; at: Date; signature: Buffer }[]>(
      `SELECT seq, encode(hash, 'hex') AS hash, at, signature FROM audit.checkpoints ORDER BY seq`,
    );
    return rows.map(({ seq, hash, at, signature }) => ({ seq: Number(seq), hash, atMs: at.getTime(), signature }));
  }

  private async policies(manager: EntityManager, walk: ChainWalk): Promise<number> {
    const rows = await manager.query<{ version: string; policy: object }[]>(
      'SELECT version, policy FROM audit.policies',
    );
    const kept = new Set<string>();
    for (const { version, policy } of rows) {
      kept.add(version);
      if (policyVersionOf(policy) !== version)
        walk.report('altered', 0, 0, version, `the policy ${version} was edited`);
    }
    for (const version of walk.policyVersions)
      if (!kept.has(version)) walk.report('missing', 0, 0, version, `the policy ${version} was deleted`);
    return rows.length;
  }
}

/** Goes along the chain once, and keeps what it finds. */
class ChainWalk {
  readonly problems: AuditProblem[] = [];
  readonly policyVersions = new Set<string>();
  rows = 0;
  contents = 0;
  /** By campaign: contents older than this went for their age. */
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
      // What stood before is gone, so that this one row cannot be proved by itself; the one after it proves it.
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
    const told = rows.flatMap(({ link, row, period }) =>
      row.kind !== 'act' && row.contentHash !== null ? [{ seq: link.seq, row, period }] : [],
    );
    if (told.length === 0) return;
    const found = await this.manager.query<ContentRow[]>(
      `SELECT content.id, encode(sha256(content.sealed), 'hex') AS hash
         FROM unnest($1::text[], $2::date[]) AS told (id, period) JOIN audit.contents content ON content.id = told.id AND content.period = told.period`,
      [told.map(({ row }) => row.id), told.map(({ period }) => period)],
    );
    const hashes = new Map(found.map(({ id, hash }) => [id, hash]));
    for (const { seq, row } of told) {
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
          `the key of the visitor ${id} was destroyed, and the record does not tell of it`,
        );
  }
}
