import { Injectable } from '@nestjs/common';
import { CHAT } from '#libs/endpoints/chat/chat.endpoint.js';
import type { ListRequests } from '../schemas/audit.schemas.js';
import { showCall, type CallView, type ListedCall } from '../domain/call.view.js';
import { pageOf, type Page } from '../domain/cursor.js';
import { UnitOfWork } from '../store/unit-of-work.js';

// The page comes first. Its calls' checks and bookings then have their places by id and month, which indexes lead to.
const calls = (conditions: string, limit: string, defaultEndpoint: string): string => `
  WITH asked AS MATERIALIZED (
    SELECT kept.* FROM audit.requests kept WHERE ${conditions} ORDER BY kept.at DESC, kept.id DESC LIMIT ${limit}
  )
  SELECT asked.id, asked.at, campaign.slug AS campaign, asked.key_id, key.label AS key_label, asked.visitor_id,
         coalesce(asked.endpoint, ${defaultEndpoint}) AS endpoint, asked.model, asked.stream, asked.policy_version,
         judged.checks, judged.input, judged.output, booked.kinds, booked.held AS held_nano, booked.paid AS paid_nano
    FROM asked
    LEFT JOIN access.keys key ON key.id = asked.key_id
    LEFT JOIN access.campaigns campaign ON campaign.id = asked.campaign_id
    CROSS JOIN LATERAL (
      SELECT count(*)::int AS checks,
             coalesce(array_agg(DISTINCT decision) FILTER (WHERE direction = 'input'), '{}') AS input,
             coalesce(array_agg(DISTINCT decision) FILTER (WHERE direction = 'output'), '{}') AS output
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
    const { campaign, key, visitor, endpoint, model, decision, since, until } = filters;
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
    if (cursor) conditions.push(`(kept.at, kept.id) < (${put(cursor.at)}, ${put(cursor.id)})`);
    const sql = calls(conditions.join(' AND '), put(limit + 1), put(CHAT.name));
    const rows = await this.work.manager.query<ListedCall[]>(sql, values);
    return pageOf(rows, limit, ({ at, id }) => ({ at, id }), showCall);
  }
}
