/** A query of a panel; `$campaign`, `$lane` and `$__rate_interval` are Grafana's variables. */
interface Target {
  expr: string;
  legend: string;
}

type Unit = 'currencyUSD' | 'reqps' | 's' | 'short' | 'percentunit' | 'bytes' | 'bool_yes_no' | 'cps';

export interface Panel {
  title: string;
  description: string;
  unit: Unit;
  kind: 'timeseries' | 'stat' | 'bargauge';
  targets: Target[];
}

export interface Dashboard {
  uid: string;
  title: string;
  description: string;
  panels: Panel[];
}

const RATE = '[$__rate_interval]';
const CAMPAIGN = 'campaign=~"$campaign"';
const LANE = 'lane=~"$lane"';

const panel = (
  title: string,
  unit: Unit,
  description: string,
  targets: Target[],
  kind: Panel['kind'] = 'timeseries',
): Panel => ({
  ...{ title, description, unit, kind, targets },
});
const rate = (metric: string, by: string, filter = ''): string => `sum by (${by}) (rate(${metric}{${filter}}${RATE}))`;
const quantile = (share: number, metric: string, filter = ''): string =>
  `histogram_quantile(${share}, sum by (le) (rate(${metric}_bucket{${filter}}${RATE})))`;
const quantileBy = (share: number, by: string, metric: string): string =>
  `histogram_quantile(${share}, sum by (le, ${by}) (rate(${metric}_bucket${RATE})))`;
const quantiles = (metric: string, filter = ''): Target[] =>
  [0.5, 0.95, 0.99].map((share) => ({ expr: quantile(share, metric, filter), legend: `p${share * 100}` }));
/** Every process of a service reports the same about a store, so that one of them is enough. */
const shared = (metric: string, by: string, filter = ''): string => `max by (${by}) (${metric}{${filter}})`;
/** Keeps a share empty instead of dividing by nothing. */
const share = (used: string, limit: string, by: string, filter: string): string =>
  `${shared(used, by, filter)} / (${shared(limit, by, filter)} > 0)`;

