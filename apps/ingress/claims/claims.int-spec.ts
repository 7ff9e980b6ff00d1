import 'reflect-metadata';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { solveChallenge, type Challenge } from 'altcha-lib';
import { deriveKey } from 'altcha-lib/algorithms/pbkdf2';
import type { InjectOptions } from 'fastify';
import { randomBytes } from 'node:crypto';
import { loadConfig, type DaypassConfig } from '#libs/config/config.js';
import type { ClaimAnswer, DeskPayload, LinkState, LinkView } from '#libs/contracts/claims.js';
import type { ErrorBody } from '#libs/contracts/errors.js';
import { Door } from '#libs/holds/door.js';
import { Money } from '#libs/holds/money.fixture.js';
import { redisKeys } from '#libs/redis/keys.js';
import { hashCode } from '#libs/secrets/claim-code.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { hashVirtualKey, isWellFormed } from '#libs/secrets/virtual-key.js';
import { createLogger } from '#libs/service/logger.js';
import { createRegistry } from '#libs/service/ops-server.js';
import { until } from '#libs/testing/until.js';
import { FakeDesk } from '../desk/desk.fixture.js';
import { createIngress } from '../ingress.app.js';
import { LinkViews } from './link.views.js';
import { MAILS_PER_HOUR, MAILS_PER_HOUR_OF_NETWORK } from './mail.store.js';

let money: Money;
let config: DaypassConfig;
let app: NestFastifyApplication;
let desk: FakeDesk;
const logged: string[] = [];
beforeAll(async () => {
  money = await Money.start();
  config = loadConfig('ingress', {
    REDIS_URL: money.url,
    DAYPASS_SECRET: 'a secret that only tests know, long enough',
    DAYPASS_PROXY_HOPS: '1',
    DAYPASS_MAIL_FROM: 'Acme <try@acme.example>',
  });
  const logger = createLogger('ingress', 'info', { write: (line: string) => void logged.push(line) });
  app = await createIngress(config, logger, createRegistry('ingress'));
  await app.listen(0, '127.0.0.1');
  desk = new FakeDesk(money.url, money.redis, app.get(ContentBox));
});
afterAll(async () => {
  await desk?.close();
  await app?.close();
  await money?.stop();
});
beforeEach(async () => {
  await money.redis.flushall();
  await new Door(money.redis).set('open', 1);
  await money.campaign({ models: ['gpt-5.4-mini', 'nobody-knows'], retentionDays: 30 });
  await putLink();
  desk.asked.length = 0;
  desk.jobs.length = 0;
  desk.answers = granted;
  address = '198.51.100.1';
});

const TOKEN = 'k7F3aB9xQ2Lm';
const LIMITS = { rpm: 20, tpm: 0, concurrent: 0, bytes_per_hour: 0 };
let address: string;

function linkOf(changes: Partial<LinkState> = {}): LinkState {
  const page = { title: 'Try Acme', text: 'Paste a key.', logo: null, project_url: null, contact: 'a@acme.example' };
  return {
    ...{ id: 'lnk_1', token: TOKEN, version: 1, campaign: 'c', slug: 'demo', status: 'open', gates: ['pow'] },
    ...{ github: { min_account_age_days: 30 }, email: { domains: [] }, waitlist: false },
    key: { budget_usd: '0.50', ttl_seconds: 86_400, limits: LIMITS, models: null },
    ...{ max_claims: 100, claimed: 37, starts_ms: 0, expires_ms: 0, per_ip_per_day: 3, claims_per_hour: 100 },
    ...{ origins: ['https://acme.example'], redirect_uris: ['https://acme.example/start', 'http://localhost:*'] },
    budget_gone: false,
    page: { ...page, open_url: 'https://acme.example/start', privacy_url: null, snippet: null },
    ...changes,
  };
}
const putLink = (changes: Partial<LinkState> = {}) =>
  money.redis.set(redisKeys.link(changes.token ?? TOKEN), JSON.stringify(linkOf(changes)));

/** As accounting answers: it remembers each claim by its name. */
const booked = new Map<string, string>();
function granted(payload: DeskPayload) {
  if (payload.kind !== 'claim') throw new Error(`asked for ${payload.kind}`);
  const prefix = booked.get(payload.claim);
  if (prefix === undefined) booked.set(payload.claim, payload.prefix);
  const terms = {
    campaign: 'demo',
    budget_usd: '0.50',
    expires_at: null,
    models: ['gpt-5.4-mini'],
    limits: LIMITS,
  };
  return {
    ok: true as const,
    data: { id: 'key_1', prefix: prefix ?? payload.prefix, ...terms, repeated: prefix !== undefined },
  };
}

