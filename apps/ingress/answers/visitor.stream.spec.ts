import { describe, expect, it, jest } from '@jest/globals';
import type { FastifyReply } from 'fastify';
import { DaypassError } from '#libs/contracts/errors.js';
import { VisitorStream } from './visitor.stream.js';

describe('a stream that fails', () => {
  it('tells its client in the form that it understands', () => {
    const end = jest.fn();
    const endpoint = {
      streamComment: () => null,
      streamError: (_: object, { codex }: Record<string, unknown>, again: boolean) => `codex=${String(codex)} ${again}`,
    };
    const stream = new VisitorStream({ raw: { end } } as unknown as FastifyReply, endpoint, 1_000);
    const error = new DaypassError('upstream_outcome_unknown', 'It broke.').body();
    stream.fail(error, true);
    stream.facts = { codex: true };
    stream.fail(error, false);
    expect(end.mock.calls).toEqual([['codex=undefined true'], ['codex=true false']]);
  });
});
