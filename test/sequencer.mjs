// Long files first, so that no worker is left alone with one at the end.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Sequencer from '@jest/test-sequencer';

/**
 * Files of faults wait for minutes, those of unit tests for nothing. A start tells what it takes, before there is a
 * Daypass for the attacks.
 */
const ORDER = ['start', 'abuse', 'faults', 'e2e', 'integration', 'unit'];
/** Those that take longest, as `npm run check` measured them. Of all others the size says enough. */
const LONGEST = [
  'test/paste.e2e-spec.ts',
  'test/pages/console.e2e-spec.ts',
  'test/cli.e2e-spec.ts',
  'test/pages/console-safety.e2e-spec.ts',
  'test/pages/visitors.states.e2e-spec.ts',
  'test/pages/console.looks.e2e-spec.ts',
  'test/pages/visitors.claim.e2e-spec.ts',
  'test/idempotency.e2e-spec.ts',
  'test/moderation.e2e-spec.ts',
  'test/browser.e2e-spec.ts',
  'test/docs.e2e-spec.ts',
  'test/waiting.e2e-spec.ts',
].map((name) => join(import.meta.dirname, '..', name));

export default class LongestFirst extends Sequencer {
  sort(tests) {
    const gone = LONGEST.filter((name) => !existsSync(name));
    if (gone.length > 0) throw new Error(`test/sequencer.mjs names files that are not there: ${gone.join(', ')}`);
    const place = (path) => (LONGEST.includes(path) ? LONGEST.indexOf(path) : LONGEST.length);
    const rank = ({ context, path }) => [
      ORDER.indexOf(context.config.displayName?.name),
      place(path),
      -statSync(path).size,
    ];
    return tests
      .map((test) => ({ test, rank: rank(test) }))
      .sort(({ rank: [a, b, c] }, { rank: [x, y, z] }) => a - x || b - y || c - z)
      .map(({ test }) => test);
  }
}
