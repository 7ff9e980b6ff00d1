import type { Content } from '#libs/endpoints/content.js';
import { ModerationUnavailableError, type Moderator } from '../moderator.js';
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

  async check(contents: readonly Content[], { policy, passing }: GuardContext): Promise<GuardVerdict> {
    try {
      const results = await this.moderator.results(contents, passing);
      return { ...judgementOf(results, policy), redactions: [], results };
    } catch (error) {
      if (error instanceof ModerationUnavailableError) throw new GuardUnavailableError(error.message, error.refused);
      throw error;
    }
  }
}
