import 'reflect-metadata';
import { AsyncLocalStorage } from 'node:async_hooks';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { FastifyInstance, LightMyRequestResponse } from 'fastify';
import type { Redis } from 'ioredis';
import decodeQr from 'qr/decode.js';
import { loadConfig } from '#libs/config/config.js';
import { LINK_STATES, privacyViewSchema, type LinkView } from '#libs/contracts/claims.js';
import { BuiltPages } from '#libs/pages/built.pages.js';
import { VISITORS_HEADERS } from '#libs/pages/headers.js';
import { createLogger } from '#libs/service/logger.js';
import { createRegistry } from '#libs/service/ops-server.js';
import { MONEY_REDIS } from '#libs/service/platform.tokens.js';
import { borrowRedis } from '#libs/testing/borrowed.js';
import { LinkViews, type LinkVisit } from '../claims/link.views.js';
import { createIngress } from '../ingress.app.js';
import { recovering } from '../refusals.js';

const VIEW: LinkView = {
  state: 'open',
  token: 'k7f3Qx09abCD',
  campaign: 'acme',
  page: {
    title: 'Try </script><img src=x> & "Acme"',
    text: 'Paste a key',
    logo: null,
    project_url: null,
    open_url: null,
    contact: 'help@acme.example',
    privacy_url: 'https://acme.example/privacy',
    snippet: null,
  },
  github: { min_account_age_days: 30 },
  email: { domains: [] },
  signed_in: null,
  waitlist: false,
  gates: ['pow'],
  key: { budget_usd: '0.5', ttl_seconds: 86_400, limits: {}, models: null },
  models: ['gpt-5.4-mini', 'gpt-5.4-nano'],
  short_chats: 900,
  left: 63,
  max_claims: 100,
  starts_at: null,
  expires_at: '2026-12-01T12:00:00.000Z',
  recorded: { input: 'gate', output: 'gate', retention_days: 30 },
  base_url: 'http://localhost:8080/v1',
  challenge: { salt: 'abc' },
  app: null,
};
const CSP = /^default-src 'none'; script-src 'self';/;
const BROWSER = 'text/html,application/xhtml+xml,*/*;q=0.8';

let fastify: FastifyInstance;
let close: () => Promise<void>;
let redis: Redis;
/** Which request is being answered, and what it sent to Redis. */
const asking = new AsyncLocalStorage<string>();
const sent: string[] = [];
const asked: string[] = [];
let opened: (visit?: LinkVisit) => void = () => {};
let answer: () => Promise<LinkView | null> = () => Promise.resolve(VIEW);

beforeAll(async () => {
  const config = loadConfig('ingress', {
    REDIS_URL: await borrowRedis(),
    DAYPASS_SECRET: 'a'.repeat(64),
    DAYPASS_LOG_LEVEL: 'silent',
  });
  const app = await createIngress(config, createLogger('ingress', 'silent'), createRegistry('ingress'));
  app.get(LinkViews).view = (token, visit) => {
    asked.push(token);
    opened(visit);
    return answer();
  };
  redis = app.get<Redis>(MONEY_REDIS);
  const send = redis.sendCommand.bind(redis);
  redis.sendCommand = (command, stream) => {
    const by = asking.getStore();
    if (by !== undefined) sent.push(`${by}: ${command.name}`);
    return send(command, stream);
  };
  await app.listen(0, '127.0.0.1');
  fastify = app.getHttpAdapter().getInstance();
  close = () => app.close();
});
afterAll(() => close?.());
afterEach(() => {
  answer = () => Promise.resolve(VIEW);
  opened = () => {};
  asked.length = 0;
});

const get = (url: string, accept = BROWSER, headers: Record<string, string> = {}): Promise<LightMyRequestResponse> =>
  fastify.inject({ url, headers: { accept, host: '192.168.1.7:8080', ...headers } });
const stateOf = ({ body }: LightMyRequestResponse): unknown =>
  JSON.parse(/<script type="application\/json" id="state">(.*?)<\/script>/s.exec(body)![1]!);

