import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { STREAM_EVENTS, streamDataSchemas, type StreamEvent } from '#libs/contracts/admin/console.js';
import { redisKeys } from '#libs/redis/keys.js';
import { until } from '#libs/testing/until.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { ask, claimable, createLink } from '../claims/claims.fixture.js';
import { ClaimService } from '../claims/claim.service.js';
import { LiveEvents } from '../live.events.js';
import { StreamHub } from './stream.hub.js';

const TOKEN = 'admin-token-for-tests';
const LIVE_WITHIN_MS = 2_000;

let accounting: AccountingFixture;
let url: string;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  Object.assign(accounting.app.get(StreamHub).everyMs, { troubles: 300, comment: 500 });
  url = await accounting.app.getUrl();
  await accounting.createCampaign('live', { budget_usd: '10.00' });
});
afterAll(() => accounting.stop());

/** An open console. */
class Page {
  readonly events: StreamEvent[] = [];
  text = '';
  ended = false;

  private constructor(
    readonly response: Response,
    private readonly leaving: AbortController,
  ) {}

  static async open(
    query = '',
    headers: Record<string, string> = { authorization: `Bearer ${TOKEN}` },
    at = url,
  ): Promise<Page> {
    const leaving = new AbortController();
    const response = await fetch(`${at}/admin/v1/stream${query}`, { headers, signal: leaving.signal });
    const page = new Page(response, leaving);
    void page.read().catch(() => undefined);
    return page;
  }

  close(): void {
    this.leaving.abort();
  }

  // What it finds is read as a page reads it: without types.
  // oxlint-disable-next-line typescript/no-explicit-any
  find(event: string, fits: (data: any) => boolean = () => true): StreamEvent | undefined {
    return this.events.find((one) => one.event === event && fits(one.data));
  }

  // oxlint-disable-next-line typescript/no-explicit-any
  async sees(event: string, fits?: (data: any) => boolean): Promise<void> {
    await until(`the event ${event}`, () => Promise.resolve(this.find(event, fits) !== undefined));
  }

  private async read(): Promise<void> {
    const reader = this.response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      this.text += value;
      const parts = (rest + value).split('\n\n');
      rest = parts.pop()!;
      for (const part of parts) {
        const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(part) ?? [];
        if (event !== undefined) this.events.push({ event, data: JSON.parse(data!) } as StreamEvent);
      }
    }
    this.ended = true;
  }
}

const pages: Page[] = [];
async function open(...args: Parameters<typeof Page.open>): Promise<Page> {
  const page = await Page.open(...args);
  pages.push(page);
  return page;
}
const listening = async (): Promise<number> =>
  Number(((await accounting.redis.pubsub('NUMSUB', redisKeys.consoleChannel)) as [string, number])[1]);
const nobodyListens = (): Promise<void> => until('nobody listens', async () => (await listening()) === 0);
afterEach(async () => {
  for (const page of pages.splice(0)) page.close();
  await nobodyListens();
});

