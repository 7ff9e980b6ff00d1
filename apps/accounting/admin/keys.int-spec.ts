import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { hashVirtualKey, isWellFormed } from '#libs/secrets/virtual-key.js';
import { AccountingFixture } from '../accounting.fixture.js';

let accounting: AccountingFixture;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  await accounting.createCampaign('plain', { budget_usd: '5' });
  await accounting.createCampaign('defaults', {
    budget_usd: '5',
    key_defaults: { budget_usd: '0.5', ttl_seconds: 3600, limits: { rpm: 7, tpm: 900 } },
  });
});
afterAll(() => accounting.stop());

const opens = async (token: string): Promise<string> => {
  const answer = await accounting.holds.readKey(hashVirtualKey(token, accounting.config.secrets.tokenPepper));
  return answer.code === 'ok' ? answer.key.id : answer.code;
};

describe('POST /admin/v1/keys', () => {
  it('creates a key that opens the door, and shows it once', async () => {
    const { status, body } = await accounting.admin('POST', '/admin/v1/keys', { campaign: 'plain', label: 'desk 4' });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      id: expect.stringMatching(/^key_[0-9A-Za-z]{20}$/),
      label: 'desk 4',
      campaign: 'plain',
      status: 'active',
      expires_at: null,
      budget_usd: '5.00',
      spent_usd: '0.00',
      held_usd: '0.00',
      available_usd: '5.00',
      limits: { rpm: 0, tpm: 0, concurrent: 0 },
      models: null,
      moderation: null,
    });
    expect(isWellFormed(body.key)).toBe(true);
    expect(body.key.startsWith(body.prefix)).toBe(true);
    expect(await opens(body.key)).toBe(body.id);
    const read = await accounting.admin('GET', `/admin/v1/keys/${body.id}`);
    expect(read.body).not.toHaveProperty('key');
    expect(JSON.stringify(read.body)).not.toContain(body.key);
  });

  it("takes the campaign's defaults, field by field, unless the request has its own", async () => {
    const plain = await accounting.createKey('defaults');
    expect(plain).toMatchObject({ budget_usd: '0.50', limits: { rpm: 7, tpm: 900, concurrent: 0 } });
    expect(Date.parse(plain.expires_at) - Date.parse(plain.created_at)).toBe(3_600_000);
    const own = await accounting.createKey('defaults', {
      budget_usd: '0.25',
      ttl_seconds: 60,
      limits: { tpm: 0, concurrent: 2 },
    });
    expect(own).toMatchObject({ budget_usd: '0.25', limits: { rpm: 7, tpm: 0, concurrent: 2 } });
    expect(Date.parse(own.expires_at) - Date.parse(own.created_at)).toBe(60_000);
  });

  it('projects only what the key tightens', async () => {
    const key = await accounting.createKey('plain', {
      moderation: { thresholds: { violence: 0.2 } },
      models: ['gpt-5.4-nano'],
    });
    expect(key).toMatchObject({ moderation: { thresholds: { violence: 0.2 } }, models: ['gpt-5.4-nano'] });
    const [policy, models] = await accounting.redis.hmget(`{dp}:key:${key.id}`, 'policy', 'models');
    expect(JSON.parse(policy!)).toEqual({
      input: 'off',
      output: 'off',
      on_unavailable: 'open',
      thresholds: { violence: 0.2 },
    });
    expect(models).toBe('["gpt-5.4-nano"]');
  });

  it("refuses a model that is not the campaign's, and names it", async () => {
    const { status, body } = await accounting.admin('POST', '/admin/v1/keys', {
      campaign: 'plain',
      models: ['gpt-5.4-nano', 'o9'],
    });
    expect([status, body.error.param]).toEqual([400, 'models']);
    expect(body.error.message).toContain("'o9'");
  });

  it.each([
    [404, { campaign: 'nowhere' }, 'campaign'],
    [400, { campaign: 'plain', budget_usd: 1 }, 'budget_usd'],
    [400, { campaign: 'plain', budget_usd: '-0.1' }, 'budget_usd'],
    [400, { campaign: 'plain', budget_usd: '1e2' }, 'budget_usd'],
    [400, { campaign: 'plain', ttl_seconds: 0 }, 'ttl_seconds'],
    [400, { campaign: 'plain', ttl_seconds: 1.5 }, 'ttl_seconds'],
    [400, { campaign: 'plain', limits: { rps: 1 } }, 'limits.rps'],
    [400, { campaign: 'plain', limits: { rpm: -1 } }, 'limits.rpm'],
    [400, { campaign: 'plain', models: [] }, 'models'],
    [400, { campaign: 'plain', label: 'a\nb' }, 'label'],
    [400, { campaign: 'plain', key: 'dp_mine' }, 'key'],
    [400, {}, 'campaign'],
  ])('answers %i to %j', async (expected, body, param) => {
    const answer = await accounting.admin('POST', '/admin/v1/keys', body);
    expect([answer.status, answer.body.error.param]).toEqual([expected, param]);
  });
});

