import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { surroundings } from '#libs/launch/child-env.js';
import { freePort, freePortBase } from '#libs/launch/free-port.js';
import { until } from '#libs/testing/until.js';

/** The last line that a start prints. */
const READY = 'the next start goes on';

export interface Started {
  child: ChildProcess;
  output: () => string;
  /** The lines to paste: a chat, the key's state, a refused chat. */
  curls: string[];
  ended: Promise<number | null>;
}

export interface Start {
  /** The folder of package.json. */
  cwd: string;
  env: Record<string, string>;
}

/** Runs `npm start`. @throws with what it printed where it is not ready in time */
export async function npmStart({ cwd, env, readyWithinMs }: Start & { readyWithinMs: number }): Promise<Started> {
  const child = run({ cwd, env });
  let text = '';
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  await until('npm start', () => text.includes(READY) || child.exitCode !== null, readyWithinMs).catch(() => undefined);
  if (!text.includes(READY)) throw new Error(`npm start did not become ready:\n${text}`);
  return { child, output: () => text, curls: text.split('\n').filter((line) => line.startsWith('curl ')), ended };
}

/** Runs an `npm start` that ends by itself. Returns its status, and what it printed as errors. */
export async function failedStart(start: Start): Promise<{ status: number | null; errors: string }> {
  const child = run(start);
  let errors = '';
  child.stderr!.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const status = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { status, errors };
}

export async function freePorts(): Promise<Record<string, string>> {
  return {
    DAYPASS_PORT: String(await freePort()),
    DAYPASS_ADMIN_PORT: String(await freePort()),
    DAYPASS_OPS_PORT_BASE: String(await freePortBase(4)),
  };
}

function run({ cwd, env }: Start): ChildProcess {
  return spawn('npm', ['start'], {
    cwd,
    env: { ...surroundings(process.env), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Runs a line as a shell does. The answers' shapes are what a test asserts. */
// oxlint-disable-next-line typescript/no-explicit-any
export function paste(line: string): any {
  return JSON.parse(execFileSync('bash', ['-c', line], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
}

/** The process itself, and all that it and they have started. */
export function descendants(pid: number): number[] {
  const pairs = execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  const found = [pid];
  for (const parent of found) for (const [child, of] of pairs) if (of === parent) found.push(child!);
  return found;
}
