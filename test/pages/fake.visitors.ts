import { createChallenge, verifySolution } from 'altcha-lib';
import { deriveKey } from 'altcha-lib/algorithms/pbkdf2';
import type { Challenge, Solution } from 'altcha-lib/types';
import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import type { ClaimAnswer, ClaimRequest, HeldCalls, LinkView } from '#libs/contracts/claims.js';
import { ERRORS, type ErrorCode } from '#libs/contracts/errors.js';
import type { HeldKey } from '#libs/contracts/held-key.js';
import { BuiltPages } from '#libs/pages/built.pages.js';
import { VISITORS_HEADERS } from '#libs/pages/headers.js';
import type { ChatRequest } from '../../web/visitors/play/chat.js';
import { createVirtualKey } from '#libs/secrets/virtual-key.js';

/** What the head of a stream tells. */
export const STREAM_HEAD = {
  'content-type': 'text/event-stream; charset=utf-8',
  'x-request-id': 'req_01jfakechat',
  'x-daypass-moderation': 'input=pass; output=window',
  'x-daypass-queue-ms': '1340',
  'x-daypass-available-usd': '0.300000000',
};
const SECRET = 'of the fake';
const TYPES: Record<string, string> = { '.js': 'text/javascript', '.css': 'text/css' };

export interface Refused {
  refused: ErrorCode | number;
  message?: string;
  details?: Record<string, unknown>;
  retryAfterSeconds?: number;
}
type Said<T> = T | Refused;
const isRefused = (said: unknown): said is Refused => typeof said === 'object' && said !== null && 'refused' in said;

export interface FakeLink {
  view: LinkView | null;
  /** What GET answers, where it is not the view of the shell. */
  later?: () => Said<LinkView>;
  /** Of its proofs of work; 500 as PAGES sets it. */
  cost?: number;
  /** The first proof is refused, as one that is too old. */
  refusesFirstProof?: boolean;
  /** What other POSTs answer, by the end of the path: email, waitlist, replace. */
  acts?: Record<string, (body: Record<string, unknown>) => Said<object>>;
  /** What a POST with a right proof or code answers. */
  claim?: (request: ClaimRequest, idempotencyKey: string) => Said<ClaimAnswer>;
}

export interface FakeKey {
  view: () => Said<HeldKey>;
  calls?: (cursor: string | null) => Said<HeldCalls>;
  /** What a chat answers. It writes its stream itself, as slowly as the test wants. */
  chat?: (request: ChatRequest, response: ServerResponse) => Refused | void;
  /** By the end of the path: rotate, revoke, erase. */
  acts?: Record<string, () => Said<object>>;
}

/** Serves the built pages of visitors, with links and keys of the test's own behind them. */
export class FakeVisitors {
  readonly links = new Map<string, FakeLink>();
  readonly keys = new Map<string, FakeKey>();
  /** Every request to an API, as `POST /claim/v1/…`. */
  readonly asked: string[] = [];
  private readonly pages = new BuiltPages('visitors');
  private readonly embed = new BuiltPages('embed');

  private constructor(private readonly server: Server) {}