describe('POST /admin/v1/keys/batch', () => {
  it('creates a thousand keys at once, each its own', async () => {
    const { status, body } = await accounting.admin('POST', '/admin/v1/keys/batch', {
      campaign: 'defaults',
      label: 'class',
      count: 1_000,
    });
    expect(status).toBe(201);
    expect(new Set(body.data.map(({ key }: { key: string }) => key)).size).toBe(1_000);
    expect(await opens(body.data[999].key)).toBe(body.data[999].id);
    const { body: campaign } = await accounting.admin('GET', '/admin/v1/campaigns/defaults');
    expect(campaign.keys.active).toBeGreaterThanOrEqual(1_000);
  });

  it.each([0, 1_001, 1.5, '3'])('refuses %p keys', async (count) => {
    expect((await accounting.admin('POST', '/admin/v1/keys/batch', { campaign: 'plain', count })).status).toBe(400);
  });
});

describe('GET /admin/v1/keys', () => {
  it('pages through a campaign, each key once, though they were made in the same millisecond', async () => {
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const { body } = await accounting.admin(
        'GET',
        `/admin/v1/keys?campaign=defaults&limit=200${cursor ? `&cursor=${cursor}` : ''}`,
      );
      seen.push(...body.data.map(({ id }: { id: string }) => id));
      cursor = body.next_cursor;
    } while (cursor);
    expect([seen.length, new Set(seen).size]).toEqual([1_002, 1_002]);
  });

  it('filters by label and status', async () => {
    await accounting.createCampaign('filtered');
    const active = await accounting.createKey('filtered', { label: 'a' });
    const gone = await accounting.createKey('filtered', { label: 'b' });
    const late = await accounting.createKey('filtered', { label: 'b', ttl_seconds: 60 });
    await accounting.admin('POST', `/admin/v1/keys/${gone.id}/revoke`);
    await accounting.admin('PATCH', `/admin/v1/keys/${late.id}`, { expires_at: '2020-01-01T00:00:00Z' });
    const ids = async (query: string) =>
      (await accounting.admin('GET', `/admin/v1/keys?campaign=filtered&${query}`)).body.data.map(
        ({ id }: { id: string }) => id,
      );
    expect(await ids('label=b')).toEqual([late.id, gone.id]);
    expect(await ids('status=active')).toEqual([active.id]);
    expect(await ids('status=revoked')).toEqual([gone.id]);
    expect(await ids('status=expired')).toEqual([late.id]);
    expect(await ids('status=suspended')).toEqual([]);
  });

  it.each(['status=dead', 'limit=500', 'colour=red', 'cursor=%00'])('refuses ?%s', async (query) => {
    expect((await accounting.admin('GET', `/admin/v1/keys?${query}`)).status).toBe(400);
  });
});

