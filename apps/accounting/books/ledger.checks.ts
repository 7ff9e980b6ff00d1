import type { EntityManager } from 'typeorm';

interface Check {
  /** The query's column `what` replaces `{what}`. */
  message: string;
  sql: string;
}

const SPEND = `entry.account LIKE 'upstream:%' OR entry.account = 'absorbed'`;

/**
 * What must hold within one month: each query returns the rows that break it. `$transfers` and its like are that
 * month's tables. All bookings of a call lie in one month, so that each query needs only one.
 */
const MONTH_CHECKS: Check[] = [
  {
    message: 'its entries sum to {what} nano-dollars instead of 0',
    sql: `SELECT transfer_id AS id, sum(amount_nano)::text AS what FROM $entries GROUP BY transfer_id HAVING sum(amount_nano) <> 0`,
  },
  {
    message: 'its entry belongs to no transfer',
    sql: `SELECT DISTINCT transfer_id AS id, '' AS what FROM $entries entry
           WHERE NOT EXISTS (SELECT FROM $transfers t WHERE t.id = entry.transfer_id AND t.period = entry.period)`,
  },
  {
    message: 'it ends or corrects a call that never held anything',
    sql: `SELECT ending.id, '' AS what FROM $transfers ending
           WHERE ending.kind IN ('post', 'void', 'presume', 'correct')
             AND NOT EXISTS (SELECT FROM $transfers hold WHERE hold.id = ending.request_id || ':hold' AND hold.period = ending.period)`,
  },
  {
    message: 'it corrects a call that was not presumed',
    sql: `SELECT correction.id, '' AS what FROM $transfers correction
           WHERE correction.kind = 'correct'
             AND NOT EXISTS (SELECT FROM $transfers ending
                              WHERE ending.id = correction.request_id || ':end' AND ending.period = correction.period AND ending.kind = 'presume')`,
  },
  {
    message: 'the call has {what} endings',
    sql: `SELECT request_id AS id, count(*)::text AS what FROM $transfers WHERE kind IN ('post', 'void', 'presume') GROUP BY request_id HAVING count(*) > 1`,
  },
  {
    message: 'it does not give back what the call held: {what} nano-dollars stay in flight',
    sql: `SELECT ending.id, (coalesce(released.amount_nano, 0) + coalesce(held.amount_nano, 0))::text AS what
            FROM $transfers ending
            LEFT JOIN $entries released ON released.transfer_id = ending.id AND released.period = ending.period AND released.account = 'inflight'
            LEFT JOIN $entries held ON held.transfer_id = ending.request_id || ':hold' AND held.period = ending.period AND held.account = 'inflight'
           WHERE ending.kind IN ('post', 'void', 'presume') AND coalesce(released.amount_nano, 0) + coalesce(held.amount_nano, 0) <> 0`,
  },
  {
    // Bookings from before the journal had dispatches have no budget day. They prove nothing.
    message: 'it pays for a call that was never sent upstream',
    sql: `SELECT ending.id, '' AS what FROM $transfers ending
           WHERE ending.kind IN ('post', 'presume') AND ending.budget_day IS NOT NULL
             AND EXISTS (SELECT FROM $entries entry
                          WHERE entry.transfer_id = ending.id AND entry.period = ending.period AND entry.account LIKE 'upstream:%' AND entry.amount_nano <> 0)
             AND NOT EXISTS (SELECT FROM $attempts try WHERE try.request_id = ending.request_id AND try.period = ending.period AND try.kind = 'dispatch')`,
  },
];

/** For every key, campaign and day, and for all together. One pass, because it reads every row. */
const COUNTED = `
  SELECT CASE WHEN grouping(t.key_id) = 0 THEN 'key:' || t.key_id WHEN grouping(t.campaign_id) = 0 THEN 'campaign:' || t.campaign_id
              WHEN grouping(t.budget_day) = 0 THEN 'operator:day:' || t.budget_day ELSE 'operator:total' END AS owner,
         sum(entry.amount_nano) FILTER (WHERE ${SPEND}) AS spent, sum(entry.amount_nano) FILTER (WHERE entry.account = 'inflight') AS held
    FROM ledger.transfers t JOIN ledger.entries entry ON entry.transfer_id = t.id AND entry.period = t.period
   WHERE t.request_id IS NOT NULL
   GROUP BY GROUPING SETS ((t.key_id), (t.campaign_id), (t.budget_day), ())
  HAVING grouping(t.budget_day) = 1 OR t.budget_day IS NOT NULL`;

/** Providers round their bills. A cent a day is not worth an alarm. */
const ROUNDING_USD = 0.01;

