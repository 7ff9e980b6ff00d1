import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Content } from '#libs/endpoints/content.js';
import {
  GuardUnavailableError,
  readVerdict,
  wellFormedContents,
  type Guard,
  type GuardContext,
  type GuardVerdict,
} from './guard.js';

const START_TIMEOUT_MS = 10_000;
/** A thread that does not answer even a task without content hangs in a loop. */
const ALIVE_TIMEOUT_MS = 250;
const WAITING_MAX = 1_000;
const HEAP_MB = 256;

// Tests run the sources, services run dist/.
const THREAD = new URL(`./guard.thread${extname(import.meta.url)}`, import.meta.url);

export interface ThreadGuardOptions {
  /** An ES module that exports `check(content, context)`. */
  moduleUrl: string;
  options: Record<string, unknown>;
  timeoutMs: number;
}

interface Answer {
  id: number;
  verdict?: unknown;
  error?: string;
}

/**
 * Runs a guard's code in a thread of its own. It may throw, hang or run out of memory: only its verdict is missing
 * then.
 */
export class ThreadGuard implements Guard {
  private thread: Worker | null = null;
  private readonly waiting = new Map<number, (answer: Answer | null) => void>();
  private lastId = 0;

  constructor(
    readonly name: string,
    readonly model: string,
    private readonly options: ThreadGuardOptions,
  ) {}

  /** @throws when the module does not load, and says why */
  async start(): Promise<void> {
    const answer = await this.ask({}, START_TIMEOUT_MS, 0);
    if (answer?.error !== undefined) throw new Error(`the guard '${this.name}' cannot be loaded: ${answer.error}`);
    if (!answer)
      throw new Error(`the guard '${this.name}' cannot be loaded: it did not answer within ${START_TIMEOUT_MS} ms`);
  }

  async stop(): Promise<void> {
    await this.thread?.terminate();
  }

  async check(
    contents: readonly Content[],
    { requestId, keyId, campaignId, model, direction }: GuardContext,
  ): Promise<GuardVerdict> {
    if (this.waiting.size >= WAITING_MAX) throw new GuardUnavailableError('too much is waiting for it');
    const context = { direction, request: requestId, key: keyId, campaign: campaignId, model };
    const answer = await this.ask({ content: wellFormedContents(contents), context }, this.options.timeoutMs);
    if (answer?.error !== undefined) throw new GuardUnavailableError(`it failed: ${answer.error}`);
    if (answer) return readVerdict(answer.verdict, this.name);
    void this.endIfHung();
    throw new GuardUnavailableError(`it did not answer within ${this.options.timeoutMs} ms`);
  }

  /** null: the thread did not answer in time. */
  private ask(task: object, timeoutMs: number, id = ++this.lastId): Promise<Answer | null> {
    const { promise, resolve } = Promise.withResolvers<Answer | null>();
    const timer = setTimeout(() => resolve(null), timeoutMs);
    this.waiting.set(id, resolve);
    const thread = this.running();
    if (id > 0) thread.postMessage({ id, ...task });
    return promise.finally(() => {
      clearTimeout(timer);
      this.waiting.delete(id);
    });
  }

  private async endIfHung(): Promise<void> {
    const { thread } = this;
    if ((await this.ask({}, ALIVE_TIMEOUT_MS)) === null && thread === this.thread) await thread?.terminate();
  }

  private running(): Worker {
    if (this.thread) return this.thread;
    const { moduleUrl, options } = this.options;
    const thread = new Worker(THREAD, {
      workerData: { moduleUrl, options },
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
      name: `guard ${this.name}`,
    });
    this.thread = thread;
    thread.on('message', (answer: Answer) => this.waiting.get(answer.id)?.(answer));
    const onEnd = (): void => {
      if (this.thread !== thread) return;
      this.thread = null;
      for (const resolve of this.waiting.values()) resolve({ id: 0, error: 'its thread ended' });
    };
    thread.on('error', onEnd);
    thread.on('exit', onEnd);
    // The thread must not keep a service alive that ends.
    thread.unref();
    return thread;
  }
}
