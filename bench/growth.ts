// `npm run bench:growth`: whether a call costs the same with 100,000 keys as with 10, and after ten minutes at full load as before them.
// BENCH_MINUTES sets another time. It writes its section of bench/README.md.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { loadConfig, SERVICES, type Service } from '#libs/config/config.js';
import { createVirtualKey, hashVirtualKey } from '#libs/secrets/virtual-key.js';
import { BenchSection } from '#libs/testing/bench-page.js';
import { startDaypass } from '#libs/testing/daypass.js';
import type { CallsOrder, CallsResult } from './speed/calls.ts';
import { bodyOf, endAll, load, PRODUCTION, setUpstream, startUpstream } from './speed/harness.ts';
import { cpuOf, type Names } from './speed/processes.ts';

const FEW = 10;
const MANY = 100_000;
/** This many of them make calls. */
const CALLING = 1_000;
const AT_ONCE = 64;
const MINUTES = Number(process.env.BENCH_MINUTES ?? 10);
const PROCESSES: Names = { services: /apps\/\w+\/main/, redis: /redis-server/, postgres: /postgres/ };
const FILLED_WITHIN_MS = 300_000;
const KEY_BUDGET_NANO = 1_000_000_000_000n;

const section = new BenchSection('growth');
const row = section.table('', 'measured');
const upstream = await startUpstream();
await setUpstream(upstream, { latencyMs: 0, chunks: 0, gapMs: 10 });
const daypass = await startDaypass({
  upstream: { url: `${upstream}/v1` },
  durable: true,
  env: { ...PRODUCTION, DAYPASS_MAX_CALLS: '5000' },
});
const sql = new pg.Client({ connectionString: daypass.databaseUrl });
const redis = new Redis(daypass.redisUrl);
await sql.connect();
try {
  const budget = { campaign: { budget_usd: '1000000' }, key: { budget_usd: '1000' } };
  const first = await daypass.createKey(budget);
  const few = [first.key];
  while (few.length < FEW) few.push((await daypass.createKey({ ...budget, campaign: first.campaign })).key);
  await measure(few, 10);
  const withFew = await told(`${FEW} keys`, few, 30);
  const many = await fill(first.campaign);
  await measure(many, 10);
  const withMany = await told(`${MANY.toLocaleString('en')} keys`, many, 30);
  row(`CPU seconds for 1,000 calls, with ${FEW} keys`, withFew.cpu.toFixed(2));
  row(`CPU seconds for 1,000 calls, with ${MANY.toLocaleString('en')} keys`, withMany.cpu.toFixed(2));
  await keepOn(many);
  section.publish();
} finally {
  redis.disconnect();
  await sql.end();
  await endAll();
  await daypass.stop();
}

function tell(what: string, figures: string): void {
  process.stdout.write(`${what.padEnd(26)} ${figures}\n`);
}

async function measure(
  tokens: readonly string[],
  seconds: number,
): Promise<{ perSecond: number; cpu: number; failed: number; p99Ms: number }> {
  const order: CallsOrder = {
    url: `${daypass.baseUrl}/chat/completions`,
    headers: { 'content-type': 'application/json' },
    tokens,
    body: bodyOf(1_000, false),
    atOnce: AT_ONCE,
    seconds,
  };
  const before = cpuOf(PROCESSES);
  const { answered, failed, seconds: took, p99Ms } = await load<CallsResult>('calls.ts', order);
  const after = cpuOf(PROCESSES);
  const cpu = Object.keys(PROCESSES).reduce((sum, name) => sum + after[name]! - before[name]!, 0);
  return { perSecond: answered / took, cpu: (1_000 * cpu) / answered, failed, p99Ms };
}

/** Prints what it measures. @throws when a call failed: such figures are worth nothing */
async function told(
  what: string,
  tokens: readonly string[],
  seconds: number,
): Promise<{ perSecond: number; cpu: number }> {
  const { perSecond, cpu, failed, p99Ms } = await measure(tokens, seconds);
  tell(
    what,
    `${perSecond.toFixed(0)} calls/s, p99 ${p99Ms.toFixed(0)} ms, ${cpu.toFixed(2)} CPU seconds for 1,000 calls${failed > 0 ? `, ${failed} FAILED` : ''}`,
  );
  if (failed > 0) throw new Error(`${failed} calls failed`);
  return { perSecond, cpu };
}

/** Writes the keys of a large event into the books, and empties Redis. Accounting then fills Redis from the books. */
async function fill(slug: string): Promise<string[]> {
  const { tokenPepper } = loadConfig('ingress', daypass.env).secrets;
  const tokens = Array.from({ length: MANY }, createVirtualKey);
  await sql.query(
    `INSERT INTO access.keys (id, campaign_id, label, status, token_hash, prefix, budget_nano, limits, version, projected_version, created_at, updated_at, returned_nano)
     SELECT given.id, campaigns.id, '', 'active', given.hash, 'dp_', $3, '{"rpm":0,"tpm":0,"concurrent":0}', 1, 0, now(), now(), 0
       FROM unnest($1::text[], $2::text[]) AS given (id, hash), access.campaigns WHERE campaigns.slug = $4`,
    [
      tokens.map(() => `key_${randomBytes(10).toString('hex')}`),
      tokens.map((token) => hashVirtualKey(token, tokenPepper)),
      KEY_BUDGET_NANO,
      slug,
    ],
  );
  await redis.flushall();
  const calling = tokens.filter((_, index) => index % (MANY / CALLING) === 0);
  const headers = { authorization: `Bearer ${calling.at(-1)!}` };
  const until = Date.now() + FILLED_WITHIN_MS;
  while ((await fetch(`${daypass.baseUrl}/key`, { headers })).status !== 200) {
    if (Date.now() > until) throw new Error('the keys are not in Redis yet');
    await sleep(500);
  }
  return calling;
}

async function keepOn(tokens: readonly string[]): Promise<void> {
  const before = await heaps(tokens);
  const rates: number[] = [];
  for (let minute = 1; minute <= MINUTES; minute++) rates.push((await told(`minute ${minute}`, tokens, 60)).perSecond);
  await sleep(5_000);
  const after = await heaps(tokens);
  for (const service of SERVICES) {
    const [was, is] = [before[service], after[service]];
    tell(`heap of ${service}`, `${was.toFixed(0)} MB before, ${is.toFixed(0)} MB after (${(is / was).toFixed(2)} ×)`);
  }
  const grown = SERVICES.map((service) => after[service] / before[service]);
  row(
    `calls a second, ${AT_ONCE} at a time, in each of ${MINUTES} minutes`,
    `${Math.min(...rates).toFixed(0)} to ${Math.max(...rates).toFixed(0)}`,
  );
  row(
    'heap of a service after that, beside its heap before',
    `${Math.min(...grown).toFixed(2)} to ${Math.max(...grown).toFixed(2)} times`,
  );
}

/** The smallest heap within some seconds: the size right after a collection. */
async function heaps(tokens: readonly string[]): Promise<Record<Service, number>> {
  const least = Object.fromEntries(SERVICES.map((service) => [service, Infinity])) as Record<Service, number>;
  for (let look = 0; look < 40; look++) {
    // Without new garbage V8 collects none.
    await measure(tokens, 0.5);
    for (const service of SERVICES) {
      const text = await (await fetch(`${daypass.opsUrls[service]}/metrics`)).text();
      least[service] = Math.min(
        least[service],
        Number(/^nodejs_heap_size_used_bytes.* (\S+)$/m.exec(text)?.[1]) / 1_048_576,
      );
    }
  }
  return least;
}
