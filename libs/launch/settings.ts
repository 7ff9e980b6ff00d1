import { join, resolve } from 'node:path';
import { loadConfig, SERVICES, type Service } from '#libs/config/config.js';
import { freePortBase, isPortFree } from './free-port.js';
import { redisMemoryOfMachine } from './redis-memory.js';
import { PROJECT_ROOT } from './project-root.js';
import type { RedisFsync } from './redis-server.js';

export interface LaunchSettings {
  dataDir: string;
  logDir: string;
  /** The address that the visitors' port listens on. */
  host: string;
  visitorsPort: number;
  adminPort: number;
  opsPorts: Record<Service, number>;
  redisUrl: string | undefined;
  databaseUrl: string | undefined;
  openaiKey: string | undefined;
  openaiBaseUrl: string | undefined;
  /** When the launcher's own Redis writes its append-only file to the disk. */
  redisFsync: RedisFsync;
  /** Above it the launcher's own Redis refuses new data. As Redis writes it: `700mb`. */
  redisMaxMemory: string;
  /** Without an account and another upstream, the rehearsal makes up answers. */
  rehearsed: boolean;
}

/** The four operations ports follow the first. */
const PORT_MAX = 65_530;
const FREE_PORT_STEP = 1_000;
const FREE_PORT_ROUNDS = 60;

/** A start that cannot succeed. Its message says in a line or two what to change. */
export class LaunchError extends Error {}

/**
 * The settings that the launcher itself needs. It passes everything else on to the services.
 * @throws LaunchError or ConfigError naming every fault, also those that only a service would find
 */
export function readSettings(env: NodeJS.ProcessEnv): LaunchSettings {
  checkForServices(env);
  const dataDir = resolve(PROJECT_ROOT, env.DAYPASS_DATA_DIR || '.daypass');
  const opsBase = portOf(env, 'DAYPASS_OPS_PORT_BASE', 9101);
  return {
    dataDir,
    logDir: join(dataDir, 'logs'),
    host: env.DAYPASS_HOST || '0.0.0.0',
    visitorsPort: portOf(env, 'DAYPASS_PORT', 8080),
    adminPort: portOf(env, 'DAYPASS_ADMIN_PORT', 8081),
    opsPorts: Object.fromEntries(SERVICES.map((name, index) => [name, opsBase + index])) as Record<Service, number>,
    redisUrl: env.REDIS_URL || undefined,
    databaseUrl: env.DATABASE_URL || undefined,
    openaiKey: env.OPENAI_API_KEY || undefined,
    openaiBaseUrl: env.OPENAI_BASE_URL || undefined,
    redisFsync: fsyncOf(env.DAYPASS_REDIS_FSYNC),
    redisMaxMemory: maxMemoryOf(env.DAYPASS_REDIS_MAXMEMORY),
    rehearsed: !env.OPENAI_API_KEY && !env.OPENAI_BASE_URL,
  };
}

/** Settings that only one service gets: whoever has the admin key may read what the whole organization does. */
const FOR_ONE: Readonly<Record<string, Service>> = {
  DAYPASS_ADMIN_TOKEN_FILE: 'accounting',
  DAYPASS_AUDITOR_PASSWORD: 'accounting',
  DAYPASS_UPSTREAM_KEYS: 'forwarding',
  OPENAI_ADMIN_BASE_URL: 'accounting',
  OPENAI_ADMIN_KEY: 'accounting',
  OPENAI_API_KEY_ID: 'accounting',
  OPENAI_PROJECT_ID: 'accounting',
  OPENAI_SAFETY_KEY: 'accounting',
  OPENAI_WEBHOOK_SECRET: 'ingress',
};
/** The launcher sets these itself. */
const OURS = new Set(['DAYPASS_OPS_PORT', 'DAYPASS_ADMIN_TOKEN', 'DAYPASS_REHEARSAL_URL']);

/** The settings that every service gets. */
export function settingsOfAll(env: NodeJS.ProcessEnv): Record<string, string> {
  return given(env, (name) => name.startsWith('DAYPASS_') && !(name in FOR_ONE) && !OURS.has(name));
}

/** The settings that one service gets besides. */
export function settingsOfOne(env: NodeJS.ProcessEnv): Partial<Record<Service, Record<string, string>>> {
  return Object.fromEntries(SERVICES.map((service) => [service, given(env, (name) => FOR_ONE[name] === service)]));
}

