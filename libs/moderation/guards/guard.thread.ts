import { parentPort, workerData } from 'node:worker_threads';

/**
 * Runs one guard's module apart from the service, which can end a thread that hangs. This file imports nothing of
 * Daypass, so that it runs as it stands.
 */
interface Task {
  id: number;
  /** A task without content asks only whether the thread is alive. */
  content?: readonly object[];
  context?: object;
}

type Check = (content: readonly object[], context: object) => unknown;

const { moduleUrl, options } = workerData as { moduleUrl: string; options: Record<string, unknown> };

async function load(): Promise<Check> {
  const loaded = (await import(moduleUrl)) as { check?: unknown; default?: unknown };
  const found = typeof loaded.check === 'function' ? loaded.check : loaded.default;
  if (typeof found !== 'function') throw new Error('it exports no function `check(content, context)`');
  return found as Check;
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));

try {
  const check = await load();
  parentPort!.on('message', (task: Task) => void run(check, task));
  parentPort!.postMessage({ id: 0 });
} catch (error) {
  parentPort!.postMessage({ id: 0, error: reason(error) });
}

async function run(check: Check, { id, content, context }: Task): Promise<void> {
  try {
    const verdict = content ? await check(content, { ...context, options }) : undefined;
    parentPort!.postMessage({ id, verdict });
  } catch (error) {
    // An error's message may quote the content.
    parentPort!.postMessage({ id, error: error instanceof Error ? error.name : 'Error' });
  }
}
