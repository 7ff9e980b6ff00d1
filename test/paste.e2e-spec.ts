import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import OpenAI from 'openai';
import { parse as parseYaml } from 'yaml';
import { configFileSchema } from '#libs/config/config-file.js';
import { environmentSchema } from '#libs/config/environment.js';
import { ERRORS } from '#libs/contracts/errors.js';
import { readVerdict } from '#libs/moderation/guards/guard.js';
import { ensureDemo } from '#libs/launch/demo.js';
import { shareDaypass, type SharedDaypass } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { blocksIn, blocksOf, brokenLinks, commandsOf, PAGES, type Block } from './pages.js';

/** Commands that are not pasted here, and where they, or what they apply (kubectl), are tried instead. A page has to show each of them. */
const ELSEWHERE: [command: RegExp, where: string][] = [
  [/^(git clone .* daypass|cd daypass)$/, '.ci/run'],
  [/^((\w+=\S+ )*npm start|(read -rs|export) OPENAI_API_KEY)$/, 'test/start/start.e2e-spec.ts'],
  [/^(\w+=\S+ )*npm (test|run check)\b/, '.ci/run'],
  [/^(\w+=\S+ )*npm run test:\w+/, 'scripts/check.mjs'],
  [/^(\w+=\S+ )*npm run bench\b/, 'scripts/check.mjs'],
  [/^npm run dashboards\b/, 'observability/dashboards.spec.ts'],
  [/^npx nest start /, 'libs/launch/services.ts'],
  [/^cp \.env\.example \.env/, 'test/compose/run.mjs'],
  [/^(docker compose |docker\/|git pull$)/, 'test/compose/run.mjs'],
  [/^kubectl /, 'k8s/k8s.int-spec.ts'],
];
/** Languages of blocks that are not tried here, and where they are. */
const LANGUAGES_ELSEWHERE: Record<string, string> = {
  sql: 'apps/accounting/record/questions.int-spec.ts',
  // A proxy of the operator's own, which no test starts.
  nginx: 'docs/production.md',
  // The settings of a client.
  toml: 'test/clients/clients.ts',
  // A page of somebody's own.
  html: 'test/browser.e2e-spec.ts',
  // Pictures.
  text: 'ARCHITECTURE.md',
};
const WORKSHOP = 'docs/workshop.md';
const SHOWN = blocksIn('sh').flatMap(({ text }) => commandsOf(text));
/** `npm test` brings it with OpenAI's client. */
const PYTHON = existsSync('.venv/bin/python') ? resolve('.venv/bin/python') : 'python3';
const run = promisify(execFile);
/** Where in the table the parts of a command are; none where it is pasted here. */
function elsewhere(command: string): number[] {
  const places = command.split(' && ').map((part) => ELSEWHERE.findIndex(([pattern]) => pattern.test(part)));
  return places.includes(-1) ? [] : places;
}

/** Services and variables of an override for compose that the compose file and Daypass do not know. */
function strangersIn(override: object): string[] {
  const { services } = override as { services: Record<string, { environment?: object }> };
  const compose = parseYaml(readFileSync('docker-compose.yml', 'utf8')) as { services: object };
  const variables = Object.values(services).flatMap(({ environment }) => Object.keys(environment ?? {}));
  return [
    ...Object.keys(services).filter((name) => !(name in compose.services)),
    ...variables.filter((name) => !(name in environmentSchema.shape)),
  ];
}

