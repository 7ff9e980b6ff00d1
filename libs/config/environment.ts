import { z } from 'zod';
import { readRedisAddress } from '#libs/contracts/redis-address.js';

export const SERVICES = ['ingress', 'moderation', 'forwarding', 'accounting'] as const;
export type Service = (typeof SERVICES)[number];

const port = z.coerce.number().int().min(0).max(65_535);
/** `localhost:6379` parses as a URL too, with the protocol `localhost:`. So the schema checks the protocol. */
const url = (protocol: RegExp, error: string) => z.url({ protocol, error });
/** Several hosts with commas between them are no URL, so that another reader takes them. */
const redisAddress = z.string().superRefine((text, context) => {
  try {
    readRedisAddress(text);
  } catch (error) {
    context.addIssue((error as Error).message);
  }
});
const webAddress = (error: string) => url(/^https?$/, error);
const apiAddress = webAddress('must be an address such as https://api.openai.com/v1');
const tracesAddress = webAddress('must be an http:// or https:// URL');
/** An origin: pages and the API lie at its root. */
const ORIGIN = /^https?:\/\/([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?\/?$/i;
const origin = z
  .string()
  .refine(
    (text) => ORIGIN.test(text) && URL.canParse(text),
    'must be an address without a path, such as https://try.example.org',
  )
  .transform((text) => new URL(text).origin);
/** One id or more, with commas between them. */
const ids = z
  .string()
  .transform((text) => text.split(',').map((id) => id.trim()))
  .pipe(
    z
      .array(
        z
          .string()
          .regex(
            /^[A-Za-z0-9_-]{1,128}$/,
            'must be ids as the provider gives them, such as key_abc, with commas between them',
          ),
      )
      .max(20),
  );
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
/** `host:port`, with commas between them. */
const hosts = z
  .string()
  .transform((text) => text.split(',').map((host) => host.trim().toLowerCase()))
  .pipe(
    z
      .array(
        z
          .string()
          .regex(
            /^([a-z0-9.-]+|\[[0-9a-f:.]+\]):\d{1,5}$/,
            'must be host:port for each of the hosts, with commas between them',
          ),
      )
      .max(20),
  );
/** Host names without ports, with commas between them. */
const names = z
  .string()
  .transform((text) => text.split(',').map((name) => name.trim().toLowerCase()))
  .pipe(
    z
      .array(
        z
          .string()
          .max(253)
          .regex(
            /^([a-z0-9.-]+|\[[0-9a-f:.]+\])$/,
            'must be host names without ports, such as console.example.org, with commas between them',
          ),
      )
      .max(20),
  );
const flag = z
  .enum(['true', 'false'], 'must be true or false')
  .default('false')
  .transform((text) => text === 'true');
/** A file with a secret, as orchestrators mount them. */
const fileOf = (name: string) =>
  z
    .string()
    .optional()
    .meta({ description: `A file that has \`${name}\`. The variable itself wins.`, example: '/run/secrets/…' });
const positive = (fallback: number, most: number) => z.coerce.number().int().min(1).max(most).default(fallback);

// docs/settings.md shows what `meta` has: `description`, `unit` of a number, `example` and `fallback`. `fallback`
// replaces a default that the schema lacks.

const account = {
  OPENAI_API_KEY: z.string().min(1).optional().meta({
    description:
      'The key of the OpenAI account that pays for all visitors. Without it `npm start` and docker compose use the rehearsal upstream, which makes up answers.',
    fallback: 'required by moderation and forwarding',
    example: 'sk-…',
  }),
  OPENAI_API_KEY_FILE: fileOf('OPENAI_API_KEY'),
  OPENAI_BASE_URL: apiAddress.default('https://api.openai.com/v1').meta({
    description: 'The API that Daypass calls. Any API that speaks the OpenAI protocol works.',
  }),
  DAYPASS_REHEARSAL_URL: apiAddress.optional().meta({
    description:
      'The rehearsal upstream. While neither `OPENAI_API_KEY` nor `OPENAI_BASE_URL` is set, calls go there, and nothing is spent. `npm start` and docker compose set it.',
    example: 'http://rehearsal:8090/v1',
  }),
  DAYPASS_UPSTREAM_KEYS: upstreamKeys.default({}).meta({
    description:
      'The keys of further accounts, one for each entry of `upstreams` in the config file. Separate them with commas.',
    example: 'spare=sk-…,other=sk-…',
  }),
  OPENAI_WEBHOOK_SECRET: z
    .string()
    .startsWith('whsec_', 'must be the secret that the provider shows with the webhook, whsec_…')
    .optional()
    .meta({
      description:
        'The secret of a webhook in your OpenAI organization. Ingress then receives safety notices at `/webhooks/openai`. Without the secret that path does not exist.',
      example: 'whsec_…',
    }),
  OPENAI_SAFETY_KEY: z.string().min(1).optional().meta({
    description: 'A key that may read safety cases. Set it where `OPENAI_API_KEY` may not read them.',
    fallback: '`OPENAI_API_KEY`, where accounting has it',
    example: 'sk-…',
  }),
};

const reports = {
  OPENAI_ADMIN_KEY: z.string().min(1).optional().meta({
    description:
      "An admin key of your OpenAI organization. Accounting uses it to compare the books with OpenAI's reports. It also reads the project's rate limits.",
    example: 'sk-admin-…',
  }),
  OPENAI_ADMIN_BASE_URL: apiAddress.optional().meta({
    description: 'The API that has the usage and cost reports.',
    fallback: '`OPENAI_BASE_URL`',
  }),
  OPENAI_PROJECT_ID: ids.default([]).meta({
    description:
      'The projects that only Daypass uses, at most 20, with commas between them. Accounting then counts no other usage in the reports.',
    example: 'proj_…',
  }),
  OPENAI_API_KEY_ID: ids.default([]).meta({
    description:
      'The ids of the API keys that only Daypass uses, at most 20, with commas between them. Use them where a project has other users too.',
    example: 'key_…',
  }),
  DAYPASS_RECONCILE_EVERY_MS: positive(900_000, 86_400_000).meta({
    description: 'Accounting compares the books with the reports this often.',
    unit: 'ms',
  }),
  DAYPASS_REPORT_DELAY_MS: z.coerce.number().int().min(0).max(604_800_000).default(3_600_000).meta({
    description:
      'OpenAI reports usage by the minute, and late. Accounting waits this long after a minute has ended before it trusts the report of that minute.',
    unit: 'ms',
  }),
};

const stores = {
  REDIS_URL: redisAddress.meta({
    description:
      'Redis 7 or Valkey 8, or later, with `appendonly yes` and `maxmemory-policy noeviction`: `redis://`, `unix://`, or with TLS `rediss://`. Sentinel is `redis+sentinel://[user:password@]host[:port],host2[:port2]/name[/db]`, and a cluster `redis+cluster://host[:port],host2[:port2]` ([more](production.md#a-redis-that-fails-over)). Without it `npm start` starts its own.',
    example: 'redis://127.0.0.1:6379',
  }),
  REDIS_URL_FILE: fileOf('REDIS_URL'),
  DAYPASS_ACCOUNT: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,30}$/, 'must have small letters, digits and dashes, and at most 31 of them')
    .optional()
    .meta({
      description:
        'The name of the upstream account that these services serve, where several accounts share one Redis. All keys of an account have the name in their hash tag, so that a cluster spreads accounts over its nodes. Each account has its own services and its own database in Postgres. Do not change it while Redis has holds.',
      fallback: 'one account, whose keys begin with `{dp}`',
      example: 'north',
    }),
  DATABASE_URL: url(/^postgres(ql)?$/, 'must be an address such as postgres://daypass:…@127.0.0.1:5432/daypass')
    .optional()
    .meta({
      description: 'Postgres 15 or later. Only accounting uses it. Without it `npm start` starts its own.',
      fallback: 'required by accounting',
      example: 'postgres://daypass:…@127.0.0.1:5432/daypass',
    }),
  DATABASE_URL_FILE: fileOf('DATABASE_URL'),
};

