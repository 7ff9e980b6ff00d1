import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { SERVICES } from '#libs/config/config.js';
import type { ChatCall } from '#libs/rehearsal/rehearsal.chat.face.js';
import type { ImagesCall } from '#libs/rehearsal/rehearsal.images.face.js';
import type { ResponsesCall } from '#libs/rehearsal/rehearsal.responses.face.js';
import { addressOptions } from '#libs/redis/connection.js';
import { moneySlot } from '#libs/redis/keys.js';
import { startDaypass, type Daypass, type DaypassOptions, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';

/** The provider's own prices of gpt-5.4-mini, nano-dollars per token, written down apart from Daypass' price book. */
const BILLED = { input: 750n, cached: 75n, output: 4_500n };
/** The same of gpt-image-2. */
const BILLED_IMAGES = { text: 5_000n, read: 8_000n, made: 30_000n };
export const MODEL = 'gpt-5.4-mini';
/** The same model at the same price, in a lane whose limits are in full use. */
export const PACED = 'gpt-5.4-mini-2026-03-17';
/** Finite, so that H can be broken. No fault comes near those of `default`. */
const LANES = {
  default: { rpm: 30_000, tpm: 30_000_000, burst_seconds: 60, fixed: true },
  paced: { rpm: 20, tpm: 4_000, burst_seconds: 60, fixed: true, models: [PACED] },
};
export const PACED_RPM = LANES.paced.rpm;
/** Daypass allows for calls that arrive 0.75 s late. A busy machine may take longer. */
const LATE_MS = 5_000;
const H_WINDOW_MS = 60_000 - LATE_MS;
/** Stands in each content with a number of its own, and has always the same number of tokens. */
const PLANTED = /planted\d{9}/g;
let planted = 0;
const SAMPLE_EVERY_MS = 40;
const BACK_WITHIN_MS = 30_000;
const OPERATOR = { budget_usd_per_day: '400', budget_usd_total: '900' };

export interface Outcome {
  status: number;
  code: string | null;
  text: string;
  headers: Headers | undefined;
  /** What a whole stream ends with. */
  done: boolean;
}

export interface CallWish {
  content?: string;
  stream?: boolean;
  max_tokens?: number;
  model?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Which API it calls; absent: chat completions. */
  api?: 'chat' | 'responses';
  /** Parameters beside. */
  more?: object;
}

type Body = Partial<Record<'max_completion_tokens' | 'max_tokens' | 'max_output_tokens' | 'n', number>>;
type SentCall = ChatCall | ResponsesCall | ImagesCall;

/** A running Daypass whose stores and services can fail, an upstream with a bill of its own, and the invariants that must hold. */
export class Arena {
  readonly redis: Redis;
  /** Every key of Redis begins with it. */
  private readonly slot: string;
  readonly sql: pg.Pool;
  private readonly keys: (TestKey & { campaignId: string })[] = [];
  private readonly sent: SentCall[] = [];
  private readonly broken: string[] = [];
  private readonly leaks: string[] = [];
  /** Keys whose calls a test made at the scripts, so that no upstream ever saw one. */
  readonly withoutUpstream = new Set<string>();
  private sampling = true;
  private readonly sampler: Promise<void>;

  private constructor(readonly daypass: Daypass) {
    this.slot = moneySlot(daypass.env.DAYPASS_ACCOUNT ?? '');
    this.redis = new Redis({
      ...addressOptions(daypass.redisUrl, this.slot),
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      retryStrategy: () => 100,
    });
    this.redis.on('error', () => undefined);
    this.sql = new pg.Pool({ connectionString: daypass.databaseUrl, max: 2 });
    this.sql.on('error', () => undefined);
    this.sampler = this.sample();
  }

  static async start(options: DaypassOptions = {}): Promise<Arena> {
    const { config, rehearsal, ...rest } = options;
    const daypass = await startDaypass({
      durable: true,
      proxies: true,
      config: { operator: OPERATOR, lanes: LANES, ...config },
      rehearsal: { keepCalls: 1_000_000, ...rehearsal },
      ...rest,
    });
    return new Arena(daypass);
  }

  async stop(): Promise<void> {
    this.sampling = false;
    await this.sampler;
    this.redis.disconnect();
    await this.sql.end();
    await this.daypass.stop();
  }

  /** A key in a campaign of its own; what is judged is another issue's business. */
  async key(
    budgetUsd = '1.00',
    wish: { campaign?: Record<string, unknown>; key?: Record<string, unknown> } = {},
  ): Promise<TestKey & { campaignId: string }> {
    const key = await this.daypass.createKey({
      campaign: { budget_usd: '50.00', moderation: { input: 'off', output: 'off' }, ...wish.campaign },
      // Some scenarios run hundreds of calls of one key at once.
      key: { budget_usd: budgetUsd, limits: { concurrent: 1_000 }, ...wish.key },
    });
    const { body } = await this.daypass.admin(`/admin/v1/campaigns/${key.campaign}`);
    const known = { ...key, campaignId: body.id as string };
    this.keys.push(known);
    return known;
  }

  /** Content that names its key for the invariants, and has what nothing else may show. */
  signed(key: TestKey, content: string): string {
    return `${content} [key ${key.id} planted${String(++planted).padStart(9, '0')}]`;
  }

  /** One call over plain HTTP: what came of it, never an exception. */
  async call(
    key: TestKey,
    {
      content = 'Say hello',
      model = MODEL,
      stream = false,
      max_tokens = 100,
      headers,
      signal,
      api = 'chat',
      more,
    }: CallWish = {},
  ): Promise<Outcome> {
    const outcome: Outcome = { status: 0, code: null, text: '', headers: undefined, done: false };
    const text = this.signed(key, content);
    try {
      const chat = api === 'chat';
      const response = await fetch(`${this.daypass.baseUrl}/${chat ? 'chat/completions' : 'responses'}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key.key}`, 'content-type': 'application/json', ...headers },
        body: JSON.stringify({
          model,
          stream,
          ...(chat
            ? { messages: [{ role: 'user', content: text }], max_tokens }
            : { input: text, max_output_tokens: max_tokens }),
          ...more,
        }),
        ...(signal ? { signal } : {}),
      });
      outcome.status = response.status;
      outcome.headers = response.headers;
      const decoder = new TextDecoder();
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>)
        outcome.text += decoder.decode(chunk, { stream: true });
      outcome.done =
        response.ok && (!stream || outcome.text.includes(chat ? 'data: [DONE]' : 'event: response.completed\n'));
      outcome.code = codeIn(outcome.text);
    } catch {
      outcome.code ??= 'cut off';
    }
    const others = (outcome.text.match(PLANTED) ?? []).filter((one) => !text.includes(one));
    if (others.length > 0)
      this.leaks.push(`an answer to ${key.id} has the content of other calls: ${others.join(', ')}`);
    return outcome;
  }

  /** Calls one after the other on so many lanes, until told to stop. */
  load(key: TestKey, lanes: number, wish: CallWish = {}): { stop(): Promise<Outcome[]>; outcomes: Outcome[] } {
    let going = true;
    const outcomes: Outcome[] = [];
    const running = Array.from({ length: lanes }, async () => {
      while (going) {
        const outcome = await this.call(key, wish);
        outcomes.push(outcome);
        // A closed door answers at once: no busy loop.
        if (outcome.status !== 200) await sleep(50);
      }
    });
    return {
      outcomes,
      stop: async () => {
        going = false;
        await Promise.all(running);
        return outcomes;
      },
    };
  }

  /** Upstream calls of these keys so far; the rehearsal forgets them at every `reset`, the arena does not. */
  get upstream(): readonly SentCall[] {
    return [...this.sent, ...this.recent];
  }

  private get recent(): readonly SentCall[] {
    const { rehearsal } = this.daypass;
    return [...rehearsal.chatCalls(), ...rehearsal.responsesCalls(), ...rehearsal.imagesCalls()];
  }

  /** Between scenarios. */
  clear(): void {
    this.sent.push(...this.recent);
    this.daypass.rehearsal.reset();
  }

  /** Writes a text to Redis that stands nowhere else, and returns it. */
  async mark(): Promise<string> {
    const mark = `mark-${randomUUID()}`;
    await this.redis.set(`${this.slot}:mark`, mark);
    return mark;
  }

  /** Transfers in the ledger. */
  async booked(): Promise<number> {
    const { rows } = await this.sql.query<{ count: number }>('SELECT count(*)::int AS count FROM ledger.transfers');
    return rows[0]!.count;
  }

  /** A store that is away is no answer. */
  until(condition: () => boolean | Promise<boolean>, what: string, timeoutMs?: number): Promise<void> {
    return until(what, () => Promise.resolve(condition()).catch(() => false), timeoutMs);
  }

  upstreamRuns(count: number): Promise<void> {
    return this.until(
      () => this.recent.filter(({ state }) => state === 'running').length >= count,
      `${count} calls run upstream`,
    );
  }

  /** I: seconds from now on until a fresh call succeeds. */
  async back(): Promise<number> {
    const begun = performance.now();
    let probe: TestKey | undefined;
    await this.until(
      async () => {
        // While accounting finds its stores again, the admin API asks for patience.
        probe ??= await this.key('0.10');
        return (await this.call(probe)).status === 200;
      },
      'I: a fresh call succeeds',
      BACK_WITHIN_MS,
    );
    return (performance.now() - begun) / 1_000;
  }

  /**
   * With no load any more: I (a fresh call succeeds, no hold is left), then A to H over everything that happened so far.
   * @throws naming what does not hold
   */
  async holds(): Promise<string> {
    const back = await this.back();
    await this.until(
      async () => (await this.redis.zcard(`${this.slot}:leases`)) === 0,
      'I: no hold is stuck',
      BACK_WITHIN_MS + 15_000,
    );
    await this.until(
      () => this.upstream.every(({ state }) => state !== 'running'),
      'no upstream call runs',
      BACK_WITHIN_MS,
    );
    await this.booksHold();
    await this.recordHolds();
    await this.everyCallIsBooked();
    this.lanesHold();
    await this.contentsStay();
    if (this.broken.length > 0) throw new Error(`A: ${this.broken.splice(0).slice(0, 3).join('; ')}`);
    return `back in ${back.toFixed(1)} s, A–I hold`;
  }

  private async booksHold(): Promise<void> {
    const { body } = await this.daypass.admin('/admin/v1/ledger/verify');
    if (body.ok !== true) throw new Error(`C, D: ${JSON.stringify([body.problems, body.differences]).slice(0, 600)}`);
    const { rows } = await this.sql.query(
      'SELECT transfer_id FROM ledger.entries GROUP BY transfer_id HAVING sum(amount_nano) <> 0 LIMIT 3',
    );
    if (rows.length > 0) throw new Error(`C: ${JSON.stringify(rows)}`);
    if (body.checked.rejected_events > 0)
      throw new Error(`${body.checked.rejected_events} journal entries were rejected`);
  }

  private async recordHolds(): Promise<void> {
    await this.until(
      async () => (await this.redis.xlen(`${this.slot}:audit`)) === 0,
      'G: the record is drained',
      BACK_WITHIN_MS,
    );
    const { body } = await this.daypass.admin('/admin/v1/audit/verify');
    if (body.ok !== true) throw new Error(`G: ${JSON.stringify(body.problems).slice(0, 600)}`);
  }

  /** B and E, by key: each key's identifier stands in what went upstream. */
  private async everyCallIsBooked(): Promise<void> {
    const sent = Map.groupBy(
      this.upstream.filter(({ state }) => state !== 'refused'),
      (call) => String(call.body.safety_identifier),
    );
    const { rows } = await this.sql.query<{ key_id: string; spends: string; billed: string; repeated: string }>(
      `WITH calls AS (
         SELECT t.key_id, t.request_id, sum(entry.amount_nano) FILTER (WHERE entry.account LIKE 'upstream:%') AS billed,
                count(DISTINCT t.id) FILTER (WHERE t.kind IN ('post', 'void', 'presume')) AS ends
           FROM ledger.transfers t JOIN ledger.entries entry ON entry.transfer_id = t.id AND entry.period = t.period
          WHERE t.request_id IS NOT NULL GROUP BY 1, 2)
       SELECT key_id, count(*) FILTER (WHERE billed > 0) AS spends, coalesce(sum(billed), 0) AS billed, count(*) FILTER (WHERE ends <> 1) AS repeated
         FROM calls GROUP BY 1`,
    );
    const identifiers = await this.identifiers();
    for (const { key_id, spends, billed, repeated } of rows) {
      const identifier = identifiers.get(key_id);
      if (repeated !== '0') throw new Error(`B: ${repeated} calls of ${key_id} have not exactly one end`);
      const calls = (identifier === undefined ? undefined : sent.get(identifier)) ?? [];
      if (!this.withoutUpstream.has(key_id) && Number(spends) !== calls.length)
        throw new Error(`B: ${calls.length} upstream calls of ${key_id}, ${spends} booked spends`);
      const bill = calls.reduce((sum, call) => sum + billOf(call), 0n);
      if (bill > BigInt(billed)) throw new Error(`E: upstream bills ${bill} for ${key_id}, ${billed} are booked`);
    }
  }

  /** H: in any minute the upstream saw no more of a lane than its limits. */
  private lanesHold(): void {
    const calls = this.upstream.toSorted((one, other) => one.startedAtMs - other.startedAtMs);
    for (const [lane, { rpm, tpm }] of Object.entries(LANES)) {
      const sent = calls.filter(({ body }) => (body.model === PACED) === (lane === 'paced'));
      let first = 0;
      let tokens = 0;
      for (const [last, call] of sent.entries()) {
        tokens += tokensAsked(call);
        while (call.startedAtMs - sent[first]!.startedAtMs >= H_WINDOW_MS) tokens -= tokensAsked(sent[first++]!);
        const requests = last - first + 1;
        if (requests > rpm || tokens > tpm)
          throw new Error(`H: lane ${lane} sent ${requests} requests with ${tokens} tokens within a minute`);
      }
    }
  }

  /** F: contents stand in no log, no metric, in nothing that was written to Redis, and in no answer to another call. */
  private async contentsStay(): Promise<void> {
    const { daypass } = this;
    const places = SERVICES.map(async (name) => [
      [`the log of ${name}`, daypass.logs(name)],
      [`the metrics of ${name}`, await (await fetch(`${daypass.opsUrls[name]}/metrics`)).text()],
    ]);
    const shown = [...(await Promise.all(places)).flat(), ['Redis', await this.written()]] as [string, string][];
    for (const [place, text] of shown) {
      const found = text.match(PLANTED);
      if (found) this.leaks.push(`${found.length} contents stand in ${place}: ${found.slice(0, 3).join(', ')}`);
    }
    if (this.leaks.length > 0) throw new Error(`F: ${this.leaks.splice(0).slice(0, 3).join('; ')}`);
  }

  /** All commands that changed Redis since its append-only file began: the jobs that are gone, too. */
  private async written(): Promise<string> {
    const setting = async (name: string): Promise<string> => ((await this.redis.config('GET', name)) as string[])[1]!;
    const folder = join(await setting('dir'), await setting('appenddirname'));
    const files = readdirSync(folder).filter((name) => name.endsWith('.incr.aof'));
    if (files.length === 0) throw new Error('F: Redis has no append-only file');
    return files.map((name) => readFileSync(join(folder, name), 'latin1')).join('');
  }

  /** Which identifier stands for which key: told by the key's own probe. */
  private async identifiers(): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    for (const call of this.upstream) {
      const id = /\[key (\S+) planted/.exec(JSON.stringify(call.body))?.[1];
      if (id !== undefined) found.set(id, String(call.body.safety_identifier));
    }
    return found;
  }

  /** A, all the time: posted and held never exceed the budget, at any level. */
  private async sample(): Promise<void> {
    const day = Math.floor(Date.now() / 86_400_000);
    while (this.sampling) {
      await sleep(SAMPLE_EVERY_MS);
      try {
        const levels: [string, string, bigint | null][] = [
          ...this.keys.flatMap(({ id, campaignId }): [string, string, null][] => [
            [id, `${this.slot}:key:${id}`, null],
            [campaignId, `${this.slot}:campaign:${campaignId}`, null],
          ]),
          ['operator day', `${this.slot}:operator:${day}`, nanoOf(OPERATOR.budget_usd_per_day)],
          ['operator total', `${this.slot}:operator:total`, nanoOf(OPERATOR.budget_usd_total)],
        ];
        const answers = await Promise.all(levels.map(([, hash]) => this.redis.hmget(hash, 'budget', 'spent', 'held')));
        levels.forEach(([name, , fixed], index) => {
          const [budget, spent, held] = answers[index]!.map((value) => BigInt(value ?? 0)) as [bigint, bigint, bigint];
          const limit = fixed ?? budget;
          // A key that Redis has just lost has no budget yet.
          if (fixed === null && answers[index]![0] === null) return;
          if (spent + held > limit || spent < 0n || held < 0n)
            this.broken.push(`${name}: ${spent} spent and ${held} held of ${limit}`);
        });
      } catch {
        // Redis is away: nothing can be taken either.
      }
    }
  }
}

