import { Injectable } from '@nestjs/common';
import { CHAT } from '#libs/endpoints/chat/chat.endpoint.js';
import { AdminError } from '../domain/admin.error.js';
import { periodOfRequest } from '../domain/period.js';
import type { FilterRequests, ListRequests } from '../schemas/audit.schemas.js';
import type { AroundView } from '#libs/contracts/admin/safety.js';
import type { CallView } from '#libs/contracts/admin/answers.js';
import { showCall, type ListedCall } from '../domain/call.view.js';
import type { Page } from '#libs/contracts/admin/answers.js';
import { inBatches } from '../batches.js';
import { pageOf, type Cursor } from '../domain/cursor.js';
import { UnitOfWork } from '../store/unit-of-work.js';
import { isFlagged, isRecent, isSeen } from './review.queue.js';

// The page comes first. Its calls' checks and bookings then have their places by id and month, which indexes lead to.
const calls = (conditions: string, limit: string, defaultEndpoint: string): string => `
  WITH asked AS MATERIALIZED (
    SELECT kept.* FROM audit.requests kept WHERE ${conditions} ORDER BY kept.at DESC, kept.id DESC LIMIT ${limit}
  )
  SELECT asked.id, asked.at, campaign.slug AS campaign, asked.key_id, key.label AS key_label, asked.visitor_id,
         coalesce(asked.endpoint, ${defaultEndpoint}) AS endpoint, asked.model, asked.stream, asked.policy_version,
         judged.checks, judged.input, judged.output, judged.reviewed, booked.kinds, booked.held AS held_nano, booked.paid AS paid_nano
    FROM asked
    LEFT JOIN access.keys key ON key.id = asked.key_id
    LEFT JOIN access.campaigns campaign ON campaign.id = asked.campaign_id
    CROSS JOIN LATERAL (
      SELECT count(*)::int AS checks,
             coalesce(array_agg(DISTINCT decision) FILTER (WHERE direction = 'input'), '{}') AS input,
             coalesce(array_agg(DISTINCT decision) FILTER (WHERE direction = 'output'), '{}') AS output,
             bool_and(${isSeen('checks')}) FILTER (WHERE ${isFlagged('checks')}) AS reviewed
        FROM audit.checks WHERE checks.request_id = asked.id
    ) judged
    CROSS JOIN LATERAL (
      SELECT coalesce(array_agg(DISTINCT transfer.kind), '{}') AS kinds,
             coalesce(sum(entry.amount_nano) FILTER (WHERE transfer.kind = 'hold' AND entry.account = 'inflight'), 0) AS held,
             coalesce(sum(entry.amount_nano) FILTER (WHERE entry.account LIKE 'upstream:%' OR entry.account = 'absorbed'), 0) AS paid
        FROM ledger.transfers transfer
        LEFT JOIN ledger.entries entry ON entry.transfer_id = transfer.id AND entry.period = transfer.period
       WHERE transfer.id IN (asked.id || ':hold', asked.id || ':end', asked.id || ':correct') AND transfer.period = asked.period
    ) booked
   ORDER BY asked.at DESC, asked.id DESC`;

/** The calls on record, as the admin API lists them. */
@Injectable()
export class CallList {
  constructor(private readonly work: UnitOfWork) {}

  async page({ cursor, limit, ...filters }: ListRequests): Promise<Page<CallView>> {
    const rows = await this.find(filters, limit + 1, cursor ?? null);
    return pageOf(rows, limit, cursorOf, showCall);
  }

  /** All of them, newest first. */
  async *export(filters: FilterRequests): AsyncGenerator<CallView> {
    for await (const row of inBatches((after: Cursor | null, count) => this.find(filters, count, after), cursorOf))
      yield showCall(row);
  }

  private find(filters: FilterRequests, count: number, after: Cursor | null): Promise<ListedCall[]> {
    const { conditions, values, put } = narrowed(filters);
    if (after) conditions.push(`(kept.at, kept.id) < (${put(after.at)}, ${put(after.id)})`);
    const sql = calls(conditions.join(' AND '), put(count), put(CHAT.name));
    return this.work.manager.query<ListedCall[]>(sql, values);
  }

  /** The calls beside this one within a filter. It need not be in the filter itself. @throws AdminError `not_found` */
  async around(id: string, filters: FilterRequests): Promise<AroundView> {
    const [here] = await this.work.manager.query<{ at: Date }[]>(
      'SELECT at FROM audit.requests WHERE id = $1 AND period = $2',
      [id, periodOfRequest(id)],
    );
    if (!here) throw new AdminError('not_found', `There is no request '${id.slice(0, 100)}' in the record.`);
    return { newer: await this.beside(id, here.at, filters, '>'), older: await this.beside(id, here.at, filters, '<') };
  }

  private async beside(id: string, at: Date, filters: FilterRequests, side: '<' | '>'): Promise<string | null> {
    const { conditions, values, put } = narrowed(filters);
    conditions.push(`(kept.at, kept.id) ${side} (${put(at)}, ${put(id)})`);
    const order = side === '<' ? 'DESC' : 'ASC';
    const [row] = await this.work.manager.query<{ id: string }[]>(
      `SELECT kept.id FROM audit.requests kept WHERE ${conditions.join(' AND ')} ORDER BY kept.at ${order}, kept.id ${order} LIMIT 1`,
      values,
    );
    return row?.id ?? null;
  }
}

const cursorOf = ({ at, id }: ListedCall): Cursor => ({ at, id });

/** The conditions of a filter, with their values; `put` adds another value. */
function narrowed({ campaign, key, visitor, endpoint, model, decision, reviewed, since, until }: FilterRequests) {
  const conditions = ['true'];
  const values: unknown[] = [];
  const put = (value: unknown): string => `$${values.push(value)}`;
  const where = (condition: (parameter: string) => string, value: unknown): void => {
    if (value !== undefined) conditions.push(condition(put(value)));
  };
  where((slug) => `kept.campaign_id = (SELECT id FROM access.campaigns WHERE slug = ${slug})`, campaign);
  where((id) => `kept.key_id = ${id}`, key);
  where((id) => `kept.visitor_id = ${id}`, visitor);
  where((name) => `coalesce(kept.endpoint, ${put(CHAT.name)}) = ${name}`, endpoint);
  where((name) => `kept.model = ${name}`, model);
  where((at) => `kept.at >= ${at}`, since);
  where((at) => `kept.at < ${at}`, until);
  where(
    (decisions) =>
      `EXISTS (SELECT FROM audit.checks WHERE checks.request_id = kept.id AND checks.decision = ANY (${decisions}))`,
    decision,
  );
  if (reviewed !== undefined) {
    // `IS TRUE` keeps it out of the joins: Postgres hashes the few flagged calls once, whatever it guesses of them.
    const judged = [isFlagged('checks'), ...(reviewed ? [] : [isRecent('checks')])];
    if (visitor !== undefined) judged.push(`checks.visitor_id = ${put(visitor)}`);
    if (since !== undefined) judged.push(`checks.at >= ${put(since)}`);
    conditions.push(`(kept.id IN (
      SELECT request_id FROM (
        SELECT checks.request_id, bool_and(${isSeen('checks')}) AS seen FROM audit.checks WHERE ${judged.join(' AND ')} GROUP BY 1
      ) flagged WHERE seen = ${put(reviewed)})) IS TRUE`);
  }
  return { conditions, values, put };
}
