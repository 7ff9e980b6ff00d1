import { join, resolve } from 'node:path';
import { loadConfig, SERVICES, type Service } from '#libs/config/config.js';
import { isPortFree } from './free-port.js';
import { PROJECT_ROOT } from './project-root.js';
import type { RedisFsync } from './redis-server.js';

export interface LaunchSettings {
  dataDir: string;
  logDir: string;
  visitorsPort: number;
  adminPort: number;
  opsPorts: Record<Service, number>;
  redisUrl: string | undefined;
  databaseUrl: string | undefined;
  openaiKey: string | undefined;
  openaiBaseUrl: string | undefined;
  /** When the launcher's own Redis writes its append-only file to the disk. */
  redisFsync: RedisFsync;
  /** Without an account and another upstream, the rehearsal makes up answers. */
  rehearsed: boolean;
}

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
    visitorsPort: portOf(env, 'DAYPASS_PORT', 8080),
    adminPort: portOf(env, 'DAYPASS_ADMIN_PORT', 8081),
    opsPorts: Object.fromEntries(SERVICES.map((name, index) => [name, opsBase + index])) as Record<Service, number>,
    redisUrl: env.REDIS_URL || undefined,
    databaseUrl: env.DATABASE_URL || undefined,
    openaiKey: env.OPENAI_API_KEY || undefined,
    openaiBaseUrl: env.OPENAI_BASE_URL || undefined,
    redisFsync: fsyncOf(env.DAYPASS_REDIS_FSYNC),
    rehearsed: !env.OPENAI_API_KEY && !env.OPENAI_BASE_URL,
  };
}

/** Settings that only one service gets: whoever has the admin key may read what the whole organization does. */
const FOR_ONE: Readonly<Record<string, Service>> = {
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
const OURS = new Set(['DAYPASS_OPS_PORT', 'DAYPASS_ADMIN_TOKEN']);

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

/** @throws LaunchError naming every port in use and the variable that moves it */
export async function checkPorts(settings: LaunchSettings, host: string): Promise<void> {
  const wanted: [number, string, string][] = [
    [settings.visitorsPort, host, 'DAYPASS_PORT'],
    [settings.adminPort, '127.0.0.1', 'DAYPASS_ADMIN_PORT'],
    ...SERVICES.map((name): [number, string, string] => [
      settings.opsPorts[name],
      '127.0.0.1',
      'DAYPASS_OPS_PORT_BASE',
    ]),
  ];
  const faults: string[] = [];
  for (const [index, [port, , variable]] of wanted.entries()) {
    const other = wanted.slice(0, index).find(([taken]) => taken === port);
    if (other) faults.push(`${other[2]} and ${variable} both take port ${port}: set one of them to another`);
  }
  for (const [port, onHost, variable] of wanted) {
    if (!(await isPortFree(port, onHost)))
      faults.push(`port ${port} is in use: set ${variable} to another, e.g. ${variable}=${port + 1000}`);
  }
  if (faults.length > 0) throw new LaunchError(faults.join('\n'));
}

function fsyncOf(value: string | undefined): RedisFsync {
  if (value === undefined || value === '' || value === 'everysec') return 'everysec';
  if (value === 'always') return value;
  throw new LaunchError(`DAYPASS_REDIS_FSYNC must be "everysec" or "always", not "${value}"`);
}

function portOf(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const value = env[name];
  if (!value) return fallback;
  const port = Number(value);
  if (!Number.isInteger(port) || port < 1 || port > 65_530)
    throw new LaunchError(`${name} must be a port from 1 to 65530, not "${value}"`);
  return port;
}