describe('the stream', () => {
  it('beats each second, for pages and proxies', async () => {
    const page = await open();
    expect(page.response.status).toBe(200);
    expect(Object.fromEntries(page.response.headers)).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    await until('three beats', () => Promise.resolve(page.events.filter(({ event }) => event === 'beat').length >= 3));
    expect(page.text.startsWith('retry: 2000\n\n')).toBe(true);
    await until('a comment', () => Promise.resolve(page.text.includes('\n\n:\n\n')));
    for (const { event, data } of page.events)
      expect([event, streamDataSchemas[event].strict().safeParse(data).error]).toEqual([event, undefined]);
  });

  it('shows a call within two seconds of its end: its campaign, its key, and what was spent', async () => {
    const key = await accounting.createKey('live', { budget_usd: '1.00' });
    const campaignId = await accounting.redis.hget(redisKeys.key(key.id), 'campaign');
    const shownAfterMs = async (requestId: string): Promise<number> => {
      const page = await open();
      await page.sees('beat');
      await until('the subscription', async () => (await listening()) === 1);
      const { spent_today_usd: before } = page.find('beat')!.data as { spent_today_usd: string };
      await accounting.call(key, requestId, 200_000_000n, 123_000_000n);
      const endedMs = performance.now();
      await page.sees('key', ({ id }) => id === key.id);
      await page.sees('campaign', ({ id }) => id === campaignId);
      await page.sees('beat', ({ spent_today_usd }) => Number(spent_today_usd) >= Number(before) + 0.123);
      const shownMs = performance.now();
      await page.sees(
        'beat',
        ({ calls_per_min, spent_per_min_usd }) => calls_per_min >= 1 && spent_per_min_usd >= '0.12',
      );
      return shownMs - endedMs;
    };
    // Other work on the machine only adds to a time.
    let leastMs = Infinity;
    for (let time = 1; time <= 5 && leastMs >= LIVE_WITHIN_MS; time++)
      leastMs = Math.min(leastMs, await shownAfterMs(`req-live-${time}`));
    expect(leastMs).toBeLessThan(LIVE_WITHIN_MS);
  });

  it('shows what people change, whichever process they ask', async () => {
    const another = await accounting.another();
    try {
      const [page, elsewhere] = [await open(), await open('', undefined, await another.getUrl())];
      await until('both subscriptions', async () => (await listening()) === 2);
      const key = await accounting.createKey('live');
      await accounting.admin('POST', `/admin/v1/keys/${key.id}/suspend`, {});
      await accounting.admin('PUT', '/admin/v1/door', { state: 'shut', note: 'a drill' });
      for (const one of [page, elsewhere]) {
        await one.sees('key', ({ id }) => id === key.id);
        await one.sees('door', ({ state, note }) => state === 'shut' && note === 'a drill');
        await one.sees('beat', ({ door }) => door === 'shut');
      }
      await accounting.admin('PUT', '/admin/v1/door', { state: 'open', note: 'over' });
      await page.sees('beat', ({ door }) => door === 'open');
    } finally {
      await another.close();
    }
  });

  it('shows a claim, a strike, and a verdict that blocked', async () => {
    const { slug, id: campaign } = await claimable(accounting);
    const link = await createLink(accounting, slug);
    const page = await open('?topics=claim,strike,flag');
    await until('the subscription', async () => (await listening()) === 1);
    const { id: key } = await accounting.app.get(ClaimService).claim(ask(accounting, link).request);
    await page.sees('claim', (data) => data.link === link.id && data.key === key && data.campaign === campaign);
    const at = String(Date.now());
    const strike = { kind: 'strike', request: 'req-struck', key, campaign, amount: '0', paid: '0', absorbed: '0' };
    await accounting.redis.xadd(
      redisKeys.journal,
      '*',
      ...Object.entries({ ...strike, strikes: '1', step: 'warn', at_ms: at }).flat(),
    );
    await page.sees('strike', (data) => data.key === key && data.request === 'req-struck' && data.step === 'warn');
    const policy = { input: 'gate', output: 'off', thresholds: {}, onUnavailable: 'closed' };
    const check = {
      kind: 'check',
      id: 'chk_live',
      request: 'req-struck',
      key,
      campaign,
      direction: 'input',
      guard: 'moderation',
      model: 'm',
    };
    const event = {
      ...check,
      decision: 'blocked',
      categories: ['violence'],
      scores: {},
      reason: null,
      latency_ms: 1,
      policy,
    };
    await accounting.redis.xadd(redisKeys.audit, '*', 'at_ms', at, 'event', JSON.stringify(event));
    await page.sees('flag', (data) => data.request === 'req-struck' && data.decision === 'blocked');
    const { body } = await accounting.admin('GET', '/admin/v1/overview');
    expect(body.data.flagged_today).toBe(1);
    expect(body.data.needs).toContainEqual(
      expect.objectContaining({ kind: 'flagged', text: '1 flagged call waits for a review.' }),
    );
  });

  it('sends only the topics that a page asks for', async () => {
    const page = await open('?topics=door,strike');
    await until('the subscription', async () => (await listening()) === 1);
    accounting.app.get(LiveEvents).changed(['a'], ['b']);
    await accounting.admin('PUT', '/admin/v1/door', { state: 'open', note: 'again' });
    await page.sees('door');
    expect(page.events.map(({ event }) => event)).toEqual(['door']);
    for (const topics of ['weather', '', 'beat,,door'])
      expect((await accounting.admin('GET', `/admin/v1/stream?topics=${topics}`)).status).toBe(400);
    expect(STREAM_EVENTS).toHaveLength(9);
  });

  it('shows how far the revocation of all keys of a campaign is', async () => {
    const { id } = await accounting.createCampaign('ending', { budget_usd: '10.00' });
    for (let made = 0; made < 3; made++) await accounting.createKey('ending', { budget_usd: '0.10' });
    const page = await open('?topics=progress,campaign,key');
    await until('the subscription', async () => (await listening()) === 1);
    await accounting.admin('POST', '/admin/v1/campaigns/ending/revoke-keys', { note: 'over' });
    await page.sees('progress', ({ of, done, total }) => of === id && done === 3 && total === 3);
    expect(page.find('campaign', (data) => data.id === id)).toBeDefined();
    expect(page.find('key', (data) => data.id === null)).toBeDefined();
  });

  it('says "many" rather than naming hundreds', async () => {
    const page = await open('?topics=campaign,key');
    await until('the subscription', async () => (await listening()) === 1);
    const keys = Array.from({ length: 101 }, (_, index) => `key_${index}`);
    accounting.app.get(LiveEvents).changed(['cmp_1', 'cmp_1'], keys);
    await page.sees('key', ({ id }) => id === null);
    const seen = page.events.map(({ event, data }) => [event, (data as { id: string | null }).id] as const);
    // Accounting returns the budgets of the keys above in its own time, and names their campaign and each of them.
    const own = new Set<string | null>(['cmp_1', ...keys, null]);
    expect(seen.filter(([, id]) => own.has(id))).toEqual([
      ['campaign', 'cmp_1'],
      ['key', null],
    ]);
  });

  it('needs the token or a session, and ends with the session', async () => {
    expect((await open('', {})).response.status).toBe(401);
    const signIn = await fetch(`${url}/admin/v1/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token: TOKEN, name: 'Ada' }),
    });
    const cookie = signIn.headers.getSetCookie()[0]!.split(';')[0]!;
    const page = await open('', { cookie });
    await page.sees('beat');
    const headers = { cookie, 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' };
    expect((await fetch(`${url}/admin/v1/session`, { method: 'DELETE', headers })).status).toBe(204);
    await until('the end of the stream', () => Promise.resolve(page.ended), 3_000);
  });

  it('serves fifty pages, and tells the next one what to do', async () => {
    const many = await Promise.all(Array.from({ length: 50 }, () => open('?topics=door')));
    expect(new Set(many.map(({ response }) => response.status))).toEqual(new Set([200]));
    const refused = await accounting.admin('GET', '/admin/v1/stream');
    expect([refused.status, refused.body.error.code]).toEqual([503, 'too_many_streams']);
    expect(refused.headers.get('retry-after')).toBe('2');
    await until('one connection listens for all', async () => (await listening()) === 1);
    many[0]!.close();
    await until('room for one more', async () => (await open('?topics=door')).response.status === 200);
  });

  it('cuts off a page that reads nothing, and goes on for the others', async () => {
    const page = await open('?topics=progress,beat');
    const slow = await unreadStream();
    await until('the subscription', async () => (await listening()) === 1);
    let closed = false;
    slow.once('close', () => (closed = true));
    const data = { of: 'x'.repeat(200_000), done: 0, total: 1 };
    for (let sent = 0; sent < 200 && !closed; sent++) {
      await accounting.redis.publish(redisKeys.consoleChannel, JSON.stringify([{ event: 'progress', data }]));
      await new Promise((resolve) => setTimeout(resolve, 20));
      if (slow.destroyed) break;
    }
    // It notices when it reads at last: what the kernel had, and then the end.
    slow.resume();
    await until('the slow page is cut off', () => Promise.resolve(closed), 5_000);
    expect(page.ended).toBe(false);
    const beats = page.events.length;
    await until('further beats', () => Promise.resolve(page.events.length > beats));
  });

  it('leaves neither a connection nor a timer behind when nobody listens', async () => {
    const hub = accounting.app.get(StreamHub) as unknown as { running: unknown };
    const page = await open();
    await until('the subscription', async () => (await listening()) === 1);
    expect(hub.running).toBeDefined();
    page.close();
    await nobodyListens();
    expect(hub.running).toBeUndefined();
    const again = await open();
    await again.sees('beat');
  });

  it('ends in order with its process, so that pages come again', async () => {
    const another = await accounting.another();
    const page = await open('', undefined, await another.getUrl());
    await page.sees('beat');
    const startedMs = performance.now();
    await another.close();
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    await until('the end of the stream', () => Promise.resolve(page.ended));
  });

  it('says which store is away, and when it is back', async () => {
    const page = await open('?topics=trouble');
    const target = new URL(accounting.config.databaseUrl);
    const database = target.pathname.slice(1);
    target.pathname = '/postgres';
    const postgres = new Client({ connectionString: target.href });
    await postgres.connect();
    try {
      await postgres.query(`ALTER DATABASE ${database} ALLOW_CONNECTIONS false`);
      await postgres.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`);
      await page.sees('trouble', ({ what, over }) => what === 'postgres' && !over);
      const late = await open('?topics=trouble');
      await late.sees('trouble', ({ what, over }) => what === 'postgres' && !over);
      const { status, body } = await accounting.admin('GET', '/admin/v1/overview');
      expect([status, body.error.message]).toEqual([503, expect.stringMatching(/^Postgres does not answer/)]);
    } finally {
      await postgres.query(`ALTER DATABASE ${database} ALLOW_CONNECTIONS true`);
      await postgres.end();
    }
    await page.sees('trouble', ({ what, over }) => what === 'postgres' && over);
    await accounting.redis.config('SET', 'maxclients', 1);
    await accounting.redis.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await page.sees('trouble', ({ what, over }) => what === 'redis' && !over);
    const { status, body } = await accounting.admin('GET', '/admin/v1/overview');
    expect([status, body.error.message]).toEqual([503, expect.stringMatching(/^Redis does not answer/)]);
    await accounting.redis.config('SET', 'maxclients', 10_000);
    await page.sees('trouble', ({ what, over }) => what === 'redis' && over);
  });
});

/** A stream whose client reads nothing after the head. */
function unreadStream(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { port } = new URL(url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.on('error', reject);
    socket.once('data', () => {
      socket.pause();
      resolve(socket);
    });
    socket.write(
      `GET /admin/v1/stream?topics=progress HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${TOKEN}\r\n\r\n`,
    );
  });
}
