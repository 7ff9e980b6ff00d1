import { afterAll, describe, expect, it } from '@jest/globals';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { surroundings } from '#libs/launch/child-env.js';
import { freePort, freePortBase } from '#libs/launch/free-port.js';

/** `npm start` as a newcomer runs it, on ports and a data folder of its own. */
const dataDir = join(mkdtempSync(join(tmpdir(), 'daypass-start-')), 'data');
const ENDED = 'the next start goes on';
const IDLE_MB_MAX = 700;

interface Started {
  child: ChildProcess;
  output: () => string;
  /** The lines to paste: a chat, the key's state, a refused chat. */
  curls: string[];
  ended: Promise<number | null>;
}

describe('npm start', () => {
  let started: Started | undefined;
  let ports: Record<string, string>;
  afterAll(async () => {
    started?.child.kill('SIGTERM');
    await started?.ended;
    rmSync(join(dataDir, '..'), { recursive: true, force: true });
  });

  it('is ready within 15 s and prints lines that work when pasted', async () => {
    ports = {
      DAYPASS_PORT: String(await freePort()),
      DAYPASS_ADMIN_PORT: String(await freePort()),
      DAYPASS_OPS_PORT_BASE: String(await freePortBase(4)),
    };
    started = await start(ports);
    const seconds = Number(/is ready \(([\d.]+) s\)/.exec(started.output())?.[1]);
    expect(seconds).toBeLessThan(15);
    process.stderr.write(`npm start: ready in ${seconds} s\n`);
    expect(started.output()).toContain('answers are rehearsed');

    const chat = paste(started.curls[0]!);
    expect(chat.choices[0].message.content).toContain('Say hello to a newcomer');
    const { data: key } = paste(started.curls[1]!);
    expect(Number(key.spent_usd)).toBeGreaterThan(0);
    expect(Number(key.held_usd)).toBe(0);
    const refused = paste(started.curls[2]!);
    expect(refused.error.code).toBe('moderation_blocked');
  });

  it('prints a claim page that opens, and a link that signs in to the console, once', async () => {
    const [page] = /http:\/\/localhost:\d+\/c\/demo/.exec(started!.output())!;
    const shown = await fetch(page, { headers: { accept: 'text/html' } });
    expect([shown.status, shown.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    const { data: link } = (await (
      await fetch(`http://localhost:${ports.DAYPASS_PORT}/claim/v1/links/demo`)
    ).json()) as { data: { state: string; left: number } };
    expect(link).toMatchObject({ state: 'open', gates: ['pow'] });

    const [, console, code] = /(http:\/\/localhost:\d+)\/console\/login#code=([\w-]+)/.exec(started!.output())!;
    const signIn = async (): Promise<number> =>
      (
        await fetch(`${console}/admin/v1/session`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ code }),
        })
      ).status;
    expect([await signIn(), await signIn()]).toEqual([204, 401]);
  });

  it('keeps its secrets to its owner', () => {
    for (const file of ['secret', 'admin-token', 'postgres-password', 'auditor-password', 'demo-key.json'])
      expect(statSync(join(dataDir, file)).mode & 0o077).toBe(0);
    const key = /dp_[0-9A-Za-z]{38}/.exec(started!.output())![0];
    const logs = readdirSync(join(dataDir, 'logs')).map((file) => readFileSync(join(dataDir, 'logs', file), 'utf8'));
    expect(logs.join('')).not.toContain(key);
  });

  it('prints how to read the books, without the password', () => {
    const line = started!
      .output()
      .split('\n')
      .find((one) => one.startsWith('PGPASSWORD='));
    expect(execFileSync('bash', ['-c', line!], { encoding: 'utf8' })).toMatch(/demo.*\| +0\.0*[1-9]/);
    expect(started!.output()).not.toContain(readFileSync(join(dataDir, 'auditor-password'), 'utf8').trim());
  });

  it('has a Redis that listens on no port, and whose memory is bounded', () => {
    const socket = join(dataDir, 'redis', 'redis.sock');
    const setting = (name: string): string =>
      execFileSync('redis-cli', ['-s', socket, 'config', 'get', name], { encoding: 'utf8' }).split('\n')[1]!;
    expect(setting('port')).toBe('0');
    expect(Number(setting('maxmemory'))).toBeGreaterThanOrEqual(256 * 2 ** 20);
    expect(setting('maxmemory-policy')).toBe('noeviction');
    for (const path of [socket, join(dataDir, 'redis')]) expect(statSync(path).mode & 0o077).toBe(0);
  });

  it(`idles under ${IDLE_MB_MAX} MB`, async () => {
    await sleep(3_000);
    const idle = memoryOf(descendants(started!.child.pid!));
    process.stderr.write(
      `idle: ${idle.ownMb} MB, each shared page counted once (${idle.residentMb} MB with it counted in every process)\n`,
    );
    expect(idle.ownMb).toBeLessThan(IDLE_MB_MAX);
  });

  it('refuses to start twice on one data folder, and names the variable of a port in use', async () => {
    const samePorts = await failedStart(ports);
    expect(samePorts).toMatch(/port \d+ is in use \(DAYPASS_PORT\)/);
    expect(
      samePorts.match(/^DAYPASS_PORT=\d+ DAYPASS_ADMIN_PORT=\d+ DAYPASS_OPS_PORT_BASE=\d+ npm start$/gm),
    ).toHaveLength(1);
    const otherPorts = {
      DAYPASS_PORT: String(await freePort()),
      DAYPASS_ADMIN_PORT: String(await freePort()),
      DAYPASS_OPS_PORT_BASE: String(await freePortBase(4)),
    };
    expect(await failedStart(otherPorts)).toMatch(/already runs on .* set DAYPASS_DATA_DIR/);
  });

  it('stops on a bad setting, and names it', async () => {
    const env = {
      DAYPASS_PORT: String(await freePort()),
      DAYPASS_ADMIN_PORT: String(await freePort()),
      DAYPASS_OPS_PORT_BASE: String(await freePortBase(4)),
    };
    expect(await failedStart({ ...env, DAYPASS_DATA_DIR: `${dataDir}-2`, DAYPASS_LOG_LEVEL: 'loud' })).toContain(
      'DAYPASS_LOG_LEVEL',
    );
  });

  it('ends on Ctrl-C without leaving a process, and goes on with the same key and balance', async () => {
    const before = paste(started!.curls[1]!);
    const curls = started!.curls;
    const processes = descendants(started!.child.pid!);
    started!.child.kill('SIGINT');
    expect(await started!.ended).toBe(0);
    expect(processes.filter(isAlive)).toEqual([]);

    started = await start(ports);
    expect(started.curls).toEqual(curls);
    expect(paste(started.curls[1]!)).toEqual(before);
  });

  it('leaves no process when it is killed with -9, and starts again from what was booked', async () => {
    paste(started!.curls[0]!);
    const before = paste(started!.curls[1]!);
    const processes = descendants(started!.child.pid!);
    for (const pid of launchers(processes)) process.kill(pid, 'SIGKILL');
    for (let waitedMs = 0; waitedMs < 40_000 && processes.some(isAlive); waitedMs += 200) await sleep(200);
    expect(processes.filter(isAlive).map(commandOf)).toEqual([]);

    started = await start(ports);
    expect(paste(started.curls[1]!)).toEqual(before);
  }, 120_000);

  it('ends at once on a second Ctrl-C, though a service hangs', async () => {
    const processes = descendants(started!.child.pid!);
    const [ingress] = processes.filter((pid) => commandOf(pid).includes('apps/ingress'));
    process.kill(ingress!, 'SIGSTOP');
    started!.child.kill('SIGINT');
    await sleep(1_000);
    expect(isAlive(ingress!)).toBe(true);
    started!.child.kill('SIGINT');
    expect(await started!.ended).not.toBe(0);
    for (let waitedMs = 0; waitedMs < 10_000 && processes.some(isAlive); waitedMs += 100) await sleep(100);
    expect(processes.filter(isAlive)).toEqual([]);
  });
});

