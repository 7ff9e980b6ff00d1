import { KEPT_ANSWER_BYTES_MAX } from '#libs/contracts/answers.js';
import type { Reply } from '#libs/contracts/reply.js';
import { insist } from '#libs/redis/insist.js';
import type { Answered, Answering } from './answered.js';
import { FRAME_BYTES, FrameFlow, LAST_BYTES, PATIENCE_MS } from './frame.flow.js';
import type { OutputGate } from './output.gate.js';
import type { ReplyChannel } from '#libs/holds/reply.channel.js';

export { FRAME_BYTES };

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
    const flow = new FrameFlow(this.channel, { replyTo, requestId }, signal);
    let sent = 0;
    try {
      const reply = { type: 'open', status, contentType, headers, bytes, meta } as const;
      await insist(() => this.channel.send({ replyTo, requestId, reply }), PATIENCE_MS);
      let left = bytes;
      for (const frame of framesOf(body)) {
        left -= lengthOf(frame);
        if (left > 0) {
          if (!(await flow.send(sent, frame))) break;
          sent++;
          continue;
        }
        const whole = Buffer.concat(frame);
        const end = Math.max(0, whole.length - LAST_BYTES);
        if (end > 0) {
          if (!(await flow.send(sent, [whole.subarray(0, end)]))) break;
          sent++;
        }
        return { frames: sent, last: whole.toString('base64', end) };
      }
    } catch {
      // Redis is away. Ingress may have seen one frame more than this knows of, and hangs up in either case.
    }
    return { frames: sent };
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