type Answer<T> = { status: number; headers: Record<string, unknown>; body: { data: T } & Partial<ErrorBody> };
async function ask<T>(
  method: 'GET' | 'HEAD' | 'POST' | 'OPTIONS',
  path = '',
  more: InjectOptions = {},
): Promise<Answer<T>> {
  const url = path.startsWith('/') ? path : `/claim/v1/links/${path || TOKEN}`;
  const headers = { 'x-forwarded-for': `6.6.6.6, ${address}`, ...more.headers };
  const answer = await app
    .getHttpAdapter()
    .getInstance()
    .inject({ method, url, ...more, headers });
  return {
    status: answer.statusCode,
    headers: answer.headers,
    body: answer.body === '' ? {} : JSON.parse(answer.body),
  } as Answer<T>;
}
const view = async (token = TOKEN, more: InjectOptions = {}) => (await ask<LinkView>('GET', token, more)).body.data;
const newName = (): string => randomBytes(16).toString('hex');
async function solved(challenge: unknown) {
  const given = challenge as Challenge;
  return { challenge: given, solution: await solveChallenge({ challenge: given, deriveKey }) };
}
const proof = async (token = TOKEN) => solved((await view(token)).challenge);
async function claim(
  { name = newName(), token = TOKEN, headers = {} }: { name?: string | null; token?: string; headers?: object } = {},
  payload?: object,
): Promise<Answer<ClaimAnswer>> {
  return ask<ClaimAnswer>('POST', `/claim/v1/links/${token}/claims`, {
    headers: { ...(name === null ? {} : { 'idempotency-key': name }), ...headers },
    payload: payload ?? { pow: await proof(token) },
  });
}
/** Its details are those beside the address of its explanation, which each error has. */
const fault = ({ status, body: { error } }: Answer<unknown>) => {
  const { help, ...details } = error?.daypass ?? {};
  if (error) expect(help).toMatch(new RegExp(`^http://localhost:\\d+/help#${error.code}$`));
  return [status, error?.code, Object.keys(details).length === 0 ? undefined : details];
};
/** All of Redis, without the queue's own bookkeeping, and what the service says of itself every second. */
async function everythingInRedis(): Promise<Record<string, string>> {
  const ofService = ['{dp}:queue:', redisKeys.processes, redisKeys.statsPrefix];
  const all = await money.redis.keys('*');
  const names = all.filter((name) => !ofService.some((prefix) => name.startsWith(prefix))).toSorted();
  const dumps = await Promise.all(names.map((name) => money.redis.dumpBuffer(name)));
  return Object.fromEntries(names.map((name, at) => [name, dumps[at]!.toString('latin1')]));
}