const secrets = {
  DAYPASS_SECRET: z.string().min(32, 'must have at least 32 characters: `openssl rand -base64 48` makes one').meta({
    description:
      'Daypass derives further secrets from this one, to check virtual keys and to encrypt content. With another secret no virtual key works and stored content is lost. `npm start` and docker compose make one and keep it.',
  }),
  DAYPASS_SECRET_FILE: fileOf('DAYPASS_SECRET'),
  DAYPASS_ADMIN_TOKEN: z.string().min(16, 'must have at least 16 characters').optional().meta({
    description:
      'The operator sends it to the admin API as `Authorization: Bearer …`. `npm start` and docker compose make one and keep it.',
    fallback: 'required by accounting',
  }),
  DAYPASS_ADMIN_TOKEN_FILE: fileOf('DAYPASS_ADMIN_TOKEN'),
  DAYPASS_AUDITOR_PASSWORD: z.string().min(16, 'must have at least 16 characters').optional().meta({
    description:
      'The password of the Postgres role `auditor`, which reads the views of [audit.md](audit.md). Without it that role cannot log in.',
  }),
};

const listeners = {
  DAYPASS_CONFIG: z.string().optional().meta({
    description:
      'The path of [the config file](#the-config-file), in JSON or YAML. Under docker compose set `DAYPASS_CONFIG_FILE` instead.',
    example: './daypass.yaml',
  }),
  DAYPASS_HOST: z.string().default('0.0.0.0').meta({
    description: "The address that the visitors' port listens on.",
  }),
  DAYPASS_PORT: port.default(8080).meta({
    description: "The visitors' port. 0 takes a free one, but `npm start` does not accept 0.",
  }),
  DAYPASS_PROXY_HOPS: z.coerce.number().int().min(0).max(10).default(0).meta({
    description:
      'How many proxies stand before ingress and add the address of their caller to `x-forwarded-for`. Claim links count claims by the address that the outermost of them saw. 0 ignores the header. A number that is too large lets visitors choose their own address.',
    unit: 'proxies',
  }),
  DAYPASS_PUBLIC_URL: origin.optional().meta({
    description:
      'The address under which visitors reach Daypass, without a path. Claim links, QR codes and the base URL in snippets begin with it. Set it wherever TLS or a balancer stands before Daypass.',
    fallback: "the address that a visitor's request names; `http://localhost` with the visitors' port in the console",
    example: 'https://try.example.org',
  }),
  DAYPASS_NETWORK_URL: origin.optional().meta({
    description:
      "The address of the visitors' port in the operator's own network. Claim links and their QR codes in the console begin with it where `DAYPASS_PUBLIC_URL` is not set. `npm start` finds it.",
    fallback: "this machine's address, where `npm start` finds one",
    example: 'http://192.168.1.20:8080',
  }),
  DAYPASS_INTERNAL_HOST: z.string().default('127.0.0.1').meta({
    description:
      'The address that the admin API and the operations ports listen on. These ports must not be reachable from outside.',
  }),
  DAYPASS_ADMIN_PORT: port.default(8081).meta({
    description: 'The port of the admin API. 0 takes a free one, but `npm start` does not accept 0.',
  }),
  DAYPASS_CONSOLE_HOSTS: names.default([]).meta({
    description:
      'The names under which browsers reach the console, beside `localhost`, `127.0.0.1` and `[::1]`. Separate them with commas. Under any other name the console answers 421, so that no page of a stranger can pose as it.',
    example: 'console.example.org',
  }),
  DAYPASS_PRINT_SIGN_IN_LINK: flag.meta({
    description:
      'Accounting logs a link at its start that signs in to the console once, within five minutes. `docker compose` sets it.',
  }),
  DAYPASS_OPS_PORT: port.optional().meta({
    description:
      'The operations port of a single service, with `/metrics`, `/health/live` and `/health/ready`. `npm start` ignores it.',
    fallback: '`DAYPASS_OPS_PORT_BASE` plus 0, 1, 2 or 3',
  }),
  DAYPASS_OPS_PORT_BASE: z.coerce
    .number()
    .int()
    .min(0)
    .max(65_536 - SERVICES.length)
    .default(9101)
    .meta({
      description:
        'The first operations port: ingress takes it, then moderation, forwarding and accounting take the next three.',
    }),
  DAYPASS_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info').meta({
    description: 'The least severe log lines that a service writes.',
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: tracesAddress.optional().meta({
    description:
      'A collector of traces (OTLP over HTTP). Each call is then one trace through all services. Without it there are no traces.',
    example: 'http://collector:4318',
  }),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: tracesAddress.optional().meta({
    description: 'The full address for traces, where it differs from `OTEL_EXPORTER_OTLP_ENDPOINT` plus `/v1/traces`.',
  }),
};

