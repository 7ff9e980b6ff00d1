import { EventEmitter } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import type { FastifyReply } from 'fastify';
import type { Reply } from '#libs/contracts/reply.js';
import { AnswerSession, type SessionParts } from './answer.session.js';
import type { Visitor } from './authenticator.service.js';
import type { AdmittedCall } from './call.service.js';

/** What Redis says each time the call is given up; an error is thrown. */
type Said = 'running' | 'ended' | Error;

/** A stream's session, told what is shown; answers how it ended, and what was done to the call until its visitor's leaving was dealt with. */
async function session(frames: readonly string[], says: Said[] = ['ended']): Promise<{ outcome: string; done: string[] }> {
  let outcome = '';
  const done: string[] = [];
  const dealtWith = Promise.withResolvers<void>();
  let hear: (message: Reply, told: object) => void = () => undefined;
  const raw = Object.assign(new EventEmitter(), { write: () => true, end: () => undefined, writeHead: () => undefined, writableLength: 0 });
  const parts = {
    calls: {
      enqueue: () => Promise.resolve(),
      release: () => undefined,
      giveUp: async () => {
        done.push('give up');
        const said = says.shift()!;
        if (said instanceof Error) throw said;
        if (said === 'ended') dealtWith.resolve();
        return said;
      },
      cancelUpstream: async () => void done.push('cancel'),
    },
    replies: { listen: (_: string, heard: typeof hear) => (hear = heard), forget: () => undefined },
    places: { listen: () => undefined, forget: () => undefined },
    metrics: { firstShown: () => undefined, callEnded: (_: string, how: string) => (outcome = how) },
    logger: { info: () => undefined, warn: () => undefined },
  };
  const call = { ticket: { requestId: 'r', stream: true, policy: {} }, hold: {}, maxWaitMs: 1_000 };
  const visitor = { key: { rpm: 0, tpm: 0 }, campaign: { slug: 'shop' } };
  const running = new AnswerSession(...([parts, call, visitor, { raw }] as unknown as [SessionParts, AdmittedCall, Visitor, FastifyReply])).run();
  frames.forEach((text, n) => hear({ type: 'frames', n, text } as Reply, {}));
  raw.emit('close');
  await running;
  if (outcome === 'visitor left') await dealtWith.promise;
  // What would be done after it had ended is seen, too.
  await nextTurn();
  return { outcome, done };
}

describe('a visitor who hangs up', () => {
  it('left, if something was still to come', async () => {
    expect(await session(['data: {}\n\n'])).toEqual({ outcome: 'visitor left', done: ['give up'] });
  });

  it('has everything, once the last frame was shown', async () => {
    expect(await session(['data: {}\n\n', 'data: {}\n\ndata: [DONE]\n\n'])).toEqual({ outcome: 'ok', done: [] });
  });

  it('is said to have left until the worker has heard it', async () => {
    expect(await session(['data: {}\n\n'], ['running', 'running', 'ended'])).toEqual({
      outcome: 'visitor left',
      done: ['give up', 'cancel', 'give up', 'cancel', 'give up'],
    });
  });

  it('is said to have left when Redis is back', async () => {
    expect(await session(['data: {}\n\n'], [new Error('Redis is away'), 'running', 'ended'])).toEqual({
      outcome: 'visitor left',
      done: ['give up', 'give up', 'cancel', 'give up'],
    });
  });
});
