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
const WORDS = 'one more word ';
const CHUNK = frame({ content: WORDS }, null);
const LAST = `${frame({}, 'stop')}data: ${JSON.stringify({ ...HEAD, object: 'chat.completion.chunk', choices: [], usage: USAGE })}\n\ndata: [DONE]\n\n`;

/** The same texts as a response. */
const event = (type: string, fields: object): string =>
  `event: response.${type}\ndata: ${JSON.stringify({ type: `response.${type}`, sequence_number: 0, ...fields })}\n\n`;
const MESSAGE = { id: 'msg_bench', type: 'message', role: 'assistant' };
const PART = { type: 'output_text', annotations: [], logprobs: [] };
const PLACE = { output_index: 0, item_id: MESSAGE.id, content_index: 0 };
const messageOf = (text: string): object => ({ ...MESSAGE, status: 'completed', content: [{ ...PART, text }] });
const responseOf = (status: string, output: readonly object[]): object => ({
  id: 'resp_bench',
  object: 'response',
  created_at: HEAD.created,
  status,
  background: false,
  error: null,
  incomplete_details: null,
  instructions: null,
  max_output_tokens: 400,
  model: HEAD.model,
  output,
  parallel_tool_calls: true,
  previous_response_id: null,
  reasoning: { effort: null, summary: null },
  service_tier: 'default',
  store: false,
  temperature: 1,
  text: { format: { type: 'text' }, verbosity: 'medium' },
  tool_choice: 'auto',
  tools: [],
  top_p: 1,
  truncation: 'disabled',
  usage: status === 'completed' ? RESPONSE_USAGE : null,
  user: null,
  metadata: {},
});
const RESPONSE_USAGE = {
  input_tokens: USAGE.prompt_tokens,
  input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
  output_tokens: USAGE.completion_tokens,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: USAGE.total_tokens,
};
const [RESPONSE_BEFORE, RESPONSE_AFTER] = JSON.stringify(
  responseOf('completed', [messageOf(`${MARK} ${CONTENT}`)]),
).split(MARK) as [string, string];

/** What a stream sends: at its begin, for each of its chunks, and at its end. */
interface Frames {
  first: string;
  chunk: string;
  last: string;
}

const CHAT: Frames = { first: '', chunk: CHUNK, last: LAST };

function responseFrames(chunks: number): Frames {
  const text = WORDS.repeat(chunks);
  const part = { ...PART, text };
  return {
    first:
      event('created', { response: responseOf('in_progress', []) }) +
      event('in_progress', { response: responseOf('in_progress', []) }) +
      event('output_item.added', { output_index: 0, item: { ...MESSAGE, status: 'in_progress', content: [] } }) +
      event('content_part.added', { ...PLACE, part: { ...PART, text: '' } }),
    chunk: event('output_text.delta', { ...PLACE, delta: WORDS, logprobs: [] }),
    last:
      event('output_text.done', { ...PLACE, text, logprobs: [] }) +
      event('content_part.done', { ...PLACE, part }) +
      event('output_item.done', { output_index: 0, item: messageOf(text) }) +
      event('completed', { response: responseOf('completed', [messageOf(text)]) }),
  };
}

let answers = 0;
let settings: UpstreamSettings = { latencyMs: 0, chunks: 100, gapMs: 10 };
let responses = responseFrames(settings.chunks);
const streams = new Map<ServerResponse, { left: number; frames: Frames }>();
let ticking: NodeJS.Timeout | undefined;

/** One timer for all streams: with a thousand timers the bench would measure them instead of the gateway. */
function tick(): void {
  for (const [response, stream] of streams) {
    if (response.destroyed) streams.delete(response);
    else if (stream.left > 0) {
      response.write(stream.frames.chunk);
      stream.left--;
    } else {
      streams.delete(response);
      response.end(stream.frames.last);
    }
  }
  if (streams.size === 0) {
    clearInterval(ticking);
    ticking = undefined;
  }
}

function complete(body: Buffer, asResponse: boolean, response: ServerResponse): void {
  if (!body.includes('"stream":true')) {
    const [before, after] = asResponse ? [RESPONSE_BEFORE, RESPONSE_AFTER] : [BEFORE, AFTER];
    const text = `${before}${String(answers++).padStart(MARK.length, '0')}${after}`;
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': text.length }).end(text);
    return;
  }
  const frames = asResponse ? responses : CHAT;
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  if (frames.first !== '') response.write(frames.first);
  streams.set(response, { left: settings.chunks, frames });
  ticking ??= setInterval(tick, settings.gapMs);
}

function moderate(body: Buffer, response: ServerResponse): void {
  const { input } = JSON.parse(body.toString()) as { input: unknown };
  const results = (Array.isArray(input) ? input : [input]).map(() => RESULT);
  const text = JSON.stringify({ id: 'modr-bench', model: 'omni-moderation-latest', results });
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text);
}

/** By the format and the length of the vectors: an answer of as many as were asked for last. */
const embeddings = new Map<string, { count: number; answer: Buffer }>();

function embed(body: Buffer, response: ServerResponse): void {
  const {
    input,
    dimensions = 1_536,
    encoding_format: format,
  } = JSON.parse(body.toString()) as {
    input: unknown;
    dimensions?: number;
    encoding_format?: string;
  };
  const count = Array.isArray(input) ? input.length : 1;
  const known = embeddings.get(`${format} ${dimensions}`);
  const answer = known?.count === count ? known.answer : vectors(count, dimensions, format === 'base64');
  embeddings.set(`${format} ${dimensions}`, { count, answer });
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length }).end(answer);
}

function vectors(count: number, dimensions: number, base64: boolean): Buffer {
  const numbers = Float32Array.from({ length: dimensions }, (_, at) => Math.sin(at) / 10);
  const embedding = base64 ? Buffer.from(numbers.buffer).toString('base64') : Array.from(numbers);
  const data = Array.from({ length: count }, (_, index) => ({ object: 'embedding', index, embedding }));
  const usage = { prompt_tokens: count, total_tokens: count };
  return Buffer.from(JSON.stringify({ object: 'list', data, model: 'text-embedding-3-small', usage }));
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  const body = Buffer.concat(pieces);
  if (request.url === '/settings') {
    settings = JSON.parse(body.toString()) as UpstreamSettings;
    responses = responseFrames(settings.chunks);
    response.end();
  } else if (request.url?.endsWith('/moderations')) moderate(body, response);
  else if (request.url?.endsWith('/embeddings')) embed(body, response);
  else {
    const answered = (): void => complete(body, request.url?.endsWith('/responses') === true, response);
    if (settings.latencyMs > 0) setTimeout(answered, settings.latencyMs);
    else answered();
  }
}

const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  answer(request, response).catch(() => response.destroy());
});
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () =>
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`),
);
