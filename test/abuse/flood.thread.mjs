import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';

/** Posts one body, or asks without one, again and again over so many connections, on a thread of its own, until somebody says stop. */
const { origin, paths, headers, body, atOnce, everyMs } = workerData;
const asked =
  body.length === 0
    ? { headers }
    : { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: Buffer.from(body) };
const over = new AbortController();
parentPort.once('message', () => over.abort());
const counts = {};

async function ask(path) {
  try {
    const response = await fetch(`${origin}${path}`, { ...asked, signal: over.signal });
    await response.text();
    return response.status;
  } catch {
    // The relay may hang up on the rest of a body.
    return over.signal.aborted ? 'over' : 'broken';
  }
}

async function lane(path, index) {
  // One after the other, so that the attack is the same at each moment.
  await sleep((everyMs * index) / atOnce, undefined, { signal: over.signal }).catch(() => undefined);
  while (!over.signal.aborted) {
    const pause = sleep(everyMs, undefined, { signal: over.signal }).catch(() => undefined);
    const outcome = await ask(path);
    counts[outcome] = (counts[outcome] ?? 0) + 1;
    await pause;
  }
}

await Promise.all(Array.from({ length: atOnce }, (_, index) => lane(paths[index % paths.length], index)));
parentPort.postMessage(counts);
