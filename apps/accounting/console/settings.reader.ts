import { Inject, Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Settings } from '#libs/contracts/admin/console.js';
import type { ModelPrice } from '#libs/contracts/jobs.js';
import type { SEPARATE_METERS } from '#libs/money/cost.js';
import { formatUsd, NANO_PER_USD } from '#libs/money/nano.js';
import { PriceBook } from '#libs/money/prices.js';
import { shortChats } from '#libs/money/short-chats.js';
import { DEFAULT_LANE, LaneTable } from '#libs/pacing/lanes.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { RETENTION_DAYS } from '../schemas/campaign.schemas.js';
import { IDLE_MS, LONGEST_MS } from './sessions.js';
import { narrowReachOf, visitorsUrl } from '../visitors-url.js';

/** OpenAI's current models, the cheapest first, as of November 2026. Others come from the configuration and campaigns. */
const CURRENT = [
  'gpt-5.4-nano',
  'gpt-5.4-mini',
  'gpt-5.4',
  'gpt-5.5',
  'gpt-5.6-luna',
  'gpt-5.6-terra',
  'gpt-5.6-sol',
  'text-embedding-3-small',
  'text-embedding-3-large',
];
/** When OpenAI ends a model (its page "Deprecations", November 2026). */
const SHUTDOWNS: Readonly<Record<string, string>> = {
  'gpt-5': '2026-12-11',
  'gpt-5-mini': '2026-12-11',
  'gpt-5-nano': '2026-12-11',
  o3: '2026-12-11',
  'gpt-4o': '2027-01-14',
  'gpt-4o-mini': '2027-01-14',
  'gpt-4.1': '2027-01-14',
  'gpt-4.1-mini': '2027-01-14',
};
/** Campaigns may name thousands. */
const MODELS_MAX = 200;
const CAMPAIGNS_MAX = 200;
const TOKENS_PER_MILLION = 1_000_000n;

/** The configuration as it is in force, without secrets, and what is missing in it. */
@Injectable()
export class SettingsReader {
  private readonly prices: PriceBook;

  constructor(
    @Inject(CONFIG) private readonly config: DaypassConfig,
    @InjectDataSource() private readonly source: DataSource,
    private readonly lanes: LaneTable,
  ) {
    this.prices = new PriceBook(config.file.prices);
  }

  async read(): Promise<Settings> {
    const { publicUrl, rehearsed, file, bounds, github, mail } = this.config;
    const models = await this.models();
    const gates = { pow: true, code: true, github: github !== undefined, email: mail !== undefined };
    return {
      public_url: publicUrl ?? null,
      visitors_url: visitorsUrl(this.config),
      gates,
      models,
      lanes: this.lanes.names().map((lane) => ({
        lane,
        models: this.lanes.modelsOf(lane),
        upstreams: this.lanes.upstreamsOf(lane).map(({ name }) => name),
      })),
      guards: file.guards.map(({ name, type, always }) => ({ name, type, judges_all: always })),
      operator: {
        budget_usd_per_day: usdOrNull(file.operator.budget_usd_per_day),
        budget_usd_total: usdOrNull(file.operator.budget_usd_total),
      },
      limits: bounds.map(({ isDefault, ...bound }) => ({ ...bound, is_default: isDefault })),
      retention_days_default: RETENTION_DAYS,
      retention: await this.retention(),
      sessions: { idle_seconds: IDLE_MS / 1_000, longest_seconds: LONGEST_MS / 1_000 },
      rehearsed,
      warnings: this.warnings(models, gates),
    };
  }

  private retention(): Promise<Settings['retention']> {
    return this.source.query<Settings['retention']>(
      `SELECT slug AS campaign, retention_days AS days FROM access.campaigns
        WHERE retention_days IS DISTINCT FROM ${RETENTION_DAYS} ORDER BY created_at DESC, id LIMIT ${CAMPAIGNS_MAX}`,
    );
  }