describe('a claim link', () => {
  it('says what its keys get, where calls go, and what is recorded', async () => {
    const { status, headers, body } = await ask<LinkView>('GET', TOKEN, { headers: { host: '192.168.1.5:8080' } });
    expect([status, headers['cache-control']]).toEqual([200, 'no-store']);
    const { challenge, ...rest } = body.data;
    expect(rest).toEqual({
      ...{ state: 'open', token: TOKEN, campaign: 'demo', page: linkOf().page, gates: ['pow'], key: linkOf().key },
      // The other model has no price.
      ...{ models: ['gpt-5.4-mini'], short_chats: expect.any(Number), left: 63, max_claims: 100 },
      ...{ github: { min_account_age_days: 30 }, email: { domains: [] }, signed_in: null, waitlist: false },
      ...{ starts_at: null, expires_at: null, base_url: 'http://192.168.1.5:8080/v1' },
      recorded: { input: 'gate', output: 'gate', retention_days: 30 },
      app: null,
    });
    expect(await app.get(LinkViews).view(TOKEN)).toMatchObject({
      challenge: null,
      base_url: 'http://localhost:8080/v1',
    });
    expect(challenge).toMatchObject({ parameters: { data: { link: TOKEN, step: 0 } }, signature: expect.any(String) });
  });

  it.each([
    ['paused', { status: 'paused' }],
    ['ended', { status: 'closed' }],
    ['ended', { campaign: 'gone' }],
    ['not_started', { starts_ms: 9e12 }],
    ['exhausted', { claimed: 100 }],
    ['budget_gone', { budget_gone: true }],
  ] as const)('is %s, without a challenge: %o', async (state, changes) => {
    await putLink(changes as Partial<LinkState>);
    expect(await view()).toMatchObject({ state, challenge: null });
  });

  it('is shown while the door is shut, and while accounting mends Redis', async () => {
    await money.redis.set(redisKeys.doorSwitch, 'shut');
    expect(await view()).toMatchObject({ state: 'door_shut', challenge: null, page: { title: 'Try Acme' } });
    await money.redis.del(redisKeys.doorSwitch);
    await new Door(money.redis).set('settling', 1);
    expect(await view()).toMatchObject({ state: 'recovering', challenge: null });
    await money.redis.del(redisKeys.campaign('c'));
    expect(await view()).toMatchObject({ state: 'recovering' });
    // Nobody knows yet whether there is such a link.
    expect(fault(await ask('GET', 'unknown12345'))).toEqual([503, 'recovering', undefined]);
    await expect(app.get(LinkViews).view('unknown12345')).rejects.toMatchObject({ code: 'recovering' });
  });

  it('that does not exist costs nothing, and 60 of them are enough for one address', async () => {
    expect(await app.get(LinkViews).view('unknown12345')).toBeNull();
    address = '198.51.100.60';
    for (let n = 0; n < 30; n++) {
      expect(fault(await ask('GET', `guess${n}xxxxxxx`))).toEqual([404, 'link_unknown', undefined]);
      expect(fault(await claim({ token: `guess${n}xxxxxxx` }, {}))).toEqual([404, 'link_unknown', undefined]);
    }
    const refused = await ask('GET', 'guess61xxxxxx');
    expect(fault(refused)).toEqual([429, 'claim_rate_limited', { limit: 'links' }]);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(3_500);
    // Whoever guesses does not learn either which link exists.
    expect(fault(await ask('GET'))).toEqual([429, 'claim_rate_limited', { limit: 'links' }]);
    expect(fault(await claim({}, {}))).toEqual([429, 'claim_rate_limited', { limit: 'links' }]);
    address = '198.51.100.61';
    expect(await view()).toMatchObject({ state: 'open' });
    expect(desk.asked).toEqual([]);
  });

  it('that does not exist is told of 60 times, also where the guesses come at once', async () => {
    address = '198.51.100.62';
    const answers = await Promise.all(Array.from({ length: 80 }, (_, n) => ask('GET', `guess${n}xxxxxxx`)));
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 404)).toHaveLength(60);
    expect(statuses.filter((status) => status === 429)).toHaveLength(20);
  });

  it('is only looked at: whoever opens, prefetches or unfurls it writes nothing, and gets no key (K5)', async () => {
    const before = await everythingInRedis();
    const agents = [
      'Slackbot-LinkExpanding 1.0',
      'facebookexternalhit/1.1',
      'WhatsApp/2.23',
      'Mozilla/5.0 Outlook SafeLinks',
    ];
    for (const agent of agents) {
      for (const method of ['GET', 'HEAD'] as const) {
        for (const path of ['', `/claim/v1/links/${TOKEN}/claims`]) {
          for (const purpose of ['prefetch', 'prefetch;prerender']) {
            const headers = { 'user-agent': agent, 'sec-purpose': purpose, 'idempotency-key': newName() };
            expect((await ask(method, path, { headers })).status).toBe(path === '' ? 200 : 404);
          }
        }
      }
    }
    expect(desk.asked).toEqual([]);
    expect(await everythingInRedis()).toEqual(before);
  });

  it('counts people who open it, in the minute’s numbers', async () => {
    const browser = { accept: 'text/html', 'user-agent': 'Mozilla/5.0 Chrome/156' };
    const page = (headers: Record<string, string>, method = 'GET') =>
      app.get(LinkViews).view(TOKEN, { request: { method, headers, raw: { socket: {} } } as never, as: 'page' });
    await Promise.all([page(browser), page(browser), page(browser, 'HEAD'), page({ ...browser, 'user-agent': 'bot' })]);
    const opened = async () => {
      const stats = await money.redis.keys(redisKeys.stats('*'));
      const counts = await Promise.all(stats.map((name) => money.redis.hget(name, 'opened:lnk_1')));
      return counts.reduce((sum, count) => sum + Number(count ?? 0), 0);
    };
    await until('two opens', async () => (await opened()) === 2);
    const [stats] = await money.redis.keys(redisKeys.stats('*'));
    expect(await money.redis.ttl(stats!)).toBeGreaterThan(7_000);
  });
});