/** What the provider bills for it. */
export function billOf({ usage }: SentCall): bigint {
  if (!usage) return 0n;
  if (isOfImages(usage)) {
    const { text_tokens: text, image_tokens: read } = usage.input_tokens_details;
    const { text: ofText, read: ofRead, made } = BILLED_IMAGES;
    return BigInt(text) * ofText + BigInt(read) * ofRead + BigInt(usage.output_tokens) * made;
  }
  const { input, cached, output } = tokensOf(usage);
  return BigInt(input - cached) * BILLED.input + BigInt(cached) * BILLED.cached + BigInt(output) * BILLED.output;
}

/** What a call asks for at least, as the provider counts it. */
function tokensAsked({ usage, body }: SentCall): number {
  const { max_completion_tokens: cap, max_tokens: former, max_output_tokens: ofResponse, n } = body as Body;
  const input = usage && !isOfImages(usage) ? tokensOf(usage).input : 0;
  return input + (cap ?? former ?? ofResponse ?? 0) * (n ?? 1);
}

const isOfImages = (usage: NonNullable<SentCall['usage']>): usage is NonNullable<ImagesCall['usage']> =>
  'output_tokens' in usage && 'text_tokens' in usage.input_tokens_details;

function tokensOf(usage: NonNullable<(ChatCall | ResponsesCall)['usage']>): {
  input: number;
  cached: number;
  output: number;
} {
  return 'input_tokens' in usage
    ? {
        input: usage.input_tokens,
        cached: usage.input_tokens_details.cached_tokens,
        output: usage.output_tokens,
      }
    : {
        input: usage.prompt_tokens,
        cached: usage.prompt_tokens_details.cached_tokens,
        output: usage.completion_tokens,
      };
}

const nanoOf = (usd: string): bigint => BigInt(usd) * 1_000_000_000n;

function codeIn(text: string): string | null {
  return /"error":\s*\{[^}]*"code":\s*"([^"]*)"/.exec(text)?.[1] ?? null;
}
