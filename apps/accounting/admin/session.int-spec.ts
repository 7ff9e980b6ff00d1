import { createHmac } from 'node:crypto';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { AccountingFixture } from '../accounting.fixture.js';

const TOKEN = 'admin-token-for-tests';
const JSON_TYPE = { 'content-type': 'application/json' };
const OWN = { 'sec-fetch-site': 'same-origin' };
const HOUR_MS = 3_600_000;

let accounting: AccountingFixture;
let port: string;
beforeAll(async () => {
  accounting = await AccountingFixture.start({ DAYPASS_CONSOLE_HOSTS: 'console.example.org, desk.lan' });
  port = new URL(await accounting.app.getUrl()).port;
});
afterAll(() => accounting.stop());
afterEach(() => void jest.restoreAllMocks());

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  // Answers are read as a client reads them: without types.
  // oxlint-disable-next-line typescript/no-explicit-any
  body: any;
}

/** As a browser or a stranger sends it: every header as given. */
function send(method: string, path: string, headers: Record<string, string> = {}, body?: unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = httpRequest(
      { host: '127.0.0.1', port, method, path: `/admin/v1${path}`, headers: { host: `localhost:${port}`, ...headers } },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.on('end', () =>
          resolve({
            status: answer.statusCode!,
            headers: answer.headers,
            body: text === '' ? null : (JSON.parse(text) as unknown),
          }),
        );
      },
    );
    asked.on('error', reject);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const signIn = (body: object, headers: Record<string, string> = {}): Promise<Answer> =>
  send('POST', '/session', { ...JSON_TYPE, ...headers }, body);

const cookieOf = ({ headers }: Answer): string => headers['set-cookie']![0]!.split(';')[0]!;

async function session(name = 'Ada'): Promise<{ cookie: string }> {
  const answer = await signIn({ token: TOKEN, name });
  expect(answer.status).toBe(204);
  return { cookie: cookieOf(answer) };
}

const later = (ms: number): void => {
  const now = Date.now() + ms;
  jest.spyOn(Date, 'now').mockReturnValue(now);
};