describe('a claim', () => {
  it('gets a key that accounting never sees, and that lies nowhere in the open (K4)', async () => {
    const { status, headers, body } = await claim({ headers: { host: '192.168.1.5:8080' } });
    expect([status, headers['cache-control']]).toEqual([201, 'no-store']);
    const { key } = body.data;
    expect(isWellFormed(key)).toBe(true);
    expect(body.data).toEqual({
      ...{ key, id: 'key_1', prefix: key.slice(0, 9), campaign: 'demo', budget_usd: '0.50', expires_at: null },
      ...{ base_url: 'http://192.168.1.5:8080/v1', models: ['gpt-5.4-mini'], limits: LIMITS },
      open_url: 'https://acme.example/start',
    });
    expect(desk.asked).toEqual([
      {
        ...{
          kind: 'claim',
          claim: expect.stringMatching(/^[\w-]{43}$/),
          link: 'lnk_1',
          code_hash: null,
          identity: null,
        },
        token_hash: hashVirtualKey(key, config.secrets.tokenPepper),
        ...{ prefix: key.slice(0, 9), ip_tag: expect.stringMatching(/^[\w-]{22}$/) },
      },
    ]);
    expect(JSON.parse(desk.jobs[0]!)).toEqual([
      'desk',
      { id: expect.stringMatching(/^req_/), replyTo: expect.any(String) },
    ]);
    const seen = [
      ...Object.entries(await everythingInRedis()).flat(),
      ...desk.jobs,
      JSON.stringify(desk.asked),
      ...logged,
    ];
    for (const secret of [key, key.slice(9), address]) expect(seen.filter((text) => text.includes(secret))).toEqual([]);
  });

  it('has no address to open while nobody exchanges one-time codes', async () => {
    await putLink({ page: { ...linkOf().page, open_url: 'https://acme.example/#daypass={code}' } });
    expect((await claim()).body.data.open_url).toBeNull();
  });

  it('under the same Idempotency-Key gets the same key, whatever became of link and challenge', async () => {
    const name = newName();
    const first = await claim({ name });
    await putLink({ claimed: 100 });
    const again = await claim({ name }, {});
    expect([again.status, again.body.data.key]).toEqual([201, first.body.data.key]);
    expect(desk.asked).toHaveLength(2);
    expect(desk.asked[1]).toEqual(desk.asked[0]);
    // Another link knows nothing of that name.
    await putLink({ token: 'other-link', id: 'lnk_2' });
    expect((await claim({ name, token: 'other-link' })).body.data.key).not.toBe(first.body.data.key);
  });

  it('that Redis forgot is told, rather than answered with a key that opens nothing', async () => {
    const name = newName();
    const { prefix } = (await claim({ name })).body.data;
    await money.redis.del(...(await money.redis.keys(redisKeys.claim('*'))));
    expect(fault(await claim({ name }))).toEqual([409, 'already_claimed', { prefix, replaceable: false }]);
  });

  it('may be repeated 20 times in ten minutes', async () => {
    const name = newName();
    const payload = { pow: await proof() };
    for (let n = 0; n <= 20; n++) expect((await claim({ name }, payload)).status).toBe(201);
    const refused = await claim({ name }, payload);
    expect(fault(refused)).toEqual([429, 'claim_rate_limited', { limit: 'repeats' }]);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(500);
  });

  it.each([
    ['no name', null],
    ['a name of less than 128 bits', 'x'.repeat(21)],
    ['a name that is too long', 'x'.repeat(256)],
  ])('with %s is refused', async (_, name) => {
    const { status, body } = await claim({ name }, {});
    expect([status, body.error?.code, body.error?.param]).toEqual([400, 'invalid_request', 'idempotency-key']);
  });

  it.each([
    ['a body beyond 4 kB', { payload: JSON.stringify({ code: 'x'.repeat(4_096) }) }, 413, 'request_too_large'],
    ['no JSON', { payload: '{' }, 400, 'invalid_json'],
    ['bytes that are no text', { payload: Buffer.from([0x22, 0xff, 0x22]) }, 400, 'invalid_json'],
    ['an unknown field', { payload: '{"key":1}' }, 400, 'invalid_request'],
    ['a form', { payload: 'code=1', type: 'application/x-www-form-urlencoded' }, 415, 'unsupported_content_type'],
    ['plain text, as another page may send it', { payload: '{}', type: 'text/plain' }, 415, 'unsupported_content_type'],
    ['a compressed body', { payload: '{}', encoding: 'gzip' }, 415, 'unsupported_content_type'],
  ] as const)('with %s is refused', async (_, sent, status, code) => {
    const headers = {
      ...{ 'idempotency-key': newName(), 'content-type': 'type' in sent ? sent.type : 'application/json' },
      ...('encoding' in sent ? { 'content-encoding': sent.encoding } : {}),
    };
    const answer = await ask('POST', `/claim/v1/links/${TOKEN}/claims`, { headers, payload: sent.payload });
    expect([answer.status, answer.body.error?.code]).toEqual([status, code]);
    expect(desk.asked).toEqual([]);
  });

  it.each([
    ['another port of this machine', { origin: 'http://localhost:8081', 'sec-fetch-site': 'same-site' }],
    ['another port, without a secure context', { origin: 'http://localhost:8081' }],
    ['a page elsewhere', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }],
    ['a sandboxed page', { origin: 'null', 'sec-fetch-site': 'cross-site' }],
  ])('from %s is refused, and books nothing', async (_, headers) => {
    expect(fault(await claim({ headers: { host: 'localhost:8080', ...headers } }))).toEqual([
      403,
      'origin_not_allowed',
      undefined,
    ]);
    expect(desk.asked).toEqual([]);
  });

  it('from the own page, and from a page of the link’s origins, is taken', async () => {
    const own = { host: 'localhost:8080', origin: 'http://localhost:8080' };
    expect((await claim({ headers: own })).status).toBe(201);
    const listed = { origin: 'https://acme.example', 'sec-fetch-site': 'cross-site' };
    const { status, headers } = await claim({ headers: listed });
    expect([status, headers['access-control-allow-origin']]).toEqual([201, 'https://acme.example']);
    expect(headers).toMatchObject({ vary: 'origin' });
    expect(headers).not.toHaveProperty('access-control-allow-credentials');
  });

  it('is let through a preflight from the link’s origins alone, and read from nowhere else', async () => {
    const preflight = (origin: string, path = `${TOKEN}/claims`) =>
      ask('OPTIONS', path, {
        headers: {
          ...{ origin, host: 'try.example', 'sec-fetch-site': 'cross-site' },
          ...{ 'access-control-request-method': 'POST', 'access-control-request-headers': 'idempotency-key' },
        },
      });
    const listed = await preflight('https://acme.example');
    expect(listed).toMatchObject({
      status: 204,
      headers: {
        'access-control-allow-origin': 'https://acme.example',
        'access-control-allow-headers': 'idempotency-key',
        vary: 'origin',
      },
    });
    for (const refused of [
      await preflight('https://evil.example'),
      await preflight('https://evil.example', TOKEN),
      await preflight('null'),
      await preflight('https://acme.example', 'nobodyKnowsIt/claims'),
    ]) {
      expect(refused.status).toBeGreaterThanOrEqual(400);
      expect(refused.headers).not.toHaveProperty('access-control-allow-origin');
    }
    const looks = (origin: string) => ask('GET', TOKEN, { headers: { origin, 'sec-fetch-site': 'cross-site' } });
    const seen = await looks('https://acme.example');
    expect([seen.status, seen.headers['access-control-allow-origin']]).toEqual([200, 'https://acme.example']);
    // Who wrote the page reads why.
    const unseen = await looks('https://evil.example');
    expect([...fault(unseen), unseen.headers['access-control-allow-origin']]).toEqual([
      ...[403, 'origin_not_allowed', undefined],
      '*',
    ]);
    expect(JSON.stringify(unseen.body)).not.toContain('challenge');
  });

  it.each([
    [403, 'link_paused', undefined, { status: 'paused' }],
    [410, 'link_ended', undefined, { status: 'closed' }],
    [403, 'link_not_started', { starts_at: '2255-03-14T16:00:00.000Z' }, { starts_ms: 9e12 }],
    [409, 'claims_exhausted', { why: 'claims', waitlist: false }, { claimed: 100 }],
    [409, 'claims_exhausted', { why: 'budget', waitlist: true }, { budget_gone: true, waitlist: true }],
    // Nobody set up what its gate needs.
    [403, 'link_paused', undefined, { gates: ['github'] }],
  ] as const)('of a link that takes none is %i %s %o', async (status, code, details, changes) => {
    const payload = { pow: await proof() };
    await putLink(changes as Partial<LinkState>);
    expect(fault(await claim({}, payload))).toEqual([status, code, details]);
    expect(desk.asked).toEqual([]);
  });

  it('waits while the door is shut, and while accounting mends Redis', async () => {
    const payload = { pow: await proof() };
    await money.redis.set(redisKeys.doorSwitch, 'shut');
    const refused = await claim({}, payload);
    expect([...fault(refused), refused.headers['retry-after']]).toEqual([503, 'paused', undefined, '30']);
    await money.redis.del(redisKeys.doorSwitch);
    await new Door(money.redis).set('settling', 1);
    expect(fault(await claim({}, payload))).toEqual([503, 'recovering', undefined]);
    await new Door(money.redis).set('open', 1);
    const name = newName();
    expect((await claim({ name }, payload)).status).toBe(201);
    // A repeat has passed all that looks at the link.
    await money.redis.set(redisKeys.doorSwitch, 'shut');
    expect(fault(await claim({ name }, payload))).toEqual([503, 'paused', undefined]);
  });
});