const claims = {
  DAYPASS_GITHUB_CLIENT_ID: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,100}$/, 'must be the client ID that GitHub shows with the OAuth app')
    .optional()
    .meta({
      description:
        'The client ID of an OAuth app at GitHub, whose callback is `/claim/v1/github/callback` under `DAYPASS_PUBLIC_URL`. With it claim links may ask visitors to sign in with GitHub. Ingress and accounting need it.',
      example: 'Ov23li…',
    }),
  DAYPASS_GITHUB_CLIENT_SECRET: z.string().min(1).max(500).optional().meta({
    description: 'The client secret of that app. Only accounting uses it.',
    fallback: 'required by accounting with `DAYPASS_GITHUB_CLIENT_ID`',
  }),
  DAYPASS_GITHUB_URL: origin.default('https://github.com').meta({
    description:
      'A GitHub Enterprise, if visitors sign in there. Its API is at `/api/v3`, and that of `github.com` and `*.ghe.com` at the host `api.…`.',
    fallback: 'https://github.com',
  }),
  DAYPASS_SMTP_URL: z
    .string()
    .refine(
      (text) => /^smtps?:\/\//.test(text) && URL.canParse(text),
      'must be an address such as smtps://user:password@smtp.example.org:465, with %40 for each @ in its user',
    )
    .optional()
    .meta({
      description:
        'The server that sends mails: codes that claim links ask for, and invitations of the waitlist. `smtps://` begins with TLS. `smtp://` changes to TLS where the server offers it. Only accounting uses it.',
      example: 'smtps://user:password@smtp.example.org:465',
      fallback: 'required by accounting with `DAYPASS_MAIL_FROM`',
    }),
  DAYPASS_MAIL_FROM: z
    .string()
    .max(320)
    .regex(
      /^([^<>@,\r\n]*<[^\s<>@,]+@[^\s<>@,]+>|[^\s<>@,]+@[^\s<>@,]+)$/,
      'must be an address such as "Acme <try@example.org>"',
    )
    .optional()
    .meta({
      description:
        'The sender of these mails. With it claim links may ask for an e-mail address. Ingress and accounting need it.',
      example: 'Acme <try@example.org>',
    }),
};

