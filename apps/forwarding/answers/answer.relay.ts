import { Inject, Injectable } from '@nestjs/common';
import { setImmediate as turn } from 'node:timers/promises';
import type { DaypassConfig } from '#libs/config/config.js';
import { errorAnswer, KEPT_ANSWER_BYTES_MAX } from '#libs/contracts/answers.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { AnswerReader, Flow, Whole } from '#libs/endpoints/endpoint.js';
import { endpointOf } from '#libs/endpoints/registry.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { ShelfStore } from '#libs/shelf/shelf.store.js';
import { piecesOf, readBytes } from './response.body.js';
import { metaOf } from '../domain/reply-meta.js';
import { settle, settleCut, type Settlement } from '../domain/settlement.js';
import { countOutput } from './answer.progress.js';
import { MemoryRoom } from '#libs/pacing/memory.room.js';
import { judgedWhole, paidOf, type Answered, type Answering } from './answered.js';
import { FlowingAnswer, readFlow, type FlowParts } from './flowing.answer.js';
import { FRAME_BYTES, FramedAnswers } from './framed.answers.js';
import { LargeAnswers } from './large.answers.js';
import { OutputGate } from './output.gate.js';
import { ReplyChannel } from '#libs/holds/reply.channel.js';
import { StreamAnswer, type StreamCall, type StreamParts } from './stream.answer.js';
import { StreamPace } from './stream.pace.js';
import { WholeAnswer } from './whole.answer.js';

/** Pieces of one read may take so long before the process turns to its other calls. */
const WORK_MAX_MS = 5;
const NOTHING = new Uint8Array();
/** Of an answer that is shown as it comes: a frame on its way, one that waits, and what was read. */
const FLOW_BYTES = 3 * FRAME_BYTES;
/** Its copy for a repeat of the call, and that in base64. */
const KEPT_BYTES = 3 * KEPT_ANSWER_BYTES_MAX;

/** Turns the upstream's response into what the visitor may see. */
@Injectable()
export class AnswerRelay {
  private readonly parts: StreamParts;
  private readonly large = new LargeAnswers();
  private readonly room = new MemoryRoom();
  private readonly frames: FramedAnswers;

  constructor(
    @Inject(CONFIG) config: DaypassConfig,
    channel: ReplyChannel,
    private readonly gate: OutputGate,
    @Inject(ShelfStore) private readonly shelf: Pick<ShelfStore, 'put'>,
  ) {
    this.parts = { channel, gate, shelf, pace: new StreamPace(), beatMs: config.limits.beatMs };
    this.frames = new FramedAnswers(channel, gate);
  }

  /** @throws MisshapenAnswer, or the error that broke the answer off */
  whole(call: StreamCall, response: Response): Promise<Answered> {
    const { ticket, controller, of, progress } = call;
    const reader = endpointOf(ticket).reader(ticket, of);
    progress.reader = reader;
    const bytes = Number(ticket.facts.answerBytes ?? 0);
    const flow = reader.flow?.(response.headers.get('content-type') ?? '') ?? null;
    if (!flow || !ticket.takesFlow)
      return this.room.within(ticket.keyId, bytes, controller.signal, async () =>
        this.frames.sent(call, await this.read(call, reader, flow, response)),
      );
    const needed = FLOW_BYTES + (ticket.keepAnswer ? KEPT_BYTES : 0);
    const { channel, pace } = this.parts;
    return this.room.within(ticket.keyId, Math.min(bytes, needed), controller.signal, () =>
      new FlowingAnswer(call, { reader, flow, pace }, channel).answer(response),
    );
  }

  /** @throws MisshapenAnswer, UpstreamStreamError, or the error that broke the stream off */
  async stream(call: StreamCall, response: Response): Promise<Answered> {
    const { ticket, controller } = call;
    const bytes = Number(ticket.facts.answerBytes ?? 0);
    return this.room.within(ticket.keyId, bytes, controller.signal, async () =>
      this.frames.sent(call, await new StreamAnswer(call, this.parts).answer(response)),
    );
  }

  private async read(call: StreamCall, reader: AnswerReader, flow: Flow | null, response: Response): Promise<Answered> {
    const { ticket } = call;
    let whole: Whole;
    try {
      whole = flow
        ? await gathered(call, { reader, flow, pace: this.parts.pace }, response)
        : await this.wholeOf(ticket, reader, response);
    } catch (error) {
      if (!(error instanceof DaypassError)) throw error;
      call.onAnswer();
      return tooLarge(call, error, await settlementOf(ticket, []));
    }
    call.onAnswer();
    const settlement = settle(ticket, reader.report) ?? (await settlementOf(ticket, whole.seen));
    return judgedWhole(call, settlement, new WholeAnswer(call, reader, whole, this.shelf), this.gate);
  }

  private async wholeOf({ keyId }: Ticket, reader: AnswerReader, response: Response): Promise<Whole> {
    const contentType = response.headers.get('content-type') ?? '';
    if (!reader.add) {
      const bytes = await readBytes(response);
      return this.large.read(keyId, bytes.byteLength, () => reader.whole(bytes, contentType));
    }
    let sinceMs = performance.now();
    for await (const piece of piecesOf(response)) {
      reader.add(piece);
      if (performance.now() - sinceMs < WORK_MAX_MS) continue;
      await turn();
      sinceMs = performance.now();
    }
    return reader.whole(NOTHING, contentType);
  }
}

/** For an ingress of the version before, which takes no answer as it comes. */
async function gathered(call: StreamCall, parts: FlowParts, response: Response): Promise<Whole> {
  const pieces: Uint8Array[] = [];
  const take = async (bytes: Uint8Array): Promise<void> => void pieces.push(bytes);
  await readFlow(call, { ...parts, take }, response);
  const { contentType } = parts.flow;
  const blocked = (): never => {
    throw new Error('nobody judges it');
  };
  return { contents: [], provider: [], seen: [], shown: () => ({ contentType, body: pieces }), blocked };
}

/** Of an answer without a report. */
async function settlementOf(ticket: Ticket, seen: readonly string[]): Promise<Settlement> {
  const seenTokens = await countOutput(seen, ticket.encoding);
  return settleCut(ticket, { seenTokens, unseenMs: 0, flowingMs: 0, hungUp: false }, endpointOf(ticket));
}

/** The upstream did the work, so the visitor pays what the input costs. */
function tooLarge({ ticket, queueMs }: Answering, error: DaypassError, settlement: Settlement): Answered {
  const meta = { ...metaOf(ticket, queueMs), costNano: paidOf(ticket, settlement) };
  return { settlement, reply: errorAnswer(error, meta), outcome: 'answer_too_large', observed: [] };
}
