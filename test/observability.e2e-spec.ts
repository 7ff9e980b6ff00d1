import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { SERVICES } from '#libs/config/config.js';
import { ENDPOINTS } from '#libs/endpoints/registry.js';
import { startDaypass, type Daypass } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { startPrometheus, type Series, type TestPrometheus } from '#libs/testing/prometheus.js';
import { DASHBOARDS, queryOf } from '../observability/dashboards.js';
import { previewOf, type Line } from '../observability/preview.js';

const model = 'gpt-5.4-mini';
const RATE = '10s';
/** Longer with previews, so that there is something to look at. */
// oxlint-disable-next-line node/no-process-env
const PREVIEWS = process.env.DAYPASS_PREVIEWS === '1';
const LOAD_MS = PREVIEWS ? 120_000 : 14_000;
/** With fewer an upstream had not yet refused anything in each of its ways. */
const CALLS_MIN = 120;

/** What operators can see by API. */
const BY_API = [
  'daypass_calls_total',
  'daypass_call_seconds',
  'daypass_first_token_seconds',
  'daypass_refusals_total',
  'daypass_upstream_calls_total',
  'daypass_upstream_call_seconds',
  'daypass_lane_tokens_total',
  'daypass_moderation_verdicts_total',
];

let daypass: Daypass;
let prometheus: TestPrometheus;
let begunSeconds: number;

beforeAll(async () => {
  daypass = await startDaypass({
    config: {
      lanes: {
        mini: { rpm: 3_000, tpm: 400_000, models: [model] },
        nano: { rpm: 120, models: ['gpt-5.4-nano'] },
        moderation: { rpm: 6_000 },
      },
    },
    rehearsal: { firstTokenMs: 40, tokensPerSecond: 200, moderationLatencyMs: 20 },
    durable: true,
  });
  prometheus = await startPrometheus(daypass.opsUrls);
  begunSeconds = Date.now() / 1_000;
  await drive(LOAD_MS);
}, LOAD_MS + 90_000);
afterAll(async () => {
  await prometheus?.stop();
  await daypass?.stop();
});

/** What visitors do in a while: chats, streams, refused inputs, empty budgets, wrong keys; and an upstream that has its moods. */
async function drive(ms: number): Promise<void> {
  const shop = await daypass.createKey({ campaign: { slug: 'shop' } });
  const moderation = { input: 'gate', output: 'window', strikes: { suspend_after: 3 } };
  const school = await daypass.createKey({ campaign: { slug: 'school', moderation } });
  const poor = await daypass.createKey({ campaign: 'shop', key: { budget_usd: '0.000001' } });
  let calls = 0;
  daypass.rehearsal.onChat = () => {
    calls++;
    if (calls % 40 === 7)
      return { refuse: { status: 429, error: { message: 'Slow down' }, headers: { 'retry-after-ms': '50' } } };
    return calls % 40 === 27 ? { refuse: { status: 500, error: { message: 'The server had an error' } } } : undefined;
  };
  const endMs = performance.now() + ms;
  const goesOn = (): boolean => performance.now() < endMs || calls < CALLS_MIN;
  const again = async (
    key: string,
    pauseMs: number,
    of: (client: OpenAI, text: string) => Promise<unknown>,
  ): Promise<void> => {
    const client = new OpenAI({ apiKey: key, baseURL: daypass.baseUrl, maxRetries: 0 });
    for (let n = 0; goesOn(); n++) {
      await of(client, `Tell of the number ${n}, of ${key.slice(-4)} and of nothing else.`).catch(() => undefined);
      await sleep(pauseMs);
    }
  };
  const chat = (client: OpenAI, content: string, of = model) =>
    client.chat.completions.create({ model: of, messages: [{ role: 'user', content }], max_tokens: 60 });
  const stream = async (client: OpenAI, content: string): Promise<void> => {
    for await (const _ of await client.chat.completions.create({
      model,
      messages: [{ role: 'user', content }],
      max_tokens: 60,
      stream: true,
    }));
  };
  // Keys that strike out are suspended one after another.
  const flagged = async (): Promise<void> => {
    while (goesOn()) {
      const { key } = await daypass.createKey({ campaign: 'school' });
      const client = new OpenAI({ apiKey: key, baseURL: daypass.baseUrl, maxRetries: 0 });
      for (let n = 0; n < 5 && goesOn(); n++) {
        await chat(client, `${Math.random()} DAYPASS-REHEARSAL-FLAG`).catch(() => undefined);
        await sleep(300);
      }
    }
  };
  await Promise.all([
    again(shop.key, 100, (client, text) => chat(client, text)),
    again(shop.key, 150, stream),
    again(school.key, 150, stream),
    again(school.key, 100, (client, text) => chat(client, text)),
    ...Array.from({ length: 4 }, () => again(school.key, 10, (client, text) => chat(client, text, 'gpt-5.4-nano'))),
    again(poor.key, 200, (client, text) => chat(client, text)),
    again('dp_wrong', 300, (client, text) => chat(client, text)),
    flagged(),
  ]);
}

