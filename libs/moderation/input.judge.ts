import type { Ticket } from '#libs/contracts/jobs.js';
import type { Logger } from 'pino';
import type { Recorded } from '#libs/redis/event.recorder.js';
import { holdsAny } from '#libs/endpoints/content.js';
import { chatInputContents, chatReplaced } from './chat-contents.js';
import type { Checker, How } from './checker.js';
import { decide, type Decision } from './decision.js';
import type { ModerationMetrics } from './moderation.metrics.js';

type Body = Record<string, unknown>;

/** What became of an input; where it passes, the body goes on, without what was taken out of it. `events`: where they are the caller's to carry. */
export type Judged = { events: readonly Recorded[] } & (
  | { decision: Extract<Decision, { pass: true }>; body: Body }
  | { decision: Extract<Decision, { pass: false }>; body: null }
);

type JudgeHow = Pick<How, 'stage' | 'carried'> & { forwarded?: boolean };

/** Judges what a visitor wrote. */
export class InputJudge {
  constructor(
    private readonly checker: Checker,
    private readonly metrics: ModerationMetrics,
    private readonly logger: Logger,
  ) {}

  /** `forwarded`: the call runs already, so that nothing can be taken out of it any more. */
  async judge(
    ticket: Ticket,
    body: Body,
    { stage = 'all', forwarded = false, carried = false }: JudgeHow = {},
  ): Promise<Judged> {
    const how = { stage, found: forwarded ? 'refuse' : 'redact', carried } as const;
    const { outcome, events } = await this.checker.look(ticket, 'input', chatInputContents(body), how);
    const replaced =
      outcome.kind === 'pass' && outcome.redactions.length > 0 ? chatReplaced(body, outcome.redactions) : body;
    // What is found over the border of two texts cannot be taken out of either.
    const holds =
      outcome.kind === 'pass' &&
      outcome.redactions.length > 0 &&
      holdsAny(chatInputContents(replaced), outcome.redactions);
    const decision = decide(
      holds ? { kind: 'flagged', categories: ['not redactable'], strike: false } : outcome,
      ticket.policy,
      forwarded,
    );
    // The verdict is counted once: by who comes to it last, or by who refuses.
    if (stage !== 'local' || !decision.pass) this.tell(ticket, decision.word);
    return decision.pass ? { events, decision, body: replaced } : { events, decision, body: null };
  }

  /** For the record only (`observe`). */
  async observe(ticket: Ticket, body: Body): Promise<void> {
    const { outcome } = await this.checker.look(ticket, 'input', chatInputContents(body), { found: 'tell' });
    this.tell(ticket, outcome.kind === 'unavailable' ? 'unchecked' : outcome.kind === 'flagged' ? 'flagged' : 'pass');
  }

  private tell({ requestId, keyId }: Ticket, decision: string): void {
    this.metrics.verdict('input', decision);
    if (decision !== 'pass') this.logger.info({ requestId, keyId, direction: 'input', decision }, 'moderation');
  }
}
