// Lets Node itself load our TypeScript: swc makes it JavaScript, and Node keeps it for all test files of a worker.
import { existsSync, readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import { transformSync } from '@swc/core';
import { SWC } from './swc.mjs';

const ROOT = new URL('../../', import.meta.url).href;
const GLOBALS = new URL('globals.mjs', import.meta.url).href;
/** A module with this in its address has its imports for itself. */
export const OWN = 'own';
const isOurs = (url) => url?.startsWith(ROOT) && !url.includes('/node_modules/');

registerHooks({
  resolve(specifier, context, next) {
    if (specifier === '@jest/globals') return { url: GLOBALS, shortCircuit: true };
    const url = sourceOf(specifier, context.parentURL);
    return url === undefined ? next(specifier, context) : { url, format: 'module', shortCircuit: true };
  },
  load(url, context, next) {
    if (!isOurs(url) || !/\.ts(\?|$)/.test(url)) return next(url, context);
    const filename = fileURLToPath(url);
    const { code } = transformSync(readFileSync(filename, 'utf8'), { ...SWC, filename, sourceMaps: 'inline' });
    return { format: 'module', source: code, shortCircuit: true };
  },
});
process.setSourceMapsEnabled(true);

/** `./x.js` and `#libs/x.js` are `x.ts` where there is one. */
function sourceOf(specifier, parent) {
  const isLib = specifier.startsWith('#libs/');
  if (!isLib && !(/^\.{1,2}\//.test(specifier) && isOurs(parent))) return undefined;
  const url = isLib ? new URL(specifier.slice(1), ROOT) : new URL(specifier, parent);
  url.pathname = url.pathname.replace(/\.js$/, '.ts');
  if (!url.pathname.endsWith('.ts') || !existsSync(url)) return undefined;
  const own = parent && new URL(parent).searchParams.get(OWN);
  if (own) url.searchParams.set(OWN, own);
  return url.href;
}
