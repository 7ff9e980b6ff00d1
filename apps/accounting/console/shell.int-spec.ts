import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { FastifyInstance } from 'fastify';
import { BuiltPages } from '#libs/pages/built.pages.js';
import { CONSOLE_HEADERS, consoleHeaders } from '#libs/pages/headers.js';
import { AccountingFixture } from '../accounting.fixture.js';

let accounting: AccountingFixture;
let fastify: FastifyInstance;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  fastify = accounting.app.getHttpAdapter().getInstance();
});
afterAll(() => accounting?.stop());

describe('the console’s shell', () => {
  it.each(['/console', '/console/', '/console/login', '/console/campaigns/acme/hand-out?a=b', '/console/keys/%2e%2e'])(
    'is what %s answers, with a nonce that nobody has seen before',
    async (url) => {
      const nonces = new Set<string>();
      for (const method of ['GET', 'HEAD', 'GET'] as const) {
        const { statusCode, headers, body } = await fastify.inject({ method, url });
        const nonce = /'nonce-([\w+/]{22}==)'/.exec(String(headers['content-security-policy']))![1]!;
        nonces.add(nonce);
        expect([statusCode, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
        expect(headers).toMatchObject(consoleHeaders(nonce));
        expect(headers).not.toHaveProperty('access-control-allow-origin');
        if (method === 'GET') expect(body).toContain(`<meta name="csp-nonce" content="${nonce}">`);
      }
      expect(nonces.size).toBe(3);
    },
  );

  it('comes with every file that it names, and no other', async () => {
    const pages = new BuiltPages('console');
    const { body: shell } = await fastify.inject('/console');
    const named = [...shell.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path!);
    expect(named.length).toBeGreaterThan(2);
    const built = readdirSync(pages.folder, { recursive: true, encoding: 'utf8' }).filter((one) =>
      /\.(js|css)$/.test(one),
    );
    for (const path of new Set([...named, ...built.map((file) => `/console/${file}`)])) {
      const { statusCode, headers, rawPayload } = await fastify.inject({
        url: path,
        headers: { 'accept-encoding': 'gzip' },
      });
      const cache = path.startsWith('/console/assets/') ? 'public, max-age=31536000, immutable' : 'public, max-age=300';
      expect([path, statusCode, headers['content-encoding']]).toEqual([path, 200, 'gzip']);
      expect(headers).toMatchObject({ ...CONSOLE_HEADERS, 'cache-control': cache });
      expect(gunzipSync(rawPayload).equals(readFileSync(join(pages.folder, path.slice('/console/'.length))))).toBe(
        true,
      );
    }
  });

  it('is where / leads to', async () => {
    const { statusCode, headers } = await fastify.inject('/');
    expect([statusCode, headers.location]).toEqual([302, '/console']);
  });

  it.each(['/console/assets/none.js', '/consoles', '/admin', '/admin/console', '/admin/v1/none', '/manifest.json'])(
    'is not what %s answers',
    async (url) => {
      const { statusCode, headers, body } = await fastify.inject({ url, headers: { accept: 'text/html' } });
      expect([statusCode, headers['content-type'], JSON.parse(body).error.code]).toEqual([
        404,
        'application/json; charset=utf-8',
        'not_found',
      ]);
    },
  );

  it.each(['/', '/console', '/console/login', '/console/theme.js'])(
    'does not answer %s under the name of a stranger, whose page could be open beside it',
    async (url) => {
      const { statusCode, body } = await fastify.inject({ url, headers: { host: 'rebound.example:8081' } });
      expect([statusCode, JSON.parse(body).error.code]).toEqual([421, 'unknown_host']);
      for (const host of ['localhost:8081', '127.0.0.1:1234', '[::1]:8081'])
        expect((await fastify.inject({ url, headers: { host } })).statusCode).toBeLessThan(400);
    },
  );

  it('shows no list of its files', async () => {
    const { body } = await fastify.inject('/console/manifest.json');
    expect(body).toContain('<!doctype html>');
  });
});