function run(env: Record<string, string>): ChildProcess {
  return spawn('npm', ['start'], {
    env: { ...surroundings(process.env), DAYPASS_DATA_DIR: dataDir, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function start(env: Record<string, string>): Promise<Started> {
  const child = run(env);
  let text = '';
  child.stdout!.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr!.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  for (let waitedMs = 0; waitedMs < 25_000 && !text.includes(ENDED) && child.exitCode === null; waitedMs += 50)
    await sleep(50);
  if (!text.includes(ENDED)) throw new Error(`npm start did not become ready:\n${text}`);
  return { child, output: () => text, curls: text.split('\n').filter((line) => line.startsWith('curl ')), ended };
}

async function failedStart(env: Record<string, string>): Promise<string> {
  const child = run(env);
  let text = '';
  child.stderr!.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  expect(code).toBe(1);
  return text;
}

// The answers' shapes are what the test asserts.
// oxlint-disable-next-line typescript/no-explicit-any
function paste(line: string): any {
  return JSON.parse(execFileSync('bash', ['-c', line], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
}

function descendants(pid: number): number[] {
  const pairs = execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  const found = [pid];
  for (const parent of found) for (const [child, of] of pairs) if (of === parent) found.push(child!);
  return found;
}

const commandOf = (pid: number): string =>
  execFileSync('ps', ['-p', String(pid), '-o', 'args='], { encoding: 'utf8' }).trim();

/** npm, the script that it runs, and the launcher: everything that could still tidy up. */
const launchers = (pids: number[]): number[] =>
  pids.filter((pid) => /^npm |start\.mjs|launch\/launch\.js/.test(commandOf(pid)));

/** A process that has ended but that nobody has collected is not alive. */
function isAlive(pid: number): boolean {
  try {
    return !execFileSync('ps', ['-p', String(pid), '-o', 'stat='], { encoding: 'utf8' }).startsWith('Z');
  } catch {
    return false;
  }
}

function memoryOf(pids: number[]): { ownMb: number; residentMb: number } {
  const sum = { ownMb: 0, residentMb: 0 };
  for (const pid of pids) {
    const file = `/proc/${pid}/smaps_rollup`;
    if (!existsSync(file)) continue;
    const text = readFileSync(file, 'utf8');
    sum.ownMb += Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1024;
    sum.residentMb += Number(/^Rss:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1024;
  }
  return { ownMb: Math.round(sum.ownMb), residentMb: Math.round(sum.residentMb) };
}
