import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { overviewAnswer, settingsAnswer } from '#libs/contracts/admin/console.js';
import { lanesAnswer } from '#libs/contracts/admin/lanes.js';
import { redisKeys } from '#libs/redis/keys.js';
import { Stats } from '#libs/service/stats.js';
import { AccountingFixture } from '../accounting.fixture.js';

const HOUR_MS = 3_600_000;
const HEADERS = { 'x-daypass-actor': 'Ada' };

let accounting: AccountingFixture;
beforeAll(async () => {
  accounting = await AccountingFixture.start({
    OPENAI_API_KEY: '',
    DAYPASS_REHEARSAL_URL: 'http://rehearsal:8090/v1',
  });
});
afterAll(() => accounting.stop());

// Answers are read as a client reads them: without types.
// oxlint-disable-next-line typescript/no-explicit-any
async function read(path: string): Promise<any> {
  const { status, body } = await accounting.admin('GET', `/admin/v1/${path}`);
  if (status !== 200) throw new Error(JSON.stringify(body));
  return body.data;
}

async function counted(): Promise<void> {
  await accounting.drained();
  await accounting.app.get(Stats).flush();
}

describe('the overview', () => {
  it('answers as its contract says, also where nothing happened yet', async () => {
    for (const [range, points] of [
      ['1h', 60],
      ['24h', 24],
      ['30d', 30],
    ] as const) {
      const data = await read(`overview?range=${range}`);
      expect(overviewAnswer.strict().safeParse({ data }).error).toBeUndefined();
      expect(data.series).toHaveLength(points);
    }
    expect(await read('overview')).toMatchObject({
      rehearsed: true,
      door: { state: 'open', note: null, since: null, by: null },
      operator: { spent_today_usd: '0.00', budget_usd_per_day: null },
      running: 0,
      waiting: { calls: 0, oldest_seconds: 0 },
      books_lag_seconds: 0,
    });
    expect((await accounting.admin('GET', '/admin/v1/overview?range=2h')).status).toBe(400);
  });

  it('shows what calls spent, in all ranges alike, and how long the budget lasts', async () => {
    await accounting.createCampaign('spring', { name: 'Spring school', budget_usd: '2.00' });
    const key = await accounting.createKey('spring', { budget_usd: '1.00' });
    await accounting.call(key, 'req-spring-1', 400_000_000n, 300_000_000n);
    await accounting.call(key, 'req-spring-2', 400_000_000n, 100_000_000n);
    await accounting.hold(key, 'req-spring-3', 50_000_000n);
    await counted();
    for (const range of ['1h', '24h', '30d']) {
      const { series } = await read(`overview?range=${range}`);
      const spent = series.filter((point: { spent_usd: string }) => point.spent_usd !== '0.00');
      expect([range, spent.length]).toEqual([range, spent.length === 2 ? 2 : 1]);
      const calls = series.reduce((sum: number, point: { calls: number }) => sum + point.calls, 0);
      expect([range, calls]).toEqual([range, 3]);
      if (spent.length === 1) expect(spent[0]).toMatchObject({ spent_usd: '0.40' });
    }
    const { campaigns, operator, running, keys } = await read('overview');
    expect(campaigns.find(({ slug }: { slug: string }) => slug === 'spring')).toEqual({
      slug: 'spring',
      name: 'Spring school',
      budget_usd: '2.00',
      available_usd: '1.55',
      keys_active: 1,
      usd_per_hour: '0.40',
      hours_left: 3.8,
    });
    expect([operator.spent_today_usd, operator.spent_total_usd]).toEqual(['0.40', '0.40']);
    expect(running).toBe(1);
    expect(keys).toMatchObject({ total: 1, active: 1 });
  });

  it('agrees with the ledger: its sums are those of the balances', async () => {
    await accounting.createCampaign('sums');
    const key = await accounting.createKey('sums', { budget_usd: '1.00' });
    await accounting.call(key, 'req-sums-1', 100_000_000n, 70_000_000n);
    await accounting.hold(key, 'req-sums-2', 100_000_000n);
    await accounting.dispatch('req-sums-2');
    await accounting.end(key, 'req-sums-2', 'presume');
    await accounting.end(key, 'req-sums-2', 'post', 30_000_000n);
    await counted();
    const [sums] = await accounting.source.query(
      `SELECT (SELECT sum(spent_nano) FROM access.traffic WHERE campaign_id <> '') AS traffic, (SELECT sum(spent_nano) FROM access.traffic WHERE campaign_id = '') AS whole, (SELECT spent_nano FROM ledger.balances WHERE owner = 'operator:total') AS ledger,
              (SELECT sum(calls) FROM access.traffic WHERE campaign_id = '') AS calls, (SELECT count(*) FROM ledger.transfers WHERE kind = 'hold') AS holds`,
    );
    expect([sums.traffic, sums.whole]).toEqual([sums.ledger, sums.ledger]);
    expect(sums.calls).toBe(sums.holds);
    const spend = await read('campaigns/sums/spend');
    expect(spend.at(-1)).toMatchObject({ spent_usd: '0.10', calls: 2 });
  });

  it('counts refusals of all processes by their code', async () => {
    const other = new Stats('ingress', accounting.redis);
    other.add('refused:insufficient_quota');
    other.add('refused:claim_rate_limited', 3n);
    await other.flush();
    const { refused, series, needs } = await read('overview');
    expect(refused).toEqual({ insufficient_quota: 1, claim_rate_limited: 3 });
    expect(series.at(-1).refused + series.at(-2).refused).toBe(4);
    expect(needs).toContainEqual(
      expect.objectContaining({ kind: 'claims', text: 'A brake refused 3 claims within the last hour.' }),
    );
  });

  it('knows which services live', async () => {
    const ingresses = ['ingress', 'ingress'].map((name) => new Stats(name, accounting.redis));
    for (const ingress of ingresses) await ingress.flush();
    const shown = async (): Promise<string[]> =>
      (await read('overview')).services.map(
        ({ name, ready, processes }: { name: string; ready: boolean; processes: number }) =>
          `${name} ${processes} ${ready ? 'ready' : 'away'}`,
      );
    const before = await shown();
    expect(before).toContain('accounting 1 ready');
    expect(before).toContain('moderation 0 away');
    expect(before.find((line) => line.startsWith('ingress'))).toMatch(/ingress [23] ready/);
    expect((await read('overview')).needs).toContainEqual(
      expect.objectContaining({ kind: 'trouble', text: 'No process of forwarding runs.' }),
    );
    for (const ingress of ingresses) await ingress.onApplicationShutdown();
    const [{ processes }] = (await read('overview')).services;
    expect(processes).toBeLessThanOrEqual(1);
  });

  it('names what needs an operator', async () => {
    await accounting.createCampaign('low', { name: 'Low', budget_usd: '1.00' });
    const key = await accounting.createKey('low', { budget_usd: '1.00' });
    await accounting.call(key, 'req-low-1', 900_000_000n, 850_000_000n);
    await accounting.admin('POST', `/admin/v1/keys/${key.id}/suspend`, { note: 'asked for it' });
    await counted();
    const { needs } = await read('overview');
    expect(needs).toEqual(
      expect.arrayContaining([
        {
          kind: 'suspended',
          text: `The key ${key.prefix}… of low is suspended: asked for it.`,
          href: `/console/keys/${key.id}`,
          since: expect.any(String),
        },
        { kind: 'budget', text: 'The budget of Low is used up by 85 %.', href: '/console/campaigns/low', since: null },
        expect.objectContaining({ kind: 'setting', href: null }),
      ]),
    );
  });

  it('says how far behind the books are', async () => {
    const { id } = await accounting.createKey('spring', { budget_usd: '0.10' });
    const client = accounting.source.createQueryRunner();
    await client.startTransaction();
    await client.query('LOCK TABLE ledger.drained IN ACCESS EXCLUSIVE MODE');
    try {
      await accounting.hold({ id }, 'req-lag-1', 1_000n);
      await accounting.until(async () => (await read('overview')).books_lag_seconds > 0.2);
    } finally {
      await client.rollbackTransaction();
      await client.release();
    }
    await accounting.drained();
    expect((await read('overview')).books_lag_seconds).toBe(0);
  });
});

