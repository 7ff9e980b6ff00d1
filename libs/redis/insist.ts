import { setTimeout as sleep } from 'node:timers/promises';

const PAUSE_MIN_MS = 50;
const PAUSE_MAX_MS = 2_000;
/** A running call survives an outage of Redis for so long. Then its lease ends the hold. */
const PATIENCE_MS = 300_000;

/** Repeats idempotent work while Redis is away or recovers. @throws its last error when the patience is over */
export async function insist<T>(work: () => Promise<T>, patienceMs = PATIENCE_MS): Promise<T> {
  const startedMs = performance.now();
  for (let pauseMs = PAUSE_MIN_MS; ; pauseMs = Math.min(2 * pauseMs, PAUSE_MAX_MS)) {
    try {
      return await work();
    } catch (error) {
      if (performance.now() - startedMs + pauseMs > patienceMs) throw error;
      await sleep(pauseMs);
    }
  }
}

/** Passes a script's answer on. @throws where the door is closed, so that `insist` asks again */
export function mended<T>(answer: T): Exclude<T, 'recovering' | { code: 'recovering' }> {
  const refused = answer === 'recovering' || [codeOf(answer, 'code'), codeOf(answer, 'outcome')].includes('recovering');
  if (refused) throw new Error('Redis is being mended');
  return answer as Exclude<T, 'recovering' | { code: 'recovering' }>;
}

function codeOf(answer: unknown, field: 'code' | 'outcome'): unknown {
  return typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>)[field] : undefined;
}
