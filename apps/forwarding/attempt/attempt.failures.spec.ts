import { describe, expect, it } from '@jest/globals';
import { APIConnectionError } from 'openai';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { MisshapenAnswer, UpstreamStreamError } from '#libs/endpoints/endpoint.js';
import { FilesGone } from '#libs/holds/file.store.js';
import type { LaneTable } from '#libs/pacing/lanes.js';
import type { Logger } from '#libs/service/logger.js';
import { Progress, type ShownAnswer } from '../answers/answer.progress.js';
import type { Attempt } from './attempt.js';
import { AttemptFailures } from './attempt.failures.js';
import type { CallEnds } from './call.ends.js';
import { VisitorLeft } from './cancel.listener.js';
import type { CallRequeue } from './call.requeue.js';
import { Unsendable } from './upstream.client.js';
import type { UpstreamHealth } from './upstream.health.js';

const ticket = {
  requestId: 'r',
  lane: 'lane',
  outputs: 1,
  facts: {},
  policy: { output: 'off' },
  inputVerdict: 'off',
  inputTokens: 10,
  capTokens: 1_000,
  heldNano: '2000',
  feeNano: '0',
  tierPercent: 100,
  price: { input: 1, cachedInput: 1, cacheWrite: 1, output: 1 },
} as unknown as Ticket;
const body = { json: {}, blobs: [] };

/** How calls ended, and where they went. `upstreams`: of their lane. */
function failuresWith(upstreams: number) {
  const ended: unknown[][] = [];
  const ends = {
    post: (_: Attempt, { costNano }: { costNano: bigint }, reply: object) =>
      Promise.resolve(void ended.push(['post', costNano, reply])),
    void: (...[, reason]: unknown[]) => Promise.resolve(void ended.push(['void', reason])),
    refuse: (...[, error]: unknown[]) => Promise.resolve(void ended.push(['refuse', error])),
    presume: (...[, why]: unknown[]) => Promise.resolve(void ended.push(['presume', why])),
  } as unknown as CallEnds;
  const requeue = { retry: () => Promise.resolve(ended.push(['retry']) && 'queued') } as unknown as CallRequeue;
  const health = { failed: () => Promise.resolve() } as unknown as UpstreamHealth;
  const lanes = { upstreamsFor: () => Array(upstreams).fill({}) } as unknown as LaneTable;
  const logger = { warn: () => undefined } as unknown as Logger;
  return { ended, failures: new AttemptFailures(logger, ends, requeue, health, lanes) };
}

function attemptOf(changes: Partial<Progress> = {}): Attempt {
  const dispatched = { attempt: 1, upstream: 'openai' };
  const progress = Object.assign(new Progress(), changes);
  return { ticket, dispatched, queueMs: 0, progress, controller: new AbortController() } as unknown as Attempt;
}

const report = { metered: { input: 10, output: 5 }, serviceTier: undefined, model: undefined };
const reported = { reader: { report } };

describe('a call that an upstream cannot be sent', () => {
  const error = new DaypassError('invalid_request', 'Another upstream made a part of it.', { param: 'input' });

  it('goes to another upstream, which may read it', async () => {
    const { ended, failures } = failuresWith(2);
    expect(await failures.afterSending(attemptOf(), new Unsendable(error), body)).toBe('retried');
    expect(ended).toEqual([['retry']]);
  });

  it('is refused by name where there is none, and costs nothing', async () => {
    const { ended, failures } = failuresWith(1);
    expect(await failures.afterSending(attemptOf(), new Unsendable(error), body)).toBe('invalid_request');
    expect(ended).toEqual([['refuse', error]]);
  });
});

describe('a call whose files are gone', () => {
  it('costs nothing, before it is sent and in the middle of its form', async () => {
    // As the official client wraps what breaks a request off.
    const cut = new APIConnectionError({ cause: new TypeError('fetch failed', { cause: new FilesGone() }) });
    for (const upstreams of [1, 2]) {
      const { ended, failures } = failuresWith(upstreams);
      expect(await failures.beforeSending(attemptOf(), new FilesGone())).toBe('body_lost');
      expect(await failures.afterSending(attemptOf(), cut, body)).toBe('body_lost');
      const refused = ['refuse', expect.objectContaining({ code: 'recovering', retry: true })];
      expect(ended).toEqual([refused, refused]);
    }
  });
});

