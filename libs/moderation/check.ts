import type { CallPolicy } from '#libs/contracts/policy.js';
import type { Content } from './chat-contents.js';
import { ModerationUnavailableError, type Moderator } from './moderator.js';
import { judge, type Judgement } from './verdict.js';

/** `refused`: the endpoint will never judge this very content. */
export type Check = { outcome: 'judged'; judgement: Judgement } | { outcome: 'unavailable'; reason: string; refused: boolean };

/** Judges contents under a call's policy; an outage is an outcome here, not an exception, because the policy decides on it. */
export async function check(moderator: Moderator, contents: readonly Content[], policy: CallPolicy): Promise<Check> {
  try {
    return { outcome: 'judged', judgement: judge(await moderator.judge(contents), policy) };
  } catch (error) {
    if (error instanceof ModerationUnavailableError) return { outcome: 'unavailable', reason: error.message, refused: error.refused };
    throw error;
  }
}
