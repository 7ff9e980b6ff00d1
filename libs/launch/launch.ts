import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { compactHeap } from '#libs/service/compact-heap.js';
import { bannerOf } from './banner.js';
import { surroundings } from './child-env.js';
import { lockDataDir } from './data-dir-lock.js';
import { ensureDemo } from './demo.js';
import { Ending, Interrupted } from './ending.js';
import { lanAddressOf, networkUrlOf } from './lan-address.js';
import { startPostgresServer } from './postgres-server.js';
import { startRedisServer } from './redis-server.js';
import { Rehearsal } from '#libs/rehearsal/rehearsal.js';
import { LIFELIKE } from '#libs/rehearsal/rehearsal.pace.js';
import { keepSecrets, type Secrets } from './secrets-file.js';
import { Services } from './services.js';
import { checkPorts, readSettings, settingsOfAll, settingsOfOne, type LaunchSettings } from './settings.js';
import { openStoreLog } from './store-log.js';

/** `npm start` starts stores, upstream, services and the demo key in this order, and ends them in reverse. */
const READY_TIMEOUT_MS = 60_000;
/** If somebody kills this process, the services get this long to end before their stores do. */
const ORPHAN_SECONDS = 5;
const startedAt = Number(process.env.DAYPASS_STARTED_AT_MS) || Date.now();
const ending = new Ending();
const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function launch(settings: LaunchSettings): Promise<void> {
  await checkPorts(settings);
  const unlock = lockDataDir(settings.dataDir);
  await ending.add(async () => unlock());
  const secrets = keepSecrets(settings.dataDir, process.env);
  const started = [
    ...(settings.redisUrl ? [] : ['Redis']),
    ...(settings.databaseUrl ? [] : ['Postgres']),
    'the four services',
  ];
  const names = new Intl.ListFormat('en-GB').format(started);
  const startingAt = Date.now();
  const lanAddress = lanAddressOf(settings.host, networkInterfaces());
  say(`Starting ${names} …`);
  const [redisUrl, databaseUrl] = await Promise.all([
    settings.redisUrl ?? ownRedis(settings),
    settings.databaseUrl ?? ownPostgres(settings, secrets),
  ]);
  await runServices(settings, secrets, databaseUrl, {
    REDIS_URL: redisUrl,
    OPENAI_BASE_URL: settings.openaiBaseUrl,
    DAYPASS_REHEARSAL_URL: settings.rehearsed ? await rehearsedUpstream() : undefined,
    // An operator who names another one wins.
    DAYPASS_NETWORK_URL: process.env.DAYPASS_NETWORK_URL || networkUrlOf(lanAddress, settings.visitorsPort),
  });
  say(`Started ${names} in ${((Date.now() - startingAt) / 1_000).toFixed(1)} s.`);
  const demo = await ensureDemo(`http://127.0.0.1:${settings.adminPort}`, secrets.adminToken, settings.dataDir);
  const books = settings.databaseUrl ? undefined : { url: databaseUrl, passwordFile: secrets.auditorPasswordFile };
  say(
    bannerOf({
      settings,
      lanAddress,
      demo,
      adminTokenFile: secrets.adminTokenFile,
      books,
      startedInMs: Date.now() - startedAt,
    }),
  );
  compactHeap();
}

async function ownRedis(settings: LaunchSettings): Promise<string> {
  const redis = await startRedisServer({
    dataDir: join(settings.dataDir, 'redis'),
    fsync: settings.redisFsync,
    ownerOnly: true,
    maxMemory: settings.redisMaxMemory,
    orphanSeconds: ORPHAN_SECONDS,
    onLine: openStoreLog(settings.logDir, 'redis'),
  });
  await ending.add(
    () => redis.stop(),
    () => redis.process.signal('KILL'),
  );
  redis.process.onUnexpectedExit((lines) => void giveUp(`Redis ended by itself:\n${lines}`));
  return redis.url;
}

async function ownPostgres(settings: LaunchSettings, secrets: Secrets): Promise<string> {
  const postgres = await startPostgresServer({
    dataDir: join(settings.dataDir, 'postgres'),
    password: secrets.postgresPassword,
    orphanSeconds: ORPHAN_SECONDS,
    onLine: openStoreLog(settings.logDir, 'postgres'),
  });
  await ending.add(
    () => postgres.stop(),
    () => postgres.process.signal('KILL'),
  );
  postgres.process.onUnexpectedExit((lines) => void giveUp(`Postgres ended by itself:\n${lines}`));
  return postgres.url;
}

async function rehearsedUpstream(): Promise<string> {
  const rehearsal = await Rehearsal.start({ ...LIFELIKE, keepCalls: 0, organization: 'org-rehearsal' });
  await ending.add(() => rehearsal.stop());
  return rehearsal.url;
}

async function runServices(
  settings: LaunchSettings,
  secrets: Secrets,
  databaseUrl: string,
  env: Record<string, string | undefined>,
): Promise<void> {
  const services = new Services({
    env: defined({
      ...surroundings(process.env),
      ...settingsOfAll(process.env),
      ...env,
      DAYPASS_SECRET: secrets.secret,
    }),
    databaseUrl,
    serviceEnv: servicesOwn(settings, secrets),
    adminToken: secrets.adminToken,
    opsPorts: settings.opsPorts,
    logDir: settings.logDir,
    readyTimeoutMs: READY_TIMEOUT_MS,
    onTrouble: (service, text) => process.stderr.write(`${service}: ${text}\n`),
    onGiveUp: (service, reason) => void giveUp(`${reason}: see ${join(settings.logDir, `${service}.log`)}`),
  });
  await ending.add(
    () => services.stop(),
    () => services.killAll(),
  );
  await services.start();
}

/** What one service alone is given. A Postgres that is not ours has the auditor's login that its owner decides on. */
function servicesOwn(settings: LaunchSettings, { auditorPassword }: Secrets): ReturnType<typeof settingsOfOne> {
  const own = settingsOfOne(process.env);
  // A server of one's own may take any key, but the client wants one.
  const account: Record<string, string> = settings.rehearsed
    ? {}
    : { OPENAI_API_KEY: settings.openaiKey ?? 'sk-no-key-set' };
  return {
    ...own,
    moderation: { ...own.moderation, ...account },
    forwarding: { ...own.forwarding, ...account },
    accounting: {
      // Safety cases come through the webhook only.
      ...(process.env.OPENAI_WEBHOOK_SECRET ? account : {}),
      ...own.accounting,
      ...(settings.databaseUrl ? {} : { DAYPASS_AUDITOR_PASSWORD: auditorPassword }),
    },
  };
}

function defined(env: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** Something that everything needs has ended for good. */
async function giveUp(reason: string): Promise<void> {
  if (ending.begun) return;
  process.stderr.write(`${reason}\n`);
  await ending.run();
  process.exit(1);
}

function stopOnSignal(): void {
  const stop = (): void => {
    if (ending.begun) {
      ending.kill();
      process.exit(130);
    }
    say('\nEnding: running calls finish first. Ctrl-C again ends at once.');
    void ending.run().then(() => process.exit(0));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  // Somebody killed the script that started this process.
  if (process.channel) {
    process.once('disconnect', () => !ending.begun && stop());
    process.channel.unref();
  }
}

stopOnSignal();
try {
  await launch(readSettings(process.env));
} catch (error) {
  if (!(error instanceof Interrupted)) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    await ending.run();
    process.exit(1);
  }
}
