import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { redisKeys } from '#libs/redis/keys.js';
import { CAMPAIGNS_MAX, Stats } from '#libs/service/stats.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { StatsFolder } from './stats.folder.js';
import { StatsReader } from './stats.reader.js';

let accounting: AccountingFixture;
let stats: Stats;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  // The test folds by hand.
  await accounting.app.get(StatsFolder).beforeApplicationShutdown();
  stats = new Stats('ingress', accounting.redis);
});
afterAll(() => accounting.stop());
beforeEach(async () => {
  Object.assign(accounting.app.get(StatsFolder), { done: 0 });
});

const minuteNow = (): number => Math.floor(Date.now() / 60_000);
const fold = (): Promise<void> => accounting.app.get(StatsFolder).fold();
const refused = async (): Promise<number> => {
  const [row] = await accounting.source.query(
    `SELECT coalesce(sum(refused), 0)::int AS count FROM access.traffic WHERE campaign_id = ''`,
  );
  return row.count;
};

describe('what processes count', () => {
  it('adds up over all of them, by Redis’ minute, and lives for two hours', async () => {
    const other = new Stats('moderation', accounting.redis);
    for (const one of [stats, other]) {
      one.addOf('cmp_a', 'calls');
      one.addOf('cmp_a', 'spent', 5n);
      one.add('refused:overloaded', 2n);
      await one.flush();
    }
    const minutes = (await accounting.app.get(StatsReader).last(2)).filter(({ calls }) => calls > 0);
    expect(minutes.reduce((sum, { calls }) => sum + calls, 0)).toBe(2);
    expect(minutes.reduce((sum, { spentNano }) => sum + spentNano, 0n)).toBe(10n);
    expect(minutes.at(-1)!.campaigns.get('cmp_a')).toBeDefined();
    const keys = await accounting.redis.keys(`${redisKeys.statsPrefix}*`);
    for (const key of keys) expect(await accounting.redis.pttl(key)).toBeGreaterThan(7_000_000);
  });

  it('names so many campaigns within a minute, and puts further ones together', async () => {
    const crowded = new Stats('accounting', accounting.redis);
    for (let count = 0; count < CAMPAIGNS_MAX + 50; count++) crowded.addOf(`crowd_${count}`, 'calls');
    await crowded.flush();
    const names = (await accounting.app.get(StatsReader).last(2)).flatMap(({ campaigns }) => [...campaigns]);
    const crowd = names.filter(([name]) => name.startsWith('crowd_'));
    expect(crowd).toHaveLength(CAMPAIGNS_MAX);
    expect(names.find(([name]) => name === 'other')![1].calls).toBe(50);
  });

  it('waits for a Redis that is away, and drops nothing', async () => {
    const redis = accounting.redis.duplicate();
    const patient = new Stats('forwarding', redis);
    patient.add('claims', 7n);
    const closed = once(redis, 'end');
    redis.disconnect();
    await closed;
    await patient.flush();
    await redis.connect();
    await patient.flush();
    const claims = (await accounting.app.get(StatsReader).last(2)).reduce((sum, minute) => sum + minute.claims, 0);
    expect(claims).toBe(7);
    redis.disconnect();
  });
});

describe('what the books keep of it', () => {
  it('is each refusal once, after its minute, whoever folds and how often', async () => {
    const another = await accounting.another();
    await another.get(StatsFolder).beforeApplicationShutdown();
    const before = await refused();
    const minute = minuteNow() - 5;
    await accounting.redis.hset(redisKeys.stats(minute), 'refused:queue_full', 3, 'refused:paused', 4, 'calls', 9);
    await accounting.redis.hset(redisKeys.stats(minuteNow()), 'refused:queue_full', 100);
    Object.assign(another.get(StatsFolder), { done: 0 });
    await Promise.all([fold(), another.get(StatsFolder).fold()]);
    Object.assign(accounting.app.get(StatsFolder), { done: 0 });
    await fold();
    expect((await refused()) - before).toBe(7);
    const shown = (await accounting.app.get(StatsReader).last(10)).find(({ atMs }) => atMs === minute * 60_000)!;
    expect([shown.refused.get('queue_full'), shown.calls]).toEqual([3, 9]);
    await another.close();
  });

  it('is how often a link was opened, at once, and nothing of a link that is not there', async () => {
    const { id } = await accounting.createCampaign('opened');
    await accounting.source.query(
      `INSERT INTO access.claim_links (id, campaign_id, name, token, gates, key, max_claims, per_ip_per_day, origins, version, created_at, updated_at)
       VALUES ('lnk_opened', $1, 'x', 'opened', '["pow"]', '{"budget_usd":"0.10","ttl_seconds":null,"limits":{},"models":null}', 10, 0, '[]', 1, now(), now())`,
      [id],
    );
    await accounting.redis.hset(redisKeys.stats(minuteNow()), 'opened:lnk_opened', 3, 'opened:lnk_gone', 9);
    await fold();
    await fold();
    await accounting.redis.hincrby(redisKeys.stats(minuteNow()), 'opened:lnk_opened', 2);
    await fold();
    const [link] = await accounting.source.query(`SELECT opened::int FROM access.claim_links WHERE id = 'lnk_opened'`);
    expect(link.opened).toBe(5);
  });

  it('waits in Redis while Postgres does not take it', async () => {
    const before = await refused();
    const minute = minuteNow() - 4;
    await accounting.redis.hset(redisKeys.stats(minute), 'refused:overloaded', 6, 'opened:lnk_opened', 1);
    const source = accounting.source;
    const refuse = source.transaction.bind(source);
    Object.assign(source, { transaction: () => Promise.reject(new Error('Postgres is away')) });
    await expect(fold()).rejects.toThrow('Postgres is away');
    Object.assign(source, { transaction: refuse });
    await fold();
    expect((await refused()) - before).toBe(6);
    const [link] = await source.query(`SELECT opened::int FROM access.claim_links WHERE id = 'lnk_opened'`);
    expect(link.opened).toBe(6);
  });
});