const MONEY: Dashboard = {
  uid: 'daypass-money',
  title: 'Daypass: visitors and money',
  description: 'What visitors spend, what their calls hold, what is left, and why they are refused.',
  panels: [
    panel(
      'Spent within a day',
      'currencyUSD',
      'What accounting booked to upstreams within the last 24 hours, before refunds.',
      [{ expr: 'sum(increase(daypass_spend_usd_total[24h]))', legend: 'spent' }],
      'stat',
    ),
    panel(
      'Held now',
      'currencyUSD',
      'What running calls hold of their campaigns’ budgets.',
      [{ expr: `sum(${shared('daypass_campaign_held_usd', 'campaign', CAMPAIGN)})`, legend: 'held' }],
      'stat',
    ),
    panel(
      'Absorbed by the operator',
      'currencyUSD',
      'Cost beyond the bound. It has to stay 0: otherwise a bound was wrong.',
      [{ expr: 'sum(daypass_absorbed_usd_total)', legend: 'absorbed' }],
      'stat',
    ),
    panel(
      'Keys',
      'short',
      'Virtual keys by status.',
      [{ expr: shared('daypass_keys', 'status'), legend: '{{status}}' }],
      'stat',
    ),
    panel('Spend', 'currencyUSD', 'Booked dollars an hour.', [
      { expr: `sum(rate(daypass_spend_usd_total${RATE})) * 3600`, legend: 'dollars an hour' },
    ]),
    panel('Budget used', 'percentunit', 'Spent and held of each active campaign. Alerts come at 80 and at 100 %.', [
      {
        expr: `(${shared('daypass_campaign_spent_usd', 'campaign', CAMPAIGN)} + ${shared('daypass_campaign_held_usd', 'campaign', CAMPAIGN)}) / (${shared('daypass_campaign_budget_usd', 'campaign', CAMPAIGN)} > 0)`,
        legend: '{{campaign}}',
      },
    ]),
    panel('Budget left', 'currencyUSD', 'Neither spent nor held, by active campaign.', [
      {
        expr: `${shared('daypass_campaign_budget_usd', 'campaign', CAMPAIGN)} - ${shared('daypass_campaign_spent_usd', 'campaign', CAMPAIGN)} - ${shared('daypass_campaign_held_usd', 'campaign', CAMPAIGN)}`,
        legend: '{{campaign}}',
      },
    ]),
    panel(
      'Held by campaign',
      'currencyUSD',
      'What running calls hold. When a call ends, its hold becomes spend or is free again.',
      [{ expr: shared('daypass_campaign_held_usd', 'campaign', CAMPAIGN), legend: '{{campaign}}' }],
    ),
    panel(
      'Top keys',
      'currencyUSD',
      'The keys that spent most, by id.',
      [
        {
          expr: `topk(10, ${shared('daypass_top_key_spent_usd', 'key, campaign', CAMPAIGN)})`,
          legend: '{{key}} ({{campaign}})',
        },
      ],
      'bargauge',
    ),
    panel('Calls by campaign', 'reqps', 'Calls that took a hold.', [
      { expr: rate('daypass_calls_total', 'campaign', CAMPAIGN), legend: '{{campaign}}' },
    ]),
    panel('Calls by API', 'reqps', 'Calls that took a hold, by the API that they call.', [
      { expr: rate('daypass_calls_total', 'endpoint', CAMPAIGN), legend: '{{endpoint}}' },
    ]),
    panel('Calls by their end', 'reqps', 'Either ok, or the error code in the visitor’s answer.', [
      { expr: rate('daypass_calls_total', 'outcome', CAMPAIGN), legend: '{{outcome}}' },
    ]),
    panel('Refusals by reason', 'reqps', 'Error answers to requests, before or after their hold, by code.', [
      { expr: rate('daypass_refusals_total', 'code'), legend: '{{code}}' },
    ]),
    panel('Refusals by API', 'reqps', 'The same by API; `none` are requests to no API, also to what is not offered.', [
      { expr: rate('daypass_refusals_total', 'endpoint'), legend: '{{endpoint}}' },
    ]),
    panel(
      'Books beside the provider’s bill',
      'currencyUSD',
      'Booked less billed, over the last billed day and the last 30. Below 0 the books lack something.',
      [
        {
          expr: `${shared('daypass_upstream_drift_usd', 'period')} or on() label_replace(vector(0), "period", "nothing billed yet", "", "")`,
          legend: '{{period}}',
        },
      ],
    ),
    panel(
      'Presumed calls',
      'short',
      'Calls whose end nobody saw. Accounting books their bound until a usage report decides.',
      [{ expr: 'max(daypass_presumed_calls_waiting)', legend: 'waiting' }],
    ),
    panel('Journal lag', 'short', 'Bookings that are not in Postgres yet.', [
      { expr: 'max(daypass_journal_lag_entries)', legend: 'entries' },
    ]),
    panel('Bookings', 'cps', 'Journal events that accounting booked, by kind.', [
      { expr: rate('daypass_journal_events_total', 'kind'), legend: '{{kind}}' },
    ]),
  ],
};

