import { join, sep } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyContextConfig, FastifyInstance } from 'fastify';
import type { BuiltPages } from './built.pages.js';

/** The name of such a file has the hash of its contents. */
const HASHED = 'public, max-age=31536000, immutable';
/** The names of `theme.js` and `claim.js` stay. Browsers ask again with the tag of what they have. */
const NAMED = 'public, max-age=300';
/** Who takes nothing for so long does not keep a connection and an open file. */
const IDLE_MS = 30_000;
/** What only the services read, and the compressed files, which answer under the name of the plain one. */
const NOT_SERVED = ['manifest.json', '**/*.map', '**/*.br', '**/*.gz'];

export interface ServedFiles {
  pages: BuiltPages;
  headers: Readonly<Record<string, string>>;
  /** The config of each route. */
  config?: FastifyContextConfig;
}

/**
 * A route for each file that a build made. No route has a wildcard: every other address stays what it is without
 * pages. The system's cache keeps the files, which are small and compressed when they are built.
 */
export async function serveFiles(scope: FastifyInstance, { pages, headers, config = {} }: ServedFiles): Promise<void> {
  const hashed = join(pages.folder, 'assets', sep);
  await scope.register(async (files) => {
    files.addHook('onRoute', (route) => {
      route.config = { ...route.config, ...config };
    });
    await files.register(fastifyStatic, {
      root: pages.folder,
      prefix: pages.base,
      wildcard: false,
      globIgnore: NOT_SERVED,
      index: false,
      decorateReply: false,
      preCompressed: true,
      cacheControl: false,
      setHeaders: (reply, path) => {
        reply.raw.setTimeout(IDLE_MS, () => reply.raw.destroy());
        void reply.headers({ ...headers, 'cache-control': path.startsWith(hashed) ? HASHED : NAMED });
      },
    });
  });
}
