import { Injectable } from '@nestjs/common';
import { endpointOf } from '#libs/endpoints/registry.js';
import { readBytes } from './response.body.js';
import { settle, settleCut } from '../domain/settlement.js';
import { countOutput } from './answer.progress.js';
import { judgedWhole, type Answered, type Answering } from './answered.js';
import { LargeAnswers } from './large.answers.js';
import { OutputGate } from './output.gate.js';
import { ReplyChannel } from './reply.channel.js';
import { StreamAnswer, type StreamCall, type StreamParts } from './stream.answer.js';
import { StreamPace } from './stream.pace.js';

/** Turns the upstream's response into what the visitor may see. */
@Injectable()
export class AnswerRelay {
  private readonly parts: StreamParts;
  private readonly large = new LargeAnswers();

  constructor(
    channel: ReplyChannel,
    private readonly gate: OutputGate,
  ) {
    this.parts = { channel, gate, pace: new StreamPace() };
  }

  /** @throws MisshapenAnswer, or the error that broke the answer off */
  async whole(call: Answering & Pick<StreamCall, 'onAnswer'>, response: Response): Promise<Answered> {
    const { ticket } = call;
    const reader = endpointOf(ticket).reader(ticket);
    const bytes = await readBytes(response);
    const contentType = response.headers.get('content-type') ?? '';
    const whole = await this.large.read(ticket.keyId, bytes.byteLength, () => reader.whole(bytes, contentType));
    call.onAnswer();
    const settlement =
      settle(ticket, reader.report) ??
      settleCut(ticket, {
        seenTokens: await countOutput(whole.seen, ticket.encoding),
        unseenMs: 0,
        flowingMs: 0,
        hungUp: false,
      });
    return judgedWhole(call, { ...whole, settlement }, this.gate);
  }

  /** @throws MisshapenAnswer, UpstreamStreamError, or the error that broke the stream off */
  stream(call: StreamCall, response: Response): Promise<Answered> {
    return new StreamAnswer(call, this.parts).answer(response);
  }
}
