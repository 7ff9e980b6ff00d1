import { KEPT_ANSWER_BYTES_MAX } from '#libs/contracts/answers.js';
import type { Reply } from '#libs/contracts/reply.js';
import type { AnswerReader, Flow } from '#libs/endpoints/endpoint.js';
import { endpointOf } from '#libs/endpoints/registry.js';
import type { ReplyChannel } from '#libs/holds/reply.channel.js';
import { metaOf } from '../domain/reply-meta.js';
import { settle, settleCut, type Settlement } from '../domain/settlement.js';
import type { ShownAnswer } from './answer.progress.js';
import { unjudgedWord, wholeReply, type Answered } from './answered.js';
import { ReplyWriter } from './reply.writer.js';
import { boundedPieces, readEvents, readOn } from './response.body.js';
import type { StreamCall } from './stream.answer.js';
import type { StreamPace } from './stream.pace.js';

export interface FlowParts {
  reader: AnswerReader;
  flow: Flow;
  pace: StreamPace;
}

/** Hands on what the visitor gets of an answer. @throws MisshapenAnswer, UpstreamStreamError, or the error that broke it off */
export async function readFlow(
  { ticket, controller }: Pick<StreamCall, 'ticket' | 'controller'>,
  { reader, flow, pace, take }: FlowParts & { take: (bytes: Uint8Array) => Promise<void> },
  response: Response,
): Promise<void> {
  const { answerBytesMax } = endpointOf(ticket);
  const hand = async (bytes: Uint8Array): Promise<void> => {
    if (bytes.byteLength > 0) await take(bytes);
  };
  if (!flow.inEvents) {
    for await (const piece of boundedPieces(response, answerBytesMax)) await hand(flow.bytes(piece));
    return flow.end();
  }
  pace.join();
  try {
    const pause = (): Promise<void> => (reader.done ? Promise.resolve() : pace.pause());
    const reads = readEvents(response, pause, answerBytesMax);
    for (let next = await reads.next(); !next.done; next = await reads.next()) {
      for (const event of next.value) await hand(flow.event(event));
      if (!reader.done) continue;
      // The visitor does not wait for the upstream to close.
      readOn(reads, controller);
      break;
    }
    flow.end();
  } finally {
    pace.leave();
  }
}

/**
 * A whole answer whose bytes its visitor gets as they come, because nobody judges them. Forwarding keeps some frames of it. How
 * long it will be, nobody knows: only its connection says that it ended, or that it broke off.
 */
export class FlowingAnswer implements ShownAnswer {
  opened = false;
  private readonly writer: ReplyWriter;
  /** A write was lost. What is still to come tells the cost. */
  private isLost = false;
  /** For a repeat under the call's idempotency key; null: nobody keeps it. */
  private kept: Uint8Array[] | null;
  private keptBytes = 0;

  constructor(
    private readonly call: StreamCall,
    private readonly parts: FlowParts,
    channel: ReplyChannel,
  ) {
    this.writer = new ReplyWriter(channel, call.ticket);
    this.kept = call.ticket.keepAnswer ? [] : null;
  }

  /** @throws MisshapenAnswer, UpstreamStreamError, or the error that broke the answer off */
  async answer(response: Response): Promise<Answered> {
    const { ticket, progress, onAnswer } = this.call;
    progress.shown = this;
    await readFlow(this.call, { ...this.parts, take: (bytes) => this.show(bytes) }, response);
    onAnswer();
    const settlement =
      settle(ticket, this.parts.reader.report) ??
      settleCut(ticket, { ...(await progress.cut(ticket, { hungUp: false })), unseenMs: 0 }, endpointOf(ticket));
    if (!(await this.flushed()))
      return { settlement, reply: this.writer.lastReply(), outcome: 'reply_lost', observed: [] };
    const reply: Reply = { ...this.writer.lastReply(), whole: true };
    return { settlement, reply, ...this.keptReply(settlement), outcome: 'ok', observed: [] };
  }

  /** Its connection ends short: no error can stand in bytes. */
  async broken(): Promise<Reply> {
    await this.flushed();
    return this.writer.lastReply();
  }

  private async show(bytes: Uint8Array): Promise<void> {
    this.call.onAnswer();
    this.keep(bytes);
    if (this.isLost) return;
    if (!this.opened) this.open();
    await this.writer.write(bytes).catch(() => (this.isLost = true));
  }

  private open(): void {
    this.opened = true;
    const { ticket, queueMs } = this.call;
    const { contentType } = this.parts.flow;
    const meta = metaOf(ticket, queueMs, unjudgedWord(ticket));
    // `write` and `flushed` tell what was lost.
    void this.writer.open({ type: 'open', status: 200, contentType, headers: {}, meta }).catch(() => undefined);
  }

  private keep(bytes: Uint8Array): void {
    this.keptBytes += bytes.byteLength;
    if (this.keptBytes > KEPT_ANSWER_BYTES_MAX) this.kept = null;
    this.kept?.push(bytes);
  }

  private keptReply(settlement: Settlement): { kept?: Reply } {
    if (!this.kept) return {};
    const { contentType } = this.parts.flow;
    const shown = { contentType, body: Buffer.concat(this.kept) };
    return { kept: wholeReply(this.call, settlement, shown, unjudgedWord(this.call.ticket)) };
  }

  private async flushed(): Promise<boolean> {
    return this.writer.flush().then(
      () => !this.isLost,
      () => false,
    );
  }
}