function given(env: NodeJS.ProcessEnv, wanted: (name: string) => boolean): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined && wanted(entry[0])),
  );
}

/** The launcher makes missing settings later. Valid ones replace them in this check. */
function checkForServices(env: NodeJS.ProcessEnv): void {
  const standIns = {
    OPENAI_API_KEY: 'made later',
    REDIS_URL: 'redis://127.0.0.1',
    DATABASE_URL: 'postgres://127.0.0.1/made-later',
    DAYPASS_SECRET: 'made later'.padEnd(32),
    DAYPASS_ADMIN_TOKEN: 'made later'.padEnd(16),
  };
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value));
  // Accounting is the service that needs every setting.
  loadConfig('accounting', { ...standIns, ...given });
}

/** What listens for visitors, and what listens on loopback. */
interface WantedPort {
  variable: string;
  port: number;
  host: string;
}

/**
 * @throws LaunchError naming every port in use, with one command line that has a free port for each of them
 */
export async function checkPorts(settings: LaunchSettings): Promise<void> {
  const wanted = wantedPorts(settings);
  const faults: string[] = [];
  for (const [index, { port, variable }] of wanted.entries()) {
    const other = wanted.slice(0, index).find((before) => before.port === port);
    if (other) faults.push(`${other.variable} and ${variable} both take port ${port}`);
  }
  for (const { port, host: onHost, variable } of wanted)
    if (!(await isPortFree(port, onHost))) faults.push(`port ${port} is in use (${variable})`);
  if (faults.length === 0) return;
  const free = await freePorts(settings);
  const line = Object.entries(free).map(([variable, port]) => `${variable}=${port}`);
  throw new LaunchError(
    [...faults, '', 'These ports are free. Start Daypass on them:', '', `${line.join(' ')} npm start`].join('\n'),
  );
}

function wantedPorts({ host, visitorsPort, adminPort, opsPorts }: LaunchSettings): WantedPort[] {
  return [
    { variable: 'DAYPASS_PORT', port: visitorsPort, host },
    { variable: 'DAYPASS_ADMIN_PORT', port: adminPort, host: '127.0.0.1' },
    ...SERVICES.map((name) => ({ variable: 'DAYPASS_OPS_PORT_BASE', port: opsPorts[name], host: '127.0.0.1' })),
  ];
}

/** Variable → its port. Where that is not free: the first free one of those a thousand, two thousand … further on. */
async function freePorts(settings: LaunchSettings): Promise<Record<string, number>> {
  const taken = new Set<number>();
  const firstFree = async (first: number, count: number, onHost: string): Promise<number> => {
    for (let round = 0; round < FREE_PORT_ROUNDS; round++) {
      const base = ((first + round * FREE_PORT_STEP - 1) % PORT_MAX) + 1;
      const ports = Array.from({ length: count }, (_, offset) => base + offset);
      const free = await Promise.all(ports.map(async (port) => !taken.has(port) && isPortFree(port, onHost)));
      if (!free.every(Boolean)) continue;
      for (const port of ports) taken.add(port);
      return base;
    }
    return freePortBase(count);
  };
  return {
    DAYPASS_PORT: await firstFree(settings.visitorsPort, 1, settings.host),
    DAYPASS_ADMIN_PORT: await firstFree(settings.adminPort, 1, '127.0.0.1'),
    DAYPASS_OPS_PORT_BASE: await firstFree(settings.opsPorts[SERVICES[0]], SERVICES.length, '127.0.0.1'),
  };
}

function fsyncOf(value: string | undefined): RedisFsync {
  if (value === undefined || value === '' || value === 'everysec') return 'everysec';
  if (value === 'always') return value;
  throw new LaunchError(`DAYPASS_REDIS_FSYNC must be "everysec" or "always", not "${value}"`);
}

/** 0 would be no limit at all. */
function maxMemoryOf(value: string | undefined): string {
  if (!value) return String(redisMemoryOfMachine());
  if (/^[1-9]\d{0,14}([kmg]b?)?$/i.test(value)) return value;
  throw new LaunchError(`DAYPASS_REDIS_MAXMEMORY must be a size such as 700mb or 2gb, not "${value}"`);
}

function portOf(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const value = env[name];
  if (!value) return fallback;
  const port = Number(value);
  if (!Number.isInteger(port) || port < 1 || port > PORT_MAX)
    throw new LaunchError(`${name} must be a port from 1 to ${PORT_MAX}, not "${value}"`);
  return port;
}
