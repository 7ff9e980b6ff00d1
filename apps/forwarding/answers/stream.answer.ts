import { setImmediate as turn } from 'node:timers/promises';
import {
  MisshapenAnswer,
  type AnswerReader,
  type Endpoint,
  type Frame,
  type ProviderVerdict,
  type Shown,
} from '#libs/endpoints/endpoint.js';
import { objectOf } from '#libs/endpoints/misshapen.js';
import { endpointOf } from '#libs/endpoints/registry.js';
import type { ModerationResult } from '#libs/moderation/verdict.js';
import type { ShelfStore } from '#libs/shelf/shelf.store.js';
import { peeked, readBytes, readEvents, readOn, type StreamEvent } from './response.body.js';
import { settle, settleCut, type Settlement } from '../domain/settlement.js';
import type { Progress } from './answer.progress.js';
import { againOf, judgedWhole, unjudgedWord, type Answered, type Answering } from './answered.js';
import { GatedStream } from './gated.stream.js';
import type { OutputGate } from './output.gate.js';
import { OutputWindows, type Stop } from './output.windows.js';
import type { ReplyChannel } from '#libs/holds/reply.channel.js';
import { ShownStream, STREAM_TYPE } from './shown.stream.js';
import type { StreamPace } from './stream.pace.js';

/** A read may bring thousands of events. After so long the process turns to its other calls. */
const WORK_MAX_MS = 10;
/** How events of a stream begin. */
const EVENT = /^\s*(data|event|id|retry)?:/;
/** Content types that upstreams answer with instead of a stream. */
const NO_STREAM = /^(application\/json|text\/html)/i;

/** What the streams of a process share. */
export interface StreamParts {
  channel: ReplyChannel;
  gate: OutputGate;
  shelf: Pick<ShelfStore, 'put'>;
  pace: StreamPace;
  /** A stream that is held back for so long gets a sign of life, where its API has one. */
  beatMs: number;
}

/** An answer on its way from the upstream to its visitor. `ticket`: with the verdict on its input. */
export interface StreamCall extends Answering {
  progress: Progress;
  controller: AbortController;
  /** Called when there is an answer, whatever it says. */
  onAnswer: () => void;
}

/** Reads one stream, and shows it as the policy says: after each verdict, at once, or as a whole at the end. */
export class StreamAnswer {
  private readonly endpoint: Endpoint;
  private readonly reader: AnswerReader;
  private readonly stream: ShownStream;
  /** null: the guards do not judge the stream piece by piece. */
  private readonly windows: OutputWindows | null;
  /** null: the visitor sees frames before the guards have judged the whole stream. */
  private readonly gated: GatedStream | null;
  /** What the upstream sent first. */
  private first: StreamEvent | undefined;
  /** The provider's own verdicts that no guard has read yet. */
  private readonly provider: ProviderVerdict[] = [];
  private readonly results: ModerationResult[] = [];

  constructor(
    private readonly call: StreamCall,
    private readonly parts: StreamParts,
  ) {
    const { ticket, of } = call;
    const { output } = ticket.policy;
    this.endpoint = endpointOf(ticket);
    this.reader = this.endpoint.reader(ticket, of);
    this.stream = new ShownStream(call, this.endpoint, this.reader, parts.channel, output !== 'gate');
    this.windows = output === 'window' || output === 'trail' ? this.windowsFor(output) : null;
    this.gated = output === 'gate' ? this.gatedStream() : null;
  }

  /** @throws the error that broke the stream off */
  async answer(response: Response): Promise<Answered> {
    const body = NO_STREAM.test(response.headers.get('content-type') ?? '') ? await this.streamIn(response) : response;
    const { ticket, progress } = this.call;
    progress.shown = this.stream;
    progress.reader = this.reader;
    if (!this.gated) await this.stream.open();
    this.waitInSight();
    try {
      await this.read(body);
      const reported = settle(ticket, this.reader.report);
      if (this.windows) this.countVerdict(this.windows);
      if (this.windows?.stopped) return await this.stopped(this.windows.stopped, reported);
      const settlement =
        reported ??
        settleCut(ticket, { ...(await progress.cut(ticket, { hungUp: false })), unseenMs: 0 }, this.endpoint);
      return await (this.gated
        ? judgedWhole(this.call, settlement, this.gated, this.parts.gate)
        : this.shown(settlement));
    } finally {
      this.stream.quiet();
    }
  }

