// The upstream of `npm run bench`: fixed answers after a settable time, and nothing else. It shares the machine with the candidates, so
// it does as little as possible.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface UpstreamSettings {
  /** Before an answer, or a stream's first chunk. */
  latencyMs: number;
  chunks: number;
  gapMs: number;
}

const HEAD = { id: 'chatcmpl-bench', created: 1_790_000_000, model: 'gpt-5.4-mini' };
const USAGE = { prompt_tokens: 200, completion_tokens: 40, total_tokens: 240 };
const CONTENT =
  'The village lies in a valley between two rivers, and its people have kept the old bridge for three hundred years. '.repeat(
    2,
  );
/** Never the same twice, because Daypass remembers verdicts. */
const MARK = '0000000000';
const ANSWER = JSON.stringify({
  ...HEAD,
  object: 'chat.completion',
  choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: `${MARK} ${CONTENT}` } }],
  usage: USAGE,
});
const [BEFORE, AFTER] = ANSWER.split(MARK) as [string, string];
const RESULT = { flagged: false, categories: { violence: false }, category_scores: { violence: 0.0001 } };
const frame = (delta: object, finish: string | null): string =>
  `data: ${JSON.stringify({ ...HEAD, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const CHUNK = frame({ content: 'one more word ' }, null);
const LAST = `${frame({}, 'stop')}data: ${JSON.stringify({ ...HEAD, object: 'chat.completion.chunk', choices: [], usage: USAGE })}\n\ndata: [DONE]\n\n`;

let answers = 0;
let settings: UpstreamSettings = { latencyMs: 0, chunks: 100, gapMs: 10 };
const streams = new Map<ServerResponse, number>();
let ticking: NodeJS.Timeout | undefined;

/** One timer for all streams: with a thousand timers the bench would measure them instead of the gateway. */
function tick(): void {
  for (const [response, left] of streams) {
    if (response.destroyed) streams.delete(response);
    else if (left > 0) {
      response.write(CHUNK);
      streams.set(response, left - 1);
    } else {
      streams.delete(response);
      response.end(LAST);
    }
  }
  if (streams.size === 0) {
    clearInterval(ticking);
    ticking = undefined;
  }
}

function complete(body: Buffer, response: ServerResponse): void {
  if (!body.includes('"stream":true')) {
    const text = `${BEFORE}${String(answers++).padStart(MARK.length, '0')}${AFTER}`;
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': ANSWER.length }).end(text);
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  streams.set(response, settings.chunks);
  ticking ??= setInterval(tick, settings.gapMs);
}

function moderate(body: Buffer, response: ServerResponse): void {
  const { input } = JSON.parse(body.toString()) as { input: unknown };
  const results = (Array.isArray(input) ? input : [input]).map(() => RESULT);
  const text = JSON.stringify({ id: 'modr-bench', model: 'omni-moderation-latest', results });
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text);
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  const body = Buffer.concat(pieces);
  if (request.url === '/settings') {
    settings = JSON.parse(body.toString()) as UpstreamSettings;
    response.end();
  } else if (request.url?.endsWith('/moderations')) moderate(body, response);
  else if (settings.latencyMs > 0) setTimeout(() => complete(body, response), settings.latencyMs);
  else complete(body, response);
}

const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  answer(request, response).catch(() => response.destroy());
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
