import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Usage } from './rehearsal.chat.js';

/** As the addresses of the provider's usage reports name them. */
export type UsageReport = 'completions' | 'embeddings' | 'images' | 'audio_speeches' | 'audio_transcriptions';
export const USAGE_REPORTS: readonly UsageReport[] = [
  ...(['completions', 'embeddings', 'images', 'audio_speeches', 'audio_transcriptions'] as const),
];

/** What the rehearsal bills for one call. */
export interface BilledCall {
  /** The usage report that it is in; absent: that of completions. */
  api?: UsageReport;
  /** What it costs, where its price is not per token of text. */
  dollars?: number;
  atMs: number;
  model: string;
  serviceTier: string;
  apiKeyId: string;
  usage: Usage;
}

const SECONDS: Readonly<Record<string, number>> = { '1m': 60, '1h': 3_600, '1d': 86_400 };
const MOST_BUCKETS: Readonly<Record<string, number>> = { '1m': 1_440, '1h': 168, '1d': 31 };
const USUAL_BUCKETS: Readonly<Record<string, number>> = { '1m': 60, '1h': 24, '1d': 7 };
const KEPT_CALLS = 100_000;

/** Dollars per million tokens, as documented, for the models that rehearsals use. */
const PRICES: Readonly<Record<string, readonly [input: number, cached: number, output: number]>> = {
  'gpt-5.4-mini': [0.75, 0.075, 4.5],
  'gpt-5.4-nano': [0.2, 0.02, 1.25],
  'gpt-image-2': [5, 5, 30],
  'text-embedding-3-small': [0.02, 0.02, 0],
  'text-embedding-3-large': [0.13, 0.13, 0],
};
const TIERS: Readonly<Record<string, number>> = { default: 1, flex: 0.5, priority: 2 };

/** The provider's name for a key in its reports, which does not reveal the key. */
export const apiKeyIdOf = (authorization: string | undefined): string =>
  `key_${createHash('sha256')
    .update((authorization ?? '').replace(/^Bearer /i, ''))
    .digest('hex')
    .slice(0, 16)}`;

/** The provider's books: the true cost of every call, by minute and by day, for callers with an admin key. */
export class RehearsalReports {
  /** The reports leave out younger calls. */
  lagMs = 0;
  /** How far the provider's clock is ahead. */
  aheadMs = 0;
  /** An error instead of a report. */
  failure: { status: number; message: string } | undefined;
  /** The limits for a minute of each project's models. */
  readonly projectLimits = new Map<string, object[]>();
  private calls: BilledCall[] = [];

  bill(call: BilledCall): void {
    this.calls.push(call);
    if (this.calls.length > KEPT_CALLS) this.calls.shift();
  }

  reset(): void {
    this.calls = [];
    this.lagMs = 0;
    this.aheadMs = 0;
    this.failure = undefined;
    this.projectLimits.clear();
  }