  /** While guards hold frames back, clients that wait for the next event must not give up. */
  private waitInSight(): void {
    if (!this.reader.beat || (!this.gated && !this.windows)) return;
    this.stream.whenSilent(this.parts.beatMs, () => {
      if (this.stream.opened) this.stream.beat();
      else this.gated?.openEarly();
    });
  }

  private async read(response: Pick<Response, 'body'>): Promise<void> {
    const { pace } = this.parts;
    pace.join();
    try {
      const pause = (): Promise<void> => (this.reader.done ? Promise.resolve() : pace.pause());
      const reads = readEvents(response, pause, this.endpoint.answerBytesMax);
      for (let next = await reads.next(); !next.done; next = await reads.next()) {
        await this.takeAll(next.value);
        if (!this.reader.done) continue;
        // The visitor does not wait for the upstream to close.
        readOn(reads, this.call.controller);
        break;
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
      this.first ??= event;
      await this.take(this.reader.event(event));
      if (performance.now() - sinceMs < WORK_MAX_MS) continue;
      await turn();
      sinceMs = performance.now();
    }
  }

  private async take(frames: readonly Frame[]): Promise<void> {
    for (const frame of frames) {
      this.call.onAnswer();
      this.call.progress.add(frame.texts, this.windows ? [] : frame.images);
      this.provider.push(...frame.provider);
      if (this.gated) this.gated.add(frame);
      else if (!this.windows) this.stream.show(frame.text);
      else if (this.windows.add(frame)) await this.windows.drained();
      if (this.stream.isBehind) await this.stream.flushed();
    }
  }

  private gatedStream(): GatedStream {
    const { progress } = this.call;
    return new GatedStream(this.stream, {
      reader: this.reader,
      provider: this.provider,
      contents: () => progress.contents(),
      shelve: () => this.stream.shelve(this.parts.shelf),
      blocked: (categories) => this.blocked(categories),
    });
  }

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
      show: (frame) => this.stream.show(frame),
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
  private async shown(settlement: Settlement): Promise<Answered> {
    const { ticket, progress } = this.call;
    if (!(await this.stream.flushed())) return this.lost(settlement);
    await this.stream.shelve(this.parts.shelf);
    if (!(await this.stream.sendAhead())) return this.lost(settlement);
    const { output } = ticket.policy;
    const observed = output === 'observe' ? progress.contents() : [];
    return { settlement, ...this.stream.reply(settlement, unjudgedWord(ticket)), outcome: 'ok', observed };
  }

  /** Ends a stream that a verdict stopped. The visitor pays what the model generated until then. */
  private async stopped(stop: Stop, reported: Settlement | null): Promise<Answered> {
    const { ticket, progress } = this.call;
    const settlement = reported ?? settleCut(ticket, await progress.cut(ticket, { hungUp: true }), this.endpoint);
    const { usage } = settlement.detail;
    if (!(await this.stream.flushed())) return this.lost(settlement);
    if (stop.word === 'unavailable') {
      const reply = await this.stream.broken(stop.error, true, usage);
      return { settlement, reply, outcome: 'moderation_unavailable', observed: [] };
    }
    const { categories = [] } = stop;
    this.stream.end({ kind: 'blocked', categories }, usage);
    await this.stream.shelve(this.parts.shelf);
    const again = againOf(this.call, this.blocked(categories));
    return { settlement, ...this.stream.reply(settlement, 'blocked'), outcome: 'output_blocked', observed: [], again };
  }

  private async lost(settlement: Settlement): Promise<Answered> {
    return { settlement, reply: await this.stream.lost(), outcome: 'reply_lost', observed: [] };
  }

  /** The blocked form for a visitor who saw nothing: by a reader that knows how the answer began, and no more. */
  private blocked(categories: readonly string[]): Shown {
    const reader = this.endpoint.reader(this.call.ticket, this.call.of);
    if (this.first) reader.event(this.first);
    const body = reader.ending({ kind: 'blocked', categories }, false, this.reader.report.metered);
    return { contentType: STREAM_TYPE, body };
  }

  /** Some upstreams call a stream JSON. @throws MisshapenAnswer where it is none */
  private async streamIn(response: Response): Promise<Pick<Response, 'body'>> {
    const { start, body } = await peeked(response);
    if (EVENT.test(start)) return body;
    objectOf(new TextDecoder().decode(await readBytes(body)));
    throw new MisshapenAnswer('a whole answer for a stream');
  }
}

/** Aborts the upstream's response after a verdict stopped the stream. */
class OutputStopped extends Error {}
