import { describe, expect, it } from '@jest/globals';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ending } from './endpoint.js';
import { ENDPOINTS } from './registry.js';

const ERROR = new DaypassError('upstream_error', 'It broke.');
const BROKE: Ending = { kind: 'error', error: ERROR, charged: true };
const helpOf = (code: string): string => `"help":"https://try.example/help#${code}"`;
const IN_ONE_PIECE = ['embeddings', 'responses.compact'];
const streamed = ENDPOINTS.filter(({ name }) => !IN_ONE_PIECE.includes(name));

describe.each(streamed.map((endpoint) => [endpoint.name, endpoint] as const))('an error in a stream of %s', (_, of) => {
  const endingOf = (origin: string | undefined, codex: boolean, why: Ending = BROKE): string => {
    const facts: Record<string, boolean> = codex ? { codex } : {};
    const ticket = { requestId: 'req_1', model: 'gpt-5.4-mini', outputs: 1, facts, ...(origin ? { origin } : {}) };
    return of.reader(ticket).ending(why, false, null);
  };

  it('names the address of its explanation, where the call says it', () => {
    for (const codex of [false, true]) {
      expect(endingOf('https://try.example', codex)).toContain(helpOf('upstream_error'));
      expect(endingOf(undefined, codex)).not.toContain('help');
    }
  });

  it('names it where moderation stopped the answer, too, and the API has an error for that', () => {
    for (const codex of [false, true]) {
      const stopped = endingOf('https://try.example', codex, { kind: 'blocked', categories: ['hate'] });
      if (stopped.includes('"message":')) expect(stopped).toContain(helpOf('moderation_blocked'));
      if (of.name === 'responses' && codex) expect(stopped).toContain('"categories":["hate"]');
    }
  });
});
