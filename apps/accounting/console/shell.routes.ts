import { randomBytes } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { BuiltPages } from '#libs/pages/built.pages.js';
import { CONSOLE_HEADERS, consoleHeaders } from '#libs/pages/headers.js';
import { serveFiles } from '#libs/pages/serve.js';
import type { KnownHosts } from './known.hosts.js';

const NONCE_BYTES = 16;
const NOSCRIPT = 'The console needs JavaScript. The admin API does the same without it: /admin/docs describes it.';

/**
 * The operator's console: its files, and the same shell for every page, which finds its own way. The shell holds nothing
 * that needs a session. The admin API lies elsewhere, below `/admin`.
 */
export function serveConsole(
  fastify: FastifyInstance,
  hosts: Pick<KnownHosts, 'assert'>,
  pages = new BuiltPages('console'),
): void {
  void fastify.register(async (scope) => {
    // Under the name of a stranger's page nothing of the console may run, not even its sign-in.
    scope.addHook('onRequest', (request, _reply, done) => {
      hosts.assert(request.headers.host);
      done();
    });
    await serveFiles(scope, { pages, headers: CONSOLE_HEADERS });
    // A file of another version is no page.
    scope.get('/console/assets/*', (_request, reply) => reply.callNotFound());
    for (const path of ['/console', '/console/*'])
      scope.get(path, async (_request, reply) => {
        const nonce = randomBytes(NONCE_BYTES).toString('base64');
        return reply
          .headers(consoleHeaders(nonce))
          .type('text/html; charset=utf-8')
          .send(pages.shell({ entry: 'console/main.tsx', title: 'Daypass console', nonce, noscript: NOSCRIPT }));
      });
    scope.get('/', async (_request, reply) => reply.headers(CONSOLE_HEADERS).redirect('/console', 302));
  });
}
