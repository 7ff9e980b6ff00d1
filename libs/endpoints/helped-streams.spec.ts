import { describe, expect, it } from '@jest/globals';
import { DaypassError } from '#libs/contracts/errors.js';
import { ENDPOINTS } from './registry.js';

const error = new DaypassError('upstream_error', 'It broke.');
const HELP = 'https://try.example/help#upstream_error';
const IN_ONE_PIECE = ['embeddings', 'responses.compact'];
const streamed = ENDPOINTS.filter(({ name }) => !IN_ONE_PIECE.includes(name));

describe.each(streamed.map((endpoint) => [endpoint.name, endpoint] as const))('an error in a stream of %s', (_, of) => {
  const endingOf = (origin: string | undefined, codex: boolean): string => {
    const facts: Record<string, boolean> = codex ? { codex } : {};
    const ticket = { requestId: 'req_1', model: 'gpt-5.4-mini', outputs: 1, facts, ...(origin ? { origin } : {}) };
    return of.reader(ticket).ending({ kind: 'error', error, charged: true }, false, null);
  };

  it('names the address of its explanation, where the call says it', () => {
    for (const codex of [false, true]) {
      expect(endingOf('https://try.example', codex)).toContain(`"help":"${HELP}"`);
      expect(endingOf(undefined, codex)).not.toContain('help');
    }
  });
});