describe('a session of the console', () => {
  it('begins with the admin token and a name, in a cookie that no script and no other site gets', async () => {
    const answer = await signIn({ token: TOKEN, name: ' Ada Lovelace ' });
    expect([answer.status, answer.body]).toEqual([204, null]);
    const [cookie] = answer.headers['set-cookie']!;
    expect(cookie).toMatch(/^daypass_console_0=[\w-]+\.[\w%+/-]+; /);
    expect(cookie!.split('; ').slice(1).sort()).toEqual([
      expect.stringMatching(/^Expires=/),
      'HttpOnly',
      'Path=/admin',
      'SameSite=Strict',
    ]);
    const { status, body } = await send('GET', '/session', { cookie: cookieOf(answer) });
    expect([status, body.data.name]).toEqual([200, 'Ada Lovelace']);
    const left = Date.parse(body.data.expires_at) - Date.now();
    expect(left).toBeGreaterThan(11.9 * HOUR_MS);
    expect(left).toBeLessThanOrEqual(12 * HOUR_MS);
    expect((await send('GET', '/campaigns', { cookie: cookieOf(answer) })).status).toBe(200);
  });

  it('travels over TLS alone where the proxy before it speaks TLS', async () => {
    const answer = await signIn({ token: TOKEN, name: 'Ada' }, { 'x-forwarded-proto': 'https' });
    expect(answer.headers['set-cookie']![0]).toContain('; Secure');
  });

  it('lets nobody in without it, or with a wrong token', async () => {
    const attempts: Record<string, string>[] = [{}, { authorization: 'Bearer wrong' }, { authorization: TOKEN }];
    for (const headers of attempts)
      expect(await send('GET', '/campaigns', headers)).toMatchObject({
        status: 401,
        body: { error: { code: 'unauthorized' } },
      });
    expect((await send('GET', '/session')).status).toBe(401);
  });

  it('wants a name that people can read', async () => {
    for (const body of [
      { token: TOKEN },
      { token: TOKEN, name: '' },
      { token: TOKEN, name: 'a\u0007b' },
      { token: TOKEN, name: 'x'.repeat(101) },
      { name: 'Ada' },
      { token: TOKEN, code: 'x', name: 'Ada' },
    ])
      expect(await signIn(body)).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
  });

  it('ends where somebody changed the cookie, its name or its signature', async () => {
    const { cookie } = await session();
    const [name, value] = cookie.split('=', 2) as [string, string];
    const [payload, signature] = decodeURIComponent(value).split('.', 2) as [string, string];
    const forged = Buffer.from(
      JSON.stringify({ ...JSON.parse(Buffer.from(payload, 'base64url').toString()), name: 'Eve' }),
    ).toString('base64url');
    const mine = createHmac('sha256', TOKEN).update(payload).digest('base64').replaceAll('=', '');
    for (const tried of [
      `${name}=${encodeURIComponent(`${forged}.${signature}`)}`,
      `${name}=${encodeURIComponent(`${payload}.${mine}`)}`,
      `${name}=${payload}`,
      `${name}=`,
      `daypass_console_1=${value}`,
    ])
      expect([tried, (await send('GET', '/session', { cookie: tried })).status]).toEqual([tried, 401]);
    expect((await send('GET', '/session', { cookie })).status).toBe(200);
  });

  it('lives for twelve hours without a request, is renewed by one, and ends after seven days', async () => {
    let { cookie } = await session();
    later(13 * HOUR_MS);
    expect((await send('GET', '/session', { cookie })).status).toBe(401);
    jest.restoreAllMocks();
    for (let hour = 11; hour < 7 * 24; hour += 11) {
      jest.restoreAllMocks();
      later(hour * HOUR_MS);
      const answer = await send('GET', '/session', { cookie });
      expect([hour, answer.status]).toEqual([hour, 200]);
      cookie = cookieOf(answer);
    }
    jest.restoreAllMocks();
    later(7 * 24 * HOUR_MS + 1);
    expect((await send('GET', '/session', { cookie })).status).toBe(401);
  });

  it('gets no new cookie with each answer', async () => {
    const { cookie } = await session();
    expect((await send('GET', '/session', { cookie })).headers['set-cookie']).toBeUndefined();
  });

  it('ends with another admin token', async () => {
    const { cookie } = await session();
    const other = await AccountingFixture.start({ DAYPASS_ADMIN_TOKEN: 'another-admin-token' });
    try {
      const url = `${await other.app.getUrl()}/admin/v1/session`;
      expect((await fetch(url, { headers: { cookie } })).status).toBe(401);
    } finally {
      await other.stop();
    }
  });

  it('ends when its owner signs out, also for a copy of the cookie, and in each process', async () => {
    const [mine, yours] = [await session('Ada'), await session('Grace')];
    const another = await accounting.another();
    const elsewhere = async (): Promise<number> =>
      (await fetch(`${await another.getUrl()}/admin/v1/session`, { headers: mine })).status;
    expect(await elsewhere()).toBe(200);
    const ended = await send('DELETE', '/session', { ...mine, ...OWN, ...JSON_TYPE });
    expect(ended.status).toBe(204);
    expect(ended.headers['set-cookie']![0]).toMatch(/=; .*Expires=Thu, 01 Jan 1970/);
    expect((await send('GET', '/session', mine)).status).toBe(401);
    expect((await send('GET', '/session', yours)).status).toBe(200);
    try {
      await accounting.until(async () => (await elsewhere()) === 401);
    } finally {
      await another.close();
    }
  });

  it('ends with all others when somebody signs everybody out', async () => {
    const [mine, yours] = [await session('Ada'), await session('Grace')];
    expect((await send('GET', '/session', yours)).status).toBe(200);
    expect((await send('DELETE', '/sessions', { ...mine, ...OWN, ...JSON_TYPE })).status).toBe(204);
    for (const headers of [mine, yours]) expect((await send('GET', '/session', headers)).status).toBe(401);
    expect((await send('GET', '/session', await session())).status).toBe(200);
  });

  it('keeps no cookie under an Idempotency-Key', async () => {
    const headers = { 'idempotency-key': 'sign-in-once' };
    const [first, again] = [
      await signIn({ token: TOKEN, name: 'Ada' }, headers),
      await signIn({ token: TOKEN, name: 'Ada' }, headers),
    ];
    expect(again.headers['idempotent-replayed']).toBeUndefined();
    expect(cookieOf(again)).not.toBe(cookieOf(first));
  });
});

