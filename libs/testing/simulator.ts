import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { partsOf, planEmbeddings } from '#libs/rehearsal/rehearsal.embeddings.js';
import { CHAT, RESPONSES, type AnswerForm, type Used } from './simulator.forms.js';

/** An account's limits for a minute. */
export interface SimulatedLimits {
  rpm: number;
  tpm: number;
}

/** One request as the simulator counts it. */
export interface Counted {
  atMs: number;
  tokens: number;
  /** Refused with 429, which counts all the same (OpenAI, "Rate limits"). */
  refused: boolean;
  /** The request's `safety_identifier`. */
  visitor: string;
}

export interface SimulatorOptions {
  chat: SimulatedLimits;
  moderation: SimulatedLimits;
  /** Absent: none. */
  embeddings?: SimulatedLimits;
  firstTokenMs?: number;
  tokensPerSecond?: number;
  moderationMs?: number;
  /** Whether answers report the limits: of chat completions and responses, which share them. */
  headers?: boolean;
}

const WINDOW_MS = 60_000;

/** A limit over a true sliding window: each request of the last sixty seconds counts. */
class SlidingLimit {
  readonly log: Counted[] = [];
  private from = 0;
  private requests = 0;
  private tokens = 0;

  constructor(public limits: SimulatedLimits) {}

  /** Counts a request. Returns 0 where it fits, else the ms after which it would. */
  take(tokens: number, visitor: string): number {
    const now = Date.now();
    while (this.from < this.log.length && this.log[this.from]!.atMs <= now - WINDOW_MS) {
      this.requests--;
      this.tokens -= this.log[this.from]!.tokens;
      this.from++;
    }
    const fits = this.requests + 1 <= this.limits.rpm && this.tokens + tokens <= this.limits.tpm;
    this.requests++;
    this.tokens += tokens;
    this.log.push({ atMs: now, tokens, refused: !fits, visitor });
    return fits ? 0 : Math.max(1, this.log[this.from]!.atMs + WINDOW_MS - now);
  }

  headers(): Record<string, string> {
    return {
      'x-ratelimit-limit-requests': String(this.limits.rpm),
      'x-ratelimit-limit-tokens': String(this.limits.tpm),
      'x-ratelimit-remaining-requests': String(Math.max(0, this.limits.rpm - this.requests)),
      'x-ratelimit-remaining-tokens': String(Math.max(0, this.limits.tpm - this.tokens)),
      'x-ratelimit-reset-requests': '60s',
      'x-ratelimit-reset-tokens': '60s',
    };
  }
}

/**
 * An upstream that meters. It has the documented limits over true sliding windows: one for chat completions and responses
 * together, one for embeddings and one for moderation. It sends headers and 429s, takes as long as its tokens need, and logs
 * every request. It counts tokens before the call, from characters and output caps. It shares no code with the pacer.
 */
export class Simulator {
  readonly chat: SlidingLimit;
  readonly moderation: SlidingLimit;
  readonly embeddings: SlidingLimit;
  /** How many texts it judged. */
  texts = 0;
  private readonly server: Server;

  private constructor(readonly options: Required<SimulatorOptions>) {
    this.chat = new SlidingLimit(options.chat);
    this.moderation = new SlidingLimit(options.moderation);
    this.embeddings = new SlidingLimit(options.embeddings);
    this.server = createServer((request, response) => {
      this.answer(request, response).catch(() => response.destroy());
    });
  }

  static async start(options: SimulatorOptions): Promise<Simulator> {
    const simulator = new Simulator({
      firstTokenMs: 200,
      tokensPerSecond: 400,
      moderationMs: 50,
      embeddings: { rpm: Infinity, tpm: Infinity },
      headers: true,
      ...options,
    });
    await new Promise<void>((resolve) => simulator.server.listen(0, '127.0.0.1', resolve));
    return simulator;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Record<string, unknown>;
    if (request.url?.endsWith('/moderations')) await this.moderate(body, response);
    else if (request.url?.endsWith('/embeddings')) await this.embed(body, response);
    else await this.complete(body, request.url?.endsWith('/responses') ? RESPONSES : CHAT, response);
  }