describe('the proof of work of a claim', () => {
  it('is asked for, with a new challenge that a page can go on with', async () => {
    const refused = await claim({}, {});
    expect(fault(refused)).toEqual([400, 'pow_invalid', { why: 'missing', challenge: expect.any(Object) }]);
    const { challenge } = refused.body.error!.daypass as { challenge: unknown };
    expect((await claim({}, { pow: await solved(challenge) })).status).toBe(201);
  });

  it('serves one claim only, and its repeats', async () => {
    const [name, payload] = [newName(), { pow: await proof() }];
    expect((await claim({ name }, payload)).status).toBe(201);
    expect(fault(await claim({}, payload))).toEqual([
      400,
      'pow_invalid',
      { why: 'used', challenge: expect.any(Object) },
    ]);
    expect((await claim({ name }, payload)).status).toBe(201);
    const many = await Promise.all(Array.from({ length: 5 }, () => proof()).map(async (one) => ({ pow: await one })));
    await putLink({ per_ip_per_day: 0 });
    const twice = await Promise.all([...many, ...many].map((one) => claim({}, one)));
    expect(twice.filter(({ status }) => status === 201)).toHaveLength(5);
  });

  it('becomes dearer with the claims of the campaign, until it takes none within the hour', async () => {
    await putLink({ claims_per_hour: 2, per_ip_per_day: 0 });
    const steps: unknown[] = [];
    const early = await Promise.all([proof(), proof(), proof(), proof(), proof()]);
    for (const [at, pow] of early.entries()) {
      const { challenge } = await view();
      steps.push((challenge as unknown as Challenge).parameters.data?.step);
      const taken = await claim({}, { pow: at < 3 ? pow : await solved(challenge) });
      if (at < 4) expect(taken.status).toBe(201);
      else {
        expect(fault(taken)).toEqual([429, 'claim_rate_limited', { limit: 'campaign' }]);
        const seconds = Number(taken.headers['retry-after']);
        expect(seconds).toBeGreaterThan(3_400);
        expect(seconds).toBeLessThanOrEqual(3_600);
      }
    }
    expect(steps).toEqual([0, 0, 1, 2, 2]);
    // Solved in advance, before the brake.
    expect(fault(await claim({}, { pow: early[4] }))).toEqual([
      400,
      'pow_invalid',
      { why: 'too_easy', challenge: expect.any(Object) },
    ]);
  });
});

