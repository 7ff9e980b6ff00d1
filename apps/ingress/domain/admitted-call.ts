import type { Ticket } from '#libs/contracts/jobs.js';
import type { HoldAnswer } from '#libs/holds/hold.types.js';

/** A call whose hold is taken. */
export interface AdmittedCall {
  ticket: Ticket;
  hold: Extract<HoldAnswer, { code: 'ok' }>;
  /** How long the call may still wait. */
  maxWaitMs: number;
  /** Parameters that Daypass dropped or decided itself. */
  adjusted: readonly string[];
}
