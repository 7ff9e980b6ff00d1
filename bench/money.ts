// `npm run bench:money`: what a hold costs, and whether that grows. Its stores run as in production (append-only file, fsync).
// It writes its section of bench/README.md.
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { Door } from '#libs/holds/door.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import { requestId, startAccounting, tell } from '#libs/testing/bench-accounting.js';
import { BenchSection } from '#libs/testing/bench-page.js';

const ROUNDS = 20_000;
const AT_ONCE = 64;
const EVENTS = 120_000;
const KEYS = [1_000, 100_000];
/** The bench fills the ledger with these calls at last: a hold and a post each. */
const FORMER_CALLS = 2_500_000;
const FILL_AT_ONCE = 100_000;
const BUDGET_NANO = 1_000_000_000_000_000n;
const KEY_BUDGET_NANO = 1_000_000_000n;

const { stores, config, launch } = await startAccounting();
const redis = new Redis(stores.redisUrl);
const holds = new HoldStore(redis);
const sql = new pg.Client({ connectionString: stores.databaseUrl });
await sql.connect();
const door = new Door(redis);
const opened = async (): Promise<void> => {
  while (!(await door.isOpen().catch(() => false))) await sleep(50);
};

const section = new BenchSection('money');
const row = section.table('', 'keys', 'measured');
const number = (count: number): string => Math.round(count).toLocaleString('en');
let app = await launch();
await opened();
await sql.query(
  `INSERT INTO access.campaigns VALUES ('cmp_bench', 'bench', 'bench', 'active', ${BUDGET_NANO}, '["m"]', '{}', '{"input":"off","output":"off","thresholds":{},"on_unavailable":"closed"}', null, null, 1, 0, now(), now())`,
);
await book(`SELECT 'cmp_bench:fund', 'fund', null, null, 'operator', 'campaign:cmp_bench', ${BUDGET_NANO}`);
let made = 0;
for (const count of KEYS) {
  await sql.query(
    `INSERT INTO access.keys (id, campaign_id, label, status, token_hash, prefix, budget_nano, limits, version, projected_version, created_at, updated_at, returned_nano)
     SELECT 'key_' || n, 'cmp_bench', '', 'active', 'hash-' || n, 'dp_', ${KEY_BUDGET_NANO}, '{"rpm":0,"tpm":0,"concurrent":0}', 1, 0, now(), now(), 0
       FROM generate_series($1::int, $2::int) AS n`,
    [made + 1, count],
  );
  await book(
    `SELECT 'key_' || n || ':grant', 'grant', null, 'key_' || n, 'campaign:cmp_bench', 'key:key_' || n, ${KEY_BUDGET_NANO} FROM generate_series(${made + 1}, ${count}) AS n`,
  );
  made = count;
  await rebuild();
  const open = await measureHolds(count);
  row(`rebuild of an empty Redis, ${number(open.length)} calls in flight`, number(count), await rebuild());
  await end(open);
  await measureDrain(count);
}
await measureVerify();
await fillLedger(made);
row('rebuild of an empty Redis, full ledger', number(made), await rebuild());
await measureDrain(made);
await measureDrain(KEYS[0]!);
await measureVerify();
section.publish();
await app.close();
redis.disconnect();
await sql.end();
await stores.stop();

/** Books rows of `id, kind, request_id, key_id, from, to, nano`. */
async function book(rows: string, atMs = Date.now()): Promise<void> {
  const at = `TIMESTAMPTZ '${new Date(atMs).toISOString()}'`;
  const period = `DATE '${new Date(atMs).toISOString().slice(0, 7)}-01'`;
  await sql.query(
    `WITH given (id, kind, request_id, key_id, payer, payee, nano) AS MATERIALIZED (${rows}), booked AS (
       INSERT INTO ledger.transfers (id, period, kind, request_id, key_id, campaign_id, at, budget_day, detail)
       SELECT id, ${period}, kind, request_id, key_id, 'cmp_bench', ${at}, CASE WHEN request_id IS NULL THEN NULL ELSE ${at}::date END, '{"model":"gpt-5.4-mini"}' FROM given)
     INSERT INTO ledger.entries (transfer_id, account, amount_nano, period)
     SELECT id, account, amount, ${period} FROM given, LATERAL (VALUES (payer, -nano), (payee, nano)) AS entry (account, amount)`,
  );
}

