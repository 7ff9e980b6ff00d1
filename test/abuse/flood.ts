import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

export interface Flood {
  origin: string;
  /** Each connection takes one of them. */
  paths: readonly string[];
  headers?: Record<string, string>;
  /** Empty: each connection sends GET instead of POST. */
  body: string | Uint8Array;
  atOnce: number;
  /** How often each connection posts it: without a pause the machine would be busy with the sending itself. */
  everyMs: number;
}

/**
 * Posts a body again and again, on a thread of its own, so that the thread that measures others has no work with it.
 * Returns how many answers of each status came.
 */
export async function flood(over: AbortSignal, { headers = {}, ...what }: Flood): Promise<Record<string, number>> {
  const thread = new Worker(join(import.meta.dirname, 'flood.thread.mjs'), {
    workerData: { headers, ...what },
    execArgv: [],
  });
  over.addEventListener('abort', () => thread.postMessage('stop'), { once: true });
  const [counts] = (await once(thread, 'message')) as [Record<string, number>];
  await thread.terminate();
  return counts;
}
