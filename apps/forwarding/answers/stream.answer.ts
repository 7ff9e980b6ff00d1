import { setImmediate as turn } from 'node:timers/promises';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import {
  MisshapenAnswer,
  type AnswerReader,
  type Endpoint,
  type Ending,
  type Frame,
  type ProviderVerdict,
} from '#libs/endpoints/endpoint.js';
import { objectOf } from '#libs/endpoints/misshapen.js';
import { endpointOf } from '#libs/endpoints/registry.js';
import type { ModerationResult } from '#libs/moderation/verdict.js';
import { peeked, readBytes, readEvents, type StreamEvent } from './response.body.js';
import { metaOf } from '../domain/reply-meta.js';
import { settle, settleCut, type Settlement } from '../domain/settlement.js';
import type { Progress } from './answer.progress.js';
import { judgedWhole, wholeReply, type Answered } from './answered.js';
import type { OutputGate } from './output.gate.js';
import { OutputWindows, type Stop } from './output.windows.js';
import type { ReplyChannel } from './reply.channel.js';
import { ReplyWriter } from './reply.writer.js';
import type { StreamPace } from './stream.pace.js';

/** A read may bring thousands of events. After so long the process turns to its other calls. */
const WORK_MAX_MS = 10;
const STREAM_TYPE = 'text/event-stream; charset=utf-8';
/** How events of a stream begin. */
const EVENT = /^\s*(data|event|id|retry)?:/;
/** Content types that upstreams answer with instead of a stream. */
const NO_STREAM = /^(application\/json|text\/html)/i;

/** What the streams of a process share. */
export interface StreamParts {
  channel: ReplyChannel;
  gate: OutputGate;
  pace: StreamPace;
}

/** A stream on its way from the upstream to its visitor. `ticket`: with the verdict on its input. */
export interface StreamCall {
  ticket: Ticket;
  queueMs: number;
  progress: Progress;
  controller: AbortController;
  /** Called when there is an answer, whatever it says. */
  onAnswer: () => void;
}

/** Reads one stream, and shows it as the policy says: after each verdict, at once, or as a whole at the end. */
export class StreamAnswer {
  private readonly endpoint: Endpoint;
  private readonly reader: AnswerReader;
  /** null: the visitor sees nothing before the guards have judged the whole stream. */
  private readonly writer: ReplyWriter | null;
  private readonly windows: OutputWindows | null;
  /** Frames that the guards judge as a whole, or that Redis keeps for a repeat. */
  private readonly kept: string[] = [];
  /** The provider's own verdicts that no guard has read yet. */
  private readonly provider: ProviderVerdict[] = [];
  private readonly results: ModerationResult[] = [];

  constructor(
    private readonly call: StreamCall,
    private readonly parts: StreamParts,
  ) {
    const { ticket } = call;
    const { output } = ticket.policy;
    this.endpoint = endpointOf(ticket);
    this.reader = this.endpoint.reader(ticket);
    this.writer = output === 'gate' ? null : new ReplyWriter(parts.channel, ticket);
    this.windows = output === 'window' || output === 'trail' ? this.windowsFor(output) : null;
  }

  /** @throws the error that broke the stream off */
  async answer(response: Response): Promise<Answered> {
    const body = NO_STREAM.test(response.headers.get('content-type') ?? '') ? await this.streamIn(response) : response;
    const { ticket, queueMs, progress } = this.call;
    progress.writer = this.writer;
    await this.writer?.open({ type: 'open', meta: metaOf(ticket, queueMs, ticket.policy.output) });
    await this.read(body);
    const reported = settle(ticket, this.reader.report);
    if (this.windows) this.countVerdict(this.windows);
    if (this.windows?.stopped) return this.stopped(this.windows.stopped, reported);
    const settlement =
      reported ?? settleCut(ticket, { ...(await progress.cut(ticket, { hungUp: false })), unseenMs: 0 });
    return this.writer ? this.shown(settlement, this.writer) : this.judged(settlement);
  }

  private async read(response: Pick<Response, 'body'>): Promise<void> {
    const { pace } = this.parts;
    pace.join();
    try {
      for await (const events of readEvents(response, () => (this.reader.done ? Promise.resolve() : pace.pause()))) {
        await this.takeAll(events);
      }
      if (!this.windows?.stopped) await this.take(this.reader.end());
      await this.windows?.finish();
    } catch (error) {
      // A verdict stopped the stream while the upstream was silent, so that Daypass broke it off itself.
      if (!this.windows?.stopped) throw error;
    } finally {
      pace.leave();
    }
  }

  private async takeAll(events: readonly StreamEvent[]): Promise<void> {
    let sinceMs = performance.now();
    for (const event of events) {
      await this.take(this.reader.event(event));
      if (performance.now() - sinceMs < WORK_MAX_MS) continue;
      await turn();
      sinceMs = performance.now();
    }
  }

