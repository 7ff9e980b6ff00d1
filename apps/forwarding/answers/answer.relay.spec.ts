import { describe, expect, it, jest } from '@jest/globals';
import type { Ticket } from '#libs/contracts/jobs.js';
import { MisshapenAnswer } from '#libs/endpoints/endpoint.js';
import { AnswerRelay } from './answer.relay.js';
import type { OutputGate } from './output.gate.js';
import type { ReplyChannel } from './reply.channel.js';

const ticket = {
  outputs: 1,
  facts: {},
  policy: { output: 'off' },
  heldNano: '1000',
  feeNano: '0',
  tierPercent: 100,
  price: { input: 1, cachedInput: 1, cacheWrite: 1, output: 1 },
} as unknown as Ticket;

async function whole(body: string, onAnswer: () => void) {
  const response = { headers: new Headers(), body: [Buffer.from(body)] } as unknown as Response;
  return new AnswerRelay({} as ReplyChannel, {} as OutputGate).whole({ ticket, queueMs: 0, onAnswer }, response);
}

describe('a whole answer', () => {
  it('says that its upstream answers, once it has the shape of one', async () => {
    const onAnswer = jest.fn();
    const usage = { prompt_tokens: 3, completion_tokens: 2 };
    const completion = { choices: [{ index: 0, message: { role: 'assistant', content: 'a' } }], usage };
    expect(await whole(JSON.stringify(completion), onAnswer)).toMatchObject({
      outcome: 'ok',
      settlement: { costNano: 5n },
    });
    expect(onAnswer).toHaveBeenCalledTimes(1);
  });

  it('leaves the circuit of its upstream alone where it is none', async () => {
    const onAnswer = jest.fn();
    await expect(whole('{"error":{"message":"overloaded"}}', onAnswer)).rejects.toThrow(MisshapenAnswer);
    expect(onAnswer).not.toHaveBeenCalled();
  });
});
