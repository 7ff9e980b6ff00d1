import type { FastifyInstance } from 'fastify';
import { serveApiDocs } from '#libs/service/api-docs.js';
import { routeAccess } from '../door/route-guard.js';
import { VISITOR_ROUTES } from '../visitor.routes.js';
import { describeVisitorsApi } from './openapi.js';

/** `/docs` and `/docs/openapi.json`, which need no key. */
export function serveDocs(fastify: FastifyInstance): void {
  serveApiDocs(fastify, {
    title: 'Daypass API',
    path: '/docs',
    documentPath: '/docs/openapi.json',
    document: describeVisitorsApi(VISITOR_ROUTES),
    canTry: false,
    route: { config: routeAccess('keyless') },
  });
}
