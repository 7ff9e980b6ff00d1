// Brings the shipped docker-compose.yml up with the rehearsal upstream and uses it as a visitor and as an operator would.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const standins = join(root, '../shared/standins/prepare');
const folder = mkdtempSync(join(tmpdir(), 'daypass-compose-'));
const project = `daypass-test-${process.pid}`;
const SERVICES = ['ingress', 'moderation', 'forwarding', 'accounting'];
const model = 'gpt-5.4-mini';
const total = { passed: 0, failed: 0 };

const settings = {
  OPENAI_API_KEY: 'sk-rehearsal',
  OPENAI_BASE_URL: 'http://rehearsal:8090/v1',
  DAYPASS_SECRET: randomBytes(36).toString('base64url'),
  DAYPASS_ADMIN_TOKEN: randomBytes(24).toString('hex'),
  DAYPASS_POSTGRES_PASSWORD: randomBytes(24).toString('hex'),
  DAYPASS_PORT: String(await freePort()),
  DAYPASS_ADMIN_PORT: String(await freePort()),
};

if (existsSync(standins)) execFileSync(standins, ['docker-compose.yml'], { cwd: root, stdio: 'inherit' });
const composeCommand = spawnSync('docker', ['compose', 'version']).status === 0 ? ['docker', 'compose'] : ['docker-compose'];

try {
  await check('a missing secret is named, and nothing starts', () => {
    const { status, stderr } = compose(['config', '--quiet'], { envFile: envFile('empty.env', {}) });
    assert.notEqual(status, 0);
    assert.match(stderr, /OPENAI_API_KEY|DAYPASS_SECRET|DAYPASS_ADMIN_TOKEN|DAYPASS_POSTGRES_PASSWORD/);
    assert.match(stderr, /is required in \.env/);
  });
  const up = await check('docker compose up: everything becomes healthy', () => {
    const { status } = compose(['up', '--build', '--detach', '--wait', '--wait-timeout', '300'], { show: true });
    if (status !== 0) compose(['logs', '--tail', '30'], { show: true });
    assert.equal(status, 0);
  });
  if (up) await useIt();
} finally {
  compose(['down', '--volumes', '--remove-orphans', '--timeout', '20'], {});
  rmSync(folder, { recursive: true, force: true });
}
if (process.env.DAYPASS_CHECK_REPORT) writeFileSync(process.env.DAYPASS_CHECK_REPORT, JSON.stringify(total));
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
process.exitCode = total.failed === 0 ? 0 : 1;

