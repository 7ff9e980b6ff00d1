import { Inject, Injectable } from '@nestjs/common';
import { createHash } from 'node:crypto';
import OpenAI, { APIError } from 'openai';
import type { DaypassConfig } from '#libs/config/config.js';
import { kindOf, type UpstreamSettings } from '#libs/config/config-file.js';
import { FIRST_UPSTREAM } from '#libs/contracts/journal.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { MisshapenAnswer, type Body, type UpstreamCall, type UpstreamTraits } from '#libs/endpoints/endpoint.js';
import { isTooLarge } from '#libs/endpoints/error-shapes.js';
import { endpointOf } from '#libs/endpoints/registry.js';
import { retryAfterMs } from '#libs/moderation/moderator.js';
import { isUsedUp } from '#libs/pacing/reported-limits.js';
import { FileStore } from '#libs/holds/file.store.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import type { JsonObject } from '#libs/endpoints/json.js';
import { isSafetyRefusal, type UpstreamFailure } from '../domain/upstream-failure.js';
import { formBody } from './form.body.js';
import { LearnedDrops } from './learned.drops.js';
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

/** Daypass asks for encrypted reasoning by it, which some models do not have. */
const INCLUDE = 'include';

interface Upstream {
  client: OpenAI;
  kind: UpstreamTraits['kind'];
  models: Readonly<Record<string, string>>;
  drops: readonly string[];
  /** Parameters that it has refused. Only some of `Endpoint.optional`. */
  learned: LearnedDrops;
  /** Tells this address and key from others, and neither of them. */
  account: string;
  /** Marks what only this upstream can read (`UpstreamTraits`). */
  tag: string;
  /** The path of most calls names the deployment. */
  byDeployment: boolean;
}

/** What came back, and what the upstream was not sent of the visitor's request. */
export interface Opened {
  response: Response;
  /** Of the upstream that answers. */
  tag: string;
  dropped: string[];
}

/** An upstream cannot be sent this call. */
export class Unsendable extends Error {
  constructor(readonly error: DaypassError) {
    super(error.message);
    this.name = 'Unsendable';
  }
}

/** Sends calls to their upstreams through the official client, each once. */
@Injectable()
export class UpstreamClient {
  private readonly upstreams: ReadonlyMap<string, Upstream>;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    first: OpenAI,
    private readonly files: FileStore,
  ) {
    const { main, upstreams } = config.file;
    this.upstreams = new Map([
      [
        FIRST_UPSTREAM,
        upstreamOf(first, {
          models: {},
          drops: main.drops,
          tag: '',
          kind: kindOf({ base_url: first.baseURL }),
          byDeployment: false,
        }),
      ],
      ...upstreams.map((settings) => {
        const { name, models, drops, api_version: apiVersion } = settings;
        const client = clientOf(first, settings, config.upstreamKeys[name]);
        const its = { models, drops, tag: tagOf(name), kind: kindOf(settings), byDeployment: apiVersion !== undefined };
        return [name, upstreamOf(client, its)] as const;
      }),
    ]);
  }

  /** Whose limits an upstream's headers tell. */
  accountOf(upstream: string): string {
    return this.get(upstream).account;
  }

  /**
   * Resolves at the response's headers. `without`: parameters to leave out of this call, beside those that the upstream
   * is known to refuse. @throws Unsendable, or what `failureOf` reads
   */
  async open(
    upstream: string,
    { ticket, body }: Ready,
    signal: AbortSignal,
    without: readonly string[] = [],
  ): Promise<Opened> {
    const its = this.get(upstream);
    const drops = [...its.drops, ...its.learned.of(ticket.model), ...without];
    const call = callOf(ticket, body, { kind: its.kind, drops, tag: its.tag });
    const model = its.models[ticket.model] ?? ticket.model;
    const json = { ...(call.body.json as JsonObject), model };
    const sent =
      call.form === 'multipart'
        ? formBody(json, call.body.blobs, (blob) => this.files.pieces(ticket.requestId, blob))
        : { body: json };
    const path = its.byDeployment ? deployedPath(call.path, model) : call.path;
    const response = await its.client
      .post(path, { ...sent, stream: ticket.stream, signal, maxRetries: 0 })
      .asResponse();
    return { response, tag: its.tag, dropped: [...call.dropped] };
  }

  /**
   * The parameters that an upstream refuses to know and that nobody needs. The upstream did no work, so that forwarding
   * may ask it again without them. OpenAI knows them all, and what it refuses is the visitor's own choice: but for
   * `include`, to which Daypass adds what some models do not have.
   */
  needless(upstream: string, ready: Ready, error: unknown): readonly string[] {
    if (!(error instanceof APIError) || (error.status !== 400 && error.status !== 422)) return [];
    const { kind } = this.get(upstream);
    const { unknown = [] } = (error.error ?? {}) as { unknown?: readonly string[] };
    const { optional } = endpointOf(ready.ticket);
    const named = refusesInclude(error) ? [INCLUDE] : kind === 'openai' ? [] : unknown;
    return named.filter((name) => optional.includes(name) && this.canLeaveOut(upstream, ready, name));
  }

  /** What the visitor asked for goes out all the same, and would be refused again. */
  private canLeaveOut(upstream: string, { ticket, body }: Ready, name: string): boolean {
    const { kind, tag } = this.get(upstream);
    const sent = (drops: readonly string[]): string =>
      JSON.stringify(callOf(ticket, body, { kind, tag, drops }).body.json);
    return sent([name]) !== sent([]);
  }

  /** Leaves parameters out from now on, for a day. `model`: the only one without what `include` names. */
  remember(upstream: string, model: string, needless: readonly string[]): void {
    for (const name of needless) this.get(upstream).learned.add(name, name === INCLUDE ? model : undefined);
  }

  private get(upstream: string): Upstream {
    const configured = this.upstreams.get(upstream);
    // Another upstream would charge another account.
    if (!configured) throw new Error(`no upstream is called '${upstream}'`);
    return configured;
  }
}

