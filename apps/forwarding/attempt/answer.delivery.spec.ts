import { expect, it } from '@jest/globals';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { StoppedCalls } from '#libs/holds/stopped.calls.js';
import type { Logger } from '#libs/service/logger.js';
import type { AnswerRelay } from '../answers/answer.relay.js';
import type { OutputGate } from '../answers/output.gate.js';
import type { Attempt } from './attempt.js';
import { AnswerDelivery } from './answer.delivery.js';
import type { CallEnds } from './call.ends.js';
import type { UpstreamHealth } from './upstream.health.js';

const again = { type: 'answer' };
/** What happens, in its order, to an answer that was blocked. */
async function deliveredWith(keep: () => Promise<boolean>): Promise<string[]> {
  const steps: string[] = [];
  const relay = {
    whole: () => Promise.resolve({ settlement: {}, reply: {}, outcome: 'output_blocked', observed: [], again }),
  } as unknown as AnswerRelay;
  const stopped = {
    keep: async (_: Ticket, reply: unknown) => {
      steps.push(reply === again ? 'keeps' : 'keeps something else');
      await keep();
      steps.push('kept');
    },
  } as unknown as StoppedCalls;
  const ends = { post: () => Promise.resolve(void steps.push('posted')) } as unknown as CallEnds;
  const logger = { warn: () => void steps.push('warned') } as unknown as Logger;
  const ticket = { requestId: 'r' } as Ticket;
  const delivery = new AnswerDelivery(relay, {} as OutputGate, ends, {} as UpstreamHealth, stopped, logger);
  expect(await delivery.deliver({ ticket } as Attempt, ticket, {} as Response, { tag: '' })).toBe('output_blocked');
  return steps;
}

it('a blocked answer is kept for a repeat before its visitor sees its end', async () => {
  expect(await deliveredWith(() => Promise.resolve(true))).toEqual(['keeps', 'kept', 'posted']);
});

it('a blocked answer that nobody can keep is shown all the same', async () => {
  expect(await deliveredWith(() => Promise.reject(new Error('Redis is away')))).toEqual(['keeps', 'warned', 'posted']);
});
