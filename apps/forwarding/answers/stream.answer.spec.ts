import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import type { Ticket } from '#libs/contracts/jobs.js';
import { MisshapenAnswer } from '#libs/endpoints/endpoint.js';
import type { ShelfStore } from '#libs/shelf/shelf.store.js';
import { Progress } from './answer.progress.js';
import type { OutputGate } from './output.gate.js';
import type { ReplyChannel } from '#libs/holds/reply.channel.js';
import { StreamAnswer } from './stream.answer.js';
import { StreamPace } from './stream.pace.js';

const ticket = {
  outputs: 1,
  facts: {},
  policy: { input: 'off', output: 'gate', thresholds: {}, onUnavailable: 'closed' },
  inputVerdict: 'off',
  heldNano: '1000',
  feeNano: '0',
  tierPercent: 100,
  price: { input: 1, cachedInput: 1, cacheWrite: 1, output: 1 },
} as unknown as Ticket;
const gate = {
  verdictOnWhole: () => Promise.resolve({ verdict: { word: 'pass' }, events: [] }),
} as unknown as OutputGate;

/** Counts how often it is asked for a pause. */
class CountedPace extends StreamPace {
  pauses = 0;

  override pause(): Promise<void> {
    this.pauses++;
    return super.pause();
  }
}

const shelf: Pick<ShelfStore, 'put'> = { put: () => Promise.resolve('full') };

function answerOf(
  pieces: readonly string[],
  type = 'text/event-stream',
  { policy = ticket.policy, channel = {} as ReplyChannel } = {},
) {
  const pace = new CountedPace();
  const answers = { count: 0, read: 0 };
  const parts = { channel, gate, shelf, pace, beatMs: 15_000 };
  const call = {
    ticket: { ...ticket, policy },
    queueMs: 0,
    of: { tag: '' },
    progress: new Progress(),
    controller: new AbortController(),
    onAnswer: () => void answers.count++,
  };
  async function* body(): AsyncGenerator<Uint8Array> {
    for (const piece of pieces) {
      answers.read++;
      yield await Promise.resolve(Buffer.from(piece));
    }
  }
  const response = { headers: new Headers({ 'content-type': type }), body: body() } as unknown as Response;
  return { pace, answers, answered: new StreamAnswer(call, parts).answer(response) };
}

const chunk = (more: object): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: 'a' } }], ...more })}\n\n`;
const usage = { prompt_tokens: 3, completion_tokens: 2 };

describe('a stream that comes faster than Redis takes it', () => {
  it('is not read on while a frame of it waits behind another', async () => {
    const { promise: taken, resolve } = Promise.withResolvers<void>();
    const send = ({ reply }: { reply: { type: string } }) => (reply.type === 'frames' ? taken : Promise.resolve());
    const channel = { send } as unknown as ReplyChannel;
    const large = chunk({ choices: [{ index: 0, delta: { content: 'a'.repeat(300_000) } }] });
    const pieces = [...Array<string>(9).fill(large), chunk({ usage }), 'data: [DONE]\n\n'];
    const policy = { ...ticket.policy, output: 'off' as const };
    const { answers, answered } = answerOf(pieces, undefined, { policy, channel });
    for (let turns = 0; turns < 100; turns++) await turn();
    expect(answers.read).toBe(3);
    resolve();
    expect(await answered).toMatchObject({ outcome: 'ok' });
    expect(answers.read).toBe(pieces.length);
  });
});

describe('a stream that is judged as a whole', () => {
  it('is not paused for at its end, and not read at a pace any more', async () => {
    const { pace, answered } = answerOf([chunk({}), chunk({ usage }), 'data: [DONE]\n\n']);
    expect(await answered).toMatchObject({ outcome: 'ok', settlement: { costNano: 5n }, reply: { status: 200 } });
    expect([pace.pauses, pace.pauseMs]).toEqual([2, 0]);
  });

  it('leaves the process its turns for other calls, however many events one read brings', async () => {
    const { answered } = answerOf([`${chunk({ choices: [] }).repeat(50_000)}${chunk({ usage })}data: [DONE]\n\n`]);
    let ended = false;
    const outcome = answered.finally(() => (ended = true));
    let turns = 0;
    for (; !ended; turns++) await turn();
    expect(await outcome).toMatchObject({ outcome: 'ok' });
    expect(turns).toBeGreaterThan(3);
  });

  it('has its last frame where the upstream left it out', async () => {
    const { reply } = await answerOf([chunk({}), chunk({ choices: [], usage })]).answered;
    expect(reply).toMatchObject({ body: expect.stringMatching(/data: \[DONE\]\n\n$/) });
  });

  it.each(['application/json', 'text/html'])('is one where an upstream calls it %s', async (type) => {
    const { answered, answers } = answerOf([': hi\n\n', chunk({ usage }), 'data: [DONE]\n\n'], type);
    expect(await answered).toMatchObject({ outcome: 'ok' });
    expect(answers.count).toBeGreaterThan(0);
  });

  it.each([
    ['an error object', '{"error":{"message":"overloaded"}}', 'application/json'],
    ['a whole answer', '{"choices":[{"message":{"content":"a"}}]}', 'application/json; charset=utf-8'],
    ['a page', '<html></html>', 'text/html'],
    ['an error for its first event', 'data: {"error":{"message":"overloaded"}}\n\n', 'text/event-stream'],
    ['nothing', '', 'text/event-stream'],
    ['one empty event after the other', 'data:\n\n'.repeat(200), 'text/event-stream'],
  ])('is none where %s came', async (_, body, type) => {
    const { answered, answers } = answerOf([body], type);
    await expect(answered).rejects.toThrow(MisshapenAnswer);
    // Its circuit stays as it is.
    expect(answers.count).toBe(0);
  });
});
