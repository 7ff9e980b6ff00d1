import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { describeApi } from './openapi.js';

const PATH = '/admin/docs';
const ASSETS = {
  'swagger-ui.css': 'text/css',
  'swagger-ui-bundle.js': 'text/javascript',
  'favicon-32x32.png': 'image/png',
};

const START = `SwaggerUIBundle({ url: '${PATH}-json', dom_id: '#ui', persistAuthorization: false, tryItOutEnabled: true });`;
const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Daypass admin API</title>
<link rel="icon" href="${PATH}/favicon-32x32.png">
<link rel="stylesheet" href="${PATH}/swagger-ui.css">
<div id="ui"></div>
<script src="${PATH}/swagger-ui-bundle.js"></script>
<script src="${PATH}/start.js"></script>
</html>
`;

/**
 * `/admin/docs` and `/admin/docs-json`. Swagger's own set-up needs a file server beside Fastify; these few files need
 * none.
 */
export function serveDocs(app: NestFastifyApplication): void {
  const fastify = app.getHttpAdapter().getInstance();
  const folder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
  const document = JSON.stringify(describeApi(app));
  fastify.get(`${PATH}-json`, (_, reply) => reply.type('application/json').send(document));
  fastify.get(PATH, (_, reply) => reply.type('text/html; charset=utf-8').send(PAGE));
  fastify.get(`${PATH}/start.js`, (_, reply) => reply.type('text/javascript').send(START));
  for (const [file, type] of Object.entries(ASSETS)) {
    fastify.get(`${PATH}/${file}`, (_, reply) =>
      reply
        .type(type)
        .header('cache-control', 'max-age=86400')
        .send(readFileSync(join(folder, file))),
    );
  }
}
