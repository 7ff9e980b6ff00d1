import type { ActRow, ChainedRow, CheckRow, Link, RequestRow } from '../domain/audit.chain.js';

/** A row of the record. */
export interface KeptRow {
  link: Link;
  row: ChainedRow;
  period: string | null;
}

export const hex = (column: string): string => `encode(${column}, 'hex') AS ${column}`;
const MS = `(extract(epoch FROM at) * 1000)::bigint AS at_ms`;
export const REQUEST_COLUMNS = `seq, ${hex('hash')}, period::text, id, ${MS}, visitor_id, key_id, campaign_id, endpoint, model, stream, policy_version, ${hex('content_hash')}`;
export const CHECK_COLUMNS = `seq, ${hex('hash')}, period::text, id, ${MS}, request_id, visitor_id, key_id, campaign_id, direction, guard, model, decision, categories,
  scores, thresholds, policy_version, latency_ms, reason, ${hex('content_hash')}`;
export const ACT_COLUMNS = `seq, ${hex('hash')}, id, ${MS}, kind, subject, (extract(epoch FROM before) * 1000)::bigint AS before_ms, note, actor`;

export type Raw = Record<string, unknown> & { seq: string; hash: string; at_ms: string };

function kept(raw: Raw, row: ChainedRow): KeptRow {
  return { link: { seq: Number(raw.seq), hash: raw.hash }, row, period: (raw.period as string | undefined) ?? null };
}

/** The fields that a request and a check share. */
const commonOf = (raw: Raw) => ({
  id: raw.id as string,
  atMs: Number(raw.at_ms),
  visitorId: raw.visitor_id as string,
  keyId: raw.key_id as string,
  campaignId: raw.campaign_id as string,
  model: raw.model as string,
  policyVersion: raw.policy_version as string,
  contentHash: raw.content_hash as string | null,
});

export function keptRequest(raw: Raw): KeptRow {
  const endpoint = (raw.endpoint as string | null) ?? undefined;
  const row: RequestRow = { kind: 'request', ...commonOf(raw), endpoint, stream: raw.stream as boolean };
  return kept(raw, row);
}

export function keptCheck(raw: Raw): KeptRow {
  const row: CheckRow = {
    kind: 'check',
    ...commonOf(raw),
    requestId: raw.request_id as string,
    direction: raw.direction as CheckRow['direction'],
    guard: raw.guard as string,
    decision: raw.decision as CheckRow['decision'],
    categories: raw.categories as string[],
    scores: raw.scores as Record<string, number>,
    thresholds: raw.thresholds as Record<string, number>,
    latencyMs: raw.latency_ms as number,
    reason: raw.reason as string | null,
  };
  return kept(raw, row);
}

export function keptAct(raw: Raw): KeptRow {
  const row: ActRow = {
    kind: 'act',
    id: raw.id as string,
    atMs: Number(raw.at_ms),
    act: raw.kind as ActRow['act'],
    subject: raw.subject as string,
    beforeMs: raw.before_ms === null ? null : Number(raw.before_ms),
    note: raw.note as string | null,
    actor: (raw.actor as string | null) ?? undefined,
  };
  return kept(raw, row);
}