describe('the windows of claims', () => {
  it('bound what one address gets of a link in a day, by the address that the outermost proxy saw', async () => {
    for (let n = 0; n < 3; n++) expect((await claim()).status).toBe(201);
    const refused = await claim({ headers: { 'x-forwarded-for': `203.0.113.77, ${address}` } });
    expect(fault(refused)).toEqual([429, 'claim_rate_limited', { limit: 'address' }]);
    expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(86_400);
    address = '198.51.100.2';
    expect((await claim()).status).toBe(201);
    address = '2001:db8:1:2::1';
    for (let n = 0; n < 3; n++) expect((await claim()).status).toBe(201);
    address = '2001:db8:1:2:ffff::9';
    expect(fault(await claim())).toEqual([429, 'claim_rate_limited', { limit: 'address' }]);
    await putLink({ per_ip_per_day: 0 });
    expect((await claim()).status).toBe(201);
  });

  it('let exactly as many in as they may, however many come at once', async () => {
    await putLink({ claims_per_hour: 5, per_ip_per_day: 4 });
    const proofs = await Promise.all(Array.from({ length: 12 }, () => proof()));
    const statuses = async () =>
      (await Promise.all(proofs.map((pow) => claim({}, { pow })))).map(({ status }) => status);
    expect((await statuses()).filter((status) => status === 201)).toHaveLength(4);
    address = '198.51.100.3';
    await putLink({ claims_per_hour: 5, per_ip_per_day: 0 });
    const others = await Promise.all(Array.from({ length: 12 }, () => proof()));
    const answers = await Promise.all(
      others.map(async (pow) => {
        const answer = await claim({}, { pow });
        // Past the brake its proof is too easy.
        return answer.status === 400 ? claim({}, { pow: await proof() }) : answer;
      }),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(6);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201, 429]));
  });

  it('count nothing of a claim that accounting refuses', async () => {
    await putLink({ per_ip_per_day: 1, claims_per_hour: 1 });
    desk.answers = () => ({ ok: false, code: 'claim_refused', message: 'Not you.', details: { contact: 'x' } });
    for (let n = 0; n < 4; n++) expect(fault(await claim())).toEqual([403, 'claim_refused', { contact: 'x' }]);
    desk.answers = granted;
    expect((await claim()).status).toBe(201);
    expect(fault(await claim())).toEqual([429, 'claim_rate_limited', { limit: 'address' }]);
  });
});

