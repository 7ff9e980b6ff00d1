import type { Worker } from 'bullmq';

type Woken = Awaited<ReturnType<Worker['backend']['waitForJob']>>;

/** As the queue's marker says that a job may wait. */
const MAY_HAVE_JOB: Woken = { member: '0', score: 0 };

interface Sleeper {
  sleeps: () => void;
  woken: () => void;
}

/**
 * Lets a worker that fetched the last job of its queue sleep at once. Each fetch sets the queue's marker, for other
 * workers. So a worker that blocks on the marker after a fetch would wake up, and ask for a job by a script that finds
 * none. Here it takes that marker away and looks whether anything waits, in one write. What comes after the look sets
 * the marker again. Calls `woken` where the marker that others set wakes the worker, and `sleeps` before it blocks.
 */
export function passOwnMarker(worker: Worker, { sleeps, woken }: Sleeper): void {
  const { backend, keys } = worker;
  const block = backend.waitForJob.bind(backend);
  let hasFetched = false;
  worker.on('active', () => (hasFetched = true));

  /** A job that failed waits among the delayed ones, and only a fetch moves it on. */
  async function mayHaveJob(): Promise<boolean> {
    try {
      const look = (await backend.client).pipeline();
      look.del(keys.marker!).llen(keys.wait!).zrange(keys.prioritized!, 0, 0).zrange(keys.delayed!, 0, 0);
      const answers = ((await look.exec()) ?? []) as [Error | null, unknown][];
      if (answers.length !== 4 || answers.some(([error]) => error !== null)) return true;
      const [, waiting, prioritized, delayed] = answers.map(([, answer]) => answer as number | string[]);
      return waiting !== 0 || [prioritized, delayed].some((ids) => (ids as string[]).length > 0);
    } catch {
      // The marker may be gone, and the answer is lost.
      return true;
    }
  }

  backend.waitForJob = async (timeoutSeconds) => {
    sleeps();
    if (hasFetched) {
      hasFetched = false;
      if (await mayHaveJob()) return MAY_HAVE_JOB;
      if (worker.closing || worker.isPaused()) return null;
    }
    const marker = await block(timeoutSeconds);
    if (marker?.score === 0) woken();
    return marker;
  };
}
