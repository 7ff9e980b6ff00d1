import 'reflect-metadata';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Redis } from 'ioredis';
import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { loadConfig, type DaypassConfig } from '#libs/config/config.js';
import { replySchema, type Reply } from '#libs/contracts/reply.js';
import { createLogger } from '#libs/service/logger.js';
import { createRegistry } from '#libs/service/ops-server.js';
import { HoldStore } from '#libs/holds/hold.store.js';
import type { EndRequest, HoldAnswer } from '#libs/holds/hold.types.js';
import { Door } from '#libs/holds/door.js';
import { redisKeys } from '#libs/redis/keys.js';
import { laneUpstream } from '#libs/holds/money.fixture.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { borrowPostgres, borrowRedis } from '#libs/testing/borrowed.js';
import { until } from '#libs/testing/until.js';
import { createAccountingApp } from './accounting.app.js';
import { dataSourceOptions, openDataSource } from './store/data-source.factory.js';
import { DoorKeeper } from './recovery/door.keeper.js';
import { isDrainedTo, journalHead } from './books/journal.stream.js';

const ADMIN_TOKEN = 'admin-token-for-tests';
const TEMPLATE = 'migrated';
/** Only the test claims calls before the door opens. */
const GRACE_MS = { afterLoss: 1_000, afterRestart: 500 };

export interface AdminAnswer {
  status: number;
  headers: Headers;
  // Answers are read as a client reads them: without types.
  // oxlint-disable-next-line typescript/no-explicit-any
  body: any;
}

/** The accounting service on real stores, for integration tests. */
export class AccountingFixture {
  readonly redis: Redis;
  readonly holds: HoldStore;

  private constructor(
    readonly config: DaypassConfig,
    public app: NestFastifyApplication,
    private url: string,
  ) {
    this.redis = new Redis(config.redisUrl);
    this.holds = new HoldStore(this.redis);
  }

  static async start(env: Record<string, string> = {}): Promise<AccountingFixture> {
    const [redisUrl, databaseUrl] = await Promise.all([borrowRedis(), migratedDatabase()]);
    const config = loadConfig('accounting', {
      OPENAI_API_KEY: 'unused',
      REDIS_URL: redisUrl,
      DATABASE_URL: databaseUrl,
      DAYPASS_SECRET: 'a secret that only tests know, long enough',
      DAYPASS_ADMIN_TOKEN: ADMIN_TOKEN,
      DAYPASS_ADMIN_PORT: '0',
      DAYPASS_LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'silent',
      ...env,
    });
    const { app, url } = await launch(config);
    const fixture = new AccountingFixture(config, app, url);
    await fixture.until(() => new Door(fixture.redis).isOpen());
    return fixture;
  }

  get source(): DataSource {
    return this.app.get(DataSource);
  }

  /** `log` gets every line that the new process logs. */
  async restart(log?: (line: string) => void): Promise<void> {
    await this.app.close();
    const { app, url } = await launch(this.config, log);
    this.app = app;
    this.url = url;
  }

  /** A second process on the same stores. */
  another(): Promise<NestFastifyApplication> {
    return launch(this.config).then(({ app }) => app);
  }

  async stop(): Promise<void> {
    this.redis.disconnect();
    await this.app.close();
  }