describe('PATCH /admin/v1/keys/:id', () => {
  it('changes what it names, in force at once', async () => {
    const key = await accounting.createKey('plain', { budget_usd: '1', limits: { rpm: 5 } });
    const { status, body } = await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, {
      label: 'new',
      budget_usd: '2',
      limits: { tpm: 10 },
      models: ['gpt-5.4-mini'],
      ttl_seconds: 60,
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      label: 'new',
      budget_usd: '2.00',
      limits: { rpm: 5, tpm: 10, concurrent: 0 },
      models: ['gpt-5.4-mini'],
      status: 'active',
    });
    expect(await accounting.redis.hmget(`{dp}:key:${key.id}`, 'budget', 'label', 'rpm', 'tpm')).toEqual([
      '2000000000',
      'new',
      '5',
      '10',
    ]);
    const { body: cleared } = await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, {
      expires_at: null,
      models: null,
      limits: null,
      moderation: null,
    });
    expect(cleared).toMatchObject({ expires_at: null, models: null, limits: {}, moderation: null });
  });

  it('refuses a budget below what is spent and held, with the numbers, and changes nothing', async () => {
    const key = await accounting.createKey('plain', { budget_usd: '1' });
    await accounting.call(key, `${key.id}-1`, 300_000_000n, 100_000_000n);
    await accounting.hold(key, `${key.id}-2`, 300_000_000n);
    const { status, body } = await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, {
      budget_usd: '0.399999999',
      label: 'x',
    });
    expect(status).toBe(409);
    expect(body.error.daypass).toEqual({ spent_usd: '0.10', held_usd: '0.30' });
    expect((await accounting.admin('GET', `/admin/v1/keys/${key.id}`)).body).toMatchObject({
      budget_usd: '1.00',
      label: '',
      available_usd: '0.60',
    });
    expect((await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, { budget_usd: '0.4' })).body).toMatchObject({
      budget_usd: '0.40',
      available_usd: '0.00',
    });
  });

  it('never lets a reduction and a call both have the same money', async () => {
    for (let round = 0; round < 10; round++) {
      const key = await accounting.createKey('plain', { budget_usd: '1' });
      const [patch, hold] = await Promise.all([
        accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, { budget_usd: '0.2' }),
        accounting.hold(key, `${key.id}-race`, 900_000_000n),
      ]);
      expect([patch.status === 200, hold.code === 'ok'].filter(Boolean)).toHaveLength(1);
      await accounting.end(key, `${key.id}-race`, 'void');
    }
  });

  it.each([
    ['both ways to set its end', { ttl_seconds: 1, expires_at: '2027-01-01T00:00:00Z' }],
    ['a date that is none', { expires_at: 'tomorrow' }],
    ['a number for money', { budget_usd: 2 }],
    ["a model that is not the campaign's", { models: ['o9'] }],
    ['a status', { status: 'active' }],
  ])('refuses %s', async (_, body) => {
    const key = await accounting.createKey('plain');
    expect((await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, body)).status).toBe(400);
  });
});

