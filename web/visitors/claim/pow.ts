import type { Challenge, Solution } from 'altcha-lib/types';
// Vite makes a file of it, and gives its address.
// oxlint-disable-next-line import/default
import workerUrl from '../pow.worker.ts?worker&url';
import type { Progress, Work } from '../pow.worker.js';

/** Two share the counters: more would slow the page down on a phone. */
const WORKERS = 2;
/** An old phone needs a minute for a challenge at its dearest. */
const TIMEOUT_MS = 120_000;

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}

/** The one address that a script may come from at run time. Browsers without trusted types take it as it is. */
const trusted = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes?.createPolicy('daypass', {
  createScriptURL: (url) => {
    if (url !== workerUrl) throw new Error('not the worker of this page');
    return url;
  },
});

/**
 * Solves a proof of work in two workers. `tried` hears how many counters they have tried.
 * @throws where no worker starts, or none finds the solution in time
 */
export async function solve(challenge: Challenge, tried: (tries: number) => void): Promise<Solution> {
  const workers = Array.from(
    { length: WORKERS },
    () => new Worker(trusted?.createScriptURL(workerUrl) ?? workerUrl, { type: 'module' }),
  );
  let tries = 0;
  try {
    return await Promise.any(
      workers.map(
        (worker, first) =>
          new Promise<Solution>((resolve, reject) => {
            worker.onerror = () => reject(new Error('the worker did not start'));
            worker.onmessage = ({ data }: MessageEvent<Progress>) => {
              if ('tries' in data) tried((tries += data.tries));
              else if ('error' in data) reject(new Error(data.error));
              else if (data.solution) resolve(data.solution);
              else reject(new Error('the time was over first'));
            };
            const work: Work = { challenge, first, step: WORKERS, timeoutMs: TIMEOUT_MS };
            worker.postMessage(work);
          }),
      ),
    );
  } finally {
    for (const worker of workers) worker.terminate();
  }
}