/** Calls of yesterday as the drain would have booked them, spread over all keys. */
async function fillLedger(keys: number): Promise<void> {
  const begun = performance.now();
  const atMs = Date.now() - 86_400_000;
  const call = `'req_${atMs.toString(16).padStart(12, '0')}' || lpad(to_hex(n), 20, '0')`;
  const key = `'key_' || (1 + n % ${keys})`;
  for (let first = 0; first < FORMER_CALLS; first += FILL_AT_ONCE) {
    const calls = `generate_series(${first}, ${first + FILL_AT_ONCE - 1}) AS n`;
    await book(
      `SELECT ${call} || ':hold', 'hold', ${call}, ${key}, 'key:' || ${key}, 'inflight', 4 FROM ${calls}`,
      atMs,
    );
    await book(
      `SELECT ${call} || ':end', 'post', ${call}, ${key}, 'inflight', 'upstream:openai', 4 FROM ${calls}`,
      atMs,
    );
    await sql.query(
      `INSERT INTO ledger.attempts SELECT ${call}, 1, 'dispatch', '${new Date(atMs).toISOString().slice(0, 7)}-01', to_timestamp(${atMs / 1_000}) FROM ${calls}`,
    );
  }
  const day = new Date(atMs).toISOString().slice(0, 10);
  await sql.query(
    `INSERT INTO ledger.balances AS balance
     SELECT owner, 4 * count(*), 0 FROM generate_series(0, ${FORMER_CALLS - 1}) AS n,
            LATERAL (VALUES ('key:' || ${key}), ('campaign:cmp_bench'), ('operator:total'), ('operator:day:${day}')) AS owners (owner)
      GROUP BY owner ORDER BY owner ON CONFLICT (owner) DO UPDATE SET spent_nano = balance.spent_nano + excluded.spent_nano`,
  );
  // Autovacuum has done this to rows of yesterday.
  await sql.query('VACUUM ANALYZE ledger.transfers, ledger.entries, ledger.attempts, ledger.balances');
  await sql.query('CHECKPOINT');
  tell(`(the ledger has ${FORMER_CALLS} more calls)`, `${((performance.now() - begun) / 1_000).toFixed(0)} s`);
}

/** Redis loses everything. Accounting first waits for workers that may still report calls, and this wait counts. */
async function rebuild(): Promise<string> {
  const begun = performance.now();
  await app.close();
  await redis.flushall();
  app = await launch();
  await opened();
  return `${((performance.now() - begun) / 1_000).toFixed(1)} s`;
}

async function measureVerify(): Promise<void> {
  // These events went past Redis.
  await rebuild();
  const begun = performance.now();
  const response = await fetch(`${await app.getUrl()}/admin/v1/ledger/verify`, {
    headers: { authorization: `Bearer ${config.adminToken}` },
  });
  const { ok, checked, problems, differences } = (await response.json()) as {
    ok: boolean;
    checked: { transfers: number };
    problems: string[];
    differences: object[];
  };
  if (!ok) throw new Error(JSON.stringify({ problems: problems.slice(0, 3), differences: differences.slice(0, 3) }));
  row(
    `\`ledger/verify\` of ${number(checked.transfers)} transfers`,
    number(made),
    `${((performance.now() - begun) / 1_000).toFixed(1)} s`,
  );
}

