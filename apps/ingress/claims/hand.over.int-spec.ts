import 'reflect-metadata';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createHash, randomBytes } from 'node:crypto';
import { loadConfig, type DaypassConfig } from '#libs/config/config.js';
import type { LinkState } from '#libs/contracts/claims.js';
import { Money } from '#libs/holds/money.fixture.js';
import { redisKeys } from '#libs/redis/keys.js';
import { createVirtualKey, hashVirtualKey } from '#libs/secrets/virtual-key.js';
import { createLogger } from '#libs/service/logger.js';
import { createRegistry } from '#libs/service/ops-server.js';
import { createIngress } from '../ingress.app.js';
import { HAND_OVERS_MOST, HAND_OVER_LIFE_MS } from './hand.over.store.js';

const TOKEN = 'k7F3aB9xQ2Lm';
const REDIRECT = 'http://localhost:3000/callback';
const verifier = randomBytes(32).toString('base64url');
const challenge = createHash('sha256').update(verifier).digest('base64url');
const APP = { redirect_uri: REDIRECT, code_challenge: challenge, code_challenge_method: 'S256', state: 'mine' };
const HOST = 'try.example';
const PAGE = { title: 'Try', text: '', logo: null, project_url: null, contact: null, privacy_url: null, snippet: null };

let money: Money;
let config: DaypassConfig;
let app: NestFastifyApplication;
let virtualKey: string;
const logged: string[] = [];
beforeAll(async () => {
  money = await Money.start();
  config = loadConfig('ingress', {
    REDIS_URL: money.url,
    DAYPASS_SECRET: 'a secret that only tests know, long enough',
  });
  const logger = createLogger('ingress', 'info', { write: (line: string) => void logged.push(line) });
  app = await createIngress(config, logger, createRegistry('ingress'));
  await app.listen(0, '127.0.0.1');
});
afterAll(async () => {
  await app?.close();
  await money?.stop();
});
beforeEach(async () => {
  await money.reset();
  await money.campaign({ models: ['gpt-5.4-mini'] });
  virtualKey = createVirtualKey();
  await money.key({
    tokenHash: hashVirtualKey(virtualKey, config.secrets.tokenPepper),
    expiresMs: Date.parse('2099-01-01T00:00:00Z'),
  });
  await putLink();
});

async function putLink(changes: Partial<LinkState> = {}): Promise<void> {
  const link: LinkState = {
    ...{ id: 'lnk_1', token: TOKEN, version: 1, campaign: 'c', slug: 'demo', status: 'open', gates: ['code'] },
    ...{ github: { min_account_age_days: 0 }, email: { domains: [] }, waitlist: false },
    key: { budget_usd: '0.50', ttl_seconds: null, limits: {}, models: null },
    ...{ max_claims: 100, claimed: 0, starts_ms: 0, expires_ms: 0, per_ip_per_day: 3, claims_per_hour: 100 },
    origins: ['https://app.example'],
    redirect_uris: ['http://localhost:*', 'https://other.example/start'],
    budget_gone: false,
    page: { ...PAGE, open_url: 'https://app.example/#daypass={code}' },
    ...changes,
  };
  await money.redis.set(redisKeys.link(link.token), JSON.stringify(link));
}

// The shape differs by route, and a test asserts what it needs of it.
// oxlint-disable-next-line typescript/no-explicit-any
type Answer = { status: number; headers: Record<string, unknown>; body: any };
async function post(url: string, payload: object, headers: Record<string, string> = {}): Promise<Answer> {
  const answer = await app
    .getHttpAdapter()
    .getInstance()
    .inject({ method: 'POST', url, payload, headers: { host: HOST, ...headers } });
  return { status: answer.statusCode, headers: answer.headers, body: JSON.parse(answer.body) };
}
const begin = (payload: object = {}, headers: Record<string, string> = {}): Promise<Answer> =>
  post('/v1/key/hand-over', { link: TOKEN, ...payload }, { authorization: `Bearer ${virtualKey}`, ...headers });
async function codeOf(payload: object = APP): Promise<string> {
  const { status, body } = await begin(payload);
  expect([status, body.error]).toEqual([200, undefined]);
  const url = new URL(body.data.url as string);
  return url.searchParams.get('code') ?? url.hash.replace('#daypass=', '');
}
const exchange = (payload: object, headers: Record<string, string> = {}): Promise<Answer> =>
  post('/claim/v1/token', payload, headers);
