import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Registry } from 'prom-client';
import { DataSource } from 'typeorm';
import type { CheckEvent, RequestEvent } from '#libs/contracts/audit.js';
import { REGISTRY } from '#libs/service/platform.tokens.js';
import { EventRecorder } from '#libs/redis/event.recorder.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { dataSourceOptions } from '../store/data-source.factory.js';
import { linkAfter, type CheckRow, type Link } from '../domain/audit.chain.js';
import { AuditRepository } from './audit.repository.js';
import type { AuditVerification } from './audit.verifier.js';
import type { AuditProblem } from './chain.walk.js';
import { isRecordUpToDate } from './audit.stream.js';
import { RecordWatch } from './record.watch.js';
import { RetentionSweeper } from './retention.sweeper.js';

const DAY_MS = 86_400_000;
const policy = { input: 'gate', output: 'gate', thresholds: { violence: 0.6 }, onUnavailable: 'closed' } as const;

let accounting: AccountingFixture;
let recorder: EventRecorder;
/** A person who has the database, and can switch off its triggers. */
let intruder: DataSource;
let key: { id: string };
let campaignId: string;
let calls = 0;

beforeAll(async () => {
  accounting = await AccountingFixture.start();
  recorder = new EventRecorder(accounting.redis);
  intruder = await new DataSource(dataSourceOptions(accounting.config.databaseUrl, () => undefined)).initialize();
});
afterAll(async () => {
  await intruder.destroy();
  await accounting.stop();
});
beforeEach(async () => {
  const slug = `c-${++calls}`;
  campaignId = (await accounting.createCampaign(slug)).id;
  key = await accounting.createKey(slug);
});

const requestId = (): string =>
  `req_${Date.now().toString(16).padStart(12, '0')}${(++calls).toString(16).padStart(20, '0')}`;
const seal = (id: string, content: unknown): Buffer =>
  new ContentBox(accounting.config.secrets.contentKey).seal(JSON.stringify(content), id);

function request(id: string, changes: Partial<RequestEvent> = {}): RequestEvent {
  const model = 'gpt-5.4-mini';
  return { kind: 'request', id, key: key.id, campaign: campaignId, model, stream: false, policy, ...changes };
}

function check(request: string, changes: Partial<CheckEvent> = {}): CheckEvent {
  return {
    kind: 'check',
    id: `chk_${++calls}`,
    request,
    key: key.id,
    campaign: campaignId,
    direction: 'input',
    guard: 'moderation',
    model: 'omni-moderation-2024-09-26',
    decision: 'pass',
    categories: [],
    scores: { violence: 0.1, 'self-harm': 1.2e-7 },
    reason: null,
    latency_ms: 12.4,
    policy,
    ...changes,
  };
}

/** A call with its input and output checks. */
async function call(asked: unknown = { messages: [{ role: 'user', content: 'a secret question' }] }): Promise<string> {
  const id = requestId();
  await recorder.record(request(id), seal(id, asked));
  await recorder.record(check(id));
  await recorder.record(check(id, { direction: 'output' }), seal(id, [{ kind: 'text', text: 'a secret answer' }]));
  return id;
}

const booked = () => accounting.until(() => isRecordUpToDate(accounting.redis));
const verify = async (): Promise<AuditVerification> => (await accounting.admin('GET', '/admin/v1/audit/verify')).body;
const one = async <T>(sql: string, values: unknown[] = []): Promise<T> => (await intruder.query<T[]>(sql, values))[0]!;

/** In Postgres and in Redis, which comes last. */
const signedUpTo = (seq: number) =>
  accounting.until(
    async () =>
      (JSON.parse((await accounting.redis.get(redisKeys.auditAnchor)) ?? '{}') as { seq?: number }).seq === seq,
  );

/** Writes past the triggers, as the owner of the database can, and all at once, so that nobody signs half of it. */
async function tamper(
  work: (query: (sql: string, values?: unknown[]) => Promise<unknown>) => Promise<void>,
): Promise<void> {
  const runner = intruder.createQueryRunner();
  try {
    await runner.startTransaction();
    await runner.query('SET LOCAL session_replication_role = replica');
    await work((sql, values) => runner.query(sql, values));
    await runner.commitTransaction();
  } finally {
    if (runner.isTransactionActive) await runner.rollbackTransaction();
    await runner.release();
  }
}

