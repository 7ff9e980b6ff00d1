import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { currentActor } from '../actor.js';
import { linkAfter, type ActRow, type ChainedRow, type Link } from '../domain/audit.chain.js';
import { storable } from '../domain/storable.js';
import { PreparedStatement } from '../store/prepared.statement.js';
import {
  ACT_COLUMNS,
  CHECK_COLUMNS,
  hex,
  keptAct,
  keptCheck,
  keptRequest,
  REQUEST_COLUMNS,
  type KeptRow,
  type Raw,
} from './kept.rows.js';

/** A new row of the record, with its encrypted content. */
export interface NewRow<Row extends ChainedRow = ChainedRow> {
  row: Row;
  period: string;
  sealed: Buffer | null;
}

export type NewAct = Pick<ActRow, 'act' | 'subject' | 'note'> & { beforeMs?: number; atMs?: number };

const KEPT_POLICIES_MAX = 10_000;

/** The record's tables. Only a transaction that holds the head adds to the chain. */
@Injectable()
export class AuditRepository {
  private readonly keptPolicies = new Set<string>();
  private headSeq = 0;

  /** Locks the head until the transaction ends, so that one transaction at a time adds to the chain. */
  async lockHead(manager: EntityManager): Promise<Link> {
    const [head] = await LOCK_HEAD.run(manager);
    const seq = Number(head!.seq);
    // Somebody restored an older Postgres, which may lack policies.
    if (seq < this.headSeq) this.keptPolicies.clear();
    this.headSeq = seq;
    return { seq, hash: head!.hash };
  }

  async head(manager: EntityManager): Promise<Link> {
    const [head] = await manager.query<{ seq: string; hash: string }[]>(`SELECT seq, ${hex('hash')} FROM audit.head`);
    return { seq: Number(head!.seq), hash: head!.hash };
  }

  /** The ids among these that the record has already. */
  async recordedIds(manager: EntityManager, rows: readonly NewRow[]): Promise<string[]> {
    const [requests, checks] = (['request', 'check'] as const).map((kind) =>
      rows.filter(({ row }) => row.kind === kind),
    );
    const places = [requests!, checks!].flatMap((some) => [
      some.map(({ row }) => row.id),
      some.map(({ period }) => period),
    ]);
    return (await RECORDED.run(manager, places)).map(({ id }) => id);
  }

  /** Chains new rows, in this order, after the head that the transaction holds. */
  async append(manager: EntityManager, head: Link, rows: readonly NewRow[]): Promise<Link> {
    let link = head;
    const linked = rows.map((one) => {
      link = linkAfter(link, one.row);
      return { ...one, link };
    });
    const of = <Kind extends ChainedRow['kind']>(kind: Kind) =>
      linked.flatMap(({ row, link: { seq, hash }, period }) =>
        row.kind === kind
          ? [
              {
                ...(row as Extract<ChainedRow, { kind: Kind }>),
                seq,
                hash,
                period,
                at: new Date(row.atMs).toISOString(),
              },
            ]
          : [],
      );
    const acts = of('act').map((act) => ({
      ...act,
      before: act.beforeMs === null ? null : new Date(act.beforeMs).toISOString(),
    }));
    if (rows.length > 0)
      await APPEND.run(manager, [
        ...[of('request'), of('check'), acts].map((some) => JSON.stringify(some)),
        ...contentsOf(rows),
        link.seq,
        link.hash,
      ]);
    return link;
  }

  /** Chains an act, in the transaction that does it. */
  async appendAct(manager: EntityManager, act: NewAct): Promise<void> {
    await this.appendActs(manager, [act]);
  }

  /** Chains acts, in this order, in the transaction that does them. */
  async appendActs(manager: EntityManager, acts: readonly NewAct[]): Promise<void> {
    const head = await this.lockHead(manager);
    const rows = acts.map((act): NewRow => {
      const made = { kind: 'act', id: `act_${randomUUID()}`, atMs: Date.now(), beforeMs: null } as const;
      // The hash has to cover what Postgres keeps. A note may quote the provider.
      const row = storable<ActRow>({ ...made, actor: currentActor() ?? undefined, ...act });
      return { row, period: '', sealed: null };
    });
    await this.append(manager, head, rows);
  }

  /** Returns the versions that Postgres has once the transaction is committed. */
  async keepPolicies(manager: EntityManager, policies: ReadonlyMap<string, object>): Promise<readonly string[]> {
    const fresh = [...policies].filter(([version]) => !this.keptPolicies.has(version));
    if (fresh.length === 0) return [];
    await manager.query(
      `INSERT INTO audit.policies (version, policy) SELECT * FROM unnest($1::text[], $2::jsonb[]) ON CONFLICT DO NOTHING`,
      [fresh.map(([version]) => version), fresh.map(([, policy]) => JSON.stringify(policy))],
    );
    return fresh.map(([version]) => version);
  }

  /** After the commit: nobody deletes a policy, so that nobody has to write these again. */
  policiesKept(versions: readonly string[]): void {
    if (this.keptPolicies.size + versions.length > KEPT_POLICIES_MAX) this.keptPolicies.clear();
    for (const version of versions) this.keptPolicies.add(version);
  }