describe('the dashboards', () => {
  it.each(DASHBOARDS.flatMap(({ uid, panels }) => panels.map((panel) => [uid, panel.title, panel] as const)))(
    '%s: "%s" has an answer to each of its queries',
    async (_, __, { targets }) => {
      for (const target of targets) {
        const answer = await prometheus.query(queryOf(target, RATE));
        expect({ query: target.expr, series: answer.length }).toEqual({
          query: target.expr,
          series: expect.any(Number),
        });
        expect(answer.length).toBeGreaterThan(0);
        for (const { values } of answer) expect(Number(values[0]![1])).not.toBeNaN();
        // Each legend tells the series of its panel apart.
        expect(new Set(answer.map((series) => legendOf(target.legend, series))).size).toBe(answer.length);
      }
    },
  );

  (PREVIEWS ? it : it.skip)('are drawn into docs/dashboards', async () => {
    const toSeconds = Date.now() / 1_000;
    for (const dashboard of DASHBOARDS) {
      const lines: Line[][] = [];
      for (const { targets } of dashboard.panels) {
        const drawn = await Promise.all(
          targets.map(async (target) =>
            (await prometheus.queryRange(queryOf(target, RATE), begunSeconds, toSeconds, 2)).map((series) => ({
              legend: legendOf(target.legend, series),
              points: series.values
                .map(([seconds, value]): [number, number] => [seconds, Number(value)])
                .filter(([, value]) => Number.isFinite(value)),
            })),
          ),
        );
        lines.push(drawn.flat());
      }
      writeFileSync(join(process.cwd(), 'docs', 'dashboards', `${dashboard.uid}.svg`), previewOf(dashboard, lines));
    }
  });
});

describe('docs/metrics.md', () => {
  it('has every metric that the services tell, with its type and its labels, and no other', async () => {
    const told = new Map<string, { service: Set<string>; type: string; labels: Set<string> }>();
    for (const service of SERVICES) {
      const text = await (await fetch(`${daypass.opsUrls[service]}/metrics`)).text();
      for (const [, name, type] of text.matchAll(/^# TYPE (daypass_\w+) (\w+)$/gm)) {
        const metric = told.get(name!) ?? { service: new Set(), type: type!, labels: new Set() };
        metric.service.add(service);
        told.set(name!, metric);
      }
      for (const [, name, labels] of text.matchAll(/^(daypass_\w+)\{([^}]*)\}/gm)) {
        const metric = told.get(name!) ?? told.get(name!.replace(/_(bucket|count|sum)$/, ''));
        for (const [, label] of labels!.matchAll(/(\w+)="/g))
          if (!['service', 'le'].includes(label!)) metric!.labels.add(label!);
      }
    }
    const table = readFileSync(join(process.cwd(), 'docs', 'metrics.md'), 'utf8');
    const documented = new Map(
      [...table.matchAll(/^\| `(daypass_\w+)` +\| (\w+) +\| ([^|]*?) +\| ([^|]*?) +\|/gm)].map(
        ([, name, type, services, labels]) => [
          name!,
          {
            type,
            services: services!.split(', '),
            labels: [...labels!.matchAll(/`(\w+)`/g)].map(([, label]) => label!),
          },
        ],
      ),
    );
    expect([...documented.keys()].toSorted()).toEqual([...told.keys()].toSorted());
    for (const [name, { type, service, labels }] of told) {
      const line = documented.get(name)!;
      expect({ name, type: line.type, services: line.services.toSorted() }).toEqual({
        name,
        type,
        services: [...service].toSorted(),
      });
      // A label whose metric has not happened yet is not told yet.
      expect({ name, labels: [...labels].filter((label) => !line.labels.includes(label)) }).toEqual({
        name,
        labels: [],
      });
      expect(name).toMatch(type === 'counter' ? /_total$/ : /(?<!_total)$/);
    }
  });

  it('has no label of unbounded values: no id of a call, and of keys ten', async () => {
    const text = (
      await Promise.all(SERVICES.map(async (service) => (await fetch(`${daypass.opsUrls[service]}/metrics`)).text()))
    ).join('\n');
    expect(text).not.toMatch(/="req_/);
    expect(text.match(/key="key_/g)?.length ?? 0).toBeLessThanOrEqual(10);
    const apis = new Set([...text.matchAll(/^daypass_\w+\{.*\bendpoint="([^"]*)"/gm)].map(([, api]) => api));
    expect([...apis].filter((api) => ![...ENDPOINTS.map(({ name }) => name), 'none'].includes(api!))).toEqual([]);
    for (const metric of BY_API)
      expect(text).toMatch(new RegExp(`^${metric}(_count)?\\{.*\\bendpoint="chat.completions"`, 'm'));
    expect(text).toMatch(/daypass_top_key_spent_usd\{key="key_[^"]+",campaign="shop"/);
  });
});

describe('what operators see', () => {
  const value = async (expr: string): Promise<number> => Number((await prometheus.query(expr))[0]?.values[0]?.[1]);

  it('is what the books say', async () => {
    const { body } = await daypass.admin('/admin/v1/campaigns/shop');
    await until(
      'Prometheus has what was spent',
      async () => (await value('daypass_campaign_spent_usd{campaign="shop"}')) === Number(body.spent_usd),
      30_000,
    );
    expect(await value('daypass_campaign_budget_usd{campaign="shop"}')).toBe(10);
    expect(await value('daypass_store_persistent{store="redis"}')).toBe(1);
    expect(await value('daypass_redis_memory_bytes')).toBeGreaterThan(100_000);
    expect(await value('daypass_keys{status="suspended"}')).toBeGreaterThan(0);
    expect(await value('time() - daypass_audit_sealed_timestamp_seconds')).toBeLessThan(10);
  });

  it('tells of a Redis that keeps nothing', async () => {
    const { Redis } = await import('ioredis');
    const redis = new Redis(daypass.redisUrl);
    try {
      await redis.config('SET', 'appendonly', 'no');
      await until('Prometheus has it', async () => (await value('daypass_store_persistent')) === 0, 30_000);
    } finally {
      redis.disconnect();
    }
  });
});

function legendOf(template: string, { metric }: Series): string {
  return template.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '');
}
