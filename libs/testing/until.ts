import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 20;

/** Checks again and again until the condition holds. @throws an error with `what` where it does not within the time */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  for (const end = Date.now() + timeoutMs; !(await condition()); await sleep(POLL_MS)) {
    if (Date.now() > end) throw new Error(`${what}: not within ${timeoutMs} ms`);
  }
}