describe("a key's life", () => {
  it('can be suspended, reinstated, and revoked for ever', async () => {
    const key = await accounting.createKey('plain');
    const act = (verb: string, body?: object) => accounting.admin('POST', `/admin/v1/keys/${key.id}/${verb}`, body);
    expect((await act('suspend', { note: 'three strikes' })).body).toMatchObject({
      status: 'suspended',
      status_note: 'three strikes',
    });
    expect((await accounting.hold(key, `${key.id}-a`, 1n)).code).toBe('suspended');
    expect((await act('reinstate')).body).toMatchObject({ status: 'active', status_note: null });
    expect((await accounting.hold(key, `${key.id}-b`, 1n)).code).toBe('ok');
    expect((await act('revoke')).body.status).toBe('revoked');
    const since = () => accounting.redis.hget(`{dp}:key:${key.id}`, 'revoked_ms');
    const revokedMs = await since();
    expect(Math.abs(Number(revokedMs) - Date.now())).toBeLessThan(60_000);
    expect((await act('revoke')).status).toBe(200);
    expect(await since()).toBe(revokedMs);
    expect((await accounting.hold(key, `${key.id}-c`, 1n)).code).toBe('invalid');
    for (const verb of ['reinstate', 'suspend', 'rotate'])
      expect([verb, (await act(verb)).status]).toEqual([verb, 409]);
    expect((await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, { label: 'x' })).status).toBe(409);
    expect((await act('suspend', { reason: 'x' })).status).toBe(400);
  });

  it('is suspended by a strike that comes after its pardon, not by one from before that is booked late', async () => {
    const key = await accounting.createKey('plain');
    const strike = async (request: string, atMs: number): Promise<string> => {
      const campaign = (await accounting.redis.hget(`{dp}:key:${key.id}`, 'campaign'))!;
      const event = {
        kind: 'strike',
        request,
        key: key.id,
        campaign,
        amount: 0,
        paid: 0,
        absorbed: 0,
        at_ms: atMs,
        strikes: 3,
        step: 'suspend',
      };
      await accounting.redis.xadd('{dp}:journal', '*', ...Object.entries(event).flat().map(String));
      await accounting.drained();
      return (await accounting.admin('GET', `/admin/v1/keys/${key.id}`)).body.status as string;
    };
    await accounting.admin('POST', `/admin/v1/keys/${key.id}/reinstate`);
    expect(await strike(`${key.id}-before`, Date.now() - 60_000)).toBe('active');
    expect(await strike(`${key.id}-after`, Date.now() + 1_000)).toBe('suspended');
    expect((await accounting.admin('GET', `/admin/v1/keys/${key.id}/strikes`)).body.data).toHaveLength(2);
  });

  it('goes on under a new virtual key after a rotation; the old ones are dead', async () => {
    const key = await accounting.createKey('plain', { budget_usd: '1' });
    await accounting.call(key, `${key.id}-1`, 100_000_000n, 100_000_000n);
    const rotate = async () => (await accounting.admin('POST', `/admin/v1/keys/${key.id}/rotate`, '')).body;
    const second = await rotate();
    const third = await rotate();
    expect(third).toMatchObject({ id: key.id, budget_usd: '1.00', spent_usd: '0.10', available_usd: '0.90' });
    expect([await opens(key.key), await opens(second.key), await opens(third.key)]).toEqual([
      'unknown',
      'unknown',
      key.id,
    ]);
  });

  it('ends by time, without anybody doing anything', async () => {
    const key = await accounting.createKey('plain', { ttl_seconds: 1 });
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect((await accounting.admin('GET', `/admin/v1/keys/${key.id}`)).body.status).toBe('expired');
    expect((await accounting.hold(key, `${key.id}-late`, 1n)).code).toBe('invalid');
  });

  it.each(['', '/transfers'])('answers 404 for GET of an unknown one%s', async (path) => {
    for (const id of ['key_00000000000000000000', 'nonsense', "key_'; --"]) {
      expect((await accounting.admin('GET', `/admin/v1/keys/${encodeURIComponent(id)}${path}`)).status).toBe(404);
    }
  });

  it.each(['suspend', 'reinstate', 'revoke', 'rotate'])('answers 404 to %s for an unknown one', async (verb) => {
    expect((await accounting.admin('POST', `/admin/v1/keys/key_00000000000000000000/${verb}`)).status).toBe(404);
  });
});

describe('GET /admin/v1/keys/:id/transfers', () => {
  it('lists every booking, newest first, by pages', async () => {
    const key = await accounting.createKey('plain', { budget_usd: '1' });
    await accounting.call(key, `${key.id}-1`, 300_000_000n, 100_000_450n);
    await accounting.admin('PATCH', `/admin/v1/keys/${key.id}`, { budget_usd: '0.5' });
    await accounting.drained();
    const first = await accounting.admin('GET', `/admin/v1/keys/${key.id}/transfers?limit=3`);
    const rest = await accounting.admin(
      'GET',
      `/admin/v1/keys/${key.id}/transfers?limit=3&cursor=${first.body.next_cursor}`,
    );
    const all = [...first.body.data, ...rest.body.data];
    expect(rest.body.next_cursor).toBeNull();
    expect(all.map(({ id, amount_usd }) => [id, amount_usd])).toEqual([
      [`return:${key.id}:2`, '-0.50'],
      // The hold and the end may share a millisecond. Then their ids order them.
      [`${key.id}-1:${all[1].kind === 'hold' ? 'hold' : 'end'}`, all[1].kind === 'hold' ? '-0.30' : '0.19999955'],
      [`${key.id}-1:${all[1].kind === 'hold' ? 'end' : 'hold'}`, all[1].kind === 'hold' ? '0.19999955' : '-0.30'],
      [`grant:${key.id}:0`, '1.00'],
    ]);
    expect(all.find(({ kind }) => kind === 'post')).toMatchObject({
      request_id: `${key.id}-1`,
      entries: [
        { account: 'inflight', amount_usd: '-0.30' },
        { account: `key:${key.id}`, amount_usd: '0.19999955' },
        { account: 'upstream:openai', amount_usd: '0.10000045' },
      ],
    });
    expect(all.find(({ kind }) => kind === 'hold').detail).toEqual({ model: 'gpt-5.4-mini' });
  });
});
