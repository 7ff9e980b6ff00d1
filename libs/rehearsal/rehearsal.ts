import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { LLMock } from '@copilotkit/aimock';
import {
  completionOf,
  framesOf,
  outputTokens,
  planAnswer,
  tierOf,
  type ChatBody,
  type ChatWish,
  type Usage,
} from './rehearsal.chat.js';
import { readJson, refuse, sendJson, type Refusal } from './rehearsal.http.js';
import { moderate, type ModerationBody } from './rehearsal.moderation.js';
import { answerText } from './rehearsal.text.js';
import { apiKeyIdOf, RehearsalReports } from './rehearsal.usage.js';

export interface ChatCall {
  id: number;
  startedAtMs: number;
  headers: IncomingMessage['headers'];
  body: ChatBody;
  /** `aborted`: the caller hung up before the end. `refused`: the rehearsal answered with an error. */
  state: 'running' | 'finished' | 'aborted' | 'refused';
  /** What the provider would bill: of an aborted stream, the tokens until then. */
  usage: Usage | undefined;
}

export interface ModerationCall {
  startedAtMs: number;
  body: ModerationBody;
  status: number;
}

export interface ChatOverride extends ChatWish {
  refuse?: Refusal;
  firstTokenMs?: number;
  tokensPerSecond?: number;
  /** The connection breaks after so many frames. */
  cutAfterFrames?: number;
  /** The stream ends with an error object after so many frames. */
  errorAfterFrames?: { frames: number; error: Refusal['error'] };
  /** A whole answer to the letter. */
  raw?: string;
  /** The answer reports no usage, but costs all the same. */
  withoutUsage?: boolean;
}

export interface RehearsalOptions {
  host?: string;
  port?: number;
  /** The pause before the first byte of a chat answer. */
  firstTokenMs?: number;
  /** Frames per second of a stream; 0: all at once. */
  tokensPerSecond?: number;
  moderationLatencyMs?: number;
  /** How many calls the rehearsal keeps with their bodies. The oldest go first. */
  keepCalls?: number;
}

/**
 * The upstream for rehearsals and tests. It serves the endpoints whose details matter to Daypass: several choices,
 * moderation of many texts, the cost of a cancelled call. aimock serves all others.
 */
export class Rehearsal {
  /** Lets a test change answers; undefined leaves the answer as it is. */
  onChat:
    ((body: ChatBody, call: ChatCall) => ChatOverride | undefined | Promise<ChatOverride | undefined>) | undefined;
  onModeration: ((body: ModerationBody) => Refusal | undefined | Promise<Refusal | undefined>) | undefined;

  /** The provider's safety cases, by id. A look-up of any other id gets 404. */
  readonly safetyCases = new Map<
    string,
    { entity_identifier: string; reason: string | null; notice: { type: 'warning' | 'deactivation' } }
  >();

  /** The provider's later reports about all calls. */
  readonly reports = new RehearsalReports();

  private chats: ChatCall[] = [];
  private moderations: ModerationCall[] = [];
  private nextId = 1;
  private readonly stopped = new AbortController();
  private readonly mock: LLMock;
  readonly options: Required<RehearsalOptions>;

  private constructor(options: RehearsalOptions) {
    this.options = {
      host: '127.0.0.1',
      port: 0,
      firstTokenMs: 0,
      tokensPerSecond: 0,
      moderationLatencyMs: 0,
      keepCalls: 1000,
      ...options,
    };
    this.mock = new LLMock({
      host: this.options.host,
      port: this.options.port,
      journalMaxEntries: Math.max(1, this.options.keepCalls),
    });
    this.mock.onMessage(/[^]*/, (request) => ({
      content: answerText(JSON.stringify(request.messages.at(-1)?.content ?? ''), 0),
    }));
    this.mock.mount(
      '/v1/chat/completions',
      this.served((request, response) => this.chat(request, response)),
    );
    this.mock.mount(
      '/v1/moderations',
      this.served((request, response) => this.moderation(request, response)),
    );
    this.mock.mount(
      '/v1/safety/cases',
      asked((request, response) => this.safetyCase(request, response)),
    );
    this.mock.mount(
      '/v1/organization/usage/completions',
      asked((request, response) => this.reports.usage(request, response)),
    );
    this.mock.mount(
      '/v1/organization/costs',
      asked((request, response) => this.reports.costs(request, response)),
    );
    this.mock.mount(
      '/v1/organization/projects',
      asked((request, response) => this.reports.rateLimits(request, response)),
    );
  }

  static async start(options: RehearsalOptions = {}): Promise<Rehearsal> {
    const rehearsal = new Rehearsal(options);
    await rehearsal.mock.start();
    return rehearsal;
  }

  /** The value for OPENAI_BASE_URL. */
  get url(): string {
    return `${this.mock.url}/v1`;
  }

  chatCalls(): readonly ChatCall[] {
    return this.chats;
  }

  moderationCalls(): readonly ModerationCall[] {
    return this.moderations;
  }

  /** Forgets the calls and the overrides, between tests. */
  reset(): void {
    this.chats = [];
    this.moderations = [];
    this.onChat = undefined;
    this.onModeration = undefined;
    this.reports.reset();
    this.safetyCases.clear();
    this.mock.clearRequests();
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    await this.mock.stop();
  }

