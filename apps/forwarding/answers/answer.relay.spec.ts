import { describe, expect, it, jest } from '@jest/globals';
import { setImmediate as turn } from 'node:timers/promises';
import type { DaypassConfig } from '#libs/config/config.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { DaypassError } from '#libs/contracts/errors.js';
import { MisshapenAnswer } from '#libs/endpoints/endpoint.js';
import type { ShelfStore } from '#libs/shelf/shelf.store.js';
import { Progress } from './answer.progress.js';
import { AnswerRelay } from './answer.relay.js';
import type { OutputGate } from './output.gate.js';
import type { ReplyChannel } from '#libs/holds/reply.channel.js';

const ticket = {
  outputs: 1,
  facts: {},
  policy: { output: 'off' },
  heldNano: '1000',
  feeNano: '0',
  tierPercent: 100,
  price: { input: 1, cachedInput: 1, cacheWrite: 1, output: 1 },
} as unknown as Ticket;

const config = { limits: { beatMs: 15_000 } } as unknown as DaypassConfig;
const shelf: Pick<ShelfStore, 'put'> = { put: () => Promise.resolve('full') };
/** Takes frames, and says at once that they are read. */
const channel = {
  send: () => Promise.resolve(),
  sendFrame: (_: string, __: string, n: number) => Promise.resolve(`1-${n}`),
  readUpTo: () => Promise.resolve('2-0'),
} as unknown as ReplyChannel;
const gate = { record: () => Promise.resolve() } as unknown as OutputGate;
const relay = new AnswerRelay(config, channel, gate, shelf);

