import { EventEmitter } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import type { FastifyReply } from 'fastify';
import type { Reply } from '#libs/contracts/reply.js';
import { AnswerSession, type SessionParts } from './answer.session.js';
import type { Visitor } from './authenticator.service.js';
import type { AdmittedCall } from './call.service.js';

/** A stream's session, told what is shown; answers how it ended, and whether the call was given up. */
async function session(frames: readonly string[]): Promise<{ outcome: string; givenUp: boolean }> {
  let [outcome, givenUp] = ['', false];
  let hear: (message: Reply, told: object) => void = () => undefined;
  const raw = Object.assign(new EventEmitter(), { write: () => true, end: () => undefined, writeHead: () => undefined, writableLength: 0 });
  const parts = {
    calls: { enqueue: () => Promise.resolve(), release: () => undefined, giveUp: async () => ((givenUp = true), 'ended') },
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
  return { outcome, givenUp };
}

describe('a visitor who hangs up', () => {
  it('left, if something was still to come', async () => {
    expect(await session(['data: {}\n\n'])).toEqual({ outcome: 'visitor left', givenUp: true });
  });

  it('has everything, once the last frame was shown', async () => {
    expect(await session(['data: {}\n\n', 'data: {}\n\ndata: [DONE]\n\n'])).toEqual({ outcome: 'ok', givenUp: false });
  });
});
