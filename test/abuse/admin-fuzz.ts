// Asks the admin API of a whole Daypass what its own OpenAPI document allows, and what it forbids. No answer may be a 5xx,
// no forbidden request accepted, no allowed one refused for its form. Every run asks the same.
// `node test/abuse/admin-fuzz.ts [most requests for each operation in the second phase]`
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDaypass, type Daypass } from '#libs/testing/daypass.js';

const MOST_EXAMPLES = process.argv[2] ?? '10';
const FUZZ_MAX_MS = 10 * 60_000;
const INSTALL_MAX_MS = 5 * 60_000;
/** The document has about 26 operations, and each gets dozens of requests. */
const FEWEST_REQUESTS = 2_000;
const CHECKS = [
  'not_a_server_error',
  'negative_data_rejection',
  'positive_data_acceptance',
  'status_code_conformance',
  'content_type_conformance',
  'response_schema_conformance',
  'missing_required_header',
];
const here = import.meta.dirname;
const root = join(here, '../..');
const venv = join(root, '.venv-fuzz');
const requirements = join(here, 'admin-fuzz-requirements.txt');
const total = { passed: 0, failed: 0 };

interface Parameter {
  name: string;
  in: string;
  schema: object;
}
interface Operation {
  parameters: Parameter[];
  requestBody?: object;
}
interface OpenApi {
  paths: Record<string, Record<string, Operation>>;
}

const obstacle = install();
if (obstacle === null) await fuzz();
else process.stdout.write(`The admin API was not fuzzed: ${obstacle}\n`);
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
if (process.env.DAYPASS_CHECK_REPORT) writeFileSync(process.env.DAYPASS_CHECK_REPORT, JSON.stringify(total));
process.exitCode = total.failed === 0 ? 0 : 1;

/** Puts schemathesis into a virtualenv of its own. Returns what stands in the way. */
function install(): string | null {
  const done = join(venv, 'requirements.txt');
  if (spawnSync('python3', ['--version']).status !== 0) return 'there is no python3';
  if (existsSync(done) && readFileSync(done, 'utf8') === readFileSync(requirements, 'utf8')) return null;
  const pip = [join(venv, 'bin', 'pip'), 'install', '--quiet', '--disable-pip-version-check', '-r', requirements];
  for (const [command, ...args] of [['python3', '-m', 'venv', '--clear', venv], pip]) {
    const { status, stderr } = spawnSync(command!, args, { encoding: 'utf8', timeout: INSTALL_MAX_MS });
    if (status !== 0) return `${command} ${args.join(' ')}: ${stderr.trim().slice(-500)}`;
  }
  copyFileSync(requirements, done);
  return null;
}

