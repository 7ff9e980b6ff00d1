import { z } from 'zod';
import { configFileSchema } from './config-file.js';
import { ENVIRONMENT } from './environment.js';
import { PRESETS } from './lane-presets.js';
import { markdownTable } from './markdown-table.js';

/** The parts of a schema that the page shows. `unit`, `example` and `fallback` come from `meta`. */
export interface Described {
  type?: string | string[];
  description?: string;
  unit?: string;
  example?: string;
  fallback?: string;
  default?: unknown;
  const?: unknown;
  enum?: string[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  properties?: Record<string, Described>;
  required?: string[];
  additionalProperties?: Described | boolean;
  items?: Described;
  oneOf?: Described[];
}

interface Outside {
  name: string;
  fallback: string;
  description: string;
}

/** Variables that no service reads: docker compose, `npm start` or a script in `docker/` reads them. */
export const OUTSIDE: readonly { title: string; variables: readonly Outside[] }[] = [
  {
    title: 'Only `npm start` reads',
    variables: [
      {
        name: 'DAYPASS_DATA_DIR',
        fallback: '.daypass',
        description: 'The folder with its stores, secrets and logs. A relative path starts at the folder of Daypass.',
      },
    ],
  },
  {
    title: '`npm start` and docker compose read',
    variables: [
      {
        name: 'DAYPASS_REDIS_FSYNC',
        fallback: 'everysec',
        description:
          'When Redis writes to the disk. With `everysec` a power cut may lose the last second. With `always` every booking waits for the disk.',
      },
      {
        name: 'DAYPASS_REDIS_MAXMEMORY',
        fallback: '700mb',
        description:
          'Redis refuses new data at this size, and new calls get 503. For `npm start` the default is a quarter of the memory, from 256 MB to 4 GB. Under compose keep it below `DAYPASS_REDIS_MEMORY`.',
      },
    ],
  },
  {
    title: 'Only the rehearsal upstream reads',
    variables: [{ name: 'DAYPASS_REHEARSAL_PORT', fallback: '8090', description: 'Its port. Compose sets it.' }],
  },
  {
    title: 'Only docker compose reads',
    variables: [
      {
        name: 'DAYPASS_CONFIG_FILE',
        fallback: '',
        description: 'The config file on this machine. Compose mounts it and sets `DAYPASS_CONFIG`.',
      },
      {
        name: 'DAYPASS_GUARDS_DIR',
        fallback: '',
        description: 'A folder with guards of your own. In the config file their paths are `./guards/<file>.mjs`.',
      },
      {
        name: 'DAYPASS_POSTGRES_PASSWORD',
        fallback: '',
        description:
          'The password of Postgres, letters and digits only. Postgres takes it when its volume is new, and not later. Without it compose makes one and keeps it.',
      },
      {
        name: 'DAYPASS_REDIS_PASSWORD',
        fallback: '',
        description: 'The password of Redis, letters and digits only. Without it compose makes one and keeps it.',
      },
      {
        name: 'DAYPASS_ALERTMANAGER_FILE',
        fallback: './observability/alertmanager.yml',
        description: 'A file of yours that names the receivers of alerts.',
      },
      { name: 'DAYPASS_GRAFANA_PORT', fallback: '3000', description: 'The port of Grafana, on loopback.' },
      { name: 'DAYPASS_PROMETHEUS_PORT', fallback: '9090', description: 'The port of Prometheus, on loopback.' },
      { name: 'DAYPASS_ALERTMANAGER_PORT', fallback: '9093', description: 'The port of Alertmanager, on loopback.' },
      {
        name: 'DAYPASS_CONSOLE_PORT',
        fallback: '8082',
        description: "The port of the auditor's console, on loopback.",
      },
      {
        name: 'DAYPASS_SERVICE_MEMORY',
        fallback: '768m',
        description: 'The most memory that one process of a service may take.',
      },
      {
        name: 'DAYPASS_REDIS_MEMORY',
        fallback: '1g',
        description: 'The most memory that the container of Redis may take.',
      },
      { name: 'DAYPASS_POSTGRES_MEMORY', fallback: '1g', description: 'The most memory that Postgres may take.' },
      {
        name: 'DAYPASS_STOP_SECONDS',
        fallback: '30',
        description:
          'Docker kills a service this many seconds after its stop signal. Keep it above `DAYPASS_SHUTDOWN_DEADLINE_MS`. `docker/rolling-restart.sh` needs it exported.',
      },
      {
        name: 'OTEL_EXPORTER_OTLP_HEADERS',
        fallback: '',
        description: 'Headers that the collector of traces asks for. The exporter of traces reads them.',
      },
    ],
  },
];

/** A spec loads it through the schema. */
export const EXAMPLE = `lanes:
  mini: { rpm: 500, tpm: 200000, models: [gpt-5.4-mini, gpt-5.4-nano] } # both models share these limits
  flagship: { preset: flagship-2, rpd: 10000, models: [gpt-5.2] } # usage tier 2, and a limit a day
  shared: { rpm: 100, fixed: true, counts: used, models: [gpt-5.4] } # never more than this, whatever OpenAI allows
  # The main account never serves this lane; only the upstreams listed below do.
  own: { elsewhere_only: true, models: [llama-4] }
  moderation: { preset: moderation-2 } # the moderation endpoint
main: { drops: [prompt_cache_retention] } # parameters that the main account's server does not know
upstreams: # Daypass tries the main account first, then these in their order
  - name: spare # needs DAYPASS_UPSTREAM_KEYS=spare=sk-…
    base_url: https://api.openai.com/v1
    lanes: { mini: { rpm: 500, tpm: 200000 } } # serves this lane only
  - name: local
    base_url: http://10.0.0.5:8000/v1
    keyless: true
    lanes: { own: {} } # without limits; Daypass learns them
    models: { llama-4: meta-llama/Llama-4-Scout } # the visitors' name and this upstream's name
    drops: [store, service_tier, safety_identifier] # parameters that this server does not know
prices:
  # Without its encoding each byte would count as a token, because nobody knows how llama-4 counts.
  llama-4: { input_usd_per_million: 0.2, output_usd_per_million: 0.8, max_output_tokens: 8192, encoding: cl100k_base }
  gpt-5.5: { input_usd_per_million: 5, output_usd_per_million: 30, tiers: { flex: 0.5, priority: 2.5 } }
operator:
  budget_usd_per_day: '20.00'
  budget_usd_total: '500.00'
  webhook: { url: 'https://example.org/hook', secret: CHANGE-ME-to-a-secret-of-your-own }
guards:
  - { name: words, type: blocklist, words: [some phrase, another] }
  - { name: tickets, type: regex, patterns: ['(?i)ticket-\\d{4}'], directions: [input] }
  - { name: private, type: personal_data, action: redact, country: DE }
  - { name: desk, type: webhook, url: 'https://example.org/guard', secret: CHANGE-ME-to-a-secret-of-your-own, always: false }
  # docs/guards/opening-hours.mjs is this module.
  - { name: hours, type: module, path: ./opening-hours.mjs, options: { from_hour: 9, to_hour: 18, code: 1234-workshop } }
`;

const describedBy = (schema: z.ZodType): Described => z.toJSONSchema(schema, { io: 'input' }) as Described;

/** The config file, as its schema describes it. */
export const configFile = (): Described => describedBy(configFileSchema);
/** Each group of variables, as its schema describes it. */
export const environment = (): { title: string; schema: Described }[] =>
  ENVIRONMENT.map(({ title, variables }) => ({ title, schema: describedBy(z.object(variables)) }));
export const outsideNames = (): string[] => OUTSIDE.flatMap(({ variables }) => variables.map(({ name }) => name));

/**
 * docs/settings.md, from the schemas. `compose`: docker-compose.yml, which shows the variables that compose passes on.
 */
export function settingsPage(compose: string): string {
  return `${[intro(compose), variables(), outside(), fileSections(), presets()].join('\n\n')}\n`;
}

function intro(compose: string): string {
  const read = new Set(environment().flatMap(({ schema }) => Object.keys(schema.properties ?? {})));
  const passed = [...new Set([...compose.matchAll(/\$\{([A-Z_]+)/g)].map(([, name]) => name!))].filter((name) =>
    read.has(name),
  );
  return `# Settings

\`npm run docs:settings\` writes this page from the schemas in \`libs/config\`. Change the schemas, not this page.

Environment variables set Daypass up. Lanes, prices, upstreams and guards stand in [a config file](#the-config-file). A
wrong setting stops the start. Daypass then names every fault at once, and never shows a value. The
[glossary](glossary.md) explains the words.

## What wins

- \`npm start\` reads exported variables only. It does not read \`.env\`, nor the files of variables that end in \`_FILE\`.
- \`npm start\` makes \`DAYPASS_SECRET\` and \`DAYPASS_ADMIN_TOKEN\` and keeps them in \`DAYPASS_DATA_DIR\`. An exported
  variable wins over the kept one.
- \`docker compose\` makes \`DAYPASS_SECRET\`, \`DAYPASS_ADMIN_TOKEN\` and the passwords of the stores, and keeps them in
  volumes. What \`.env\` names wins, and then stays in the volume.
- \`docker compose\` reads \`.env\`. A variable that your shell exports wins over \`.env\`. Did you export
  \`DAYPASS_ADMIN_TOKEN\` for \`npm start\`? Then run \`unset DAYPASS_ADMIN_TOKEN\` before \`docker compose up\`.
- An empty variable counts as not set.
- No variable overrides a field of the config file, and no field overrides a variable.
- In a lane, a number wins over the preset. The limits in the upstream's headers and the project's limits win over both,
  unless the lane is \`fixed\`. [pacing.md](pacing.md#where-limits-come-from) says which of these two wins.
- A price in the config file wins over Daypass' own price.

The services read their variables at the start. Restart them after a change.

Compose passes these variables from \`.env\` to the services or to their ports:

${passed.map((name) => `- \`${name}\``).join('\n')}

To set another one, add it to \`docker-compose.override.yml\`:

\`\`\`yaml
services:
  ingress: { environment: { DAYPASS_MAX_WAIT_MS: '60000' } }
\`\`\``;
}