  static async start(host = '127.0.0.1'): Promise<FakeVisitors> {
    const server = createServer();
    const fake = new FakeVisitors(server);
    server.on('request', (request, response) => {
      fake.serve(request, response).catch((error: unknown) => {
        response.writeHead(500).end(String(error));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, host, resolve));
    return fake;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  url(path: string, host = '127.0.0.1'): string {
    return `http://${host}:${this.port}${path}`;
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url!, 'http://fake');
    const parts = pathname.split('/').slice(1);
    if (pathname.startsWith('/claim/v1/links/')) return this.serveLink(request, response, parts[3]!, parts[4]);
    if (pathname.startsWith('/v1/key')) return this.serveKey(request, response, parts[2], searchParams);
    if (parts[0] === 'c') {
      const link = this.links.get(parts[1]!);
      return this.shell(response, 'claim', await this.shown(link?.view ?? null, link?.cost));
    }
    if (pathname === '/v1/chat/completions') return this.serveChat(request, response);
    if (['/key', '/play', '/help'].includes(pathname)) return this.shell(response, parts[0]!, undefined);
    return this.file(response, pathname);
  }

  private shell(response: ServerResponse, page: string, state: unknown): void {
    const html = this.pages.shell({
      entry: `visitors/${page}/main.tsx`,
      title: 'Daypass',
      noscript: 'This page needs JavaScript.',
      ...(state === undefined ? {} : { state }),
    });
    response.writeHead(200, { ...VISITORS_HEADERS, 'content-type': 'text/html; charset=utf-8' }).end(html);
  }

  private async file(response: ServerResponse, pathname: string): Promise<void> {
    try {
      const { folder } = pathname.startsWith('/claim.') ? this.embed : this.pages;
      const bytes = await readFile(join(folder, `${normalize(pathname)}.gz`));
      const type = TYPES[extname(pathname)] ?? 'application/octet-stream';
      response
        .writeHead(200, {
          ...VISITORS_HEADERS,
          'content-type': type,
          'content-encoding': 'gzip',
          'cache-control': 'public, max-age=31536000, immutable',
        })
        .end(bytes);
    } catch {
      response.writeHead(404, VISITORS_HEADERS).end();
    }
  }

  private async serveLink(
    request: IncomingMessage,
    response: ServerResponse,
    token: string,
    what: string | undefined,
  ): Promise<void> {
    this.asked.push(`${request.method} ${request.url}`);
    const link = this.links.get(token);
    if (what === undefined) {
      const view = link === undefined ? refuse('link_unknown') : (link.later?.() ?? link.view!);
      return this.answer(response, isRefused(view) ? view : ((await this.shown(view, link?.cost)) as LinkView));
    }
    const body = JSON.parse(await bodyOf(request)) as ClaimRequest;
    if (what !== 'claims') return this.answer(response, link!.acts![what]!(body), what === 'replace' ? 201 : 202);
    const isOld = link!.refusesFirstProof === true;
    link!.refusesFirstProof = false;
    const wrong = body.pow === undefined ? null : await wrongProof(body.pow, isOld);
    const claimed = wrong ?? link!.claim!(body, String(request.headers['idempotency-key']));
    return this.answer(response, claimed, 201);
  }

  private async serveKey(
    request: IncomingMessage,
    response: ServerResponse,
    what: string | undefined,
    query: URLSearchParams,
  ): Promise<void> {
    this.asked.push(`${request.method} ${request.url}`);
    const key = this.keys.get(String(request.headers.authorization).replace('Bearer ', ''));
    await bodyOf(request);
    if (key === undefined) return this.answer(response, refuse('invalid_api_key'));
    if (what === undefined) return this.answer(response, key.view());
    if (what !== 'calls') return this.answer(response, key.acts![what]!());
    const calls = key.calls?.(query.get('cursor')) ?? { data: [], next_cursor: null };
    if (isRefused(calls)) return this.answer(response, calls);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(calls));
  }

  private async serveChat(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.asked.push(`${request.method} ${request.url}`);
    const key = this.keys.get(String(request.headers.authorization).replace('Bearer ', ''));
    const refused = key!.chat!(JSON.parse(await bodyOf(request)) as ChatRequest, response);
    if (refused) this.answer(response, refused);
  }

  /** A challenge as ingress makes one. */
  private async shown(view: LinkView | null, cost?: number): Promise<LinkView | null> {
    return view?.challenge ? { ...view, challenge: { ...(await newChallenge(cost)) } } : view;
  }

  private answer(response: ServerResponse, said: Said<object>, status = 200): void {
    const headers = { 'content-type': 'application/json', 'x-request-id': 'req_01jfake' };
    if (!isRefused(said)) {
      response.writeHead(status, headers).end(JSON.stringify({ data: said }));
      return;
    }
    const { refused, message = 'As the test wants it.', details, retryAfterSeconds } = said;
    if (typeof refused === 'number') {
      response.writeHead(refused, { 'content-type': 'text/html' }).end('<html>down</html>');
      return;
    }
    response
      .writeHead(ERRORS[refused].status, {
        ...headers,
        ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
      })
      .end(JSON.stringify({ error: { message, type: 'x', param: null, code: refused, daypass: details } }));
  }
}

export const refuse = (refused: ErrorCode | number, rest: Omit<Refused, 'refused'> = {}): Refused => ({
  refused,
  ...rest,
});

/** As PAGES sets it: PBKDF2/SHA-256 at a cost of 500, and 200 to 400 counters. */
export const newChallenge = (cost = 500): Promise<Challenge> =>
  createChallenge({
    algorithm: 'PBKDF2/SHA-256',
    cost,
    counter: randomInt(200, 401),
    deriveKey,
    expiresAt: new Date(Date.now() + 600_000),
    hmacSignatureSecret: SECRET,
  });

async function wrongProof(pow: NonNullable<ClaimRequest['pow']>, isOld: boolean): Promise<Refused | null> {
  const { verified } = await verifySolution({
    challenge: pow.challenge as unknown as Challenge,
    solution: pow.solution as unknown as Solution,
    deriveKey,
    hmacSignatureSecret: SECRET,
  });
  return verified && !isOld ? null : refuse('pow_invalid', { details: { challenge: await newChallenge() } });
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const piece of request) text += String(piece);
  return text;
}

