import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { z } from 'zod';
import {
  campaignAnswer,
  keyAnswer,
  newKeysAnswer,
  pageOfAnswers,
  type CampaignView,
  type KeyView,
} from '#libs/contracts/admin/answers.js';
import {
  type LinkView,
  claimAnswer,
  codeAnswer,
  invitedAnswer,
  linkAnswer,
  linkTestAnswer,
  newCodesAnswer,
  voidedAnswer,
  waitingAnswer,
} from '#libs/contracts/admin/claims.js';
import {
  beatSchema,
  doorAnswer,
  funnelAnswer,
  overviewAnswer,
  sessionAnswer,
  settingsAnswer,
  spendAnswer,
} from '#libs/contracts/admin/console.js';
import { revokedKeysAnswer } from '#libs/contracts/admin/safety.js';
import { BuiltPages } from '#libs/pages/built.pages.js';
import { consoleHeaders } from '#libs/pages/headers.js';
import { FakeOperations } from './fake.operations.js';

const TYPES: Record<string, string> = { '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const NONCE = 'bm9uY2Utb2YtdGhlLXRlc3Q=';
const USD = '0.50';

export interface Asked {
  method: string;
  path: string;
  body: Record<string, unknown>;
  headers: IncomingMessage['headers'];
}

/** What the API answers to a path instead of what it usually does. */
export type Refusal = { status: number; code: string; message: string; param?: string };

/**
 * The built console behind its real headers, and an admin API in memory that answers by libs/contracts: each answer is
 * parsed before it leaves. It lets a test show states that are hard to reach with all services.
 */
export class FakeAdmin {
  readonly asked: Asked[] = [];
  readonly refusals = new Map<string, Refusal>();
  campaigns: CampaignView[] = [];
  links: LinkView[] = [];
  keys: KeyView[] = [];
  isSignedIn = true;
  isRehearsed = false;
  gates: typeof NO_GATES = NO_GATES;
  door: 'open' | 'shut' = 'open';
  readonly operations = new FakeOperations();
  private readonly streams = new Set<ServerResponse>();
  private readonly server: Server = createServer((request, response) => void this.serve(request, response));
  private readonly pages = new BuiltPages('console');
  private readonly timer = setInterval(() => this.beat(), 1_000);

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** As before each test: signed in, with two campaigns. */
  reset(): void {
    this.asked.length = 0;
    this.refusals.clear();
    this.isSignedIn = true;
    this.isRehearsed = false;
    this.gates = NO_GATES;
    this.door = 'open';
    this.operations.reset();
    this.campaigns = [aCampaign(), aCampaign({ slug: 'workshop', name: 'Workshop in Kraków', status: 'closed' })];
    this.links = [
      aLink({ id: 'lnk_readme' }),
      aLink({ id: 'lnk_workshop', name: 'Workshop', gates: ['code'], per_ip_per_day: 0, status: 'paused' }),
    ];
    this.keys = [aKey(), aKey({ id: 'key_2', status: 'suspended', label: '<img src=x onerror=alert(1)>' })];
  }

  /** From now on `request`, such as `GET /overview`, is refused. */
  refuse(request: string, status: number, code: string, message = 'A store does not answer.'): void {
    this.refusals.set(request, { status, code, message });
  }

  tell(event: string, data: unknown): void {
    for (const stream of this.streams) stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  get openStreams(): number {
    return this.streams.size;
  }

  cutStreams(): void {
    for (const stream of this.streams) stream.destroy();
  }

  private beat(): void {
    this.tell(
      'beat',
      beatSchema.parse({
        at: now(),
        spent_today_usd: '12.40',
        spent_per_min_usd: '0.21',
        calls_per_min: 38,
        running: 14,
        waiting: 3,
        oldest_ms: 800,
        refused: { insufficient_quota: 9, moderation_blocked: 3 },
        claims_per_min: 2,
        door: this.door,
      }),
    );
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, 'http://x');
    try {
      if (url.pathname.startsWith('/admin/v1')) return await this.answer(request, response, url);
      const name = url.pathname.replace(/^\/console\//, '');
      if (/^(assets\/|theme\.js)/.test(name)) {
        response.writeHead(200, { ...consoleHeaders(NONCE), 'content-type': TYPES[extname(name)] ?? 'text/plain' });
        response.end(readFileSync(join(this.pages.folder, name)));
        return;
      }
      response.writeHead(200, { ...consoleHeaders(NONCE), 'content-type': 'text/html; charset=utf-8' });
      response.end(
        this.pages.shell({ entry: 'console/main.tsx', title: 'Daypass', nonce: NONCE, noscript: 'Needs scripts' }),
      );
    } catch (error) {
      response.writeHead(500, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: { message: String(error), code: 'internal_error', param: null } }));
    }
  }

  private async answer(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const path = url.pathname.slice('/admin/v1'.length);
    const method = request.method!;
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
    this.asked.push({ method, path: path + url.search, body, headers: request.headers });
    const refusal = this.refusals.get(`${method} ${path}`);
    if (refusal) return this.send(response, refusal.status, { error: { ...refusal, param: refusal.param ?? null } });
    if (path === '/stream') {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
      response.write('retry: 200\n\n');
      this.streams.add(response);
      response.on('close', () => this.streams.delete(response));
      this.beat();
      return undefined;
    }
    if (path === '/session' && method === 'POST') {
      if (body.token !== 'right' && body.code !== 'once')
        return this.send(response, 401, {
          error: { message: 'The admin token is wrong.', code: 'unauthorized', param: null },
        });
      this.isSignedIn = true;
      return this.send(response, 204, undefined);
    }
    if (!this.isSignedIn)
      return this.send(response, 401, { error: { message: 'Sign in first.', code: 'unauthorized' } });
    if (method === 'DELETE' && path.startsWith('/session')) {
      this.isSignedIn = false;
      return this.send(response, 204, undefined);
    }
    const [status, answer] = this.route(method, path, url.searchParams, body);
    return this.send(response, status, answer);
  }

  private send(response: ServerResponse, status: number, body: unknown): void {
    response.writeHead(status, {
      'content-type': 'application/json',
      'x-request-id': 'req_fake_1',
      'x-should-retry': String(status === 503),
    });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  }

  private route(
    method: string,
    path: string,
    query: URLSearchParams,
    body: Record<string, unknown>,
  ): [number, unknown] {
    const page = <T>(row: z.ZodType<T>, rows: T[]): [number, unknown] => [
      200,
      pageOfAnswers(row).parse({ data: rows, next_cursor: null }),
    ];
    const operation = this.operations.answer(`${method} ${path}`, body);
    if (operation !== undefined) return [200, operation];
    const [, first, id, third] = path.split('/');
    switch (`${method} /${first}`) {
      case 'GET /session':
        return [200, sessionAnswer.parse({ data: { name: 'Ada', expires_at: later(12) } })];
      case 'GET /overview':
        return [200, overviewAnswer.parse({ data: this.overview(query.get('range') ?? '1h') })];
      case 'GET /settings':
        return [200, settingsAnswer.parse({ data: { ...SETTINGS.data, gates: this.gates } })];
      case 'PUT /door':
        this.door = body.state as 'open' | 'shut';
        this.tell('door', {});
        return [200, doorAnswer.parse({ data: { state: this.door, note: body.note, since: now(), by: 'Ada' } })];
      case 'GET /keys':
        return page(keyAnswer, this.keys);
      case 'POST /keys': {
        const count = (body.labels as string[] | undefined)?.length ?? (body.count as number);
        const made = Array.from({ length: count }, (_, index) => ({
          ...aKey({ id: `key_${index}`, label: `guest-${index}` }),
          key: `dp_${'a'.repeat(38)}${String(index).padStart(4, '0')}`,
        }));
        return [201, newKeysAnswer.parse({ data: made })];
      }
      case 'GET /claims':
        return page(claimAnswer, CLAIMS);
      case 'GET /waitlist':
        return page(waitingAnswer, WAITLIST);
      case 'POST /waitlist':
        return [200, invitedAnswer.parse({ data: { invited: 2, left: 1 } })];
      case 'POST /codes':
        return [200, voidedAnswer.parse({ data: { voided: Array.isArray(body.ids) ? body.ids.length : 7 } })];
      case 'POST /links':
      case 'GET /links':
      case 'PATCH /links':
      case 'DELETE /links': {
        const link = this.links.find((one) => one.id === id)!;
        if (third === 'test') return [200, linkTestAnswer.parse(LINK_TEST)];
        if (third === 'codes' && method === 'POST') return [201, newCodesAnswer.parse({ data: codes(link, body) })];
        if (third === 'codes') return page(codeAnswer, CODES);
        // What a change does not name stays, also within the key.
        const key = { ...link.key, ...(body?.key as object | undefined) };
        if (method !== 'GET') Object.assign(link, body, { key }, method === 'DELETE' ? { status: 'closed' } : {});
        return [200, linkAnswer.parse(link)];
      }
      default:
        return this.campaignRoute(method, id, third, body, page);
    }
  }

  private campaignRoute(
    method: string,
    slug: string | undefined,
    what: string | undefined,
    body: Record<string, unknown>,
    page: <T>(row: z.ZodType<T>, rows: T[]) => [number, unknown],
  ): [number, unknown] {
    if (slug === undefined && method === 'POST') {
      const made = aCampaign(withRules(body));
      this.campaigns.push(made);
      return [201, campaignAnswer.parse(made)];
    }
    if (slug === undefined) return page(campaignAnswer, this.campaigns);
    const campaign = this.campaigns.find((one) => one.slug === slug);
    if (!campaign) return [404, { error: { message: `No campaign ${slug}.`, code: 'not_found', param: null } }];
    switch (`${method} ${what}`) {
      case 'POST links': {
        const { key, ...given } = body as Partial<LinkView>;
        const usual = aLink();
        const made = aLink({ ...given, campaign: slug, claimed: 0, key: { ...usual.key, ...key } });
        this.links.push(made);
        return [201, linkAnswer.parse(made)];
      }
      case 'GET links':
        return page(
          linkAnswer,
          this.links.filter((one) => one.campaign === slug),
        );
      case 'GET spend':
        return [200, spendAnswer.parse({ data: series(60, 60_000) })];
      case 'GET funnel':
        return [200, funnelAnswer.parse({ data: { opened: 214, claimed: 63, first_call: 51, spent: 12 } })];
      case 'POST fund':
        return [200, campaignAnswer.parse(campaign)];
      case 'POST revoke-keys':
        return [200, revokedKeysAnswer.parse({ data: { dry_run: body.dry_run, keys: 63, returned_usd: '19.20' } })];
      case 'PATCH undefined':
        Object.assign(campaign, withRules(body));
        return [200, campaignAnswer.parse(campaign)];
      default:
        return [200, campaignAnswer.parse(campaign)];
    }
  }

  private overview(range: string): z.input<typeof overviewAnswer>['data'] {
    const isFirstRun = this.campaigns.length === 0;
    return {
      at: now(),
      door: { state: this.door, note: null, since: null, by: null },
      rehearsed: this.isRehearsed,
      operator: {
        spent_today_usd: isFirstRun ? '0.00' : '12.40',
        budget_usd_per_day: '20.00',
        spent_total_usd: isFirstRun ? '0.00' : '318.77',
        budget_usd_total: null,
      },
      running: isFirstRun ? 0 : 14,
      waiting: { calls: isFirstRun ? 0 : 3, oldest_seconds: 0.8 },
      flagged_today: isFirstRun ? 0 : 2,
      keys: { total: 63, active: 51, suspended: 1, revoked: 4, expired: 7 },
      series: series(range === '1h' ? 60 : range === '24h' ? 24 : 30, range === '1h' ? 60_000 : 3_600_000, isFirstRun),
      refused: { insufficient_quota: 9 },
      campaigns: this.campaigns.map((one, index) => ({
        slug: one.slug,
        name: one.name,
        budget_usd: one.budget_usd,
        available_usd: one.available_usd,
        keys_active: 51,
        usd_per_hour: '1.83',
        hours_left: index === 0 ? 6.2 : null,
      })),
      lanes: [
        { lane: 'gpt-5.4-mini', used_percent: 78, waiting: 3 },
        { lane: 'gpt-5.4-nano', used_percent: null, waiting: 0 },
      ],
      needs: isFirstRun
        ? []
        : [
            {
              kind: 'suspended',
              text: 'Key dp_tIfr6 is suspended after 5 refusals',
              href: '/console/review',
              since: earlier(0.2),
            },
            {
              kind: 'budget',
              text: 'The budget of launch is at 80 %',
              href: '/console/campaigns/launch',
              since: earlier(1),
            },
            {
              kind: 'setting',
              text: 'Links work on this machine only: set DAYPASS_PUBLIC_URL',
              href: null,
              since: null,
            },
          ],
      services: ['ingress', 'moderation', 'forwarding', 'accounting'].map((name) => ({
        name,
        ready: true,
        processes: name === 'ingress' ? 2 : 1,
      })),
      books_lag_seconds: 0.2,
    };
  }
}

