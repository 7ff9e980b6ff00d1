import { describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { KEPT_ANSWER_BYTES_MAX } from '#libs/contracts/answers.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { readReply, writtenReply, type Reply } from '#libs/contracts/reply.js';
import { until } from '#libs/testing/until.js';
import { wholeReplies, type Answered } from './answered.js';
import { FRAME_BYTES, FramedAnswers, framesOf } from './framed.answers.js';

const META = { moderation: { input: 'pass', output: 'off' }, queueMs: 1, costNano: '7' } as const;
const SETTLEMENT = {} as Answered['settlement'];
const SPENT = { costNano: 7n } as Answered['settlement'];
const CALL = {
  ticket: { heldNano: '9', inputVerdict: 'pass', policy: {} } as unknown as Ticket,
  queueMs: 1,
  of: { tag: '' },
};

/** A channel whose ingress reads only what the test says. */
class Channel {
  readonly sent: (Reply | { n: number; bytes: Buffer })[] = [];
  readonly recorded: unknown[] = [];
  read = Infinity;
  isAway = false;

  send({ reply }: { reply: Reply }): Promise<void> {
    this.sent.push(reply);
    return Promise.resolve();
  }
  sendFrame(_: string, __: string, n: number, bytes: readonly Uint8Array[]): Promise<string> {
    if (this.isAway) return Promise.reject(new Error('Redis is away'));
    this.sent.push({ n, bytes: Buffer.concat(bytes) });
    return Promise.resolve(`${n + 1}-0`);
  }
  readUpTo(): Promise<string> {
    return Promise.resolve(`${this.read}-0`);
  }
  record(events: readonly unknown[]): Promise<void> {
    this.recorded.push([this.sent.length, ...events]);
    return Promise.resolve();
  }
  get frames(): Buffer[] {
    return this.sent.flatMap((one) => ('bytes' in one && Buffer.isBuffer(one.bytes) ? [one.bytes] : []));
  }
}

const replyOf = (body = ''): Extract<Reply, { type: 'answer' }> => ({
  type: 'answer',
  status: 200,
  contentType: 'application/json',
  headers: { 'x-one': '1' },
  body,
  meta: META,
});
function send(
  channel: Channel,
  answered: Partial<Answered>,
  ticket: Partial<Ticket> = {},
  controller = new AbortController(),
): Promise<Answered> {
  const call = {
    ticket: { takesFrames: true, keepAnswer: false, ...ticket } as Ticket,
    queueMs: 1,
    of: { tag: '' },
    controller,
  };
  const whole = { settlement: SETTLEMENT, reply: replyOf(), outcome: 'ok', observed: [], ...answered };
  return new FramedAnswers(channel, channel).sent(call, whole);
}
const textsOf = (length: number): Buffer[] =>
  Array.from({ length }, (_, index) => Buffer.from(`${index} `.repeat(4_000)));
const shownOf = (channel: Channel, { reply }: Answered): string =>
  Buffer.concat([...channel.frames, Buffer.from((reply as { last?: string }).last ?? '', 'base64')]).toString();

describe('a whole answer', () => {
  it('goes as one reply where it is small, whatever it is made of', async () => {
    const channel = new Channel();
    expect((await send(channel, { reply: replyOf('small') })).reply).toEqual(replyOf('small'));
    const pieces = [Buffer.from('{"a":'), Buffer.from('1}')];
    expect((await send(channel, { pieces })).reply).toEqual(replyOf('{"a":1}'));
    expect(channel.sent).toEqual([]);
  });

  it('goes in frames where it is large, and its last bytes with its end', async () => {
    for (const answered of [{ pieces: textsOf(200) }, { reply: replyOf(textsOf(200).join('')) }]) {
      const channel = new Channel();
      const all = textsOf(200).join('');
      const end = await send(channel, answered);
      expect(channel.sent[0]).toEqual({
        type: 'open',
        status: 200,
        contentType: 'application/json',
        headers: { 'x-one': '1' },
        bytes: all.length,
        meta: META,
      });
      expect(channel.frames.every(({ length }) => length <= FRAME_BYTES)).toBe(true);
      expect(end.reply).toEqual({ type: 'end', frames: channel.frames.length, last: expect.any(String) });
      expect(Buffer.from((end.reply as { last: string }).last, 'base64').length).toBeLessThanOrEqual(1_024);
      expect(shownOf(channel, end) === all).toBe(true);
    }
  });

  it('of bytes, as one or in pieces, small or large, comes to its visitor as they are', async () => {
    for (const length of [1_000, 3 * FRAME_BYTES + 5]) {
      const sound = randomBytes(length);
      const pieces = [sound.subarray(0, 700), sound.subarray(700)];
      for (const body of [sound, pieces]) {
        const channel = new Channel();
        const answer = wholeReplies(CALL, SPENT, { contentType: 'audio/mpeg', body }, 'pass');
        const { reply } = await send(channel, answer);
        expect(channel.frames.every((frame) => frame.length <= FRAME_BYTES)).toBe(true);
        if (reply.type === 'end') {
          expect(channel.sent[0]).toMatchObject({ type: 'open', contentType: 'audio/mpeg', bytes: length });
          const came = Buffer.concat([...channel.frames, Buffer.from(reply.last!, 'base64')]);
          expect(came.equals(sound)).toBe(true);
        } else {
          // As ingress reads it.
          const { bytes } = readReply(Buffer.from(writtenReply(reply, true))) as { bytes: Buffer };
          expect(bytes.equals(sound)).toBe(true);
        }
        const kept = await send(new Channel(), answer, { keepAnswer: true });
        const { body: again, binary } = (kept.kept ?? kept.reply) as { body: string; binary?: boolean };
        expect(binary).toBe(true);
        expect(Buffer.from(again, 'base64').equals(sound)).toBe(true);
      }
    }
  });

  it('goes as one to an ingress of the version before', async () => {
    const channel = new Channel();
    const { reply } = await send(channel, { pieces: textsOf(200) }, { takesFrames: undefined });
    expect((reply as { body: string }).body === textsOf(200).join('')).toBe(true);
    expect(channel.sent).toEqual([]);
  });

  it('is on record, where it was judged, before anybody sees a part of it', async () => {
    const channel = new Channel();
    const events = [{ event: { kind: 'check' }, encrypted: null }] as unknown as Answered['events'];
    const end = await send(channel, { pieces: textsOf(200), events: events! });
    expect(channel.recorded).toEqual([[0, ...events!]]);
    expect(end.events).toEqual([]);
  });

  it('is kept for a repeat up to its bound', async () => {
    const pieces = textsOf(200);
    const kept = await send(new Channel(), { pieces }, { keepAnswer: true });
    expect(kept.kept).toEqual(replyOf(pieces.join('')));
    expect((await send(new Channel(), { pieces })).kept).toBeUndefined();
    const large = [...pieces, Buffer.alloc(KEPT_ANSWER_BYTES_MAX)];
    expect((await send(new Channel(), { pieces: large }, { keepAnswer: true })).kept).toBeUndefined();
  });

  it('is never far ahead of its ingress, and ends where the visitor leaves', async () => {
    const channel = new Channel();
    channel.read = 0;
    const controller = new AbortController();
    const pieces = [Buffer.alloc(20 * FRAME_BYTES)];
    const sending = send(channel, { pieces }, {}, controller);
    await until('it waits', () => channel.frames.length === 8);
    channel.read = 2;
    await until('it goes on', () => channel.frames.length === 10);
    controller.abort();
    expect((await sending).reply).toEqual({ type: 'end', frames: 10 });
  });

  it('goes no further when the visitor has left, though its ingress reads all', async () => {
    const channel = new Channel();
    const controller = new AbortController();
    const sendFrame = channel.sendFrame.bind(channel);
    channel.sendFrame = (replyTo, requestId, n, bytes) => {
      if (n === 2) controller.abort();
      return sendFrame(replyTo, requestId, n, bytes);
    };
    const end = await send(channel, { pieces: [Buffer.alloc(20 * FRAME_BYTES)] }, {}, controller);
    expect(end.reply).toEqual({ type: 'end', frames: 3 });
  });

  it('does not wait for ever for an ingress that reads nothing', async () => {
    const channel = new Channel();
    channel.read = 0;
    const realNow = performance.now.bind(performance);
    // The patience is over at once.
    let skippedMs = 0;
    performance.now = () => realNow() + (skippedMs += 20_000);
    try {
      const end = await send(channel, { pieces: [Buffer.alloc(20 * FRAME_BYTES)] });
      expect(end.reply).toEqual({ type: 'end', frames: 8 });
    } finally {
      performance.now = realNow;
    }
  });

  it('says that its end is missing where Redis takes no more of it', async () => {
    const channel = new Channel();
    const pieces = [Buffer.alloc(20 * FRAME_BYTES)];
    channel.sendFrame = (_, __, n, bytes) => {
      if (n === 3) return Promise.reject(new Error('Redis is away'));
      channel.sent.push({ n, bytes: Buffer.concat(bytes) });
      return Promise.resolve(`${n + 1}-0`);
    };
    const realNow = performance.now.bind(performance);
    // The patience is over at once.
    let skippedMs = 0;
    performance.now = () => realNow() + (skippedMs += 20_000);
    try {
      expect((await send(channel, { pieces })).reply).toEqual({ type: 'end', frames: 3 });
    } finally {
      performance.now = realNow;
    }
  });
});

it('frames have the same length, but for the last', () => {
  const pieces = [Buffer.alloc(10), Buffer.alloc(FRAME_BYTES + 5), Buffer.alloc(0), Buffer.alloc(3)];
  expect([...framesOf(pieces)].map((frame) => Buffer.concat(frame).length)).toEqual([FRAME_BYTES, 18]);
  expect([...framesOf([Buffer.alloc(FRAME_BYTES)])]).toHaveLength(1);
  expect([...framesOf([])]).toEqual([]);
});
