import 'reflect-metadata';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { gunzipSync, gzipSync } from 'node:zlib';
import { loadConfig } from '#libs/config/config.js';
import { createLogger } from '#libs/service/logger.js';
import { createRegistry } from '#libs/service/ops-server.js';
import { borrowRedis } from '#libs/testing/borrowed.js';
import { cpuMs } from '#libs/testing/cpu-time.js';
import { createIngress } from '../ingress.app.js';
import { VISITOR_ROUTES } from '../visitor.routes.js';

let app: NestFastifyApplication;
let fastify: FastifyInstance;
beforeAll(async () => {
  const config = loadConfig('ingress', {
    OPENAI_API_KEY: 'unused',
    REDIS_URL: await borrowRedis(),
    DAYPASS_SECRET: 'a'.repeat(64),
    DAYPASS_LOG_LEVEL: 'silent',
  });
  app = await createIngress(config, createLogger('ingress', 'silent'), createRegistry('ingress'));
  await app.listen(0, '127.0.0.1');
  fastify = app.getHttpAdapter().getInstance();
});
afterAll(() => app?.close());

const FILES: [path: string, type: string][] = [
  ['/docs', 'text/html'],
  ['/docs/openapi.json', 'application/json'],
  ['/docs/page.css', 'text/css'],
  ['/docs/start.js', 'text/javascript'],
  ['/docs/swagger-ui-bundle.js', 'text/javascript'],
  ['/docs/swagger-ui.css', 'text/css'],
  ['/docs/favicon-32x32.png', 'image/png'],
];

/** The pages for visitors, which are no part of the API. */
const PAGES =
  /^GET (\/|\/key|\/play|\/help|\/privacy|\/robots\.txt|\/theme\.js|\/claim(\.plain)?\.js|\/assets\/.*|\/c\/.*)$/;

/** The routes that the router has, as `GET /v1/models/{model}`. */
function routed(): string[] {
  const parents: string[] = [];
  return fastify
    .printRoutes({ commonPrefix: false })
    .split('\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      const [, indent, part, methods] = /^([│├└─ ]*)(\S+)(?: \(([A-Z, ]+)\))?$/.exec(line)!;
      const depth = indent!.length / 4;
      parents.splice(depth - 1, Infinity, part!);
      const path = parents
        .join('')
        .replaceAll(/:(\w+)/g, '{$1}')
        .replace(/(?<=.)\/$/, '');
      return (methods ?? '').split(', ').flatMap((method) => (method === '' ? [] : [`${method} ${path}`]));
    });
}

describe('/docs of ingress', () => {
  it('describes every route of the router, and no other', () => {
    const routes = routed().filter((route) => !/^(HEAD|OPTIONS) | \/docs/.test(route) && !PAGES.test(route));
    expect(routes.toSorted()).toEqual(VISITOR_ROUTES.map(({ method, path }) => `${method} ${path}`).toSorted());
  });

  it.each(FILES)('serves %s as %s without a key, and nothing of another host fits in', async (path, type) => {
    const { statusCode, headers, rawPayload } = await fastify.inject({ url: path });
    expect([statusCode, String(headers['content-type']).startsWith(type)]).toEqual([200, true]);
    expect(headers['content-security-policy']).toMatch(/^default-src 'none'; script-src 'self';/);
    expect(headers['content-security-policy']).not.toMatch(/unsafe|https?:|\*/);
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(headers['content-encoding']).toBeUndefined();
    const zipped = await fastify.inject({ url: path, headers: { 'accept-encoding': 'br, gzip' } });
    expect(zipped.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(zipped.rawPayload).equals(rawPayload)).toBe(true);
    const again = await fastify.inject({ url: path, headers: { 'if-none-match': String(headers.etag) } });
    expect([again.statusCode, again.body]).toEqual([304, '']);
    expect(
      (await fastify.inject({ url: path, headers: { 'accept-encoding': 'gzip;q=0' } })).headers,
    ).not.toHaveProperty('content-encoding');
  });

  it('reads and compresses each file once', async () => {
    const url = '/docs/swagger-ui-bundle.js';
    const { headers, rawPayload } = await fastify.inject({ url });
    const begun = cpuMs();
    gzipSync(rawPayload);
    const compressed = cpuMs();
    // The least of ten: the process has other work, too.
    let leastMs = Infinity;
    for (let n = 0; n < 10; n++) {
      const asked = cpuMs();
      expect((await fastify.inject({ url, headers: { 'if-none-match': String(headers.etag) } })).statusCode).toBe(304);
      leastMs = Math.min(leastMs, cpuMs() - asked);
    }
    expect(leastMs).toBeLessThan((compressed - begun) / 2);
  });

  it('takes no other method, and leaves no way to other files', async () => {
    expect((await fastify.inject({ url: '/docs', method: 'POST' })).json()).toMatchObject({
      error: { code: 'unknown_url' },
    });
    for (const url of ['/docs/package.json', '/docs/..%2f..%2fpackage.json', '/docs/%2e%2e/package.json'])
      expect((await fastify.inject({ url })).statusCode).toBe(404);
  });
});