describe('the visitors’ pages', () => {
  it.each(['/', '/key', '/play', '/help', '/privacy', '/c/k7f3Qx09abCD'])(
    'serve %s with the headers of all pages, to HEAD too, and let no other origin read it',
    async (url) => {
      for (const method of ['GET', 'HEAD'] as const) {
        const { statusCode, headers, body } = await fastify.inject({ method, url, headers: { accept: BROWSER } });
        expect(statusCode).toBe(200);
        expect(headers).toMatchObject({ ...VISITORS_HEADERS, 'content-type': 'text/html; charset=utf-8' });
        expect(headers).not.toHaveProperty('access-control-allow-origin');
        expect(body.startsWith('<!doctype html>')).toBe(method === 'GET');
      }
    },
  );

  it('serve /claim.js to pages of every origin, which ask again with its tag', async () => {
    const { statusCode, headers, payload } = await get('/claim.js', '*/*', { origin: 'https://app.example' });
    expect([statusCode, payload]).toEqual([
      200,
      readFileSync(join(new BuiltPages('embed').folder, 'claim.js'), 'utf8'),
    ]);
    expect(headers).toMatchObject({
      'access-control-allow-origin': '*',
      'cross-origin-resource-policy': 'cross-origin',
      'cache-control': 'public, max-age=300',
      'x-content-type-options': 'nosniff',
    });
    expect(headers['content-type']).toMatch(/javascript/);
    const again = await get('/claim.js', '*/*', { 'if-none-match': headers.etag! });
    expect([again.statusCode, again.payload]).toEqual([304, '']);
  });

  it('serve every file that a page names, compressed as it was built, for ever where its name has its hash', async () => {
    const pages = new BuiltPages('visitors');
    const files = readdirSync(pages.folder, { recursive: true, encoding: 'utf8' }).filter((one) =>
      /\.(js|css)$/.test(one),
    );
    expect(files.length).toBeGreaterThan(5);
    for (const file of files) {
      const plain = await get(`/${file}`);
      const bytes = readFileSync(join(pages.folder, file));
      expect([plain.statusCode, plain.rawPayload.equals(bytes), plain.headers['content-encoding']]).toEqual([
        200,
        true,
        undefined,
      ]);
      const isHashed = file.startsWith('assets/');
      const cache = isHashed ? 'public, max-age=31536000, immutable' : 'public, max-age=300';
      expect(plain.headers).toMatchObject({ ...VISITORS_HEADERS, 'cache-control': cache });
      expect(plain.headers['content-type']).toMatch(file.endsWith('.css') ? /^text\/css/ : /javascript/);
      expect(plain.headers).not.toHaveProperty('access-control-allow-origin');
      for (const [encoding, unpack] of [
        ['br', brotliDecompressSync],
        ['gzip', gunzipSync],
      ] as const) {
        const packed = await get(`/${file}`, '*/*', { 'accept-encoding': encoding });
        expect([packed.headers['content-encoding'], packed.headers.vary]).toEqual([
          encoding,
          expect.stringMatching(/accept-encoding/i),
        ]);
        expect(unpack(packed.rawPayload).equals(bytes)).toBe(true);
      }
      const again = await get(`/${file}`, '*/*', { 'if-none-match': String(plain.headers.etag) });
      expect([again.statusCode, again.body, again.headers['x-content-type-options']]).toEqual([304, '', 'nosniff']);
      const head = await fastify.inject({ method: 'HEAD', url: `/${file}` });
      expect([head.statusCode, head.body, head.headers['content-length']]).toEqual([200, '', String(bytes.length)]);
    }
  });

  it.each([
    '/manifest.json',
    '/theme.js.br',
    '/theme.js.gz',
    '/assets',
    '/assets/',
    '/assets/none.js',
    '/assets/../manifest.json',
    '/assets/%2e%2e/manifest.json',
    '/c',
    '/c/',
    '/key/x',
  ])('leave %s unknown, in JSON', async (url) => {
    const { statusCode, headers, body } = await get(url);
    expect([statusCode, JSON.parse(body).error.code]).toEqual([404, 'unknown_url']);
    expect(headers['access-control-allow-origin']).toBe('*');
  });

  it('leave the API as it was: what asks / for no HTML, what is unknown below /v1, what is not offered', async () => {
    for (const accept of ['*/*', 'application/json']) {
      const { statusCode, body } = await get('/', accept);
      expect([statusCode, JSON.parse(body).error.code]).toEqual([404, 'unknown_url']);
    }
    for (const [url, code] of [
      ['/v1/nothing', 'unknown_url'],
      ['/v1/files', 'endpoint_not_offered'],
      ['/files', 'endpoint_not_offered'],
      ['/v1/c/k7f3Qx09abCD', 'unknown_url'],
    ] as const)
      expect(JSON.parse((await get(url)).body).error.code).toBe(code);
    const post = await fastify.inject({ method: 'POST', url: '/c/k7f3Qx09abCD', headers: { accept: BROWSER } });
    expect([post.statusCode, post.json().error.code]).toEqual([404, 'unknown_url']);
    expect((await get('/models')).statusCode).toBe(401);
  });

  it('serve what names no link without asking a store', async () => {
    for (const url of ['/', '/key', '/play', '/help', '/privacy', '/robots.txt', '/theme.js', '/c/k7f3Qx09abCD/qr.svg'])
      expect([url, (await asking.run(url, () => get(url))).statusCode]).toEqual([url, 200]);
    expect([sent, asked]).toEqual([[], []]);
    // What does ask is seen.
    await asking.run('a test', () => redis.ping());
    expect(sent).toEqual(['a test: ping']);
  });

  it('tell robots to stay away from links and keys', async () => {
    expect((await get('/robots.txt')).body).toBe('User-agent: *\nDisallow: /c/\nDisallow: /key\nDisallow: /play\n');
  });
});