/** A paragraph in lines of at most 120 characters. */
function wrapped(text: string): string {
  const lines = [''];
  for (const word of text.split(/\s+/)) {
    if (lines.at(-1)!.length + word.length > 119) lines.push(word);
    else lines.push(`${lines.pop()!} ${word}`.trimStart());
  }
  return lines.join('\n');
}

function variables(): string {
  const groups = environment().map(({ title, schema }) => `### ${title}\n\n${table('variable', schema)}`);
  return ['## Variables', ...groups].join('\n\n');
}

function outside(): string {
  const groups = OUTSIDE.map(({ title, variables: its }) => {
    const rows = its.map(({ name, fallback, description }) => [
      `\`${name}\``,
      fallback === '' || fallback.startsWith('*') ? fallback : `\`${fallback}\``,
      description,
    ]);
    return `### ${title}\n\n${markdownTable(['variable', 'default', ''], rows)}`;
  });
  return ['## Variables outside the services', ...groups].join('\n\n');
}

function fileSections(): string {
  const { lanes, main, upstreams, prices, operator, guards } = configFile().properties as Record<string, Described>;
  const kinds = guards!.items!.oneOf!;
  const common = Object.keys(kinds[0]!.properties!).filter(
    (name) => kinds.every(({ properties }) => properties![name]) && name !== 'type',
  );
  const section = (
    title: string,
    description: string | undefined,
    schema: Described,
    hidden: readonly string[] = [],
  ): string => `### ${title}\n\n${wrapped(description ?? '')}\n\n${table('field', schema, hidden)}`;
  const commonOnly = {
    properties: Object.fromEntries(common.map((name) => [name, kinds[0]!.properties![name]!])),
    required: kinds[0]!.required!,
  };
  return [
    `## The config file

\`DAYPASS_CONFIG\` names it: YAML or JSON. Every part is optional. A field that Daypass does not know stops the start.

\`\`\`yaml
${EXAMPLE}\`\`\``,
    section(
      '`lanes`',
      `${lanes!.description} [pacing.md](pacing.md) explains lanes.`,
      lanes!.additionalProperties as Described,
    ),
    section('`main`', main!.description, main!),
    section(
      '`upstreams`',
      `${upstreams!.description} At most 20. [pacing.md](pacing.md#several-upstreams) explains failover.`,
      upstreams!.items!,
    ),
    section('`prices`', prices!.description, prices!.additionalProperties as Described),
    section('`operator`', operator!.description, operator!),
    section('`guards`', `${guards!.description} At most 50. Every guard has a \`type\` and these fields:`, commonOnly),
    ...kinds.map((kind) => {
      const { type } = kind.properties!;
      return `#### \`type: ${String(type!.const)}\`\n\n${kind.description}\n\n${table('field', kind, ['type', ...common])}`;
    }),
  ].join('\n\n');
}

