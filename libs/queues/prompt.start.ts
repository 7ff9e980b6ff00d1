import type { Worker } from 'bullmq';

/** Jobs that come so close to one another are fetched one after the other before they start. */
const BURST_MS = 2;

/**
 * Lets a worker that had nothing to do start a job as soon as it has it. BullMQ asks Redis for a further job first, and
 * starts none until it has the answer. It does not do so while it believes the queue to be empty: then it waits for the
 * queue's marker beside the job. Fetching a job sets the marker again, so that no further job waits.
 */
export function startAtOnce(worker: Worker): void {
  let lastMs = -Infinity;
  worker.on('active', () => {
    const nowMs = performance.now();
    if (nowMs - lastMs > BURST_MS) (worker as unknown as { drained: boolean }).drained = true;
    lastMs = nowMs;
  });
}