describe('the one-time code of a claim', () => {
  const CODE = '7K3M9QX2HV4T';
  const wrong = { ok: false as const, code: 'code_invalid', message: 'No such code.' };
  beforeEach(async () => {
    await putLink({ gates: ['code'] });
    desk.answers = (payload) =>
      payload.kind === 'claim' && payload.code_hash === hashCode(CODE, config.secrets.codePepper)
        ? granted(payload)
        : wrong;
  });

  it('is asked for, is read as people type it, and needs no proof of work', async () => {
    expect(await view()).toMatchObject({ gates: ['code'], challenge: null });
    for (const payload of [{}, { code: 'short' }])
      expect(fault(await claim({}, payload))).toEqual([403, 'code_invalid', { why: 'form' }]);
    expect(desk.asked).toEqual([]);
    expect((await claim({}, { code: ' 7k3m-9qx2-hv4t ' })).status).toBe(201);
    expect(JSON.stringify(desk.asked)).not.toContain(CODE);
  });

  it('may be guessed ten times an hour by one address, also under one Idempotency-Key', async () => {
    const name = newName();
    for (let n = 1; n <= 10; n++) {
      const code = `00000000000${n % 10}`;
      const tries = { tries_left: 10 - n };
      expect(fault(await claim(n % 2 === 0 ? { name } : {}, { code }))).toEqual([403, 'code_invalid', tries]);
    }
    const refused = await claim({}, { code: CODE });
    expect(fault(refused)).toEqual([429, 'claim_rate_limited', { limit: 'guesses' }]);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(3_500);
    expect(desk.asked).toHaveLength(10);
    address = '198.51.100.4';
    expect((await claim({}, { code: CODE })).status).toBe(201);
  });

  it('that was wrong may be corrected under the same Idempotency-Key', async () => {
    const name = newName();
    await claim({ name }, { code: '000000000000' });
    expect((await claim({ name }, { code: CODE })).status).toBe(201);
  });
});

describe('a claim without accounting', () => {
  it('is 503 after 8 s and holds up no other of its link, and the same Idempotency-Key then gets the one key', async () => {
    const [name, payload] = [newName(), { pow: await proof() }];
    let asks = 0;
    desk.answers = (asked) => (++asks === 1 ? null : granted(asked));
    const begun = performance.now();
    const unanswered = claim({ name }, payload);
    await until('accounting is asked', () => asks === 1);
    expect((await claim()).status).toBe(201);
    expect(performance.now() - begun).toBeLessThan(7_500);
    desk.asked.splice(1);
    expect(fault(await unanswered)).toEqual([503, 'recovering', undefined]);
    expect(performance.now() - begun).toBeGreaterThan(7_500);
    desk.answers = granted;
    const { status, body } = await claim({ name }, payload);
    expect([status, body.data.prefix]).toEqual([201, body.data.key.slice(0, 9)]);
    expect(new Set(desk.asked.map((asked) => asked.kind === 'claim' && asked.token_hash)).size).toBe(1);
  });

  it('is 503 at once where 200 questions wait', async () => {
    await desk.pause();
    try {
      const waiting = Array.from({ length: 200 }, (_, at) => `wait-${at}`);
      await money.redis.lpush('{dp}:queue:desk:wait', ...waiting);
      const refused = await claim();
      expect([...fault(refused), refused.headers['retry-after']]).toEqual([503, 'overloaded', undefined, '5']);
      expect(refused.headers['x-should-retry']).toBe('true');
    } finally {
      await money.redis.del('{dp}:queue:desk:wait');
      await desk.resume();
    }
  });

  it('says that accounting is wrong where its answer has an unknown code', async () => {
    desk.answers = () => ({ ok: false, code: 'nobody_knows', message: 'x' });
    expect(fault(await claim())).toEqual([500, 'internal_error', undefined]);
  });
});

