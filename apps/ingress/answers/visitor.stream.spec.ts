import { describe, expect, it, jest } from '@jest/globals';
import type { FastifyReply } from 'fastify';
import { DaypassError, type ErrorBody } from '#libs/contracts/errors.js';
import type { Head } from './answer.head.js';
import { VisitorStream } from './visitor.stream.js';

describe('a stream that fails', () => {
  it('tells its client in the form that it understands', () => {
    const end = jest.fn();
    const endpoint = {
      streamComment: () => null,
      streamError: ({ error }: ErrorBody, { codex }: Record<string, unknown>, again: boolean) =>
        `codex=${String(codex)} ${again} ${String(error.daypass?.help)}`,
    };
    const stream = new VisitorStream(
      { raw: { end } } as unknown as FastifyReply,
      endpoint,
      1_000,
      'http://try.example',
    );
    const error = new DaypassError('upstream_outcome_unknown', 'It broke.').body();
    stream.fail(error, true);
    stream.facts = { codex: true };
    stream.fail(error, false);
    const help = 'http://try.example/help#upstream_outcome_unknown';
    expect(end.mock.calls).toEqual([[`codex=undefined true ${help}`], [`codex=true false ${help}`]]);
  });

  it('before its head is out tells in the stream only what a client of streams must not take for a try again', () => {
    const endpoint = {
      streamComment: () => null,
      streamError: () => '',
      heedsStreamsOnly: ({ codex }: Record<string, unknown>, status: number) => codex === true && status >= 500,
    };
    const whole = new VisitorStream({} as FastifyReply, endpoint, 1_000, 'http://try.example');
    whole.facts = { codex: true };
    expect(whole.mustTell(502, false)).toBe(false);
    const stream = new VisitorStream({} as FastifyReply, endpoint, 1_000, 'http://try.example');
    stream.keepAlive(() => ({}) as Head);
    expect(stream.mustTell(502, false)).toBe(false);
    stream.facts = { codex: true };
    expect([stream.mustTell(502, false), stream.mustTell(502, true), stream.mustTell(400, false)]).toEqual([
      true,
      false,
      false,
    ]);
  });
});
