import type { IncomingMessage, ServerResponse } from 'node:http';
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
import { beginningOf, goneWith, readJson, refuse, sendJson, type Refusal } from './rehearsal.http.js';
import { pause } from './rehearsal.pace.js';
import { apiKeyIdOf, type RehearsalReports } from './rehearsal.usage.js';

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

export type OnChat = (body: ChatBody, call: ChatCall) => ChatOverride | undefined | Promise<ChatOverride | undefined>;

interface Core {
  options: { firstTokenMs: number; tokensPerSecond: number };
  stopped: AbortSignal;
  reports: RehearsalReports;
  nextId: () => number;
  remember: (call: ChatCall) => void;
  override: OnChat;
}

/** `POST /v1/chat/completions`. */
export class ChatFace {
  constructor(private readonly core: Core) {}

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = (await readJson(request)) as ChatBody;
    const call: ChatCall = beginningOf(request, body, this.core.nextId());
    this.core.remember(call);
    const gone = goneWith(response, this.core.stopped);

    const override = (await this.core.override(body, call)) ?? {};
    if (override.refuse) {
      call.state = 'refused';
      return refuse(response, override.refuse);
    }
    if (body.model?.startsWith('text-embedding')) return this.refuseModel(call, response);
    const answer = planAnswer(body, override);
    const tokensPerSecond = override.tokensPerSecond ?? this.core.options.tokensPerSecond;
    await pause(override.firstTokenMs ?? this.core.options.firstTokenMs, gone);
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

  private refuseModel(call: ChatCall, response: ServerResponse): void {
    call.state = 'refused';
    const message = 'This is not a chat model and thus not supported in the v1/chat/completions endpoint.';
    refuse(response, { status: 404, error: { message, param: 'model', code: null } });
  }

  private bill(call: ChatCall, state: ChatCall['state'], usage: Usage): void {
    call.state = state;
    call.usage = usage;
    const { body, headers } = call;
    this.core.reports.bill({
      atMs: Date.now(),
      model: body.model ?? 'unknown',
      serviceTier: tierOf(body),
      apiKeyId: apiKeyIdOf(headers.authorization),
      usage,
    });
  }
}

/** What a cancelled call costs: all of its input, and the output until then. */
function usageOf(whole: Usage, generated: number): Usage {
  const completion_tokens = Math.min(generated, whole.completion_tokens);
  return { ...whole, completion_tokens, total_tokens: whole.prompt_tokens + completion_tokens };
}
