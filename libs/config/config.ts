import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { configFileSchema, type ConfigFile } from './config-file.js';

export const SERVICES = ['ingress', 'moderation', 'forwarding', 'accounting'] as const;
export type Service = (typeof SERVICES)[number];

const port = z.coerce.number().int().min(0).max(65_535);
/** `localhost:6379` parses as a URL too, with `localhost:` for its protocol; so the protocol is asked for. */
const url = (protocol: RegExp, error: string) => z.url({ protocol, error });
/** One or more, with commas between them. */
const ids = z
  .string()
  .transform((text) => text.split(',').map((id) => id.trim()))
  .pipe(z.array(z.string().regex(/^[A-Za-z0-9_-]{1,128}$/, 'must be ids as the provider gives them, such as key_abc, with commas between them')).max(20));
/** `name=key`, with commas between them. */
const upstreamKeys = z
  .string()
  .refine(
    (text) => text.split(',').every((pair) => /^\s*[a-z0-9][a-z0-9-]*\s*=\s*\S+\s*$/.test(pair)),
    'must be name=key for each of the upstreams, with commas between them',
  )
  .transform((text) =>
    Object.fromEntries(
      text.split(',').map(
        (pair) =>
          pair
            .trim()
            .split(/\s*=\s*(.*)/s)
            .slice(0, 2) as [string, string],
      ),
    ),
  );
const positive = (fallback: number, most: number) => z.coerce.number().int().min(1).max(most).default(fallback);