describe('the page of a claim link', () => {
  it('has the state of the link, and its terms for previews, without key and challenge', async () => {
    const page = await get('/c/k7f3Qx09abCD');
    expect(stateOf(page)).toEqual(VIEW);
    const metas = page.body.slice(0, page.body.indexOf('<div id="app">'));
    expect(metas).toContain('<title>Try &lt;/script&gt;&lt;img src=x&gt; &amp; &quot;Acme&quot;</title>');
    const terms = 'A free key: $0.50 · 24 hours · gpt-5.4-mini, gpt-5.4-nano · 63 of 100 left';
    expect(metas).toContain(`<meta name="description" content="${terms}">`);
    expect(metas).toContain(`<meta property="og:description" content="${terms}">`);
    expect(metas).not.toMatch(/salt|abc/);
    expect(page.body).not.toContain('<img');
  });

  it.each(LINK_STATES)('is there where the link is %s', async (state) => {
    answer = () => Promise.resolve({ ...VIEW, state });
    const page = await get('/c/k7f3Qx09abCD');
    expect(page.statusCode).toBe(state === 'recovering' ? 503 : 200);
    expect(stateOf(page)).toMatchObject({ state });
    if (state !== 'open') expect(page.body).not.toContain('63 of 100 left"');
    const text = await get('/c/k7f3Qx09abCD', '*/*');
    expect(text.body.trimEnd().split('\n')).toHaveLength(8);
    const badge = await get('/c/k7f3Qx09abCD/badge.svg');
    expect([badge.statusCode, badge.body.includes('63 left')]).toEqual([200, state === 'open']);
  });

  it('is HTML for what previews links, though it does not ask for it', async () => {
    const { headers } = await get('/c/k7f3Qx09abCD', '*/*', { 'user-agent': 'Slackbot-LinkExpanding 1.0' });
    expect([headers['content-type'], headers.vary]).toEqual(['text/html; charset=utf-8', 'accept, user-agent']);
  });

  it('is eight lines for curl', async () => {
    const { headers, body } = await get('/c/k7f3Qx09abCD', '*/*', { 'user-agent': 'curl/8.14.1' });
    expect(headers).toMatchObject({ ...VISITORS_HEADERS, 'content-type': 'text/plain; charset=utf-8' });
    expect(body).toBe(`Try </script><img src=x> & "Acme"
State: open
Budget of a key: $0.50
Time of a key: 24 hours
Models: gpt-5.4-mini, gpt-5.4-nano
Claim until: 2026-12-01T12:00:00.000Z
Left: 63 of 100
Open in a browser: http://192.168.1.7:8080/c/k7f3Qx09abCD
`);
  });

  it.each(['none', 'a'.repeat(65), 'a_b', 'a%00b', '..%2f..'])('says that there is no link %s', async (token) => {
    answer = () => Promise.resolve(null);
    const page = await get(`/c/${token}`);
    expect([page.statusCode, page.headers['content-security-policy']]).toEqual([404, expect.stringMatching(CSP)]);
    // The page then asks by itself.
    expect(page.body).not.toContain('id="state"');
    expect(page.body).toContain('<noscript>There is no such claim link.');
    const text = await get(`/c/${token}`, '*/*');
    expect([text.statusCode, text.body]).toEqual([404, expect.stringMatching(/^There is no such claim link\..*\n$/)]);
    const badge = await get(`/c/${token}/badge.svg`);
    expect([badge.statusCode, badge.body.includes('no such link')]).toEqual([404, true]);
    expect(asked.every((one) => one === 'none')).toBe(true);
  });

  it('says when to come again while nobody can read the link', async () => {
    answer = () => Promise.reject(recovering());
    for (const accept of [BROWSER, '*/*']) {
      const { statusCode, headers, body } = await get('/c/k7f3Qx09abCD', accept);
      expect([statusCode, headers['retry-after']]).toEqual([503, '2']);
      expect(headers).toMatchObject(VISITORS_HEADERS);
      expect(body).toContain('Daypass is recovering');
      expect(body).not.toContain('id="state"');
    }
    const badge = await get('/c/k7f3Qx09abCD/badge.svg');
    expect([badge.statusCode, badge.headers['cache-control']]).toEqual([503, 'no-store']);
  });

  it('counts as opened where a page is shown, and not for lines, pictures and policies', async () => {
    const openers: boolean[] = [];
    opened = (visit) => openers.push(visit?.as === 'page');
    await get('/c/k7f3Qx09abCD');
    await get('/c/k7f3Qx09abCD', '*/*');
    await get('/c/k7f3Qx09abCD/badge.svg');
    await get('/privacy?link=k7f3Qx09abCD');
    expect(openers).toEqual([true, false, false, false]);
  });
});

