import { errorAnswer, isKept, unsent } from '#libs/contracts/answers.js';
import type { DaypassError } from '#libs/contracts/errors.js';
import type { Ticket } from '#libs/contracts/jobs.js';
import { writtenReply, type Reply, type ReplyMeta } from '#libs/contracts/reply.js';
import type { Recorded } from '#libs/redis/event.recorder.js';
import { insist, mended } from '#libs/redis/insist.js';
import type { ContentBox } from '#libs/secrets/content-box.js';
import type { HoldStore } from './hold.store.js';
import type { EndAnswer, EndRequest, KeptBounds, KeptReply } from './hold.types.js';
import { keptReply } from './kept-reply.js';
import type { RecentRefusals } from './recent-refusals.js';

/** A call that is about to end. `dispatched`: the attempt that the caller answers for; absent where it sent nothing. */
export interface EndingCall {
  ticket: Ticket;
  dispatched?: { attempt: number; upstream: string };
}

export type DispatchedCall = Required<EndingCall>;

/** What the script writes in the same step as the end. */
export interface EndDetails {
  /** For the journal. */
  detail: Record<string, unknown>;
  /** The answer to the visitor; null: the visitor is gone. */
  reply: Reply | null;
  /** The end is a strike against the key, as the policy says. */
  strike?: boolean | undefined;
  /** Verdicts that are not in the record yet. */
  events?: readonly Recorded[] | undefined;
}

/** An end that the visitor pays for. */
export interface PaidDetails extends EndDetails {
  /** The whole answer, where the visitor saw it piece by piece: a repeat under the idempotency key gets it. */
  kept?: Reply | undefined;
}

export interface Posting extends PaidDetails {
  costNano: bigint;
  usedTokens: number;
  /** Images that another model made; absent: nobody knows. */
  drawn?: number | undefined;
}

/** Before it compresses a longer answer, Daypass asks Redis whether there is room for it. */
const LARGE_CHARACTERS = 65_536;
/** JSON seldom shrinks to less than a twentieth. */
const SHRINKS_TO = 20;

type HoldOfCall = Pick<EndRequest, 'requestId' | 'keyId' | 'campaignId' | 'lane' | 'replyTo'>;

/**
 * `voided`: nobody sent the call, and it cost nothing. `running`: a worker runs it. `ended`: its answer is on its way.
 * `lost`: Redis has no hold of it.
 */
export type Cancelled = 'voided' | 'running' | 'ended' | 'lost';

/**
 * Ends calls: one script moves the money and answers the visitor. Redis keeps a whole answer for a repeat under the
 * call's idempotency key, within its bounds. Each end but `cancel` is repeated while Redis is away, or accounting mends it.
 * @throws when that takes too long
 */
export class CallEnder {
  constructor(
    private readonly holds: HoldStore,
    private readonly box: ContentBox,
    private readonly kept: KeptBounds,
    private readonly refusals: RecentRefusals,
  ) {}

  /** Books the true cost. */
  post(call: DispatchedCall, { costNano, usedTokens, drawn, kept, ...details }: Posting): Promise<EndAnswer> {
    const keep = this.keepOf(call.ticket, kept) ?? this.keepOf(call.ticket, details.reply);
    return this.end(call, details, { transition: 'post', costNano, usedTokens, drawn, keep });
  }

  /** Gives all of the hold back: the upstream did no work. */
  void(call: EndingCall, details: EndDetails): Promise<EndAnswer> {
    return this.end(call, details, { transition: 'void', keep: this.keepOf(call.ticket, details.reply) });
  }

  /**
   * Voids a call that could not run, whatever its contents. Redis keeps no answer, so that the visitor may send the
   * call again under its idempotency key.
   */
  refuse(
    call: EndingCall,
    error: DaypassError,
    meta: ReplyMeta,
    detail: Record<string, unknown> = {},
  ): Promise<EndAnswer> {
    const reply = errorAnswer(error, call.dispatched ? meta : unsent(meta));
    const details = { detail: { ...detail, reason: error.code }, reply };
    return this.end(call, details, { transition: 'void' });
  }

  /** Books the bound, because nobody saw the end of the call. A report may correct it. */
  presume(call: DispatchedCall, { kept, ...details }: PaidDetails): Promise<EndAnswer> {
    const keep = this.keepOf(call.ticket, kept) ?? this.keepOf(call.ticket, details.reply);
    return this.end(call, details, { transition: 'presume', keep });
  }

  /**
   * Voids a call that nobody waits for, unless a worker runs it. Asks once: `recovering` while accounting mends Redis.
   */
  async cancel(ticket: HoldOfCall, reason: string): Promise<Cancelled | 'recovering'> {
    const { outcome } = await this.holds.end({ ...holdOf(ticket), transition: 'cancel', detail: { reason } });
    switch (outcome) {
      case 'applied':
        return 'voided';
      case 'missing':
        return 'lost';
      case 'running':
      case 'recovering':
        return outcome;
      default:
        return 'ended';
    }
  }

  private async end(
    { ticket, dispatched }: EndingCall,
    { detail, reply, strike, events }: EndDetails,
    how: Pick<EndRequest, 'transition' | 'costNano' | 'usedTokens' | 'drawn'> & { keep?: Reply | undefined },
  ): Promise<EndAnswer> {
    const { keep, ...booked } = how;
    const { requestId } = ticket;
    const written = reply && writtenReply(reply, ticket.takesBytes === true);
    const kept = keep && (await this.keptReply(ticket, keep, JSON.stringify(keep)));
    const end: EndRequest = {
      ...holdOf(ticket),
      ...booked,
      detail,
      ...(written ? { reply: this.box.seal(written, requestId) } : {}),
      ...(kept ? { keep: kept } : {}),
      ...(strike ? { strike: ticket.policy.strikes ?? true } : {}),
      ...(events ? { events } : {}),
      ...(dispatched ? { dispatched: { ...dispatched, amountNano: BigInt(ticket.heldNano), day: ticket.day } } : {}),
    };
    const answer = await insist(() => this.holds.end(end).then(mended));
    if (answer.outcome === 'applied') this.refusals.noteReply(ticket.keyId, requestId, reply);
    return answer;
  }

  private keepOf({ keepAnswer }: Ticket, reply: Reply | null | undefined): Reply | undefined {
    return keepAnswer && reply && isKept(reply) ? reply : undefined;
  }

  /** undefined: Redis has no room for it. `text`: its JSON. */
  private async keptReply({ requestId, keyId }: Ticket, reply: Reply, text: string): Promise<KeptReply | undefined> {
    if (text.length > LARGE_CHARACTERS) {
      const room = await this.holds.keptRoom(keyId, this.kept).catch(() => Infinity);
      if (room < text.length / SHRINKS_TO) return undefined;
    }
    return keptReply(this.box, requestId, reply, this.kept, text);
  }
}

function holdOf({ requestId, keyId, campaignId, lane, replyTo }: HoldOfCall): HoldOfCall {
  return { requestId, keyId, campaignId, lane, replyTo };
}
