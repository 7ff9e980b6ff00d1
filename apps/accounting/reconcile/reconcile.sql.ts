import { FIRST_UPSTREAM } from '#libs/contracts/journal.js';

const OPEN_MAX = 10_000;

/** A request id begins with the time at which ingress took the call, in milliseconds. */
const ARRIVED = (id: string): string =>
  `CASE WHEN ${id} ~ '^req_[0-9a-f]{32}$' THEN to_timestamp(('x' || substr(${id}, 5, 12))::bit(48)::bigint / 1000.0) END`;

/** The reports cover the account of OPENAI_API_KEY. They lack calls that went to another upstream. */
const ELSEWHERE = (account: string): string =>
  `${account} LIKE 'upstream:%' AND ${account} <> 'upstream:${FIRST_UPSTREAM}'`;

export const OPEN = `
  SELECT presumed.request_id, presumed.key_id, presumed.campaign_id, hold.detail, -entry.amount_nano AS held,
         coalesce(presumed.budget_day - DATE '1970-01-01', 0) AS day,
         least(hold.at, sent.first, ${ARRIVED('presumed.request_id')}) AS sent_from, greatest(hold.at, sent.last) AS sent_to
    FROM ledger.transfers presumed
    JOIN ledger.transfers hold ON hold.id = presumed.request_id || ':hold' AND hold.period = presumed.period
    JOIN ledger.entries entry ON entry.transfer_id = presumed.id AND entry.period = presumed.period AND entry.account = 'inflight'
    LEFT JOIN ledger.judgements judgement ON judgement.request_id = presumed.request_id
   CROSS JOIN LATERAL (SELECT min(try.at) AS first, max(try.at) AS last FROM ledger.attempts try
                        WHERE try.request_id = presumed.request_id AND try.period = presumed.period AND try.kind = 'dispatch') sent
   WHERE presumed.kind = 'presume' AND presumed.at > $1 AND (judgement.request_id IS NULL OR judgement.kept_nano < judgement.held_nano)
     AND NOT EXISTS (SELECT FROM ledger.entries other
                      WHERE other.transfer_id = presumed.id AND other.period = presumed.period AND ${ELSEWHERE('other.account')})
     AND NOT EXISTS (SELECT FROM ledger.transfers correction
                      WHERE correction.id = presumed.request_id || ':correct' AND correction.period = presumed.period)
   ORDER BY presumed.at LIMIT ${OPEN_MAX}`;

export const MEASURED = `
  WITH ended AS MATERIALIZED (
    SELECT t.request_id, t.period, t.at, t.detail FROM ledger.transfers t
     WHERE t.at >= $1 AND t.at < $2 AND t.kind IN ('post', 'correct') AND t.detail->>'estimated' = 'false' AND t.detail->>'served' <> '' AND t.detail->>'upstream' IS NULL
  ), sent AS (
    SELECT try.request_id, min(try.at) AS at
      FROM ledger.attempts try JOIN ended ON ended.request_id = try.request_id AND ended.period = try.period
     WHERE try.kind = 'dispatch' GROUP BY try.request_id
  ), measured AS (
    SELECT detail->>'model' AS model, detail->>'served' AS served, least(sent.at, ${ARRIVED('ended.request_id')}) AS started, ended.at AS ended,
           (detail->'usage'->>'input')::bigint AS input, (detail->'usage'->>'cached')::bigint AS cached,
           (detail->'usage'->>'cacheWrite')::bigint AS cache_write, (detail->'usage'->>'output')::bigint AS output
      FROM ended JOIN sent ON sent.request_id = ended.request_id
  )
  SELECT edge, model, served, extract(epoch FROM minute) * 1000 AS minute_ms, count(*) AS requests, sum(input - cached - cache_write) AS uncached,
         sum(cached) AS cached, sum(cache_write) AS cache_write, sum(output) AS output
    FROM measured, LATERAL (VALUES ('start', date_trunc('minute', started)), ('end', date_trunc('minute', ended))) AS edges (edge, minute)
   GROUP BY edge, model, served, minute`;

/** It adds a version of a report only where the figures changed. */
export const REPORT = `
  INSERT INTO ledger.reports (minute, model, service_tier, requests, uncached_tokens, cached_tokens, cache_write_tokens, output_tokens)
  SELECT given.* FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
      AS given (minute, model, service_tier, requests, uncached, cached, cache_write, output)
    LEFT JOIN LATERAL (SELECT * FROM ledger.reports former
                        WHERE former.minute = given.minute AND former.model = given.model AND former.service_tier = given.service_tier
                        ORDER BY former.fetched_at DESC LIMIT 1) latest ON true
   WHERE (latest.requests, latest.uncached_tokens, latest.cached_tokens, latest.cache_write_tokens, latest.output_tokens)
         IS DISTINCT FROM (given.requests, given.uncached, given.cached, given.cache_write, given.output)`;

export const COST = `
  INSERT INTO ledger.costs (day, line_item, scope, amount_nano)
  SELECT given.day, given.line_item, $4, given.amount_nano FROM unnest($1::date[], $2::text[], $3::bigint[]) AS given (day, line_item, amount_nano)
    LEFT JOIN LATERAL (SELECT former.amount_nano FROM ledger.costs former
                        WHERE former.day = given.day AND former.line_item = given.line_item AND former.scope = $4
                        ORDER BY former.fetched_at DESC LIMIT 1) latest ON true
   WHERE latest.amount_nano IS DISTINCT FROM given.amount_nano`;