async function fuzz(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-fuzz-'));
  const daypass = await startDaypass();
  try {
    const document = (await daypass.admin('/admin/docs-json')).body as OpenApi;
    narrow(document, await things(daypass));
    await run(daypass, document, folder);
    for (const books of ['ledger', 'audit'])
      await check(`${books}/verify has nothing to say`, async () => {
        const { status, body } = await daypass.admin(`/admin/v1/${books}/verify`);
        assert.deepEqual([status, body.ok], [200, true], JSON.stringify(body).slice(0, 2_000));
      });
    await check('accounting has logged no unexpected error', () => {
      assert.ok(!daypass.logs('accounting').includes('unexpected error'));
    });
  } finally {
    await daypass.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Campaigns, keys and a call that requests may name. */
async function things(daypass: Daypass): Promise<{ slugs: string[]; keys: string[]; requests: string[] }> {
  const slugs = ['fuzz-a', 'fuzz-b'];
  const keys: string[] = [];
  const requests: string[] = [];
  for (const slug of slugs) {
    const campaign = {
      slug,
      name: slug,
      budget_usd: '1000',
      models: ['gpt-5.4-mini'],
      key_defaults: { ttl_seconds: 3_600 },
    };
    await daypass.admin('/admin/v1/campaigns', { body: campaign });
    const { body } = await daypass.admin('/admin/v1/keys/batch', {
      body: { campaign: slug, count: 100, budget_usd: '1' },
    });
    keys.push(...(body.data as { id: string }[]).map(({ id }) => id));
    const answer = await fetch(`${daypass.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${body.data[0].key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'gpt-5.4-mini', messages: [{ role: 'user', content: 'Hello' }] }),
    });
    assert.equal(answer.status, 200);
    requests.push(answer.headers.get('x-request-id')!);
  }
  return { slugs, keys, requests };
}

/**
 * Tells what the document cannot: which campaigns, keys and calls there are, and that only a list's own cursor is one.
 * Without it every request would end at a 404.
 */
function narrow({ paths }: OpenApi, { slugs, keys, requests }: Awaited<ReturnType<typeof things>>): void {
  for (const [path, methods] of Object.entries(paths)) {
    for (const operation of Object.values(methods)) {
      operation.parameters = operation.parameters.filter(({ name }) => name !== 'cursor');
      for (const parameter of operation.parameters) {
        if (parameter.in !== 'path') continue;
        // Requests make campaigns of other names, so that another slug is no mistake.
        if (parameter.name === 'slug')
          parameter.schema = { anyOf: [{ type: 'string', enum: slugs }, { type: 'string' }] };
        else parameter.schema = { type: 'string', enum: path.includes('/requests/') ? requests : keys };
      }
      if (operation.requestBody) replaceIn(operation.requestBody, { slugs, keys });
    }
  }
}

function replaceIn(node: object, known: { slugs: string[]; keys: string[] }): void {
  for (const [name, value] of Object.entries(node) as [string, Record<string, unknown> | null][]) {
    if (typeof value !== 'object' || value === null) continue;
    if (name === 'campaign' && value.type === 'string') value.enum = known.slugs;
    if (name === 'origins' && value.items) value.items = { type: 'string', enum: ['https://example.org'] };
    if (name === 'ids' && value.items) value.items = { anyOf: [{ type: 'string', enum: known.keys }, value.items] };
    // Others have no price, or are not of the campaign.
    if (name === 'models' && value.items) value.items = { type: 'string', enum: ['gpt-5.4-mini'] };
    replaceIn(value, known);
  }
}

async function run(daypass: Daypass, document: OpenApi, folder: string): Promise<void> {
  const [file, report] = [join(folder, 'openapi.json'), join(folder, 'report.xml')];
  writeFileSync(file, JSON.stringify(document));
  const options = {
    url: daypass.adminUrl,
    header: `Authorization: Bearer ${daypass.adminToken}`,
    phases: 'examples,coverage,fuzzing',
    'max-examples': MOST_EXAMPLES,
    checks: CHECKS.join(','),
    report: 'junit',
    'report-junit-path': report,
  };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  const child = spawn(
    join(venv, 'bin', 'st'),
    ['run', file, ...args, '--generation-deterministic', '--continue-on-failure', '--no-color'],
    {
      cwd: folder,
      env: { ...process.env, PYTHONPATH: here, SCHEMATHESIS_HOOKS: 'admin_fuzz_hooks', PYTHONDONTWRITEBYTECODE: '1' },
      timeout: FUZZ_MAX_MS,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [status] = (await once(child, 'close')) as [number | null];
  const operations = Object.values(document.paths).flatMap((methods) => Object.keys(methods)).length;
  const suite = existsSync(report) ? readFileSync(report, 'utf8') : '';
  const count = (name: string): number =>
    Number(new RegExp(`<testsuite [^>]*\\b${name}="(\\d+)"`).exec(suite)?.[1] ?? 0);
  const faulty = count('failures') + count('errors');
  total.passed += Math.max(0, count('tests') - faulty);
  total.failed += faulty;
  await check('every operation was asked, and every one answered as its document says', () => {
    const asked = Number(/(\d+) generated/.exec(output)?.[1] ?? 0);
    const phases = output.match(/(Examples|Coverage|Fuzzing) \(in [\d.]+s\)/g) ?? [];
    process.stdout.write(`${asked} requests to ${count('tests')} operations of the admin API: ${phases.join(', ')}\n`);
    assert.equal(status, 0, output);
    assert.equal(count('tests'), operations);
    assert.ok(asked >= FEWEST_REQUESTS, `only ${asked} requests`);
  });
}

async function check(name: string, verify: () => void | Promise<void>): Promise<void> {
  try {
    await verify();
    total.passed++;
    process.stdout.write(`ok      ${name}\n`);
  } catch (error) {
    total.failed++;
    process.stdout.write(`FAILED  ${name}\n${error instanceof Error ? error.message : String(error)}\n`);
  }
}
