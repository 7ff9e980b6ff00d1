/** @modules own */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { Reply } from '#libs/contracts/reply.js';
import type { AnswerOf, AnswerReader } from '#libs/endpoints/endpoint.js';
import type { Shelved } from '#libs/endpoints/shelved.js';
import { Progress } from './answer.progress.js';
import { serveNumbered, type NumberedEvent } from './numbered.fixture.js';
import type { OutputGate, OutputVerdict } from './output.gate.js';
import type { ReplyChannel } from '#libs/holds/reply.channel.js';
import { ShownStream } from './shown.stream.js';
import { StreamAnswer } from './stream.answer.js';
import { StreamPace } from './stream.pace.js';

beforeAll(serveNumbered);
afterEach(() => void jest.restoreAllMocks());

const PASS = { word: 'pass' } as const;
const BLOCKED = { word: 'blocked' } as const;
const unavailable = () => ({
  word: 'unavailable' as const,
  error: new DaypassError('moderation_unavailable', 'no verdict'),
});
const last: NumberedEvent = { t: 'end', last: true, usage: { input: 3, output: 2 } };
/** Longer than any of these tests lasts. */
const NEVER_MS = 60_000;

interface Options {
  output?: string;
  events?: (NumberedEvent | number | 'break')[];
  verdict?: OutputVerdict;
  verdictMs?: number;
  beatMs?: number;
  keepAnswer?: boolean;
  shelf?: 'stored' | 'full';
  of?: AnswerOf;
  lost?: boolean;
}

/** Lets a stream come in, and gathers what goes out. A number in `events` is a pause in ms. */
function streamOf({
  output = 'off',
  events = [{}, { t: 'Hello.' }, last],
  verdict = PASS,
  verdictMs = 0,
  beatMs = NEVER_MS,
  keepAnswer = false,
  shelf = 'stored',
  of = { tag: '' },
  lost = false,
}: Options) {
  const ticket = {
    keyId: 'k',
    requestId: 'r',
    endpoint: 'numbered',
    outputs: 1,
    facts: {},
    keepAnswer,
    policy: { input: 'off', output, thresholds: {}, onUnavailable: 'closed' },
    inputVerdict: 'off',
    inputTokens: 3,
    capTokens: 99,
    heldNano: '1000',
    feeNano: '0',
    tierPercent: 100,
    price: { input: 1, cachedInput: 1, cacheWrite: 1, output: 1 },
  } as unknown as Ticket;
  const judge = async () => {
    await sleep(verdictMs);
    return verdict;
  };
  const gate = {
    verdictOnWhole: async () => ({ verdict: await judge(), events: [] }),
    verdictOnPart: judge,
    countVerdict: () => undefined,
    remember: () => undefined,
  } as unknown as OutputGate;
  const sent: Reply[] = [];
  const shelved: { keyId: string; record: Shelved; sent: number }[] = [];
  const channel = {
    send: ({ reply }: { reply: Reply }) => {
      if (lost && reply.type === 'frames') {
        // So long that forwarding does not repeat it.
        const nowMs = performance.now();
        jest.spyOn(performance, 'now').mockImplementation(() => nowMs + 100_000);
        return Promise.reject(new Error('Redis took no frame'));
      }
      return Promise.resolve(void sent.push(reply));
    },
  } as unknown as ReplyChannel;
  const put = ({ keyId }: { keyId: string }, record: Shelved) => {
    shelved.push({ keyId, record, sent: sent.length });
    return Promise.resolve(shelf);
  };
  const controller = new AbortController();
  const progress = new Progress();
  async function* body(): AsyncGenerator<Uint8Array> {
    for (const event of events) {
      controller.signal.throwIfAborted();
      if (event === 'break') throw new Error('the connection broke');
      if (typeof event === 'number') await sleep(event, undefined, { signal: controller.signal });
      else yield Buffer.from(`data: ${JSON.stringify(event)}\n\n`);
    }
  }
  const response = {
    headers: new Headers({ 'content-type': 'text/event-stream' }),
    body: body(),
  } as unknown as Response;
  const call = { ticket, queueMs: 0, of, progress, controller, onAnswer: () => undefined };
  const parts = { channel, gate, shelf: { put }, pace: new StreamPace(), beatMs };
  return { answered: new StreamAnswer(call, parts).answer(response), sent, shelved, progress, controller };
}

