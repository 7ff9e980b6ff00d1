import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { installVenv } from '../../scripts/venv.mjs';

const INSTALL_MAX_MS = 10 * 60_000;
/** The pinned clients need it. */
const PYTHON_MIN = [3, 11];
const here = import.meta.dirname;
const node = join(here, 'node');

/** The folder in which Node finds the clients from npm. */
export const NODE_MODULES = join(node, 'node_modules');
/** llama-index needs an older `openai` than the others. */
export const VENVS = { clients: join(here, '.venv-clients'), 'llama-index': join(here, '.venv-llama-index') } as const;

/** Installs what package-lock.json pins, unless it is there. @throws with npm's words */
export function installFromNpm(): void {
  const [wanted, done] = [join(node, 'package-lock.json'), join(NODE_MODULES, 'installed-lock.json')];
  if (isSame(wanted, done)) return;
  run('npm', ['ci', '--loglevel', 'error'], node);
  copyFileSync(wanted, done);
}

/**
 * Installs the pinned clients of Python, each with its hash. Returns why this machine cannot run them, or null.
 * @throws with pip's words
 */
export async function installFromPyPi(): Promise<string | null> {
  const { status, stdout } = spawnSync('python3', ['--version'], { encoding: 'utf8' });
  const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(stdout)?.slice(1) ?? []).map(Number);
  if (status !== 0) return 'there is no python3';
  if (major !== PYTHON_MIN[0] || minor < PYTHON_MIN[1]!) return `python3 is older than ${PYTHON_MIN.join('.')}`;
  for (const [name, venv] of Object.entries(VENVS))
    await installVenv({ venv, requirements: join(here, 'python', `${name}.txt`) }, async ([file, ...args], env) =>
      run(file, args, here, env),
    );
  return null;
}

/** The version that the lock file pins. */
export function npmVersion(name: string): string {
  const lock = JSON.parse(readFileSync(join(node, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version: string }>;
  };
  return lock.packages[`node_modules/${name}`]!.version;
}

/** The version that the requirements pin. */
export function pypiVersion(name: string, list: keyof typeof VENVS): string {
  const text = readFileSync(join(here, 'python', `${list}.txt`), 'utf8');
  return new RegExp(`^${name}==([^ ;]+)`, 'm').exec(text)![1]!;
}

const isSame = (wanted: string, done: string): boolean =>
  existsSync(done) && readFileSync(done, 'utf8') === readFileSync(wanted, 'utf8');

function run(command: string, args: string[], cwd: string, env = process.env): void {
  const { status, stderr, error } = spawnSync(command, args, { cwd, env, encoding: 'utf8', timeout: INSTALL_MAX_MS });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${(error?.message ?? stderr.trim()).slice(-2_000)}`);
}
