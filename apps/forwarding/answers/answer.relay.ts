import { Injectable } from '@nestjs/common';
import { errorAnswer } from '#libs/contracts/answers.js';
import { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket, VerdictWord } from '#libs/contracts/jobs.js';
import type { Reply } from '#libs/contracts/reply.js';
import type { Content, Replacement } from '#libs/endpoints/content.js';
import { chatOutputContents, chatReplaced, chunkTexts, framesReplaced } from '#libs/moderation/chat-contents.js';
import { hasOwnVerdict } from '#libs/moderation/guards/provider.guard.js';
import type { ModerationResult } from '#libs/moderation/verdict.js';
import type { Recorded } from '#libs/redis/event.recorder.js';
import { countOutput, type Progress } from './answer.progress.js';
import { blockedCompletion, blockedStream } from '../domain/blocked-output.js';
import { metaOf } from '../domain/reply-meta.js';
import { settle, settleCut, type Settlement } from '../domain/settlement.js';
import { readFrame } from '../domain/stream-frame.js';
import { clean, isSafetyRefusal } from '../domain/upstream-failure.js';
import { OutputGate } from './output.gate.js';
import { OutputWindows, type Stop } from './output.windows.js';
import { ReplyChannel } from './reply.channel.js';
import { ReplyWriter } from './reply.writer.js';
import { StreamPace } from './stream.pace.js';
import { readBody, readFrames } from '../attempt/upstream.client.js';

/** A whole answer: its true cost, and the reply that ends the call. */
export interface Answered {
  settlement: Settlement;
  reply: Reply;
  /** The whole of a stream that was shown piece by piece, for a repeat under its idempotency key. */
  kept?: Reply;
  outcome: string;
  /** What is judged after it was shown (`observe`). */
  observed: Content[];
  /** Verdicts that go into the record with the reply. */
  events?: readonly Recorded[];
}

/** What a whole answer looks like to its visitor. */
interface Forms {
  contentType: string;
  shown: (redactions: readonly Replacement[]) => string;
  blocked: () => string;
}

/** A stream that was shown in part. */
interface StreamSoFar {
  ticket: Ticket;
  queueMs: number;
  progress: Progress;
  shown: ReplyWriter;
  /** What was shown, where it is kept for a repeat. */
  kept: readonly string[];
  first: Record<string, unknown> | null;
  /** Where its usage came before it was stopped. */
  told: Settlement | null;
}

const JSON_TYPE = 'application/json';
const STREAM_TYPE = 'text/event-stream; charset=utf-8';

/** Turns the upstream's response into what the visitor may see. */
@Injectable()
export class AnswerRelay {
  private readonly pace = new StreamPace();

  constructor(
    private readonly channel: ReplyChannel,
    private readonly gate: OutputGate,
  ) {}

  async whole(ticket: Ticket, response: Response, queueMs: number): Promise<Answered> {
    const text = await readBody(response);
    const completion = JSON.parse(text) as Record<string, unknown>;
    const contents = chatOutputContents(completion);
    const told = settle(ticket, {
      usage: completion.usage,
      serviceTier: asText(completion.service_tier),
      model: asText(completion.model),
    });
    const seen = contents.flatMap((content) => (content.kind === 'text' ? [content.text] : []));
    const settlement =
      told ?? settleCut(ticket, { seenTokens: await countOutput(seen), unseenMs: 0, flowingMs: 0, hungUp: false });
    const forms: Forms = {
      contentType: JSON_TYPE,
      shown: (redactions) => (redactions.length > 0 ? JSON.stringify(chatReplaced(completion, redactions)) : text),
      blocked: () => JSON.stringify(blockedCompletion(completion)),
    };
    return this.answered(ticket, queueMs, settlement, contents, hasOwnVerdict(completion) ? [completion] : [], forms);
  }

