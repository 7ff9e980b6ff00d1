import type { DispatchedCall } from '#libs/holds/call-ender.js';
import type { Progress } from '../answers/answer.progress.js';

/** What Daypass had counted in an upstream's window, and when. */
export interface Counted {
  requests: number;
  tokens: number;
  atMs: number;
}

/** A call whose dispatch is recorded, so that this process must run it. */
export interface StartedCall extends DispatchedCall {
  queueMs: number;
  /** The body; null where Redis lost it. */
  encrypted: Buffer | null;
  /** Aborts when the visitor leaves, the time is over, or the input is refused. */
  controller: AbortController;
  /** How often its upstream failed in a row before this call. */
  failures: number;
  /** This call included. */
  counted: Counted;
}

/** A call on its way to its upstream and back. */
export interface Attempt extends StartedCall {
  encrypted: Buffer;
  progress: Progress;
}
