import { setTimeout as sleep } from 'node:timers/promises';

const PAUSE_MIN_MS = 50;
const PAUSE_MAX_MS = 2_000;

/** Repeats work that may be repeated, while Redis is away or recovers. @throws its last error when the patience is over */
export async function insist<T>(patienceMs: number, work: () => Promise<T>): Promise<T> {
  const begun = performance.now();
  for (let pauseMs = PAUSE_MIN_MS; ; pauseMs = Math.min(2 * pauseMs, PAUSE_MAX_MS)) {
    try {
      return await work();
    } catch (error) {
      if (performance.now() - begun + pauseMs > patienceMs) throw error;
      await sleep(pauseMs);
    }
  }
}
