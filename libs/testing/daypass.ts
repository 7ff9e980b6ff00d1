import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Service } from '#libs/config/config.js';
import { redisKeys } from '#libs/redis/keys.js';
import { Rehearsal, type RehearsalOptions } from '#libs/rehearsal/rehearsal.js';
import { borrowDaypass, type SharedSettings } from './borrowed.js';
import { launchDaypass, READY_TIMEOUT_MS, type DaypassAccess, type LaunchOptions } from './launched-daypass.js';

export interface DaypassOptions extends Omit<LaunchOptions, 'upstreamPort'> {
  rehearsal?: RehearsalOptions;
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

const MODELS = ['gpt-5.4-mini', 'gpt-5.4-nano'];

/** What a test can do with a Daypass that it shares. */
export type SharedDaypass = ReturnType<typeof handlesOf> & { stop(): Promise<void> };
/** A Daypass of the test's own, whose services and stores it can also kill. */
export type Daypass = Awaited<ReturnType<typeof startDaypass>>;

/**
 * The Daypass that the worker's test files share, each with its own upstream, campaigns and keys. For tests that need
 * no own settings and break nothing.
 */
export async function shareDaypass({
  settings = 'hurried',
  rehearsal: rehearsalOptions,
}: { settings?: SharedSettings; rehearsal?: RehearsalOptions } = {}): Promise<SharedDaypass> {
  const access = await borrowDaypass(settings);
  const rehearsal = await Rehearsal.start({ ...rehearsalOptions, port: access.upstreamPort });
  await forgetVerdicts(access).catch(async (error: unknown) => {
    await rehearsal.stop();
    throw error;
  });
  return { ...handlesOf(access, rehearsal), stop: () => rehearsal.stop() };
}

/** Empties the verdict cache, so that no test sees verdicts of an earlier one. */
export async function forgetVerdicts({ redisUrl }: Pick<DaypassAccess, 'redisUrl'>): Promise<void> {
  const redis = new Redis(redisUrl);
  for (const bucket of await redis.keys(redisKeys.verdicts('*'))) await redis.del(bucket);
  redis.disconnect();
}

/** Starts all of Daypass for one test file: empty stores, the rehearsal upstream, and the four services of dist/. */
export async function startDaypass(options: DaypassOptions = {}) {
  const { rehearsal: rehearsalOptions, ...launch } = options;
  const rehearsal = await Rehearsal.start(rehearsalOptions);
  const launched = await launchDaypass({ ...launch, upstreamPort: Number(new URL(rehearsal.url).port) }).catch(
    async (error: unknown) => {
      await rehearsal.stop();
      throw error;
    },
  );
  const { services, stores, redisProxy, postgresProxy } = launched;
  return {
    ...handlesOf(launched.access, rehearsal),
    redis: stores.redis,
    postgres: stores.postgres,
    redisProxy,
    postgresProxy,
    services: {
      pid: (name: Service): number | undefined => services.get(name).pid,
      /** Sends a signal. The launcher starts a service again that dies of it. */
      kill: (name: Service, signal: NodeJS.Signals = 'SIGKILL'): void => services.get(name).kill(signal),
      /** Ends a service in order. It stays down until `start`. */
      stop: (name: Service): Promise<void> => services.get(name).stop(),
      start: async (name: Service): Promise<void> => {
        services.get(name).start();
        await services.get(name).whenReady(READY_TIMEOUT_MS);
      },
      whenReady: (name: Service): Promise<void> => services.get(name).whenReady(READY_TIMEOUT_MS),
    },
    stop: async (): Promise<void> => {
      await launched.stop();
      await rehearsal.stop();
    },
  };
}

function handlesOf(access: DaypassAccess, rehearsal: Rehearsal) {
  const { adminUrl, adminToken } = access;
  const keys: TestKey[] = [];
  const admin = async (
    path: string,
    init: { method?: string; body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<AdminAnswer> => {
    const response = await fetch(`${adminUrl}${path}`, {
      method: init.method ?? (init.body === undefined ? 'GET' : 'POST'),
      headers: {
        authorization: `Bearer ${adminToken}`,
        ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...init.headers,
      },
      ...(init.body === undefined ? {} : { body: JSON.stringify(init.body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: parsedOr(text) };
  };
  return {
    ...access,
    rehearsal,
    /** Every key that this test file has created. */
    keys: keys as readonly TestKey[],
    /** `admin('/admin/v1/keys', { body: {…} })`: POST with a body, GET without, unless a method is named. */
    admin,
    /** A key in a campaign of its own, or in the one whose slug is given. @throws unless both are created */
    createKey: async (
      wish: { campaign?: Record<string, unknown> | string; key?: Record<string, unknown> } = {},
    ): Promise<TestKey> => {
      const slug = typeof wish.campaign === 'string' ? wish.campaign : `test-${randomBytes(5).toString('hex')}`;
      let campaign = slug;
      if (typeof wish.campaign !== 'string') {
        const body = { slug, name: slug, budget_usd: '10.00', models: MODELS, ...wish.campaign };
        campaign = body.slug;
        expectCreated(await admin('/admin/v1/campaigns', { body }));
      }
      const { body } = expectCreated(
        await admin('/admin/v1/keys', { body: { campaign, budget_usd: '1.00', ...wish.key } }),
      );
      const key = { key: body.key, id: body.id, campaign };
      keys.push(key);
      return key;
    },
    /** All that a service has logged so far. */
    logs: (name: Service): string => readFileSync(join(access.logDir, `${name}.log`), 'utf8'),
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