/** The problems that verify finds while something is wrong. It repairs the record afterwards. */
async function found(sql: string, undo: string): Promise<AuditProblem[]> {
  await tamper(async (query) => void (await query(sql)));
  try {
    const { ok, problems } = await verify();
    expect(ok).toBe(problems.length === 0);
    return problems;
  } finally {
    await tamper(async (query) => void (await query(undo)));
    expect((await verify()).problems).toEqual([]);
  }
}

describe('the record', () => {
  it('shows what was kept of a request beside it, and proves both', async () => {
    const id = await call([
      { model: 'm', input: [] },
      { store: true, metadata: { order: '7' } },
    ]);
    await booked();
    const { body } = await accounting.admin('GET', `/admin/v1/requests/${id}`);
    expect(body).toMatchObject({
      asked: { model: 'm', input: [] },
      kept: { store: true, metadata: { order: '7' } },
      checks: [{ judged: null }, { judged: [{ kind: 'text', text: 'a secret answer' }] }],
    });
    expect((await verify()).ok).toBe(true);
  });

  it('shows one call with its request, its checks and its bookings', async () => {
    const id = await call();
    await accounting.call(key, id, 1_000_000n, 400_000n, { usage: { input: 5, output: 0, seconds: 61 } });
    await Promise.all([booked(), accounting.drained()]);
    const { status, body } = await accounting.admin('GET', `/admin/v1/requests/${id}`);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      id,
      key: key.id,
      visitor: key.id,
      endpoint: 'chat.completions',
      asked: { messages: [{ role: 'user', content: 'a secret question' }] },
      kept: null,
      policy: { thresholds: { violence: 0.6 } },
      checks: [
        {
          direction: 'input',
          decision: 'pass',
          latency_ms: 13,
          thresholds: { violence: 0.6 },
          scores: { violence: 0.1, 'self-harm': 1.2e-7 },
          judged: null,
        },
        { direction: 'output', judged: [{ kind: 'text', text: 'a secret answer' }] },
      ],
      transfers: [
        { kind: 'hold', paid_usd: '0.00' },
        { kind: 'post', paid_usd: '0.0004', usage: { input: 5, seconds: 61 } },
      ],
    });
    expect((await accounting.admin('GET', '/admin/v1/requests/req_unknown')).status).toBe(404);
  });

  it('names the API of a call to the operator and to the auditor', async () => {
    const [echo, chat] = [requestId(), requestId()];
    await recorder.record(request(echo, { endpoint: 'echo' }));
    await recorder.record(request(chat));
    await booked();
    const shown = async (id: string) => [
      (await accounting.admin('GET', `/admin/v1/requests/${id}`)).body.endpoint,
      (await one<{ endpoint: string }>(`SELECT endpoint FROM audit.calls WHERE request_id = $1`, [id])).endpoint,
      (await one<{ endpoint: string | null }>(`SELECT endpoint FROM audit.requests WHERE id = $1`, [id])).endpoint,
    ];
    expect(await shown(echo)).toEqual(['echo', 'echo', 'echo']);
    expect(await shown(chat)).toEqual(['chat.completions', 'chat.completions', null]);
  });

  it('keeps content sealed, and books each event once, though it comes again', async () => {
    const id = requestId();
    for (let round = 0; round < 3; round++) await recorder.record(request(id), seal(id, 'a secret question'));
    const again = check(id);
    for (let round = 0; round < 3; round++) await recorder.record(again);
    await booked();
    expect(await one(`SELECT count(*)::int AS count FROM audit.requests WHERE id = $1`, [id])).toEqual({ count: 1 });
    expect(await one(`SELECT count(*)::int AS count FROM audit.checks WHERE request_id = $1`, [id])).toEqual({
      count: 1,
    });
    const { sealed } = await one<{ sealed: Buffer }>(`SELECT sealed FROM audit.contents WHERE id = $1`, [id]);
    expect(sealed.toString('latin1')).not.toContain('secret');
    expect(await accounting.redis.get(redisKeys.auditBytes)).toBeNull();
    expect(await verify()).toMatchObject({ ok: true, problems: [] });
  });

  it('is chained in one line though several processes book it', async () => {
    const other = await accounting.another();
    try {
      await Promise.all(Array.from({ length: 300 }, () => call()));
      await booked();
    } finally {
      await other.close();
    }
    const verification = await verify();
    expect(verification).toMatchObject({ ok: true, problems: [] });
    expect(verification.checked.rows).toBe(verification.head.seq);
    expect(verification.checked.contents).toBeGreaterThanOrEqual(600);
  });

  it('sets aside what cannot be booked, without its content, and goes on', async () => {
    await accounting.redis.xadd(redisKeys.audit, '*', 'event', '{', 'at_ms', '1', 'content', 'x');
    await accounting.redis.xadd(
      redisKeys.audit,
      '*',
      'event',
      JSON.stringify(request(requestId())),
      'at_ms',
      '1763876480000',
      'content',
      'not sealed',
    );
    const id = await call();
    await booked();
    expect((await accounting.admin('GET', `/admin/v1/requests/${id}`)).status).toBe(200);
    const rows = await intruder.query<{ raw: object }[]>(
      `SELECT raw FROM ledger.rejected_events WHERE journal_id LIKE 'audit:%'`,
    );
    expect(rows).toHaveLength(2);
    expect(JSON.stringify(rows)).not.toContain('not sealed');
  });

  it('waits while Postgres is away, and new calls are refused once too much waits', async () => {
    const hold = (auditBytes: number, auditBytesOfKey = 1e9, id = requestId()) =>
      accounting.holds.take(
        {
          ...{
            requestId: id,
            keyId: key.id,
            campaignId,
            fixedNano: 1n,
            perUnitNano: 0n,
            capTokens: 1,
            leastCapTokens: 1,
            inputTokens: 1,
            outputs: 1,
          },
          ...{ maxWaitMs: 1_000, detail: '{}', lane: 'lane', replyTo: 'ingress', recorded: request(id) },
          body: { encrypted: seal(id, 'x'.repeat(1_000)), lifeMs: 60_000 },
        },
        {
          ...{ journalEntries: 1e6, auditBytes, auditBytesOfKey, keyBytesPerHour: 0 },
          ...{ operatorDayNano: undefined, operatorTotalNano: undefined, patient: false },
        },
      );
    /** What waits of the key's. */
    const waiting = async () => Number(await accounting.redis.hget(redisKeys.auditKeyBytes, key.id));
    await accounting.app.close();
    expect((await hold(2_000)).code).toBe('ok');
    expect((await hold(2_000)).code).toBe('ok');
    expect((await hold(2_000)).code).toBe('overloaded');
    // Others may have room, but not this key.
    expect((await hold(4_000, 2_000)).code).toBe('record');
    expect(await waiting()).toBeGreaterThan(2_000);
    await accounting.restart();
    await booked();
    expect(await accounting.redis.exists(redisKeys.auditKeyBytes)).toBe(0);
    expect((await hold(2_000, 2_000)).code).toBe('ok');
  });
});