  private async moderate(body: Record<string, unknown>, response: ServerResponse): Promise<void> {
    const input = (Array.isArray(body.input) ? body.input : [body.input]) as unknown[];
    const waitMs = this.moderation.take(Math.ceil(characters(input) / 4), '');
    if (waitMs > 0) return refuse(response, waitMs, {});
    this.texts += input.length;
    await sleep(this.options.moderationMs);
    send(
      response,
      {
        id: 'modr',
        model: body.model,
        results: input.map(() => ({ flagged: false, categories: {}, category_scores: { violence: 0.01 } })),
      },
      {},
    );
  }

  private async embed(body: Record<string, unknown>, response: ServerResponse): Promise<void> {
    const plan = await planEmbeddings(body);
    if ('status' in plan) {
      response
        .writeHead(plan.status, { 'content-type': 'application/json' })
        .end(JSON.stringify({ error: plan.error }));
      return;
    }
    const waitMs = this.embeddings.take(plan.tokens, String(body.user));
    const headers = this.options.headers && this.options.embeddings.rpm < Infinity ? this.embeddings.headers() : {};
    if (waitMs > 0) return refuse(response, waitMs, headers);
    await sleep(this.options.firstTokenMs);
    response.writeHead(200, { 'content-type': 'application/json', ...headers });
    for (const part of partsOf(plan, {})) if (!response.write(part)) await once(response, 'drain');
    response.end();
  }

  private async complete(body: Record<string, unknown>, form: AnswerForm, response: ServerResponse): Promise<void> {
    const cap = form.capOf(body);
    const prompt = Math.ceil(form.promptOf(body).reduce((sum: number, value) => sum + characters(value), 0) / 4);
    const waitMs = this.chat.take(prompt + cap, String(body.safety_identifier));
    const headers = this.options.headers ? this.chat.headers() : {};
    if (waitMs > 0) return refuse(response, waitMs, headers);
    const words = Math.min(200, Math.max(1, Math.min(cap, Math.round(cap * (0.3 + 0.7 * Math.random())))));
    // Never the same twice, because a cached verdict costs no request.
    const content = proseOf(words);
    const wholeMs = (1_000 * words) / this.options.tokensPerSecond;
    const stream = body.stream === true;
    await sleep(this.options.firstTokenMs + (stream ? 0 : wholeMs));
    const used: Used = { input: Math.min(prompt, 10), output: words };
    if (!stream) {
      send(response, form.whole(body, content, used), headers);
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream', ...headers });
    const frames = form.frames(body, content, used);
    response.write(frames.before());
    const texts = content.match(/(?:\S+\s*){1,10}/g) ?? [];
    for (const text of texts) {
      response.write(frames.of(text));
      await sleep(wholeMs / texts.length);
    }
    response.end(frames.after());
  }
}

const COMMON =
  'people through children between another country mountain history morning evening question remember together important different without ' +
  'understand following possible beautiful language garden winter summer window kitchen teacher letter journey village market station bridge ' +
  'machine picture science nature weather island harbour captain soldier painter musician library student answer reason promise chance moment';
const WORDS = COMMON.split(' ');

/** So many words of common English with about six characters a token, hardly ever the same twice. */
export function proseOf(words: number): string {
  return Array.from({ length: words }, () => WORDS[Math.floor(WORDS.length * Math.random())]!).join(' ');
}

/** Counts the characters of every text in a value. */
function characters(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + characters(item), 0);
  if (typeof value !== 'object' || value === null) return 0;
  return Object.entries(value).reduce(
    (sum, [name, inner]) => sum + (name === 'role' || name === 'type' ? 0 : characters(inner)),
    0,
  );
}

function refuse(response: ServerResponse, waitMs: number, headers: Record<string, string>): void {
  response.writeHead(429, {
    'content-type': 'application/json',
    'retry-after-ms': String(waitMs),
    'retry-after': String(Math.ceil(waitMs / 1_000)),
    ...headers,
  });
  response.end(
    JSON.stringify({
      error: {
        message: `Rate limit reached. Please try again in ${waitMs}ms`,
        type: 'tokens',
        code: 'rate_limit_exceeded',
      },
    }),
  );
}

function send(response: ServerResponse, body: object, headers: Record<string, string>): void {
  response.writeHead(200, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}
