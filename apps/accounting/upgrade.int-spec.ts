import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { redisKeys } from '#libs/redis/keys.js';
import { BEFORE, bytesOf } from '#libs/testing/version-before.js';
import { AccountingFixture } from './accounting.fixture.js';
import { canonical, GENESIS, linkAfter, type ChainedRow } from './domain/audit.chain.js';
import { AuditRepository } from './record/audit.repository.js';
import { isRecordUpToDate } from './record/audit.stream.js';

let accounting: AccountingFixture;
beforeAll(async () => {
  accounting = await AccountingFixture.start({ DAYPASS_SECRET: BEFORE.secret });
});
afterAll(() => accounting.stop());

const rejected = () => accounting.source.query('SELECT reason FROM ledger.rejected_events');
const rowsOf = BEFORE.rows as { seq: number; hash: string; row: ChainedRow }[];

describe('what the version before wrote', () => {
  it('into the journal is booked to the nano-dollar', async () => {
    for (const entry of BEFORE.journal)
      await accounting.redis.xadd(redisKeys.journal, '*', ...Object.entries(entry).flat());
    await accounting.drained();
    expect(await rejected()).toEqual([]);

    const booked = await accounting.source.query<{ request_id: string; kinds: string[]; paid: string }[]>(
      `SELECT t.request_id, array_agg(DISTINCT t.kind ORDER BY t.kind) AS kinds,
              coalesce(sum(e.amount_nano) FILTER (WHERE e.account LIKE 'upstream:%'), 0)::text AS paid
         FROM ledger.transfers t JOIN ledger.entries e ON e.transfer_id = t.id GROUP BY t.request_id`,
    );
    const ends = BEFORE.journal.filter(({ kind }) => kind === 'post' || kind === 'void');
    expect(booked).toHaveLength(ends.length);
    for (const { request, kind, paid } of ends)
      expect(booked).toContainEqual({ request_id: request, kinds: ['hold', kind], paid });
    const details = await accounting.source.query<{ detail: object }[]>(
      `SELECT detail FROM ledger.transfers WHERE kind = 'hold' AND request_id = $1`,
      [BEFORE.calls.ended],
    );
    expect(details).toEqual([{ detail: JSON.parse(BEFORE.journal[0]!.detail!) as object }]);
  });

  it('into the record is booked with the links that it always had', async () => {
    for (const { at_ms, event, content } of BEFORE.record) {
      const bytes = bytesOf(content);
      await accounting.redis.xadd(redisKeys.audit, '*', 'at_ms', at_ms, 'event', event, 'content', bytes);
      await accounting.redis.incrby(redisKeys.auditBytes, Buffer.byteLength(event) + bytes.length);
    }
    await accounting.until(() => isRecordUpToDate(accounting.redis));
    expect(await rejected()).toEqual([]);

    const { manager } = accounting.app.get(DataSource);
    const kept = await accounting.app.get(AuditRepository).rowsBetween(manager, 1, rowsOf.length);
    // Each content is sealed anew, under its visitor's own key.
    const withoutSeal = (row: ChainedRow): string => canonical({ ...row, contentHash: null });
    expect(kept.map(({ row }) => withoutSeal(row))).toEqual(rowsOf.map(({ row }) => withoutSeal(row)));
    expect((await accounting.admin('GET', '/admin/v1/audit/verify')).body).toMatchObject({ ok: true, problems: [] });
    expect((await accounting.admin('GET', `/admin/v1/requests/${BEFORE.calls.ended}`)).body.asked).toMatchObject(
      BEFORE.kept.body,
    );
  });

  it('into the chain has the same hashes', () => {
    let link = GENESIS;
    for (const { seq, hash, row } of rowsOf) {
      link = linkAfter(link, row);
      expect(link).toEqual({ seq, hash });
    }
  });
});
