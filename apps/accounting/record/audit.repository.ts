import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { currentActor } from '../actor.js';
import { linkAfter, type ActRow, type ChainedRow, type Link } from '../domain/audit.chain.js';
import { storable } from '../domain/storable.js';
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

/** The record's tables. Only a transaction that holds the head adds to the chain. */
@Injectable()
export class AuditRepository {
  /** Locks the head until the transaction ends, so that one transaction at a time adds to the chain. */
  async lockHead(manager: EntityManager): Promise<Link> {
    const [head] = await manager.query<{ seq: string; hash: string }[]>(
      `SELECT seq, ${hex('hash')} FROM audit.head FOR UPDATE`,
    );
    return { seq: Number(head!.seq), hash: head!.hash };
  }

  async head(manager: EntityManager): Promise<Link> {
    const [head] = await manager.query<{ seq: string; hash: string }[]>(`SELECT seq, ${hex('hash')} FROM audit.head`);
    return { seq: Number(head!.seq), hash: head!.hash };
  }

  /** The ids among these that the record has already. */
  async recordedIds(
    manager: EntityManager,
    table: 'requests' | 'checks',
    rows: readonly { id: string; period: string }[],
  ): Promise<Set<string>> {
    if (rows.length === 0) return new Set();
    const found = await manager.query<{ id: string }[]>(
      `SELECT kept.id FROM unnest($1::text[], $2::date[]) AS asked (id, period) JOIN audit.${table} kept ON kept.id = asked.id AND kept.period = asked.period`,
      [rows.map(({ id }) => id), rows.map(({ period }) => period)],
    );
    return new Set(found.map(({ id }) => id));
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
    await insert(manager, INSERT_REQUESTS, of('request'));
    await insert(manager, INSERT_CHECKS, of('check'));
    const acts = of('act').map((act) => ({
      ...act,
      before: act.beforeMs === null ? null : new Date(act.beforeMs).toISOString(),
    }));
    await insert(manager, INSERT_ACTS, acts);
    await this.keepContents(manager, rows);
    if (rows.length > 0)
      await manager.query(`UPDATE audit.head SET seq = $1, hash = decode($2, 'hex')`, [link.seq, link.hash]);
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

  private async keepContents(manager: EntityManager, rows: readonly NewRow[]): Promise<void> {
    const contents = rows.flatMap(({ row, period, sealed }) =>
      sealed && row.kind !== 'act' ? [{ row, period, sealed }] : [],
    );
    if (contents.length === 0) return;
    await manager.query(
      `INSERT INTO audit.contents (id, period, campaign_id, at, sealed) SELECT * FROM unnest($1::text[], $2::date[], $3::text[], $4::timestamptz[], $5::bytea[])`,
      [
        contents.map(({ row }) => row.id),
        contents.map(({ period }) => period),
        contents.map(({ row }) => row.campaignId),
        contents.map(({ row }) => new Date(row.atMs).toISOString()),
        contents.map(({ sealed }) => sealed),
      ],
    );
  }

  async keepPolicies(manager: EntityManager, policies: ReadonlyMap<string, object>): Promise<void> {
    await manager.query(
      `INSERT INTO audit.policies (version, policy) SELECT * FROM unnest($1::text[], $2::jsonb[]) ON CONFLICT DO NOTHING`,
      [[...policies.keys()], [...policies.values()].map((policy) => JSON.stringify(policy))],
    );
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

  /** null: no row has this number. */
  async hashAt(manager: EntityManager, seq: number): Promise<string | null> {
    const [row] = await manager.query<{ hash: string }[]>(
      `SELECT ${hex('hash')} FROM (SELECT hash FROM audit.requests WHERE seq = $1 UNION ALL SELECT hash FROM audit.checks WHERE seq = $1
         UNION ALL SELECT hash FROM audit.acts WHERE seq = $1) found`,
      [seq],
    );
    return row?.hash ?? null;
  }
}

async function insert(manager: EntityManager, sql: string, rows: readonly object[]): Promise<void> {
  if (rows.length > 0) await manager.query(sql, [JSON.stringify(rows)]);
}

const INSERT_REQUESTS = `
  INSERT INTO audit.requests (id, period, seq, hash, at, visitor_id, key_id, campaign_id, endpoint, model, stream, policy_version, content_hash)
  SELECT id, period, seq, decode(hash, 'hex'), at, "visitorId", "keyId", "campaignId", endpoint, model, stream, "policyVersion", decode("contentHash", 'hex')
    FROM jsonb_to_recordset($1::jsonb) AS given (id text, period date, seq bigint, hash text, at timestamptz, "visitorId" text, "keyId" text,
         "campaignId" text, endpoint text, model text, stream boolean, "policyVersion" text, "contentHash" text)`;
const INSERT_CHECKS = `
  INSERT INTO audit.checks (id, period, seq, hash, at, request_id, visitor_id, key_id, campaign_id, direction, guard, model, decision, categories,
         scores, thresholds, policy_version, latency_ms, reason, content_hash)
  SELECT id, period, seq, decode(hash, 'hex'), at, "requestId", "visitorId", "keyId", "campaignId", direction, guard, model, decision, categories,
         scores, thresholds, "policyVersion", "latencyMs", reason, decode("contentHash", 'hex')
    FROM jsonb_to_recordset($1::jsonb) AS given (id text, period date, seq bigint, hash text, at timestamptz, "requestId" text, "visitorId" text,
         "keyId" text, "campaignId" text, direction text, guard text, model text, decision text, categories text[], scores jsonb, thresholds jsonb,
         "policyVersion" text, "latencyMs" integer, reason text, "contentHash" text)`;
const INSERT_ACTS = `
  INSERT INTO audit.acts (id, seq, hash, at, kind, subject, before, note, actor)
  SELECT id, seq, decode(hash, 'hex'), at, act, subject, before, note, actor
    FROM jsonb_to_recordset($1::jsonb) AS given (id text, seq bigint, hash text, at timestamptz, act text, subject text, before timestamptz, note text,
         actor text)`;
