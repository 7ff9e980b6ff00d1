import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { JOURNAL_GROUP } from '#libs/contracts/journal.js';
import { redisKeys } from '#libs/redis/keys.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { isDrainedTo, journalStream } from './journal.stream.js';

let accounting: AccountingFixture;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  await accounting.createCampaign('c', { budget_usd: '1000' });
});
afterAll(() => accounting.stop());

const count = async (where: string): Promise<number> =>
  Number((await accounting.source.query<{ count: string }[]>(`SELECT count(*) FROM ${where}`))[0]!.count);

function entry(request: string, kind: string, changes: object = {}): string[] {
  const fields = {
    kind,
    request,
    key: 'key_x',
    campaign: 'cmp_x',
    amount: '10',
    paid: kind === 'post' ? '4' : '0',
    absorbed: '0',
    at_ms: '1763876480000',
    detail: '{}',
    ...changes,
  };
  return Object.entries(fields).flat().map(String);
}

describe('the journal', () => {
  it('is booked, acknowledged and trimmed', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    await accounting.call(key, 'booked', 1_000_000n, 400_000n);
    await accounting.drained();
    expect(await count(`ledger.transfers WHERE request_id = 'booked'`)).toBe(2);
    await accounting.until(async () => (await accounting.redis.xlen(redisKeys.journal)) === 0);
  });

  /** Writes holds one after the other, and returns how many transactions booked them. */
  async function trickle(name: string, entries: number, everyMs: number): Promise<number> {
    for (let n = 0; n < entries; n++) {
      await accounting.redis.xadd(redisKeys.journal, '*', ...entry(`${name}-${n}`, 'hold'));
      await sleep(everyMs);
    }
    await accounting.drained();
    const [row] = await accounting.source.query<{ booked: string; transactions: string }[]>(
      `SELECT count(*) AS booked, count(DISTINCT xmin::text) AS transactions FROM ledger.transfers WHERE starts_with(request_id, $1)`,
      [`${name}-`],
    );
    expect(Number(row!.booked)).toBe(entries);
    return Number(row!.transactions);
  }

  it('books many entries together', async () => {
    const transactions: number[] = [];
    // Less than that gathered in the first pauses, while few had come. On a busy machine they come slower than they should.
    while (transactions.length < 6 && !transactions.some((count) => count < 9))
      transactions.push(await trickle(`trickle-${transactions.length}`, 150, 10));
    expect(Math.min(...transactions)).toBeLessThan(9);
  });

  it('books few entries soon, because somebody may be looking at them', async () => {
    const transactions: number[] = [];
    // A busy machine books late, and then together.
    while (transactions.length < 10 && !transactions.some((count) => count >= 5))
      transactions.push(await trickle(`few-${transactions.length}`, 6, 200));
    expect(Math.max(...transactions)).toBeGreaterThanOrEqual(5);
  });

  it('ends with its process, and waits for no entry', async () => {
    await accounting.drained();
    const begunMs = performance.now();
    await accounting.app.close();
    expect(performance.now() - begunMs).toBeLessThan(4_000);
    await accounting.restart();
  });

  it('books each event once, though it comes again under another id', async () => {
    for (let round = 0; round < 3; round++) {
      await accounting.redis.xadd(redisKeys.journal, '*', ...entry('again', 'hold'));
      await accounting.redis.xadd(redisKeys.journal, '*', ...entry('again', 'post'));
    }
    await accounting.drained();
    expect(await count(`ledger.transfers WHERE request_id = 'again'`)).toBe(2);
    expect(await count(`ledger.entries WHERE transfer_id LIKE 'again:%'`)).toBe(5);
  });

  it('adds no entries of a second end to the first', async () => {
    await accounting.redis.xadd(redisKeys.journal, '*', ...entry('twice', 'hold'));
    await accounting.redis.xadd(redisKeys.journal, '*', ...entry('twice', 'void'));
    await accounting.drained();
    await accounting.redis.xadd(redisKeys.journal, '*', ...entry('twice', 'post'));
    await accounting.drained();
    const rows = await accounting.source.query<{ account: string }[]>(
      `SELECT account FROM ledger.entries WHERE transfer_id = 'twice:end' ORDER BY account`,
    );
    expect(rows.map(({ account }) => account)).toEqual(['inflight', 'key:key_x']);
  });

  it('sets aside what cannot be booked and goes on', async () => {
    const poison = [
      ['just', 'noise'],
      entry('poison-detail', 'hold', { detail: '{' }),
      entry('poison-amount', 'hold', { amount: '99999999999999999999' }),
      entry('poison-time', 'hold', { at_ms: '8000000000000000' }),
      entry('poison-nul\0', 'hold', { key: 'k\0' }),
    ];
    for (const fields of poison) await accounting.redis.xadd(redisKeys.journal, '*', ...fields);
    await accounting.redis.xadd(
      redisKeys.journal,
      '*',
      ...entry('after-poison', 'hold', { detail: '{"note":"a\\u0000b\\ud800"}' }),
    );
    await accounting.drained();
    expect(await count(`ledger.transfers WHERE request_id = 'after-poison'`)).toBe(1);
    expect(await count(`ledger.transfers WHERE request_id LIKE 'poison%'`)).toBe(0);
    const rows = await accounting.source.query<{ raw: Record<string, string>; reason: string }[]>(
      'SELECT raw, reason FROM ledger.rejected_events ORDER BY journal_id',
    );
    expect(rows).toHaveLength(poison.length);
    expect(rows[0]).toMatchObject({ raw: { just: 'noise' }, reason: expect.stringContaining('kind') });
  });

  it('is drained by several processes at once, each event booked once', async () => {
    const other = await accounting.another();
    try {
      const pipeline = accounting.redis.pipeline();
      for (let n = 0; n < 5_000; n++) {
        pipeline.xadd(redisKeys.journal, '*', ...entry(`many-${n}`, 'hold'));
        pipeline.xadd(redisKeys.journal, '*', ...entry(`many-${n}`, 'post'));
      }
      await pipeline.exec();
      await accounting.drained();
    } finally {
      await other.close();
    }
    expect(await count(`ledger.transfers WHERE request_id LIKE 'many-%'`)).toBe(10_000);
    expect(await count(`ledger.entries WHERE transfer_id LIKE 'many-%'`)).toBe(25_000);
    await accounting.until(async () => (await accounting.redis.xlen(redisKeys.journal)) === 0);
  });

  it('is finished by the next start where a process died between commit and acknowledgement, or before the commit', async () => {
    await accounting.app.close();
    await accounting.redis.xadd(redisKeys.journal, '*', ...entry('left', 'hold'));
    // Read by the service's consumer and by a dead one, and never acknowledged.
    const [consumer] = (
      (await accounting.redis.xinfo('CONSUMERS', redisKeys.journal, JOURNAL_GROUP)) as string[][]
    ).map((pairs) => pairs[1]!);
    await accounting.redis.xreadgroup('GROUP', JOURNAL_GROUP, consumer!, 'COUNT', 1, 'STREAMS', redisKeys.journal, '>');
    await accounting.redis.xadd(redisKeys.journal, '*', ...entry('left-by-the-dead', 'hold'));
    await accounting.redis.xreadgroup('GROUP', JOURNAL_GROUP, 'dead', 'COUNT', 1, 'STREAMS', redisKeys.journal, '>');
    const [deadId] = (
      (await accounting.redis.xpending(redisKeys.journal, JOURNAL_GROUP, '-', '+', 10, 'dead')) as string[][]
    ).map(([id]) => id);
    await accounting.redis.xclaim(redisKeys.journal, JOURNAL_GROUP, 'dead', 0, deadId!, 'IDLE', 31_000);
    await accounting.restart();
    await accounting.drained();
    expect(await count(`ledger.transfers WHERE request_id IN ('left', 'left-by-the-dead')`)).toBe(2);
  });

  it('is drained where its entries were trimmed before an older Redis could record their delivery', async () => {
    await accounting.drained();
    const id = await accounting.redis.xadd(redisKeys.journal, '*', ...entry('ahead', 'hold'));
    await accounting.drained();
    // A process acknowledges late, after Redis lost its last moments.
    await accounting.redis.xgroup('SETID', redisKeys.journal, JOURNAL_GROUP, '0-1');
    await accounting.redis.xtrim(redisKeys.journal, 'MAXLEN', '=', 0);
    expect(await isDrainedTo(accounting.redis, id!)).toBe(true);
  });

  it('is acknowledged and trimmed in one step, and what an older Redis has still to deliver stays', async () => {
    await accounting.drained();
    await accounting.app.close();
    const redis = accounting.redis.duplicate();
    const stream = journalStream(redis, 'one');
    const id = (await accounting.redis.xadd(redisKeys.journal, '*', ...entry('still-to-come', 'hold')))!;
    // Redis lost the delivery, and gets an acknowledgement that was on its way.
    await stream.acknowledge([{ id, fields: {}, content: Buffer.alloc(0) }]);
    const read = await stream.readNew();
    expect(read.map((one) => one.id)).toEqual([id]);
    let commands = 0;
    const send = redis.sendCommand.bind(redis);
    redis.sendCommand = (...args) => {
      commands++;
      return send(...args);
    };
    await stream.acknowledge(read);
    // Between two steps an entry would be trimmed but pending. A Redis that came back from there would never book it.
    expect(commands).toBe(1);
    expect(await accounting.redis.xlen(redisKeys.journal)).toBe(0);
    stream.close();
    await accounting.restart();
  });

  it.each([
    ['stream', () => accounting.redis.del(redisKeys.journal)],
    ['group', () => accounting.redis.xgroup('DESTROY', redisKeys.journal, JOURNAL_GROUP)],
  ])(
    'whose %s is gone gets it again: what was booked before stays as it was, and what comes is booked once',
    async (what, remove) => {
      const transfers = (request: string) => count(`ledger.transfers WHERE request_id = '${request}'`);
      await accounting.redis.xadd(redisKeys.journal, '*', ...entry(`before-${what}`, 'hold'));
      await accounting.drained();
      expect(await remove()).toBe(1);
      await accounting.redis.xadd(redisKeys.journal, '*', ...entry(`after-${what}`, 'hold'));
      await accounting.until(async () => (await transfers(`after-${what}`)) === 1);
      await accounting.until(async () => (await accounting.redis.xlen(redisKeys.journal)) === 0);
      const groups = (await accounting.redis.xinfo('GROUPS', redisKeys.journal)) as string[][];
      expect(groups.map((pairs) => pairs[1])).toEqual([JOURNAL_GROUP]);
      expect([await transfers(`before-${what}`), await transfers(`after-${what}`)]).toEqual([1, 1]);
    },
  );
});

