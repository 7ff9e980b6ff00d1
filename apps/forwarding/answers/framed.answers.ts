import { setTimeout as sleep } from 'node:timers/promises';
import { KEPT_ANSWER_BYTES_MAX } from '#libs/contracts/answers.js';
import type { Reply } from '#libs/contracts/reply.js';
import { insist } from '#libs/redis/insist.js';
import type { Answered, Answering } from './answered.js';
import type { OutputGate } from './output.gate.js';
import type { ReplyChannel } from '#libs/holds/reply.channel.js';

/** One argument of a script, and one entry of a stream, has at most so many bytes of an answer. */
export const FRAME_BYTES = 524_288;
/** So many bytes come with the end of the call. */
const LAST_BYTES = 1_024;
/** So many frames of one answer lie in Redis at most until its ingress has read them. */
const AHEAD = 8;
/** An ingress that reads nothing for so long is gone, or its visitor is. */
const PATIENCE_MS = 30_000;
const LOOK_EVERY_MS = 5;

type Answer = Extract<Reply, { type: 'answer' }>;
type Framed = Answering & { controller: AbortController };

/** Sends large whole answers to their ingress in frames. No script and no queue then holds megabytes of one visitor. */
export class FramedAnswers {
  constructor(
    private readonly channel: Pick<ReplyChannel, 'send' | 'sendFrame' | 'readUpTo'>,
    private readonly gate: Pick<OutputGate, 'record'>,
  ) {}

  /** The same answer, once its frames are sent where it is large: its reply then only ends it. */
  async sent(call: Framed, answered: Answered): Promise<Answered> {
    const { reply, pieces, ...rest } = answered;
    if (reply.type !== 'answer') return answered;
    const encoding = reply.binary ? 'base64' : 'utf8';
    const bytes = pieces ? lengthOf(pieces) : Buffer.byteLength(reply.body, encoding);
    const { ticket } = call;
    const asOne = (): Answer => (pieces ? { ...reply, body: Buffer.concat(pieces).toString(encoding) } : reply);
    if (bytes <= FRAME_BYTES || !ticket.takesFrames) return { ...rest, reply: asOne() };
    const body = pieces ?? [Buffer.from(reply.body, encoding)];
    // A verdict is on record before anybody sees what it let through.
    await this.gate.record(rest.events ?? []);
    const kept = ticket.keepAnswer && bytes <= KEPT_ANSWER_BYTES_MAX ? { kept: asOne() } : {};
    const end = await this.send(call, reply, body, bytes);
    return { ...rest, ...kept, events: [], reply: { type: 'end', ...end } };
  }

  /** Returns how many frames it sent. Where nobody reads them any more, `last` is not there, and ingress hangs up. */
  private async send(
    { ticket: { replyTo, requestId }, controller: { signal } }: Framed,
    { status, contentType, headers, meta }: Answer,
    body: readonly Uint8Array[],
    bytes: number,
  ): Promise<{ frames: number; last?: string }> {
    const ids: string[] = [];
    try {
      const reply = { type: 'open', status, contentType, headers, bytes, meta } as const;
      await insist(() => this.channel.send({ replyTo, requestId, reply }), PATIENCE_MS);
      let left = bytes;
      for (const frame of framesOf(body)) {
        const before = ids.at(-AHEAD);
        if (signal.aborted || (before !== undefined && !(await this.isRead(replyTo, before, signal)))) break;
        left -= lengthOf(frame);
        if (left === 0) {
          const whole = Buffer.concat(frame);
          const end = Math.max(0, whole.length - LAST_BYTES);
          if (end > 0) ids.push(await this.sendOne(replyTo, requestId, ids.length, [whole.subarray(0, end)]));
          return { frames: ids.length, last: whole.toString('base64', end) };
        }
        ids.push(await this.sendOne(replyTo, requestId, ids.length, frame));
      }
    } catch {
      // Redis is away. Ingress may have seen one frame more than this knows of, and hangs up in either case.
    }
    return { frames: ids.length };
  }

  private sendOne(replyTo: string, requestId: string, n: number, frame: readonly Uint8Array[]): Promise<string> {
    return insist(() => this.channel.sendFrame(replyTo, requestId, n, frame), PATIENCE_MS);
  }

  private async isRead(replyTo: string, id: string, signal: AbortSignal): Promise<boolean> {
    for (const untilMs = performance.now() + PATIENCE_MS; performance.now() < untilMs && !signal.aborted;) {
      if (!isAfter(id, await insist(() => this.channel.readUpTo(replyTo), PATIENCE_MS))) return true;
      await sleep(LOOK_EVERY_MS);
    }
    return false;
  }
}

const lengthOf = (pieces: readonly Uint8Array[]): number => pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);

/** The same bytes in frames of equal length, but for the last. */
export function* framesOf(body: readonly Uint8Array[]): Generator<readonly Uint8Array[]> {
  let parts: Uint8Array[] = [];
  let length = 0;
  for (const piece of body) {
    for (let from = 0; from < piece.byteLength;) {
      const part = piece.subarray(from, from + FRAME_BYTES - length);
      parts.push(part);
      length += part.byteLength;
      from += part.byteLength;
      if (length < FRAME_BYTES) continue;
      yield parts;
      parts = [];
      length = 0;
    }
  }
  if (length > 0) yield parts;
}

/** Whether an entry of a stream came after another one: `<ms>-<n>`. */
function isAfter(id: string, other: string): boolean {
  const [ms, n] = id.split('-').map(Number) as [number, number];
  const [otherMs, otherN] = other.split('-').map(Number) as [number, number];
  return ms === otherMs ? n > otherN : ms > otherMs;
}