  private async models(): Promise<Settings['models']> {
    const { prices, lanes } = this.config.file;
    const named = Object.entries(lanes).flatMap(([lane, settings]) => [lane, ...settings.models]);
    const inUse = await this.source.query<{ model: string }[]>(
      `SELECT DISTINCT jsonb_array_elements_text(models) AS model FROM access.campaigns WHERE status = 'active' ORDER BY 1 LIMIT ${MODELS_MAX}`,
    );
    const all = new Set([...CURRENT, ...Object.keys(prices), ...named, ...inUse.map(({ model }) => model)]);
    return [...all]
      .filter((id) => this.lanes.upstreamsOf(this.lanes.isNamed(id) ? this.lanes.laneOf(id) : DEFAULT_LANE).length > 0)
      .flatMap((id) => {
        const priced = this.prices.find(id);
        if (priced === null) return [];
        const { price, chats } = priced;
        return [
          {
            id,
            input_usd_per_million: formatUsd(BigInt(price.input) * TOKENS_PER_MILLION),
            output_usd_per_million: formatUsd(BigInt(price.output) * TOKENS_PER_MILLION),
            ...otherPrices(price),
            shutdown_date: SHUTDOWNS[id] ?? null,
            short_chats_per_usd: chats ? shortChats(NANO_PER_USD, price) : null,
          },
        ];
      })
      .slice(0, MODELS_MAX);
  }

  private warnings(models: Settings['models'], gates: Settings['gates']): string[] {
    const { rehearsed, file, reconcile } = this.config;
    const reach = narrowReachOf(this.config);
    const ending = models.flatMap(({ id, shutdown_date: date }) =>
      date === null ? [] : [`OpenAI ends ${id} on ${date}.`],
    );
    return [
      ...(reach === null ? [] : [`DAYPASS_PUBLIC_URL is not set: claim links work ${reach}.`]),
      ...(rehearsed ? ['OPENAI_API_KEY is not set: answers are made up, and no model reads a prompt.'] : []),
      ...(file.operator.budget_usd_per_day === undefined
        ? ['operator.budget_usd_per_day is not set: only the budgets of campaigns bound what a day costs.']
        : []),
      ...(reconcile.adminKey === undefined
        ? ["OPENAI_ADMIN_KEY is not set: nobody compares the books with the provider's reports."]
        : []),
      ...(gates.github
        ? []
        : [
            'DAYPASS_GITHUB_CLIENT_ID and DAYPASS_GITHUB_CLIENT_SECRET are not set: claim links cannot ask for a GitHub account.',
          ]),
      ...(gates.email ? [] : ['DAYPASS_SMTP_URL is not set: claim links cannot ask for an e-mail address.']),
      ...ending,
    ];
  }
}

const usdOrNull = (nano: bigint | undefined): string | null => (nano === undefined ? null : formatUsd(nano));

/** Nano-dollars of one, as dollars of so many. */
const OTHER_PRICES: readonly [meter: (typeof SEPARATE_METERS)[number], field: string, many: bigint][] = [
  ['imageInput', 'image_input_usd_per_million', TOKENS_PER_MILLION],
  ['imageOutput', 'image_output_usd_per_million', TOKENS_PER_MILLION],
  ['audioInput', 'audio_input_usd_per_million', TOKENS_PER_MILLION],
  ['audioOutput', 'audio_output_usd_per_million', TOKENS_PER_MILLION],
  ['seconds', 'usd_per_hour', 3_600n],
  ['characters', 'usd_per_million_characters', 1_000_000n],
];

function otherPrices(price: ModelPrice): { other_prices?: Record<string, string> } {
  const known = OTHER_PRICES.flatMap(([meter, field, many]) => {
    const rate = price[meter];
    return rate === undefined ? [] : [[field, formatUsd(BigInt(rate) * many)] as const];
  });
  return known.length === 0 ? {} : { other_prices: Object.fromEntries(known) };
}
