// The least that a gateway in Node can do: Fastify takes the call, undici sends it on, the answer is piped back.
import Fastify from 'fastify';
import { Pool } from 'undici';

const upstream = new URL(process.argv[2]!);
const pool = new Pool(upstream.origin, { connections: 1_024, bodyTimeout: 0, headersTimeout: 0 });
const app = Fastify({ bodyLimit: 30_000_000 });
app.removeAllContentTypeParsers();
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body));
app.post('/v1/*', async (request, reply) => {
  const { statusCode, headers, body } = await pool.request({
    path: request.url,
    method: 'POST',
    headers: {
      'content-type': request.headers['content-type'] ?? '',
      authorization: request.headers.authorization ?? '',
    },
    body: request.body as Buffer,
  });
  return reply.code(statusCode).header('content-type', headers['content-type']).send(body);
});
process.stdout.write(`${new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port}\n`);