const now = (): string => new Date().toISOString();
const later = (hours: number): string => new Date(Date.now() + hours * 3_600_000).toISOString();
const earlier = (hours: number): string => later(-hours);

function series(count: number, stepMs: number, isEmpty = false) {
  const end = Math.floor(Date.now() / stepMs) * stepMs;
  return Array.from({ length: count }, (_, index) => {
    const calls = isEmpty ? 0 : Math.round(20 + 15 * Math.sin(index / 5) + (index % 7));
    return {
      at: new Date(end - (count - index) * stepMs).toISOString(),
      spent_usd: `0.${String(calls * 52).padStart(4, '0')}`,
      calls,
      refused: index % 3,
      flagged: 0,
    };
  });
}

/** The rules of a claim page that a request leaves out, as accounting fills them in. */
const RULES = { per_claimant: 1, renew_after_seconds: null, overbook: 1, claims_per_hour: 100, waitlist: false };
const withRules = ({ claim, ...rest }: Record<string, unknown>): Partial<CampaignView> => ({
  ...rest,
  ...(claim ? { claim: { ...RULES, ...claim } as CampaignView['claim'] } : {}),
});

export const aCampaign = (given: Partial<CampaignView> = {}): CampaignView => ({
  id: `cmp_${given.slug ?? 'launch'}`,
  slug: 'launch',
  name: 'Acme Agents launch',
  status: 'active',
  budget_usd: '50.00',
  spent_usd: '11.20',
  held_usd: '0.40',
  available_usd: '9.60',
  absorbed_usd: '0.00',
  promised_usd: '28.80',
  models: ['gpt-5.4-mini'],
  key_defaults: { budget_usd: USD, ttl_seconds: 86_400 },
  moderation: { input: 'gate', output: 'gate', thresholds: { violence: 0.6 }, on_unavailable: 'closed' },
  tool_prices: {},
  claim: null,
  origins: null,
  weight: 1,
  retention_days: 30,
  keys: { total: 63, active: 51, suspended: 1, revoked: 4, expired: 7 },
  created_at: earlier(30),
  updated_at: earlier(1),
  ...given,
});