describe('a page of another origin', () => {
  const campaign = { slug: 'theirs', name: 'theirs', budget_usd: '1', models: ['gpt-5.4-mini'] };

  it('writes nothing with the cookie, though the browser sends it to all ports of the host', async () => {
    const { cookie } = await session();
    const attempts: Record<string, string>[] = [
      { 'sec-fetch-site': 'same-site', origin: 'http://localhost:8080' },
      { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
      { 'sec-fetch-site': 'none' },
      { origin: 'http://localhost:8080' },
      { origin: 'null' },
      {},
    ];
    for (const headers of attempts)
      expect([headers, await send('POST', '/campaigns', { cookie, ...JSON_TYPE, ...headers }, campaign)]).toEqual([
        headers,
        expect.objectContaining({ status: 403 }),
      ]);
    for (const headers of attempts)
      expect((await send('DELETE', '/sessions', { cookie, ...JSON_TYPE, ...headers })).status).toBe(403);
    expect((await send('GET', '/campaigns/theirs', { cookie })).status).toBe(404);
  });

  it('writes nothing by a form, whose content types need no leave', async () => {
    const { cookie } = await session();
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])
      expect([403, 415]).toContain(
        (await send('POST', '/campaigns', { cookie, ...OWN, 'content-type': type }, campaign)).status,
      );
    expect(await send('DELETE', '/sessions', { cookie, ...OWN })).toMatchObject({
      status: 415,
      body: { error: { code: 'unsupported_content_type' } },
    });
    expect((await send('GET', '/session', { cookie })).status).toBe(200);
  });

  it('reads nothing, and is told so by no CORS header', async () => {
    const { cookie } = await session();
    const answer = await send('GET', '/campaigns', {
      cookie,
      'sec-fetch-site': 'same-site',
      origin: 'http://localhost:8080',
    });
    expect(answer).toMatchObject({ status: 403, body: { error: { code: 'foreign_page' } } });
    const own = await send('GET', '/campaigns', { cookie, ...OWN, origin: `http://localhost:${port}` });
    expect(own.status).toBe(200);
    for (const { headers } of [answer, own])
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  it('signs nobody in', async () => {
    const answer = await signIn({ token: TOKEN, name: 'Eve' }, { 'sec-fetch-site': 'same-site' });
    expect([answer.status, answer.headers['set-cookie']]).toEqual([403, undefined]);
  });

  it('is no hindrance to the console itself, by fetch metadata or by origin', async () => {
    const { cookie } = await session();
    for (const [index, headers] of [OWN, { origin: `http://localhost:${port}` }].entries())
      expect(
        (await send('POST', '/campaigns', { cookie, ...JSON_TYPE, ...headers }, { ...campaign, slug: `own-${index}` }))
          .status,
      ).toBe(201);
  });

  it('is no hindrance to whoever sends the admin token', async () => {
    const headers = { authorization: `Bearer ${TOKEN}`, host: 'accounting:8081', ...JSON_TYPE };
    expect((await send('POST', '/campaigns', headers, { ...campaign, slug: 'by-token' })).status).toBe(201);
  });
});

describe('a name that leads here from a stranger (DNS rebinding)', () => {
  it('gets neither a session nor an answer', async () => {
    const { cookie } = await session();
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      '192.168.1.7',
    ])
      for (const answer of [
        await send('GET', '/campaigns', { cookie, host }),
        await send('GET', '/session', { host }),
        await signIn({ token: TOKEN, name: 'Eve' }, { host }),
      ]) {
        expect(answer).toMatchObject({ status: 421, body: { error: { code: 'unknown_host' } } });
        expect(answer.body.error.message).toContain('DAYPASS_CONSOLE_HOSTS');
      }
  });

  it('does not shut out the names of this machine and those that are set', async () => {
    const { cookie } = await session();
    for (const host of [
      'localhost',
      '127.0.0.1:9',
      '[::1]:8081',
      'LOCALHOST:8081',
      'console.example.org',
      'desk.lan:443',
    ])
      expect([host, (await send('GET', '/session', { cookie, host })).status]).toEqual([host, 200]);
  });
});

