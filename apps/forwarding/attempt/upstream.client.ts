import { Inject, Injectable } from '@nestjs/common';
import OpenAI, { APIError } from 'openai';
import { createParser } from 'eventsource-parser';
import type { DaypassConfig } from '#libs/config/config.js';
import { FIRST_UPSTREAM } from '#libs/contracts/journal.js';
import { retryAfterMs } from '#libs/moderation/moderator.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import type { UpstreamFailure } from '../domain/upstream-failure.js';

const LAST_DATA = '[DONE]';
/** Bound of what one answer may weigh. */
const ANSWER_BYTES_MAX = 33_554_432;
const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
]);

/** The upstreams' chat endpoints through the official client, once: raw bytes in, frames or a body out. */
@Injectable()
export class UpstreamClient {
  private readonly clients: ReadonlyMap<string, { client: OpenAI; models: Readonly<Record<string, string>> }>;

  constructor(@Inject(CONFIG) config: DaypassConfig, first: OpenAI) {
    this.clients = new Map([
      [FIRST_UPSTREAM, { client: first, models: {} }],
      ...config.file.upstreams.map(({ name, base_url: baseURL, keyless, models }) => {
        const apiKey = keyless ? 'none' : config.upstreamKeys[name];
        return [name, { client: first.withOptions({ apiKey, baseURL }), models }] as const;
      }),
    ]);
  }

  /** Resolves at the response's headers. @throws whatever `failureOf` reads */
  async open(upstream: string, body: Record<string, unknown>, signal: AbortSignal): Promise<Response> {
    const known = this.clients.get(upstream);
    // Whose account would pay is not for guessing.
    if (!known) throw new Error(`no upstream is called '${upstream}'`);
    const { client, models } = known;
    const model = models[String(body.model)] ?? body.model;
    return client.chat.completions
      .create({ ...body, model } as unknown as OpenAI.ChatCompletionCreateParams, { signal, maxRetries: 0 })
      .asResponse();
  }
}

export async function readBody(response: Response): Promise<string> {
  const reader = new BodyReader();
  let text = '';
  for await (const piece of bodyOf(response)) text += reader.read(piece);
  return text + reader.rest();
}

/** The `data` of each server-sent event, as it comes; after a part of the stream that was not its last, `pause` is waited for. */
export async function* readFrames(response: Response, pause: () => Promise<void>): AsyncGenerator<string[]> {
  const reader = new BodyReader();
  let frames: string[] = [];
  const parser = createParser({ onEvent: ({ data }) => frames.push(data) });
  for await (const piece of bodyOf(response)) {
    parser.feed(reader.read(piece));
    if (frames.length === 0) continue;
    yield frames;
    const ended = frames.at(-1) === LAST_DATA;
    frames = [];
    if (!ended) await pause();
  }
}

function bodyOf({ body }: Response): AsyncIterable<Uint8Array> | Uint8Array[] {
  return (body as AsyncIterable<Uint8Array> | null) ?? [];
}

class BodyReader {
  private readonly decoder = new TextDecoder();
  private bytes = 0;

  /** @throws when the answer has become too large */
  read(piece: Uint8Array): string {
    this.bytes += piece.byteLength;
    if (this.bytes > ANSWER_BYTES_MAX)
      throw new Error(`the upstream's answer is larger than ${ANSWER_BYTES_MAX} bytes`);
    return this.decoder.decode(piece, { stream: true });
  }

  rest(): string {
    return this.decoder.decode();
  }
}

/** What the client threw, in the words that decisions are made of. */
export function failureOf(error: unknown): UpstreamFailure {
  if (!(error instanceof APIError))
    return { ...NO_RESPONSE, message: messageOf(error), neverSent: NEVER_SENT.has(causeCode(error)) };
  const detail = (error.error ?? {}) as Record<string, unknown>;
  const retry = (error.headers as Headers | undefined)?.get('x-should-retry');
  return {
    status: error.status as number | undefined,
    code: text(error.code) ?? text(detail.code),
    type: text(error.type) ?? text(detail.type),
    param: text(error.param) ?? text(detail.param),
    message: text(detail.message) ?? messageOf(error),
    spoken: text(detail.message) !== undefined,
    retryAfterMs: retryAfterMs(error),
    shouldRetry: retry === 'true' ? true : retry === 'false' ? false : undefined,
    neverSent: error.status === undefined && NEVER_SENT.has(causeCode(error)),
  };
}

const NO_RESPONSE = {
  status: undefined,
  spoken: false,
  code: undefined,
  type: undefined,
  param: undefined,
  retryAfterMs: undefined,
  shouldRetry: undefined,
};

/** The socket's own error code, however deep the client wrapped it. */
function causeCode(error: unknown): string {
  let current: unknown = error;
  for (let depth = 0; depth < 5 && typeof current === 'object' && current !== null; depth++) {
    const { code, cause } = current as { code?: unknown; cause?: unknown };
    if (typeof code === 'string') return code;
    current = cause;
  }
  return '';
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
