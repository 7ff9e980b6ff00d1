import { setTimeout as sleep } from 'node:timers/promises';

/** What waits long looks less often: a look may be a request to a service that has work to do. */
const POLL_MIN_MS = 20;
const POLL_MAX_MS = 100;

/** Checks again and again until the condition holds. @throws an error with `what` where it does not within the time */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  for (const begun = Date.now(); !(await condition());) {
    const waitedMs = Date.now() - begun;
    if (waitedMs > timeoutMs) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await sleep(Math.min(POLL_MAX_MS, POLL_MIN_MS + waitedMs / 10));
  }
}
