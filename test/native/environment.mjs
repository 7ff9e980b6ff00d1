// jest's testEnvironment for tests that share one worker's modules: no realm of their own, and what a file has changed ends with it.
import { createContext } from 'node:vm';
import { ModernFakeTimers } from '@jest/fake-timers';
import { ModuleMocker } from 'jest-mock';

/** jest's own module loader asks for one. Nothing of ours runs in it. */
const UNUSED = createContext({});
/** jest would put a wrapper of its own around `exit` for each file. */
const GLOBAL = new Proxy(globalThis, {
  get: (target, name) => (name === 'process' ? undefined : Reflect.get(target, name)),
});

export default class NativeEnvironment {
  global = GLOBAL;
  moduleMocker = new ModuleMocker(globalThis);
  fakeTimers = null;

  constructor({ projectConfig }, { docblockPragmas }) {
    this.hasOwnModules = docblockPragmas.modules === 'own';
    this.fakeTimersModern = new ModernFakeTimers({ config: projectConfig, global: globalThis });
    this.variables = { ...process.env };
  }

  async setup() {}

  async teardown() {
    this.moduleMocker.restoreAllMocks();
    this.fakeTimersModern.dispose();
    for (const name of Object.keys(process.env)) if (!(name in this.variables)) delete process.env[name];
    Object.assign(process.env, this.variables);
  }

  getVmContext() {
    return UNUSED;
  }
}