describe('a link that asks for an address', () => {
  const email = (address = 'jane@acme.example') =>
    ask<{ minutes: number }>('POST', `/claim/v1/links/${TOKEN}/email`, { payload: { email: address } });
  beforeEach(async () => {
    await putLink({ gates: ['email'] });
    desk.answers = (payload) => (payload.kind === 'claim' ? granted(payload) : { ok: true, data: {} });
  });

  it('counts each request for its network and in all, also those that bring no mail', async () => {
    await putLink({ gates: ['email'], email: { domains: ['elsewhere.example'] } });
    const statuses: number[] = [];
    for (let n = 0; n <= MAILS_PER_HOUR_OF_NETWORK; n++) statuses.push((await email()).status);
    expect(statuses.slice(0, -1).every((status) => status === 202)).toBe(true);
    address = '198.51.100.2';
    expect((await email()).status).toBe(202);
    address = '198.51.100.1';
    expect(fault(await email('joe@elsewhere.example'))).toEqual([429, 'claim_rate_limited', { limit: 'mails' }]);
    for (let n = MAILS_PER_HOUR_OF_NETWORK + 1; n < MAILS_PER_HOUR; n++) {
      address = `198.51.101.${n}`;
      expect((await email()).status).toBe(202);
    }
    address = '198.51.100.3';
    const refused = await email('joe@elsewhere.example');
    expect(fault(refused)).toEqual([429, 'claim_rate_limited', { limit: 'all_mails' }]);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(60);
    expect(desk.asked).toEqual([]);
  });

  it('keeps address and digits out of Redis, of jobs and of the log', async () => {
    expect((await email('jane.roe@acme.example')).status).toBe(202);
    await until('the mail is asked for', () => desk.asked.length === 1);
    const [asked] = desk.asked;
    const code = asked!.kind === 'mail.code' ? asked!.code : '';
    expect(asked).toMatchObject({ to: 'jane.roe@acme.example', title: 'Try Acme', minutes: 15 });
    expect(code).toMatch(/^\d{6}$/);
    const kept = JSON.stringify([await everythingInRedis(), desk.jobs, logged]);
    for (const secret of ['jane.roe', code]) expect(kept).not.toContain(secret);
    const cookie = ({ headers }: Answer<unknown>) => ([headers['set-cookie']].flat() as string[]).join();
    const claimed = await claim(
      {},
      { email: 'Jane.Roe+x@acme.example', email_code: `${code.slice(0, 3)} ${code.slice(3)}` },
    );
    expect(claimed.status).toBe(201);
    expect(cookie(claimed)).toMatch(/^daypass_claimant=[\w-]+; Max-Age=900; Path=\/claim; HttpOnly; SameSite=Lax$/i);
    const signedIn = await view(TOKEN, { headers: { cookie: cookie(claimed).split(';')[0]! } });
    expect(signedIn.signed_in).toEqual({ kind: 'email', label: 'Jane.Roe+x@acme.example' });
    const last = desk.asked.at(-1)!;
    expect(last.kind === 'claim' && last.identity).toMatchObject({ subject: 'email:jane.roe@acme.example' });
    const out = await ask('POST', '/claim/v1/sign-out', {
      headers: { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
    });
    expect(fault(out)).toEqual([403, 'origin_not_allowed', undefined]);
    expect(cookie(await ask('POST', '/claim/v1/sign-out'))).toMatch(/^daypass_claimant=; Max-Age=0/i);
  });

  it('lets ten wrong codes of one network through, whatever addresses they are for', async () => {
    const faults: unknown[] = [];
    for (let n = 0; n < 4; n++) await email(`jane${n}@acme.example`);
    await until('four mails', () => desk.asked.length === 4);
    const codes = desk.asked.map((asked) => (asked.kind === 'mail.code' ? asked.code : ''));
    const wrong = (n: number): string => (codes[n] === '000000' ? '000001' : '000000');
    for (let n = 0; n < 11; n++)
      faults.push(fault(await claim({}, { email: `jane${n % 4}@acme.example`, email_code: wrong(n % 4) })));
    expect(faults.slice(0, 10).every((one) => (one as string[])[1] === 'code_invalid')).toBe(true);
    expect(faults[10]).toEqual([429, 'claim_rate_limited', { limit: 'guesses' }]);
  });

  it('tells who may wait, and only where no key is left', async () => {
    const wait = () => ask('POST', `/claim/v1/links/${TOKEN}/waitlist`, { payload: { email: 'jane@acme.example' } });
    expect(fault(await wait())).toEqual([400, 'invalid_request', undefined]);
    await putLink({ claimed: 100 });
    expect(fault(await wait())).toEqual([409, 'claims_exhausted', { why: 'claims', waitlist: false }]);
    await putLink({ claimed: 100, waitlist: true });
    expect(await view()).toMatchObject({ state: 'exhausted', waitlist: true });
    expect((await wait()).status).toBe(202);
    expect(desk.asked).toMatchObject([{ kind: 'waitlist', identity: { subject: 'email:jane@acme.example' } }]);
  });
});
