import type OpenAI from 'openai';
import { z } from 'zod';
import type { Endpoint } from '#libs/endpoints/endpoint.js';
import { NANO_PER_USD } from '#libs/money/nano.js';
import { MINUTE_MS, type MinuteCounts } from '#libs/money/reconcile.js';
import { providerClient } from '../provider.client.js';

/** One minute's usage of one model at one tier. */
export interface ReportRow extends MinuteCounts {
  /** null where the provider names none. */
  model: string | null;
  serviceTier: string | null;
}

export interface CostRow {
  /** UTC, `YYYY-MM-DD`. */
  day: string;
  lineItem: string;
  amountNano: bigint;
}

/** The provider's usage report that calls of an API are in: `/organization/usage/…`. */
export type ReportName = 'completions' | NonNullable<Endpoint['usageReport']>;

/** What a call of these cost is in no report. They tell how many calls there were: also whether one ran at all. */
export const COUNTS_CALLS_ONLY: ReadonlySet<ReportName> = new Set(['images', 'audioSpeeches', 'audioTranscriptions']);

export interface ReportScope {
  projectIds: readonly string[];
  apiKeyIds: readonly string[];
}

/** The longest stretch that one page of minutes covers (OpenAI, "Usage", `limit`). */
export const STRETCH_MAX_MS = 1_440 * MINUTE_MS;
const DAY_MS = 86_400_000;
const PAGES_MAX = 50;
const TIMEOUT_MS = 30_000;
const RETRIES = 2;

const count = z.number().int().nonnegative();
const page = <T extends z.ZodType>(result: T) =>
  z.object({
    data: z.array(z.object({ start_time: z.number().int(), end_time: z.number().int(), results: z.array(result) })),
    has_more: z.boolean(),
    next_page: z.string().nullish(),
  });
const usagePage = page(
  z.object({
    input_tokens: count,
    input_cached_tokens: count.nullish(),
    input_cache_write_tokens: count.nullish(),
    output_tokens: count,
    num_model_requests: count,
    model: z.string().nullish(),
    service_tier: z.string().nullish(),
  }),
);
/** The report of embeddings knows no tiers, no caches and no outputs. */
const embeddingsPage = page(z.object({ input_tokens: count, num_model_requests: count, model: z.string().nullish() }));
/** Those of images and sound count in units of their own. */
const callsPage = page(z.object({ num_model_requests: count, model: z.string().nullish() }));
const costPage = page(
  z.object({
    amount: z.object({ value: z.union([z.number(), z.string().transform(Number)]), currency: z.string() }),
    line_item: z.string().nullish(),
  }),
);

/**
 * Reads what the provider served and billed: `/organization/usage/…` and `/organization/costs`.
 * Its errors name the fault and no key, so that the log may have them.
 */
export class ReportClient {
  private readonly client: () => Promise<OpenAI>;

  constructor(
    { adminKey, baseUrl }: { adminKey: string; baseUrl: string },
    private readonly scope: ReportScope,
  ) {
    // The client would add OPENAI_API_KEY and more from the environment by itself.
    this.client = providerClient({
      adminAPIKey: adminKey,
      apiKey: null,
      baseURL: baseUrl,
      maxRetries: RETRIES,
      timeout: TIMEOUT_MS,
    });
  }

  /**
   * The minutes in which the provider served something of one report. Both ends are whole minutes. `clockMs`: the
   * provider's clock.
   */
  async usage(report: ReportName, fromMs: number, toMs: number): Promise<{ rows: ReportRow[]; clockMs: number }> {
    const { usage } = (await this.client()).admin.organization;
    const query = {
      start_time: fromMs / 1_000,
      end_time: toMs / 1_000,
      bucket_width: '1m' as const,
      limit: 1_440,
      ...this.filter(),
    };
    if (report === 'images' || report === 'audioSpeeches' || report === 'audioTranscriptions')
      return this.dated(
        callsPage,
        (cursor) => usage[report]({ ...query, group_by: ['model'], ...cursor }).withResponse(),
        (minuteMs, { model, num_model_requests: requests }) => {
          const none = { uncached: 0, cached: 0, cacheWrite: 0, output: 0 };
          return { minuteMs, model: model ?? null, serviceTier: null, requests, ...none };
        },
      );
    if (report === 'embeddings')
      return this.dated(
        embeddingsPage,
        (cursor) => usage.embeddings({ ...query, group_by: ['model'], ...cursor }).withResponse(),
        (minuteMs, { model, num_model_requests: requests, input_tokens: uncached }) => {
          const none = { cached: 0, cacheWrite: 0, output: 0 };
          return { minuteMs, model: model ?? null, serviceTier: null, requests, uncached, ...none };
        },
      );
    return this.dated(
      usagePage,
      (cursor) =>
        usage
          // Daypass sends no batches, whose tokens cost half.
          .completions({ ...query, batch: false, group_by: ['model', 'service_tier'], ...cursor })
          .withResponse(),
      (minuteMs, result) => {
        const cached = result.input_cached_tokens ?? 0;
        const cacheWrite = result.input_cache_write_tokens ?? 0;
        return {
          minuteMs,
          model: result.model ?? null,
          serviceTier: result.service_tier ?? null,
          requests: result.num_model_requests,
          uncached: result.input_tokens - cached - cacheWrite,
          cached,
          cacheWrite,
          output: result.output_tokens,
        };
      },
    );
  }

