import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '#libs/stack/free-port.js';
import { Services } from '#libs/stack/services.js';
import { Arena } from './arena.js';
import { scenario } from './scenario.js';

const JOURNAL_BOUND = 6_000;

describe('Postgres', () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.start({ env: { DAYPASS_JOURNAL_MAX_ENTRIES: String(JOURNAL_BOUND) } });
  }, 90_000);
  afterAll(() => arena?.stop());
  afterEach(() => arena.clear());

  const journalLength = (): Promise<number> => arena.redis.xlen('{dp}:journal');

  scenario(16, 'Postgres away under load', {}, async () => {
    const key = await arena.key('10.00');
    const before = arena.load(key, 2);
    await arena.until(() => before.outcomes.length > 20, 'traffic flows');
    await before.stop();
    await arena.daypass.postgres.kill();
    const load = arena.load(key, 1);
    await sleep(4_000);
    const outcomes = await load.stop();
    expect(new Set(outcomes.map(({ status }) => status))).toEqual(new Set([200]));
    const waiting = await journalLength();
    await sleep(56_000);
    expect((await arena.call(key)).status).toBe(200);
    await arena.daypass.postgres.start();
    await arena.until(async () => (await journalLength()) === 0, 'the journal is booked', 30_000);
    return `away for 60 s: ${outcomes.length} calls answered meanwhile, ${waiting} entries waited; ${await arena.holds()}`;
  });

  scenario(17, 'Postgres killed between commit and ack', {}, async () => {
    const key = await arena.key('10.00');
    const load = arena.load(key, 2);
    await arena.until(() => load.outcomes.length > 10, 'traffic flows');
    // The commit went through, and nobody heard of it.
    await arena.daypass.postgresProxy!.dropReplyTo('COMMIT', () => arena.daypass.postgres.kill());
    await load.stop();
    await arena.daypass.postgres.start();
    return `the batch is read again and booked once; ${await arena.holds()}`;
  });

  scenario(18, 'two drains on one entry', { quick: true }, async () => {
    const key = await arena.key('10.00');
    const { daypass } = arena;
    // A second accounting process on the same stores, which also reads what the first has not acknowledged.
    const other = new Services({
      env: { ...daypass.env, DAYPASS_ADMIN_PORT: '0' },
      databaseUrl: daypass.databaseUrl,
      adminToken: daypass.adminToken,
      opsPorts: { ingress: 0, moderation: 0, forwarding: 0, accounting: await freePort() },
      logDir: `${daypass.logDir}-second`,
      readyTimeoutMs: 30_000,
    }).get('accounting');
    other.start();
    try {
      await other.whenReady(30_000);
      const load = arena.load(key, 8);
      await arena.until(() => load.outcomes.length > 200, 'traffic flows', 30_000);
      // Every entry that is left unacknowledged is handed to both.
      const copies = await arena.redis.xrange('{dp}:journal', '-', '+', 'COUNT', 500);
      for (const [, fields] of copies) await arena.redis.xadd('{dp}:journal', '*', ...fields);
      const outcomes = await load.stop();
      return `${outcomes.length} calls, ${copies.length} entries came twice, each booked once; ${await arena.holds()}`;
    } finally {
      await other.stop();
    }
  });

  scenario(19, 'the journal at its bound', {}, async () => {
    const key = await arena.key('10.00');
    arena.daypass.rehearsal.onChat = (body) => (body.stream === true ? { firstTokenMs: 6_000, content: 'late' } : undefined);
    const running = Array.from({ length: 20 }, () => arena.call(key, { stream: true }));
    await arena.upstreamRuns(20);
    await arena.daypass.postgres.kill();
    const load = arena.load(key, 16);
    await arena.until(() => load.outcomes.some(({ code }) => code === 'overloaded'), 'new calls are refused', 60_000);
    const most = await journalLength();
    const outcomes = await load.stop();
    // Those that were admitted before settle all the same.
    expect((await Promise.all(running)).map(({ status }) => status)).toEqual(Array(20).fill(200));
    const refused = outcomes.filter(({ code }) => code === 'overloaded').length;
    arena.daypass.rehearsal.onChat = undefined;
    await arena.daypass.postgres.start();
    return `${refused} calls refused with 503 at ${most} entries, 20 running ones settled; ${await arena.holds()}`;
  });
});
