import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { serveApiDocs } from '#libs/service/api-docs.js';
import { describeApi } from './openapi.js';

/** `/admin/docs` and `/admin/docs-json`. */
export function serveDocs(app: NestFastifyApplication): void {
  serveApiDocs(app.getHttpAdapter().getInstance(), {
    title: 'Daypass admin API',
    path: '/admin/docs',
    documentPath: '/admin/docs-json',
    document: describeApi(app),
    canTry: true,
  });
}