const requests = {
  DAYPASS_MAX_BODY_BYTES: positive(8_388_608, 104_857_600).meta({
    description: 'Ingress answers a larger request with 413.',
    unit: 'bytes',
  }),
  DAYPASS_BODIES_MAX_BYTES: positive(134_217_728, 68_719_476_736).meta({
    description:
      'One ingress process holds at most this many bytes of requests that come in or wait for their holds. A quarter of them may belong to one key. Must not be below `DAYPASS_MAX_BODY_BYTES`.',
    unit: 'bytes',
  }),
  DAYPASS_MAX_AUDIO_SECONDS: positive(600, 86_400).meta({
    description:
      'Ingress refuses longer sound. A campaign may allow less (`tool_prices.audio.max_seconds`). The bytes of a wav, mp3, ogg, flac, an mp4 or m4a with AAC or ALAC, or a WebM with Opus tell how long it takes. Others count as 750 bytes a second: 600 seconds are then 450 kB.',
    unit: 's',
  }),
  DAYPASS_MAX_UPLOAD_BYTES: positive(26_214_400, 536_870_912).meta({
    description:
      'Ingress answers a form with files that is larger with 413. Files go to Redis in pieces of 512 KiB while they arrive, encrypted, and are gone with the call. An open upload takes at most 3.5 MiB of the memory of ingress, beside the text fields that have come, of which it may have `DAYPASS_MAX_BODY_BYTES`. All of it counts among `DAYPASS_BODIES_MAX_BYTES`.',
    unit: 'bytes',
  }),
  DAYPASS_UPLOADS_MAX_BYTES: positive(134_217_728, 68_719_476_736).meta({
    description:
      'Redis holds at most this many bytes of files of all calls that arrive, wait or run. A quarter of them may belong to one key. Must not be below `DAYPASS_MAX_UPLOAD_BYTES`.',
    unit: 'bytes',
  }),
  DAYPASS_MAX_HEADER_BYTES: positive(16_384, 1_048_576).meta({
    description: 'Ingress answers larger request headers with 431.',
    unit: 'bytes',
  }),
  DAYPASS_REQUEST_TIMEOUT_MS: positive(30_000, 600_000).meta({
    description: 'Ingress answers a request that arrives more slowly with 408.',
    unit: 'ms',
  }),
  DAYPASS_MAX_CALLS: positive(2_000, 100_000).meta({
    description:
      'One key may have this many calls open at one ingress process while nobody else calls. The process has a quarter more places, so that others always find one. A quarter of this number may wait for the budget of one key.',
    unit: 'calls',
  }),
  DAYPASS_KEY_CONCURRENT: positive(64, 100_000).meta({
    description:
      'A key without a limit `concurrent` of its own has at most this many calls in all processes together. 100000 means no limit.',
    unit: 'calls',
  }),
  DAYPASS_MAX_WAIT_MS: positive(30_000, 600_000).meta({
    description:
      'A call waits at most this long for budget and for its turn. A visitor overrides it with `x-daypass-max-wait-ms`.',
    unit: 'ms',
  }),
  DAYPASS_SILENCE_MS: positive(10_000, 600_000).meta({
    description:
      'A stream that has been silent for this long gets a comment, which clients skip and proxies see. Keep it below the idle time-out of every proxy.',
    unit: 'ms',
  }),
  DAYPASS_BEAT_MS: positive(15_000, 600_000).meta({
    description:
      'While guards hold a stream of `/v1/responses` back for this long, its client gets an event that says that the answer is still coming. Clients count events, and give up without one (Codex after 300 s).',
    unit: 'ms',
  }),
  DAYPASS_KEY_BYTES_PER_HOUR: z.coerce.number().int().min(0).max(1_099_511_627_776).default(62_914_560).meta({
    description:
      "A key's requests, and its repeats of kept answers, have at most this many bytes within an hour. A key or its campaign's `key_defaults` may say otherwise (`limits.bytes_per_hour`). 0 is no limit.",
    unit: 'bytes',
  }),
  DAYPASS_KEPT_BYTES: positive(67_108_864, 68_719_476_736).meta({
    description:
      'Redis keeps at most this many bytes of answers for repeats under an `Idempotency-Key`, compressed. A sixteenth of them may belong to one key. A repeat whose answer Redis did not keep gets 409.',
    unit: 'bytes',
  }),
  DAYPASS_SHELF_BYTES_PER_KEY: positive(4_194_304, 1_073_741_824).meta({
    description:
      "Redis keeps at most this many bytes of one key's responses and conversations, compressed. Beyond that its oldest go.",
    unit: 'bytes',
  }),
  DAYPASS_SHELF_MAX_BYTES: positive(268_435_456, 68_719_476_736).meta({
    description:
      'Redis keeps at most this many bytes of responses and conversations of all keys, compressed. Half of them may belong to one campaign. Beyond that an answer says `store: false`. Must not be below `DAYPASS_SHELF_BYTES_PER_KEY`.',
    unit: 'bytes',
  }),
  DAYPASS_DEFAULT_OUTPUT_TOKENS: positive(4_096, 1_000_000).meta({
    description: 'The output cap of a request that names none.',
    unit: 'tokens',
  }),
  DAYPASS_MIN_OUTPUT_TOKENS: positive(16, 1_000_000).meta({
    description:
      'Daypass lowers an output cap to what the free budget covers, but not below this. Then it refuses the call. Must not exceed `DAYPASS_DEFAULT_OUTPUT_TOKENS`.',
    unit: 'tokens',
  }),
};