const refusal = ({ status, body }: Answer) => [status, body.error?.code, body.error?.daypass?.why];

describe('a key for an app', () => {
  it('comes by a code of the app’s address, and by the verifier, once', async () => {
    const { body } = await begin(APP);
    const url = new URL(body.data.url as string);
    expect([url.origin + url.pathname, url.searchParams.get('state')]).toEqual([REDIRECT, 'mine']);
    const code = url.searchParams.get('code')!;
    const { status, headers, body: answer } = await exchange({ code, code_verifier: verifier });
    expect([status, answer]).toEqual([
      200,
      { key: virtualKey, base_url: `http://${HOST}/v1`, expires_at: '2099-01-01T00:00:00.000Z' },
    ]);
    expect(headers['cache-control']).toBe('no-store');
    expect(headers).not.toHaveProperty('access-control-allow-origin');
    const again = await exchange({ code, code_verifier: verifier });
    expect(refusal(again)).toEqual([400, 'hand_over_invalid', 'used']);
    expect(again.body.error.message).toContain('exchanged before');
  });

  it('goes to one of many that send the code at once', async () => {
    const code = await codeOf();
    const answers = await Promise.all(Array.from({ length: 10 }, () => exchange({ code, code_verifier: verifier })));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    for (const answer of answers.filter(({ status }) => status !== 200))
      expect(refusal(answer)).toEqual([400, 'hand_over_invalid', 'used']);
  });

  it('does not go to whoever has no verifier or a wrong one, and such a request does not use the code up', async () => {
    const code = await codeOf();
    for (const wrong of [{}, { code_verifier: challenge }, { code_verifier: verifier.slice(1) }])
      expect(refusal(await exchange({ code, ...wrong }))).toEqual([400, 'hand_over_invalid', 'verifier']);
    expect(refusal(await exchange({ code: `${code.slice(1)}x`, code_verifier: verifier }))).toEqual([
      ...[400, 'hand_over_invalid'],
      'unknown',
    ]);
    expect((await exchange({ code, code_verifier: verifier, code_challenge_method: 'plain' })).status).toBe(400);
    expect((await exchange({ code, code_verifier: verifier, code_challenge_method: 'S256' })).status).toBe(200);
  });

  it('waits a minute in Redis, sealed, under a name that tells nothing', async () => {
    const code = await codeOf();
    const [name] = await money.redis.keys(redisKeys.handOver('*'));
    const lifeMs = await money.redis.pttl(name!);
    expect(lifeMs).toBeGreaterThan(0);
    expect(lifeMs).toBeLessThanOrEqual(HAND_OVER_LIFE_MS);
    const lies = `${name} ${await money.redis.get(name!)}`;
    for (const secret of [virtualKey, code, challenge]) expect(lies).not.toContain(secret);
    await money.redis.del(name!);
    expect(refusal(await exchange({ code, code_verifier: verifier }))).toEqual([400, 'hand_over_invalid', 'unknown']);
    for (const secret of [virtualKey.slice(9), code]) expect(logged.join('')).not.toContain(secret);
  });

  it.each([
    ['a foreign address', { redirect_uri: 'https://evil.example/' }, 403, 'redirect_not_allowed'],
    ['another path', { redirect_uri: 'https://other.example/' }, 403, 'redirect_not_allowed'],
    ['the method plain', { code_challenge_method: 'plain' }, 400, 'invalid_request'],
    ['no challenge', { code_challenge: undefined }, 400, 'invalid_request'],
    ['an unknown field', { key: 'x' }, 400, 'invalid_request'],
    ['an unknown link', { link: 'nobodyKnowsIt' }, 404, 'link_unknown'],
  ])('is not handed over with %s', async (_, changes, status, code) => {
    const answer = await begin({ ...APP, ...changes });
    expect([answer.status, answer.body.error?.code]).toEqual([status, code]);
    expect(await money.redis.keys(redisKeys.handOver('*'))).toEqual([]);
  });

  it('is handed over by the link’s own campaign, by Daypass’ own pages, and ten times a minute at most', async () => {
    await putLink({ token: 'other-campaign', campaign: 'd' });
    expect((await begin({ ...APP, link: 'other-campaign' })).body.error).toMatchObject({ param: 'link' });
    const foreign = { origin: 'https://app.example', 'sec-fetch-site': 'cross-site' };
    expect(refusal(await begin(APP, foreign))).toEqual([403, 'origin_not_allowed', undefined]);
    // Also where the campaign lets other pages call.
    await money.campaign({ origins: ['https://app.example'] });
    const own = { origin: `https://${HOST}`, 'sec-fetch-site': 'same-origin' };
    for (let count = 0; count < HAND_OVERS_MOST; count++) expect((await begin(APP, own)).status).toBe(200);
    const more = await begin(APP, own);
    expect([more.status, more.body.error.code, more.body.error.daypass]).toEqual([
      ...[429, 'claim_rate_limited'],
      expect.objectContaining({ limit: 'handOvers' }),
    ]);
    expect(Number(more.headers['retry-after'])).toBeGreaterThan(0);
  });

  it('is read by pages of the link’s origins and of the app’s own, and by no other', async () => {
    const from = (origin: string) => ({ origin, 'sec-fetch-site': 'cross-site' });
    const code = await codeOf();
    const foreign = await exchange({ code, code_verifier: verifier }, from('https://evil.example'));
    expect(refusal(foreign)).toEqual([403, 'origin_not_allowed', undefined]);
    for (const origin of ['http://localhost:3000', 'https://app.example']) {
      const { status, headers } = await exchange({ code: await codeOf(), code_verifier: verifier }, from(origin));
      expect([status, headers['access-control-allow-origin'], headers.vary]).toEqual([200, origin, 'origin']);
      expect(headers).not.toHaveProperty('access-control-allow-credentials');
    }
    expect((await exchange({ code, code_verifier: verifier })).status).toBe(200);
  });
});

