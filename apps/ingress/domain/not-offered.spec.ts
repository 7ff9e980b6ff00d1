import { describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ENDPOINTS } from '#libs/endpoints/registry.js';
import { markdownTable } from '#libs/config/markdown-table.js';
import { NOT_OFFERED, notOffered, NOT_OFFERED_PATHS } from './not-offered.js';
import { requestPath } from './request-path.js';

const METHODS = ['GET', 'POST', 'DELETE', 'PUT', 'PATCH', 'HEAD'];
const CLIENT = join('node_modules', 'openai', 'resources');

/** The paths that the official client asks for. */
function clientPaths(): string[] {
  const code = readdirSync(CLIENT, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.mjs'))
    .map((name) => readFileSync(join(CLIENT, name), 'utf8'))
    .join('\n');
  const calls = code.matchAll(/_client\.(?:get|post|put|patch|delete|getAPIList)\((?:path\s*)?[`']([^`'?]+)/g);
  return [...new Set([...calls].map(([, path]) => `/v1${path!.replaceAll(/\$\{[^}]+\}/g, 'some-id')}`))];
}

describe('an address that is not offered', () => {
  it('is refused under any method, with all below it, and says what instead', () => {
    for (const row of NOT_OFFERED) {
      for (const shown of row.paths) {
        const [path, only] = shown.startsWith('/') ? [shown, null] : [shown.split(' ')[1]!, shown.split(' ')[0]!];
        const asked = path.replaceAll('{id}', 'any-id');
        for (const method of only === null ? METHODS : [only]) {
          expect(notOffered(method, asked)).toBe(row);
          expect(notOffered(method, `${asked}/one/two?limit=1`)).toBe(row);
        }
        if (only !== null) expect(notOffered('PUT', asked)).toBeNull();
      }
      expect(row.why).toMatch(/^[A-Z].*\.$/);
      expect(row.instead).toMatch(/^[A-Z].*\.$/);
    }
  });

  it.each([
    '/v1/filesystem',
    '/v1/file',
    '/v2/files',
    '/files',
    '/v1',
    '/',
    '/v1/responses',
    '/v1/responses/resp_1',
    '/v1/audio',
    '/v1/chat',
  ])('is not %s', (path) => expect(notOffered('POST', path)).toBeNull());

  it('is found however its path is written', () => {
    expect(notOffered('GET', '/v1/%66iles/x')).not.toBeNull();
    expect(notOffered('GET', '/v1/files/%zz')).not.toBeNull();
    for (const asked of ['/files', '/openai/v1/files/', '/openai/deployments/any/files', '//v1//files'])
      expect(notOffered('POST', requestPath(asked, NOT_OFFERED_PATHS).url)).not.toBeNull();
  });

  it('never names another one as what to use instead', () => {
    for (const { instead } of NOT_OFFERED)
      for (const [, method, path] of instead.matchAll(/(GET|POST)? ?(\/v1[a-z_/]+[a-z])/g))
        expect([instead, notOffered(method ?? 'POST', path!)]).toEqual([instead, null]);
  });

  it('is every one that the official client knows, and Daypass does not serve', () => {
    const paths = clientPaths();
    expect(paths.length).toBeGreaterThan(100);
    // These have routes of their own.
    const served = [...ENDPOINTS.map(({ path }) => path), '/v1/models', '/v1/responses', '/v1/conversations'];
    const isServed = (path: string): boolean => served.some((one) => `${path}/`.startsWith(`${one}/`));
    const silent = paths.filter(
      (path) => !isServed(path) && !['/v1/embeddings', '/v1/moderations'].includes(path) && !notOffered('POST', path),
    );
    expect(silent).toEqual([]);
  });

  it('stands in docs/visitors.md', () => {
    const rows = NOT_OFFERED.map(({ paths, why, instead }) => [
      paths.map((path) => `\`${path}\``).join(', '),
      why,
      instead,
    ]);
    expect(readFileSync('docs/visitors.md', 'utf8')).toContain(
      markdownTable(['address', 'why not', 'what instead'], rows),
    );
  });
});
