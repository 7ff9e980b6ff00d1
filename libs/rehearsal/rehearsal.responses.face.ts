import type { IncomingMessage, ServerResponse } from 'node:http';
import { countTextTokens } from '#libs/money/tokens.js';
import { tierOf, type Usage } from './rehearsal.chat.js';
import { beginningOf, goneWith, readJson, refuse, sendJson, type Refusal } from './rehearsal.http.js';
import { pause } from './rehearsal.pace.js';
import { eventsOf, type ResponsesEvent } from './rehearsal.responses.events.js';
import { compactionOf, planCompaction } from './rehearsal.compaction.js';
import { planResponse, responseOf, type ResponsesAnswer, type ResponsesWish } from './rehearsal.responses.js';
import type { ResponsesBody, ResponsesUsage } from './rehearsal.responses.types.js';
import { compactRefusalOf, refusalOf } from './rehearsal.responses.refusals.js';
import { SealedContents } from './rehearsal.sealed.js';
import { apiKeyIdOf, type RehearsalReports } from './rehearsal.usage.js';

export interface ResponsesCall {
  id: number;
  startedAtMs: number;
  headers: IncomingMessage['headers'];
  body: ResponsesBody;
  /** It compacts its conversation. */
  compacts: boolean;
  /** `aborted`: the caller hung up before the end. `refused`: the rehearsal answered with an error. */
  state: 'running' | 'finished' | 'aborted' | 'refused';
  /** What the provider would bill: of an aborted stream, the tokens until then. */
  usage: ResponsesUsage | undefined;
}

export interface ResponsesOverride extends ResponsesWish {
  refuse?: Refusal;
  firstTokenMs?: number;
  tokensPerSecond?: number;
  /** Headers beside the rehearsal's own. */
  headers?: Record<string, string>;
  /** Events in the place of those that the rehearsal makes up; they are numbered as they go out. */
  events?: readonly ResponsesEvent[];
  /** Waited for before each event of a stream: a test holds the stream where it wants. */
  beforeEvent?: (event: ResponsesEvent, index: number) => Promise<void> | undefined;
  /** The connection breaks after so many events. */
  cutAfterEvents?: number;
  /** After so many events the stream ends with an `error` event, or with `response.failed`. */
  errorAfterEvents?: {
    events: number;
    error: { code: string | null; message: string; param?: string | null };
    as?: 'error' | 'failed';
  };
  /** A whole answer to the letter. */
  raw?: string;
  /** The answer reports no usage, but costs all the same. */
  withoutUsage?: boolean;
}

export type OnResponses = (
  body: ResponsesBody,
  call: ResponsesCall,
) => ResponsesOverride | undefined | Promise<ResponsesOverride | undefined>;

/** What the rehearsal lends it. */
interface Core {
  options: { firstTokenMs: number; tokensPerSecond: number };
  organization: string;
  stopped: AbortSignal;
  reports: RehearsalReports;
  nextId: () => number;
  remember: (call: ResponsesCall) => void;
  override: OnResponses;
}

/**
 * `POST /v1/responses` for an organization that stores nothing: ids that a caller names are not found, and contents that
 * another organization sealed are refused.
 */
export class ResponsesFace {
  private readonly sealed: SealedContents;

  constructor(private readonly core: Core) {
    this.sealed = new SealedContents(core.organization);
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', 'http://rehearsal').pathname;
    const compacts = path.endsWith('/responses/compact');
    if (request.method !== 'POST' || !(compacts || path.endsWith('/responses'))) {
      const id = /\/responses\/([^/]+)/.exec(path)?.[1];
      const message =
        id === undefined ? `Invalid URL (${request.method} ${path})` : `Response with id '${id}' not found.`;
      return refuse(response, { status: 404, error: { message } });
    }
    const body = (await readJson(request)) as ResponsesBody;
    const call: ResponsesCall = { ...beginningOf(request, body, this.core.nextId()), compacts };
    this.core.remember(call);
    const gone = goneWith(response, this.core.stopped);
    const override = (await this.core.override(body, call)) ?? {};
    const refused = override.refuse ?? (compacts ? compactRefusalOf(body, this.sealed) : refusalOf(body, this.sealed));
    if (refused) {
      call.state = 'refused';
      return refuse(response, refused);
    }
    const answer = await (compacts ? planCompaction : planResponse)(body, override, this.sealed);
    await pause(override.firstTokenMs ?? this.core.options.firstTokenMs, gone);
    if (gone.aborted) this.bill(call, 'aborted', { ...answer.usage, ...tokensUntil(answer, 0) });
    else if (body.stream === true && !compacts) await this.stream(response, call, answer, override, gone);
    else await this.whole(response, call, answer, override, gone);
  }