  private served(handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>) {
    return {
      handleRequest: async (request: IncomingMessage, response: ServerResponse): Promise<boolean> => {
        if (request.method !== 'POST') return false;
        try {
          await handle(request, response);
        } catch (error) {
          if (!response.headersSent && !response.destroyed)
            refuse(response, {
              status: 400,
              error: { message: error instanceof Error ? error.message : String(error), type: 'invalid_request_error' },
            });
          else response.destroy();
        }
        return true;
      },
    };
  }

  private async chat(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = (await readJson(request)) as ChatBody;
    const call: ChatCall = {
      id: this.nextId++,
      startedAtMs: Date.now(),
      headers: request.headers,
      body,
      state: 'running',
      usage: undefined,
    };
    this.remember(this.chats, call);
    const hungUp = new AbortController();
    response.once('close', () => hungUp.abort());
    const gone = AbortSignal.any([hungUp.signal, this.stopped.signal]);

    const override = (await this.onChat?.(body, call)) ?? {};
    if (override.refuse) {
      call.state = 'refused';
      return refuse(response, override.refuse);
    }
    const answer = planAnswer(body, override);
    const tokensPerSecond = override.tokensPerSecond ?? this.options.tokensPerSecond;
    await pause(override.firstTokenMs ?? this.options.firstTokenMs, gone);
    if (gone.aborted) return this.bill(call, 'aborted', usageOf(answer.usage, 0));
    if (body.stream !== true) {
      const tokens = Math.max(...answer.choices.map(outputTokens));
      await pause(tokensPerSecond > 0 ? (tokens * 1000) / tokensPerSecond : 0, gone);
      this.bill(call, gone.aborted ? 'aborted' : 'finished', answer.usage);
      if (!gone.aborted && override.raw !== undefined)
        response.writeHead(200, { 'content-type': 'application/json' }).end(override.raw);
      else if (!gone.aborted)
        sendJson(
          response,
          200,
          { ...completionOf(answer, body), ...(override.withoutUsage ? { usage: undefined } : {}) },
          call.id,
        );
      return;
    }
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-request-id': `req_rehearsal_${call.id}`,
    });
    let sent = 0;
    for (const frame of framesOf(answer, override.withoutUsage ? { ...body, stream_options: {} } : body)) {
      if (sent === override.cutAfterFrames) {
        this.bill(call, 'aborted', usageOf(answer.usage, sent));
        response.destroy();
        return;
      }
      if (sent === override.errorAfterFrames?.frames) {
        this.bill(call, 'aborted', usageOf(answer.usage, sent));
        response.end(`data: ${JSON.stringify({ error: override.errorAfterFrames.error })}\n\n`);
        return;
      }
      response.write(`data: ${JSON.stringify(frame)}\n\n`);
      sent++;
      await pause(tokensPerSecond > 0 ? 1000 / tokensPerSecond : 0, gone);
      if (gone.aborted) return this.bill(call, 'aborted', usageOf(answer.usage, sent));
    }
    this.bill(call, 'finished', answer.usage);
    response.end('data: [DONE]\n\n');
  }

  private bill(call: ChatCall, state: ChatCall['state'], usage: Usage): void {
    call.state = state;
    call.usage = usage;
    const { body, headers } = call;
    this.reports.bill({
      atMs: Date.now(),
      model: body.model ?? 'unknown',
      serviceTier: tierOf(body),
      apiKeyId: apiKeyIdOf(headers.authorization),
      usage,
    });
  }

  private async moderation(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = (await readJson(request)) as ModerationBody;
    const call: ModerationCall = { startedAtMs: Date.now(), body, status: 0 };
    this.remember(this.moderations, call);
    const refusal = await this.onModeration?.(body);
    await pause(this.options.moderationLatencyMs, this.stopped.signal);
    if (refusal) {
      call.status = refusal.status;
      return refuse(response, refusal);
    }
    const { status, answer } = moderate(body);
    call.status = status;
    sendJson(response, status, answer);
  }

  private safetyCase(request: IncomingMessage, response: ServerResponse): void {
    const id = decodeURIComponent((request.url ?? '').split('/').at(-1)!);
    const found = this.safetyCases.get(id);
    if (!found) return refuse(response, { status: 404, error: { message: `No safety case ${id}` } });
    sendJson(response, 200, { id, object: 'safety.case', created_at: Math.floor(Date.now() / 1_000), ...found });
  }

  private remember<T>(calls: T[], call: T): void {
    if (this.options.keepCalls === 0) return;
    calls.push(call);
    if (calls.length > this.options.keepCalls) calls.shift();
  }
}

function asked(handle: (request: IncomingMessage, response: ServerResponse) => void) {
  return {
    handleRequest: async (request: IncomingMessage, response: ServerResponse): Promise<boolean> => {
      if (request.method !== 'GET') return false;
      handle(request, response);
      return true;
    },
  };
}

/** What a cancelled call costs: all of its input, and the output until then. */
function usageOf(whole: Usage, generated: number): Usage {
  const completion_tokens = Math.min(generated, whole.completion_tokens);
  return { ...whole, completion_tokens, total_tokens: whole.prompt_tokens + completion_tokens };
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal }).catch(() => undefined);
}
