import { afterAll, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { descendants, freePorts, npmStart, paste, type Started } from './started.js';

/** `npm start` as a newcomer runs it, on ports and a data folder of its own. How it ends: stranger.e2e-spec.ts. */
const dataDir = join(mkdtempSync(join(tmpdir(), 'daypass-start-')), 'data');
const IDLE_MB_MAX = 700;

describe('npm start', () => {
  let started: Started | undefined;
  let ports: Record<string, string>;
  afterAll(async () => {
    started?.child.kill('SIGTERM');
    await started?.ended;
    rmSync(join(dataDir, '..'), { recursive: true, force: true });
  });

  it('is ready within 15 s and prints lines that work when pasted', async () => {
    ports = await freePorts();
    const env = { ...ports, DAYPASS_DATA_DIR: dataDir };
    started = await npmStart({ cwd: process.cwd(), env, readyWithinMs: 60_000 });
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
});

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