export const aLink = (given: Partial<LinkView> = {}): LinkView => ({
  id: `lnk_${given.name ?? 'readme'}`,
  campaign: 'launch',
  name: 'README',
  token: 'k7f3Q9xZ2mBa',
  url: 'http://localhost:8080/c/k7f3Q9xZ2mBa',
  status: 'open',
  gates: ['pow'],
  github: { min_account_age_days: 30 },
  email: { domains: [] },
  key: { budget_usd: USD, ttl_seconds: 86_400, limits: {}, models: null },
  max_claims: 100,
  claimed: 37,
  opened: 214,
  starts_at: null,
  expires_at: later(48),
  per_ip_per_day: 3,
  origins: [],
  redirect_uris: [],
  created_at: earlier(30),
  updated_at: earlier(1),
  ...given,
});

export const aKey = (given: Partial<KeyView> = {}): KeyView => ({
  id: 'key_1',
  prefix: 'dp_tIfr6',
  label: 'guest-1',
  campaign: 'launch',
  status: 'active',
  status_note: null,
  starts_at: null,
  expires_at: later(21),
  ttl_from_first_use_seconds: null,
  first_used_at: earlier(3),
  budget_usd: USD,
  spent_usd: '0.19',
  held_usd: '0.02',
  available_usd: '0.29',
  returned_usd: '0.00',
  last_call_at: earlier(0.1),
  claimant: null,
  link: null,
  strikes: 0,
  limits: {},
  models: null,
  moderation: null,
  created_at: earlier(3),
  updated_at: earlier(1),
  ...given,
});

