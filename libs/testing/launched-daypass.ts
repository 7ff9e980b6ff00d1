import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SERVICES, type Service } from '#libs/config/config.js';
import { surroundings } from '#libs/launch/child-env.js';
import { freePort } from '#libs/launch/free-port.js';
import { Services } from '#libs/launch/services.js';
import { FaultProxy } from './fault-proxy.js';
import { startTestStores, type RedisGroup } from './stores.js';

export interface LaunchOptions {
  /** Environment of all four services, which overrides the defaults. */
  env?: Record<string, string>;
  /** The contents of DAYPASS_CONFIG. */
  config?: object;
  /** The port of the upstream, which may start later. */
  upstreamPort: number;
  /** Another upstream instead, with /v1 in its URL. */
  upstream?: { url: string };
  /** Another tree with a dist/ than this project's own. */
  root?: string;
  /** Environment of one service alone. */
  serviceEnv?: Partial<Record<Service, Record<string, string>>>;
  /** The stores keep their data, as in production. */
  durable?: boolean;
  /** The services reach their stores through proxies that can fail. Tests reach the stores directly. */
  proxies?: boolean;
  /** This Redis instead of a single server, without a proxy. */
  redis?: RedisGroup;
}

/** The addresses and the admin token of a running Daypass. Plain JSON, so that one process can send it to another. */
export interface DaypassAccess {
  baseUrl: string;
  adminUrl: string;
  adminToken: string;
  redisUrl: string;
  databaseUrl: string;
  logDir: string;
  upstreamPort: number;
  opsUrls: Record<Service, string>;
  env: Record<string, string>;
}

export type LaunchedDaypass = Awaited<ReturnType<typeof launchDaypass>>;

export const READY_TIMEOUT_MS = 30_000;

/** Starts empty stores and the four services of dist/. The caller starts the upstream. */
export async function launchDaypass(options: LaunchOptions) {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-e2e-'));
  const adminToken = randomBytes(24).toString('base64url');
  const stores = await startTestStores({ durable: options.durable ?? false, group: options.redis });
  const [redisProxy, postgresProxy] = options.proxies
    ? await Promise.all([options.redis ? undefined : proxyOf(stores.redisUrl), proxyOf(stores.databaseUrl)])
    : [];
  const [visitorsPort, adminPort, ...opsPortList] = await Promise.all(
    Array.from({ length: 2 + SERVICES.length }, freePort),
  );
  const opsPorts = Object.fromEntries(SERVICES.map((name, index) => [name, opsPortList[index]!])) as Record<
    Service,
    number
  >;
  const env: Record<string, string> = {
    ...surroundings(process.env),
    OPENAI_API_KEY: 'sk-rehearsal',
    OPENAI_BASE_URL: options.upstream?.url ?? `http://127.0.0.1:${options.upstreamPort}/v1`,
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
  const logDir = join(folder, 'logs');
  const services = new Services({
    env,
    ...(options.root === undefined ? {} : { root: options.root }),
    databaseUrl: through(stores.databaseUrl, postgresProxy),
    adminToken,
    opsPorts,
    logDir,
    readyTimeoutMs: READY_TIMEOUT_MS,
    ...(options.serviceEnv ? { serviceEnv: options.serviceEnv } : {}),
  });
  const stop = async (): Promise<void> => {
    await services.stop();
    await Promise.all([stores.stop(), redisProxy?.stop(), postgresProxy?.stop()]);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await services.start();
  } catch (error) {
    await stop();
    throw error;
  }
  const access: DaypassAccess = {
    baseUrl: `http://127.0.0.1:${visitorsPort}/v1`,
    adminUrl: `http://127.0.0.1:${adminPort}`,
    adminToken,
    redisUrl: stores.redisUrl,
    databaseUrl: stores.databaseUrl,
    logDir,
    upstreamPort: options.upstreamPort,
    opsUrls: Object.fromEntries(SERVICES.map((name) => [name, services.opsUrl(name)])) as Record<Service, string>,
    env,
  };
  return { access, services, stores, redisProxy, postgresProxy, stop };
}

const proxyOf = (url: string): Promise<FaultProxy> => FaultProxy.start(Number(new URL(url).port));

function through(url: string, proxy: FaultProxy | undefined): string {
  if (!proxy) return url;
  const changed = new URL(url);
  changed.port = String(proxy.port);
  return changed.href;
}