describe('a key for the project', () => {
  it('comes by a code in the fragment, without a verifier, to a page of the project', async () => {
    const { body } = await begin();
    expect(body.data.url).toMatch(/^https:\/\/app\.example\/#daypass=[A-Za-z0-9_-]{43}$/);
    const code = String(body.data.url).split('=')[1]!;
    expect(refusal(await exchange({ code, code_verifier: verifier }))).toEqual([400, 'hand_over_invalid', 'verifier']);
    const { status, body: answer } = await exchange({ code }, { origin: 'https://app.example' });
    expect([status, answer.key]).toEqual([200, virtualKey]);
    expect(refusal(await exchange({ code }))).toEqual([400, 'hand_over_invalid', 'used']);
    await putLink({ token: 'no-project', page: { ...PAGE, open_url: 'https://app.example/' } });
    expect((await begin({ link: 'no-project' })).body.error).toMatchObject({ code: 'invalid_request' });
  });
});

describe('the page that an app sends its visitor to', () => {
  const open = (method: 'GET' | 'HEAD', query: object, more: Record<string, string> = {}) =>
    app
      .getHttpAdapter()
      .getInstance()
      .inject({
        method,
        url: `/c/${TOKEN}?${new URLSearchParams({ ...query } as Record<string, string>).toString()}`,
        headers: { host: HOST, accept: 'text/html', ...more },
      });

  it('says who asks, or why the app gets nothing, and keeps nothing whoever looks', async () => {
    const before = (await money.redis.keys('*')).filter((name) => !name.startsWith(redisKeys.statsPrefix));
    const stateOf = (html: string) =>
      JSON.parse(/<script type="application\/json" id="state">(.*?)<\/script>/s.exec(html)![1]!) as { app: object };
    expect(stateOf((await open('GET', APP)).body).app).toMatchObject({ name: 'localhost:3000', refusal: null });
    const foreign = await open('GET', { ...APP, redirect_uri: 'https://evil.example/' });
    expect(foreign.headers).not.toHaveProperty('location');
    expect(stateOf(foreign.body).app).toEqual({
      name: 'evil.example',
      refusal: expect.stringContaining("'redirect_uris'"),
      cancel_url: null,
    });
    await open('HEAD', APP);
    await open('GET', APP, { 'sec-purpose': 'prefetch;prerender' });
    await open('GET', APP, { 'user-agent': 'Slackbot-LinkExpanding 1.0' });
    const after = (await money.redis.keys('*')).filter((name) => !name.startsWith(redisKeys.statsPrefix));
    expect(after.filter((name) => !before.includes(name) && !name.startsWith(redisKeys.processes))).toEqual([]);
  });
});