describe('tampering', () => {
  let id: string;
  let checkId: string;
  let seq: number;
  beforeEach(async () => {
    id = await call();
    await call();
    await call();
    await booked();
    const row = await one<{ id: string; seq: string }>(
      `SELECT id, seq FROM audit.checks WHERE request_id = $1 AND direction = 'output'`,
      [id],
    );
    [checkId, seq] = [row.id, Number(row.seq)];
  });

  it.each([
    ['a decision', `decision = 'blocked'`, `decision = 'pass'`],
    ['a score', `scores = '{"violence": 0.9}'`, `scores = '{"violence": 0.1, "self-harm": 0.00000012}'`],
    ['a time', `at = at - interval '1 day'`, `at = at + interval '1 day'`],
    ['whose it was', `key_id = 'key_other'`, `key_id = visitor_id`],
  ])('by editing %s is found, and the row named', async (_, change, back) => {
    const problems = await found(
      `UPDATE audit.checks SET ${change} WHERE id = '${checkId}'`,
      `UPDATE audit.checks SET ${back} WHERE id = '${checkId}'`,
    );
    expect(problems).toEqual([
      { kind: 'altered', from: seq, to: seq, id: checkId, message: expect.stringContaining(checkId) },
    ]);
  });

  it.each([
    ['another name', 'echo', `'speak'`],
    ['no name', 'echo', 'NULL'],
    ['an empty name', undefined, `''`],
    ['the name that no name stands for', undefined, `'chat.completions'`],
  ])('by giving a request %s of an API is found, and the row named', async (_, endpoint, changed) => {
    const asked = requestId();
    await recorder.record(request(asked, { endpoint }));
    await booked();
    const set = (value: string) => `UPDATE audit.requests SET endpoint = ${value} WHERE id = '${asked}'`;
    expect(await found(set(changed), set(endpoint ? `'${endpoint}'` : 'NULL'))).toEqual([
      expect.objectContaining({ kind: 'altered', id: asked }),
    ]);
  });

  it('shows in a metric, wherever it is, for as long as it lasts', async () => {
    const broken = async () =>
      /^daypass_audit_broken\{.*\} (\d)$/m.exec(await accounting.app.get<Registry>(REGISTRY).metrics())?.[1];
    const watch = accounting.app.get(RecordWatch);
    await watch.run();
    expect(await broken()).toBe('0');
    await tamper(
      async (query) => void (await query(`UPDATE audit.checks SET decision = 'blocked' WHERE id = $1`, [checkId])),
    );
    await watch.run();
    // The signer checks the end meanwhile, which is as it was.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(await broken()).toBe('1');
    await tamper(
      async (query) => void (await query(`UPDATE audit.checks SET decision = 'pass' WHERE id = $1`, [checkId])),
    );
    await watch.run();
    expect(await broken()).toBe('0');
  });

  it('by deleting a row is found, and its number named', async () => {
    const row = await one<{ row: string }>(`SELECT to_jsonb(kept)::text AS row FROM audit.checks kept WHERE id = $1`, [
      checkId,
    ]);
    const problems = await found(
      `DELETE FROM audit.checks WHERE id = '${checkId}'`,
      `INSERT INTO audit.checks SELECT * FROM jsonb_populate_record(NULL::audit.checks, '${row.row}')`,
    );
    expect(problems[0]).toEqual({
      kind: 'missing',
      from: seq,
      to: seq,
      id: null,
      message: `the row at ${seq} is missing`,
    });
  });

  it('by changing the order is found, and both rows named', async () => {
    const { id: other, seq: otherSeq } = await one<{ id: string; seq: string }>(
      `SELECT id, seq FROM audit.checks WHERE seq = $1`,
      [seq + 2],
    );
    const swap = (a: number, b: number) =>
      `UPDATE audit.checks SET seq = CASE id WHEN '${checkId}' THEN ${a} ELSE ${b} END WHERE id IN ('${checkId}', '${other}')`;
    const problems = await found(swap(Number(otherSeq), seq), swap(seq, Number(otherSeq)));
    expect(problems.map((problem) => problem.id)).toEqual(expect.arrayContaining([checkId, other]));
    expect(problems.every(({ kind }) => kind === 'altered')).toBe(true);
  });

  it('by cutting off the end is found, even where the head and the checkpoints are cut with it', async () => {
    const head = (await verify()).head.seq;
    await signedUpTo(head);
    const cut = head - 2;
    const backup = await Promise.all(
      ['requests', 'checks', 'acts', 'checkpoints', 'head'].map(async (table) => {
        const rows = await intruder.query<{ row: string }[]>(
          `SELECT to_jsonb(kept)::text AS row FROM audit.${table} kept ${table === 'head' ? '' : `WHERE seq > ${cut}`}`,
        );
        return { table, rows };
      }),
    );
    await tamper(async (query) => {
      for (const { table } of backup)
        if (table !== 'head') await query(`DELETE FROM audit.${table} WHERE seq > ${cut}`);
      const last = await one<{ hash: Buffer }>(
        `SELECT hash FROM audit.requests WHERE seq = $1 UNION ALL SELECT hash FROM audit.checks WHERE seq = $1`,
        [cut],
      );
      await query('UPDATE audit.head SET seq = $1, hash = $2', [cut, last.hash]);
    });
    expect((await verify()).problems).toEqual([
      {
        kind: 'missing',
        from: cut + 1,
        to: head,
        id: null,
        message: expect.stringContaining('the end of the record was cut off'),
      },
    ]);
    // It goes on, and grows beyond the signed link, which still gives it away.
    for (let n = 0; n < 3; n++) await call();
    await booked();
    expect((await verify()).problems).toContainEqual(expect.objectContaining({ kind: 'unsigned', from: head }));
    await tamper(async (query) => {
      for (const { table, rows } of backup) {
        await query(`DELETE FROM audit.${table} ${table === 'head' ? '' : `WHERE seq > ${cut}`}`);
        for (const { row } of rows)
          await query(`INSERT INTO audit.${table} SELECT * FROM jsonb_populate_record(NULL::audit.${table}, $1)`, [
            row,
          ]);
      }
    });
    expect((await verify()).problems).toEqual([]);
  });

  it('by rewriting every row from one on, head and all, is found by the signatures', async () => {
    const { head } = await verify();
    await signedUpTo(head.seq);
    const repository = accounting.app.get(AuditRepository);
    const before = await repository.rowsBetween(intruder.manager, seq - 1, head.seq);
    const rewrite = async (links: Link[], decision: string) =>
      tamper(async (query) => {
        await query(`UPDATE audit.checks SET decision = '${decision}' WHERE id = '${checkId}'`);
        for (const table of ['requests', 'checks', 'acts'])
          await query(
            `UPDATE audit.${table} SET hash = decode(new.hash, 'hex') FROM unnest($1::bigint[], $2::text[]) AS new (seq, hash) WHERE ${table}.seq = new.seq`,
            [links.map((link) => link.seq), links.map((link) => link.hash)],
          );
        await query(`UPDATE audit.head SET hash = decode($1, 'hex')`, [links.at(-1)!.hash]);
      });
    let link = before[0]!.link;
    const rewritten = before
      .slice(1)
      .map(
        ({ row }) => (link = linkAfter(link, row.id === checkId ? { ...(row as CheckRow), decision: 'blocked' } : row)),
      );
    await rewrite(rewritten, 'blocked');
    const { ok, problems } = await verify();
    await rewrite(
      before.map((row) => row.link),
      'pass',
    );
    expect(ok).toBe(false);
    expect(problems.every(({ kind, from }) => kind === 'unsigned' && from >= seq)).toBe(true);
    expect(problems.at(-1)).toMatchObject({ from: head.seq, message: expect.stringContaining('not what was signed') });
    expect((await verify()).problems).toEqual([]);
  });

  it('by signing anew without the key is found', async () => {
    const { head } = await verify();
    await signedUpTo(head.seq);
    const problems = await found(
      `UPDATE audit.checkpoints SET hash = sha256(hash) WHERE seq = ${head.seq}`,
      `UPDATE audit.checkpoints SET hash = (SELECT hash FROM audit.head) WHERE seq = ${head.seq}`,
    );
    expect(problems).toEqual([
      expect.objectContaining({ kind: 'unsigned', message: expect.stringContaining('not what was signed') }) as unknown,
      expect.objectContaining({
        kind: 'unsigned',
        message: expect.stringContaining('not signed by Daypass'),
      }) as unknown,
    ]);
  });

  it('with a content, or a policy, is found', async () => {
    expect(
      await found(
        `UPDATE audit.contents SET sealed = sealed || '\\x00' WHERE id = '${checkId}'`,
        `UPDATE audit.contents SET sealed = substr(sealed, 1, length(sealed) - 1) WHERE id = '${checkId}'`,
      ),
    ).toEqual([
      { kind: 'content', from: seq, to: seq, id: checkId, message: `the content of ${checkId} was replaced` },
    ]);
    const row = await one<{ row: string }>(
      `SELECT to_jsonb(kept)::text AS row FROM audit.contents kept WHERE id = $1`,
      [checkId],
    );
    expect(
      await found(
        `DELETE FROM audit.contents WHERE id = '${checkId}'`,
        `INSERT INTO audit.contents SELECT * FROM jsonb_populate_record(NULL::audit.contents, '${row.row}')`,
      ),
    ).toEqual([
      {
        kind: 'content',
        from: seq,
        to: seq,
        id: checkId,
        message: `the content of ${checkId} was deleted before its time`,
      },
    ]);
    const { version } = await one<{ version: string }>(
      `SELECT policy_version AS version FROM audit.checks WHERE id = $1`,
      [checkId],
    );
    expect(
      await found(
        `UPDATE audit.policies SET policy = policy || '{"input": "off"}' WHERE version = '${version}'`,
        `UPDATE audit.policies SET policy = policy || '{"input": "gate"}' WHERE version = '${version}'`,
      ),
    ).toEqual([expect.objectContaining({ kind: 'altered', id: version, message: `the policy ${version} was edited` })]);
  });
});

