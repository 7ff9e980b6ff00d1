import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { readBody } from '#libs/endpoints/body.js';
import { CHAT } from '#libs/endpoints/chat/chat.endpoint.js';
import { formatUsd } from '#libs/money/nano.js';
import { inBatches } from '../batches.js';
import { AdminError } from '../domain/admin.error.js';
import type { CheckFilters } from '../schemas/audit.schemas.js';
import type { Page } from '#libs/contracts/admin/answers.js';
import { pageOf, type Cursor } from '../domain/cursor.js';
import type { CheckView } from '#libs/contracts/admin/answers.js';
import { showCheck, type ListedCheck } from '../domain/check.view.js';
import { periodOfRequest } from '../domain/period.js';
import type { CheckCount, RequestView } from '#libs/contracts/admin/safety.js';
import { shownUsage } from '../domain/usage.view.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { isFlagged, isSeen } from './review.queue.js';
import { VisitorVault } from './visitor.vault.js';

/** Nobody waits for a count of the whole record. */
const COUNT_MAX = 10_000;
const COLUMNS = `kept.id, kept.at, kept.request_id, kept.visitor_id, kept.key_id, campaign.slug AS campaign, kept.direction, kept.guard, kept.model, kept.decision,
  kept.categories, kept.scores, kept.thresholds, kept.policy_version, kept.latency_ms, kept.reason, kept.seq`;

interface RequestRow {
  at: Date;
  campaign: string | null;
  key_id: string;
  visitor_id: string;
  /** null: chat completions. */
  endpoint: string | null;
  model: string;
  stream: boolean;
  policy_version: string;
  policy: unknown;
  seq: string;
  content_hash: Buffer | null;
  erased_at: Date | null;
  reviewed: boolean | null;
}

/** A request's body; undefined: its content is gone. */
function askedOf(text: string | undefined): Pick<RequestView, 'asked' | 'kept'> {
  if (text === undefined) return { asked: null, kept: null };
  const { json, kept } = readBody(text);
  return { asked: json, kept: kept ?? null };
}

/** `there`: the record still has texts of the call. */
function textsOf(row: RequestRow, there: boolean, shown: boolean): RequestView['texts'] {
  if (shown) return 'shown';
  if (row.erased_at) return 'erased';
  if (there) return 'kept';
  return row.content_hash === null ? 'none' : 'expired';
}

const judgedOf = (text: string | undefined): unknown => (text === undefined ? null : JSON.parse(text));

/** The record as the admin API shows it. */
@Injectable()
export class AuditReader {
  constructor(
    private readonly work: UnitOfWork,
    private readonly vault: VisitorVault,
  ) {}

  async checks(filters: CheckFilters & { cursor?: Cursor | undefined; limit: number }): Promise<Page<CheckView>> {
    const rows = await this.find(filters, filters.limit + 1, filters.cursor ?? null);
    return pageOf(rows, filters.limit, ({ at, id }) => ({ at, id }), showCheck);
  }

  /** All checks, newest first. */
  async *export(filters: CheckFilters): AsyncGenerator<CheckView> {
    const find = (after: Cursor | null, count: number): Promise<ListedCheck[]> => this.find(filters, count, after);
    for await (const row of inBatches(find, ({ at, id }): Cursor => ({ at, id }))) yield showCheck(row);
  }

  /** How many checks a filter lets through, counted up to a bound. */
  async count(filters: CheckFilters): Promise<CheckCount> {
    const { conditions, values } = narrowed(filters);
    const [row] = await this.work.manager.query<{ checks: number }[]>(
      `SELECT count(*)::int AS checks FROM (SELECT FROM audit.checks kept WHERE ${conditions.join(' AND ')} LIMIT ${COUNT_MAX + 1}) counted`,
      values,
    );
    const checks = row?.checks ?? 0;
    return { checks: Math.min(checks, COUNT_MAX), is_more: checks > COUNT_MAX };
  }

