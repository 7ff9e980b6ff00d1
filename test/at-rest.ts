import { expect } from '@jest/globals';
import { Redis } from 'ioredis';
import pg from 'pg';
import type { ChatCall } from '#libs/rehearsal/rehearsal.chat.face.js';
import type { ResponsesCall } from '#libs/rehearsal/rehearsal.responses.face.js';
import type { SharedDaypass } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';

export interface CallInLedger {
  request_id: string;
  kinds: string[];
  /** Nano-dollars that went upstream. */
  paid: bigint;
}

/** Waits until every hold has ended, and journal and record are drained. */
export async function callsAtRest({ redisUrl }: Pick<SharedDaypass, 'redisUrl'>): Promise<void> {
  const redis = new Redis(redisUrl);
  try {
    await until('no hold is left', async () => (await redis.zcard('{dp}:leases')) === 0, 30_000);
    for (const [what, stream] of [
      ['the journal is drained', '{dp}:journal'],
      ['the record is drained', '{dp}:audit'],
    ] as const)
      await until(what, async () => (await redis.xlen(stream)) === 0);
  } finally {
    redis.disconnect();
  }
}

/** Waits until calls, journal and record are at rest, then checks that the books balance, and that the record is whole. Returns what they say of each call of the keys that this test file created. */
export async function booksAtRest(daypass: SharedDaypass): Promise<CallInLedger[]> {
  await callsAtRest(daypass);
  const redis = new Redis(daypass.redisUrl);
  const client = new pg.Client({ connectionString: daypass.databaseUrl });
  await client.connect();
  try {
    const verified = await daypass.admin('/admin/v1/ledger/verify');
    expect(verified.body).toMatchObject({ ok: true, problems: [] });
    const sums = await client.query<{ transfer_id: string }>(
      'select transfer_id from ledger.entries group by transfer_id having sum(amount_nano) <> 0',
    );
    expect(sums.rows).toEqual([]);
    for (const hash of [...(await redis.keys('{dp}:key:*')), ...(await redis.keys('{dp}:campaign:*'))]) {
      const { held, running, budget, spent } = await redis.hgetall(hash);
      expect({ hash, held, running: running ?? '0' }).toEqual({ hash, held: '0', running: '0' });
      expect(BigInt(spent!)).toBeLessThanOrEqual(BigInt(budget!));
    }
    expect((await daypass.admin('/admin/v1/audit/verify')).body).toMatchObject({ ok: true, problems: [] });
    const unrecorded = await client.query(
      `select request_id from ledger.transfers where kind = 'hold' except select id from audit.requests`,
    );
    expect(unrecorded.rows).toEqual([]);
    const { rows } = await client.query<{ request_id: string; kinds: string[]; paid: string }>(
      `select t.request_id, array_agg(distinct t.kind order by t.kind) as kinds, coalesce(sum(e.amount_nano) filter (where e.account like 'upstream:%'), 0)::text as paid
         from ledger.transfers t join ledger.entries e on e.transfer_id = t.id where t.request_id is not null and t.key_id = any ($1) group by t.request_id`,
      [daypass.keys.map(({ id }) => id)],
    );
    return rows.map((row) => ({ ...row, paid: BigInt(row.paid) }));
  } finally {
    redis.disconnect();
    await client.end();
  }
}

/** An answer that takes half a minute at 100 tokens a second: no machine stands still for so long that it is over before its visitor has left. */
export const LONG = 'word '.repeat(3_000);

/** Resolves with the rehearsal's calls once all of them were hung up on. @throws with what became of each, when one was not */
export async function cancelledUpstream<C extends ChatCall | ResponsesCall = ChatCall>(
  daypass: SharedDaypass,
  withinMs = 10_000,
  calls: readonly C[] = daypass.rehearsal.chatCalls() as readonly C[],
): Promise<readonly C[]> {
  await until('every call has ended upstream', () => calls.every(({ state }) => state !== 'running'), withinMs);
  expect(calls).not.toEqual([]);
  expect(calls.map(({ state }) => state)).toEqual(calls.map(() => 'aborted'));
  return calls;
}

/** The error that a promise of the official client ends with. */
export async function errorOf(work: Promise<unknown>): Promise<InstanceType<typeof import('openai').APIError>> {
  try {
    await work;
  } catch (error) {
    return error as InstanceType<typeof import('openai').APIError>;
  }
  throw new Error('the call succeeded');
}
