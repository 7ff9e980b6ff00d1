import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse as parseYaml } from 'yaml';
import type { z } from 'zod';
import { configFileSchema, type ConfigFile } from './config-file.js';
import { BOUNDS, environmentSchema, SERVICES, type Service } from './environment.js';
import { withSecretFiles } from './secret-files.js';

export { SERVICES, type Service };

export interface DaypassConfig {
  service: Service;
  /** Nobody named an account, so the rehearsal upstream makes up the answers. */
  rehearsed: boolean;
  openai: {
    /** Only moderation and forwarding have it. */
    apiKey: string;
    baseUrl: string;
    /** Verifies the provider's webhooks. Without it ingress has no path for them. */
    webhookSecret: string | undefined;
    /** A key that may read safety cases. Only accounting asks for them. */
    safetyKey: string | undefined;
  };
  /** Keys of the further upstreams, by name. Only forwarding has them. */
  upstreamKeys: Readonly<Record<string, string>>;
  redisUrl: string;
  databaseUrl: string;
  adminToken: string;
  /** The password of the Postgres role `auditor`. Without one that role cannot log in. */
  auditorPassword: string | undefined;
  /** One key per purpose, derived from DAYPASS_SECRET, so that none can replace another. */
  secrets: {
    tokenPepper: KeyObject;
    contentKey: Buffer;
    safetyPepper: KeyObject;
    idempotencyPepper: KeyObject;
    /** Of what names a claim, and of the tags that stand for addresses. */
    claimPepper: KeyObject;
    /** Signs the challenges of claim pages. */
    powSecret: string;
    verdictPepper: KeyObject;
    cachePepper: KeyObject;
    /** Of the hash that tells a repeat of a blocked call. */
    repeatPepper: KeyObject;
    /** Of the digits of mails, and of what names an address in Redis. */
    mailCodePepper: KeyObject;
    /** Of the hashes of one-time codes, and of what identifies claimants. */
    codePepper: KeyObject;
    claimantPepper: KeyObject;
    /** Encrypts the secret of each visitor's content in the record. */
    auditKey: Buffer;
    /** Seed of the key that signs the record. */
    auditSeed: Buffer;
    /** Signs the sessions of the console. Another admin token makes another key, which ends them all. */
    sessionKey: Buffer;
  };
  visitors: {
    host: string;
    port: number;
    /** So many proxies stand before ingress, and each adds an address to `x-forwarded-for`. */
    proxyHops: number;
  };
  /** The origin under which visitors reach Daypass. Without it each request's own address serves. */
  publicUrl: string | undefined;
  /** The origin for visitors in the operator's network, for claim links without a public one. */
  networkUrl: string | undefined;
  /** undefined: nobody can sign in with GitHub. */
  github: { clientId: string; /** Only accounting has it. */ clientSecret: string; url: string } | undefined;
  /** undefined: nobody gets a mail. */
  mail: { from: string; /** Only accounting has it. */ smtpUrl: string } | undefined;
  admin: { host: string; port: number };
  console: {
    /** Names under which browsers reach the console, beside those of this machine. */
    hosts: string[];
    /** Accounting logs a sign-in link at its start. */
    printsSignInLink: boolean;
  };
  ops: { host: string; port: number };
  logLevel: string;
  limits: {
    bodyBytes: number;
    /** One ingress process holds at most this many bytes of bodies whose calls have no hold yet. */
    bodiesBytes: number;
    audioSeconds: number;
    /** Of a form with files. */
    uploadBytes: number;
    /** At most this many bytes of files lie in Redis. */
    uploadsBytes: number;
    headerBytes: number;
    requestTimeoutMs: number;
    maxWaitMs: number;
    /** A stream is silent for at most this long. */
    silenceMs: number;
    /** A stream that guards hold back for so long gets a sign of life. */
    beatMs: number;
    upstreamTimeoutMs: number;
    moderationTimeoutMs: number;
    defaultOutputTokens: number;
    minOutputTokens: number;
    /** So many calls one key may have open at one ingress process while nobody else calls (`Places`). */
    calls: number;
    /** The limit `concurrent` of a key that has none of its own. */
    keyConcurrent: number;
    /** So many calls of a lane one key may run at one forwarding process while nobody else wants to (`Places`). */
    concurrency: number;
    journalEntries: number;
    /** At most this many bytes of requests and verdicts wait in Redis for the record. */
    auditBytes: number;
    /** What a key without a limit of its own may send, and get again, within an hour. 0: no limit. */
    keyBytesPerHour: number;
    /** At most this many bytes of answers are kept for repeats. */
    keptBytes: number;
    /** At most this many bytes of responses and conversations are kept: of one key, and of all. */
    shelfBytesOfKey: number;
    shelfBytes: number;
    shutdownDeadlineMs: number;
    lingerMs: number;
  };
  /** What Daypass fetches of images that requests name by their addresses. */
  images: {
    /** The most of one call. */
    count: number;
    /** Of all images of a call. */
    bytes: number;
    bytesPerHour: number;
    /** For all images of a call. */
    timeoutMs: number;
    /** `host:port`: these need not be public. */
    hostsAllowed: string[];
  };
  moderationModel: string;
  /** Bounds and times of the environment by the names of their variables, for people. No secret is among them. */
  bounds: readonly Bound[];
  /** Whether services send traces. The exporter itself reads the address. */
  traces: boolean;
  /** How accounting compares the books with the provider's reports. Without an admin key it does not compare them. */
  reconcile: {
    adminKey: string | undefined;
    adminBaseUrl: string;
    /** Accounting reads only their reports; without any, those of the whole organization. */
    projectIds: string[];
    apiKeyIds: string[];
    everyMs: number;
    /** Accounting trusts the report of a minute this long after the minute has ended. */
    reportDelayMs: number;
  };
  file: ConfigFile;
}