describe('what a campaign spends', () => {
  it('comes by minute, hour and day, with no gap', async () => {
    await accounting.createCampaign('points');
    const key = await accounting.createKey('points', { budget_usd: '1.00' });
    await accounting.call(key, 'req-points-1', 20_000_000n, 10_000_000n);
    await counted();
    for (const [bucket, count] of [
      ['minute', 60],
      ['hour', 24],
      ['day', 30],
    ] as const) {
      const points = await read(`campaigns/points/spend?bucket=${bucket}`);
      expect(points).toHaveLength(count);
      const spent = points.filter((point: { spent_usd: string }) => point.spent_usd === '0.01');
      expect([bucket, spent]).toEqual([bucket, [{ at: expect.any(String), spent_usd: '0.01', calls: 1 }]]);
    }
  });

  it('takes a time of its own, within bounds', async () => {
    const since = new Date(Date.now() - 3 * HOUR_MS).toISOString();
    expect(await read(`campaigns/points/spend?bucket=hour&since=${since}`)).toHaveLength(4);
    for (const query of [
      `bucket=minute&since=${since}`,
      'bucket=hour&since=2020-01-01T00:00:00Z',
      `since=${new Date(Date.now() + HOUR_MS).toISOString()}`,
      'since=yesterday',
      'bucket=week',
    ])
      expect([query, (await accounting.admin('GET', `/admin/v1/campaigns/points/spend?${query}`)).status]).toEqual([
        query,
        400,
      ]);
    expect((await accounting.admin('GET', '/admin/v1/campaigns/nobody/spend')).status).toBe(404);
  });

  it('reads few rows for a month of many busy campaigns', async () => {
    await accounting.source.query(
      `INSERT INTO access.traffic (hour, campaign_id, calls, spent_nano)
       SELECT date_trunc('hour', now(), 'UTC') - (hours + 1) * interval '1 hour', CASE WHEN campaign = 0 THEN '' ELSE 'cmp_' || campaign END, 10, 10
         FROM generate_series(0, 719) hours, generate_series(0, 200) campaign ON CONFLICT DO NOTHING`,
    );
    await accounting.source.query('ANALYZE access.traffic');
    const { series } = await read('overview?range=30d');
    expect(series.at(-3).calls).toBe(240);
    const plan = await accounting.source.query(
      `EXPLAIN (ANALYZE, FORMAT JSON) SELECT sum(calls) FROM access.traffic WHERE campaign_id = '' AND hour >= now() - interval '30 days' AND hour < now()`,
    );
    const scan = plan[0]['QUERY PLAN'][0].Plan.Plans[0];
    expect([scan['Node Type'], scan['Actual Rows'] <= 720]).toEqual([expect.stringMatching(/Index|Bitmap/), true]);
  });
});

