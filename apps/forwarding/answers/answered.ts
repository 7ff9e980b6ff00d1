import { errorAnswer } from '#libs/contracts/answers.js';
import type { Ticket, VerdictWord } from '#libs/contracts/jobs.js';
import type { Reply } from '#libs/contracts/reply.js';
import type { Content, Replacement } from '#libs/endpoints/content.js';
import type { ProviderVerdict, Shown } from '#libs/endpoints/endpoint.js';
import type { Recorded } from '#libs/redis/event.recorder.js';
import { metaOf } from '../domain/reply-meta.js';
import type { Settlement } from '../domain/settlement.js';
import type { OutputGate } from './output.gate.js';

/** What forwarding made of an upstream's answer: its cost, and the reply that ends the call. */
export interface Answered {
  settlement: Settlement;
  reply: Reply;
  /** A whole stream that the visitor saw piece by piece, for a repeat under its idempotency key. */
  kept?: Reply;
  outcome: string;
  /** What the guards judge after the visitor saw it (`observe`). */
  observed: readonly Content[];
  /** Verdicts for the record, in the same step as the reply. */
  events?: readonly Recorded[];
}

/** A call whose answer forwarding reads. `ticket`: with the verdict on its input. */
export interface Answering {
  ticket: Ticket;
  queueMs: number;
}

/** An answer that the guards judge as a whole before the visitor sees any of it. */
interface Judgeable {
  settlement: Settlement;
  contents: readonly Content[];
  provider: readonly ProviderVerdict[];
  /** null: a guard found something that nobody can take out of this answer. */
  shown: (redactions: readonly Replacement[]) => Shown | null;
  blocked: () => Shown;
}

/** Judges a whole answer where the policy says so, and makes the reply. */
export async function judgedWhole(call: Answering, answer: Judgeable, gate: OutputGate): Promise<Answered> {
  const { ticket, queueMs } = call;
  const { settlement, contents, provider, shown, blocked } = answer;
  const whole = (what: Shown, word: VerdictWord): Reply => wholeReply(call, settlement, what, word);
  const { output } = ticket.policy;
  if (output !== 'gate') {
    const observed = output === 'observe' ? contents : [];
    return { settlement, reply: whole(shown([])!, output), outcome: 'ok', observed };
  }
  const { verdict, events } = await gate.verdictOnWhole(ticket, contents, provider);
  if (verdict.word === 'unavailable') {
    const costNano = paidOf(ticket, settlement);
    const meta = { ...metaOf(ticket, queueMs, 'unchecked'), unavailable: 'output' as const, costNano };
    const reply = errorAnswer(verdict.error, meta);
    return { settlement, reply, outcome: 'moderation_unavailable', observed: [], events };
  }
  const passed = verdict.word === 'blocked' ? null : shown(verdict.redactions ?? []);
  return passed
    ? { settlement, reply: whole(passed, verdict.word), outcome: 'ok', observed: [], events }
    : { settlement, reply: whole(blocked(), 'blocked'), outcome: 'output_blocked', observed: [], events };
}

export function wholeReply(
  { ticket, queueMs }: Answering,
  settlement: Settlement,
  { contentType, body }: Shown,
  word: VerdictWord,
): Reply {
  return {
    type: 'answer',
    status: 200,
    contentType,
    headers: contentType.startsWith('text/event-stream') ? { 'cache-control': 'no-cache' } : {},
    ...(typeof body === 'string' ? { body } : { body: Buffer.from(body).toString('base64'), binary: true }),
    meta: { ...metaOf(ticket, queueMs, word), costNano: paidOf(ticket, settlement) },
  };
}

/** What the visitor pays, in decimal nano-dollars. The operator absorbs what the call cost beyond its bound. */
function paidOf(ticket: Ticket, { costNano }: Settlement): string {
  const heldNano = BigInt(ticket.heldNano);
  return (costNano < heldNano ? costNano : heldNano).toString();
}