describe('an answer whose part tells what it cost', () => {
  const partOf = (output: number) => ({ report: { ...report, metered: null }, cut: () => ({ input: 10, output }) });
  const cut = new TypeError('terminated');

  it('costs that where the upstream breaks it off, and never more than its bound', async () => {
    for (const [output, cost] of [
      [30, 40n],
      [9_000, 2_000n],
    ] as const) {
      const { ended, failures } = failuresWith(1);
      expect(await failures.afterSending(attemptOf({ reader: partOf(output) }), cut, body)).toBe(
        'upstream_outcome_unknown',
      );
      await failures.afterSending(attemptOf({ reader: partOf(output) }), new UpstreamStreamError({}), body);
      expect(ended).toEqual(Array(2).fill(['post', cost, expect.objectContaining({ status: 502 })]));
    }
  });

  it('costs its bound where nothing came of it, or Daypass hung up', async () => {
    const nothing = { report: { ...report, metered: null }, cut: () => null };
    const late = attemptOf({ reader: partOf(30) });
    late.controller.abort(new Error('the upstream took too long'));
    for (const attempt of [attemptOf({ reader: nothing }), late]) {
      const { ended, failures } = failuresWith(1);
      await failures.afterSending(attempt, cut, body);
      expect(ended).toEqual([['presume', 'upstream_outcome_unknown']]);
    }
  });
});

describe('an answer that failed', () => {
  const failed = { message: 'The model failed.', code: 'server_error' };

  it('costs what it says of its cost, and is not asked for again', async () => {
    const { ended, failures } = failuresWith(2);
    for (const error of [new UpstreamStreamError(failed), new MisshapenAnswer('a failed response', failed)])
      expect(await failures.afterSending(attemptOf(reported), error, body)).toBe('stream_error');
    const reply = expect.objectContaining({ status: 502, body: expect.stringContaining('The model failed.') });
    expect(ended).toEqual(Array(2).fill(['post', 15n, reply]));
  });

  it('is asked for again where it says nothing of a cost and was no answer', async () => {
    const { ended, failures } = failuresWith(2);
    await failures.afterSending(attemptOf(), new MisshapenAnswer('a failed response', failed), body);
    expect(ended).toEqual([['retry']]);
  });

  it.each([
    ['paid', 1, true],
    ['got for nothing', 0, false],
  ])('in the middle of a stream says whether its visitor %s', async (_, price, charged) => {
    const told: unknown[] = [];
    const broken = (...args: unknown[]) => Promise.resolve(told.push(args));
    const shown = { opened: true, broken } as unknown as ShownAnswer;
    const { ended, failures } = failuresWith(1);
    const prices = { input: price, cachedInput: price, cacheWrite: price, output: price };
    const attempt = { ...attemptOf({ ...reported, shown }), ticket: { ...ticket, price: prices } };
    await failures.afterSending(attempt, new UpstreamStreamError(failed), body);
    expect(told).toEqual([[expect.objectContaining({ code: 'upstream_error' }), charged]]);
    expect(ended).toHaveLength(1);
  });

  it('costs what was seen of it where its visitor left: no report has what came after', async () => {
    const { ended, failures } = failuresWith(1);
    const attempt = attemptOf(reported);
    attempt.progress.add([{ path: 't', text: 'one two three four five six seven eight nine ten' }]);
    attempt.controller.abort(new VisitorLeft());
    const streamed = { ...attempt, ticket: { ...ticket, stream: true } };
    await failures.afterSending(streamed, new Error('aborted'), body);
    const [[how, costNano]] = ended as [[string, bigint]];
    expect([how, costNano >= 20n]).toEqual(['post', true]);
  });

  it('costs what was seen of it where it says nothing', async () => {
    const { ended, failures } = failuresWith(1);
    await failures.afterSending(attemptOf(), new UpstreamStreamError(failed), body);
    expect(ended).toEqual([['post', 10n, expect.anything()]]);
  });
});
