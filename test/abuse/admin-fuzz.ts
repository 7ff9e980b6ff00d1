// Asks the admin API of a whole Daypass what its own OpenAPI document allows, and what it forbids. No answer may be a 5xx,
// no forbidden request accepted, no allowed one refused for its form. Every run asks the same.
// `node test/abuse/admin-fuzz.ts [most requests for each operation in the second phase]`
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installVenv } from '../../scripts/venv.mjs';
import { startDaypass, type Daypass } from '#libs/testing/daypass.js';

const MOST_EXAMPLES = process.argv[2] ?? '10';
const FUZZ_MAX_MS = 10 * 60_000;
const INSTALL_MAX_MS = 5 * 60_000;
/** The 62 operations got 10,905 of them. */
const FEWEST_REQUESTS = 8_000;
/** Requests change the other campaigns, down to what gives out no link. */
const LINKED = 'fuzz-linked';
const LINKS = 10;
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

const obstacle = await install();
if (obstacle === null) await fuzz();
else process.stdout.write(`The admin API was not fuzzed: ${obstacle}\n`);
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
if (process.env.DAYPASS_CHECK_REPORT) writeFileSync(process.env.DAYPASS_CHECK_REPORT, JSON.stringify(total));
process.exitCode = total.failed === 0 ? 0 : 1;

/** Puts schemathesis into a virtualenv of its own. Returns what stands in the way. */
async function install(): Promise<string | null> {
  if (spawnSync('python3', ['--version']).status !== 0) return 'there is no python3';
  try {
    await installVenv({ venv, requirements }, async ([command, ...args], env) => {
      const { status, stderr } = spawnSync(command, args, { env, encoding: 'utf8', timeout: INSTALL_MAX_MS });
      if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr.trim().slice(-500)}`);
    });
    return null;
  } catch (error) {
    return (error as Error).message;
  }
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

interface Things {
  slugs: string[];
  keys: string[];
  requests: string[];
  links: string[];
  codes: string[];
}

/** What requests may name: campaigns, keys, calls, links and their codes. */
async function things(daypass: Daypass): Promise<Things> {
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
  return { slugs, keys, requests, ...(await linked(daypass)) };
}

async function linked(daypass: Daypass): Promise<{ links: string[]; codes: string[] }> {
  const make = async <T = unknown>(path: string, body: object): Promise<T> => {
    const answer = await daypass.admin(`/admin/v1/${path}`, { body });
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    return answer.body as T;
  };
  await make('campaigns', { slug: LINKED, name: LINKED, budget_usd: '1000', models: ['gpt-5.4-mini'] });
  const links: string[] = [];
  const codes: string[] = [];
  for (let count = 0; count < LINKS; count++) {
    const link = { name: `link ${count}`, gates: [count % 2 ? 'pow' : 'code'], key: { budget_usd: '0.01' } };
    const { id } = await make<{ id: string }>(`campaigns/${LINKED}/links`, link);
    links.push(id);
    if (count % 2) continue;
    const { data } = await make<{ data: { id: string }[] }>(`links/${id}/codes`, { count: 10 });
    codes.push(...data.map((code) => code.id));
  }
  return { links, codes };
}

/**
 * Tells what the document cannot: which campaigns, keys, calls and links there are, that only a list's own cursor is one,
 * and which times go together. Without it every request would end at a 404.
 */
function narrow({ paths }: OpenApi, known: Things): void {
  // Other events may never come, and then only a timeout ends the stream.
  const topics = oneOf('beat');
  const times = { since: oneOf(hoursFromNow(-0.2)), until: oneOf(hoursFromNow(0), hoursFromNow(24)) };
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      operation.parameters = operation.parameters.filter(({ name }) => name !== 'cursor');
      for (const parameter of operation.parameters) {
        if (parameter.name === 'topics') parameter.schema = topics;
        // Of a bucket, there is a bound of points, and of minutes' age.
        if (path.endsWith('/spend') && parameter.name in times)
          parameter.schema = times[parameter.name as keyof typeof times];
        if (parameter.in !== 'path') continue;
        // Requests make campaigns of other names, so that another slug is no mistake.
        if (path.endsWith('{slug}/links') && method === 'post') parameter.schema = oneOf(LINKED);
        else if (parameter.name === 'slug') parameter.schema = { anyOf: [oneOf(...known.slugs), { type: 'string' }] };
        else parameter.schema = oneOf(...namesIn(path, known));
      }
      if (operation.requestBody) replaceIn(operation.requestBody, path, known);
    }
  }
}

function oneOf(...names: string[]): object {
  return { type: 'string', enum: names };
}

function hoursFromNow(hours: number): string {
  return new Date(Date.now() + hours * 3_600_000).toISOString();
}

function namesIn(path: string, { keys, requests, links, codes }: Things): string[] {
  if (path.includes('/requests/')) return requests;
  if (path.includes('/codes/void')) return codes;
  return path.includes('/links/') ? links : keys;
}

function replaceIn(node: object, path: string, known: Things): void {
  const ofLink = path.endsWith('{slug}/links') || path.includes('/links/');
  for (const [name, value] of Object.entries(node) as [string, Record<string, unknown> | null][]) {
    if (typeof value !== 'object' || value === null) continue;
    if (name === 'campaign' && value.type === 'string') value.enum = known.slugs;
    if (name === 'origins' && value.items) value.items = oneOf('https://example.org');
    if (name === 'redirect_uris' && value.items) value.items = oneOf('https://example.org/start', 'http://localhost:*');
    if (name === 'ids' && value.items) value.items = { anyOf: [oneOf(...namesIn(path, known)), value.items] };
    if (name === 'link' && path.endsWith('/void')) value.enum = known.links;
    // The slug in the path, which only the request knows.
    if (name === 'properties') delete value.confirm;
    // The document knows their form alone, not which host is one.
    if (/^(project|open|privacy)_url$/.test(name)) value.enum = ['https://example.org/project'];
    // Its pattern has a class of characters that the fuzzer does not know.
    if (name === 'name' && path.endsWith('/session')) value.enum = ['Ada'];
    // A link's keys cost no more than its campaign has, and it begins before it ends, whatever was its time before.
    if (name === 'schema' && path.endsWith('{slug}/links')) value.required = ['name', 'key'];
    if (ofLink && name === 'key') value.required = ['budget_usd'];
    // The fuzzer learns the campaign's name, too, and gives it the budget of the document's example: 2.50.
    if (ofLink && name === 'budget_usd') value.enum = ['0.01', '1', '2.50'];
    if (ofLink && name === 'starts_at') value.enum = [hoursFromNow(-48), hoursFromNow(-24)];
    if (ofLink && name === 'expires_at') value.enum = [hoursFromNow(24), hoursFromNow(48)];
    // Others have no price, or are not of the campaign.
    if (name === 'models' && value.items) value.items = oneOf('gpt-5.4-mini');
    replaceIn(value, path, known);
  }
}

async function run(daypass: Daypass, document: OpenApi, folder: string): Promise<void> {
  const [file, report] = [join(folder, 'openapi.json'), join(folder, 'report.xml')];
  writeFileSync(file, JSON.stringify(document));
  // A stream of events has no end.
  writeFileSync(join(folder, 'schemathesis.toml'), 'max-stream-events = 1\n');
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