  /** `show`: with the texts of what was asked and judged. */
  async request(id: string, { show }: { show: boolean }): Promise<RequestView> {
    const { manager } = this.work;
    const period = periodOfRequest(id);
    const [row] = await manager.query<RequestRow[]>(
      `SELECT kept.*, campaign.slug AS campaign, policy.policy, visitor.erased_at,
              (SELECT bool_and(${isSeen('checks')}) FROM audit.checks WHERE checks.request_id = kept.id AND ${isFlagged('checks')}) AS reviewed
         FROM audit.requests kept
         LEFT JOIN access.campaigns campaign ON campaign.id = kept.campaign_id LEFT JOIN audit.policies policy ON policy.version = kept.policy_version
         LEFT JOIN audit.visitors visitor ON visitor.id = kept.visitor_id
        WHERE kept.id = $1 AND kept.period = $2`,
      [id, period],
    );
    if (!row) throw new AdminError('not_found', `There is no request '${id.slice(0, 100)}' in the record.`);
    const checks = await manager.query<ListedCheck[]>(
      `SELECT ${COLUMNS} FROM audit.checks kept LEFT JOIN access.campaigns campaign ON campaign.id = kept.campaign_id WHERE kept.request_id = $1 ORDER BY kept.seq`,
      [id],
    );
    const transfers = await manager.query<Booking[]>(
      `SELECT t.id, t.kind, t.at, t.detail->'usage' AS usage, coalesce(sum(entry.amount_nano) FILTER (WHERE entry.account LIKE 'upstream:%' OR entry.account = 'absorbed'), 0) AS paid
         FROM ledger.transfers t LEFT JOIN ledger.entries entry ON entry.transfer_id = t.id AND entry.period = t.period
        WHERE t.request_id = $1 AND t.period = $2 GROUP BY t.id, t.kind, t.at, t.recorded_at, t.detail ORDER BY t.at, t.recorded_at`,
      [id, period],
    );
    const ids = [id, ...checks.map((check) => check.id)];
    const { there, opened: contents } = await this.contents(manager, row.visitor_id, period, ids, show);
    return {
      id,
      at: row.at.toISOString(),
      campaign: row.campaign,
      key: row.key_id,
      visitor: row.visitor_id,
      endpoint: row.endpoint ?? CHAT.name,
      model: row.model,
      stream: row.stream,
      policy_version: row.policy_version,
      policy: row.policy,
      texts: textsOf(row, there, contents.size > 0),
      ...askedOf(contents.get(id)),
      checks: checks.map((check) => ({ ...showCheck(check), judged: judgedOf(contents.get(check.id)) })),
      transfers: transfers.map(showBooking),
      reviewed: row.reviewed,
      seq: Number(row.seq),
    };
  }

  private async contents(
    manager: EntityManager,
    visitorId: string,
    period: string,
    ids: readonly string[],
    show: boolean,
  ): Promise<{ there: boolean; opened: Map<string, string> }> {
    const rows = await manager.query<{ id: string; sealed: Buffer }[]>(
      'SELECT id, sealed FROM audit.contents WHERE id = ANY ($1) AND period = $2',
      [ids, period],
    );
    const opened = new Map<string, string>();
    for (const { id, sealed } of show ? rows : []) {
      const text = await this.vault.open(manager, visitorId, id, sealed);
      if (text !== null) opened.set(id, text);
    }
    return { there: rows.length > 0, opened };
  }

  private find(filters: CheckFilters, count: number, after: Cursor | null): Promise<ListedCheck[]> {
    const { conditions, values } = narrowed(filters);
    if (after) conditions.push(`(kept.at, kept.id) < ($${values.push(after.at)}, $${values.push(after.id)})`);
    return this.work.manager.query<ListedCheck[]>(
      `SELECT ${COLUMNS} FROM audit.checks kept LEFT JOIN access.campaigns campaign ON campaign.id = kept.campaign_id
        WHERE ${conditions.join(' AND ')} ORDER BY kept.at DESC, kept.id DESC LIMIT $${values.push(count)}`,
      values,
    );
  }
}

/** The conditions of a filter, with their values. */
function narrowed(filters: CheckFilters): { conditions: string[]; values: unknown[] } {
  const {
    key,
    campaign,
    visitor,
    request,
    direction,
    decision,
    guard,
    category,
    policy_version: policy,
    since,
    until,
  } = filters;
  const conditions: string[] = ['true'];
  const values: unknown[] = [];
  const where = (condition: (...parameters: string[]) => string, ...given: unknown[]): void => {
    if (given[0] === undefined) return;
    conditions.push(condition(...given.map((value) => `$${values.push(value)}`)));
  };
  where((parameter) => `kept.key_id = ${parameter}`, key);
  where((parameter) => `kept.campaign_id = (SELECT id FROM access.campaigns WHERE slug = ${parameter})`, campaign);
  where((parameter) => `kept.visitor_id = ${parameter}`, visitor);
  where((parameter) => `kept.request_id = ${parameter}`, request);
  where((parameter) => `kept.direction = ${parameter}`, direction);
  where((parameter) => `kept.decision = ANY (${parameter})`, decision);
  where((parameter) => `kept.guard = ${parameter}`, guard);
  where((parameter) => `${parameter} = ANY (kept.categories)`, category);
  where((parameter) => `kept.policy_version = ${parameter}`, policy);
  where((parameter) => `kept.at >= ${parameter}`, since);
  where((parameter) => `kept.at < ${parameter}`, until);
  return { conditions, values };
}

interface Booking {
  id: string;
  kind: string;
  at: Date;
  paid: string;
  usage: unknown;
}

function showBooking({ at, paid, usage: booked, ...transfer }: Booking): RequestView['transfers'][number] {
  const usage = shownUsage(booked);
  return {
    ...transfer,
    at: at.toISOString(),
    paid_usd: formatUsd(BigInt(paid)),
    ...(usage ? { usage } : {}),
  };
}
