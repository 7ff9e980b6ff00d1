import { setTimeout as sleep } from 'node:timers/promises';

/** About the pace of a small model: half a second to the first token, then a readable flow. */
export const LIFELIKE = { firstTokenMs: 250, tokensPerSecond: 80, moderationLatencyMs: 60 };

/** Waits `ms`, or until the signal. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal }).catch(() => undefined);
}
