import { describe, expect, it } from '@jest/globals';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { Reply } from '#libs/contracts/reply.js';
import type { CallEnder, DispatchedCall } from '#libs/holds/call-ender.js';
import type { Logger } from '#libs/service/logger.js';
import type { Settlement } from '../domain/settlement.js';
import type { ForwardingMetrics } from '../forwarding.metrics.js';
import { CallEnds } from './call.ends.js';

const usage = { input: 1, cached: 0, cacheWrite: 0, output: 0, imageOutput: 9 };
const settlement: Settlement = {
  costNano: 7n,
  usedTokens: 10,
  detail: { usage, tier: '', served: '', estimated: true },
};
const call: DispatchedCall = {
  ticket: { requestId: 'r', model: 'painter' } as Ticket,
  dispatched: { attempt: 2, upstream: 'openai' },
};

/** What the ender is asked for. */
async function endOf(settled: Settlement): Promise<[string, object][]> {
  const asked: [string, object][] = [];
  const end = (how: string) => (_: unknown, details: object) => {
    asked.push([how, details]);
    return Promise.resolve({ outcome: 'applied', absorbedNano: 0n });
  };
  const ender = { post: end('post'), presume: end('presume') } as unknown as CallEnder;
  const metrics = { settled: (_: unknown, used: object) => asked.push(['used', used]) } as unknown as ForwardingMetrics;
  const ends = new CallEnds({} as Logger, ender, metrics);
  const more = { kept: { type: 'answer' } as Reply, events: [] };
  await ends.post(call, settled, { type: 'answer' } as Reply, 'ok', more);
  return asked;
}

describe('the end of a call that was answered', () => {
  const details = {
    detail: { model: 'painter', usage, outcome: 'ok', attempt: 2 },
    reply: { type: 'answer' },
    kept: { type: 'answer' },
    events: [],
  };

  it('books what it cost, with the usage by meter', async () => {
    expect(await endOf(settlement)).toMatchObject([
      ['used', usage],
      ['post', { ...details, costNano: 7n, usedTokens: 10 }],
    ]);
  });

  it('books the bound where nobody knows the cost, and the visitor gets the answer all the same', async () => {
    expect(await endOf({ ...settlement, presumed: true })).toMatchObject([
      ['used', usage],
      ['presume', details],
    ]);
  });
});
