import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { azureResponse, CAUGHT, CLEAN, eventsOfResponse, type AzureOutput } from './azure.responses.js';

type Json = Record<string, unknown>;

export interface AzureCall {
  path: string;
  query: string;
  headers: IncomingMessage['headers'];
  body: Json;
}

/** What the prompt filter catches. */
export const PROMPT_PHRASE = 'AZURE-PROMPT-FILTER';

/**
 * Azure OpenAI as its documentation has it, in both shapes of its paths: `/openai/v1/…` with the deployment as the model,
 * and `/openai/deployments/<name>/…?api-version=`, where responses are at `/openai/responses`. It stores nothing, and knows no parameter that an older version does not.
 */
export class AzureDouble {
  readonly calls: AzureCall[] = [];
  /** Its deployments. */
  readonly deployments = new Set<string>();
  output: AzureOutput = 'clean';
  /** An error that it answers all calls with. */
  trouble: { status: number; error: Json } | undefined;
  /** Parameters that this version refuses to know. */
  unknown: readonly string[] = [];
  private readonly server: Server;

  constructor(private readonly key: string) {
    this.server = createServer((request, response) => {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => pieces.push(piece));
      request.on('end', () => this.answer(request, JSON.parse(Buffer.concat(pieces).toString()) as Json, response));
    });
  }

  /** Its address up to `/openai`. */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/openai`;
  }

  reset(): void {
    this.calls.length = 0;
    this.output = 'clean';
    this.trouble = undefined;
    this.unknown = [];
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private answer({ url = '', headers }: IncomingMessage, body: Json, response: ServerResponse): void {
    const { pathname, search } = new URL(url, 'http://azure');
    this.calls.push({ path: pathname, query: search, headers, body });
    const refuse = (status: number, error: Json): void => send(response, status, { error });
    if (headers['api-key'] !== this.key || headers.authorization !== undefined)
      return refuse(401, {
        code: '401',
        message: 'Access denied due to invalid subscription key or wrong API endpoint.',
      });
    if (this.trouble) return refuse(this.trouble.status, this.trouble.error);
    const [, deployed, operation] = /^\/openai\/deployments\/([^/]+)\/(.+)$/.exec(pathname) ?? [];
    const isOld = deployed !== undefined || !pathname.startsWith('/openai/v1/');
    if (isOld && search !== '?api-version=2024-10-21')
      return refuse(404, { code: '404', message: 'Resource not found' });
    if (!this.deployments.has(deployed ?? (body.model as string)))
      return refuse(404, {
        code: 'DeploymentNotFound',
        message:
          'The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again.',
      });
    const stranger = this.unknown.find((name) => name in body);
    if (stranger)
      return refuse(400, {
        message: `Unrecognized request argument supplied: ${stranger}`,
        type: 'invalid_request_error',
        param: null,
        code: null,
      });
    if (JSON.stringify(body).includes(PROMPT_PHRASE))
      return refuse(400, {
        message: "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        type: null,
        param: 'prompt',
        code: 'content_filter',
        status: 400,
        innererror: {
          code: 'ResponsibleAIPolicyViolation',
          content_filter_result: { ...CAUGHT, jailbreak: { filtered: false, detected: false } },
        },
      });
    const op = operation ?? pathname.replace(/^\/openai\/(v1\/)?/, '');
    if (op === 'embeddings') return send(response, 200, embedding(body));
    if (op === 'responses') return this.respond(body, response);
    if (op === 'chat/completions')
      return body.stream === true ? this.stream(body, response) : send(response, 200, this.whole(body));
    return refuse(404, { code: '404', message: 'Resource not found' });
  }

  /** As its documentation has responses: their filters stand in the response itself. */
  private respond(body: Json, response: ServerResponse): void {
    const named = (Array.isArray(body.input) ? (body.input as Json[]) : []).find(({ id }) => id !== undefined);
    if (named || body.previous_response_id !== undefined || body.store !== false)
      return send(response, 404, {
        error: { message: `Item with id '${String(named?.id)}' not found.`, type: 'invalid_request_error' },
      });
    if (body.stream !== true) return send(response, 200, azureResponse(body, this.output));
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    for (const event of eventsOfResponse(body, this.output))
      response.write(`event: ${event.type as string}\ndata: ${JSON.stringify(event)}\n\n`);
    response.end();
  }

  private whole(body: Json): Json {
    const caught = this.output !== 'clean';
    return {
      ...headOf(body, 'chat.completion'),
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: caught ? '' : 'fine words' },
          finish_reason: caught ? 'content_filter' : 'stop',
          logprobs: null,
          content_filter_results: caught ? CAUGHT : CLEAN,
        },
      ],
      prompt_filter_results: [{ prompt_index: 0, content_filter_results: CLEAN }],
      usage: { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 },
    };
  }

  private stream(body: Json, response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    const head = headOf(body, 'chat.completion.chunk');
    const write = (choices: Json[], more: Json = {}): void =>
      void response.write(`data: ${JSON.stringify({ ...head, choices, ...more })}\n\n`);
    const late = this.output === 'late';
    write([], { id: '', model: '', prompt_filter_results: [{ prompt_index: 0, content_filter_results: CLEAN }] });
    const results = late ? {} : CLEAN;
    for (const content of ['fine', ' words', ' that', ' go', ' on'])
      write([{ index: 0, delta: { content }, finish_reason: null, logprobs: null, content_filter_results: results }]);
    // The asynchronous filter annotates what is out already.
    const offsets = { check_offset: 0, start_offset: 0, end_offset: 10 };
    if (late)
      write([{ index: 0, finish_reason: null, content_filter_results: CAUGHT, content_filter_offsets: offsets }]);
    const caught = this.output === 'caught';
    write([
      {
        index: 0,
        delta: {},
        finish_reason: caught ? 'content_filter' : 'stop',
        logprobs: null,
        content_filter_results: caught ? CAUGHT : CLEAN,
      },
    ]);
    write([], { usage: { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14 } });
    response.end('data: [DONE]\n\n');
  }
}

const headOf = ({ model }: Json, object: string): Json => ({ id: 'chatcmpl-azure', object, created: 1, model });

function embedding({ model, input }: Json): Json {
  const data = [input].flat().map((_, index) => ({
    object: 'embedding',
    index,
    embedding: Buffer.from(new Float32Array([1, 0]).buffer).toString('base64'),
  }));
  return { object: 'list', data, model, usage: { prompt_tokens: 2, total_tokens: 2 } };
}

function send(response: ServerResponse, status: number, body: Json): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