describe('the funnel', () => {
  it('counts who opened, claimed, called and spent', async () => {
    const { id: campaignId } = await accounting.createCampaign('funnel');
    const keys = [];
    for (let count = 0; count < 3; count++) keys.push(await accounting.createKey('funnel', { budget_usd: '0.10' }));
    await accounting.source.query(
      `INSERT INTO access.claim_links (id, campaign_id, name, token, gates, key, max_claims, claimed, opened, per_ip_per_day, origins, version, created_at, updated_at)
       VALUES ('lnk_funnel', $1, 'x', 'funnel', '["pow"]', '{"budget_usd":"0.10","ttl_seconds":null,"limits":{},"models":null}', 10, 3, 7, 0, '[]', 1, now(), now())`,
      [campaignId],
    );
    for (const [index, { id }] of keys.entries())
      await accounting.source.query(
        `INSERT INTO access.claims (id, link_id, campaign_id, key_id, kind, at, ip_tag) VALUES ($1, 'lnk_funnel', $2, $3, 'pow', now(), '')`,
        [`clm_${index}`, campaignId, id],
      );
    await accounting.call(keys[0], 'req-funnel-1', 100_000_000n, 95_000_000n);
    await accounting.call(keys[1], 'req-funnel-2', 50_000_000n, 10_000_000n);
    await counted();
    expect(await read('campaigns/funnel/funnel')).toEqual({ opened: 7, claimed: 3, first_call: 2, spent: 1 });
    await accounting.source.query(`DELETE FROM access.claims`);
    await accounting.source.query(`DELETE FROM access.claim_links`);
  });
});

describe('the lanes', () => {
  it('show what each has taken, and which campaigns had how much of it', async () => {
    const { id } = await accounting.createCampaign('in-line');
    // The last whole minute, whichever it is when somebody asks.
    for (const minute of [-1, 0, 1])
      await accounting.redis.hset(redisKeys.laneShares('default', Math.floor(Date.now() / 60_000) + minute), {
        [id]: 300,
        cmp_gone: 100,
      });
    const data = await read('lanes');
    expect(lanesAnswer.strict().safeParse({ data }).error).toBeUndefined();
    expect(data.find(({ lane }: { lane: string }) => lane === 'default')).toMatchObject({
      models: [],
      images: null,
      waiting: { calls: 0, next: null },
      shares: [
        { campaign: id, slug: 'in-line', tokens: 300, share: 0.75 },
        { campaign: 'cmp_gone', slug: null, tokens: 100, share: 0.25 },
      ],
      upstreams: [{ upstream: 'openai', left_alone: null }],
    });
  });
});