describe('what goes', () => {
  it('an erased visitor cannot be read any more, and the record is whole and names the erasure', async () => {
    const id = await call();
    await booked();
    const erase = () => accounting.admin('POST', `/admin/v1/visitors/${key.id}/erase`, { note: 'asked for by mail' });
    expect(await erase()).toMatchObject({
      status: 409,
      body: { error: { message: expect.stringContaining('revoke it first') } },
    });
    await accounting.admin('POST', `/admin/v1/keys/${key.id}/revoke`, {});
    const first = await erase();
    expect(first).toMatchObject({ status: 200, body: { data: { id: key.id, erased_at: expect.any(String) } } });
    expect((await erase()).body).toEqual(first.body);
    // Accounting books without content what was on its way then.
    const late = await call();
    await booked();
    for (const gone of [id, late]) {
      const { body } = await accounting.admin('GET', `/admin/v1/requests/${gone}`);
      expect(body).toMatchObject({ asked: null, checks: [{ decision: 'pass' }, { decision: 'pass', judged: null }] });
    }
    expect(await one(`SELECT kind, note FROM audit.acts WHERE subject = $1 AND kind <> 'status'`, [key.id])).toEqual({
      kind: 'erasure',
      note: 'asked for by mail',
    });
    expect((await verify()).problems).toEqual([]);
    expect((await accounting.admin('POST', '/admin/v1/visitors/nobody/erase', {})).status).toBe(404);
  });

  it('contents go after the days that their campaign keeps them, no others, and the record is whole', async () => {
    const old = requestId();
    const event = (id: string, at: number) =>
      accounting.redis.xadd(
        redisKeys.audit,
        '*',
        'at_ms',
        String(at),
        'event',
        JSON.stringify(request(id)),
        'content',
        seal(id, 'old'),
      );
    await event(old, Date.now() - 40 * DAY_MS);
    const young = await call();
    await booked();
    const slug = (await one<{ slug: string }>('SELECT slug FROM access.campaigns WHERE id = $1', [campaignId])).slug;
    await accounting.app.get(RetentionSweeper).run();
    expect((await accounting.admin('GET', `/admin/v1/requests/${old}`)).body.asked).toBe('old');
    expect(await accounting.admin('PATCH', `/admin/v1/campaigns/${slug}`, { retention_days: 30 })).toMatchObject({
      status: 200,
      body: { retention_days: 30 },
    });
    await accounting.app.get(RetentionSweeper).run();
    await accounting.app.get(RetentionSweeper).run();
    expect((await accounting.admin('GET', `/admin/v1/requests/${old}`)).body.asked).toBeNull();
    expect((await accounting.admin('GET', `/admin/v1/requests/${young}`)).body.asked).not.toBeNull();
    expect(await intruder.query(`SELECT kind FROM audit.acts WHERE subject = $1`, [campaignId])).toEqual([
      { kind: 'retention' },
    ]);
    expect((await verify()).problems).toEqual([]);
    await accounting.admin('PATCH', `/admin/v1/campaigns/${slug}`, { retention_days: null });
    expect((await verify()).problems).toEqual([]);
    expect(await accounting.admin('PATCH', `/admin/v1/campaigns/${slug}`, { retention_days: 0 })).toMatchObject({
      status: 400,
    });
  });
});

