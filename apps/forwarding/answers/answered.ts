import type { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket, VerdictWord } from '#libs/contracts/jobs.js';
import type { Reply, ReplyMeta } from '#libs/contracts/reply.js';
import type { Content, Replacement } from '#libs/endpoints/content.js';
import type { AnswerOf, ProviderVerdict, Shown, Whole } from '#libs/endpoints/endpoint.js';
import type { Recorded } from '#libs/redis/event.recorder.js';
import { endpointOf } from '#libs/endpoints/registry.js';
import { metaOf } from '../domain/reply-meta.js';
import type { Settlement } from '../domain/settlement.js';
import type { OutputGate } from './output.gate.js';

/** What forwarding made of an upstream's answer: its cost, and the reply that ends the call. */
export interface Answered {
  settlement: Settlement;
  reply: Reply;
  /** The body of the reply where it is large: then the reply itself has none. */
  pieces?: readonly Uint8Array[];
  /** A whole stream that the visitor saw piece by piece, for a repeat under its idempotency key. */
  kept?: Reply;
  outcome: string;
  /** Of an answer that was blocked: what a repeat of the call gets for a while, unsent and unbilled. */
  again?: Reply;
  /** What the guards judge after the visitor saw it (`observe`). */
  observed: readonly Content[];
  /** Verdicts for the record, in the same step as the reply. */
  events?: readonly Recorded[];
}

const TEXT_TYPE = /^(text\/|application\/json\b)/;

/** A call whose answer forwarding reads. `ticket`: with the verdict on its input. */
export interface Answering {
  ticket: Ticket;
  queueMs: number;
  /** What the endpoint's reader must know of the request and of the upstream. */
  of: AnswerOf;
}

/** An answer that the guards judge as a whole, on its way to its visitor. */
export interface Judgeable {
  readonly contents: readonly Content[];
  /** Parts of the contents that the guards judge each by itself; absent: all at once. */
  readonly parts?: Whole['parts'];
  readonly provider: readonly ProviderVerdict[];
  /**
   * Shows all of it, but for the parts of `without`. false: a guard found something that nobody can take out of this answer.
   */
  pass(redactions: readonly Replacement[], without?: ReadonlySet<number>): boolean;
  block(categories: readonly string[]): void;
  /** Keeps what is shown for later calls of the key. */
  shelve(): Promise<void>;
  reply(settlement: Settlement, word: VerdictWord): Promise<Pick<Answered, 'reply' | 'kept' | 'pieces'>>;
  /** The reply for an error that the visitor pays for. */
  failed(error: DaypassError, meta: ReplyMeta): Promise<Reply>;
  /** The blocked form, for a visitor who saw nothing yet. */
  blocked(categories: readonly string[]): Shown;
}

/** The word on an output that no guard judges by itself. */
export function unjudgedWord(ticket: Ticket): VerdictWord {
  const { inputVerdict, policy } = ticket;
  if (endpointOf(ticket).directions.output !== 'spoken') return policy.output;
  // It says what went upstream.
  return inputVerdict === 'redacted' ? 'pass' : inputVerdict;
}

/** Judges a whole answer where the policy says so, and makes the reply. */
export async function judgedWhole(
  call: Answering,
  settlement: Settlement,
  answer: Judgeable,
  gate: OutputGate,
): Promise<Answered> {
  const { ticket, queueMs } = call;
  const { contents, parts, provider } = answer;
  const { output } = ticket.policy;
  if (output !== 'gate') {
    answer.pass([]);
    await answer.shelve();
    const observed = output === 'observe' ? contents : [];
    return { settlement, ...(await answer.reply(settlement, unjudgedWord(ticket))), outcome: 'ok', observed };
  }
  const { verdict, events, without } = parts
    ? await gate.verdictOnParts(ticket, parts, provider)
    : { ...(await gate.verdictOnWhole(ticket, contents, provider)), without: undefined };
  if (verdict.word === 'unavailable') {
    const costNano = paidOf(ticket, settlement);
    const meta = { ...metaOf(ticket, queueMs, 'unchecked'), unavailable: 'output' as const, costNano };
    const reply = await answer.failed(verdict.error, meta);
    return { settlement, reply, outcome: 'moderation_unavailable', observed: [], events };
  }
  const passed = verdict.word !== 'blocked' && answer.pass(verdict.redactions ?? [], without);
  const categories = verdict.word === 'blocked' ? (verdict.categories ?? []) : [];
  if (!passed) answer.block(categories);
  await answer.shelve();
  const word = passed ? verdict.word : 'blocked';
  const replies = await answer.reply(settlement, word);
  return passed
    ? { settlement, ...replies, outcome: 'ok', observed: [], events }
    : {
        settlement,
        ...replies,
        outcome: 'output_blocked',
        observed: [],
        events,
        again: againOf(call, answer.blocked(categories)),
      };
}

/** A blocked answer for a repeat of its call, which costs nothing. */
export function againOf(call: Answering, shown: Shown): Reply {
  return replyOf(shown, { ...metaOf(call.ticket, 0, 'blocked'), costNano: '0' });
}

/** `pieces`: the body of a large one, which its reply then lacks. */
export function wholeReplies(
  call: Answering,
  settlement: Settlement,
  shown: Shown,
  word: VerdictWord,
): Pick<Answered, 'reply' | 'pieces'> {
  const reply = wholeReply(call, settlement, shown, word);
  return Array.isArray(shown.body) ? { reply, pieces: shown.body as readonly Uint8Array[] } : { reply };
}

export function wholeReply(
  { ticket, queueMs }: Pick<Answering, 'ticket' | 'queueMs'>,
  settlement: Settlement,
  shown: Shown,
  word: VerdictWord,
): Reply {
  return replyOf(shown, { ...metaOf(ticket, queueMs, word), costNano: paidOf(ticket, settlement) });
}

function replyOf({ status = 200, contentType, body }: Shown, meta: ReplyMeta): Reply {
  return {
    type: 'answer',
    status,
    contentType,
    headers: {
      ...(contentType.startsWith('text/event-stream') ? { 'cache-control': 'no-cache' } : {}),
      // The visitor paid for it, and a client that repeats the call would pay again.
      ...(status >= 400 ? { 'x-should-retry': 'false' } : {}),
    },
    ...bodyOf(body, contentType),
    meta,
  };
}

/** A large body in pieces goes out in frames. Only where its ingress takes none, the reply has it. */
function bodyOf(body: Shown['body'], contentType: string): { body: string; binary?: true } {
  if (typeof body === 'string') return { body };
  if (body instanceof Uint8Array) return { body: Buffer.from(body).toString('base64'), binary: true };
  return TEXT_TYPE.test(contentType) ? { body: '' } : { body: '', binary: true };
}

/** What the visitor pays, in decimal nano-dollars. The operator absorbs what the call cost beyond its bound. */
export function paidOf(ticket: Ticket, { costNano }: Settlement): string {
  const heldNano = BigInt(ticket.heldNano);
  return (costNano < heldNano ? costNano : heldNano).toString();
}