/** What the visitor gets before the end, and with it. */
async function shownBy(stream: ReturnType<typeof streamOf>) {
  const answered = await stream.answered;
  const before = stream.sent.flatMap((reply) => (reply.type === 'frames' ? [reply.text] : [])).join('');
  const { reply, kept } = answered;
  const end = reply.type === 'end' ? reply.text : reply.type === 'answer' ? reply.body : undefined;
  return { ...answered, before, end, keptBody: kept?.type === 'answer' ? kept.body : undefined };
}

describe('a stream that the visitor sees as it comes', () => {
  it.each(['off', 'observe', 'window', 'trail'])(
    'has its last frame with its end, numbered in order (%s)',
    async (output) => {
      const shown = await shownBy(streamOf({ output }));
      expect(shown.before).toBe('1 begun\n2 Hello.\n');
      expect(shown.reply).toEqual({ type: 'end', frames: expect.any(Number), text: '3 end last store\n', whole: true });
    },
  );

  it('is on the shelf, as it was shown, before its end goes out', async () => {
    const stream = streamOf({ of: { tag: 'beef', kept: { store: true } } });
    await stream.answered;
    expect(stream.shelved).toEqual([
      {
        keyId: 'k',
        record: expect.objectContaining({ id: 'ofbeef', response: { shown: ['begun', 'Hello.', 'end last store'] } }),
        sent: stream.sent.length,
      },
    ]);
  });

  it('says that it is not stored where the shelf is full, also to a repeat', async () => {
    const shown = await shownBy(streamOf({ shelf: 'full', keepAnswer: true }));
    expect(shown.end).toBe('3 end last no store\n');
    expect(shown.keptBody).toBe('1 begun\n2 Hello.\n3 end last no store\n');
  });

  it('is not put on the shelf where the visitor does not want it, or where it failed', async () => {
    const unwanted = streamOf({ of: { tag: '', kept: { store: false } } });
    await unwanted.answered;
    const failed = streamOf({ output: 'window', verdict: unavailable() });
    await failed.answered;
    expect([unwanted.shelved, failed.shelved]).toEqual([[], []]);
  });

  it('counts the text of its last frame, and no frame without text', async () => {
    const stream = streamOf({});
    await stream.answered;
    expect(stream.progress.texts.texts()).toEqual(['Hello.end']);
    expect((await stream.progress.cut({}, { hungUp: false })).seenTokens).toBe(2);
  });

  it.each(['window', 'trail'])(
    'ends in the blocked form after a verdict, and is kept only as it was shown (%s)',
    async (output) => {
      const stream = streamOf({ output, verdict: BLOCKED, keepAnswer: true, events: [{}, { t: 'Bad.' }, 1_000, last] });
      const shown = await shownBy(stream);
      expect(shown).toMatchObject({ outcome: 'output_blocked', reply: { type: 'end' } });
      expect(shown.reply).not.toHaveProperty('whole');
      expect(shown.before).toMatch(output === 'window' ? /^1 begun\n$/ : /^1 begun\n2 Bad\.\n$/);
      expect(shown.end).toMatch(/^[23] blocked begun=true last store\n$/);
      expect(shown.keptBody).toBe(`${shown.before}${shown.end}`);
      expect(stream.shelved).toHaveLength(1);
    },
  );

  it('has a blocked form from scratch for a repeat of the call', async () => {
    const { again } = await streamOf({ output: 'window', verdict: BLOCKED, events: [{}, { t: 'Bad.' }, last] })
      .answered;
    expect(again).toMatchObject({
      type: 'answer',
      status: 200,
      body: '1 blocked begun=false last store\n',
      meta: { costNano: '0', moderation: { output: 'blocked' } },
    });
  });

  it('does not wait for an upstream that keeps its stream open after the last event', async () => {
    const stream = streamOf({ events: [{}, last, NEVER_MS] });
    const begunMs = performance.now();
    expect(await stream.answered).toMatchObject({ outcome: 'ok' });
    expect(performance.now() - begunMs).toBeLessThan(900);
    // It hangs up then.
    await sleep(1_200);
    expect(stream.controller.signal.aborted).toBe(true);
  });

  it('leaves the connection of an upstream that closes its stream for the next call', async () => {
    const stream = streamOf({ events: [{}, last, 20] });
    await stream.answered;
    await sleep(1_200);
    expect(stream.controller.signal.aborted).toBe(false);
  });

  it('that lost a frame ends with an error in its own form, and is not kept', async () => {
    const stream = streamOf({ lost: true, keepAnswer: true, events: [{ t: 'Hello.' }, last] });
    await expect(stream.answered).resolves.toMatchObject({ outcome: 'reply_lost' });
    expect(await shownBy(stream)).toMatchObject({
      end: expect.stringMatching(/upstream_outcome_unknown charged=true begun=true last store\n$/),
      keptBody: undefined,
    });
    expect(stream.shelved).toEqual([]);
  });

  it('that breaks off can be ended with an error after what was shown', async () => {
    const stream = streamOf({ events: [{}, { t: 'Hello.' }, 'break'] });
    await expect(stream.answered).rejects.toThrow('the connection broke');
    const error = new DaypassError('upstream_outcome_unknown', 'It broke.');
    expect(await stream.progress.shown!.broken(error, true)).toMatchObject({
      type: 'end',
      text: '3 upstream_outcome_unknown charged=true begun=true last store\n',
    });
  });

  it('that breaks off names the number of its last frame in its end, though that was still on its way', async () => {
    const stream = streamOf({ events: [{}, { t: 'Hello.' }, 'break'] });
    await expect(stream.answered).rejects.toThrow('the connection broke');
    (stream.progress.shown as ShownStream).send('late\n');
    const ended = await stream.progress.shown!.broken(new DaypassError('upstream_outcome_unknown', 'It broke.'), true);
    expect(ended).toMatchObject({ type: 'end', frames: stream.sent.filter(({ type }) => type === 'frames').length });
  });

  it('that breaks off shows what guards let go until its error goes out', async () => {
    const stream = streamOf({
      output: 'window',
      events: [{}, { t: 'Hello.' }, { t: ' Bye.' }, 'break'],
      verdictMs: 30,
    });
    await expect(stream.answered).rejects.toThrow('the connection broke');
    // Meanwhile Daypass counts what the call costs.
    await sleep(60);
    const ended = await stream.progress.shown!.broken(new DaypassError('upstream_outcome_unknown', 'cut'), true);
    const seen = stream.sent.flatMap((reply) => (reply.type === 'frames' ? [reply.text] : [])).join('');
    expect(seen).toMatch(/^1 begun\n2 Hello\.\n/);
    const [shown, next] = [
      seen.trimEnd().split('\n').length,
      Number(/^\d+/.exec((ended as { text: string }).text)![0]),
    ];
    expect(next).toBe(shown + 1);
  });

  it('that breaks off does not count what guards let go afterwards', async () => {
    const stream = streamOf({ events: [{}, { t: 'Hello.' }, 'break'] });
    await expect(stream.answered).rejects.toThrow('the connection broke');
    const ended = stream.progress.shown!.broken(new DaypassError('upstream_outcome_unknown', 'It broke.'), true);
    (stream.progress.shown as ShownStream).show('late\n');
    expect(await ended).toMatchObject({ text: '3 upstream_outcome_unknown charged=true begun=true last store\n' });
  });
});

