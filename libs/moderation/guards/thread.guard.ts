import { extname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { FairQueue } from '#libs/pacing/fair.queue.js';
import type { Content } from '#libs/endpoints/content.js';
import {
  GuardUnavailableError,
  joinedVerdict,
  readVerdict,
  wellFormedContents,
  type Guard,
  type GuardContext,
  type GuardVerdict,
} from './guard.js';
import { inPieces } from './pieces.js';

const START_TIMEOUT_MS = 10_000;
/** A thread that does not even answer a ping hangs in a loop. */
const ALIVE_TIMEOUT_MS = 250;
const HEAP_MB = 256;

/** Checks that wait. A service judges far fewer calls at once, and one key's must not fill the queue. */
const WAITING_MAX = 10_000;
const WAITING_OF_KEY_MAX = 2_500;
/** A check waits so long for its turns, beside the time that its contents take. */
const WAIT_MS = 10_000;
/** A check has its turn for so long. Then another key's check goes on. */
const SLICE_MS = 20;
const PARTS_AT_ONCE = 64;
/** Modules that ask somebody else work on so many contents at once. */
const MODULE_AT_ONCE = 16;
/** Content that makes a thread hang costs all others a wait. Its key gets no verdicts for so long. */
const REST_MS = 60_000;
const RESTING_MAX = 10_000;

// Tests run the sources, services run dist/.
const THREAD = new URL(`./guard.thread${extname(import.meta.url)}`, import.meta.url);

export interface ThreadGuardOptions {
  /** An ES module that exports `check(content, context)`. */
  moduleUrl: string;
  options: Record<string, unknown>;
  /** The contents of one call may take the thread so long. */
  timeoutMs: number;
  /** The module judges pieces of texts (`Piece`), one by one. Otherwise it sees all contents of a call together. */
  takesPieces?: boolean;
}

type Message =
  | { loaded: boolean; error?: string }
  | { begun: number }
  | { pong: number }
  | { id: number; verdicts: readonly unknown[]; tookMs: number }
  | { id: number; error: string };

/** One call's contents on their way through the thread. */
interface Check {
  keyId: string;
  context: object;
  parts: readonly (readonly object[])[];
  verdicts: unknown[];
  tookMs: number;
  /** By `performance.now`. */
  untilMs: number;
  /** The thread ended once while it had this check among others. */
  wasLost: boolean;
  timer: NodeJS.Timeout | undefined;
  isOver: boolean;
  end: (outcome: readonly unknown[] | GuardUnavailableError) => void;
}

/**
 * Runs a guard's code in a thread of its own. Where it throws, hangs or runs out of memory, only its verdict is
 * missing. Keys take turns. The thread works on a long text piece by piece, so that nobody waits for all of it.
 */
export class ThreadGuard implements Guard {
  private thread: Worker | null = null;
  private readonly loading = Promise.withResolvers<string | null>();
  private readonly waiting = new FairQueue<Check>();
  private readonly running = new Map<number, Check>();
  /** The task that the thread began last. */
  private begun = 0;
  /** This guard ends the thread itself. */
  private wasHung = false;
  private lastId = 0;
  private readonly pings = new Map<number, () => void>();
  /** Until when keys get no verdicts, by `performance.now`. */
  private readonly resting = new Map<string, number>();

  constructor(
    readonly name: string,
    readonly model: string,
    private readonly options: ThreadGuardOptions,
  ) {}

  /** @throws when the module does not load, and says why */
  async start(): Promise<void> {
    this.alive();
    const late = sleep(START_TIMEOUT_MS, `it did not answer within ${START_TIMEOUT_MS} ms`, { ref: false });
    const error = await Promise.race([this.loading.promise, late]);
    if (error !== null) throw new Error(`the guard '${this.name}' cannot be loaded: ${error}`);
  }

  async stop(): Promise<void> {
    const { thread } = this;
    this.thread = null;
    const stopped = new GuardUnavailableError('it was stopped');
    for (let check = this.waiting.take(); check; check = this.waiting.take()) check.end(stopped);
    for (const check of this.running.values()) check.end(stopped);
    this.running.clear();
    await thread?.terminate();
  }

  async check(
    contents: readonly Content[],
    { requestId, keyId, campaignId, model, direction }: GuardContext,
  ): Promise<GuardVerdict> {
    if ((this.resting.get(keyId) ?? 0) > performance.now())
      throw new GuardUnavailableError('content of this key made it hang within the last minute');
    if (this.waiting.size >= WAITING_MAX || this.waiting.sizeOf(keyId) >= WAITING_OF_KEY_MAX)
      throw new GuardUnavailableError('too much is waiting for it');
    const shown = wellFormedContents(contents);
    const parts = this.options.takesPieces ? inPieces(shown) : [shown];
    if (parts.length === 0) return joinedVerdict([]);
    const context = { direction, request: requestId, key: keyId, campaign: campaignId, model };
    const outcome = await this.verdictsOn(parts, keyId, context);
    if (outcome instanceof GuardUnavailableError) throw outcome;
    return joinedVerdict(outcome.map((verdict) => readVerdict(verdict, this.name)));
  }

  private async verdictsOn(
    parts: Check['parts'],
    keyId: string,
    context: object,
  ): Promise<readonly unknown[] | GuardUnavailableError> {
    const { promise, resolve } = Promise.withResolvers<readonly unknown[] | GuardUnavailableError>();
    const patienceMs = WAIT_MS + this.options.timeoutMs;
    const check: Check = {
      ...{ keyId, context, parts, verdicts: [], tookMs: 0, wasLost: false, timer: undefined, isOver: false },
      untilMs: performance.now() + patienceMs,
      end: (outcome) => {
        check.isOver = true;
        clearTimeout(check.timer);
        resolve(outcome);
      },
    };
    // One that the thread has ends when that answers, or is overdue.
    const late = setTimeout(() => {
      if (this.waiting.remove(keyId, check)) check.end(this.tooLate());
    }, patienceMs);
    this.waiting.add(keyId, check);
    this.next();
    return promise.finally(() => clearTimeout(late));
  }

  private tooLate(): GuardUnavailableError {
    return new GuardUnavailableError(`it did not answer within ${this.options.timeoutMs} ms`);
  }

  /** Gives the thread as much as it works on at once. */
  private next(): void {
    const atOnce = this.options.takesPieces ? 1 : MODULE_AT_ONCE;
    while (this.running.size < atOnce) {
      const check = this.waiting.take();
      if (!check) return;
      const id = ++this.lastId;
      this.running.set(id, check);
      const parts = check.parts.slice(check.verdicts.length, check.verdicts.length + PARTS_AT_ONCE);
      this.alive().postMessage({ id, parts, context: check.context, sliceMs: SLICE_MS });
    }
  }

  private hear(message: Message): void {
    if ('loaded' in message) this.loading.resolve(message.loaded ? null : message.error!);
    else if ('pong' in message) this.pings.get(message.pong)?.();
    else if ('begun' in message) this.begin(message.begun);
    else {
      const check = this.running.get(message.id);
      this.running.delete(message.id);
      if (check && !check.isOver) this.goOn(check, message);
      this.next();
    }
  }

  private begin(id: number): void {
    this.begun = id;
    const check = this.running.get(id);
    if (!check || check.isOver) return;
    check.timer = setTimeout(() => void this.overdue(id, check), Math.max(0, this.options.timeoutMs - check.tookMs));
  }

  private goOn(check: Check, answer: Extract<Message, { id: number }>): void {
    clearTimeout(check.timer);
    if ('error' in answer) return check.end(new GuardUnavailableError(`it failed: ${answer.error}`));
    check.verdicts.push(...answer.verdicts);
    check.tookMs += answer.tookMs;
    if (check.verdicts.length === check.parts.length) check.end(check.verdicts);
    else if (check.tookMs >= this.options.timeoutMs || check.untilMs <= performance.now()) check.end(this.tooLate());
    else this.waiting.putBack(check.keyId, check);
  }

  /** A task took too long. It may wait for somebody else, or hang in a loop, which only the end of its thread ends. */
  private async overdue(id: number, check: Check): Promise<void> {
    const { thread } = this;
    this.running.delete(id);
    check.end(this.tooLate());
    this.next();
    if ((await this.answersPing()) || thread !== this.thread) return;
    if (this.begun === id) this.rest(check.keyId);
    this.wasHung = true;
    await thread?.terminate();
  }

  private async answersPing(): Promise<boolean> {
    const id = ++this.lastId;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.pings.set(id, () => resolve(true));
    const timer = setTimeout(() => resolve(false), ALIVE_TIMEOUT_MS);
    this.thread?.postMessage({ ping: id });
    const isAlive = await promise;
    clearTimeout(timer);
    this.pings.delete(id);
    return isAlive;
  }

  private rest(keyId: string): void {
    const nowMs = performance.now();
    for (const [key, untilMs] of this.resting) if (untilMs <= nowMs) this.resting.delete(key);
    if (this.resting.size < RESTING_MAX) this.resting.set(keyId, nowMs + REST_MS);
  }

  private alive(): Worker {
    if (this.thread) return this.thread;
    const { moduleUrl, options } = this.options;
    const thread = new Worker(THREAD, {
      workerData: { moduleUrl, options },
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
      name: `guard ${this.name}`,
    });
    this.thread = thread;
    thread.on('message', (message: Message) => this.hear(message));
    const onEnd = (): void => {
      if (this.thread === thread) this.lostThread();
    };
    thread.on('error', onEnd);
    thread.on('exit', onEnd);
    // The thread must not keep a service alive that ends.
    thread.unref();
    return thread;
  }

  /** All work goes on in a new thread: after a crash only once, and not what the thread began last. */
  private lostThread(): void {
    const { wasHung } = this;
    this.thread = null;
    this.wasHung = false;
    this.loading.resolve('its thread ended');
    const lost = [...this.running];
    this.running.clear();
    for (const [id, check] of lost.reverse()) {
      if (check.isOver) continue;
      clearTimeout(check.timer);
      if (!wasHung && (id === this.begun || check.wasLost)) check.end(new GuardUnavailableError('its thread ended'));
      else {
        check.wasLost ||= !wasHung;
        this.waiting.putBack(check.keyId, check);
      }
    }
    this.next();
  }
}
