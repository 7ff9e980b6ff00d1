import { extname } from 'node:path';
import type { EventLoopUtilization } from 'node:perf_hooks';
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
const BUSY_RETRY_MS = 5_000;
/** From this share of its time on, a thread computes. Below, it waits for somebody else. */
const COMPUTES = 0.5;
/** A module throws an error of this name where somebody whom it asks is away. Any other error comes of the content. */
const AWAY = 'GuardUnavailable';

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
  /** Others of its key were before it, so that it waits for these as well. */
  isBehindOwn: boolean;
  /** The thread ended, or hung, once while it had this check among others. */
  wasLost: boolean;
  timer: NodeJS.Timeout | undefined;
  /** Of the thread, when this began. */
  load: EventLoopUtilization | undefined;
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
  /** The module loaded in this thread, or in one before. */
  private hasLoaded = false;
  /** The task that the thread began last. */
  private begun = { id: 0, keyId: '' };
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
    const restMs = (this.resting.get(keyId) ?? 0) - performance.now();
    if (restMs > 0)
      throw new GuardUnavailableError('content of this key made it hang within the last minute', true, restMs);
    if (this.waiting.sizeOf(keyId) >= WAITING_OF_KEY_MAX)
      throw new GuardUnavailableError('too much of this key is waiting for it', true, BUSY_RETRY_MS);
    if (this.waiting.size >= WAITING_MAX) throw new GuardUnavailableError('too much is waiting for it');
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
      ...{
        keyId,
        context,
        parts,
        verdicts: [],
        tookMs: 0,
        wasLost: false,
        timer: undefined,
        load: undefined,
        isOver: false,
      },
      untilMs: performance.now() + patienceMs,
      isBehindOwn: this.waiting.sizeOf(keyId) > 0 || [...this.running.values()].some((one) => one.keyId === keyId),
      end: (outcome) => {
        check.isOver = true;
        clearTimeout(check.timer);
        resolve(outcome);
      },
    };
    // One that the thread has ends when that answers, or is overdue.
    const late = setTimeout(() => {
      if (this.waiting.remove(keyId, check)) check.end(this.turnsTooLate(check));
    }, patienceMs);
    this.waiting.add(keyId, check);
    this.next();
    return promise.finally(() => clearTimeout(late));
  }

  private tooLate(refused: boolean, retryAfterMs?: number): GuardUnavailableError {
    return new GuardUnavailableError(`it did not answer within ${this.options.timeoutMs} ms`, refused, retryAfterMs);
  }

  /** Only what had no turn at all, and waited for nothing of its own key, waited for others alone. */
  private turnsTooLate({ isBehindOwn, verdicts }: Check): GuardUnavailableError {
    const reason = 'its turns did not come in time';
    return isBehindOwn || verdicts.length > 0
      ? new GuardUnavailableError(reason, true, BUSY_RETRY_MS)
      : new GuardUnavailableError(reason);
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
    if ('loaded' in message) {
      this.hasLoaded ||= message.loaded;
      this.loading.resolve(message.loaded ? null : message.error!);
    } else if ('pong' in message) this.pings.get(message.pong)?.();
    else if ('begun' in message) this.begin(message.begun);
    else {
      const check = this.running.get(message.id);
      this.running.delete(message.id);
      if (check && !check.isOver) this.goOn(check, message);
      this.next();
    }
  }

  private begin(id: number): void {
    const check = this.running.get(id);
    this.begun = { id, keyId: check?.keyId ?? '' };
    if (!check || check.isOver) return;
    check.load = this.thread?.performance.eventLoopUtilization();
    check.timer = setTimeout(() => void this.overdue(id, check), Math.max(0, this.options.timeoutMs - check.tookMs));
  }

  private goOn(check: Check, answer: Extract<Message, { id: number }>): void {
    clearTimeout(check.timer);
    if ('error' in answer)
      return check.end(new GuardUnavailableError(`it failed: ${answer.error}`, answer.error !== AWAY));
    check.verdicts.push(...answer.verdicts);
    check.tookMs += answer.tookMs;
    if (check.verdicts.length === check.parts.length) check.end(check.verdicts);
    else if (check.tookMs >= this.options.timeoutMs) check.end(this.tooLate(true));
    else if (check.untilMs <= performance.now()) check.end(this.turnsTooLate(check));
    else this.waiting.putBack(check.keyId, check);
  }

  /** A task took too long. It may wait for somebody else, or hang in a loop, which only the end of its thread ends. */
  private async overdue(id: number, check: Check): Promise<void> {
    const { thread, begun } = this;
    this.running.delete(id);
    this.next();
    const load = thread?.performance.eventLoopUtilization(check.load).utilization ?? 0;
    if ((await this.answersPing()) || !thread) return check.end(this.tooSlow(check, load));
    this.endHung(id, check, begun);
    if (thread !== this.thread) return;
    this.wasHung = true;
    await thread.terminate();
  }

  /** A module that waits for somebody else, who may be away, does not compute meanwhile. */
  private tooSlow({ keyId }: Check, load: number): GuardUnavailableError {
    if (this.options.takesPieces) return this.tooLate(true);
    if (load < COMPUTES) return this.tooLate(false);
    const isAlone = [...this.running.values()].every((one) => one.keyId === keyId);
    return isAlone ? this.tooLate(true) : this.tooLate(true, BUSY_RETRY_MS);
  }

  /** The thread hangs in what it began last, as far as anybody knows. What it had beside that is tried once more. */
  private endHung(id: number, check: Check, begun: { id: number; keyId: string }): void {
    if (begun.id === id) this.rest(check.keyId);
    if (begun.id === id || begun.keyId === check.keyId || check.wasLost) return check.end(this.tooLate(true));
    check.wasLost = true;
    this.waiting.putBack(check.keyId, check);
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
      if (!wasHung && (id === this.begun.id || check.wasLost))
        check.end(new GuardUnavailableError('its thread ended', this.hasLoaded));
      else {
        check.wasLost ||= !wasHung;
        this.waiting.putBack(check.keyId, check);
      }
    }
    this.next();
  }
}
