// `npm run bench:money`: what holding money costs, and whether it grows. Stores as in production (append-only file, fsync), on this machine.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { loadConfig } from '#libs/config/config.js';
import { createLogger } from '#libs/observability/logger.js';
import { createRegistry } from '#libs/observability/ops-server.js';
import { Door } from '#libs/redis/door.js';
import { HoldStore } from '#libs/redis/hold.store.js';
import { PROJECT_ROOT } from '#libs/stack/project-root.js';
import { startTestStores } from '#libs/testing/stores.js';

const ROUNDS = 20_000;
const AT_ONCE = 64;
const EVENTS = 120_000;
const KEYS = [1_000, 100_000];
const BUDGET_NANO = 1_000_000_000_000n;

const stores = await startTestStores({ durable: true });
const redis = new Redis(stores.redisUrl);
const sql = new pg.Client({ connectionString: stores.databaseUrl });
await sql.connect();
const config = loadConfig('accounting', {
  OPENAI_API_KEY: 'none',
  REDIS_URL: stores.redisUrl,
  DATABASE_URL: stores.databaseUrl,
  DAYPASS_SECRET: 'a secret that is long enough for it',
  DAYPASS_ADMIN_TOKEN: 'sixteen letters or more',
  DAYPASS_ADMIN_PORT: '0',
  DAYPASS_LOG_LEVEL: 'silent',
});
const { createAccountingApp } = (await import(join(PROJECT_ROOT, 'dist/apps/accounting/accounting.app.js'))) as {
  createAccountingApp: (...args: unknown[]) => Promise<{ listen(port: number, host: string): Promise<unknown>; close(): Promise<void> }>;
};
const launch = async () => {
  const app = await createAccountingApp(config, createLogger('accounting', 'silent'), createRegistry('accounting'));
  await app.listen(0, '127.0.0.1');
  return app;
};
const door = new Door(redis);
const opened = async (): Promise<void> => {
  while (!(await door.isOpen().catch(() => false))) await sleep(50);
};
const tell = (what: string, figure: string): void => void process.stdout.write(`${what.padEnd(58)} ${figure}\n`);
const requestId = (): string => `req_${Date.now().toString(16).padStart(12, '0')}${randomBytes(10).toString('hex')}`;

let app = await launch();
await opened();
await sql.query(
  `INSERT INTO access.campaigns VALUES ('cmp_bench', 'bench', 'bench', 'active', ${BUDGET_NANO}, '["m"]', '{}', '{"input":"off","output":"off","thresholds":{},"on_unavailable":"closed"}', null, null, 1, 0, now(), now())`,
);
let made = 0;
for (const count of KEYS) {
  await sql.query(
    `INSERT INTO access.keys (id, campaign_id, label, status, token_hash, prefix, budget_nano, limits, version, projected_version, created_at, updated_at, returned_nano)
     SELECT 'key_' || n, 'cmp_bench', '', 'active', 'hash-' || n, 'dp_', 1000000000, '{"rpm":0,"tpm":0,"concurrent":0}', 1, 0, now(), now(), 0
       FROM generate_series($1::int, $2::int) AS n`,
    [made + 1, count],
  );
  made = count;
  const begun = performance.now();
  await app.close();
  await redis.flushall();
  app = await launch();
  await opened();
  tell(`rebuild of ${count} keys, the wait for workers included`, `${((performance.now() - begun) / 1_000).toFixed(1)} s`);
  await measureHolds(count);
  await measureDrain(count);
}
await app.close();
redis.disconnect();
await sql.end();
await stores.stop();

async function measureHolds(keys: number): Promise<void> {
  const holds = new HoldStore(redis);
  const hold = (id: string, n: number) =>
    holds.take(
      {
        requestId: id,
        keyId: `key_${1 + (n % keys)}`,
        campaignId: 'cmp_bench',
        fixedNano: 10n,
        perTokenNano: 0n,
        capTokens: 1,
        leastCapTokens: 1,
        inputTokens: 1,
        choices: 1,
        maxWaitMs: 1_000,
        detail: '{"model":"m"}',
        lane: 'lane',
        replyTo: 'bench',
      },
      { journalEntries: 1e9, operatorDayNano: undefined, operatorTotalNano: undefined, patient: true },
    );
  const alone: number[] = [];
  for (let n = 0; n < 2_000; n++) {
    const begun = performance.now();
    await hold(requestId(), n);
    alone.push(performance.now() - begun);
  }
  alone.sort((a, b) => a - b);
  tell(`a hold with ${keys} keys, one at a time`, `p50 ${alone[1_000]!.toFixed(2)} ms, p99 ${alone[1_980]!.toFixed(2)} ms`);
  const begun = performance.now();
  let n = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (n < ROUNDS) await hold(requestId(), n++);
    }),
  );
  tell(`holds with ${keys} keys, ${AT_ONCE} at a time`, `${Math.round((ROUNDS * 1_000) / (performance.now() - begun))} a second, the drain beside them`);
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
      pipeline.xadd('{dp}:journal', '*', 'kind', 'hold', 'paid', '0', ...fields, 'detail', '{"model":"gpt-5.4-mini","stream":false,"input_tokens":12}');
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
  const begun = performance.now();
  app = await launch();
  while ((await redis.xlen('{dp}:journal')) > 0) await sleep(20);
  tell(`drain into a ledger of ${before} transfers`, `${Math.round((backlog * 1_000) / (performance.now() - begun))} events a second`);
  await opened();
}
