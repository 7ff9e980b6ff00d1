import { SWC } from './test/native/swc.mjs';

/**
 * *.spec.ts are pure, *.int-spec.ts have a real Redis and Postgres, test/*.e2e-spec.ts have all services. In
 * test/faults something breaks as well. In test/abuse one visitor attacks all others.
 */
const shared = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '^.+\\.ts$': ['@swc/jest', SWC] },
  moduleNameMapper: {
    '^#libs/(.*)\\.js$': '<rootDir>/libs/$1.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
};

/** Node itself loads what they test, once for each worker. */
const native = {
  ...shared,
  testEnvironment: '<rootDir>/test/native/environment.mjs',
  testRunner: '<rootDir>/test/native/runner.mjs',
  // Node works with the same ones.
  fakeTimers: { doNotFake: ['nextTick', 'queueMicrotask'] },
};

/** They tell times and sizes, so that they have the machine to themselves. */
const START = ['start', 'slow-network'].map((name) => `test/start/${name}.e2e-spec.ts`);
/** It tells times of people, so that it goes before all others. */
const STRANGER = ['test/start/stranger.e2e-spec.ts'];

/** Stores and services that one test file after the other borrows. */
const keeper = { globalSetup: '<rootDir>/test/keeper.setup.mjs', globalTeardown: '<rootDir>/test/keeper.teardown.mjs' };

export default {
  // Several times what a test takes on a machine that has other work, too.
  testTimeout: 120_000,
  testSequencer: '<rootDir>/test/sequencer.mjs',
  projects: [
    {
      ...native,
      displayName: 'unit',
      testMatch: ['<rootDir>/{apps,libs,observability,k8s,scripts,bench,test}/**/*.spec.ts'],
    },
    {
      ...native,
      ...keeper,
      displayName: 'integration',
      testMatch: ['<rootDir>/{apps,libs,observability,k8s}/**/*.int-spec.ts'],
    },
    { ...shared, displayName: 'faults', testMatch: ['<rootDir>/test/faults/**/*.fault-spec.ts'] },
    {
      ...shared,
      ...keeper,
      displayName: 'e2e',
      testMatch: ['<rootDir>/test/**/*.e2e-spec.ts'],
      testPathIgnorePatterns: [...START, ...STRANGER],
    },
    { ...shared, ...keeper, displayName: 'abuse', testMatch: ['<rootDir>/test/abuse/**/*.abuse-spec.ts'] },
    { ...shared, displayName: 'start', testMatch: START.map((file) => `**/${file}`) },
    { ...shared, displayName: 'stranger', testMatch: STRANGER.map((file) => `**/${file}`) },
  ],
};