const images = {
  DAYPASS_MAX_REMOTE_IMAGES: positive(20, 100).meta({
    description:
      'A request whose input is judged may name at most this many images by their addresses. Others must be in the request, as `data:` URLs.',
    unit: 'images',
  }),
  DAYPASS_IMAGE_MAX_BYTES: positive(8_388_608, 67_108_864).meta({
    description: 'The images that Daypass fetches for one call may have this many bytes, all together.',
    unit: 'bytes',
  }),
  DAYPASS_IMAGE_BYTES_PER_HOUR: positive(67_108_864, 1_099_511_627_776).meta({
    description:
      'Daypass fetches at most this many bytes of images for one key in an hour. Each image counts as 64 KiB at least. Beyond that the key gets 429.',
    unit: 'bytes',
  }),
  DAYPASS_IMAGE_TIMEOUT_MS: positive(10_000, 60_000).meta({
    description: 'The images of one call must arrive within this time, all together.',
    unit: 'ms',
  }),
  DAYPASS_IMAGE_HOSTS_ALLOWED: hosts.default([]).meta({
    description:
      'Hosts of images that need not be public, and may have any port, each with its port, with commas between them. Every visitor can make Daypass ask these hosts for any path. Name only hosts that show everybody only pictures.',
    example: 'pictures.example.lan:8080',
  }),
};

