import { parentPort, workerData } from 'node:worker_threads';

/**
 * Runs one guard's module apart from the service, which can end a thread that hangs. This file imports nothing of
 * Daypass, so that it runs as it stands.
 */
interface Task {
  id: number;
  /** The module judges one part after the other. */
  parts: readonly (readonly object[])[];
  context: object;
  /** After this time no further part begins: another key has its turn. */
  sliceMs: number;
}

/** Asks only whether the thread is alive. */
interface Ping {
  ping: number;
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
  parentPort!.on('message', (message: Task | Ping) => {
    if ('ping' in message) parentPort!.postMessage({ pong: message.ping });
    else void run(check, message);
  });
  parentPort!.postMessage({ loaded: true });
} catch (error) {
  parentPort!.postMessage({ loaded: false, error: reason(error) });
}

async function run(check: Check, { id, parts, context, sliceMs }: Task): Promise<void> {
  // The service knows by this which task a thread hangs in.
  parentPort!.postMessage({ begun: id });
  const startedMs = performance.now();
  const verdicts: unknown[] = [];
  try {
    do verdicts.push(await check(parts[verdicts.length]!, { ...context, options }));
    while (verdicts.length < parts.length && performance.now() - startedMs < sliceMs);
    parentPort!.postMessage({ id, verdicts, tookMs: performance.now() - startedMs });
  } catch (error) {
    // An error's message may quote the content.
    parentPort!.postMessage({ id, error: error instanceof Error ? error.name : 'Error' });
  }
}
