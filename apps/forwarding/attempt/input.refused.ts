import type { Decision } from '#libs/moderation/decision.js';

/** The verdict on the input of a call that a worker has taken already: nothing of it may be shown. */
export class InputRefused extends Error {
  constructor(readonly refusal: Extract<Decision, { pass: false }>) {
    super(refusal.error.message);
    this.name = 'InputRefused';
  }
}
