// jest's testRunner for tests that share one worker's modules. jest-circus runs the tests; Node, not jest, loads them.
// jest's own loader makes each module again for each file, which took more time than the tests.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import jestCircus from 'jest-circus/runner';
import { lend } from './globals.mjs';
import { OWN } from './hooks.mjs';

const require = createRequire(import.meta.url);
const JEST_GLOBALS = join(import.meta.dirname, 'jest-globals.cjs');
/** What jest-circus keeps in the realm. Elsewhere each file has a realm of its own. */
const KEPT = ['EVENT_HANDLERS', 'TEST_TIMEOUT_SYMBOL'].map((name) => Symbol.for(name));
/** A module of CommonJS. */
const circus = jestCircus.default ?? jestCircus;
let files = 0;

export default async function run(globalConfig, config, environment, runtime, path, sendMessage) {
  for (const name of KEPT) delete globalThis[name];
  runtime.requireInternalModule = (module) => {
    delete require.cache[module];
    return require(module);
  };
  runtime.unstable_importModule = (module) => {
    lend(runtime.requireModule(JEST_GLOBALS));
    // A file that runs again, as it does while jest watches, is a new module.
    const query = environment.hasOwnModules ? OWN : 'run';
    return import(`${pathToFileURL(module).href}?${query}=${(files += 1)}`);
  };
  // The one that jest sets knows only what jest has loaded.
  Error.prepareStackTrace = undefined;
  return circus(globalConfig, config, environment, runtime, path, sendMessage);
}
