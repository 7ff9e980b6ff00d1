import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LLMock } from '@copilotkit/aimock';
import { AudioFace, type HeardCall, type OnHeard, type OnSpoken, type SpokenCall } from './rehearsal.audio.face.js';
import { ChatFace, type ChatCall, type OnChat } from './rehearsal.chat.face.js';
import { CompletionsFace, type CompletionsCall, type OnCompletions } from './rehearsal.completions.face.js';
import { EmbeddingsFace, type EmbeddingsCall, type OnEmbeddings } from './rehearsal.embeddings.face.js';
import { ImagesFace, type ImagesCall, type OnImages } from './rehearsal.images.face.js';
import { readJson, refuse, sendJson, type Refusal } from './rehearsal.http.js';
import { moderate, type ModerationBody } from './rehearsal.moderation.js';
import { pause } from './rehearsal.pace.js';
import { ResponsesFace, type OnResponses, type ResponsesCall } from './rehearsal.responses.face.js';
import { answerText } from './rehearsal.text.js';
import { RehearsalReports, USAGE_REPORTS } from './rehearsal.usage.js';

export interface ModerationCall {
  startedAtMs: number;
  body: ModerationBody;
  status: number;
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
  /** Whose account it is: only the same one reads the contents that it has sealed. Without a name, nobody else's. */
  organization?: string;
}

/**
 * The upstream for rehearsals and tests. It serves the endpoints whose details matter to Daypass: several choices,
 * moderation of many texts, the cost of a cancelled call. aimock serves all others.
 */
export class Rehearsal {
  /** Lets a test change answers; undefined leaves the answer as it is. */
  onChat: OnChat | undefined;
  onResponses: OnResponses | undefined;
  onEmbeddings: OnEmbeddings | undefined;
  onHeard: OnHeard | undefined;
  onSpoken: OnSpoken | undefined;
  onImages: OnImages | undefined;
  onCompletions: OnCompletions | undefined;
  onModeration: ((body: ModerationBody) => Refusal | undefined | Promise<Refusal | undefined>) | undefined;

  /** The provider's safety cases, by id. A look-up of any other id gets 404. */
  readonly safetyCases = new Map<
    string,
    { entity_identifier: string; reason: string | null; notice: { type: 'warning' | 'deactivation' } }
  >();

  /** The provider's later reports about all calls. */
  readonly reports = new RehearsalReports();

  private chats: ChatCall[] = [];
  private responses: ResponsesCall[] = [];
  private embeddings: EmbeddingsCall[] = [];
  private heard: HeardCall[] = [];
  private spoken: SpokenCall[] = [];
  private images: ImagesCall[] = [];
  private completions: CompletionsCall[] = [];
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
      organization: randomUUID(),
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
    const core = {
      options: this.options,
      stopped: this.stopped.signal,
      reports: this.reports,
      nextId: () => this.nextId++,
    };
    const chat = new ChatFace({
      ...core,
      remember: (call) => this.remember(this.chats, call),
      override: (body, call) => this.onChat?.(body, call),
    });
    this.mock.mount(
      '/v1/chat/completions',
      this.served((request, response) => chat.answer(request, response)),
    );
    const responses = new ResponsesFace({
      ...core,
      organization: this.options.organization,
      remember: (call) => this.remember(this.responses, call),
      override: (body, call) => this.onResponses?.(body, call),
    });
    this.mock.mount(
      '/v1/responses',
      this.served((request, response) => responses.answer(request, response), true),
    );
    const embeddings = new EmbeddingsFace({
      ...core,
      remember: (call) => this.remember(this.embeddings, call),
      override: (body) => this.onEmbeddings?.(body),
    });
    this.mock.mount(
      '/v1/embeddings',
      this.served((request, response) => embeddings.answer(request, response)),
    );
    const audio = new AudioFace({
      ...core,
      rememberHeard: (call) => this.remember(this.heard, call),
      rememberSpoken: (call) => this.remember(this.spoken, call),
      onHeard: (form) => this.onHeard?.(form),
      onSpoken: (body) => this.onSpoken?.(body),
    });
    for (const path of ['transcriptions', 'translations'])
      this.mock.mount(
        `/v1/audio/${path}`,
        this.served((request, response) => audio.hear(request, response, path === 'translations')),
      );
    this.mock.mount(
      '/v1/audio/speech',
      this.served((request, response) => audio.speak(request, response)),
    );
    const images = new ImagesFace({
      ...core,
      remember: (call) => this.remember(this.images, call),
      override: (body, call) => this.onImages?.(body, call),
    });
    for (const path of ['generations', 'edits'] as const)
      this.mock.mount(
        `/v1/images/${path}`,
        this.served((request, response) => images.answer(request, response, path)),
      );
    const completions = new CompletionsFace({
      ...core,
      remember: (call) => this.remember(this.completions, call),
      override: (body) => this.onCompletions?.(body),
    });
    this.mock.mount(
      '/v1/completions',
      this.served((request, response) => completions.answer(request, response)),
    );
    this.mock.mount(
      '/v1/moderations',
      this.served((request, response) => this.moderation(request, response)),
    );
    this.mock.mount(
      '/v1/safety/cases',
      asked((request, response) => this.safetyCase(request, response)),
    );
    for (const api of USAGE_REPORTS)
      this.mock.mount(
        `/v1/organization/usage/${api}`,
        asked((request, response) => this.reports.usage(request, response, api)),
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

  responsesCalls(): readonly ResponsesCall[] {
    return this.responses;
  }

  embeddingsCalls(): readonly EmbeddingsCall[] {
    return this.embeddings;
  }

  heardCalls(): readonly HeardCall[] {
    return this.heard;
  }

  spokenCalls(): readonly SpokenCall[] {
    return this.spoken;
  }

  imagesCalls(): readonly ImagesCall[] {
    return this.images;
  }

  completionsCalls(): readonly CompletionsCall[] {
    return this.completions;
  }

  moderationCalls(): readonly ModerationCall[] {
    return this.moderations;
  }

  /** Forgets the calls and the overrides, between tests. */
  reset(): void {
    this.chats = [];
    this.responses = [];
    this.embeddings = [];
    this.heard = [];
    this.spoken = [];
    this.images = [];
    this.completions = [];
    this.moderations = [];
    this.onChat = undefined;
    this.onResponses = undefined;
    this.onEmbeddings = undefined;
    this.onHeard = undefined;
    this.onSpoken = undefined;
    this.onImages = undefined;
    this.onCompletions = undefined;
    this.onModeration = undefined;
    this.reports.reset();
    this.safetyCases.clear();
    this.mock.clearRequests();
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    await this.mock.stop();
  }

  private served(handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>, everyMethod = false) {
    return {
      handleRequest: async (request: IncomingMessage, response: ServerResponse): Promise<boolean> => {
        if (request.method !== 'POST' && !everyMethod) return false;
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