/** One variable of the environment, and what holds. */
export interface Bound {
  name: string;
  value: string | number;
  unit: string | null;
  isDefault: boolean;
  /** As docs/settings.md describes it. */
  text: string;
}

/** Every fault of the environment and of the config file, a line each. */
export class ConfigError extends Error {
  constructor(readonly faults: readonly string[]) {
    super(
      `Daypass cannot start, ${faults.length === 1 ? 'a setting is' : `${faults.length} settings are`} wrong:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`,
    );
    this.name = 'ConfigError';
  }
}

/** What the other services can do without: nobody needs to give it to them. */
const REQUIRED_BY: Readonly<Record<Service, readonly string[]>> = {
  ingress: [],
  moderation: ['OPENAI_API_KEY'],
  forwarding: ['OPENAI_API_KEY'],
  accounting: ['DATABASE_URL', 'DAYPASS_ADMIN_TOKEN'],
};

/** Accounting needs the second with the first. */
const TOGETHER = [
  ['DAYPASS_GITHUB_CLIENT_ID', 'DAYPASS_GITHUB_CLIENT_SECRET'],
  ['DAYPASS_GITHUB_CLIENT_SECRET', 'DAYPASS_GITHUB_CLIENT_ID'],
  ['DAYPASS_SMTP_URL', 'DAYPASS_MAIL_FROM'],
  ['DAYPASS_MAIL_FROM', 'DAYPASS_SMTP_URL'],
] as const;

/** The rehearsal upstream takes any key. */
const REHEARSAL_KEY = 'sk-rehearsal';

/**
 * Reads the whole configuration of one service, once. Nothing else reads the environment.
 * @throws ConfigError naming every fault at once
 */