/** Returns the calls that it leaves open. */
async function measureHolds(keys: number): Promise<{ requestId: string; keyId: string }[]> {
  const open: { requestId: string; keyId: string }[] = [];
  const hold = (id: string, n: number) => {
    const call = { requestId: id, keyId: `key_${1 + (n % keys)}` };
    open.push(call);
    return holds.take(
      {
        ...call,
        campaignId: 'cmp_bench',
        fixedNano: 10n,
        perUnitNano: 0n,
        capTokens: 1,
        leastCapTokens: 1,
        inputTokens: 1,
        outputs: 1,
        maxWaitMs: 1_000,
        detail: '{"model":"m"}',
        lane: 'lane',
        replyTo: 'bench',
      },
      {
        journalEntries: 1e9,
        auditBytes: 1e12,
        auditBytesOfKey: 1e12,
        keyBytesPerHour: 0,
        operatorDayNano: undefined,
        operatorTotalNano: undefined,
        patient: true,
      },
    );
  };
  const alone: number[] = [];
  for (let n = 0; n < 2_000; n++) {
    const begun = performance.now();
    await hold(requestId(), n);
    alone.push(performance.now() - begun);
  }
  alone.sort((a, b) => a - b);
  row('a hold, one at a time, p50 / p99', number(keys), `${alone[1_000]!.toFixed(2)} / ${alone[1_980]!.toFixed(2)} ms`);
  const begun = performance.now();
  let n = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (n < ROUNDS) await hold(requestId(), n++);
    }),
  );
  row(
    `holds, ${AT_ONCE} at a time, while the drain runs`,
    number(keys),
    `${number((ROUNDS * 1_000) / (performance.now() - begun))} a second`,
  );
  return open;
}

async function end(calls: readonly { requestId: string; keyId: string }[]): Promise<void> {
  for (let start = 0; start < calls.length; start += FILL_AT_ONCE / 100) {
    const some = calls.slice(start, start + FILL_AT_ONCE / 100);
    await Promise.all(
      some.map((call) =>
        holds.end({ ...call, campaignId: 'cmp_bench', lane: 'lane', replyTo: 'bench', transition: 'void', detail: {} }),
      ),
    );
  }
  while ((await redis.xlen('{dp}:journal')) > 0) await sleep(20);
}

async function measureDrain(keys: number): Promise<void> {
  await app.close();
  const before = Number((await sql.query<{ n: string }>('SELECT count(*) AS n FROM ledger.transfers')).rows[0]!.n);
  for (let done = 0; done < EVENTS;) {
    const pipeline = redis.pipeline();
    for (let call = 0; call < 1_000; call++, done += 3) {
      const fields = [
        'request',
        requestId(),
        'key',
        `key_${1 + (done % keys)}`,
        'campaign',
        'cmp_bench',
        'amount',
        '10',
        'absorbed',
        '0',
        'day',
        '20780',
        'at_ms',
        String(Date.now()),
      ];
      pipeline.xadd(
        '{dp}:journal',
        '*',
        'kind',
        'hold',
        'paid',
        '0',
        ...fields,
        'detail',
        '{"model":"gpt-5.4-mini","stream":false,"input_tokens":12}',
      );
      pipeline.xadd('{dp}:journal', '*', 'kind', 'dispatch', 'paid', '0', 'attempt', '1', ...fields);
      pipeline.xadd(
        '{dp}:journal',
        '*',
        'kind',
        'post',
        'paid',
        '4',
        ...fields,
        'detail',
        '{"usage":{"input":12,"output":40},"tier":"default","estimated":false}',
      );
    }
    await pipeline.exec();
  }
  const backlog = await redis.xlen('{dp}:journal');
  const launched = launch();
  let left = backlog;
  while ((left = await redis.xlen('{dp}:journal')) === backlog) await sleep(5);
  const begun = performance.now();
  const first = left;
  while ((await redis.xlen('{dp}:journal')) > 0) await sleep(20);
  row(
    `journal events booked into a ledger of ${number(before)} transfers`,
    number(keys),
    `${number((first * 1_000) / (performance.now() - begun))} a second`,
  );
  app = await launched;
  await opened();
}
