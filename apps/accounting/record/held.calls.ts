import { Injectable } from '@nestjs/common';
import type { HeldCalls } from '#libs/contracts/claims.js';
import { CHAT } from '#libs/endpoints/chat/chat.endpoint.js';
import { formatUsd } from '#libs/money/nano.js';
import { resultOf } from '../domain/call.view.js';
import { pageOf, type Cursor } from '../domain/cursor.js';
import { shownUsage } from '../domain/usage.view.js';
import { UnitOfWork } from '../store/unit-of-work.js';

interface Row {
  id: string;
  at: Date;
  endpoint: string;
  model: string;
  input: string[];
  output: string[];
  kinds: string[];
  input_tokens: number | null;
  output_tokens: number | null;
  usage: unknown;
  spent_nano: string;
  waited_ms: number | null;
}

// The page comes first, as in the operators' list. A key's holder pays for no part that the operator absorbed.
const CALLS = `
  WITH asked AS MATERIALIZED (
    SELECT id, at, period, endpoint, model FROM audit.requests
     WHERE key_id = $1 AND ($2::timestamptz IS NULL OR (at, id) < ($2, $3)) ORDER BY at DESC, id DESC LIMIT $4
  )
  SELECT asked.id, asked.at, coalesce(asked.endpoint, $5) AS endpoint, asked.model, judged.input, judged.output,
         booked.kinds, booked.input_tokens, booked.output_tokens, booked.usage, booked.spent AS spent_nano, dispatched.waited_ms
    FROM asked
    CROSS JOIN LATERAL (
      SELECT coalesce(array_agg(DISTINCT decision) FILTER (WHERE direction = 'input'), '{}') AS input,
             coalesce(array_agg(DISTINCT decision) FILTER (WHERE direction = 'output'), '{}') AS output
        FROM audit.checks WHERE checks.request_id = asked.id
    ) judged
    CROSS JOIN LATERAL (
      SELECT coalesce(array_agg(DISTINCT transfer.kind), '{}') AS kinds,
             max((transfer.detail->'usage'->>'input')::bigint)::int AS input_tokens,
             max((transfer.detail->'usage'->>'output')::bigint)::int AS output_tokens,
             (array_agg(transfer.detail->'usage' ORDER BY transfer.at DESC) FILTER (WHERE transfer.detail->'usage' IS NOT NULL))[1] AS usage,
             coalesce(sum(entry.amount_nano) FILTER (WHERE entry.account LIKE 'upstream:%' OR entry.account = 'absorbed'), 0) AS spent,
             min(transfer.at) FILTER (WHERE transfer.kind = 'hold') AS held_at
        FROM ledger.transfers transfer
        LEFT JOIN ledger.entries entry ON entry.transfer_id = transfer.id AND entry.period = transfer.period
       WHERE transfer.id IN (asked.id || ':hold', asked.id || ':end', asked.id || ':correct') AND transfer.period = asked.period
    ) booked
    CROSS JOIN LATERAL (
      SELECT greatest(0, extract(epoch FROM min(attempt.at) - booked.held_at) * 1000)::int AS waited_ms
        FROM ledger.attempts attempt
       WHERE attempt.request_id = asked.id AND attempt.kind = 'dispatch' AND attempt.period = asked.period
    ) dispatched
   ORDER BY asked.at DESC, asked.id DESC`;

/** The calls of one key, as its holder sees them: without texts, newest first. */
@Injectable()
export class HeldCallList {
  constructor(private readonly work: UnitOfWork) {}

  async page(keyId: string, { cursor, limit }: { cursor: Cursor | null; limit: number }): Promise<HeldCalls> {
    const values = [keyId, cursor?.at ?? null, cursor?.id ?? null, limit + 1, CHAT.name];
    const rows = await this.work.manager.query<Row[]>(CALLS, values);
    return pageOf(rows, limit, ({ at, id }) => ({ at, id }), showHeldCall);
  }
}

function showHeldCall({ kinds, spent_nano, at, usage: booked, ...call }: Row): HeldCalls['data'][number] {
  const result = resultOf(kinds);
  const usage = shownUsage(booked);
  return {
    ...call,
    at: at.toISOString(),
    cost_usd: result === 'running' ? null : formatUsd(BigInt(spent_nano)),
    result,
    ...(usage ? { usage } : {}),
  };
}
