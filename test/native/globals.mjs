// `@jest/globals` for tests that share one worker's modules: each file gets the runner's functions of its own.
export let afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest, test;

export function lend(globals) {
  ({ afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest, test } = globals);
}