function clientOf(first: OpenAI, settings: UpstreamSettings, key: string | undefined): OpenAI {
  const { base_url: baseURL, keyless, api_version: apiVersion } = settings;
  const apiKey = keyless ? 'none' : key;
  return first.withOptions({
    apiKey,
    baseURL,
    ...(kindOf(settings) === 'azure' && !keyless ? { defaultHeaders: { 'api-key': apiKey, authorization: null } } : {}),
    ...(apiVersion === undefined ? {} : { defaultQuery: { 'api-version': apiVersion } }),
  });
}

/** What Azure OpenAI has below a deployment. Its responses name their deployment in the body. */
const OF_DEPLOYMENT = /^\/?(chat\/completions|completions|embeddings|audio\/|images\/)/;

function deployedPath(path: string, deployment: string): string {
  return OF_DEPLOYMENT.test(path) ? `/deployments/${encodeURIComponent(deployment)}/${path.replace(/^\//, '')}` : path;
}

function upstreamOf(client: OpenAI, its: Omit<Upstream, 'client' | 'learned' | 'account'>): Upstream {
  const { baseURL, apiKey } = client;
  return {
    ...its,
    client,
    learned: new LearnedDrops(),
    account: createHash('sha256').update(`${baseURL}\n${apiKey}`).digest('base64url').slice(0, 16),
  };
}

/** It stands in what visitors keep, so that it tells nothing of the name. */
function tagOf(name: string): string {
  return createHash('sha256').update(name).digest('hex').slice(0, 8);
}

/** @throws Unsendable */
function callOf(ticket: Ticket, body: Body, traits: UpstreamTraits): UpstreamCall {
  try {
    return endpointOf(ticket).call(body, ticket, traits);
  } catch (error) {
    throw error instanceof DaypassError ? new Unsendable(error) : error;
  }
}

/** OpenAI: "Encrypted content is not supported with this model.", and `include` as its parameter. */
function refusesInclude({ param, message }: APIError): boolean {
  return /^include\b/.test(param ?? '') || /\bencrypted[ _.]content\b.*\bnot supported\b/i.test(message);
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
    filtered: Array.isArray(detail.filtered) ? (detail.filtered as string[]) : [],
    retryAfterMs: retryAfterMs(error),
    tooLarge: error.status === 429 && isTooLarge(text(detail.message) ?? ''),
    usedUp: isUsedUp((error.headers as Headers | undefined) ?? new Headers()),
    shouldRetry: retry === 'true' ? true : retry === 'false' ? false : undefined,
    neverSent: error.status === undefined && NEVER_SENT.has(causeCode(error)),
  };
}

const NO_RESPONSE = {
  status: undefined,
  filtered: [],
  spoken: false,
  code: undefined,
  type: undefined,
  param: undefined,
  retryAfterMs: undefined,
  usedUp: false,
  tooLarge: false,
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
export function causeCode(error: unknown): string {
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
