import { solveChallenge } from 'altcha-lib';
import { deriveKey as deriveNatively } from 'altcha-lib/algorithms/web/pbkdf2';
import type { Challenge, DeriveKeyFunction, Solution } from 'altcha-lib/types';

const TIMEOUT_MS = 120_000;
/** A page still scrolls and types while its main thread solves. */
const SLICE_MS = 8;
/** A worker that has not said so much as hello by then does not start: the page's policy may forbid it in silence. */
const START_MS = 3_000;
const HELLO = 'daypass: hello';

type Said = typeof HELLO | { solution: Solution | null };

/** Pages on `http://` by a LAN address have no `crypto.subtle`. */
const isSecure = (crypto.subtle as SubtleCrypto | undefined) !== undefined;
const derive: DeriveKeyFunction = isSecure
  ? deriveNatively
  : async ({ cost, keyLength }, salt, password) => {
      const { derivedKey } = await import('./plain.js');
      return { derivedKey: derivedKey(password, salt, cost, keyLength) };
    };

/** Solves in a worker, or in the page where no worker starts. null: not within two minutes. */
export async function solve(challenge: Challenge, signal: AbortSignal): Promise<Solution | null> {
  try {
    return await solveInWorker(challenge, signal);
  } catch {
    return solveInSlices(challenge, signal);
  }
}

/** Browsers refuse workers of other origins, but a worker of the page's own may import from them. */
async function solveInWorker(challenge: Challenge, signal: AbortSignal): Promise<Solution | null> {
  const own = URL.createObjectURL(new Blob([`import ${JSON.stringify(import.meta.url)}`], { type: 'text/javascript' }));
  let worker: Worker | undefined;
  try {
    // A page with trusted types throws here: it has no policy for us.
    worker = new Worker(own, { type: 'module', name: WORKER_NAME });
    return await answerOf(worker, challenge, signal);
  } finally {
    worker?.terminate();
    URL.revokeObjectURL(own);
  }
}

function answerOf(worker: Worker, challenge: Challenge, signal: AbortSignal): Promise<Solution | null> {
  return new Promise((resolve, reject) => {
    const fail = (): void => reject(new Error('the worker did not start'));
    const timer = setTimeout(fail, START_MS);
    worker.onerror = fail;
    signal.addEventListener('abort', fail, { once: true });
    worker.onmessage = ({ data }: MessageEvent<Said>): void => {
      if (data !== HELLO) return resolve(data.solution);
      clearTimeout(timer);
      worker.postMessage(challenge);
    };
  });
}

async function solveInSlices(challenge: Challenge, signal: AbortSignal): Promise<Solution | null> {
  let from = performance.now();
  return solveChallenge({
    challenge,
    timeout: TIMEOUT_MS,
    deriveKey: async (...its) => {
      signal.throwIfAborted();
      if (performance.now() - from >= SLICE_MS) {
        await new Promise((resolve) => setTimeout(resolve));
        from = performance.now();
      }
      return derive(...its);
    },
  });
}

const WORKER_NAME = 'daypass-claim';

/** This module is also the worker. A server that renders pages has neither a document nor such a name. */
export function beWorker(): void {
  if ((globalThis as { name?: string }).name !== WORKER_NAME) return;
  self.onmessage = ({ data }: MessageEvent<Challenge>): void => {
    void solveChallenge({ challenge: data, timeout: TIMEOUT_MS, deriveKey: derive }).then((solution) =>
      self.postMessage({ solution } satisfies Said),
    );
  };
  self.postMessage(HELLO satisfies Said);
}