const FLOW: Dashboard = {
  uid: 'daypass-flow',
  title: 'Daypass: flow',
  description: 'The way of calls: rate, latency by stage, queues, limits, retries.',
  panels: [
    panel('Upstream calls', 'reqps', 'By lane.', [
      { expr: rate('daypass_upstream_calls_total', 'lane', LANE), legend: '{{lane}}' },
    ]),
    panel('Upstream calls by API', 'reqps', 'By the API that they call.', [
      { expr: rate('daypass_upstream_calls_total', 'endpoint', LANE), legend: '{{endpoint}}' },
    ]),
    panel(
      'Upstream calls by their end',
      'reqps',
      'Either ok, or how they ended; `deferred` is a 429, `retried` a failure before any work.',
      [{ expr: rate('daypass_upstream_calls_total', 'outcome', LANE), legend: '{{outcome}}' }],
    ),
    panel(
      'Latency by stage, p95',
      's',
      'The verdict on the input, the whole wait before the dispatch, the upstream, and the verdict on the output.',
      [
        { expr: quantile(0.95, 'daypass_guard_seconds', 'direction="input"'), legend: 'input verdict' },
        { expr: quantile(0.95, 'daypass_dispatch_wait_seconds', LANE), legend: 'until the dispatch' },
        { expr: quantile(0.95, 'daypass_upstream_call_seconds', LANE), legend: 'upstream' },
        { expr: quantile(0.95, 'daypass_guard_seconds', 'direction="output"'), legend: 'output verdict' },
        { expr: quantile(0.95, 'daypass_call_seconds'), legend: 'whole call' },
      ],
    ),
    panel('Whole call', 's', 'From the hold to the last byte of the answer.', quantiles('daypass_call_seconds')),
    panel('Whole call by API, p95', 's', 'From the hold to the last byte of the answer, by API.', [
      { expr: quantileBy(0.95, 'endpoint', 'daypass_call_seconds'), legend: '{{endpoint}}' },
    ]),
    panel(
      'Time to first token',
      's',
      'From the hold to the first piece of a stream that the visitor gets.',
      quantiles('daypass_first_token_seconds'),
    ),
    panel(
      'Wait for the dispatch',
      's',
      'From the hold to the dispatch: verdict and turn.',
      quantiles('daypass_dispatch_wait_seconds', LANE),
    ),
    panel('Queue depth', 'short', 'Calls that wait for a turn, by lane.', [
      { expr: shared('daypass_lane_waiting_calls', 'lane', LANE), legend: '{{lane}}' },
    ]),
    panel('Queue age', 's', 'How long the oldest one has waited.', [
      { expr: shared('daypass_lane_oldest_seconds', 'lane', LANE), legend: '{{lane}}' },
    ]),
    panel('Moderation queue', 'short', 'Jobs before the moderation service; each carries the calls of one tick.', [
      { expr: shared('daypass_moderation_queue_jobs', 'state'), legend: '{{state}}' },
    ]),
    panel('Moderation queue age', 's', 'How long the oldest one has waited.', [
      { expr: 'max(daypass_moderation_queue_oldest_seconds)', legend: 'oldest' },
    ]),
    panel(
      'Use of request limits',
      'percentunit',
      'Requests of the last minute, as a share of the limit. A full lane is no error.',
      [
        {
          expr: share('daypass_lane_used_requests', 'daypass_lane_limit_requests', 'lane, upstream', LANE),
          legend: '{{lane}} at {{upstream}}',
        },
      ],
    ),
    panel('Use of token limits', 'percentunit', 'Tokens of the last minute, as a share of the limit.', [
      {
        expr: share('daypass_lane_used_tokens', 'daypass_lane_limit_tokens', 'lane, upstream', LANE),
        legend: '{{lane}} at {{upstream}}',
      },
    ]),
    panel(
      'Retries and 429s',
      'reqps',
      'Calls that went back to their lane: the upstream’s limits refused them, or they failed before any work.',
      [
        {
          expr: rate('daypass_upstream_calls_total', 'outcome', `${LANE},outcome=~"deferred|retried"`),
          legend: '{{outcome}}',
        },
      ],
    ),
    panel('Turns that found no room', 'reqps', 'Turns in a full lane. Many of them are normal under load.', [
      { expr: rate('daypass_lane_waits_total', 'lane', LANE), legend: '{{lane}}' },
    ]),
    panel('Frozen for', 's', 'How long the upstream asks to wait (429 with retry-after).', [
      {
        expr: `clamp_min(${shared('daypass_lane_frozen_until_seconds', 'lane, upstream', LANE)} - time(), 0)`,
        legend: '{{lane}} at {{upstream}}',
      },
    ]),
    panel('Left alone for', 's', 'How long forwarding still leaves a failing upstream alone.', [
      {
        expr: `clamp_min(${shared('daypass_upstream_open_until_seconds', 'lane, upstream', LANE)} - time(), 0)`,
        legend: '{{lane}} at {{upstream}}',
      },
    ]),
    panel('Tokens by campaign', 'cps', 'Tokens a second that campaigns reserve of a lane’s limit.', [
      {
        expr: `sum by (campaign) (sum by (campaign_id) (rate(daypass_lane_tokens_total{${LANE}}${RATE})) * on (campaign_id) group_left (campaign) max by (campaign, campaign_id) (daypass_campaign_info{${CAMPAIGN}}))`,
        legend: '{{campaign}}',
      },
    ]),
    panel('Tokens by API', 'cps', 'Tokens a second that calls of each API reserve of their lanes’ limits.', [
      { expr: rate('daypass_lane_tokens_total', 'endpoint', LANE), legend: '{{endpoint}}' },
    ]),
    panel('Calls running', 'short', 'Upstream calls, and visitors that wait for an answer.', [
      { expr: 'sum(daypass_upstream_calls_running)', legend: 'upstream' },
      { expr: 'sum(daypass_calls_running)', legend: 'visitors' },
    ]),
    panel('CPU', 'percentunit', 'Of one core, by service.', [
      { expr: rate('process_cpu_seconds_total', 'service', 'service!=""'), legend: '{{service}}' },
    ]),
    panel('Memory', 'bytes', 'Resident, by service.', [
      { expr: 'sum by (service) (process_resident_memory_bytes{service!=""})', legend: '{{service}}' },
    ]),
    panel('Event loop lag, p99', 's', 'How late a service runs its timers.', [
      // Node counts the time between two looks, which are half a second apart (libs/service/ops-server.ts).
      { expr: 'clamp_min(max by (service) (nodejs_eventloop_lag_p99_seconds) - 0.5, 0)', legend: '{{service}}' },
    ]),
  ],
};