describe('the pictures of a claim link', () => {
  it('are a badge that GitHub keeps for a minute, with the title escaped', async () => {
    const { headers, body } = await get('/c/k7f3Qx09abCD/badge.svg', 'image/*');
    expect(headers).toMatchObject({
      ...VISITORS_HEADERS,
      'cache-control': 'public, max-age=60',
      'content-type': 'image/svg+xml; charset=utf-8',
    });
    expect(body).toContain(
      '<title>Try &lt;/script&gt;&lt;img src=x&gt; &amp; &quot;Acme&quot;: free key, 63 left</title>',
    );
    expect(body.match(/https?:\/\/[^"]*/g)).toEqual(['http://www.w3.org/2000/svg']);
    const again = await get('/c/k7f3Qx09abCD/badge.svg', 'image/*', { 'if-none-match': String(headers.etag) });
    expect([again.statusCode, again.body]).toEqual([304, '']);
    answer = () => Promise.resolve({ ...VIEW, left: 62 });
    const later = await get('/c/k7f3Qx09abCD/badge.svg', 'image/*', { 'if-none-match': String(headers.etag) });
    expect([later.statusCode, later.body.includes('62 left')]).toEqual([200, true]);
  });

  it('are a QR code of the claim page’s address', async () => {
    const { headers, body } = await get('/c/k7f3Qx09abCD/qr.svg', 'image/*');
    expect(headers).toMatchObject({ ...VISITORS_HEADERS, 'cache-control': 'public, max-age=300' });
    expect(decodeQr(rasterOf(body))).toBe('http://192.168.1.7:8080/c/k7f3Qx09abCD');
  });
});

/** The picture as pixels, 4 for each module, so that a decoder reads it as a camera's. */
function rasterOf(svg: string): { width: number; height: number; data: Uint8Array } {
  const [, viewBox] = /viewBox="0 0 (\d+) \d+"/.exec(svg)!;
  const units = Number(viewBox);
  const cells = [...svg.matchAll(/M(\d+),(\d+)h(\d+)v(\d+)/g)].map((match) => match.slice(1).map(Number));
  expect(cells.length).toBeGreaterThan(100);
  const data = new Uint8Array(units * units * 4).fill(255);
  for (const [x, y, width, height] of cells as [number, number, number, number][])
    for (let row = y; row < y + height; row += 1) data.fill(0, (row * units + x) * 4, (row * units + x + width) * 4);
  for (let alpha = 3; alpha < data.length; alpha += 4) data[alpha] = 255;
  return { width: units, height: units, data };
}

describe('the page of what is recorded', () => {
  it('shows the policy of the campaign whose link it names', async () => {
    const page = await get('/privacy?link=k7f3Qx09abCD');
    expect(page.statusCode).toBe(200);
    expect(privacyViewSchema.strict().parse(stateOf(page))).toEqual({
      link: {
        token: VIEW.token,
        campaign: 'acme',
        title: VIEW.page.title,
        recorded: VIEW.recorded,
        contact: 'help@acme.example',
        privacy_url: 'https://acme.example/privacy',
      },
      error: null,
    });
  });

  it('shows what holds for all without a link, and says where a link is unknown or unreadable', async () => {
    expect(stateOf(await get('/privacy'))).toEqual({ link: null, error: null });
    expect(stateOf(await get('/privacy?link=a&link=b'))).toEqual({ link: null, error: null });
    answer = () => Promise.resolve(null);
    const unknown = await get('/privacy?link=none');
    expect([unknown.statusCode, stateOf(unknown)]).toEqual([404, { link: null, error: 'link_unknown' }]);
    answer = () => Promise.reject(recovering());
    const later = await get('/privacy?link=none');
    expect([later.statusCode, later.headers['retry-after'], stateOf(later)]).toEqual([
      503,
      '2',
      { link: null, error: 'recovering' },
    ]);
  });
});