/** Every environment variable that Daypass reads. `npm start` and compose set the required ones. */
const environmentSchema = z.object({
  OPENAI_API_KEY: z.string().min(1, 'is required: the key of the OpenAI account that pays'),
  OPENAI_BASE_URL: url(/^https?$/, 'must be an address such as https://api.openai.com/v1').default('https://api.openai.com/v1'),
  OPENAI_WEBHOOK_SECRET: z.string().startsWith('whsec_', 'must be the secret that the provider shows with the webhook, whsec_…').optional(),
  OPENAI_SAFETY_KEY: z.string().min(1).optional(),
  OPENAI_ADMIN_KEY: z.string().min(1).optional(),
  OPENAI_ADMIN_BASE_URL: url(/^https?$/, 'must be an address such as https://api.openai.com/v1').optional(),
  OPENAI_PROJECT_ID: ids.default([]),
  OPENAI_API_KEY_ID: ids.default([]),
  DAYPASS_UPSTREAM_KEYS: upstreamKeys.default({}),
  REDIS_URL: url(/^(rediss?|unix)$/, 'must be an address such as redis://127.0.0.1:6379, or unix:///run/redis.sock'),
  DATABASE_URL: url(/^postgres(ql)?$/, 'must be an address such as postgres://daypass:…@127.0.0.1:5432/daypass').optional(),
  DAYPASS_SECRET: z.string().min(32, 'must have at least 32 characters: `openssl rand -base64 48` makes one'),
  DAYPASS_ADMIN_TOKEN: z.string().min(16, 'must have at least 16 characters').optional(),
  DAYPASS_AUDITOR_PASSWORD: z.string().min(16, 'must have at least 16 characters').optional(),
  DAYPASS_CONFIG: z.string().optional(),
  DAYPASS_HOST: z.string().default('0.0.0.0'),
  DAYPASS_PORT: port.default(8080),
  DAYPASS_INTERNAL_HOST: z.string().default('127.0.0.1'),
  DAYPASS_ADMIN_PORT: port.default(8081),
  DAYPASS_OPS_PORT: port.optional(),
  DAYPASS_OPS_PORT_BASE: z.coerce
    .number()
    .int()
    .min(0)
    .max(65_536 - SERVICES.length)
    .default(9101),
  DAYPASS_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
  DAYPASS_MAX_BODY_BYTES: positive(2_097_152, 104_857_600),
  DAYPASS_MAX_HEADER_BYTES: positive(16_384, 1_048_576),
  DAYPASS_REQUEST_TIMEOUT_MS: positive(30_000, 600_000),
  DAYPASS_MAX_WAIT_MS: positive(30_000, 600_000),
  DAYPASS_UPSTREAM_TIMEOUT_MS: positive(600_000, 3_600_000),
  DAYPASS_MODERATION_TIMEOUT_MS: positive(10_000, 120_000),
  DAYPASS_MODERATION_MODEL: z.string().default('omni-moderation-2024-09-26'),
  DAYPASS_DEFAULT_OUTPUT_TOKENS: positive(4_096, 1_000_000),
  DAYPASS_MIN_OUTPUT_TOKENS: positive(16, 1_000_000),
  DAYPASS_MAX_CALLS: positive(2_000, 100_000),
  DAYPASS_CONCURRENCY: positive(256, 10_000),
  DAYPASS_JOURNAL_MAX_ENTRIES: positive(1_000_000, 100_000_000),
  DAYPASS_AUDIT_MAX_BYTES: positive(67_108_864, 68_719_476_736),
  DAYPASS_SHUTDOWN_DEADLINE_MS: positive(25_000, 600_000),
  DAYPASS_RECONCILE_EVERY_MS: positive(900_000, 86_400_000),
  OTEL_EXPORTER_OTLP_ENDPOINT: url(/^https?$/, 'must be an http:// or https:// URL').optional(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: url(/^https?$/, 'must be an http:// or https:// URL').optional(),
  DAYPASS_REPORT_DELAY_MS: z.coerce.number().int().min(0).max(604_800_000).default(3_600_000),
});

export interface DaypassConfig {
  service: Service;
  openai: {
    apiKey: string;
    baseUrl: string;
    /** Of the provider's webhooks; without it none is heard. */
    webhookSecret: string | undefined;
    /** May read safety cases. */
    safetyKey: string;
  };
  /** Of the further upstreams, by name; only forwarding has them. */
  upstreamKeys: Readonly<Record<string, string>>;
  redisUrl: string;
  databaseUrl: string;
  adminToken: string;
  /** Of the role `auditor`, which reads the views at a console; without one it cannot log in. */
  auditorPassword: string | undefined;
  /** Keys derived from DAYPASS_SECRET, one per purpose, so that none can stand in for another. */
  secrets: {
    tokenPepper: KeyObject;
    contentKey: Buffer;
    safetyPepper: KeyObject;
    idempotencyPepper: KeyObject;
    verdictPepper: KeyObject;
    /** Wraps the key of each visitor's content in the record. */
    auditKey: Buffer;
    /** Seed of the key that signs the record. */
    auditSeed: Buffer;
  };
  visitors: { host: string; port: number };
  admin: { host: string; port: number };
  ops: { host: string; port: number };
  logLevel: string;
  limits: {
    bodyBytes: number;
    headerBytes: number;
    requestTimeoutMs: number;
    maxWaitMs: number;
    upstreamTimeoutMs: number;
    moderationTimeoutMs: number;
    defaultOutputTokens: number;
    minOutputTokens: number;
    /** Calls that one ingress process holds open at once. */
    calls: number;
    /** Jobs that one worker process runs at once, per queue. */
    concurrency: number;
    journalEntries: number;
    /** Of what was asked and judged and is not in the record yet. */
    auditBytes: number;
    shutdownDeadlineMs: number;
  };
  moderationModel: string;
  /** Whether spans are sent; where to, the exporter reads itself. */
  traces: boolean;
  /** How the books are compared with the provider's own reports; without an admin key they are not. */
  reconcile: {
    adminKey: string | undefined;
    adminBaseUrl: string;
    /** Whose usage is meant; without any, that of the whole organization. */
    projectIds: string[];
    apiKeyIds: string[];
    everyMs: number;
    /** After this long a minute's report is taken for complete. */
    reportDelayMs: number;
  };
  file: ConfigFile;
}

/** Every fault of the environment and of the file that DAYPASS_CONFIG names, a line each. */
export class ConfigError extends Error {
  constructor(readonly faults: readonly string[]) {
    super(
      `Daypass cannot start, ${faults.length === 1 ? 'a setting is' : `${faults.length} settings are`} wrong:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`,
    );
    this.name = 'ConfigError';
  }
}

/**
 * Reads the whole configuration of one service, once. The one place that knows the environment.
 * @throws ConfigError naming every fault at once
 */
export function loadConfig(service: Service, environment: NodeJS.ProcessEnv): DaypassConfig {
  const faults: string[] = [];
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value?.trim() !== ''));
  const parsed = environmentSchema.safeParse(given);
  if (!parsed.success) faults.push(...parsed.error.issues.map((issue) => describe(issue, given)));
  if (service === 'accounting') {
    for (const name of ['DATABASE_URL', 'DAYPASS_ADMIN_TOKEN']) if (!given[name]) faults.push(`${name} is required by the accounting service`);
  }
  if (parsed.success && parsed.data.DAYPASS_MIN_OUTPUT_TOKENS > parsed.data.DAYPASS_DEFAULT_OUTPUT_TOKENS) {
    faults.push('DAYPASS_MIN_OUTPUT_TOKENS: must not be above DAYPASS_DEFAULT_OUTPUT_TOKENS');
  }
  const file = readConfigFile(given.DAYPASS_CONFIG, faults);
  if (service === 'forwarding' && parsed.success) {
    const without = file.upstreams.filter(({ name, keyless }) => !keyless && !parsed.data.DAYPASS_UPSTREAM_KEYS[name]);
    for (const { name } of without)
      faults.push(`DAYPASS_UPSTREAM_KEYS has no key of the upstream ${name}: add ${name}=…, or say in the file that it is keyless`);
  }
  if (!parsed.success || faults.length > 0) throw new ConfigError(faults);

  const env = parsed.data;
  return {
    service,
    openai: {
      apiKey: env.OPENAI_API_KEY,
      baseUrl: env.OPENAI_BASE_URL,
      webhookSecret: env.OPENAI_WEBHOOK_SECRET,
      safetyKey: env.OPENAI_SAFETY_KEY ?? env.OPENAI_API_KEY,
    },
    upstreamKeys: service === 'forwarding' ? env.DAYPASS_UPSTREAM_KEYS : {},
    redisUrl: env.REDIS_URL,
    databaseUrl: env.DATABASE_URL ?? '',
    adminToken: env.DAYPASS_ADMIN_TOKEN ?? '',
    auditorPassword: env.DAYPASS_AUDITOR_PASSWORD,
    secrets: {
      tokenPepper: pepper(env.DAYPASS_SECRET, 'token-pepper'),
      contentKey: derive(env.DAYPASS_SECRET, 'content-key'),
      safetyPepper: pepper(env.DAYPASS_SECRET, 'safety-pepper'),
      idempotencyPepper: pepper(env.DAYPASS_SECRET, 'idempotency-pepper'),
      verdictPepper: pepper(env.DAYPASS_SECRET, 'verdict-pepper'),
      auditKey: derive(env.DAYPASS_SECRET, 'audit-key'),
      auditSeed: derive(env.DAYPASS_SECRET, 'audit-seed'),
    },
    visitors: { host: env.DAYPASS_HOST, port: env.DAYPASS_PORT },
    admin: { host: env.DAYPASS_INTERNAL_HOST, port: env.DAYPASS_ADMIN_PORT },
    ops: { host: env.DAYPASS_INTERNAL_HOST, port: env.DAYPASS_OPS_PORT ?? opsPort(env.DAYPASS_OPS_PORT_BASE, service) },
    logLevel: env.DAYPASS_LOG_LEVEL,
    limits: {
      bodyBytes: env.DAYPASS_MAX_BODY_BYTES,
      headerBytes: env.DAYPASS_MAX_HEADER_BYTES,
      requestTimeoutMs: env.DAYPASS_REQUEST_TIMEOUT_MS,
      maxWaitMs: env.DAYPASS_MAX_WAIT_MS,
      upstreamTimeoutMs: env.DAYPASS_UPSTREAM_TIMEOUT_MS,
      moderationTimeoutMs: env.DAYPASS_MODERATION_TIMEOUT_MS,
      defaultOutputTokens: env.DAYPASS_DEFAULT_OUTPUT_TOKENS,
      minOutputTokens: env.DAYPASS_MIN_OUTPUT_TOKENS,
      calls: env.DAYPASS_MAX_CALLS,
      concurrency: env.DAYPASS_CONCURRENCY,
      journalEntries: env.DAYPASS_JOURNAL_MAX_ENTRIES,
      auditBytes: env.DAYPASS_AUDIT_MAX_BYTES,
      shutdownDeadlineMs: env.DAYPASS_SHUTDOWN_DEADLINE_MS,
    },
    moderationModel: env.DAYPASS_MODERATION_MODEL,
    traces: (env.OTEL_EXPORTER_OTLP_ENDPOINT ?? env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) !== undefined,
    reconcile: {
      adminKey: env.OPENAI_ADMIN_KEY,
      adminBaseUrl: env.OPENAI_ADMIN_BASE_URL ?? env.OPENAI_BASE_URL,
      projectIds: env.OPENAI_PROJECT_ID,
      apiKeyIds: env.OPENAI_API_KEY_ID,
      everyMs: env.DAYPASS_RECONCILE_EVERY_MS,
      reportDelayMs: env.DAYPASS_REPORT_DELAY_MS,
    },
    file,
  };
}

