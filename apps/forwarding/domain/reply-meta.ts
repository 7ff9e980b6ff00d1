import type { Ticket, VerdictWord } from '#libs/contracts/jobs.js';
import type { ReplyMeta } from '#libs/contracts/reply.js';

/** What the headers of an answer report. An answer without output has nothing to judge: `off`. */
export function metaOf(ticket: Ticket, queueMs: number, output: VerdictWord = 'off'): ReplyMeta {
  return {
    moderation: { input: ticket.inputVerdict, output },
    queueMs,
    ...(ticket.dropped && ticket.dropped.length > 0 ? { dropped: ticket.dropped } : {}),
    ...(ticket.capLowered ? { outputCap: ticket.capTokens } : {}),
  };
}
