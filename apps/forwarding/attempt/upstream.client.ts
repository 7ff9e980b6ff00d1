import { Inject, Injectable } from '@nestjs/common';
import OpenAI, { APIError } from 'openai';
import type { DaypassConfig } from '#libs/config/config.js';
import { FIRST_UPSTREAM } from '#libs/contracts/journal.js';
import { MisshapenAnswer, type UpstreamTraits } from '#libs/endpoints/endpoint.js';
import { endpointOf } from '#libs/endpoints/registry.js';
import { retryAfterMs } from '#libs/moderation/moderator.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { isSafetyRefusal, type UpstreamFailure } from '../domain/upstream-failure.js';
import type { Ready } from './parallel.input.js';

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

/** Sends calls to their upstreams through the official client, each once. */
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

  /** Resolves at the response's headers. @throws what `failureOf` reads */
  async open(upstream: string, { ticket, body }: Ready, signal: AbortSignal): Promise<Response> {
    const configured = this.clients.get(upstream);
    // Another upstream would charge another account.
    if (!configured) throw new Error(`no upstream is called '${upstream}'`);
    const { client, models } = configured;
    const call = endpointOf(ticket).call(body, ticket, traitsOf(client));
    const json = { ...(call.body.json as object), model: models[ticket.model] ?? ticket.model };
    return client.post(call.path, { body: json, stream: ticket.stream, signal, maxRetries: 0 }).asResponse();
  }
}

function traitsOf({ baseURL }: OpenAI): UpstreamTraits {
  return { kind: new URL(baseURL).hostname.endsWith('.openai.com') ? 'openai' : 'compatible' };
}

/** Reads an error of the client's as the failure that `reactTo` decides on. */
export function failureOf(error: unknown): UpstreamFailure {
  if (error instanceof MisshapenAnswer) return misshapen(error);
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

/** A 200 without an answer is the upstream's failure, like a 5xx before the first byte. */
function misshapen({ error }: MisshapenAnswer): UpstreamFailure {
  const said = text(error?.message);
  const code = text(error?.code);
  return {
    ...NO_RESPONSE,
    status: statusOf(code),
    code,
    type: text(error?.type),
    message: said ?? 'The upstream failed.',
    spoken: said !== undefined,
    neverSent: false,
  };
}

/** The status that such an error object comes with elsewhere. */
function statusOf(code: string | undefined): number {
  if (code === 'rate_limit_exceeded') return 429;
  return isSafetyRefusal(code) ? 400 : 500;
}

/** The socket's own error code, which the client may have wrapped several times. */
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
