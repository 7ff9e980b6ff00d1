// Long files first, so that no worker is left alone with one at the end.
import { statSync } from 'node:fs';
import Sequencer from '@jest/test-sequencer';

/** Files of faults wait for minutes, those of unit tests for nothing. */
const ORDER = ['faults', 'e2e', 'integration', 'unit'];

export default class LongestFirst extends Sequencer {
  sort(tests) {
    const rank = ({ context, path }) => [ORDER.indexOf(context.config.displayName?.name), -statSync(path).size];
    return [...tests].sort((one, other) => {
      const [a, b] = [rank(one), rank(other)];
      return a[0] - b[0] || a[1] - b[1];
    });
  }
}
