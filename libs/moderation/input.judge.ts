import type { Ticket } from '#libs/contracts/jobs.js';
import type { Logger } from 'pino';
import type { Recorded } from '#libs/redis/event.recorder.js';
import { holdsAny, type Content } from '#libs/endpoints/content.js';
import type { Body } from '#libs/endpoints/endpoint.js';
import { endpointOf } from '#libs/endpoints/registry.js';
import type { Checked, Checker, CheckOptions } from './checker.js';
import { decide, type Decision } from './decision.js';
import type { BlobImages } from './images/blob.images.js';
import type { ModerationMetrics } from './moderation.metrics.js';

/** The decision on an input. Where it passes, `body` is what goes on, redacted. `events`: see `Checked.events`. */
export type Judged = { events: readonly Recorded[] } & (
  | { decision: Extract<Decision, { pass: true }>; body: Body }
  | { decision: Extract<Decision, { pass: false }>; body: null }
);

type JudgeOptions = Pick<CheckOptions, 'stage' | 'carried'> & { forwarded?: boolean };

/** Judges what a visitor wrote. */
export class InputJudge {
  constructor(
    private readonly checker: Checker,
    private readonly metrics: ModerationMetrics,
    private readonly logger: Logger,
    private readonly images: BlobImages,
  ) {}

  /** `forwarded`: the call runs already, so that nobody can take anything out of it. */
  async judge(
    ticket: Ticket,
    body: Body,
    { stage = 'all', forwarded = false, carried = false }: JudgeOptions = {},
  ): Promise<Judged> {
    const endpoint = endpointOf(ticket);
    const how = { stage, found: forwarded ? 'refuse' : 'redact', carried } as const;
    const check = (contents: readonly Content[]): Promise<Checked> =>
      this.checker.check(ticket, 'input', contents, how);
    const contents = endpoint.input(body);
    // Guards that cost no time read texts only.
    const { outcome, events } = await (stage === 'local'
      ? check(contents)
      : this.images.shown(ticket, body, contents, check));
    const redactions = outcome.kind === 'pass' ? outcome.redactions : [];
    const replaced = redactions.length > 0 ? endpoint.redactedInput(body, redactions) : body;
    // A finding may lie across two texts. Then no replacement takes it out.
    const isLeft = redactions.length > 0 && holdsAny(endpoint.input(replaced), redactions);
    const decision = decide(
      isLeft ? { kind: 'flagged', categories: ['not redactable'], strike: false } : outcome,
      ticket.policy,
      { forwarded, param: endpoint.inputParam, blockedForm: endpoint.blockedForm },
    );
    // Count each input once: at its last stage, or at the stage that refuses it.
    if (stage !== 'local' || !decision.pass) this.countVerdict(ticket, decision.word);
    return decision.pass ? { events, decision, body: replaced } : { events, decision, body: null };
  }

  /** Judges for the record only (`observe`), where the call goes on. Its files are gone as soon as it has ended. */
  async observe(ticket: Ticket, body: Body, goOn: () => Promise<boolean>): Promise<void> {
    await this.images.shown(ticket, body, endpointOf(ticket).input(body), async (contents) => {
      if (await goOn()) await this.observeContents(ticket, contents);
    });
  }

  private async observeContents(ticket: Ticket, contents: readonly Content[]): Promise<void> {
    const { outcome } = await this.checker.check(ticket, 'input', contents, { found: 'record' });
    this.countVerdict(
      ticket,
      outcome.kind === 'unavailable' ? 'unchecked' : outcome.kind === 'flagged' ? 'flagged' : 'pass',
    );
  }

  private countVerdict(ticket: Ticket, decision: string): void {
    const { requestId, keyId } = ticket;
    this.metrics.verdict(ticket, 'input', decision);
    if (decision !== 'pass') this.logger.info({ requestId, keyId, direction: 'input', decision }, 'moderation');
  }
}