export function loadConfig(service: Service, environment: NodeJS.ProcessEnv): DaypassConfig {
  const faults: string[] = [];
  const named = withSecretFiles(
    Object.fromEntries(Object.entries(environment).filter(([, value]) => value?.trim() !== '')),
    faults,
  );
  const rehearsed =
    named.DAYPASS_REHEARSAL_URL !== undefined &&
    named.OPENAI_API_KEY === undefined &&
    named.OPENAI_BASE_URL === undefined;
  const given = rehearsed
    ? { ...named, OPENAI_API_KEY: REHEARSAL_KEY, OPENAI_BASE_URL: named.DAYPASS_REHEARSAL_URL }
    : named;
  const parsed = environmentSchema.safeParse(given);
  if (!parsed.success) faults.push(...parsed.error.issues.map((issue) => describe(issue, given)));
  for (const name of REQUIRED_BY[service])
    if (!given[name]) faults.push(`${name} is required by the ${service} service`);
  if (parsed.success && parsed.data.DAYPASS_MIN_OUTPUT_TOKENS > parsed.data.DAYPASS_DEFAULT_OUTPUT_TOKENS) {
    faults.push('DAYPASS_MIN_OUTPUT_TOKENS: must not be above DAYPASS_DEFAULT_OUTPUT_TOKENS');
  }
  if (parsed.success && parsed.data.DAYPASS_BODIES_MAX_BYTES < parsed.data.DAYPASS_MAX_BODY_BYTES) {
    faults.push('DAYPASS_BODIES_MAX_BYTES: must not be below DAYPASS_MAX_BODY_BYTES');
  }
  if (parsed.success && parsed.data.DAYPASS_UPLOADS_MAX_BYTES < parsed.data.DAYPASS_MAX_UPLOAD_BYTES) {
    faults.push('DAYPASS_UPLOADS_MAX_BYTES: must not be below DAYPASS_MAX_UPLOAD_BYTES');
  }
  if (parsed.success && parsed.data.DAYPASS_SHELF_MAX_BYTES < parsed.data.DAYPASS_SHELF_BYTES_PER_KEY) {
    faults.push('DAYPASS_SHELF_MAX_BYTES: must not be below DAYPASS_SHELF_BYTES_PER_KEY');
  }
  if (service === 'accounting')
    for (const [name, other] of TOGETHER)
      if (given[name] !== undefined && given[other] === undefined) faults.push(`${other} is required with ${name}`);
  const file = readConfigFile(given.DAYPASS_CONFIG, faults);
  if (service === 'forwarding' && parsed.success) {
    const without = file.upstreams.filter(({ name, keyless }) => !keyless && !parsed.data.DAYPASS_UPSTREAM_KEYS[name]);
    for (const { name } of without)
      faults.push(
        `DAYPASS_UPSTREAM_KEYS has no key of the upstream ${name}: add ${name}=…, or say in the file that it is keyless`,
      );
  }
  if (!parsed.success || faults.length > 0) throw new ConfigError(faults);

  const env = parsed.data;
  return {
    service,
    rehearsed,
    openai: {
      apiKey: env.OPENAI_API_KEY ?? '',
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
      claimPepper: pepper(env.DAYPASS_SECRET, 'claim-pepper'),
      powSecret: derive(env.DAYPASS_SECRET, 'pow-secret').toString('base64url'),
      verdictPepper: pepper(env.DAYPASS_SECRET, 'verdict-pepper'),
      cachePepper: pepper(env.DAYPASS_SECRET, 'cache-pepper'),
      repeatPepper: pepper(env.DAYPASS_SECRET, 'repeat-pepper'),
      mailCodePepper: pepper(env.DAYPASS_SECRET, 'mail-code-pepper'),
      codePepper: pepper(env.DAYPASS_SECRET, 'code-pepper'),
      claimantPepper: pepper(env.DAYPASS_SECRET, 'claimant-pepper'),
      auditKey: derive(env.DAYPASS_SECRET, 'audit-key'),
      auditSeed: derive(env.DAYPASS_SECRET, 'audit-seed'),
      sessionKey: derive(env.DAYPASS_SECRET, 'console-session', env.DAYPASS_ADMIN_TOKEN),
    },
    visitors: { host: env.DAYPASS_HOST, port: env.DAYPASS_PORT, proxyHops: env.DAYPASS_PROXY_HOPS },
    publicUrl: env.DAYPASS_PUBLIC_URL,
    networkUrl: env.DAYPASS_NETWORK_URL,
    github:
      env.DAYPASS_GITHUB_CLIENT_ID === undefined
        ? undefined
        : {
            clientId: env.DAYPASS_GITHUB_CLIENT_ID,
            clientSecret: (service === 'accounting' && env.DAYPASS_GITHUB_CLIENT_SECRET) || '',
            url: env.DAYPASS_GITHUB_URL,
          },
    mail:
      env.DAYPASS_MAIL_FROM === undefined
        ? undefined
        : { from: env.DAYPASS_MAIL_FROM, smtpUrl: (service === 'accounting' && env.DAYPASS_SMTP_URL) || '' },
    admin: { host: env.DAYPASS_INTERNAL_HOST, port: env.DAYPASS_ADMIN_PORT },
    console: {
      hosts: env.DAYPASS_CONSOLE_HOSTS,
      printsSignInLink: env.DAYPASS_PRINT_SIGN_IN_LINK,
    },
    ops: { host: env.DAYPASS_INTERNAL_HOST, port: env.DAYPASS_OPS_PORT ?? opsPort(env.DAYPASS_OPS_PORT_BASE, service) },
    logLevel: env.DAYPASS_LOG_LEVEL,
    limits: {
      bodyBytes: env.DAYPASS_MAX_BODY_BYTES,
      bodiesBytes: env.DAYPASS_BODIES_MAX_BYTES,
      audioSeconds: env.DAYPASS_MAX_AUDIO_SECONDS,
      uploadBytes: env.DAYPASS_MAX_UPLOAD_BYTES,
      uploadsBytes: env.DAYPASS_UPLOADS_MAX_BYTES,
      headerBytes: env.DAYPASS_MAX_HEADER_BYTES,
      requestTimeoutMs: env.DAYPASS_REQUEST_TIMEOUT_MS,
      maxWaitMs: env.DAYPASS_MAX_WAIT_MS,
      silenceMs: env.DAYPASS_SILENCE_MS,
      beatMs: env.DAYPASS_BEAT_MS,
      upstreamTimeoutMs: env.DAYPASS_UPSTREAM_TIMEOUT_MS,
      moderationTimeoutMs: env.DAYPASS_MODERATION_TIMEOUT_MS,
      defaultOutputTokens: env.DAYPASS_DEFAULT_OUTPUT_TOKENS,
      minOutputTokens: env.DAYPASS_MIN_OUTPUT_TOKENS,
      calls: env.DAYPASS_MAX_CALLS,
      keyConcurrent: env.DAYPASS_KEY_CONCURRENT,
      concurrency: env.DAYPASS_CONCURRENCY,
      journalEntries: env.DAYPASS_JOURNAL_MAX_ENTRIES,
      auditBytes: env.DAYPASS_AUDIT_MAX_BYTES,
      keyBytesPerHour: env.DAYPASS_KEY_BYTES_PER_HOUR,
      keptBytes: env.DAYPASS_KEPT_BYTES,
      shelfBytesOfKey: env.DAYPASS_SHELF_BYTES_PER_KEY,
      shelfBytes: env.DAYPASS_SHELF_MAX_BYTES,
      shutdownDeadlineMs: env.DAYPASS_SHUTDOWN_DEADLINE_MS,
      lingerMs: env.DAYPASS_LINGER_MS,
    },
    images: {
      count: env.DAYPASS_MAX_REMOTE_IMAGES,
      bytes: env.DAYPASS_IMAGE_MAX_BYTES,
      bytesPerHour: env.DAYPASS_IMAGE_BYTES_PER_HOUR,
      timeoutMs: env.DAYPASS_IMAGE_TIMEOUT_MS,
      hostsAllowed: env.DAYPASS_IMAGE_HOSTS_ALLOWED,
    },
    moderationModel: env.DAYPASS_MODERATION_MODEL,
    bounds: boundsOf(env),
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

function boundsOf(env: Readonly<Record<string, unknown>>): Bound[] {
  return Object.entries(BOUNDS).map(([name, schema]) => {
    const { unit, description = '' } = (schema.meta() ?? {}) as { unit?: string; description?: string };
    const value = env[name];
    return {
      name,
      value: typeof value === 'number' ? value : String(value),
      unit: unit ?? null,
      isDefault: String(value) === String(schema.parse(undefined)),
      text: description.replaceAll('`', ''),
    };
  });
}

/** 0: the system picks a port for every service. */
function opsPort(base: number, service: Service): number {
  return base === 0 ? 0 : base + SERVICES.indexOf(service);
}

function describe(issue: z.core.$ZodIssue, given: Record<string, string | undefined>): string {
  const name = issue.path.join('.');
  // A value may be a secret. So the message has the variable's name and the fault, never the value.
  return given[name] === undefined && issue.code === 'invalid_type'
    ? `${name} is required`
    : `${name}: ${issue.message}`;
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
  faults.push(
    ...parsed.error.issues.map(
      (issue) => `DAYPASS_CONFIG (${path}), ${issue.path.join('.') || 'top level'}: ${issue.message}`,
    ),
  );
  return configFileSchema.parse({});
}

/** A module's path is relative to the config file. */
function withPaths(file: ConfigFile, path: string, faults: string[]): ConfigFile {
  const guards = file.guards.map((guard, index) => {
    if (guard.type !== 'module') return guard;
    const module = resolve(dirname(path), guard.path);
    if (!existsSync(module)) faults.push(`DAYPASS_CONFIG (${path}), guards.${index}.path: there is no file ${module}`);
    return { ...guard, path: module };
  });
  return { ...file, guards };
}

// A key object, made once. From bytes Node would make one at each use, which takes longer than the HMAC.
function pepper(secret: string, purpose: string): KeyObject {
  return createSecretKey(derive(secret, purpose));
}

function derive(secret: string, purpose: string, salt = 'daypass'): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, purpose, 32));
}
