import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { JOURNAL_GROUP } from '#libs/contracts/journal.js';
import { freePort } from '#libs/launch/free-port.js';
import { ServiceProcess } from '#libs/launch/service-process.js';
import { Arena, MODEL, PACED, PACED_RPM, type Outcome } from './arena.js';
import { scenario } from './scenario.js';
import { tally } from './tally.js';

const JOURNAL_BOUND = 6_000;
const JOURNAL = '{dp}:journal';

describe('Postgres and the journal', () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.start({ env: { DAYPASS_JOURNAL_MAX_ENTRIES: String(JOURNAL_BOUND) } });
  }, 90_000);
  afterAll(() => arena?.stop());
  afterEach(() => arena.clear());

  const journalLength = (): Promise<number> => arena.redis.xlen(JOURNAL);
  const answered = (outcomes: readonly Outcome[]): number => outcomes.filter(({ status }) => status === 200).length;
  const expectAllAnswered = (outcomes: readonly Outcome[]): void => expect(tally(outcomes).codes).toEqual([]);
  const drained = (): Promise<void> =>
    arena.until(async () => (await journalLength()) === 0, 'the journal is drained', 30_000);

  scenario(16, 'Postgres away for 60 s under load', {}, async () => {
    const key = await arena.key('20.00', { campaign: { models: [MODEL, PACED] } });
    arena.daypass.rehearsal.onChat = () => ({ firstTokenMs: 200 });
    const load = arena.load(key, 4);
    await arena.until(() => load.outcomes.length >= 20, 'calls are answered');
    // H: more than the lane's limits let through in this time.
    const paced = Promise.all(Array.from({ length: 3 * PACED_RPM }, () => arena.call(key, { model: PACED })));
    await arena.daypass.postgres.kill();
    await sleep(60_000);
    const waiting = await journalLength();
    await arena.daypass.postgres.start();
    const begun = performance.now();
    await arena.until(async () => (await journalLength()) < 20, 'the journal is drained', 30_000);
    const seconds = (performance.now() - begun) / 1_000;
    const outcomes = await load.stop();
    expectAllAnswered(outcomes);
    expect(answered(await paced)).toBeGreaterThanOrEqual(PACED_RPM);
    expect(waiting).toBeGreaterThan(1_000);
    return `${tally(outcomes).text}; ${waiting} entries waited, booked ${seconds.toFixed(1)} s after its return; ${await arena.holds()}`;
  });

  scenario(17, 'Postgres killed between commit and ack', { quick: true }, async () => {
    const key = await arena.key('5.00');
    const load = arena.load(key, 4);
    await arena.until(() => answered(load.outcomes) >= 20, 'calls are answered');
    let repeats = 0;
    for (let round = 0; round < 3; round++) {
      // Committed, and nobody hears it: the server is killed before its answer arrives.
      await arena.daypass.postgresProxy!.dropReplyTo('COMMIT', () => arena.daypass.postgres.kill());
      const [unacknowledged] = (await arena.redis.xpending(JOURNAL, JOURNAL_GROUP)) as [number];
      repeats += unacknowledged;
      await arena.daypass.postgres.start();
      const [newest] = (await arena.redis.xrevrange(JOURNAL, '+', '-', 'COUNT', 1)).map(([id]) => id);
      if (newest === undefined) continue;
      await arena.until(
        async () => (await arena.redis.xrange(JOURNAL, newest, newest)).length === 0,
        'the journal moves on',
        30_000,
      );
    }
    const outcomes = await load.stop();
    expectAllAnswered(outcomes);
    expect(repeats).toBeGreaterThan(0);
    return `${tally(outcomes).text}; 3 commits unheard, ${repeats} entries read again and booked once; ${await arena.holds()}`;
  });

  scenario(18, 'two drains on one entry', { quick: true }, async () => {
    const key = await arena.key('5.00');
    const logs = mkdtempSync(join(tmpdir(), 'daypass-second-'));
    // Commits take a while, so that the second drain finds the entries that the first one has in hand: both bear the same name.
    arena.daypass.postgresProxy!.delay(40);
    const databaseUrl = new URL(arena.daypass.databaseUrl);
    databaseUrl.port = String(arena.daypass.postgresProxy!.port);
    const [opsPort, adminPort] = [await freePort(), await freePort()];
    const opsUrl = `http://127.0.0.1:${opsPort}`;
    const second = new ServiceProcess({
      name: 'accounting',
      env: {
        ...arena.daypass.env,
        DATABASE_URL: databaseUrl.href,
        DAYPASS_ADMIN_TOKEN: arena.daypass.adminToken,
        DAYPASS_OPS_PORT: String(opsPort),
        DAYPASS_ADMIN_PORT: String(adminPort),
      },
      opsUrl,
      logFile: join(logs, 'accounting.log'),
      shutdownDeadlineMs: 8_000,
    });
    const load = arena.load(key, 6);
    const shared = new Set<string>();
    let watching = true;
    const watch = (async () => {
      for (; watching; await sleep(5)) {
        const pending = (await arena.redis.xpending(JOURNAL, JOURNAL_GROUP, '-', '+', 1_000)) as [
          id: string,
          consumer: string,
          idleMs: number,
          deliveries: number,
        ][];
        for (const [id, , , deliveries] of pending) if (deliveries > 1) shared.add(id);
      }
    })();
    try {
      await arena.until(() => answered(load.outcomes) >= 20, 'calls are answered');
      second.start();
      await second.whenReady(30_000);
      for (let round = 0; round < 2; round++) {
        await sleep(1_500);
        second.kill('SIGKILL');
        await sleep(400);
        await second.whenReady(30_000);
      }
      await sleep(1_500);
      const outcomes = await load.stop();
      expectAllAnswered(outcomes);
      await drained();
      const [one, other] = await Promise.all([batches(arena.daypass.opsUrls.accounting), batches(opsUrl)]);
      expect(Math.min(one, other)).toBeGreaterThan(0);
      expect(shared.size).toBeGreaterThan(0);
      arena.daypass.postgresProxy!.heal();
      return `${tally(outcomes).text}; ${shared.size} entries seen in the hands of both, each booked once; ${one} batches by one, ${other} by the other since its last kill -9; ${await arena.holds()}`;
    } finally {
      watching = false;
      arena.daypass.postgresProxy!.heal();
      await Promise.all([load.stop(), watch]);
      await second.stop();
      rmSync(logs, { recursive: true, force: true });
    }
  });

  scenario(19, 'the journal at its bound', {}, async () => {
    const key = await arena.key('20.00');
    arena.daypass.rehearsal.onChat = (body) =>
      body.stream ? { content: 'w '.repeat(600), tokensPerSecond: 20 } : undefined;
    const running = Array.from({ length: 3 }, () => arena.call(key, { stream: true, max_tokens: 700 }));
    await arena.upstreamRuns(3);
    await arena.daypass.postgres.kill();
    const load = arena.load(key, 16);
    await arena.until(() => load.outcomes.some(({ code }) => code === 'overloaded'), 'new calls are refused', 80_000);
    await sleep(1_000);
    const outcomes = await load.stop();
    expect(tally(outcomes).codes).toEqual(['503 overloaded']);
    expect(outcomes.find(({ code }) => code === 'overloaded')!.headers?.get('x-should-retry')).toBe('true');
    const ended = await Promise.all(running);
    expect(ended.map(({ done }) => done)).toEqual([true, true, true]);
    const most = await journalLength();
    // Each call that was admitted at the brink adds its dispatch and its end, and no more.
    expect(most).toBeGreaterThanOrEqual(JOURNAL_BOUND);
    expect(most).toBeLessThanOrEqual(JOURNAL_BOUND + 2 * (16 + 3));
    await arena.daypass.postgres.start();
    const begun = performance.now();
    await drained();
    const seconds = (performance.now() - begun) / 1_000;
    return `${tally(outcomes).text}; ${most} entries (bound ${JOURNAL_BOUND}), 3 running streams end whole, drained in ${seconds.toFixed(1)} s; ${await arena.holds()}`;
  });
});

/** Batches that this accounting process has booked. */
async function batches(opsUrl: string): Promise<number> {
  const text = await (await fetch(`${opsUrl}/metrics`)).text();
  return Number(/^daypass_journal_batch_seconds_count\S* (\d+)$/m.exec(text)?.[1] ?? 0);
}
