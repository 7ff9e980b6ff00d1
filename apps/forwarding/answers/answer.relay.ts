import { Inject, Injectable } from '@nestjs/common';
import { setImmediate as turn } from 'node:timers/promises';
import type { DaypassConfig } from '#libs/config/config.js';
import { errorAnswer } from '#libs/contracts/answers.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { AnswerReader, Whole } from '#libs/endpoints/endpoint.js';
import { STREAM_TYPE } from '#libs/endpoints/event.stream.js';
import { endpointOf } from '#libs/endpoints/registry.js';
import { CONFIG } from '#libs/service/platform.tokens.js';
import { ShelfStore } from '#libs/shelf/shelf.store.js';
import { piecesOf, readBytes, readEvents } from './response.body.js';
import { metaOf } from '../domain/reply-meta.js';
import { settle, settleCut, type Settlement } from '../domain/settlement.js';
import { countOutput } from './answer.progress.js';
import { MemoryRoom } from '#libs/pacing/memory.room.js';
import { judgedWhole, paidOf, type Answered, type Answering } from './answered.js';
import { FramedAnswers } from './framed.answers.js';
import { LargeAnswers } from './large.answers.js';
import { OutputGate } from './output.gate.js';
import { ReplyChannel } from '#libs/holds/reply.channel.js';
import { StreamAnswer, type StreamCall, type StreamParts } from './stream.answer.js';
import { StreamPace } from './stream.pace.js';
import { WholeAnswer } from './whole.answer.js';

/** Pieces of one read may take so long before the process turns to its other calls. */
const WORK_MAX_MS = 5;
const NOTHING = new Uint8Array();

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
    const { ticket, controller } = call;
    const bytes = Number(ticket.facts.answerBytes ?? 0);
    return this.room.within(ticket.keyId, bytes, controller.signal, async () =>
      this.frames.sent(call, await this.read(call, response)),
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

  private async read(call: StreamCall, response: Response): Promise<Answered> {
    const { ticket } = call;
    const reader = endpointOf(ticket).reader(ticket, call.of);
    call.progress.report = reader.report;
    let whole: Whole;
    try {
      whole = await this.wholeOf(ticket, reader, response);
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
    if (reader.gathersEvents && contentType.startsWith(STREAM_TYPE)) {
      for await (const events of readEvents(response, turn)) for (const event of events) reader.event(event);
      reader.end();
      return reader.whole(NOTHING, contentType);
    }
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
