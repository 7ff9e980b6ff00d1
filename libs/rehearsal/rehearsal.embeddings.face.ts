import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Usage } from './rehearsal.chat.js';
import { partsOf, planEmbeddings, type EmbeddingsBody, type EmbeddingsOverride } from './rehearsal.embeddings.js';
import { goneWith, readJson, refuse } from './rehearsal.http.js';
import { pause } from './rehearsal.pace.js';
import { apiKeyIdOf, type RehearsalReports } from './rehearsal.usage.js';

export interface EmbeddingsCall {
  startedAtMs: number;
  body: EmbeddingsBody;
  state: 'running' | 'finished' | 'aborted' | 'refused';
}

export type OnEmbeddings = (
  body: EmbeddingsBody,
) => EmbeddingsOverride | undefined | Promise<EmbeddingsOverride | undefined>;

interface Core {
  options: { firstTokenMs: number };
  stopped: AbortSignal;
  reports: RehearsalReports;
  remember: (call: EmbeddingsCall) => void;
  override: OnEmbeddings;
}

/** `POST /v1/embeddings`. */
export class EmbeddingsFace {
  constructor(private readonly core: Core) {}

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = (await readJson(request)) as EmbeddingsBody;
    const call: EmbeddingsCall = { startedAtMs: Date.now(), body, state: 'running' };
    this.core.remember(call);
    const gone = goneWith(response, this.core.stopped);
    const override = (await this.core.override(body)) ?? {};
    const plan = override.refuse ?? (await planEmbeddings(body));
    if ('status' in plan) {
      call.state = 'refused';
      return refuse(response, plan);
    }
    await pause(override.firstByteMs ?? this.core.options.firstTokenMs, gone);
    // The work is done, whoever still waits for it.
    this.core.reports.bill({
      api: 'embeddings',
      atMs: Date.now(),
      model: plan.model,
      serviceTier: 'default',
      apiKeyId: apiKeyIdOf(request.headers.authorization),
      usage: usageOfInput(plan.tokens),
    });
    call.state = gone.aborted ? 'aborted' : 'finished';
    if (gone.aborted) return;
    response.writeHead(200, { 'content-type': 'application/json' });
    if (override.raw !== undefined) {
      response.end(override.raw);
      return;
    }
    let sent = -1;
    for (const part of partsOf(plan, override)) {
      if (sent++ === override.cutAfterVectors) {
        response.destroy();
        return;
      }
      if (!response.write(part)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
      if (gone.aborted) return;
    }
    response.end();
  }
}

function usageOfInput(tokens: number): Usage {
  return {
    prompt_tokens: tokens,
    completion_tokens: 0,
    total_tokens: tokens,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0 },
  };
}