describe('a campaign that says nothing about its contents', () => {
  it('keeps them for 90 days, and one that says null for ever', async () => {
    const create = (more: object) =>
      accounting.admin('POST', '/admin/v1/campaigns', {
        ...{ slug: `kept-${requestId().slice(-12)}`, name: 'Kept', budget_usd: '1', models: ['gpt-5.4-mini'] },
        ...more,
      });
    const old = async (retention: object): Promise<unknown> => {
      const { body: campaign } = await create(retention);
      const id = requestId();
      const event = { ...request(id), campaign: campaign.id };
      const at = String(Date.now() - 92 * DAY_MS);
      const fields = ['at_ms', at, 'event', JSON.stringify(event), 'content', seal(id, 'old')];
      await accounting.redis.xadd(redisKeys.audit, '*', ...fields);
      await booked();
      await accounting.app.get(RetentionSweeper).run();
      const { body } = await accounting.admin('GET', `/admin/v1/requests/${id}`);
      return [campaign.retention_days, body.asked];
    };
    expect(await old({})).toEqual([90, null]);
    expect(await old({ retention_days: null })).toEqual([null, 'old']);
    expect(await old({ retention_days: 100 })).toEqual([100, 'old']);
    expect((await verify()).problems).toEqual([]);
  });
});