const SAFETY: Dashboard = {
  uid: 'daypass-safety',
  title: 'Daypass: safety',
  description: 'Verdicts and what followed, whether moderation answers, and whether the record is whole.',
  panels: [
    panel(
      'Suspended keys',
      'short',
      'They wait for a person.',
      [{ expr: 'max(daypass_keys{status="suspended"})', legend: 'suspended' }],
      'stat',
    ),
    panel(
      'Record broken',
      'bool_yes_no',
      'Whether the record differs from what accounting signed.',
      [{ expr: 'max(daypass_audit_broken)', legend: 'broken' }],
      'stat',
    ),
    panel(
      'Redis keeps its data',
      'bool_yes_no',
      'Whether its append-only file is on and can be written.',
      [{ expr: shared('daypass_store_persistent', 'store'), legend: '{{store}}' }],
      'stat',
    ),
    panel('Verdicts on inputs', 'reqps', 'By what moderation decided.', [
      { expr: rate('daypass_moderation_verdicts_total', 'decision', 'direction="input"'), legend: '{{decision}}' },
    ]),
    panel('Verdicts on outputs', 'reqps', 'By what moderation decided.', [
      { expr: rate('daypass_moderation_verdicts_total', 'decision', 'direction="output"'), legend: '{{decision}}' },
    ]),
    panel('Verdicts by API', 'reqps', 'Verdicts on inputs and outputs, by API.', [
      {
        expr: rate('daypass_moderation_verdicts_total', 'endpoint, direction'),
        legend: '{{endpoint}} ({{direction}})',
      },
    ]),
    panel('Categories', 'reqps', 'The categories of flagged contents.', [
      { expr: rate('daypass_moderation_flags_total', 'direction, category'), legend: '{{category}} ({{direction}})' },
    ]),
    panel('Checks on record', 'cps', 'Checks that accounting added to the record, by guard and decision.', [
      { expr: rate('daypass_audit_checks_total', 'guard, decision', CAMPAIGN), legend: '{{guard}}: {{decision}}' },
    ]),
    panel('Flagged share', 'percentunit', 'Checks that blocked or flagged, of all checks of a campaign.', [
      {
        expr: `${rate('daypass_audit_checks_total', 'campaign', `${CAMPAIGN},decision=~"blocked|flagged"`)} / (${rate('daypass_audit_checks_total', 'campaign', CAMPAIGN)} > 0)`,
        legend: '{{campaign}}',
      },
    ]),
    panel('Strikes', 'cps', 'Refused inputs by what followed: a warning, a rest, a suspension.', [
      { expr: rate('daypass_strikes_total', 'step'), legend: '{{step}}' },
    ]),
    panel(
      'Moderation latency',
      's',
      'Calls to the moderation endpoint, with their wait for its lane.',
      quantiles('daypass_moderation_call_seconds'),
    ),
    panel('Moderation calls', 'reqps', 'By their end: verdicts or an error. Errors alone are an outage.', [
      { expr: rate('daypass_moderation_call_seconds_count', 'outcome'), legend: '{{outcome}}' },
    ]),
    panel('Verdicts from the cache', 'reqps', 'Texts, by whether the cache had their verdict.', [
      { expr: rate('daypass_moderation_texts_total', 'verdict'), legend: '{{verdict}}' },
    ]),
    panel('Guards, p95', 's', 'How long each guard takes.', [
      { expr: quantileBy(0.95, 'guard', 'daypass_guard_seconds'), legend: '{{guard}}' },
    ]),
    panel('Record lag', 'short', 'Requests and checks that are not in the record yet.', [
      { expr: 'max(daypass_audit_lag_entries)', legend: 'entries' },
    ]),
    panel('Seal lag', 's', 'Time since accounting last signed the whole record. About a second is normal.', [
      { expr: 'time() - max(daypass_audit_sealed_timestamp_seconds)', legend: 'since the last seal' },
    ]),
  ],
};