async function whole(body: string, onAnswer: () => void) {
  const response = { headers: new Headers(), body: [Buffer.from(body)] } as unknown as Response;
  return relay.whole(
    { ticket, queueMs: 0, of: { tag: '' }, progress: new Progress(), controller: new AbortController(), onAnswer },
    response,
  );
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

describe('a whole answer that comes in events', () => {
  const speech = {
    ...ticket,
    endpoint: 'audio.speech',
    model: 'gpt-4o-mini-tts',
    facts: { characters: 3, format: 0, events: false },
    price: { input: 1, cachedInput: 1, cacheWrite: 1, output: 0, audioOutput: 2 },
  } as unknown as Ticket;
  const read = (events: readonly object[], { more = {}, through = channel, progress = new Progress() } = {}) => {
    const text = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('');
    const headers = new Headers({ 'content-type': 'text/event-stream; charset=utf-8' });
    const response = { headers, body: piecesOf(text) } as unknown as Response;
    const call = { ticket: { ...speech, ...more }, queueMs: 0, of: { tag: '' }, progress };
    const parts = { ...call, controller: new AbortController(), onAnswer: () => undefined };
    return new AnswerRelay(config, through, gate, shelf).whole(parts, response);
  };
  const flowing = { takesFlow: true, inputVerdict: 'redacted', replyTo: 'door' };
  /** Keeps what the visitor gets; `lostAt`: nobody takes this frame. */
  const shownIn = (lostAt = Infinity) => {
    const sent: unknown[] = [];
    const bytes: Buffer[] = [];
    const through = {
      ...channel,
      send: ({ reply }: { reply: unknown }) => Promise.resolve(void sent.push(reply)),
      sendFrame: (_: string, __: string, n: number, pieces: readonly Uint8Array[]) => {
        if (n >= lostAt) return Promise.reject(new Error('it is no frame'));
        bytes.push(Buffer.concat(pieces));
        return Promise.resolve(`1-${n}`);
      },
    } as unknown as ReplyChannel;
    return { sent, bytes, through };
  };
  const delta = { type: 'speech.audio.delta', audio: Buffer.from('sound').toString('base64') };
  const large = { ...delta, audio: Buffer.alloc(700_000, 7).toString('base64') };
  const done = { type: 'speech.audio.done', usage: { input_tokens: 3, output_tokens: 4, total_tokens: 7 } };

  it('reaches its visitor in frames while it comes, and its end says that it is whole', async () => {
    const { sent, bytes, through } = shownIn();
    const { reply, settlement, kept } = await read([delta, large, done, delta], {
      more: { ...flowing, keepAnswer: true },
      through,
    });
    expect(sent).toEqual([expect.objectContaining({ type: 'open', contentType: 'audio/mpeg', status: 200 })]);
    // The sound says what went upstream.
    expect(sent).toMatchObject([{ meta: { moderation: { input: 'redacted', output: 'pass' } } }]);
    expect(Math.max(...bytes.map(({ length }) => length))).toBeLessThanOrEqual(524_288);
    const whole = Buffer.concat([Buffer.from('sound'), Buffer.alloc(700_000, 7)]);
    expect(Buffer.concat(bytes).equals(whole)).toBe(true);
    expect(reply).toEqual({ type: 'end', frames: bytes.length, whole: true });
    expect(settlement.costNano).toBe(11n);
    expect(kept).toMatchObject({ type: 'answer', binary: true, body: whole.toString('base64') });
  });

  it('is read to its end, which tells its cost, where nobody takes it any more', async () => {
    jest.useFakeTimers();
    try {
      const answered = read([large, delta, done], { more: flowing, through: shownIn(0).through });
      await jest.advanceTimersByTimeAsync(200_000);
      const { reply, settlement, outcome } = await answered;
      expect({ reply, outcome }).toEqual({ reply: { type: 'end', frames: 0 }, outcome: 'reply_lost' });
      expect(settlement.costNano).toBe(11n);
    } finally {
      jest.useRealTimers();
    }
  });

  it('ends short where it was cut, and not before anybody saw a part of it', async () => {
    const { bytes, through } = shownIn();
    const progress = new Progress();
    await expect(read([delta], { more: flowing, through, progress })).rejects.toThrow('before its last event');
    expect(progress.shown?.opened).toBe(true);
    const error = new DaypassError('upstream_outcome_unknown', 'It broke off.');
    expect(await progress.shown!.broken(error, true)).toEqual({ type: 'end', frames: 1 });
    expect(Buffer.concat(bytes).toString()).toBe('sound');
    const silent = new Progress();
    await expect(read([], { more: flowing, progress: silent })).rejects.toThrow(MisshapenAnswer);
    expect(silent.shown?.opened).toBe(false);
  });

  it('is gathered for an ingress of the version before', async () => {
    const { reply, settlement } = await read([delta, delta, done]);
    expect(settlement.costNano).toBe(11n);
    expect(reply).toMatchObject({ status: 200, contentType: 'audio/mpeg', binary: true });
    expect(Buffer.from((reply as { body: string }).body, 'base64').toString()).toBe('soundsound');
  });

  it('was cut where it has no end', async () => {
    await expect(read([delta])).rejects.toThrow('before its last event');
  });
});

describe('an answer of an API that has an error for what moderation took away', () => {
  it('has its status, and no client sends it again', async () => {
    const blocked = { word: 'blocked', error: undefined };
    const judging = {
      record: () => Promise.resolve(),
      verdictOnWhole: () => Promise.resolve({ verdict: blocked, events: [] }),
    } as unknown as OutputGate;
    const price = { ...ticket.price, seconds: 100 };
    const heard = {
      ...ticket,
      price,
      endpoint: 'audio.transcriptions',
      policy: { output: 'gate' },
    } as unknown as Ticket;
    const response = {
      headers: new Headers(),
      body: [Buffer.from('{"text":"bad","duration":2}')],
    } as unknown as Response;
    const call = { ticket: heard, queueMs: 0, of: { tag: '' }, progress: new Progress() };
    const { reply, again, outcome } = await new AnswerRelay(config, channel, judging, shelf).whole(
      { ...call, controller: new AbortController(), onAnswer: () => undefined },
      response,
    );
    expect(outcome).toBe('output_blocked');
    for (const one of [reply, again]) {
      expect(one).toMatchObject({ status: 400, headers: { 'x-should-retry': 'false' } });
      expect((one as { body: string }).body).toContain('moderation_blocked');
      expect((one as { body: string }).body).not.toContain('bad');
    }
  });
});

describe('an answer that may be large', () => {
  const embeddings = {
    ...ticket,
    endpoint: 'embeddings',
    facts: { vectors: 2_048, answerBytes: 1_000_000 },
    inputTokens: 11,
    outputs: 0,
    capTokens: 0,
    encoding: 'cl100k_base',
  } as unknown as Ticket;
  const vector = Buffer.from(new Float32Array(2_900).fill(0.1).buffer).toString('base64');
  const answer = JSON.stringify({
    data: Array.from({ length: 2_048 }, (_, index) => ({ index, embedding: vector })),
    usage: { prompt_tokens: 7, total_tokens: 7 },
  });
  const read = (facts: object) => {
    const response = { headers: new Headers(), body: piecesOf(answer) } as unknown as Response;
    const ticket = { ...embeddings, takesFrames: true, facts: { ...embeddings.facts, ...facts } };
    const call = { ticket, queueMs: 0 };
    return relay.whole(
      {
        ...call,
        of: { tag: '' },
        progress: new Progress(),
        controller: new AbortController(),
        onAnswer: () => undefined,
      },
      response,
    );
  };

  it('is refused once it is too large, and paid as its input was counted', async () => {
    const { settlement, reply, outcome } = await read({});
    expect({ outcome, costNano: settlement.costNano }).toEqual({ outcome: 'answer_too_large', costNano: 11n });
    expect(reply).toMatchObject({
      type: 'answer',
      status: 400,
      headers: { 'x-should-retry': 'false' },
      meta: { costNano: '11' },
    });
    expect((reply as { body: string }).body).toContain(
      'send fewer inputs, or ask for fewer dimensions. The input was charged.',
    );
  });

  it('waits in its connection while its key has no room for it', async () => {
    const usage = { prompt_tokens: 7, total_tokens: 7 };
    const small = Buffer.from(JSON.stringify({ data: [{ index: 0, embedding: 'AACAPw==' }], usage }));
    const begun: string[] = [];
    const answerOf = (name: string, keyId: string, after: Promise<void>) => {
      async function* body(): AsyncGenerator<Uint8Array> {
        begun.push(name);
        await after;
        yield small;
      }
      const facts = { vectors: 1, answerBytes: 40_000_000 };
      const call = { ticket: { ...embeddings, keyId, facts }, queueMs: 0, of: { tag: '' }, progress: new Progress() };
      const response = { headers: new Headers(), body: body() } as unknown as Response;
      return relay.whole({ ...call, controller: new AbortController(), onAnswer: () => undefined }, response);
    };
    const { promise: end, resolve } = Promise.withResolvers<void>();
    const all = [answerOf('first', 'a', end), answerOf('second', 'a', end), answerOf('other', 'b', end)];
    await turn();
    expect(begun).toEqual(['first', 'other']);
    resolve();
    expect((await Promise.all(all)).map(({ outcome }) => outcome)).toEqual(['ok', 'ok', 'ok']);
    expect(begun).toEqual(['first', 'other', 'second']);
  });

  it('gives the event loop its turn after each piece that took long, however fast it comes', async () => {
    let nowMs = 0;
    const clock = jest.spyOn(performance, 'now').mockImplementation(() => (nowMs += 6));
    let turns = 0;
    let isReading = true;
    const watch = (): void => {
      turns++;
      if (isReading) setImmediate(watch);
    };
    setImmediate(watch);
    expect((await read({ base64: true })).settlement.costNano).toBe(7n);
    isReading = false;
    clock.mockRestore();
    expect(turns).toBeGreaterThan(answer.length / PIECE_BYTES - 1);
  });
});

const PIECE_BYTES = 65_536;

function piecesOf(text: string): Buffer[] {
  const bytes = Buffer.from(text);
  return Array.from({ length: Math.ceil(bytes.length / PIECE_BYTES) }, (_, n) =>
    bytes.subarray(n * PIECE_BYTES, (n + 1) * PIECE_BYTES),
  );
}