  /** `/organization/projects/{id}/rate_limits`, three to a page. */
  rateLimits(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://rehearsal');
    const project = decodeURIComponent(/([^/]+)\/rate_limits$/.exec(url.pathname)?.[1] ?? '');
    const all = (this.projectLimits.get(project) ?? []).map((limits, index) => ({
      object: 'project.rate_limit',
      id: `rl-${index}`,
      ...limits,
    }));
    const from = all.findIndex(({ id }) => id === url.searchParams.get('after')) + 1;
    const data = all.slice(from, from + 3);
    const found = this.projectLimits.has(project) && /^Bearer sk-admin/.test(request.headers.authorization ?? '');
    response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify(
        found
          ? {
              object: 'list',
              data,
              first_id: data[0]?.id ?? null,
              last_id: data.at(-1)?.id ?? null,
              has_more: from + 3 < all.length,
            }
          : { error: { message: 'No such project', type: 'invalid_request_error', code: null, param: null } },
      ),
    );
  }

  /** The report of embeddings knows neither tiers nor outputs. Those of images and sound count calls, and no tokens. */
  usage(request: IncomingMessage, response: ServerResponse, api: UsageReport): void {
    const isCompletions = api === 'completions';
    const groups = ['project_id', 'user_id', 'api_key_id', 'model', 'api_source'];
    this.answer(request, response, {
      widths: ['1m', '1h', '1d'],
      most: (width) => MOST_BUCKETS[width]!,
      groups: isCompletions ? [...groups, 'batch', 'service_tier'] : groups,
      resultsOf: (calls, grouped) =>
        groupsOf(
          calls.filter((call) => (call.api ?? 'completions') === api),
          (call) => [
            grouped('model') && call.model,
            grouped('service_tier') && call.serviceTier,
            grouped('api_key_id') && call.apiKeyId,
          ],
        ).map(([[model, tier, key], some]) => ({
          object: `organization.usage.${api}.result`,
          ...(isCompletions || api === 'embeddings'
            ? { input_tokens: sum(some, ({ usage }) => usage.prompt_tokens) }
            : {}),
          num_model_requests: some.length,
          project_id: null,
          user_id: null,
          api_key_id: key || null,
          model: model || null,
          ...(isCompletions
            ? {
                output_tokens: sum(some, ({ usage }) => usage.completion_tokens),
                input_cached_tokens: sum(some, ({ usage }) => usage.prompt_tokens_details.cached_tokens),
                batch: null,
                service_tier: tier || null,
              }
            : {}),
        })),
    });
  }

  costs(request: IncomingMessage, response: ServerResponse): void {
    this.answer(request, response, {
      widths: ['1d'],
      most: () => 180,
      groups: ['project_id', 'user_id', 'line_item', 'api_key_id', 'api_source'],
      resultsOf: (calls, grouped) =>
        groupsOf(calls, (call) => [grouped('line_item') && call.model]).map(([[item], some]) => ({
          object: 'organization.costs.result',
          amount: { value: sum(some, dollarsOf), currency: 'usd' },
          line_item: item || null,
          project_id: null,
        })),
    });
  }

  private answer(
    request: IncomingMessage,
    response: ServerResponse,
    endpoint: {
      widths: readonly string[];
      most: (width: string) => number;
      groups: readonly string[];
      resultsOf: (calls: readonly BilledCall[], grouped: (by: string) => boolean) => object[];
    },
  ): void {
    const send = (status: number, body: object): void => {
      response.writeHead(status, {
        'content-type': 'application/json',
        date: new Date(Date.now() + this.aheadMs).toUTCString(),
      });
      response.end(JSON.stringify(body));
    };
    const refuse = (status: number, message: string): void =>
      send(status, { error: { message, type: 'invalid_request_error', param: null, code: null } });
    if (!/^Bearer sk-admin-./.test(request.headers.authorization ?? ''))
      return refuse(401, 'Insufficient permissions: an admin key is needed here.');

    if (this.failure) return refuse(this.failure.status, this.failure.message);
    const query = new URL(request.url ?? '', 'http://rehearsal').searchParams;
    const list = (name: string): string[] => [...query.getAll(name), ...query.getAll(`${name}[]`)];
    const width = query.get('bucket_width') ?? '1d';
    if (!endpoint.widths.includes(width)) return refuse(400, `bucket_width '${width}' is not supported`);
    const limit = Number(query.get('limit') ?? USUAL_BUCKETS[width]);
    if (!(limit >= 1 && limit <= endpoint.most(width)))
      return refuse(400, `limit must be from 1 to ${endpoint.most(width)}`);
    const stranger = list('group_by').find((group) => !endpoint.groups.includes(group));
    if (stranger !== undefined) return refuse(400, `group_by '${stranger}' is not supported`);

    const seconds = SECONDS[width]!;
    const start = Number(query.get('start_time'));
    if (!Number.isInteger(start) || start <= 0) return refuse(400, 'start_time is required');
    const end = Number(query.get('end_time') ?? Math.ceil(Date.now() / 1_000));
    const cursor = query.get('page');
    const first =
      cursor === null
        ? Math.floor(start / seconds) * seconds
        : Number(Buffer.from(cursor.replace('page_', ''), 'base64').toString());
    const keyIds = list('api_key_ids');
    const reported = this.calls.filter(
      (call) => call.atMs <= Date.now() - this.lagMs && (keyIds.length === 0 || keyIds.includes(call.apiKeyId)),
    );
    const data = [];
    let from = first;
    for (; from < end && data.length < limit; from += seconds) {
      const calls = reported.filter(({ atMs }) => atMs >= from * 1_000 && atMs < (from + seconds) * 1_000);
      data.push({
        object: 'bucket',
        start_time: from,
        end_time: from + seconds,
        results: endpoint.resultsOf(calls, (by) => list('group_by').includes(by)),
      });
    }
    const has_more = from < end;
    return send(200, {
      object: 'page',
      data,
      has_more,
      next_page: has_more ? `page_${Buffer.from(String(from)).toString('base64')}` : null,
    });
  }
}

export const NO_TOKENS: Usage = {
  prompt_tokens: 0,
  completion_tokens: 0,
  total_tokens: 0,
  prompt_tokens_details: { cached_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 0 },
};

function dollarsOf({ model, serviceTier, usage, dollars }: BilledCall): number {
  if (dollars !== undefined) return dollars;
  const [input, cached, output] = PRICES[model] ?? PRICES['gpt-5.4-mini']!;
  const reused = usage.prompt_tokens_details.cached_tokens;
  return (
    (((usage.prompt_tokens - reused) * input + reused * cached + usage.completion_tokens * output) / 1e6) *
    (TIERS[serviceTier] ?? 1)
  );
}

function groupsOf(
  calls: readonly BilledCall[],
  by: (call: BilledCall) => (string | false)[],
): [(string | false)[], BilledCall[]][] {
  return [...Map.groupBy(calls, (call) => JSON.stringify(by(call)))].map(([key, some]) => [
    JSON.parse(key) as (string | false)[],
    some,
  ]);
}

const sum = (calls: readonly BilledCall[], of: (call: BilledCall) => number): number =>
  calls.reduce((total, call) => total + of(call), 0);