describe('a stream that guards hold back', () => {
  it('tells its verdict and its cost in its head where it is fast', async () => {
    const shown = await shownBy(streamOf({ output: 'gate', verdictMs: 20 }));
    expect(shown).toMatchObject({
      before: '',
      end: '1 begun\n2 Hello.\n3 end last store\n',
      reply: { type: 'answer', status: 200, meta: { costNano: '5', moderation: { output: 'pass' } } },
    });
  });

  it('shows what holds nothing to judge after a while, then that it still comes, and the rest with its end', async () => {
    const stream = streamOf({ output: 'gate', verdictMs: 250, beatMs: 60, keepAnswer: true });
    const shown = await shownBy(stream);
    expect(stream.sent[0]).toMatchObject({ type: 'open', meta: { moderation: { output: 'gate' } } });
    expect(shown.before).toMatch(/^1 begun\n2 beat\n(\d beat\n)*$/);
    expect(shown.end).toMatch(/^\d Hello\.\n\d end last store\n$/);
    const all = `${shown.before}${shown.end}`;
    const numbers = [...all.matchAll(/^(\d+) /gm)].map(([, number]) => Number(number));
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    expect(shown.reply).toMatchObject({ whole: true });
    expect(shown.keptBody).toBe(all);
    const sent = stream.sent.length;
    await sleep(150);
    expect(stream.sent).toHaveLength(sent);
  });

  it('shows none of its frames that stand behind one that has something to judge', async () => {
    const events = [{}, { t: 'Hello.' }, {}, last];
    const shown = await shownBy(streamOf({ output: 'gate', events, verdict: BLOCKED, verdictMs: 200, beatMs: 50 }));
    expect(shown.before).toMatch(/^1 begun\n(\d beat\n)*$/);
  });

  it.each([
    ['blocked', BLOCKED, /^\d blocked begun=true last store\n$/, 'output_blocked'],
    [
      'without a verdict',
      unavailable(),
      /^\d moderation_unavailable charged=true begun=true last store\n$/,
      'moderation_unavailable',
    ],
  ] as const)('ends in the stream once that is open, where it is %s', async (_, verdict, end, outcome) => {
    const shown = await shownBy(streamOf({ output: 'gate', verdict, verdictMs: 200, beatMs: 50 }));
    expect(shown).toMatchObject({ outcome, end: expect.stringMatching(end) });
    expect(shown.before).not.toContain('Hello');
  });

  it('ends with an error where a first frame of it was lost', async () => {
    const shown = await shownBy(streamOf({ output: 'gate', verdictMs: 200, beatMs: 50, lost: true }));
    expect(shown.end).toMatch(/upstream_outcome_unknown charged=true begun=true last store\n$/);
    expect(shown.end).not.toContain('Hello');
  });

  it('is redacted after its first frames', async () => {
    const verdict = { word: 'redacted', redactions: [{ find: 'Hello', replace: '***' }] } as unknown as OutputVerdict;
    const shown = await shownBy(streamOf({ output: 'gate', verdict, verdictMs: 200, beatMs: 50 }));
    expect(shown.end).toMatch(/^\d \*\*\*\.\n\d end last store\n$/);
  });

  it('shows nothing before the upstream sent something', async () => {
    const stream = streamOf({ output: 'gate', beatMs: 30, events: [200, { t: 'Hi.' }, last] });
    expect(await shownBy(stream)).toMatchObject({ before: '', reply: { type: 'answer' } });
  });

  it('says under `window`, too, that it still comes', async () => {
    const shown = await shownBy(streamOf({ output: 'window', verdictMs: 200, beatMs: 50 }));
    expect(shown.before).toMatch(/^1 begun\n2 beat\n(\d beat\n)*\d Hello\.\n$/);
  });

  describe('is silent', () => {
    beforeEach(() => void jest.useFakeTimers());
    afterEach(() => void jest.useRealTimers());
    const silentFor100Ms = (send: () => Promise<void>) => {
      const channel = { send } as unknown as ReplyChannel;
      const call = { ticket: { requestId: 'r' } as Ticket, queueMs: 0 };
      const shown = new ShownStream(call, { isLast: () => false }, {} as AnswerReader, channel, true);
      const silences = jest.fn();
      shown.whenSilent(100, silences);
      return { shown, silences };
    };

    it('from its last frame on, not from its beginning', () => {
      const { shown, silences } = silentFor100Ms(() => Promise.resolve());
      jest.advanceTimersByTime(60);
      shown.show('a frame\n');
      jest.advanceTimersByTime(99);
      expect(silences).not.toHaveBeenCalled();
      jest.advanceTimersByTime(1);
      expect(silences).toHaveBeenCalledTimes(1);
    });

    it('without a sign of life once a frame was lost', async () => {
      const { shown, silences } = silentFor100Ms(() => Promise.reject(new Error('Redis is away')));
      shown.show('a frame\n');
      const flushed = shown.flushed();
      await jest.advanceTimersByTimeAsync(200_000);
      expect(await flushed).toBe(false);
      silences.mockClear();
      await jest.advanceTimersByTimeAsync(1_000);
      expect(silences).not.toHaveBeenCalled();
    });
  });

  it('says nothing where nobody holds it back', async () => {
    const shown = await shownBy(streamOf({ output: 'off', beatMs: 30, events: [{}, 150, last] }));
    expect(shown.before).not.toContain('beat');
  });
});