  async admin(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<AdminAnswer> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${ADMIN_TOKEN}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: response.headers.get('content-type')?.includes('/json') ? (JSON.parse(text) as unknown) : text,
    };
  }

  async createCampaign(slug: string, terms: object = {}): Promise<AdminAnswer['body']> {
    const { status, body } = await this.admin('POST', '/admin/v1/campaigns', {
      slug,
      name: slug,
      budget_usd: '10.00',
      models: ['gpt-5.4-mini', 'gpt-5.4-nano'],
      ...terms,
    });
    if (status !== 201) throw new Error(JSON.stringify(body));
    return body;
  }

  async createKey(campaign: string, terms: object = {}): Promise<AdminAnswer['body']> {
    const { status, body } = await this.admin('POST', '/admin/v1/keys', { campaign, ...terms });
    if (status !== 201) throw new Error(JSON.stringify(body));
    return body;
  }

  /** Takes a hold of `amountNano` on the key, as ingress does. */
  async hold(key: { id: string }, requestId: string, amountNano: bigint): Promise<HoldAnswer> {
    const campaignId = await this.redis.hget(redisKeys.key(key.id), 'campaign');
    const call = {
      requestId,
      keyId: key.id,
      campaignId: campaignId!,
      fixedNano: amountNano,
      perUnitNano: 0n,
      capTokens: 1,
      leastCapTokens: 1,
    };
    return this.holds.take(
      {
        ...call,
        inputTokens: 1,
        outputs: 1,
        maxWaitMs: 30_000,
        detail: '{"model":"gpt-5.4-mini"}',
        lane: 'lane',
        replyTo: 'ingress',
      },
      {
        journalEntries: 1e6,
        auditBytes: 1e9,
        auditBytesOfKey: 1e9,
        keyBytesPerHour: 0,
        operatorDayNano: undefined,
        operatorTotalNano: undefined,
        patient: false,
      },
    );
  }

  async dispatch(requestId: string): Promise<void> {
    const [keyId, campaignId] = (await this.redis.hmget(redisKeys.hold(requestId), 'key', 'campaign')) as [
      string,
      string,
    ];
    const { code } = await this.holds.start({
      requestId,
      keyId,
      campaignId,
      lane: 'lane',
      tokens: 1,
      upstreams: [laneUpstream()],
      nonce: requestId,
    });
    if (code !== 'started') throw new Error(code);
  }

  async end(
    key: { id: string },
    requestId: string,
    transition: EndRequest['transition'],
    costNano = 0n,
    detail: EndRequest['detail'] = {},
  ) {
    const campaignId = await this.redis.hget(redisKeys.key(key.id), 'campaign');
    return this.holds.end({
      requestId,
      keyId: key.id,
      campaignId: campaignId!,
      lane: 'lane',
      replyTo: 'ingress',
      transition,
      costNano,
      detail,
    });
  }

  /** A whole call with a hold of `amountNano` and a cost of `costNano`. */
  async call(
    key: { id: string },
    requestId: string,
    amountNano: bigint,
    costNano: bigint,
    detail?: EndRequest['detail'],
  ): Promise<void> {
    const { code } = await this.hold(key, requestId, amountNano);
    if (code !== 'ok') throw new Error(code);
    await this.dispatch(requestId);
    await this.end(key, requestId, 'post', costNano, detail);
  }

  /** The visitors' answers, by request id. */
  async answers(): Promise<Map<string, Reply>> {
    const box = new ContentBox(this.config.secrets.contentKey);
    const entries = await this.redis.xrangeBuffer(redisKeys.reply('ingress'), '-', '+');
    return new Map(
      entries.flatMap(([, fields]) => {
        const value = (name: string) =>
          fields[fields.findIndex((field, index) => index % 2 === 0 && field.toString() === name) + 1]!;
        const requestId = value('id').toString();
        return [[requestId, replySchema.parse(JSON.parse(box.open(value('payload'), requestId)))] as const];
      }),
    );
  }

  async drained(): Promise<void> {
    const head = await journalHead(this.redis);
    await this.until(() => isDrainedTo(this.redis, head));
  }

  until(condition: () => Promise<boolean>): Promise<void> {
    return until('what the test waits for', condition);
  }
}

/** A database for this test alone, copied from one that the migrations made. */
async function migratedDatabase(): Promise<string> {
  const first = await borrowPostgres();
  const named = (name: string): string => Object.assign(new URL(first), { pathname: `/${name}` }).href;
  const client = new Client({ connectionString: named('postgres') });
  await client.connect();
  try {
    const { rowCount } = await client.query(`SELECT FROM pg_database WHERE datname = '${TEMPLATE}'`);
    if (rowCount === 0) {
      const draft = `draft_${randomBytes(6).toString('hex')}`;
      await client.query(`CREATE DATABASE ${draft}`);
      await (await openDataSource(dataSourceOptions(named(draft), () => undefined))).destroy();
      await client.query(`ALTER DATABASE ${draft} RENAME TO ${TEMPLATE}`);
    }
    const name = `test_${randomBytes(6).toString('hex')}`;
    await client.query(`CREATE DATABASE ${name} TEMPLATE ${TEMPLATE}`);
    return named(name);
  } finally {
    await client.end();
  }
}

async function launch(
  config: DaypassConfig,
  log?: (line: string) => void,
): Promise<{ app: NestFastifyApplication; url: string }> {
  const app = await createAccountingApp(
    config,
    log ? createLogger('accounting', 'trace', { write: log }) : createLogger('accounting', config.logLevel),
    createRegistry('accounting'),
  );
  Object.assign(app.get(DoorKeeper).graceMs, GRACE_MS);
  await app.listen(0, '127.0.0.1');
  return { app, url: await app.getUrl() };
}