describe('listing checks', () => {
  it('filters, pages and exports', async () => {
    const id = requestId();
    await recorder.record(request(id));
    for (let n = 0; n < 5; n++) await recorder.record(check(id, { direction: n % 2 ? 'output' : 'input' }));
    await recorder.record(check(id, { decision: 'blocked', categories: ['violence', 'hate'] }));
    await recorder.record(check(id, { decision: 'unchecked', reason: '=cmd("it is down")' }));
    await booked();
    const list = async (query: string) =>
      (await accounting.admin('GET', `/admin/v1/checks?key=${key.id}${query}`)).body;
    expect((await list('')).data).toHaveLength(7);
    expect((await list('&direction=output')).data).toHaveLength(2);
    expect((await list('&decision=blocked')).data).toMatchObject([
      { decision: 'blocked', categories: ['violence', 'hate'], key: key.id },
    ]);
    expect((await list('&decision=blocked,unchecked')).data).toHaveLength(2);
    expect((await list('&category=hate')).data).toHaveLength(1);
    expect((await list(`&since=${new Date(Date.now() + 60_000).toISOString()}`)).data).toHaveLength(0);
    const first = await list('&limit=4');
    const second = await list(`&limit=4&cursor=${first.next_cursor}`);
    expect([...first.data, ...second.data].map((row: { id: string }) => row.id)).toEqual(
      (await list('')).data.map((row: { id: string }) => row.id),
    );
    expect(second.next_cursor).toBeNull();

    const lines = (await accounting.admin('GET', `/admin/v1/checks/export?key=${key.id}`)).body as string;
    expect(
      lines
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { id: string }).id),
    ).toEqual((await list('')).data.map((row: { id: string }) => row.id));
    const csv = await accounting.admin('GET', `/admin/v1/checks/export?format=csv&decision=unchecked&key=${key.id}`);
    expect(csv.headers.get('content-type')).toContain('text/csv');
    const [header, row] = (csv.body as string).split('\n');
    expect(header).toContain('decision,categories');
    // A spreadsheet must not run this formula.
    expect(row).toContain(`"'=cmd(""it is down"")"`);

    for (const bad of ['direction=sideways', 'decision=maybe', 'since=yesterday', 'cursor=x', 'unknown=1'])
      expect((await accounting.admin('GET', `/admin/v1/checks?${bad}`)).status).toBe(400);
  });

  it('has views for the auditor', async () => {
    const id = await call();
    await recorder.record(
      check(id, { decision: 'blocked', categories: ['violence'], scores: { violence: 0.9, hate: 0.1 } }),
    );
    await booked();
    expect(
      await one(`SELECT campaign, decision, categories, scores FROM audit.flagged WHERE key_id = $1`, [key.id]),
    ).toMatchObject({
      decision: 'blocked',
      categories: ['violence'],
      scores: { violence: 0.9 },
    });
    expect(await one(`SELECT * FROM audit.by_visitor WHERE visitor_id = $1`, [key.id])).toMatchObject({
      requests: '1',
      checks: '3',
      blocked: '1',
      share_of_requests_flagged: '1.0000',
    });
    expect(
      await one(`SELECT * FROM audit.moderation_latency WHERE direction = 'input' ORDER BY hour DESC LIMIT 1`),
    ).toMatchObject({
      guard: 'moderation',
      p50_ms: 13,
    });
  });
});