describe('README and docs, pasted', () => {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-paste-'));
  let daypass: SharedDaypass;
  let demoKey: string;
  /** What is written for `npm start` on its ports, for this Daypass. */
  const here = (text: string): string =>
    text
      .replaceAll(/http:\/\/(localhost|127\.0\.0\.1):8080/g, new URL(daypass.baseUrl).origin)
      .replaceAll(/http:\/\/(localhost|127\.0\.0\.1):8081/g, daypass.adminUrl)
      .replaceAll('dp_…', demoKey);

  beforeAll(async () => {
    daypass = await shareDaypass();
    // The files that `npm start` and compose have beside a reader's shell.
    mkdirSync(join(folder, '.daypass'));
    demoKey = (await ensureDemo(daypass.adminUrl, daypass.adminToken, join(folder, '.daypass'))).key;
    writeFileSync(join(folder, '.daypass/admin-token'), daypass.adminToken);
    writeFileSync(
      join(folder, '.env'),
      readFileSync('.env.example', 'utf8').replace('DAYPASS_ADMIN_TOKEN=', `DAYPASS_ADMIN_TOKEN=${daypass.adminToken}`),
    );
    symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
    const { daypass: command } = (JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: { daypass: string } })
      .scripts;
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ scripts: { daypass: command } }));
    symlinkSync(resolve('dist'), join(folder, 'dist'));
  });
  afterAll(async () => {
    await daypass?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Pastes a block, command by command, into the shell that `state` describes. */
  async function paste({ place, text }: Block, shell: { state: string }): Promise<void> {
    let output = '';
    for (const command of commandsOf(text).filter((one) => elsewhere(one).length === 0)) {
      // `-e` lets the first half of `a && b` fail.
      const keepState = `{ declare -f; declare -p | grep -vE '^declare -\\S*r'; } > state 2>&1`;
      writeFileSync(
        join(folder, 'pasted.sh'),
        `${shell.state}\nset -euo pipefail\n${here(command)}\n[ $? = 0 ]\n${keepState}\n`,
      );
      const env = { ...process.env, DAYPASS_ADMIN_URL: daypass.adminUrl };
      const { stdout } = await run('bash', ['pasted.sh'], { cwd: folder, env }).catch(
        (error: Error & { stdout: string; stderr: string }) => {
          throw new Error(`${place}: ${command}\n${error.stdout}${error.stderr}`);
        },
      );
      shell.state = readFileSync(join(folder, 'state'), 'utf8');
      output += stdout;
    }
    // An answer is an error only where the block says so.
    const refused = [...output.matchAll(/"error":\{.*?"code":"(\w+)"/g)].map(([, code]) => code);
    expect({ place, refused }).toEqual({
      place,
      refused: [...text.matchAll(/^# refused: (\w+)/gm)].map(([, code]) => code),
    });
  }

  /** Fifty visitors of docs/workshop.md with its cards, all at once: each opens the page, claims and makes a call. */
  async function visit(): Promise<void> {
    const cards = readFileSync(join(folder, 'codes.csv'), 'utf8').trim().split('\n').slice(1, 51);
    const { origin } = new URL(daypass.baseUrl);
    const startedAt = performance.now();
    const took = await Promise.all(
      cards.map(async (card, seat) => {
        const url = new URL(card.split(',')[3]!);
        const claims = `${origin}/claim/v1/links/${url.pathname.split('/').at(-1)}`;
        expect((await fetch(`${origin}${url.pathname}`)).status).toBe(200);
        const answer = await fetch(`${claims}/claims`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'idempotency-key': `seat ${seat} ${url.hash}` },
          body: JSON.stringify({ code: url.hash.replace('#code=', '') }),
        });
        const { data } = (await answer.json()) as { data: { key: string } };
        expect(answer.status).toBe(201);
        const keyMs = performance.now() - startedAt;
        const openai = new OpenAI({ apiKey: data.key, baseURL: daypass.baseUrl });
        const messages = [{ role: 'user' as const, content: `Say hello to seat ${seat}.` }];
        const { choices } = await openai.chat.completions.create({ model: 'gpt-5.4-mini', messages });
        expect(choices[0]!.message.content).not.toBe('');
        return { key: data.key, keyMs };
      }),
    );
    const seconds = (ms: number): string => (ms / 1_000).toFixed(1);
    const lastKey = seconds(Math.max(...took.map(({ keyMs }) => keyMs)));
    process.stderr.write(
      `docs/workshop.md: 50 visitors at once; the last has a key after ${lastKey} s, an answer after ${seconds(performance.now() - startedAt)} s\n`,
    );
    expect(new Set(took.map(({ key }) => key)).size).toBe(50);
  }

  /** What is left of the workshop after its end: fifty keys, each revoked, each with one call that is paid. */
  async function endOfWorkshop(): Promise<void> {
    const { body: links } = await daypass.admin('/admin/v1/campaigns/workshop/links');
    expect(links.data).toMatchObject([{ claimed: 50, max_claims: 60 }]);
    await until('each call is paid', async () => {
      const { data } = (await daypass.admin('/admin/v1/keys?campaign=workshop&status=revoked&limit=200')).body;
      return data.length === 50 && data.every(({ spent_usd }: { spent_usd: string }) => Number(spent_usd) > 0);
    });
  }

  it.each(PAGES.filter((page) => blocksOf(page).some(({ language }) => language === 'sh')))(
    'works in a shell: %s',
    async (page) => {
      const shell = { state: '' };
      for (const block of blocksOf(page).filter(({ language }) => language === 'sh')) {
        await paste(block, shell);
        if (page === WORKSHOP && block.text.includes('> codes.csv')) await visit();
        if (page === WORKSHOP && block.text.includes('daypass campaigns close')) await endOfWorkshop();
      }
    },
    240_000,
  );

  it('has no command and no language that is tried nowhere, and the tables above nothing that no page shows', () => {
    const unseen = ELSEWHERE.filter((_, index) => !SHOWN.flatMap(elsewhere).includes(index));
    expect(unseen.map(([pattern]) => String(pattern))).toEqual([]);
    const known = ['sh', 'js', 'ts', 'python', 'yaml', 'json', ...Object.keys(LANGUAGES_ELSEWHERE)];
    expect(PAGES.flatMap(blocksOf).filter(({ language }) => !known.includes(language))).toEqual([]);
    expect(Object.keys(LANGUAGES_ELSEWHERE).filter((language) => blocksIn(language).length === 0)).toEqual([]);
  });

  it('names scripts and files that are there', () => {
    const text = SHOWN.filter((command) => elsewhere(command).length > 0).join('\n');
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: object };
    expect([...text.matchAll(/npm run ([\w:]+)/g)].filter(([, name]) => !(name! in scripts))).toEqual([]);
    const named = [...text.matchAll(/(?<![\w./-])(docker|k8s|bench|observability)\/[\w./-]*[\w]|\.env\.example/g)].map(
      ([file]) => file,
    );
    const places = [...ELSEWHERE.map(([, where]) => where), ...Object.values(LANGUAGES_ELSEWHERE)];
    expect([...named, ...places].filter((file) => !existsSync(file))).toEqual([]);
    expect([...PAGES, 'ARCHITECTURE.md', 'CHANGELOG.md'].flatMap(brokenLinks)).toEqual([]);
  });

  it.each(blocksIn('js', 'ts'))('runs in Node: $place', async ({ place, text }) => {
    writeFileSync(join(folder, 'pasted.mjs'), here(text));
    const missing = [...text.matchAll(/from '([^']+)'/g)].filter(
      ([, name]) => !existsSync(join('node_modules', name!)),
    );
    if (missing.length > 0) {
      process.stderr.write(
        `${place}: read, not run, because ${missing.map(([, name]) => name).join(' and ')} is not installed\n`,
      );
      await run('node', ['--check', 'pasted.mjs'], { cwd: folder });
      expect(text).toMatch(/apiKey: 'dp_…'[\s\S]*baseURL: 'http:\/\/localhost:8080\/v1'/);
    } else expect((await run('node', ['pasted.mjs'], { cwd: folder })).stdout.trim()).not.toBe('');
  });

  it.each(blocksIn('python'))('runs in Python: $place', async ({ place, text }) => {
    writeFileSync(join(folder, 'pasted.py'), here(text));
    const client = spawnSync(PYTHON, ['-c', 'import openai']);
    if (client.status !== 0) {
      process.stderr.write(`${place}: not run, because ${PYTHON} with the package openai is not there\n`);
      if (client.error === undefined) await run(PYTHON, ['-m', 'py_compile', 'pasted.py'], { cwd: folder });
      expect(text).toMatch(
        /OpenAI\(api_key="dp_…", base_url="http:\/\/localhost:8080\/v1"\)[\s\S]*chat\.completions\.create\(\s*model="gpt-5\.4-mini"/,
      );
    } else expect((await run(PYTHON, ['pasted.py'], { cwd: folder })).stdout.trim()).not.toBe('');
  });

  it.each(blocksIn('yaml', 'json'))('is what Daypass reads: $place', ({ text }) => {
    const value = parseYaml(text) as object;
    if ('services' in value) expect(strangersIn(value)).toEqual([]);
    else if ('flagged' in value) expect(readVerdict(value, 'own')).toMatchObject(value);
    else expect(configFileSchema.safeParse(value).error?.issues).toBeUndefined();
  });

  it('has a first page that is read in five minutes', () => {
    expect(statSync('README.md').size).toBeLessThanOrEqual(9_216);
  });

  it('tells visitors of every error that they can get', () => {
    expect(
      Object.keys(ERRORS).filter((code) => !readFileSync('docs/errors.md', 'utf8').includes(`\`${code}\``)),
    ).toEqual([]);
  });
});
