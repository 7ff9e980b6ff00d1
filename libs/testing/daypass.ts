import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SERVICES, type Service } from '#libs/config/config.js';
import { surroundings } from '#libs/stack/child-env.js';
import { freePort } from '#libs/stack/free-port.js';
import { Rehearsal, type RehearsalOptions } from '#libs/stack/rehearsal.js';
import { Services } from '#libs/stack/services.js';
import { FaultProxy } from './fault-proxy.js';
import { startTestStores } from './stores.js';

export interface DaypassOptions {
  /** Set for all four services; it wins over what is set here. */
  env?: Record<string, string>;
  /** What DAYPASS_CONFIG holds. */
  config?: object;
  /** An upstream of the test's own, with /v1 in its URL; the rehearsal runs all the same. */
  upstream?: { url: string };
  rehearsal?: RehearsalOptions;
  /** Set for one service alone. */
  serviceEnv?: Partial<Record<Service, Record<string, string>>>;
  /** Stores that keep what they are told, as in production. */
  durable?: boolean;
  /** The services reach their stores through proxies that can fail; tests reach them directly. */
  proxies?: boolean;
}

export interface AdminAnswer {
  status: number;
  headers: Headers;
  // The shape differs by endpoint, and a test asserts what it needs of it.
  // oxlint-disable-next-line typescript/no-explicit-any
  body: any;
}

export interface TestKey {
  key: string;
  id: string;
  /** The slug of its campaign. */
  campaign: string;
}

const READY_TIMEOUT_MS = 30_000;
const MODELS = ['gpt-5.4-mini', 'gpt-5.4-nano'];

export type Daypass = Awaited<ReturnType<typeof startDaypass>>;

/** All of Daypass for one test file: empty stores, the rehearsal upstream, and the four services as they are built in dist/. */
export async function startDaypass(options: DaypassOptions = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-e2e-'));
  const adminToken = randomBytes(24).toString('base64url');
  const [stores, rehearsal] = await Promise.all([startTestStores({ durable: options.durable ?? false }), Rehearsal.start(options.rehearsal)]);
  const [redisProxy, postgresProxy] = options.proxies ? await Promise.all([proxyOf(stores.redisUrl), proxyOf(stores.databaseUrl)]) : [];
  const [visitorsPort, adminPort, ...opsPortList] = await distinctPorts(2 + SERVICES.length);
  const opsPorts = Object.fromEntries(SERVICES.map((name, index) => [name, opsPortList[index]!])) as Record<Service, number>;
  const env: Record<string, string> = {
    ...surroundings(process.env),
    OPENAI_API_KEY: 'sk-rehearsal',
    OPENAI_BASE_URL: options.upstream?.url ?? rehearsal.url,
    REDIS_URL: redisProxy ? through(stores.redisUrl, redisProxy) : stores.redis.localUrl,
    DAYPASS_SECRET: randomBytes(36).toString('base64url'),
    DAYPASS_HOST: '127.0.0.1',
    DAYPASS_PORT: String(visitorsPort),
    DAYPASS_ADMIN_PORT: String(adminPort),
    DAYPASS_SHUTDOWN_DEADLINE_MS: '8000',
    ...options.env,
  };
  if (options.config) {
    env.DAYPASS_CONFIG = join(folder, 'config.json');
    writeFileSync(env.DAYPASS_CONFIG, JSON.stringify(options.config));
  }
  const services = new Services({
    env,
    databaseUrl: through(stores.databaseUrl, postgresProxy),
    adminToken,
    opsPorts,
    logDir: join(folder, 'logs'),
    readyTimeoutMs: READY_TIMEOUT_MS,
    ...(options.serviceEnv ? { serviceEnv: options.serviceEnv } : {}),
  });
  const stop = async (): Promise<void> => {
    await services.stop();
    await Promise.all([stores.stop(), rehearsal.stop(), redisProxy?.stop(), postgresProxy?.stop()]);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await services.start();
  } catch (error) {
    await stop();
    throw error;
  }

  const adminUrl = `http://127.0.0.1:${adminPort}`;
  const admin = async (path: string, init: { method?: string; body?: unknown; headers?: Record<string, string> } = {}): Promise<AdminAnswer> => {
    const response = await fetch(`${adminUrl}${path}`, {
      method: init.method ?? (init.body === undefined ? 'GET' : 'POST'),
      headers: { authorization: `Bearer ${adminToken}`, ...(init.body === undefined ? {} : { 'content-type': 'application/json' }), ...init.headers },
      ...(init.body === undefined ? {} : { body: JSON.stringify(init.body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: parsedOr(text) };
  };

  return {
    baseUrl: `http://127.0.0.1:${visitorsPort}/v1`,
    adminUrl,
    adminToken,
    redisUrl: stores.redisUrl,
    databaseUrl: stores.databaseUrl,
    logDir: join(folder, 'logs'),
    redis: stores.redis,
    postgres: stores.postgres,
    redisProxy,
    postgresProxy,
    rehearsal,
    env,
    opsUrls: Object.fromEntries(SERVICES.map((name) => [name, services.opsUrl(name)])) as Record<Service, string>,
    /** `admin('/admin/v1/keys', { body: {…} })`: POST with a body, GET without, unless a method is named. */
    admin,
    /** A key in a campaign of its own, or in the one whose slug is given. @throws unless both are created */
    createKey: async (wish: { campaign?: Record<string, unknown> | string; key?: Record<string, unknown> } = {}): Promise<TestKey> => {
      const slug = typeof wish.campaign === 'string' ? wish.campaign : `test-${randomBytes(5).toString('hex')}`;
      let campaign = slug;
      if (typeof wish.campaign !== 'string') {
        const body = { slug, name: slug, budget_usd: '10.00', models: MODELS, ...wish.campaign };
        campaign = body.slug;
        expectCreated(await admin('/admin/v1/campaigns', { body }));
      }
      const { body } = expectCreated(await admin('/admin/v1/keys', { body: { campaign, budget_usd: '1.00', ...wish.key } }));
      return { key: body.key, id: body.id, campaign };
    },
    services: {
      pid: (name: Service): number | undefined => services.get(name).pid,
      /** Sends a signal. A service that dies of it is started again, as everywhere. */
      kill: (name: Service, signal: NodeJS.Signals = 'SIGKILL'): void => services.get(name).kill(signal),
      /** Ends a service in order; it stays down until `start`. */
      stop: (name: Service): Promise<void> => services.get(name).stop(),
      start: async (name: Service): Promise<void> => {
        services.get(name).start();
        await services.get(name).whenReady(READY_TIMEOUT_MS);
      },
      whenReady: (name: Service): Promise<void> => services.get(name).whenReady(READY_TIMEOUT_MS),
    },
    /** Everything that a service has written so far. */
    logs: (name: Service): string => readFileSync(services.get(name).options.logFile, 'utf8'),
    stop,
  };
}

function expectCreated(answer: AdminAnswer): AdminAnswer {
  if (answer.status !== 201) throw new Error(`the admin API answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  return answer;
}

function parsedOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const proxyOf = (url: string): Promise<FaultProxy> => FaultProxy.start(Number(new URL(url).port));

function through(url: string, proxy: FaultProxy | undefined): string {
  if (!proxy) return url;
  const changed = new URL(url);
  changed.port = String(proxy.port);
  return changed.href;
}

async function distinctPorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}