  async stream(
    ticket: Ticket,
    response: Response,
    queueMs: number,
    progress: Progress,
    controller: AbortController,
  ): Promise<Answered> {
    const { output } = ticket.policy;
    const shown = output === 'gate' ? null : new ReplyWriter(this.channel, ticket);
    progress.writer = shown;
    if (output !== 'gate') await shown?.open({ type: 'open', meta: metaOf(ticket, queueMs, output) });
    const kept: string[] = [];
    const show = (text: string): void => {
      shown?.frames(text);
      if (!shown || ticket.keepAnswer) kept.push(text);
    };
    const results: ModerationResult[] = [];
    /** What the provider said beside the text, and was not looked at yet. */
    const provider: Record<string, unknown>[] = [];
    const windows =
      output === 'window' || output === 'trail'
        ? new OutputWindows({
            mode: output,
            // What was shown already cannot be taken out any more.
            judge: (contents) =>
              this.gate.judge(
                ticket,
                contents,
                { found: output === 'trail' ? 'refuse' : 'redact', provider: provider.splice(0) },
                results,
              ),
            hasMore: () => provider.length > 0,
            show,
            onStop: () => controller.abort(new OutputStopped('the output was stopped')),
          })
        : null;
    let first: Record<string, unknown> | null = null;
    let usage: unknown;
    let serviceTier: string | undefined;
    let done = false;
    this.pace.join();
    try {
      for await (const batch of readFrames(response, () => this.pace.pause())) {
        for (const data of batch) {
          const frame = readFrame(data, ticket.includeUsage);
          if (frame.error) throw new UpstreamStreamError(frame.error);
          const texts = frame.chunk ? chunkTexts(frame.chunk) : [];
          if (frame.chunk) {
            first ??= frame.chunk;
            progress.add(texts);
            if (hasOwnVerdict(frame.chunk)) provider.push(frame.chunk);
          }
          usage = frame.usage ?? usage;
          serviceTier = frame.serviceTier ?? serviceTier;
          done ||= frame.done;
          if (!windows) show(frame.text);
          else if (windows.add(frame.text, texts, frame.closing)) await windows.room();
        }
      }
      if (!done && !windows?.stopped) throw new Error('the stream ended before its last frame');
      await windows?.finish();
    } catch (error) {
      // Stopped while the upstream was silent: our own hand broke the stream off.
      if (!windows?.stopped) throw error;
    } finally {
      this.pace.leave();
    }
    const told = settle(ticket, { usage, serviceTier, model: asText(first?.model) });
    if (windows) this.gate.tell(ticket, windows.stopped?.word ?? windows.word);
    if (windows?.word === 'pass' && !windows.stopped) this.gate.remember(progress.texts.contents(), results);
    if (shown && windows?.stopped)
      return this.stopped(windows.stopped, { ticket, queueMs, progress, shown, kept, first, told });
    const settlement = told ?? settleCut(ticket, { ...(await progress.cut({ hungUp: false })), unseenMs: 0 });
    if (shown && output !== 'gate') {
      // The cost is known; that the visitor could not be reached with the rest of the answer does not change it.
      if (!(await reached(shown))) return replyLost(settlement, shown);
      const observed = output === 'observe' ? progress.texts.contents() : [];
      const whole = ticket.keepAnswer
        ? { kept: this.wholeAnswer(ticket, queueMs, settlement, STREAM_TYPE, kept.join(''), output) }
        : {};
      return { settlement, reply: shown.ending(), ...whole, outcome: 'ok', observed };
    }
    const reported =
      ticket.includeUsage && typeof usage === 'object' ? (usage as Record<string, unknown> | null) : null;
    const forms: Forms = {
      contentType: STREAM_TYPE,
      shown: (redactions) => framesReplaced(kept, redactions).join(''),
      blocked: () => blockedStream(first ?? {}, ticket.choices, reported),
    };
    return this.answered(ticket, queueMs, settlement, progress.texts.contents(), provider, forms);
  }