function presets(): string {
  const rows = Object.entries(PRESETS).map(([name, [rpm, tpm]]) => [`\`${name}\``, String(rpm), String(tpm)]);
  return `## Lane presets

OpenAI documents these limits by usage tier: \`flagship\` for gpt-5.2, \`mini\` for gpt-5-mini, \`moderation\` for
omni-moderation. With \`OPENAI_ADMIN_KEY\` and \`OPENAI_PROJECT_ID\` the limits of your project replace them.

${markdownTable(['preset', 'rpm', 'tpm'], rows)}`;
}

function table(what: string, schema: Described, hidden: readonly string[] = []): string {
  const rows = fieldsOf(schema).filter(({ name }) => !hidden.includes(name));
  return markdownTable(
    [what, 'default', 'values', ''],
    rows.map(({ name, field, required }) => [
      `\`${name}\``,
      fallbackOf(field, required),
      valuesOf(field),
      field.description ?? '',
    ]),
  );
}

/** Fields of nested objects too, by their path. */
function fieldsOf(
  { properties = {}, required = [] }: Described,
  prefix = '',
): { name: string; field: Described; required: boolean }[] {
  return Object.entries(properties).flatMap(([key, field]) => [
    { name: `${prefix}${key}`, field, required: required.includes(key) },
    ...(field.properties ? fieldsOf(field, `${prefix}${key}.`) : []),
  ]);
}

function fallbackOf(field: Described, required: boolean): string {
  if (field.fallback !== undefined) return field.fallback;
  if (required) return '**required**';
  const { default: value } = field;
  if (value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0))
    return '';
  return Array.isArray(value) ? value.map((one) => `\`${String(one)}\``).join(', ') : `\`${String(value as string)}\``;
}

function valuesOf({ type, unit, example, enum: words, minimum, maximum, minLength }: Described): string {
  if (words && words.length <= 8) return words.map((word) => `\`${word}\``).join(', ');
  if (type === 'boolean') return '`true`, `false`';
  if (minimum !== undefined)
    return [
      maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? `${minimum} or more` : `${minimum} to ${maximum}`,
      unit ?? '',
    ]
      .join(' ')
      .trim();
  if (example !== undefined) return `\`${example}\``;
  return minLength !== undefined && minLength > 1 ? `${minLength} characters or more` : '';
}