export const DASHBOARDS: readonly Dashboard[] = [MONEY, FLOW, SAFETY];

const WIDTH = 24;
const HEIGHT = 8;
const STAT_HEIGHT = 4;

const variable = (name: string, label: string, metric: string) => ({
  ...{
    name,
    label,
    type: 'query',
    datasource: { type: 'prometheus', uid: 'prometheus' },
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: '.*',
  },
  ...{ current: { text: 'All', value: '$__all' }, definition: `label_values(${metric}, ${name})` },
  query: { query: `label_values(${metric}, ${name})`, refId: name },
});

/** A dashboard for Grafana's provisioning, schema version 39 (Grafana 10 and later read it). */
export function grafanaDashboard({ uid, title, description, panels }: Dashboard): object {
  let [x, y, rowHeight] = [0, 0, 0];
  const placed = panels.map((one, index) => {
    const [w, h] = one.kind === 'stat' ? [6, STAT_HEIGHT] : [WIDTH / 3, HEIGHT];
    if (x + w > WIDTH || (rowHeight > 0 && h !== rowHeight)) [x, y, rowHeight] = [0, y + rowHeight, 0];
    const gridPos = { x, y, w, h };
    [x, rowHeight] = [x + w, h];
    return {
      ...{ id: index + 1, type: one.kind, title: one.title, description: one.description, gridPos },
      datasource: { type: 'prometheus', uid: 'prometheus' },
      fieldConfig: {
        defaults: { unit: one.unit, custom: one.kind === 'timeseries' ? { fillOpacity: 10, showPoints: 'never' } : {} },
        overrides: [],
      },
      options: optionsOf(one.kind),
      targets: one.targets.map(({ expr, legend }, number) => ({
        ...{
          refId: String.fromCharCode(65 + number),
          expr,
          legendFormat: legend,
          instant: one.kind !== 'timeseries',
          range: one.kind === 'timeseries',
        },
      })),
    };
  });
  return {
    ...{
      uid,
      title,
      description,
      tags: ['daypass'],
      schemaVersion: 39,
      editable: false,
      refresh: '10s',
      timezone: '',
      time: { from: 'now-1h', to: 'now' },
    },
    templating: {
      list: [
        variable('campaign', 'Campaign', 'daypass_campaign_budget_usd'),
        variable('lane', 'Lane', 'daypass_lane_waiting_calls'),
      ],
    },
    panels: placed,
  };
}

function optionsOf(kind: Panel['kind']): object {
  if (kind === 'timeseries')
    return {
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
      tooltip: { mode: 'multi', sort: 'desc' },
    };
  const reduceOptions = { calcs: ['lastNotNull'], fields: '', values: false };
  return kind === 'stat'
    ? { reduceOptions, textMode: 'value_and_name', colorMode: 'none', graphMode: 'area' }
    : { reduceOptions, orientation: 'horizontal' };
}

/** The queries as Prometheus gets them, with the variables replaced. */
export function queryOf({ expr }: Target, rateInterval: string): string {
  return expr.replaceAll('$__rate_interval', rateInterval).replaceAll(/\$(campaign|lane)\b/g, '.*');
}
