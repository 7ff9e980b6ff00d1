import type { Content } from '#libs/endpoints/content.js';
import type { Moderator } from '../moderator.js';
import { judgementOf } from '../verdict.js';
import { GuardUnavailableError, type Guard, type GuardContext, type GuardVerdict } from './guard.js';

export const MODERATION_GUARD = 'moderation';

/** Asks the moderation endpoint, and reads its results by the call's own thresholds. */
export class ModerationGuard implements Guard {
  readonly name = MODERATION_GUARD;

  constructor(
    private readonly moderator: Moderator,
    readonly model: string,
  ) {}

  async check(contents: readonly Content[], context: GuardContext): Promise<GuardVerdict> {
    const { results, missing } = await this.moderator.results(contents, context, context.passing);
    const judgement = judgementOf(results, context.policy);
    // One flagged part decides on the whole, whatever became of the others.
    if (missing && !judgement.flagged)
      throw new GuardUnavailableError(missing.message, missing.refused, missing.retryAfterMs);
    return { ...judgement, redactions: [], results };
  }
}