/** 0 leaves every service's port to the system. */
function opsPort(base: number, service: Service): number {
  return base === 0 ? 0 : base + SERVICES.indexOf(service);
}

function describe(issue: z.core.$ZodIssue, given: Record<string, string | undefined>): string {
  const name = issue.path.join('.');
  // A value may be a secret, so only the names and what is wrong are told.
  return given[name] === undefined && issue.code === 'invalid_type' ? `${name} is required` : `${name}: ${issue.message}`;
}

function readConfigFile(path: string | undefined, faults: string[]): ConfigFile {
  if (path === undefined) return configFileSchema.parse({});
  let content: unknown;
  try {
    // YAML is a superset of JSON, so one parser reads both.
    content = parseYaml(readFileSync(path, 'utf8')) ?? {};
  } catch (error) {
    // The parser's further lines quote the file, which may hold secrets.
    const [firstLine] = (error instanceof Error ? error.message : String(error)).split('\n');
    faults.push(`DAYPASS_CONFIG (${path}): ${firstLine}`);
    return configFileSchema.parse({});
  }
  const parsed = configFileSchema.safeParse(content);
  if (parsed.success) return withPaths(parsed.data, path, faults);
  faults.push(...parsed.error.issues.map((issue) => `DAYPASS_CONFIG (${path}), ${issue.path.join('.') || 'top level'}: ${issue.message}`));
  return configFileSchema.parse({});
}

/** Modules are named relative to the file that names them. */
function withPaths(file: ConfigFile, path: string, faults: string[]): ConfigFile {
  const guards = file.guards.map((guard, index) => {
    if (guard.type !== 'module') return guard;
    const module = resolve(dirname(path), guard.path);
    if (!existsSync(module)) faults.push(`DAYPASS_CONFIG (${path}), guards.${index}.path: there is no file ${module}`);
    return { ...guard, path: module };
  });
  return { ...file, guards };
}

// Made once: from bytes it is made anew with each use, which took four times as long as the rest of an HMAC (measured).
function pepper(secret: string, purpose: string): KeyObject {
  return createSecretKey(derive(secret, purpose));
}

function derive(secret: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, 'daypass', purpose, 32));
}