async function useIt() {
  const visitors = `http://127.0.0.1:${settings.DAYPASS_PORT}/v1`;
  const campaign = await admin('/admin/v1/campaigns', { slug: 'compose', name: 'Compose', budget_usd: '2.00', models: [model] });
  const rich = await admin('/admin/v1/keys', { campaign: 'compose', budget_usd: '1.00' });
  const poor = await admin('/admin/v1/keys', { campaign: 'compose', budget_usd: '0.000001' });
  const visitor = (key, onCall) =>
    new OpenAI({
      apiKey: key,
      baseURL: visitors,
      fetch: (...args) => {
        onCall?.();
        return fetch(...args);
      },
    });
  const openai = visitor(rich.body.key);
  const messages = [{ role: 'user', content: 'Say hello to the container.' }];

  await check('the admin API creates a campaign and keys', () => assert.deepEqual([campaign.status, rich.status, poor.status], [201, 201, 201]));

  await check('a chat is answered, with usage', async () => {
    const answer = await openai.chat.completions.create({ model, messages });
    assert.match(answer.choices[0].message.content, /Say hello to the container/);
    assert.ok(answer.usage.completion_tokens > 0);
  });

  await check('a streamed chat is answered, with usage', async () => {
    let text = '';
    let usage;
    for await (const chunk of await openai.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } })) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    assert.match(text, /Say hello to the container/);
    assert.ok(usage.completion_tokens > 0);
  });

  await check('a flagged prompt is refused', async () => {
    const flagged = openai.chat.completions.create({ model, messages: [{ role: 'user', content: 'DAYPASS-REHEARSAL-FLAG' }] });
    await assert.rejects(flagged, (error) => error instanceof OpenAI.BadRequestError && error.code === 'moderation_blocked');
  });

  await check('an empty budget is insufficient_quota, without a retry', async () => {
    let calls = 0;
    const refused = visitor(poor.body.key, () => calls++).chat.completions.create({ model, messages });
    await assert.rejects(refused, (error) => error instanceof OpenAI.RateLimitError && error.code === 'insufficient_quota');
    assert.equal(calls, 1);
  });

  await check('GET /v1/key shows what was spent and holds nothing', async () => {
    const { data } = await (await fetch(`${visitors}/key`, { headers: { authorization: `Bearer ${rich.body.key}` } })).json();
    assert.ok(Number(data.spent_usd) > 0);
    assert.equal(Number(data.held_usd), 0);
    assert.equal(data.campaign, 'compose');
  });

  await check('nothing but the visitors’ port is published beyond loopback', () => {
    const published = containers().flatMap(({ service, ports }) => ports.map((port) => ({ service, ...port })));
    const open = published.filter(({ host }) => host !== '127.0.0.1');
    assert.deepEqual([...new Set(open.map(({ service, port }) => `${service} ${port}`))], [`ingress ${settings.DAYPASS_PORT}`]);
  });

  await check('every service runs as an ordinary user and is restarted when it dies', () => {
    for (const { id, restart } of containers().filter(({ service }) => SERVICES.includes(service))) {
      assert.notEqual(docker(['exec', id, 'id', '-u']), '0');
      assert.equal(restart, 'unless-stopped');
    }
  });

  await check('Redis keeps what it is told and evicts nothing', () => {
    const { id } = containers().find(({ service }) => service === 'redis');
    const setting = (name) => docker(['exec', id, 'redis-cli', 'config', 'get', name]).split('\n')[1];
    assert.deepEqual([setting('appendonly'), setting('maxmemory-policy')], ['yes', 'noeviction']);
  });

  await check('after a restart of the stores, key and balance are the same', async () => {
    const balance = async () => (await (await fetch(`${visitors}/key`, { headers: { authorization: `Bearer ${rich.body.key}` } })).json()).data?.spent_usd;
    const before = await balance();
    compose(['restart', 'redis', 'postgres'], {});
    let after;
    for (let attempt = 0; attempt < 60 && after !== before; attempt++) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      after = await balance().catch(() => undefined);
    }
    assert.ok(before);
    assert.equal(after, before);
  });

  const sizes = ['daypass:local', 'daypass-rehearsal:local'].map(
    (image) => `${image} ${Math.round(Number(docker(['image', 'inspect', '-f', '{{.Size}}', image])) / 1e6)} MB`,
  );
  process.stdout.write(`images (base included): ${sizes.join(', ')}\n`);
}

async function check(name, body) {
  try {
    await body();
    total.passed++;
    process.stdout.write(`  ok      ${name}\n`);
    return true;
  } catch (error) {
    total.failed++;
    process.stdout.write(`  FAILED  ${name}\n${String(error?.stack ?? error).replace(/^/gm, '          ')}\n`);
    return false;
  }
}

async function admin(path, body) {
  const response = await fetch(`http://127.0.0.1:${settings.DAYPASS_ADMIN_PORT}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${settings.DAYPASS_ADMIN_TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

function compose(args, { envFile: file = envFile('test.env', settings), show = false }) {
  const [command, ...first] = composeCommand;
  const files = ['-f', 'docker-compose.yml', ...overrides()];
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(DAYPASS_|OPENAI_)/.test(name)));
  return spawnSync(command, [...first, '-p', project, '--env-file', file, ...files, '--profile', 'rehearsal', ...args], {
    cwd: root,
    env,
    encoding: 'utf8',
    stdio: ['ignore', show ? 'inherit' : 'pipe', show ? 'inherit' : 'pipe'],
  });
}

/** Where images are stand-ins there is no network of Docker's own that a build could use. */
function overrides() {
  if (!existsSync(standins)) return [];
  const file = join(folder, 'override.json');
  writeFileSync(file, JSON.stringify({ services: Object.fromEntries([...SERVICES, 'rehearsal'].map((name) => [name, { build: { network: 'host' } }])) }));
  return ['-f', file];
}

function envFile(name, values) {
  const file = join(folder, name);
  writeFileSync(
    file,
    Object.entries(values)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(''),
    { mode: 0o600 },
  );
  return file;
}

function docker(args) {
  return execFileSync('docker', args, { encoding: 'utf8' }).trim();
}

function containers() {
  const ids = docker(['ps', '-q', '--filter', `label=com.docker.compose.project=${project}`])
    .split('\n')
    .filter(Boolean);
  return JSON.parse(docker(['inspect', ...ids])).map(({ Id, Config, HostConfig, NetworkSettings }) => ({
    id: Id,
    service: Config.Labels['com.docker.compose.service'],
    restart: HostConfig.RestartPolicy.Name,
    ports: Object.values(NetworkSettings.Ports ?? {}).flatMap((bindings) => (bindings ?? []).map(({ HostIp, HostPort }) => ({ host: HostIp, port: HostPort }))),
  }));
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
