import type { CallPolicy } from '#libs/contracts/policy.js';
import type { Content } from './chat-contents.js';
import { ModerationUnavailableError, type Moderator } from './moderator.js';
import { judge, type Judgement, type ModerationResult } from './verdict.js';

/** `refused`: the endpoint will never judge this very content. */
export type Check =
  { outcome: 'judged'; judgement: Judgement; results: readonly ModerationResult[] } | { outcome: 'unavailable'; reason: string; refused: boolean };

/** Judges contents under a call's policy; an outage is an outcome here, not an exception, because the policy decides on it. `passing` contents never come again. */
export async function check(moderator: Moderator, contents: readonly Content[], policy: CallPolicy, passing = false): Promise<Check> {
  try {
    const results = await moderator.judge(contents, passing);
    return { outcome: 'judged', judgement: judge(results, policy), results };
  } catch (error) {
    if (error instanceof ModerationUnavailableError) return { outcome: 'unavailable', reason: error.message, refused: error.refused };
    throw error;
  }
}