  /** The rows with these numbers, in their order. */
  async rowsBetween(manager: EntityManager, from: number, to: number): Promise<KeptRow[]> {
    const read = (columns: string, table: string) =>
      manager.query<Raw[]>(`SELECT ${columns} FROM audit.${table} WHERE seq BETWEEN $1 AND $2 ORDER BY seq`, [
        from,
        to,
      ]);
    const requests = await read(REQUEST_COLUMNS, 'requests');
    const checks = await read(CHECK_COLUMNS, 'checks');
    const acts = await read(ACT_COLUMNS, 'acts');
    return [...requests.map(keptRequest), ...checks.map(keptCheck), ...acts.map(keptAct)].sort(
      (a, b) => a.link.seq - b.link.seq,
    );
  }

  /** All acts so far. */
  async acts(manager: EntityManager): Promise<ActRow[]> {
    const rows = await manager.query<Raw[]>(`SELECT ${ACT_COLUMNS} FROM audit.acts ORDER BY seq`);
    return rows.map((raw) => keptAct(raw).row as ActRow);
  }

  /** The head, and the hash of the row with this number, both of one moment. null: no row has it. */
  async headAndHashAt(manager: EntityManager, seq: number): Promise<{ head: Link; hashAt: string | null }> {
    const [row] = await manager.query<[{ seq: string; hash: string; hash_at: string | null }]>(
      `SELECT seq, ${hex('hash')},
              (SELECT encode(found.hash, 'hex') FROM (SELECT hash FROM audit.requests WHERE seq = $1 UNION ALL SELECT hash FROM audit.checks WHERE seq = $1
                 UNION ALL SELECT hash FROM audit.acts WHERE seq = $1) found LIMIT 1) AS hash_at
         FROM audit.head`,
      [seq],
    );
    return { head: { seq: Number(row.seq), hash: row.hash }, hashAt: row.hash_at };
  }
}

/** The columns of the contents that these rows have. */
function contentsOf(rows: readonly NewRow[]): unknown[][] {
  const contents = rows.flatMap(({ row, period, sealed }) =>
    sealed && row.kind !== 'act' ? [{ row, period, sealed }] : [],
  );
  return [
    contents.map(({ row }) => row.id),
    contents.map(({ period }) => period),
    contents.map(({ row }) => row.campaignId),
    contents.map(({ row }) => new Date(row.atMs).toISOString()),
    contents.map(({ sealed }) => sealed),
  ];
}

const LOCK_HEAD = new PreparedStatement<{ seq: string; hash: string }>(
  `SELECT seq, ${hex('hash')} FROM audit.head FOR UPDATE`,
);

const RECORDED = new PreparedStatement<{ id: string }>(`
  SELECT kept.id FROM unnest($1::text[], $2::date[]) AS asked (id, period)
    JOIN audit.requests kept ON kept.id = asked.id AND kept.period = asked.period
  UNION ALL
  SELECT kept.id FROM unnest($3::text[], $4::date[]) AS asked (id, period)
    JOIN audit.checks kept ON kept.id = asked.id AND kept.period = asked.period`);

// One statement for all: a small batch costs accounting and Postgres less than its round trips did.
const APPEND = new PreparedStatement(`
  WITH requests AS (
    INSERT INTO audit.requests (id, period, seq, hash, at, visitor_id, key_id, campaign_id, endpoint, model, stream, policy_version, content_hash)
    SELECT id, period, seq, decode(hash, 'hex'), at, "visitorId", "keyId", "campaignId", endpoint, model, stream, "policyVersion", decode("contentHash", 'hex')
      FROM jsonb_to_recordset($1::jsonb) AS given (id text, period date, seq bigint, hash text, at timestamptz, "visitorId" text, "keyId" text,
           "campaignId" text, endpoint text, model text, stream boolean, "policyVersion" text, "contentHash" text)
  ), checks AS (
    INSERT INTO audit.checks (id, period, seq, hash, at, request_id, visitor_id, key_id, campaign_id, direction, guard, model, decision, categories,
           scores, thresholds, policy_version, latency_ms, reason, content_hash)
    SELECT id, period, seq, decode(hash, 'hex'), at, "requestId", "visitorId", "keyId", "campaignId", direction, guard, model, decision, categories,
           scores, thresholds, "policyVersion", "latencyMs", reason, decode("contentHash", 'hex')
      FROM jsonb_to_recordset($2::jsonb) AS given (id text, period date, seq bigint, hash text, at timestamptz, "requestId" text, "visitorId" text,
           "keyId" text, "campaignId" text, direction text, guard text, model text, decision text, categories text[], scores jsonb, thresholds jsonb,
           "policyVersion" text, "latencyMs" integer, reason text, "contentHash" text)
  ), acts AS (
    INSERT INTO audit.acts (id, seq, hash, at, kind, subject, before, note, actor)
    SELECT id, seq, decode(hash, 'hex'), at, act, subject, before, note, actor
      FROM jsonb_to_recordset($3::jsonb) AS given (id text, seq bigint, hash text, at timestamptz, act text, subject text, before timestamptz, note text,
           actor text)
  ), contents AS (
    INSERT INTO audit.contents (id, period, campaign_id, at, sealed)
    SELECT * FROM unnest($4::text[], $5::date[], $6::text[], $7::timestamptz[], $8::bytea[])
  )
  UPDATE audit.head SET seq = $9, hash = decode($10, 'hex')`);