const work = {
  DAYPASS_CONCURRENCY: positive(256, 10_000).meta({
    description:
      'One key may run this many calls of one lane at one forwarding process while nobody else wants to. A moderation process judges four times as many. Each has a quarter more places, so that others always find one.',
    unit: 'calls',
  }),
  DAYPASS_UPSTREAM_TIMEOUT_MS: positive(600_000, 3_600_000).meta({
    description: 'One upstream call may take this long.',
    unit: 'ms',
  }),
  DAYPASS_MODERATION_TIMEOUT_MS: positive(10_000, 120_000).meta({
    description:
      'One verdict may take this long, retries included. After that the call has no verdict, and `on_unavailable` of its policy decides.',
    unit: 'ms',
  }),
  DAYPASS_MODERATION_MODEL: z.string().default('omni-moderation-2024-09-26').meta({
    description: 'The moderation model. It is pinned, because scores change from one version to the next.',
  }),
  DAYPASS_JOURNAL_MAX_ENTRIES: positive(1_000_000, 100_000_000).meta({
    description: 'New calls get 503 while more bookings than this wait in Redis for Postgres.',
    unit: 'entries',
  }),
  DAYPASS_AUDIT_MAX_BYTES: positive(67_108_864, 68_719_476_736).meta({
    description:
      'New calls get 503 while more requests and verdicts than this wait in Redis for the record in Postgres. New calls of a key get 429 while a quarter of this waits for that key alone.',
    unit: 'bytes',
  }),
  DAYPASS_SHUTDOWN_DEADLINE_MS: positive(25_000, 600_000).meta({
    description: 'After a stop signal a service finishes its running calls, for at most this long.',
    unit: 'ms',
  }),
  DAYPASS_LINGER_MS: z.coerce.number().int().min(0).max(60_000).default(0).meta({
    description:
      'After a stop signal ingress says for this long that it is not ready, and still takes calls. A balancer looks away meanwhile. Compose: 3000.',
    unit: 'ms',
  }),
};

/** Every environment variable that a service reads, in the order of docs/settings.md. */
export const ENVIRONMENT = [
  { title: 'The account', variables: account },
  { title: "OpenAI's reports", variables: reports },
  { title: 'Stores', variables: stores },
  { title: 'Secrets', variables: secrets },
  { title: 'Addresses, logs and traces', variables: listeners },
  { title: 'Who claims', variables: claims },
  { title: 'Requests', variables: requests },
  { title: 'Images', variables: images },
  { title: 'Work', variables: work },
];

/** What the console shows of the environment: bounds and times. None of these variables has a secret. */
export const BOUNDS: Readonly<Record<string, z.ZodType>> = { ...requests, ...images, ...work };

/** `npm start` and compose set the required ones. */
export const environmentSchema = z.object({
  ...account,
  ...reports,
  ...stores,
  ...secrets,
  ...listeners,
  ...claims,
  ...requests,
  ...images,
  ...work,
});