const IN_A_DAY = 24 * 3_600_000;
export const later = (ms: number): string => new Date(Date.now() + ms).toISOString();

export function linkView(token: string, changes: Partial<LinkView> = {}): LinkView {
  const models = ['gpt-5.4-mini', 'gpt-5.4-nano'];
  return {
    state: 'open',
    token,
    campaign: 'acme-agents',
    page: {
      title: 'Try Acme Agents',
      text: 'Paste a key, and get your first agent running in a minute.\nNo card, no account.',
      logo: LOGO,
      project_url: 'https://acme.example/agents',
      open_url: null,
      contact: 'hello@acme.example',
      privacy_url: null,
      snippet: null,
    },
    gates: ['pow'],
    github: { min_account_age_days: 30 },
    email: { domains: [] },
    signed_in: null,
    waitlist: false,
    key: { budget_usd: '0.500000000', ttl_seconds: 86_400, limits: {}, models },
    models,
    short_chats: 900,
    left: 63,
    max_claims: 100,
    starts_at: null,
    expires_at: null,
    recorded: { input: 'gate', output: 'gate', retention_days: 30 },
    base_url: 'https://try.acme.example/v1',
    challenge: {},
    app: null,
    ...changes,
  };
}

export function claimAnswer(changes: Partial<ClaimAnswer> = {}): ClaimAnswer {
  const key = createVirtualKey();
  return {
    key,
    id: 'key_01jfake',
    prefix: key.slice(0, 9),
    campaign: 'acme-agents',
    base_url: 'https://try.acme.example/v1',
    budget_usd: '0.500000000',
    expires_at: later(IN_A_DAY),
    models: ['gpt-5.4-mini', 'gpt-5.4-nano'],
    limits: {},
    open_url: null,
    ...changes,
  };
}

export function heldKey(changes: Partial<HeldKey> = {}): HeldKey {
  return {
    id: 'key_01jfake',
    label: '',
    campaign: 'acme-agents',
    title: 'Try Acme Agents',
    project_url: 'https://acme.example/agents',
    contact: 'hello@acme.example',
    status: 'active',
    ended_at: null,
    suspended_until: null,
    starts_at: null,
    expires_at: later(21 * 3_600_000),
    ttl_seconds: null,
    budget_usd: '0.500000000',
    spent_usd: '0.170000000',
    held_usd: '0.020000000',
    available_usd: '0.310000000',
    campaign_available: true,
    limits: { rpm: 20, tpm: 40_000, concurrent: 4 },
    remaining: { requests: 17, tokens: 38_210 },
    models: ['gpt-5.4-mini', 'gpt-5.4-nano'],
    moderation: { input: 'gate', output: 'gate', stream_output: 'window' },
    retention_days: 30,
    strikes: 1,
    strikes_suspend_at: 3,
    recent_refusals: [],
    ...changes,
  };
}

export function heldCalls(count: number, from = 0): HeldCalls['data'] {
  return Array.from({ length: count }, (_, index) => ({
    id: `req_01jfake${String(from + index).padStart(4, '0')}`,
    at: later(-(from + index) * 97_000),
    endpoint: 'chat',
    model: 'gpt-5.4-mini',
    input_tokens: 120 + index,
    output_tokens: index === 1 ? null : 48 + index * 7,
    cost_usd: index === 1 ? '0' : '0.001234500',
    input: [index === 1 ? 'blocked' : 'pass'],
    output: index === 1 ? [] : ['pass'],
    waited_ms: index === 2 ? 1_340 : 12,
    result: index === 1 ? 'blocked' : 'posted',
  }));
}

const LOGO = `data:image/svg+xml;base64,${Buffer.from(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect width="64" height="64" rx="14" fill="#2f6f5e"/><path d="M14 46 32 16l18 30h-9l-9-16-9 16z" fill="#fff"/></svg>',
).toString('base64')}`;
