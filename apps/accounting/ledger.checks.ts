import type { EntityManager } from 'typeorm';

/** What must hold in the ledger by itself, each as a query for the rows that break it. */
const CHECKS = [
  {
    tell: 'its entries sum to {what} nano-dollars instead of 0',
    sql: `SELECT transfer_id AS id, sum(amount_nano)::text AS what FROM ledger.entries GROUP BY transfer_id HAVING sum(amount_nano) <> 0`,
  },
  {
    tell: 'it ends or corrects a call that never held anything',
    sql: `SELECT ending.id, '' AS what FROM ledger.transfers ending
           WHERE ending.kind IN ('post', 'void', 'presume', 'correct')
             AND NOT EXISTS (SELECT FROM ledger.transfers hold WHERE hold.id = ending.request_id || ':hold')`,
  },
  {
    tell: 'it corrects a call that was not presumed',
    sql: `SELECT correction.id, '' AS what FROM ledger.transfers correction
           WHERE correction.kind = 'correct'
             AND NOT EXISTS (SELECT FROM ledger.transfers ending WHERE ending.id = correction.request_id || ':end' AND ending.kind = 'presume')`,
  },
  {
    tell: 'the call has {what} endings',
    sql: `SELECT request_id AS id, count(*)::text AS what FROM ledger.transfers WHERE kind IN ('post', 'void', 'presume') GROUP BY request_id HAVING count(*) > 1`,
  },
  {
    tell: 'it does not give back what the call held: {what} nano-dollars stay in flight',
    sql: `SELECT ending.id, (coalesce(released.amount_nano, 0) + coalesce(held.amount_nano, 0))::text AS what
            FROM ledger.transfers ending
            LEFT JOIN ledger.entries released ON released.transfer_id = ending.id AND released.account = 'inflight'
            LEFT JOIN ledger.entries held ON held.transfer_id = ending.request_id || ':hold' AND held.account = 'inflight'
           WHERE ending.kind IN ('post', 'void', 'presume') AND coalesce(released.amount_nano, 0) + coalesce(held.amount_nano, 0) <> 0`,
  },
  {
    tell: "the key's account does not hold what its budget leaves: {what} nano-dollars too much",
    sql: `SELECT key.id, (coalesce(own.total, 0) - (key.budget_nano - coalesce(calls.total, 0)))::text AS what
            FROM access.keys key
            LEFT JOIN (SELECT account, sum(amount_nano) AS total FROM ledger.entries WHERE account LIKE 'key:%' GROUP BY account) own ON own.account = 'key:' || key.id
            LEFT JOIN (SELECT t.key_id, sum(entry.amount_nano) AS total FROM ledger.transfers t JOIN ledger.entries entry ON entry.transfer_id = t.id
                        WHERE entry.account = 'inflight' OR entry.account = 'absorbed' OR entry.account LIKE 'upstream:%' GROUP BY t.key_id) calls ON calls.key_id = key.id
           WHERE coalesce(own.total, 0) <> key.budget_nano - coalesce(calls.total, 0)`,
  },
  {
    tell: "the campaign's budget is not what the operator funded: {what} nano-dollars too much",
    sql: `SELECT campaign.id, (campaign.budget_nano - coalesce(funded.total, 0))::text AS what
            FROM access.campaigns campaign
            LEFT JOIN (SELECT t.campaign_id, -sum(entry.amount_nano) AS total FROM ledger.transfers t JOIN ledger.entries entry ON entry.transfer_id = t.id
                        WHERE entry.account = 'operator' GROUP BY t.campaign_id) funded ON funded.campaign_id = campaign.id
           WHERE campaign.budget_nano <> coalesce(funded.total, 0)`,
  },
];

/** What is wrong with the ledger, at most `count` lines, each naming the transfer or account. */
export async function findLedgerProblems(manager: EntityManager, count: number): Promise<string[]> {
  const problems: string[] = [];
  for (const { sql, tell } of CHECKS) {
    const rows = await manager.query<{ id: string; what: string }[]>(`${sql} LIMIT $1`, [count - problems.length]);
    problems.push(...rows.map(({ id, what }) => `${id}: ${tell.replace('{what}', what)}`));
    if (problems.length >= count) break;
  }
  return problems;
}

/** Rejected events are told but are no fault of the ledger: the money of one that was real shows as a difference. */
export async function countBooked(manager: EntityManager): Promise<{ transfers: number; entries: number; rejected_events: number }> {
  const [row] = await manager.query<{ transfers: string; entries: string; rejected: string }[]>(
    `SELECT (SELECT count(*) FROM ledger.transfers) AS transfers, (SELECT count(*) FROM ledger.entries) AS entries,
            (SELECT count(*) FROM ledger.rejected_events) AS rejected`,
  );
  return { transfers: Number(row?.transfers ?? 0), entries: Number(row?.entries ?? 0), rejected_events: Number(row?.rejected ?? 0) };
}