describe('a hold whose lease ran out', () => {
  const lapse = (requestId: string) => accounting.redis.zadd(redisKeys.leases, 1, requestId);

  it('is given back where nothing was sent, and presumed where it was; both visitors are answered', async () => {
    const key = await accounting.createKey('c', { budget_usd: '1' });
    await accounting.hold(key, 'silent-held', 100_000_000n);
    await accounting.hold(key, 'silent-sent', 200_000_000n);
    await accounting.hold(key, 'alive', 300_000_000n);
    await accounting.dispatch('silent-sent');
    await lapse('silent-held');
    await lapse('silent-sent');
    await accounting.until(
      async () => (await accounting.redis.hget(redisKeys.hold('silent-sent'), 'state')) === 'presumed',
    );
    await accounting.until(
      async () => (await accounting.redis.hget(redisKeys.hold('silent-held'), 'state')) === 'voided',
    );
    await accounting.drained();
    expect((await accounting.admin('GET', `/admin/v1/keys/${key.id}`)).body).toMatchObject({
      spent_usd: '0.20',
      held_usd: '0.30',
      available_usd: '0.50',
    });
    const answers = await accounting.answers();
    expect(answers.get('silent-held')).toMatchObject({
      type: 'answer',
      status: 503,
      headers: { 'x-should-retry': 'true' },
    });
    expect(answers.get('silent-sent')).toMatchObject({
      type: 'answer',
      status: 502,
      headers: { 'x-should-retry': 'false' },
    });
    expect(answers.has('alive')).toBe(false);
    await accounting.end(key, 'alive', 'void');
    // A late report corrects the presumption.
    await accounting.end(key, 'silent-sent', 'post', 50_000_000n);
    await accounting.drained();
    expect((await accounting.admin('GET', `/admin/v1/keys/${key.id}`)).body).toMatchObject({
      spent_usd: '0.05',
      held_usd: '0.00',
    });
    const { body } = await accounting.admin('GET', `/admin/v1/keys/${key.id}/transfers`);
    expect(body.data.map(({ kind }: { kind: string }) => kind).toSorted()).toEqual([
      'correct',
      'grant',
      'hold',
      'hold',
      'hold',
      'presume',
      'void',
      'void',
    ]);
  });
});
