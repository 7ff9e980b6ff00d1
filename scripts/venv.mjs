// Virtual environments of Python, by uv: it takes a tenth of the time that pip takes.
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const UV = { venv: join(root, '.venv-uv'), requirements: join(root, 'test', 'uv-requirements.txt') };
const QUIET_PIP = ['install', '--quiet', '--disable-pip-version-check', '--no-compile', '-r'];
/** uv reads none of pip's settings, which say where a company's packages are. */
const OF_PIP = { UV_DEFAULT_INDEX: 'PIP_INDEX_URL', UV_FIND_LINKS: 'PIP_FIND_LINKS', SSL_CERT_FILE: 'PIP_CERT' };

/** Whether somebody installed exactly these requirements there. */
export function hasVenv({ venv, requirements }) {
  const done = join(venv, 'requirements.txt');
  return existsSync(done) && readFileSync(done, 'utf8') === readFileSync(requirements, 'utf8');
}

/**
 * Makes a virtual environment with the requirements, unless it is there. Where uv does not do it, pip does.
 * @param run runs a program, given as a list: `(command, env) => Promise`. @throws what `run` throws of pip
 */
export async function installVenv(wanted, run) {
  if (hasVenv(wanted)) return;
  try {
    await byUv(wanted, run);
  } catch {
    await byPip(wanted, run);
  }
}

async function byUv({ venv, requirements }, run) {
  if (!hasVenv(UV)) await byPip(UV, run);
  const uv = join(UV.venv, 'bin', 'uv');
  const env = { ...process.env, UV_PYTHON_DOWNLOADS: 'never' };
  for (const [name, ofPip] of Object.entries(OF_PIP)) if (process.env[ofPip]) env[name] ??= process.env[ofPip];
  await run([uv, 'venv', '--quiet', '--clear', '--python', 'python3', venv], env);
  const python = join(venv, 'bin', 'python');
  await run([uv, 'pip', 'install', '--quiet', '--python', python, '-r', requirements], env);
  copyFileSync(requirements, join(venv, 'requirements.txt'));
}

async function byPip({ venv, requirements }, run) {
  await run(['python3', '-m', 'venv', '--clear', venv], process.env);
  await run([join(venv, 'bin', 'pip'), ...QUIET_PIP, requirements], process.env);
  copyFileSync(requirements, join(venv, 'requirements.txt'));
}