  private async dated<R extends z.ZodType>(
    schema: ReturnType<typeof page<R>>,
    ask: (cursor: { page?: string }) => Promise<{ data: unknown; response: Response }>,
    rowOf: (minuteMs: number, result: z.infer<R>) => ReportRow,
  ): Promise<{ rows: ReportRow[]; clockMs: number }> {
    const rows: ReportRow[] = [];
    let clockMs = Number.NaN;
    await this.pages(
      schema,
      async (cursor) => {
        const { data, response } = await ask(cursor);
        clockMs = Date.parse(response.headers.get('date') ?? '');
        return data;
      },
      ({ start_time }, result) => void rows.push(rowOf(start_time * 1_000, result)),
    );
    if (Number.isNaN(clockMs)) throw new Error("the provider's answer has no date");
    return { rows, clockMs };
  }

  /** What the provider billed from `fromDay` up to the day before `toDay`; UTC days since 1970. */
  async costs(fromDay: number, toDay: number): Promise<CostRow[]> {
    const rows: CostRow[] = [];
    const { usage } = (await this.client()).admin.organization;
    await this.pages(
      costPage,
      async (cursor) =>
        await usage.costs({
          start_time: (fromDay * DAY_MS) / 1_000,
          end_time: (toDay * DAY_MS) / 1_000,
          bucket_width: '1d',
          limit: Math.min(180, toDay - fromDay),
          group_by: ['line_item'],
          ...this.filter(),
          ...cursor,
        }),
      ({ start_time }, { amount, line_item }) => {
        if (amount.currency !== 'usd') throw new Error(`the provider bills in ${amount.currency}, not in dollars`);
        if (!Number.isFinite(amount.value)) throw new Error('the provider gives no amount for a day');
        const amountNano = BigInt(Math.round(amount.value * Number(NANO_PER_USD)));
        rows.push({
          day: new Date(start_time * 1_000).toISOString().slice(0, 10),
          lineItem: line_item ?? '',
          amountNano,
        });
      },
    );
    return rows;
  }

  private filter(): { project_ids?: string[]; api_key_ids?: string[] } {
    const { projectIds, apiKeyIds } = this.scope;
    return {
      ...(projectIds.length > 0 ? { project_ids: [...projectIds] } : {}),
      ...(apiKeyIds.length > 0 ? { api_key_ids: [...apiKeyIds] } : {}),
    };
  }

  private async pages<R extends z.ZodType>(
    schema: ReturnType<typeof page<R>>,
    ask: (cursor: { page?: string }) => Promise<unknown>,
    each: (bucket: { start_time: number }, result: z.infer<R>) => void,
  ): Promise<void> {
    let cursor: { page?: string } = {};
    for (let turn = 0; turn < PAGES_MAX; turn++) {
      const read = schema.safeParse(await ask(cursor));
      if (!read.success) throw new Error(`the provider's report cannot be read: ${z.prettifyError(read.error)}`);
      const { data, has_more, next_page } = read.data;
      for (const bucket of data) for (const result of bucket.results) each(bucket, result as z.infer<R>);
      if (!has_more) return;
      if (!next_page || next_page === cursor.page)
        throw new Error('the provider names no next page of a report, although there are more rows');
      cursor = { page: next_page };
    }
    throw new Error(`the provider's report has more than ${PAGES_MAX} pages`);
  }
}
