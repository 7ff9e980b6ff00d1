import { z } from 'zod';
import { time, usd } from './leaves.js';

const byCode = z.record(z.string(), z.int());

/** `GET /admin/v1/session`. */
export const sessionAnswer = z.object({ data: z.object({ name: z.string(), expires_at: time }) });
/** `POST /admin/v1/session/links`, with the admin token: a link that signs in once, within five minutes. */
export const signInLinkAnswer = z.object({ data: z.object({ url: z.string(), expires_at: time }) });

/** Whether new calls and claims come in. Running calls end in either state. */
export const doorAnswer = z.object({
  data: z.object({
    state: z.enum(['open', 'shut']),
    note: z.string().nullable(),
    since: time.nullable(),
    by: z.string().nullable(),
  }),
});
export type DoorView = z.output<typeof doorAnswer>['data'];

/** What an operator should look at. */
const needAnswer = z.object({
  kind: z.enum(['suspended', 'budget', 'claims', 'trouble', 'flagged', 'setting']),
  text: z.string(),
  /** A page of the console; null: it has none for this, such as for a setting of the machine. */
  href: z.string().nullable(),
  since: time.nullable(),
});

export const RANGES = ['1h', '24h', '30d'] as const;
export const overviewAnswer = z.object({
  data: z.object({
    at: time,
    door: doorAnswer.shape.data,
    /** No model answers: nobody set OPENAI_API_KEY. */
    rehearsed: z.boolean(),
    operator: z.object({
      spent_today_usd: usd,
      budget_usd_per_day: usd.nullable(),
      spent_total_usd: usd,
      budget_usd_total: usd.nullable(),
    }),
    running: z.int(),
    waiting: z.object({ calls: z.int(), oldest_seconds: z.number() }),
    flagged_today: z.int(),
    keys: z.object({ total: z.int(), active: z.int(), suspended: z.int(), revoked: z.int(), expired: z.int() }),
    /** A point for each minute, hour or day of the range, oldest first; none is left out. */
    series: z.array(z.object({ at: time, spent_usd: usd, calls: z.int(), refused: z.int(), flagged: z.int() })),
    /** Within the last hour, by error code. */
    refused: byCode,
    campaigns: z.array(
      z.object({
        slug: z.string(),
        name: z.string(),
        budget_usd: usd,
        available_usd: usd,
        keys_active: z.int(),
        usd_per_hour: usd,
        /** Hours until the budget is spent at this rate; null: nothing is spent. */
        hours_left: z.number().nullable(),
      }),
    ),
    lanes: z.array(z.object({ lane: z.string(), used_percent: z.number().nullable(), waiting: z.int() })),
    needs: z.array(needAnswer),
    services: z.array(z.object({ name: z.string(), ready: z.boolean(), processes: z.int() })),
    books_lag_seconds: z.number(),
  }),
});
export type Overview = z.output<typeof overviewAnswer>['data'];

/** Events of `GET /admin/v1/stream`, by name. After a reconnect the page fetches what it shows anew. */
export const beatSchema = z.object({
  at: time,
  spent_today_usd: usd,
  spent_per_min_usd: usd,
  calls_per_min: z.int(),
  running: z.int(),
  waiting: z.int(),
  oldest_ms: z.number(),
  refused: byCode,
  claims_per_min: z.int(),
  door: z.enum(['open', 'shut']),
});
export type Beat = z.output<typeof beatSchema>;
export const STREAM_EVENTS = [
  'beat',
  'campaign',
  'key',
  'strike',
  'flag',
  'claim',
  'door',
  'trouble',
  'progress',
] as const;

const changed = z.object({
  /** null: so many changed at once that the page had better fetch what it shows. */
  id: z.string().nullable(),
});
/** What each of them carries. Campaigns and keys are named by their ids. */
export const streamDataSchemas = {
  beat: beatSchema,
  /** Its terms or its balance changed. */
  campaign: changed,
  /** Its terms, its status or its balance changed. */
  key: changed,
  /** A refused input, and what followed. */
  strike: z.object({
    key: z.string(),
    campaign: z.string(),
    request: z.string(),
    step: z.enum(['warn', 'cooldown', 'suspend']),
    strikes: z.int(),
  }),
  /** A verdict that blocked or flagged. */
  flag: z.object({
    request: z.string(),
    key: z.string(),
    campaign: z.string(),
    decision: z.enum(['blocked', 'flagged']),
  }),
  claim: z.object({ id: z.string(), link: z.string(), campaign: z.string(), key: z.string() }),
  door: doorAnswer.shape.data,
  /** `over`: it works again. */
  trouble: z.object({ what: z.string(), text: z.string(), over: z.boolean() }),
  /** How far a long piece of work is, such as the revocation of many keys. */
  progress: z.object({ of: z.string(), done: z.int(), total: z.int() }),
} satisfies Record<(typeof STREAM_EVENTS)[number], z.ZodType>;
export type StreamEvent = {
  [Name in (typeof STREAM_EVENTS)[number]]: { event: Name; data: z.output<(typeof streamDataSchemas)[Name]> };
}[(typeof STREAM_EVENTS)[number]];

export const settingsAnswer = z.object({
  data: z.object({
    /** null: nobody set DAYPASS_PUBLIC_URL, so that links work on this machine or in its network only. */
    public_url: z.string().nullable(),
    visitors_url: z.string(),
    gates: z.object({ pow: z.boolean(), code: z.boolean(), github: z.boolean(), email: z.boolean() }),
    models: z.array(
      z.object({
        id: z.string(),
        input_usd_per_million: usd,
        output_usd_per_million: usd,
        /** Dollars for what is no text, by the names of DAYPASS_CONFIG; absent: it has no such price. */
        other_prices: z.record(z.string(), usd).optional(),
        shutdown_date: z.string().nullable(),
        /** A rough number of short chats that a dollar buys; null: it answers no chat. */
        short_chats_per_usd: z.int().nullable(),
      }),
    ),
    /** As DAYPASS_CONFIG names them, and `default`. */
    lanes: z.array(z.object({ lane: z.string(), models: z.array(z.string()), upstreams: z.array(z.string()) })),
    guards: z.array(z.object({ name: z.string(), type: z.string(), judges_all: z.boolean() })),
    operator: z.object({ budget_usd_per_day: usd.nullable(), budget_usd_total: usd.nullable() }),
    /** Bounds and times of the environment as accounting reads them, by the names of their variables. */
    limits: z.array(
      z.object({
        name: z.string(),
        value: z.union([z.number(), z.string()]),
        unit: z.string().nullable(),
        is_default: z.boolean(),
        text: z.string(),
      }),
    ),
    /** How long the record keeps texts of a campaign that says nothing else. */
    retention_days_default: z.int(),
    /** Campaigns that say something else, at most 200; null: for ever. */
    retention: z.array(z.object({ campaign: z.string(), days: z.int().nullable() })),
    /** A session of the console ends after so long without a request, and after so long at most. */
    sessions: z.object({ idle_seconds: z.int(), longest_seconds: z.int() }),
    rehearsed: z.boolean(),
    /** What is missing, or ends soon. */
    warnings: z.array(z.string()),
  }),
});
export type Settings = z.output<typeof settingsAnswer>['data'];

export const BUCKETS = ['minute', 'hour', 'day'] as const;
export const spendAnswer = z.object({ data: z.array(z.object({ at: time, spent_usd: usd, calls: z.int() })) });
export const funnelAnswer = z.object({
  data: z.object({ opened: z.int(), claimed: z.int(), first_call: z.int(), spent: z.int() }),
});