  /** A stream that was shown in part, and may not go on. What was generated until then is booked. */
  private async stopped(
    stop: Stop,
    { ticket, queueMs, progress, shown, kept, first, told }: StreamSoFar,
  ): Promise<Answered> {
    const settlement = told ?? settleCut(ticket, await progress.cut({ hungUp: true }));
    const { input, output } = settlement.detail.usage;
    const usage = ticket.includeUsage
      ? { prompt_tokens: input, completion_tokens: output, total_tokens: input + output }
      : null;
    const ending =
      stop.word === 'blocked' ? blockedStream(first ?? {}, ticket.choices, usage, true) : errorFrame(stop.error);
    if (!(await reached(shown))) return replyLost(settlement, shown);
    const text = `${kept.join('')}${ending}`;
    const whole =
      ticket.keepAnswer && stop.word === 'blocked'
        ? { kept: this.wholeAnswer(ticket, queueMs, settlement, STREAM_TYPE, text, 'blocked') }
        : {};
    return {
      settlement,
      reply: shown.ending(ending),
      ...whole,
      outcome: stop.word === 'blocked' ? 'output_blocked' : 'moderation_unavailable',
      observed: [],
    };
  }

  private wholeAnswer(
    ticket: Ticket,
    queueMs: number,
    settlement: Settlement,
    contentType: string,
    body: string,
    word: VerdictWord,
  ): Reply {
    return {
      type: 'answer',
      status: 200,
      contentType,
      headers: contentType === STREAM_TYPE ? { 'cache-control': 'no-cache' } : {},
      body,
      meta: { ...metaOf(ticket, queueMs, word), costNano: paidOf(ticket, settlement) },
    };
  }

  /** Judges a whole answer where the policy says so, and makes the reply of it. */
  private async answered(
    ticket: Ticket,
    queueMs: number,
    settlement: Settlement,
    contents: Content[],
    provider: readonly Record<string, unknown>[],
    { contentType, shown, blocked }: Forms,
  ): Promise<Answered> {
    const whole = (text: string, word: VerdictWord): Reply =>
      this.wholeAnswer(ticket, queueMs, settlement, contentType, text, word);
    if (ticket.policy.output !== 'gate') {
      return {
        settlement,
        reply: whole(shown([]), ticket.policy.output),
        outcome: 'ok',
        observed: ticket.policy.output === 'observe' ? contents : [],
      };
    }
    const { verdict, events } = await this.gate.verdict(ticket, contents, provider);
    switch (verdict.word) {
      case 'unavailable': {
        const meta = { ...metaOf(ticket, queueMs, 'unchecked'), costNano: paidOf(ticket, settlement) };
        return {
          settlement,
          reply: errorAnswer(verdict.error, meta),
          outcome: 'moderation_unavailable',
          observed: [],
          events,
        };
      }
      case 'blocked':
        return { settlement, reply: whole(blocked(), 'blocked'), outcome: 'output_blocked', observed: [], events };
      default:
        return {
          settlement,
          reply: whole(shown(verdict.redactions ?? []), verdict.word),
          outcome: 'ok',
          observed: [],
          events,
        };
    }
  }
}

async function reached(shown: ReplyWriter): Promise<boolean> {
  return shown.flush().then(
    () => true,
    () => false,
  );
}

function replyLost(settlement: Settlement, shown: ReplyWriter): Answered {
  const lost = new DaypassError(
    'upstream_outcome_unknown',
    'The rest of the answer was lost on its way to you. It was charged.',
  );
  return { settlement, reply: shown.ending(errorFrame(lost)), outcome: 'reply_lost', observed: [] };
}

/** What the visitor pays, decimal nano-dollars; beyond the bound it is the operator's. */
function paidOf(ticket: Ticket, { costNano }: Settlement): string {
  const heldNano = BigInt(ticket.heldNano);
  return (costNano < heldNano ? costNano : heldNano).toString();
}

/** How OpenAI tells an error in the middle of a stream. */
export function errorFrame(error: DaypassError): string {
  return `data: ${JSON.stringify(error.body())}\n\n`;
}

/** Moderation stopped the answer, so that the upstream is not listened to any longer. */
class OutputStopped extends Error {}

/** An error object in the middle of a stream: the upstream stopped by itself. */
export class UpstreamStreamError extends DaypassError {
  /** The provider stopped it for its safety: the visitor's doing. */
  readonly safety: boolean;

  constructor(error: Record<string, unknown>) {
    super(
      'upstream_error',
      clean(typeof error.message === 'string' ? error.message : 'The upstream ended the stream with an error.'),
      { retry: false },
    );
    this.safety = isSafetyRefusal(error.code);
  }
}

function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
