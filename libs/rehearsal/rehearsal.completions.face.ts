import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ChatOverride } from './rehearsal.chat.face.js';
import { completionFrames, planCompletion, wholeCompletion, type CompletionsBody } from './rehearsal.completions.js';
import { goneWith, readJson, refuse, sendJson } from './rehearsal.http.js';
import { pause } from './rehearsal.pace.js';

export interface CompletionsCall {
  headers: IncomingMessage['headers'];
  body: CompletionsBody;
}

export type OnCompletions = (body: CompletionsBody) => ChatOverride | undefined;

interface Core {
  options: { firstTokenMs: number; tokensPerSecond: number };
  stopped: AbortSignal;
  remember: (call: CompletionsCall) => void;
  override: OnCompletions;
}

/** `POST /v1/completions`, as compatible servers have it. Their providers make no usage reports. */
export class CompletionsFace {
  constructor(private readonly core: Core) {}

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = (await readJson(request)) as CompletionsBody;
    this.core.remember({ headers: request.headers, body });
    const gone = goneWith(response, this.core.stopped);
    const override = this.core.override(body) ?? {};
    if (override.refuse) return refuse(response, override.refuse);
    const answer = planCompletion(body, override);
    const tokensPerSecond = override.tokensPerSecond ?? this.core.options.tokensPerSecond;
    await pause(override.firstTokenMs ?? this.core.options.firstTokenMs, gone);
    if (gone.aborted) return;
    if (body.stream !== true) return sendJson(response, 200, wholeCompletion(answer, body));
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    for (const frame of completionFrames(answer, body)) {
      response.write(`data: ${JSON.stringify(frame)}\n\n`);
      await pause(tokensPerSecond > 0 ? 1_000 / tokensPerSecond : 0, gone);
      if (gone.aborted) return;
    }
    response.end('data: [DONE]\n\n');
  }
}
