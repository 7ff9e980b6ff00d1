import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify';

const compress = promisify(gzip);
const FILES = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};
/** Nothing of another host, no script in the page itself, and no page of others around it. */
const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
};
/** On a narrow screen what is wide scrolls by itself. Swagger leaves some words too pale to read. */
const STYLE = `body { margin: 0; }
html.dark-mode .swagger-ui table.headers td { color: #e4e6e6; }
html:not(.dark-mode) .swagger-ui .json-schema-2020-12-expand-deep-button { color: #505050; }
.swagger-ui .renderedMarkdown td, .swagger-ui .renderedMarkdown th { padding: 4px 12px 4px 0 !important; }
.swagger-ui .renderedMarkdown table, .swagger-ui .response-col_description, .swagger-ui .model-box { display: block; max-width: 100%; overflow-x: auto; }
@media (max-width: 640px) {
  .swagger-ui .wrapper, .swagger-ui .info { margin-left: 0; margin-right: 0; padding: 0 8px; }
  .swagger-ui .responses-table, .swagger-ui .parameters, .swagger-ui .responses-table > *, .swagger-ui .parameters > *, .swagger-ui .responses-table tr, .swagger-ui .parameters tr, .swagger-ui .responses-table td, .swagger-ui .parameters td { display: block; width: auto; max-width: 100%; box-sizing: border-box; }
  .swagger-ui .responses-table thead, .swagger-ui .parameters thead { display: none; }
  .swagger-ui .opblock-body { overflow-x: auto; }
  .swagger-ui .renderedMarkdown td code, .swagger-ui .opblock-summary-path, .swagger-ui .parameter__name { overflow-wrap: anywhere; }
}
`;
/** The files change with a release only. Browsers ask again with the tag of what they have. */
const CACHE = 'public, max-age=300';
/** Who takes nothing for so long does not keep a connection. */
const IDLE_MS = 30_000;

export interface ApiDocs {
  title: string;
  /** Where the page lies, e.g. `/docs`. */
  path: string;
  /** Where the document lies. */
  documentPath: string;
  /** The OpenAPI document. */
  document: object;
  /** Readers can call the API from the page. */
  canTry: boolean;
  route?: RouteShorthandOptions;
}

interface Served {
  type: string;
  plain: Buffer;
  zipped: Buffer;
  tag: string;
}

/**
 * Serves an OpenAPI document and the page that shows it, without a key. Each file is read and compressed once, and
 * stays in memory: about 3 MB in all. Swagger's own set-up needs a file server beside Fastify; these few files need
 * none.
 */
export function serveApiDocs(fastify: FastifyInstance, docs: ApiDocs): void {
  const { path, documentPath, route = {} } = docs;
  const folder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
  const serve = (at: string, type: string, read: () => Promise<Buffer> | Buffer): void => {
    let served: Promise<Served> | undefined;
    fastify.get(at, route, async (request, reply) => {
      served ??= prepare(type, read).catch((error: unknown) => {
        served = undefined;
        throw error;
      });
      return send(await served, request, reply);
    });
  };
  serve(path, 'text/html; charset=utf-8', () => Buffer.from(pageOf(docs)));
  serve(documentPath, 'application/json; charset=utf-8', () => Buffer.from(JSON.stringify(docs.document)));
  serve(`${path}/start.js`, 'text/javascript; charset=utf-8', () => Buffer.from(startOf(docs)));
  serve(`${path}/page.css`, 'text/css; charset=utf-8', () => Buffer.from(STYLE));
  for (const [file, type] of Object.entries(FILES)) serve(`${path}/${file}`, type, () => readFile(join(folder, file)));
}

async function prepare(type: string, read: () => Promise<Buffer> | Buffer): Promise<Served> {
  const plain = await read();
  const tag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`;
  return { type, plain, zipped: await compress(plain), tag };
}

function send({ type, plain, zipped, tag }: Served, { headers }: FastifyRequest, reply: FastifyReply): FastifyReply {
  reply.raw.setTimeout(IDLE_MS, () => reply.raw.destroy());
  void reply.headers({ ...HEADERS, 'cache-control': CACHE, etag: tag, vary: 'accept-encoding' });
  if (headers['if-none-match'] === tag) return reply.status(304).send();
  const takesGzip = /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test(String(headers['accept-encoding'] ?? ''));
  if (takesGzip) void reply.header('content-encoding', 'gzip');
  return reply.type(type).send(takesGzip ? zipped : plain);
}

function pageOf({ title, path }: ApiDocs): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="${path}/favicon-32x32.png">
<link rel="stylesheet" href="${path}/swagger-ui.css">
<link rel="stylesheet" href="${path}/page.css">
<div id="ui"></div>
<script src="${path}/swagger-ui-bundle.js"></script>
<script src="${path}/start.js"></script>
</html>
`;
}

/** A page that only reads has no field for a key. The check of a document by another host is off. */
function startOf({ documentPath, canTry }: ApiDocs): string {
  const reading = `supportedSubmitMethods: [], plugins: [() => ({ components: { authorizeBtn: () => null, authorizeOperationBtn: () => null } })]`;
  return `const dark = matchMedia('(prefers-color-scheme: dark)');
const follow = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', follow);
follow();
SwaggerUIBundle({ url: '${documentPath}', dom_id: '#ui', validatorUrl: null, persistAuthorization: false, ${canTry ? 'tryItOutEnabled: true' : reading} });
`;
}
