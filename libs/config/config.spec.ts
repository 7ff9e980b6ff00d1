import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { kindOf } from './config-file.js';
import { ConfigError, loadConfig, SERVICES, type Service } from './config.js';

const good = {
  OPENAI_API_KEY: 'sk-test',
  REDIS_URL: 'redis://127.0.0.1:6379',
  DATABASE_URL: 'postgres://daypass:pw@127.0.0.1:5432/daypass',
  DAYPASS_SECRET: 's'.repeat(32),
  DAYPASS_ADMIN_TOKEN: 'admin-token-of-some-length',
};

function faultsOf(environment: NodeJS.ProcessEnv, service: Service = 'ingress'): readonly string[] {
  try {
    loadConfig(service, environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

let folder: string;
let files = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'daypass-config-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(content: string, extension = 'yaml'): string {
  const path = join(folder, `${files++}.${extension}`);
  writeFileSync(path, content);
  return path;
}
const fileFaults = (content: unknown) =>
  faultsOf({ ...good, DAYPASS_CONFIG: file(typeof content === 'string' ? content : JSON.stringify(content)) });

describe('the environment', () => {
  it('needs nothing but the account, the stores and the secret', () => {
    const config = loadConfig('accounting', good);
    expect(config).toMatchObject({
      openai: { apiKey: 'sk-test', baseUrl: 'https://api.openai.com/v1' },
      visitors: { host: '0.0.0.0', port: 8080 },
      admin: { host: '127.0.0.1', port: 8081 },
      limits: { bodyBytes: 8_388_608, maxWaitMs: 30_000 },
      moderationModel: 'omni-moderation-2024-09-26',
      file: { lanes: {}, prices: {}, operator: {}, guards: [], upstreams: [] },
    });
  });

  it('gives each service an operations port of its own', () => {
    expect(SERVICES.map((service) => loadConfig(service, good).ops.port)).toEqual([9101, 9102, 9103, 9104]);
  });

  it('moves all four with DAYPASS_OPS_PORT_BASE, and one with DAYPASS_OPS_PORT, which wins', () => {
    expect(
      SERVICES.map((service) => loadConfig(service, { ...good, DAYPASS_OPS_PORT_BASE: '19101' }).ops.port),
    ).toEqual([19101, 19102, 19103, 19104]);
    expect(
      loadConfig('forwarding', { ...good, DAYPASS_OPS_PORT_BASE: '19101', DAYPASS_OPS_PORT: '7000' }).ops.port,
    ).toBe(7000);
  });

  it('takes 0 for a port that the system picks, for one service as for all four', () => {
    expect(loadConfig('moderation', { ...good, DAYPASS_OPS_PORT: '0' }).ops.port).toBe(0);
    expect(SERVICES.map((service) => loadConfig(service, { ...good, DAYPASS_OPS_PORT_BASE: '0' }).ops.port)).toEqual([
      0, 0, 0, 0,
    ]);
  });

  it('takes an origin as the public address, and nothing that pages could not lie at', () => {
    expect(loadConfig('ingress', good).publicUrl).toBeUndefined();
    const read = (url: string): string | undefined =>
      loadConfig('accounting', { ...good, DAYPASS_PUBLIC_URL: url }).publicUrl;
    expect(read('https://Try.example.org/')).toBe('https://try.example.org');
    expect(read('http://192.168.1.7:8080')).toBe('http://192.168.1.7:8080');
    for (const url of [
      'try.example.org',
      'ftp://x',
      'https://x/app',
      'https://u:p@x',
      'https://x?a=1',
      'https://x:99999',
    ])
      expect(faultsOf({ ...good, DAYPASS_PUBLIC_URL: url })).toEqual([
        'DAYPASS_PUBLIC_URL: must be an address without a path, such as https://try.example.org',
      ]);
  });

  it('reads an empty variable as one that is not set, as compose files write it', () => {
    expect(
      loadConfig('ingress', { ...good, DAYPASS_PORT: ' ', DAYPASS_CONFIG: '', DATABASE_URL: '' }).visitors.port,
    ).toBe(8080);
    expect(faultsOf({ ...good, REDIS_URL: '' })).toEqual(['REDIS_URL is required']);
  });

  describe('with secrets in files', () => {
    const { DAYPASS_SECRET, DAYPASS_ADMIN_TOKEN, REDIS_URL, DATABASE_URL, OPENAI_API_KEY, ...rest } = good;
    const inFiles = (secrets: Record<string, string>) =>
      Object.fromEntries(Object.entries(secrets).map(([name, value]) => [`${name}_FILE`, file(`${value}\n`, 'txt')]));

    it('takes each from its file', () => {
      const secrets = { DAYPASS_SECRET, DAYPASS_ADMIN_TOKEN, REDIS_URL, DATABASE_URL };
      const config = loadConfig('accounting', { ...rest, ...inFiles(secrets) });
      expect(config).toMatchObject({
        adminToken: DAYPASS_ADMIN_TOKEN,
        redisUrl: REDIS_URL,
        databaseUrl: DATABASE_URL,
      });
      expect(config.secrets.contentKey).toEqual(loadConfig('accounting', good).secrets.contentKey);
      expect(loadConfig('moderation', { ...good, OPENAI_API_KEY: '', ...inFiles({ OPENAI_API_KEY }) }).openai).toEqual(
        loadConfig('moderation', good).openai,
      );
    });

    it('takes the variable before its file, and reads no file then', () => {
      expect(loadConfig('ingress', { ...good, REDIS_URL_FILE: '/nowhere' }).redisUrl).toBe(REDIS_URL);
      const both = { ...good, DAYPASS_ADMIN_TOKEN: '', ...inFiles({ DAYPASS_ADMIN_TOKEN: 'the token of a file' }) };
      expect(loadConfig('accounting', both).adminToken).toBe('the token of a file');
    });

    it('names a file that it cannot use, and checks what is in it', () => {
      const faulty = { ...good, DAYPASS_SECRET: '', REDIS_URL: '', DAYPASS_ADMIN_TOKEN: '' };
      const [empty, large, short] = [file('\n', 'txt'), file('x'.repeat(65_537), 'txt'), file('short', 'txt')];
      expect(faultsOf({ ...faulty, DAYPASS_SECRET_FILE: '/nowhere/secret', REDIS_URL_FILE: empty })).toEqual([
        'DAYPASS_SECRET_FILE (/nowhere/secret): cannot be read (ENOENT)',
        `REDIS_URL_FILE (${empty}): is empty`,
        'REDIS_URL is required',
        'DAYPASS_SECRET is required',
      ]);
      expect(faultsOf({ ...good, DAYPASS_SECRET: '', DAYPASS_SECRET_FILE: large })[0]).toMatch('more than 65536 bytes');
      expect(faultsOf({ ...good, DAYPASS_ADMIN_TOKEN: '', DAYPASS_ADMIN_TOKEN_FILE: short }, 'accounting')).toEqual([
        'DAYPASS_ADMIN_TOKEN: must have at least 16 characters',
      ]);
    });
  });

  it('is rehearsed only while nobody names an account or an address', () => {
    const { OPENAI_API_KEY: _, ...without } = good;
    const rehearsal = { DAYPASS_REHEARSAL_URL: 'http://rehearsal:8090/v1' };
    for (const service of SERVICES)
      expect(loadConfig(service, { ...without, ...rehearsal, OPENAI_API_KEY: '' })).toMatchObject({
        rehearsed: true,
        openai: { baseUrl: 'http://rehearsal:8090/v1', apiKey: 'sk-rehearsal' },
      });
    expect(loadConfig('forwarding', { ...good, ...rehearsal })).toMatchObject({
      rehearsed: false,
      openai: { baseUrl: 'https://api.openai.com/v1', apiKey: 'sk-test' },
    });
    const elsewhere = { ...without, ...rehearsal, OPENAI_BASE_URL: 'http://10.0.0.5:8000/v1' };
    expect(loadConfig('accounting', elsewhere)).toMatchObject({
      rehearsed: false,
      openai: { baseUrl: 'http://10.0.0.5:8000/v1' },
    });
    expect(faultsOf(elsewhere, 'forwarding')).toEqual(['OPENAI_API_KEY is required by the forwarding service']);
    expect(loadConfig('accounting', without).rehearsed).toBe(false);
  });

  it('wants the account of those only who call it', () => {
    const { OPENAI_API_KEY: _key, ...rest } = good;
    expect(SERVICES.flatMap((service) => faultsOf(rest, service))).toEqual([
      'OPENAI_API_KEY is required by the moderation service',
      'OPENAI_API_KEY is required by the forwarding service',
    ]);
  });

  it('takes sign-in and mails whole, and gives their secrets to accounting only', () => {
    const whole = {
      DAYPASS_GITHUB_CLIENT_ID: 'Ov23',
      DAYPASS_GITHUB_CLIENT_SECRET: 'secret',
      DAYPASS_SMTP_URL: 'smtps://user:word@smtp.example.org:465',
      DAYPASS_MAIL_FROM: 'Acme <try@example.org>',
    };
    const { github, mail } = loadConfig('accounting', { ...good, ...whole });
    expect(github).toEqual({ clientId: 'Ov23', clientSecret: 'secret', url: 'https://github.com' });
    expect(mail).toEqual({ from: whole.DAYPASS_MAIL_FROM, smtpUrl: whole.DAYPASS_SMTP_URL });
    const ofIngress = loadConfig('ingress', { ...good, ...whole });
    expect([ofIngress.github?.clientSecret, ofIngress.mail?.smtpUrl]).toEqual(['', '']);
    expect(loadConfig('ingress', good)).toMatchObject({ github: undefined, mail: undefined });
    for (const missing of Object.keys(whole))
      expect(faultsOf({ ...good, ...whole, [missing]: '' }, 'accounting')).toEqual([
        expect.stringMatching(new RegExp(`^${missing} is required with`)),
      ]);
    for (const from of ['Acme', 'a@b\r\nBcc: x@y.example', 'a@b, c@d'])
      expect(faultsOf({ ...good, DAYPASS_MAIL_FROM: from })).toHaveLength(1);
  });

  it('wants the database and the admin token of accounting only', () => {
    const { DATABASE_URL: _url, DAYPASS_ADMIN_TOKEN: _token, ...rest } = good;
    expect(faultsOf(rest, 'ingress')).toEqual([]);
    expect(faultsOf(rest, 'accounting')).toEqual([
      'DATABASE_URL is required by the accounting service',
      'DAYPASS_ADMIN_TOKEN is required by the accounting service',
    ]);
  });

  it('names every fault at once, those of the file too', () => {
    const faults = faultsOf(
      {
        DAYPASS_PORT: '99999',
        DAYPASS_LOG_LEVEL: 'loud',
        DAYPASS_SECRET: 'short',
        DAYPASS_CONFIG: file('lanes: { "bad name": {} }\nprice: {}'),
      },
      'accounting',
    );
    for (const name of [
      'REDIS_URL',
      'DAYPASS_PORT',
      'DAYPASS_LOG_LEVEL',
      'DAYPASS_SECRET',
      'DATABASE_URL',
      'DAYPASS_ADMIN_TOKEN',
      'lanes',
      '"price"',
    ]) {
      expect(faults.filter((fault) => fault.includes(name))).toHaveLength(1);
    }
  });

  it('is refused in one error whose message has a line for each fault', () => {
    const error = new ConfigError(['A is required', 'B is wrong']);
    expect(error.message).toBe('Daypass cannot start, 2 settings are wrong:\n  - A is required\n  - B is wrong');
    expect(new ConfigError(['A is required']).message).toContain('a setting is wrong');
  });

  it('never repeats a value, for any of them may be a secret', () => {
    const secret = 'hunter2-hunter2';
    const environment = Object.fromEntries(
      [
        'OPENAI_BASE_URL',
        'REDIS_URL',
        'DATABASE_URL',
        'DAYPASS_SECRET',
        'DAYPASS_PORT',
        'DAYPASS_OPS_PORT',
        'DAYPASS_LOG_LEVEL',
        'DAYPASS_MAX_BODY_BYTES',
        'DAYPASS_CONCURRENCY',
      ].map((name) => [name, secret]),
    );
    const faults = faultsOf({ ...good, ...environment, DAYPASS_ADMIN_TOKEN: 'hunter2' });
    expect(faults).toHaveLength(10);
    expect(faults.join('\n')).not.toContain('hunter2');
  });

  it.each([
    ['REDIS_URL', 'localhost:6379'],
    ['REDIS_URL', 'http://localhost:6379'],
    ['REDIS_URL', 'redis+sentinel://a:26379,b:26379'],
    ['DAYPASS_ACCOUNT', 'North}'],
    ['DATABASE_URL', 'redis://localhost'],
    ['DATABASE_URL', 'localhost:5432'],
    ['OPENAI_BASE_URL', 'api.openai.com:443'],
    ['OPENAI_BASE_URL', 'ftp://api.openai.com'],
    ['DAYPASS_PORT', '-1'],
    ['DAYPASS_PORT', '80.5'],
    ['DAYPASS_OPS_PORT_BASE', '65533'],
    ['DAYPASS_MAX_CALLS', '0'],
    ['DAYPASS_MAX_WAIT_MS', 'forever'],
    ['DAYPASS_JOURNAL_MAX_ENTRIES', '100000001'],
    ['DAYPASS_MAX_REMOTE_IMAGES', '101'],
    ['DAYPASS_IMAGE_HOSTS_ALLOWED', 'pictures.lan'],
    ['DAYPASS_IMAGE_HOSTS_ALLOWED', 'http://pictures.lan:80'],
    ['DAYPASS_IMAGE_HOSTS_ALLOWED', 'pictures.lan:80,'],
  ])('is refused with %s=%s', (name, value) => {
    const faults = faultsOf({ ...good, [name]: value }, 'accounting');
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(name);
  });

  it.each([
    ['REDIS_URL', 'rediss://user:p%40ss@redis.internal:6380/2'],
    ['REDIS_URL', 'unix:///run/redis/redis.sock'],
    ['REDIS_URL', 'redis+sentinel://:p@a:26379,b:26379/mymaster/0'],
    ['REDIS_URL', 'rediss+cluster://a,b,c'],
    ['DAYPASS_ACCOUNT', 'north'],
    ['DATABASE_URL', 'postgresql://u@db/daypass?sslmode=require'],
    ['OPENAI_BASE_URL', 'http://127.0.0.1:4010/v1'],
    ['DAYPASS_IMAGE_HOSTS_ALLOWED', 'Pictures.lan:8080, [::1]:80'],
  ])('takes %s=%s', (name, value) => {
    expect(faultsOf({ ...good, [name]: value }, 'accounting')).toEqual([]);
  });

  it('refuses a least output cap above the default one: no request without a cap could ever be clamped', () => {
    expect(faultsOf({ ...good, DAYPASS_MIN_OUTPUT_TOKENS: '5000' })).toEqual([
      expect.stringContaining('DAYPASS_MIN_OUTPUT_TOKENS'),
    ]);
  });

  it('derives keys of 32 bytes from the secret: another one for each purpose, the same after each start', () => {
    const { tokenPepper, contentKey, safetyPepper, idempotencyPepper, verdictPepper, cachePepper } = loadConfig(
      'ingress',
      good,
    ).secrets;
    const peppers = [tokenPepper, safetyPepper, idempotencyPepper, verdictPepper, cachePepper].map((pepper) =>
      pepper.export(),
    );
    const all = [contentKey, ...peppers].map((key) => key.toString('hex'));
    expect(new Set(all).size).toBe(6);
    expect(all.every((key) => key.length === 64)).toBe(true);
    expect(loadConfig('forwarding', good).secrets.contentKey.equals(contentKey)).toBe(true);
    expect(
      loadConfig('ingress', { ...good, DAYPASS_SECRET: 't'.repeat(32) }).secrets.contentKey.equals(contentKey),
    ).toBe(false);
  });
});

describe('the configuration file', () => {
  const settings = {
    lanes: { mini: { rpm: 500, tpm: 200_000, models: ['gpt-5.4-mini'] }, moderation: { rpm: 500, tpm: 10_000 } },
    prices: {
      'gpt-x': {
        input_usd_per_million: 0.075,
        cached_input_usd_per_million: '0.0075',
        output_usd_per_million: 1,
        max_output_tokens: 16_384,
      },
    },
    operator: { budget_usd_per_day: '25.50' },
  };
  const asYaml = `
lanes:
  mini: { rpm: 500, tpm: 200000, models: [gpt-5.4-mini] }
  moderation: { rpm: 500, tpm: 10000 }
prices:
  gpt-x:
    input_usd_per_million: 0.075
    cached_input_usd_per_million: "0.0075"
    output_usd_per_million: 1
    max_output_tokens: 16384
operator: { budget_usd_per_day: 25.50 }
`;

  it.each([
    ['JSON', () => file(JSON.stringify(settings), 'json')],
    ['YAML', () => file(asYaml)],
  ])('is read as %s: prices to whole nano-dollars per token, the budget to nano-dollars', (_, path) => {
    expect(loadConfig('ingress', { ...good, DAYPASS_CONFIG: path() }).file).toEqual({
      lanes: {
        mini: { rpm: 500, tpm: 200_000, models: ['gpt-5.4-mini'], burst_seconds: 10, counts: 'asked', fixed: false },
        moderation: { rpm: 500, tpm: 10_000, models: [], burst_seconds: 10, counts: 'asked', fixed: false },
      },
      // One dollar per million tokens is a thousand nano-dollars per token; what does not divide is rounded up.
      prices: {
        'gpt-x': {
          input_usd_per_million: 75,
          cached_input_usd_per_million: 8,
          output_usd_per_million: 1_000,
          max_output_tokens: 16_384,
        },
      },
      operator: { budget_usd_per_day: 25_500_000_000n },
      guards: [],
      main: { drops: [] },
      upstreams: [],
    });
  });

  it('may be empty', () => {
    expect(loadConfig('ingress', { ...good, DAYPASS_CONFIG: file('') }).file.lanes).toEqual({});
  });

  it('that is not there stops the start and names the path', () => {
    expect(faultsOf({ ...good, DAYPASS_CONFIG: '/nowhere/daypass.yaml' })).toEqual([
      expect.stringContaining('/nowhere/daypass.yaml'),
    ]);
  });

  it('that cannot be parsed is one line that says where, without a word of what it holds', () => {
    const faults = fileFaults('upstreams:\n  - key: sk-hunter2\n   bad: [');
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(/line \d+/);
    expect(faults[0]).not.toContain('\n');
    expect(faults[0]).not.toContain('hunter2');
  });

  it.each([
    ['an unknown field', { lane: {} }, '"lane"'],
    ['an unknown field of a lane', { lanes: { mini: { rps: 5 } } }, '"rps"'],
    [
      'an unknown field of a price',
      { prices: { m: { input_usd_per_million: 1, output_usd_per_million: 1, image_usd: 1 } } },
      '"image_usd"',
    ],
    ['a limit of 0, which could mean all or nothing', { lanes: { mini: { rpm: 0 } } }, 'lanes.mini.rpm'],
    ['a limit in fractions', { lanes: { mini: { tpm: 0.5 } } }, 'lanes.mini.tpm'],
    ['a lane whose name is no name of a model', { lanes: { 'a b': {} } }, 'a b'],
    [
      'a negative price',
      { prices: { m: { input_usd_per_million: -1, output_usd_per_million: 1 } } },
      'prices.m.input_usd_per_million',
    ],
    ['a price without input', { prices: { m: { output_usd_per_million: 1 } } }, 'prices.m.input_usd_per_million'],
    [
      'a price too fine to write without an exponent',
      { prices: { m: { input_usd_per_million: 1e-7, output_usd_per_million: 1 } } },
      'decimal string',
    ],
    [
      'a price that is no number',
      { prices: { m: { input_usd_per_million: 'free', output_usd_per_million: 1 } } },
      'prices.m.input_usd_per_million',
    ],
    ['a negative budget', { operator: { budget_usd_per_day: '-1' } }, 'operator.budget_usd_per_day'],
    ['a budget beyond exact numbers', { operator: { budget_usd_per_day: '9000001' } }, 'too large'],
    [
      'a version of Azure for another kind of upstream',
      { upstreams: [{ name: 'spare', base_url: 'https://x/openai', api_version: '2024-10-21' }] },
      'upstreams.0.api_version',
    ],
    [
      'a version of Azure for its v1 address',
      { upstreams: [{ name: 'spare', base_url: 'https://x.openai.azure.com/openai/v1/', api_version: '2024-10-21' }] },
      'upstreams.0.base_url',
    ],
    ['an upstream at no address', { upstreams: [{ name: 'spare', base_url: 'desk' }] }, 'upstreams.0.base_url'],
    ['parameters without which nothing goes', { main: { drops: ['store', 'messages'] } }, 'main.drops.1'],
    [
      'the bound of the cost among what an upstream does not know',
      { upstreams: [{ name: 'spare', base_url: 'https://x', drops: ['max_tokens'] }] },
      'upstreams.0.drops.0',
    ],
    ['what is no name of a parameter', { main: { drops: ['$.store'] } }, 'main.drops.0'],
    [
      'an upstream with the name of the first',
      { upstreams: [{ name: 'openai', base_url: 'https://x' }] },
      'upstreams.0.name',
    ],
    [
      'two upstreams of one name',
      {
        upstreams: [
          { name: 'spare', base_url: 'https://x' },
          { name: 'spare', base_url: 'https://x' },
        ],
      },
      'upstreams.1.name',
    ],
    [
      'an upstream in a lane that is not there',
      { upstreams: [{ name: 'spare', base_url: 'https://x', lanes: { mini: {} } }] },
      'upstreams.0.lanes.mini',
    ],
    [
      'a second account for moderation',
      { lanes: { moderation: {} }, upstreams: [{ name: 'spare', base_url: 'https://x', lanes: { moderation: {} } }] },
      'lanes.moderation',
    ],
    ['a lane that nobody serves', { lanes: { own: { elsewhere_only: true } } }, 'lanes.own.elsewhere_only'],
    ['a preset of a tier that does not exist', { lanes: { mini: { preset: 'mini-9' } } }, 'lanes.mini.preset'],
    ['a list at its top', [1], 'top level'],
    ['a guard of a kind that does not exist', { guards: [{ name: 'g', type: 'magic' }] }, 'guards.0.type'],
    [
      'a guard with the name of another',
      {
        guards: [
          { name: 'g', type: 'blocklist', words: ['a'] },
          { name: 'g', type: 'blocklist', words: ['a'] },
        ],
      },
      'guards.1.name',
    ],
    [
      'a guard with the name of one that is there anyway',
      { guards: [{ name: 'moderation', type: 'blocklist', words: ['a'] }] },
      'guards.0.name',
    ],
    ['a blocklist of nothing', { guards: [{ name: 'g', type: 'blocklist', words: [] }] }, 'guards.0.words'],
    [
      'a blocklist of punctuation, which would block all',
      { guards: [{ name: 'g', type: 'blocklist', words: [' '] }] },
      'guards.0.words.0',
    ],
    ['a pattern that is none', { guards: [{ name: 'g', type: 'regex', patterns: ['(?=x)'] }] }, 'guards.0.patterns.0'],
    [
      'a guard for no direction',
      { guards: [{ name: 'g', type: 'regex', patterns: ['x'], directions: [] }] },
      'guards.0.directions',
    ],
    [
      'personal data of a kind that does not exist',
      { guards: [{ name: 'g', type: 'personal_data', kinds: ['soul'] }] },
      'guards.0.kinds.0',
    ],
    [
      'a guard at no address',
      { guards: [{ name: 'g', type: 'webhook', url: 'desk', secret: 's'.repeat(16) }] },
      'guards.0.url',
    ],
    [
      'a guard with a guessable secret',
      { guards: [{ name: 'g', type: 'webhook', url: 'https://x', secret: 'short' }] },
      'guards.0.secret',
    ],
    [
      'a guard that may take for ever',
      { guards: [{ name: 'g', type: 'module', path: '.', timeout_ms: 60_000 }] },
      'guards.0.timeout_ms',
    ],
    ['a module that is not there', { guards: [{ name: 'g', type: 'module', path: './nowhere.mjs' }] }, 'nowhere.mjs'],
    ['one model in two lanes', { lanes: { a: { models: ['m'] }, b: { models: ['m'] } } }, 'lanes.b'],
    ["a model that is another lane's name", { lanes: { a: {}, b: { models: ['a'] } } }, 'lanes.b'],
  ])('is refused with %s', (_, content, named) => {
    const faults = fileFaults(content);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(named);
  });

  it('names modules relative to itself', () => {
    writeFileSync(join(folder, 'guard.mjs'), '');
    const { guards } = loadConfig('moderation', {
      ...good,
      DAYPASS_CONFIG: file('guards: [{ name: own, type: module, path: ./guard.mjs }]'),
    }).file;
    expect(guards).toEqual([
      {
        name: 'own',
        type: 'module',
        path: join(folder, 'guard.mjs'),
        options: {},
        timeout_ms: 2_000,
        always: true,
        directions: ['input', 'output'],
      },
    ]);
  });

  it('wants a key for each further upstream, of the forwarding service only', () => {
    const path = file(
      'upstreams: [{ name: spare, base_url: https://x/v1 }, { name: local, base_url: http://y/v1, keyless: true }]',
    );
    const named = { ...good, DAYPASS_CONFIG: path };
    expect(faultsOf(named, 'ingress')).toEqual([]);
    expect(faultsOf(named, 'forwarding')).toEqual([
      expect.stringContaining('DAYPASS_UPSTREAM_KEYS has no key of the upstream spare'),
    ]);
    expect(faultsOf({ ...named, DAYPASS_UPSTREAM_KEYS: 'spare' }, 'forwarding')).toEqual([
      expect.stringContaining('name=key'),
    ]);
    const keys = { ...named, DAYPASS_UPSTREAM_KEYS: 'spare=sk-a=b, other=sk-c' };
    expect(loadConfig('forwarding', keys).upstreamKeys).toEqual({ spare: 'sk-a=b', other: 'sk-c' });
    expect(loadConfig('ingress', keys).upstreamKeys).toEqual({});
  });

  it('may name a lane among its own models', () => {
    expect(fileFaults({ lanes: { 'gpt-5.4': { models: ['gpt-5.4', 'gpt-5.4-mini'] } } })).toEqual([]);
  });

  it('names every fault that it has', () => {
    expect(
      fileFaults({ lanes: { mini: { rpm: 0, tpm: -1 } }, operator: { budget_usd_per_day: 'much' }, upstream: [] }),
    ).toHaveLength(4);
  });
});

describe('the bounds that people see', () => {
  it('say what holds and whether somebody set it, and have no secret', () => {
    const { bounds } = loadConfig('accounting', {
      ...good,
      DAYPASS_MAX_CALLS: '7',
      DAYPASS_IMAGE_HOSTS_ALLOWED: 'a.lan:80',
    });
    expect(bounds).toContainEqual(
      expect.objectContaining({ name: 'DAYPASS_MAX_CALLS', value: 7, unit: 'calls', isDefault: false }),
    );
    expect(bounds).toContainEqual(
      expect.objectContaining({ name: 'DAYPASS_IMAGE_HOSTS_ALLOWED', value: 'a.lan:80', isDefault: false }),
    );
    expect(bounds.filter(({ isDefault }) => !isDefault)).toHaveLength(2);
    expect(bounds.length).toBeGreaterThan(30);
    for (const { name } of bounds) expect(name).not.toMatch(/SECRET|PASSWORD|TOKEN(?!S)|(?<!_PER)_KEYS?$|_URL$|_ID$/);
    for (const secret of [good.OPENAI_API_KEY, good.DAYPASS_SECRET, good.DAYPASS_ADMIN_TOKEN])
      expect(JSON.stringify(bounds)).not.toContain(secret);
  });
});

describe('the kind of an upstream', () => {
  it.each([
    ['https://api.openai.com/v1', undefined, 'openai'],
    ['https://eu.api.openai.com/v1', undefined, 'openai'],
    ['https://ours.openai.azure.com/openai/v1/', undefined, 'azure'],
    ['https://ours.services.ai.azure.com/openai/v1/', undefined, 'azure'],
    ['https://openai.azure.com.example.org/v1', undefined, 'compatible'],
    ['https://gateway.example.org/openai', 'azure', 'azure'],
    ['https://ours.openai.azure.com/openai/v1/', 'compatible', 'compatible'],
  ] as const)('of %s, said to be %s, is %s', (base_url, kind, found) => {
    expect(kindOf({ base_url, kind })).toBe(found);
  });
});