/** What must hold over all months. */
const WHOLE_CHECKS: Check[] = [
  {
    message: 'its kept balance is not the sum of its bookings: {what} nano-dollars too much',
    sql: `SELECT coalesce(balance.owner, counted.owner) AS id,
                 (coalesce(balance.spent_nano, 0) - coalesce(counted.spent, 0) + coalesce(balance.held_nano, 0) - coalesce(counted.held, 0))::text AS what
            FROM ledger.balances balance
            FULL JOIN (${COUNTED}) counted ON counted.owner = balance.owner
           WHERE coalesce(balance.spent_nano, 0) <> coalesce(counted.spent, 0) OR coalesce(balance.held_nano, 0) <> coalesce(counted.held, 0)`,
  },
  {
    message: "the key's account does not hold what its budget leaves: {what} nano-dollars too much",
    sql: `SELECT key.id, (coalesce(own.total, 0) - (key.budget_nano - coalesce(balance.spent_nano + balance.held_nano, 0)))::text AS what
            FROM access.keys key
            LEFT JOIN (SELECT account, sum(amount_nano) AS total FROM ledger.entries WHERE account LIKE 'key:%' GROUP BY account) own ON own.account = 'key:' || key.id
            LEFT JOIN ledger.balances balance ON balance.owner = 'key:' || key.id
           WHERE coalesce(own.total, 0) <> key.budget_nano - coalesce(balance.spent_nano + balance.held_nano, 0)`,
  },
  {
    message: "the campaign's budget is not what the operator funded: {what} nano-dollars too much",
    sql: `SELECT campaign.id, (campaign.budget_nano - coalesce(funded.total, 0))::text AS what
            FROM access.campaigns campaign
            LEFT JOIN (SELECT t.campaign_id, -sum(entry.amount_nano) AS total
                         FROM ledger.transfers t JOIN ledger.entries entry ON entry.transfer_id = t.id AND entry.period = t.period
                        WHERE t.request_id IS NULL AND entry.account = 'operator' GROUP BY t.campaign_id) funded ON funded.campaign_id = campaign.id
           WHERE campaign.budget_nano <> coalesce(funded.total, 0)`,
  },
  {
    // Only where the bill covers Daypass alone. A call around midnight may be booked on the day before, so that day
    // counts too.
    message: 'since its first reported bill the provider billed {what} dollars more than was booked',
    sql: `SELECT 'upstream ' || drift.scope AS id, trim_scale(drift.billed - drift.booked - eve.booked)::text AS what
            FROM (SELECT scope, count(*) AS days, min(day) AS first, sum(billed_usd) AS billed, sum(booked_usd) AS booked
                    FROM ledger.daily_drift WHERE scope <> '' GROUP BY scope) drift
            LEFT JOIN ledger.balances balance ON balance.owner = 'operator:day:' || (drift.first - 1)
           CROSS JOIN LATERAL (SELECT coalesce(balance.spent_nano, 0)::numeric / 1000000000 AS booked) eve
           WHERE drift.billed - drift.booked - eve.booked > drift.days * ${ROUNDING_USD}`,
  },
];

/** Describes what is wrong with the ledger, in at most `count` lines. Each names the transfer or account. */
export async function findLedgerProblems(manager: EntityManager, count: number): Promise<string[]> {
  const problems: string[] = [];
  const collect = async ({ sql, message }: Check): Promise<void> => {
    if (problems.length >= count) return;
    const rows = await manager.query<{ id: string; what: string }[]>(`${sql} LIMIT $1`, [count - problems.length]);
    problems.push(...rows.map(({ id, what }) => `${id}: ${message.replace('{what}', what)}`));
  };
  for (const suffix of await monthsOf(manager)) {
    for (const { sql, message } of MONTH_CHECKS)
      await collect({
        message,
        sql: sql.replace(/\$(transfers|entries|attempts)/g, (_, table: string) => `ledger.${table}_${suffix}`),
      });
  }
  for (const check of WHOLE_CHECKS) await collect(check);
  return problems;
}

/** The suffixes of the partitions' names: `2026_11`, `default`. */
async function monthsOf(manager: EntityManager): Promise<string[]> {
  const rows = await manager.query<{ name: string }[]>(
    `SELECT child.relname AS name FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid WHERE inhparent = 'ledger.transfers'::regclass ORDER BY 1`,
  );
  return rows.map(({ name }) => name.replace('transfers_', '')).filter((suffix) => /^\w+$/.test(suffix));
}

/** Rejected events are no fault of the ledger. Where one moved real money, a difference shows it. */
export async function countBooked(
  manager: EntityManager,
): Promise<{ transfers: number; entries: number; rejected_events: number }> {
  const [row] = await manager.query<{ transfers: string; entries: string; rejected: string }[]>(
    `SELECT (SELECT count(*) FROM ledger.transfers) AS transfers, (SELECT count(*) FROM ledger.entries) AS entries,
            (SELECT count(*) FROM ledger.rejected_events) AS rejected`,
  );
  return {
    transfers: Number(row?.transfers ?? 0),
    entries: Number(row?.entries ?? 0),
    rejected_events: Number(row?.rejected ?? 0),
  };
}