describe('a sign-in link', () => {
  const link = async (headers: Record<string, string> = {}): Promise<Answer> =>
    send('POST', '/session/links', { authorization: `Bearer ${TOKEN}`, ...JSON_TYPE, ...headers }, {});
  const codeOf = ({ body }: Answer): string => body.data.url.split('#code=')[1];

  it('signs in once, within five minutes', async () => {
    const answer = await link();
    expect(answer.status).toBe(201);
    expect(answer.body.data.url).toMatch(new RegExp(`^http://localhost:${port}/console/login#code=[\\w-]{32}$`));
    expect(Date.parse(answer.body.data.expires_at) - Date.now()).toBeLessThanOrEqual(301_000);
    const tries = await Promise.all(
      Array.from({ length: 8 }, () => signIn({ code: codeOf(answer), name: 'Ada' }).then(({ status }) => status)),
    );
    expect(tries.filter((status) => status === 204)).toHaveLength(1);
    expect(tries.filter((status) => status === 401)).toHaveLength(7);
  });

  it('names somebody, also where nobody says who', async () => {
    const answer = await signIn({ code: codeOf(await link()) });
    const { body } = await send('GET', '/session', { cookie: cookieOf(answer) });
    expect(body.data.name).toBe('operator');
  });

  it('leads to where the caller found the console, if that is a name of the console', async () => {
    const proxied = await link({ host: 'console.example.org', 'x-forwarded-proto': 'https' });
    expect(proxied.body.data.url).toMatch(/^https:\/\/console\.example\.org\/console\/login#code=/);
    expect((await link({ host: 'accounting:8081' })).body.data.url).toMatch(/^http:\/\/localhost:0\//);
  });

  it('is made with the admin token only', async () => {
    const { cookie } = await session();
    expect((await send('POST', '/session/links', { cookie, ...OWN, ...JSON_TYPE }, {})).status).toBe(401);
    expect((await send('POST', '/session/links', JSON_TYPE, {})).status).toBe(401);
  });

  it('lapses, and only the newest twenty sign in', async () => {
    const first = codeOf(await link());
    for (let count = 0; count < 20; count++) await link();
    expect((await signIn({ code: first })).status).toBe(401);
    const keys = await accounting.redis.keys('*sign-in*');
    expect(await accounting.redis.zcard(keys[0]!)).toBe(20);
    const last = codeOf(await link());
    const [member] = await accounting.redis.zrevrange(keys[0]!, 0, 0);
    expect(member).not.toContain(last);
    await accounting.redis.zadd(keys[0]!, Date.now() - 1, member!);
    expect((await signIn({ code: last })).status).toBe(401);
  });
});

describe('who acts', () => {
  it('may be named by a caller of the API, in characters that people can read', async () => {
    const headers = { authorization: `Bearer ${TOKEN}` };
    expect((await send('GET', '/campaigns', { ...headers, 'x-daypass-actor': 'Ada (CI)' })).status).toBe(200);
    for (const actor of ['x'.repeat(101), 'Zoë', 'Holder '])
      expect(await send('GET', '/campaigns', { ...headers, 'x-daypass-actor': actor })).toMatchObject({
        status: 400,
        body: { error: { param: 'x-daypass-actor' } },
      });
  });

  it('is never taken for the holder of a key', async () => {
    const refused = await signIn({ token: TOKEN, name: ' holder' });
    expect(refused).toMatchObject({ status: 400, body: { error: { param: 'name' } } });
  });
});

// The last one: it leaves mistakes behind.
describe('whoever guesses the admin token', () => {
  it('has five tries, then one a minute, and the right token waits as well', async () => {
    const wrong = (): Promise<Answer> => signIn({ token: 'a-wrong-admin-token', name: 'Eve' });
    for (let tries = 0; tries < 5; tries++) expect((await wrong()).status).toBe(401);
    const refused = await wrong();
    expect(refused).toMatchObject({ status: 429, body: { error: { code: 'too_many_attempts' } } });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(50);
    expect((await signIn({ token: TOKEN, name: 'Ada' })).status).toBe(429);
    const { body } = await send('POST', '/session/links', { authorization: `Bearer ${TOKEN}`, ...JSON_TYPE }, {});
    expect((await signIn({ code: body.data.url.split('#code=')[1] })).status).toBe(204);
    later(61_000);
    expect((await wrong()).status).toBe(401);
    expect((await wrong()).status).toBe(429);
    jest.restoreAllMocks();
    later(10 * 60_000);
    expect((await signIn({ token: TOKEN, name: 'Ada' })).status).toBe(204);
  });
});