  private async take(frames: readonly Frame[]): Promise<void> {
    for (const frame of frames) {
      this.call.onAnswer();
      // The last frame is no part of what the model wrote.
      if (!this.endpoint.isLast(frame.text)) this.call.progress.add(frame.texts);
      this.provider.push(...frame.provider);
      if (!this.windows) this.show(frame.text);
      else if (this.windows.add(frame)) await this.windows.drained();
    }
  }

  private readonly show = (text: string): void => {
    this.writer?.frames(text);
    if (!this.writer || this.call.ticket.keepAnswer) this.kept.push(text);
  };

  private windowsFor(mode: 'window' | 'trail'): OutputWindows {
    const { ticket, controller } = this.call;
    const { gate } = this.parts;
    // Nobody can take out what the visitor has seen already.
    const found = mode === 'trail' ? 'refuse' : 'redact';
    return new OutputWindows({
      mode,
      verdictOn: (contents) =>
        gate.verdictOnPart(ticket, contents, { found, provider: this.provider.splice(0) }, this.results),
      hasMore: () => this.provider.length > 0,
      redact: (frames, redactions) => this.reader.redacted(frames, redactions),
      show: this.show,
      onStop: () => controller.abort(new OutputStopped('the output was stopped')),
    });
  }

  private countVerdict(windows: OutputWindows): void {
    const { gate } = this.parts;
    gate.countVerdict(this.call.ticket, windows.stopped?.word ?? windows.word);
    if (windows.word === 'pass' && !windows.stopped)
      gate.remember(this.call.ticket, this.call.progress.texts.contents(), this.results);
  }

  /** Ends a stream that the visitor saw as it came. Its cost stays the same where the last frames are lost. */
  private async shown(settlement: Settlement, writer: ReplyWriter): Promise<Answered> {
    const { ticket, progress } = this.call;
    if (!(await flushed(writer))) return this.lost(settlement, writer);
    const observed = ticket.policy.output === 'observe' ? progress.texts.contents() : [];
    const kept = this.repeat(settlement, this.kept.join(''), ticket.policy.output);
    return { settlement, reply: writer.lastReply(), ...kept, outcome: 'ok', observed };
  }

  /** Ends a stream that a verdict stopped. The visitor pays what the model generated until then. */
  private async stopped(stop: Stop, reported: Settlement | null): Promise<Answered> {
    const { ticket, progress } = this.call;
    const writer = this.writer!;
    const settlement = reported ?? settleCut(ticket, await progress.cut(ticket, { hungUp: true }));
    const why: Ending = stop.word === 'blocked' ? { kind: 'blocked' } : { kind: 'error', error: stop.error };
    const lastFrames = this.reader.ending(why, true, settlement.detail.usage);
    if (!(await flushed(writer))) return this.lost(settlement, writer);
    const isBlocked = stop.word === 'blocked';
    const kept = isBlocked ? this.repeat(settlement, `${this.kept.join('')}${lastFrames}`, 'blocked') : {};
    const outcome = isBlocked ? 'output_blocked' : 'moderation_unavailable';
    return { settlement, reply: writer.lastReply(lastFrames), ...kept, outcome, observed: [] };
  }

  private judged(settlement: Settlement): Promise<Answered> {
    const shown = (frames: readonly string[]): { contentType: string; body: string } => ({
      contentType: STREAM_TYPE,
      body: frames.join(''),
    });
    const answer = {
      settlement,
      contents: this.call.progress.texts.contents(),
      provider: this.provider,
      shown: (redactions: Parameters<AnswerReader['redacted']>[1]) => {
        const frames = redactions.length > 0 ? this.reader.redacted(this.kept, redactions) : this.kept;
        return frames && shown(frames);
      },
      blocked: () => shown([this.reader.ending({ kind: 'blocked' }, false, this.reader.report.metered)]),
    };
    return judgedWhole(this.call, answer, this.parts.gate);
  }

  private repeat(settlement: Settlement, body: string, word: Parameters<typeof wholeReply>[3]): Pick<Answered, 'kept'> {
    if (!this.call.ticket.keepAnswer) return {};
    return { kept: wholeReply(this.call, settlement, { contentType: STREAM_TYPE, body }, word) };
  }

  private lost(settlement: Settlement, writer: ReplyWriter): Answered {
    const error = new DaypassError(
      'upstream_outcome_unknown',
      'The rest of the answer was lost on its way to you. It was charged.',
    );
    const lastFrames = this.reader.ending({ kind: 'error', error }, true, null);
    return { settlement, reply: writer.lastReply(lastFrames), outcome: 'reply_lost', observed: [] };
  }

  /** Some upstreams call a stream JSON. @throws MisshapenAnswer where it is none */
  private async streamIn(response: Response): Promise<Pick<Response, 'body'>> {
    const { start, body } = await peeked(response);
    if (EVENT.test(start)) return body;
    objectOf(new TextDecoder().decode(await readBytes(body)));
    throw new MisshapenAnswer('a whole answer for a stream');
  }
}

async function flushed(writer: ReplyWriter): Promise<boolean> {
  return writer.flush().then(
    () => true,
    () => false,
  );
}

/** Aborts the upstream's response after a verdict stopped the stream. */
class OutputStopped extends Error {}