/** Nobody set up GitHub and mails. */
export const NO_GATES = { pow: true, code: true, github: false, email: false };

const WAITLIST = [
  {
    ...{ id: 'wtl_2', at: earlier(1), campaign: 'launch', link: 'lnk_readme', claimant: 'vis_9' },
    ...{ email: 'grace@acme.example', invited_at: null, mailed_at: null, code: null },
  },
  {
    ...{ id: 'wtl_1', at: earlier(30), campaign: 'launch', link: 'lnk_readme', claimant: 'vis_8' },
    ...{ email: 'ada@acme.example', invited_at: earlier(2), mailed_at: earlier(2), code: 'free' as const },
  },
];

const CLAIMS = [
  {
    id: 'clm_1',
    at: earlier(0.3),
    campaign: 'launch',
    link: 'lnk_readme',
    link_name: 'README',
    key: 'key_1',
    key_prefix: 'dp_tIfr6',
    claimant: null,
    kind: 'pow' as const,
  },
  {
    id: 'clm_2',
    at: earlier(2),
    campaign: 'launch',
    link: 'lnk_workshop',
    link_name: 'Workshop',
    key: 'key_2',
    key_prefix: 'dp_9aQx2',
    claimant: 'vis_7',
    kind: 'code' as const,
  },
];
const CODES = [
  {
    id: 'cod_1',
    label: 'seat 1',
    status: 'free' as const,
    key: null,
    expires_at: later(8),
    used_at: null,
    voided_at: null,
    created_at: earlier(1),
  },
  {
    id: 'cod_2',
    label: 'seat 2',
    status: 'used' as const,
    key: 'key_2',
    expires_at: later(8),
    used_at: earlier(0.5),
    voided_at: null,
    created_at: earlier(1),
  },
  {
    id: 'cod_3',
    label: '',
    status: 'voided' as const,
    key: null,
    expires_at: later(8),
    used_at: null,
    voided_at: earlier(0.2),
    created_at: earlier(1),
  },
];
const LINK_TEST = {
  data: {
    ok: false,
    steps: [
      { name: 'link', ok: true, text: 'The link is open.' },
      { name: 'budget', ok: true, text: 'The campaign has budget for 63 more keys.' },
      { name: 'public_url', ok: false, text: 'Nobody set DAYPASS_PUBLIC_URL: the link works on this machine only.' },
    ],
  },
};
const SETTINGS = {
  data: {
    public_url: null,
    visitors_url: 'http://localhost:8080',
    gates: NO_GATES,
    models: [
      {
        id: 'gpt-5.4-mini',
        input_usd_per_million: '0.25',
        output_usd_per_million: '2.00',
        shutdown_date: null,
        short_chats_per_usd: 1800,
      },
      {
        id: 'gpt-5.4-nano',
        input_usd_per_million: '0.05',
        output_usd_per_million: '0.40',
        shutdown_date: '2027-03-01',
        short_chats_per_usd: 9000,
      },
      {
        id: 'text-embedding-3-small',
        input_usd_per_million: '0.02',
        output_usd_per_million: '0.00',
        shutdown_date: null,
        short_chats_per_usd: null,
      },
    ],
    lanes: [
      { lane: 'mini', models: ['mini', 'gpt-5.4-mini'], upstreams: ['openai', 'spare'] },
      { lane: 'default', models: [], upstreams: ['openai'] },
    ],
    guards: [{ name: 'words', type: 'blocklist', judges_all: true }],
    operator: { budget_usd_per_day: '20.00', budget_usd_total: null },
    limits: [
      {
        name: 'DAYPASS_MAX_WAIT_MS',
        value: 60_000,
        unit: 'ms',
        is_default: false,
        text: 'A call waits at most this long for budget and for its turn.',
      },
      {
        name: 'DAYPASS_MODERATION_MODEL',
        value: 'omni-moderation-2024-09-26',
        unit: null,
        is_default: true,
        text: 'The moderation model. It is pinned, because scores change from one version to the next.',
      },
    ],
    retention_days_default: 90,
    retention: [
      { campaign: 'launch', days: 30 },
      { campaign: 'workshop', days: null },
    ],
    sessions: { idle_seconds: 43_200, longest_seconds: 604_800 },
    rehearsed: false,
    warnings: [
      'DAYPASS_PUBLIC_URL is not set: claim links work on this machine only.',
      'DAYPASS_SMTP_URL is not set: claim links cannot ask for an e-mail address.',
    ],
  },
};

function codes(link: LinkView, { count, labels, expires_at: expires }: Record<string, unknown>) {
  const names = (labels as string[] | undefined) ?? Array<string>(count as number).fill('');
  return names.map((label, index) => {
    const code = `7KQ2-M9XA-${String(index).padStart(4, '0')}`;
    return {
      id: `cod_${index}`,
      label,
      code,
      url: `${link.url}#code=${code.replaceAll('-', '')}`,
      expires_at: (expires as string | undefined) ?? null,
    };
  });
}