  private async whole(
    response: ServerResponse,
    call: ResponsesCall,
    answer: ResponsesAnswer,
    override: ResponsesOverride,
    gone: AbortSignal,
  ): Promise<void> {
    const perSecond = override.tokensPerSecond ?? this.core.options.tokensPerSecond;
    await pause(perSecond > 0 ? (answer.usage.output_tokens * 1_000) / perSecond : 0, gone);
    this.bill(call, gone.aborted ? 'aborted' : 'finished', answer.usage);
    if (gone.aborted) return;
    for (const [name, value] of Object.entries(override.headers ?? {})) response.setHeader(name, value);
    if (override.raw !== undefined) response.writeHead(200, { 'content-type': 'application/json' }).end(override.raw);
    else {
      const whole = call.compacts ? compactionOf(answer) : responseOf(answer, answer.items);
      sendJson(response, 200, override.withoutUsage ? { ...whole, usage: null } : whole, call.id);
    }
  }

  private async stream(
    response: ServerResponse,
    call: ResponsesCall,
    answer: ResponsesAnswer,
    override: ResponsesOverride,
    gone: AbortSignal,
  ): Promise<void> {
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-request-id': `req_rehearsal_${call.id}`,
      ...override.headers,
    });
    const perSecond = override.tokensPerSecond ?? this.core.options.tokensPerSecond;
    const { cutAfterEvents, errorAfterEvents } = override;
    const generated: string[] = [];
    let reasoned = 0;
    let sent = 0;
    const send = (event: ResponsesEvent): void => {
      response.write(`event: ${event.type}\ndata: ${JSON.stringify({ sequence_number: sent, ...event })}\n\n`);
      sent++;
    };
    const stopped = async (): Promise<void> => {
      const tokens = reasoned + (await countTextTokens(generated, 'o200k_base'));
      this.bill(call, 'aborted', { ...answer.usage, ...tokensUntil(answer, tokens) });
    };
    for (const event of override.events ?? eventsOf(answer, call.body)) {
      await override.beforeEvent?.(event, sent);
      if (gone.aborted) return stopped();
      if (sent === cutAfterEvents) {
        await stopped();
        // What was sent until then arrives.
        response.socket?.destroySoon();
        return;
      }
      if (sent === errorAfterEvents?.events) {
        // Nobody bills an error in the place of an answer.
        if (sent === 0) call.state = 'refused';
        else await stopped();
        send(failureOf(answer, errorAfterEvents, call.usage));
        response.end();
        return;
      }
      send(override.withoutUsage ? withoutUsage(event) : event);
      if (event.type === 'response.output_item.added' && (event.item as { type: string }).type === 'reasoning')
        reasoned += answer.usage.output_tokens_details.reasoning_tokens;
      if (typeof event.delta !== 'string') continue;
      if (!event.type.startsWith('response.reasoning')) generated.push(event.delta);
      await pause(perSecond > 0 ? 1_000 / perSecond : 0, gone);
      if (gone.aborted) return stopped();
    }
    this.bill(call, 'finished', answer.usage);
    response.end();
  }

  private bill(call: ResponsesCall, state: ResponsesCall['state'], usage: ResponsesUsage): void {
    call.state = state;
    call.usage = usage;
    const { body, headers } = call;
    this.core.reports.bill({
      atMs: Date.now(),
      model: body.model ?? 'unknown',
      serviceTier: tierOf(body),
      apiKeyId: apiKeyIdOf(headers.authorization),
      usage: billedUsage(usage),
    });
  }
}

/** The provider's books have chat completions and responses together. */
const billedUsage = (usage: ResponsesUsage): Usage => ({
  prompt_tokens: usage.input_tokens,
  completion_tokens: usage.output_tokens,
  total_tokens: usage.total_tokens,
  prompt_tokens_details: { cached_tokens: usage.input_tokens_details.cached_tokens },
  completion_tokens_details: { reasoning_tokens: usage.output_tokens_details.reasoning_tokens },
});

/** What a cancelled call costs: all of its input, and the output until then. */
function tokensUntil({ usage }: ResponsesAnswer, generated: number): Partial<ResponsesUsage> {
  const output_tokens = Math.min(generated, usage.output_tokens);
  const reasoning_tokens = Math.min(usage.output_tokens_details.reasoning_tokens, output_tokens);
  return {
    output_tokens,
    output_tokens_details: { reasoning_tokens },
    total_tokens: usage.input_tokens + output_tokens,
  };
}

function failureOf(
  answer: ResponsesAnswer,
  { error, as }: NonNullable<ResponsesOverride['errorAfterEvents']>,
  usage: ResponsesUsage | undefined,
): ResponsesEvent {
  if (as !== 'failed') return { type: 'error', param: null, ...error };
  return {
    type: 'response.failed',
    response: { ...responseOf(answer, []), status: 'failed', error, usage: usage ?? null },
  };
}

const withoutUsage = (event: ResponsesEvent): ResponsesEvent =>
  typeof event.response === 'object' ? { ...event, response: { ...event.response, usage: null } } : event;