describe('the settings', () => {
  it('say what is in force and what is missing, and no secret', async () => {
    const data = await read('settings');
    expect(settingsAnswer.strict().safeParse({ data }).error).toBeUndefined();
    expect(data).toMatchObject({
      public_url: null,
      visitors_url: 'http://localhost:8080',
      gates: { pow: true, code: true, github: false, email: false },
      retention_days_default: 90,
      rehearsed: true,
    });
    expect(data.warnings.join('\n')).toMatch(
      /DAYPASS_PUBLIC_URL[^]*OPENAI_API_KEY[^]*budget_usd_per_day[^]*OPENAI_ADMIN_KEY[^]*DAYPASS_GITHUB_CLIENT_ID[^]*DAYPASS_SMTP_URL/,
    );
    expect(data.lanes).toContainEqual({ lane: 'default', models: [], upstreams: ['openai'] });
    expect(data.operator).toEqual({ budget_usd_per_day: null, budget_usd_total: null });
    const limitOf = (name: string) => data.limits.find((one: { name: string }) => one.name === name);
    expect(limitOf('DAYPASS_KEY_CONCURRENT')).toEqual({
      name: 'DAYPASS_KEY_CONCURRENT',
      value: 64,
      unit: 'calls',
      is_default: true,
      text: expect.stringContaining('A key without a limit concurrent of its own'),
    });
    expect(data.limits.filter((one: { is_default: boolean }) => !one.is_default)).toEqual([]);
    expect(data.sessions).toEqual({ idle_seconds: 43_200, longest_seconds: 604_800 });
    await accounting.createCampaign('for-ever', { retention_days: null });
    expect((await read('settings')).retention).toEqual([{ campaign: 'for-ever', days: null }]);
    expect(JSON.stringify(data)).not.toContain('admin-token-for-tests');
    const mini = data.models.find(({ id }: { id: string }) => id === 'gpt-5.4-mini');
    expect(mini).toEqual({
      id: 'gpt-5.4-mini',
      input_usd_per_million: expect.stringMatching(/^\d+\.\d{2,}$/),
      output_usd_per_million: expect.stringMatching(/^\d+\.\d{2,}$/),
      shutdown_date: null,
      short_chats_per_usd: expect.any(Number),
    });
    expect(data.models.find(({ id }: { id: string }) => id.startsWith('text-embedding'))).toMatchObject({
      short_chats_per_usd: null,
    });
  });
});

describe('the door', () => {
  const inRedis = (): Promise<string | null> => accounting.redis.get(redisKeys.doorSwitch);
  const put = (state: string, note = 'a drill') => accounting.admin('PUT', '/admin/v1/door', { state, note }, HEADERS);

  it('is shut and opened at once, for a reason that stands on record', async () => {
    const shut = await put('shut');
    expect([shut.status, shut.body.data]).toEqual([
      200,
      { state: 'shut', note: 'a drill', since: expect.any(String), by: 'Ada' },
    ]);
    expect(await inRedis()).toBe('shut');
    expect((await read('overview')).door).toEqual(shut.body.data);
    expect((await put('open', 'over')).body.data).toMatchObject({ state: 'open', note: 'over' });
    expect(await inRedis()).toBeNull();
    const acts = await accounting.source.query(`SELECT subject, note FROM audit.acts WHERE kind = 'door' ORDER BY seq`);
    expect(acts).toEqual([
      { subject: 'door', note: 'shut: a drill' },
      { subject: 'door', note: 'opened: over' },
    ]);
    expect((await accounting.admin('GET', '/admin/v1/audit/verify')).body).toMatchObject({ ok: true });
  });

  it('wants a state and a reason', async () => {
    for (const body of [{}, { state: 'shut' }, { state: 'ajar', note: 'x' }, { state: 'shut', note: ' ' }])
      expect((await accounting.admin('PUT', '/admin/v1/door', body)).status).toBe(400);
  });

  it('stays shut when Redis loses everything', async () => {
    await put('shut', 'before the loss');
    await accounting.redis.flushdb();
    await accounting.until(async () => (await accounting.redis.get(redisKeys.epoch)) !== null);
    expect(await inRedis()).toBe('shut');
    await put('open', 'after the loss');
  });

  it('takes no reason that the record cannot hold as it was sent', async () => {
    for (const note of [String.raw`\ud800 half`, String.raw`\u0000`, String.raw`two\nlines`]) {
      const body = `{"state":"open","note":"${note}"}`;
      expect(
        (await accounting.admin('PUT', '/admin/v1/door', body, { 'content-type': 'application/json' })).status,
      ).toBe(400);
    }
    expect((await accounting.admin('GET', '/admin/v1/audit/verify')).body).toMatchObject({ ok: true });
  });

  it('is as the books say after accounting died before the commit', async () => {
    await put('open', 'before the crash');
    await accounting.redis.set(redisKeys.doorSwitch, 'shut');
    await accounting.restart();
    await accounting.until(async () => (await inRedis()) === null);
    expect((await accounting.admin('GET', '/admin/v1/door')).body.data).toMatchObject({ state: 'open' });
    await put('open', 'after the loss');
  });

  it('stays as it is where Redis does not take it', async () => {
    await accounting.redis.config('SET', 'maxmemory', '1');
    try {
      expect((await put('shut')).status).toBe(503);
    } finally {
      await accounting.redis.config('SET', 'maxmemory', '0');
    }
    expect((await accounting.admin('GET', '/admin/v1/door')).body.data).toMatchObject({ note: 'after the loss' });
    expect(await inRedis()).toBeNull();
  });
});
