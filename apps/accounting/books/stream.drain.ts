import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Logger } from '#libs/service/logger.js';
import type { EventStream, StreamEntry } from './event.stream.js';

const CLAIM_EVERY_MS = 10_000;
const BACKOFF_MAX_MS = 5_000;
const STOP_PATIENCE_MS = 5_000;
const WAKE_EVERY_MS = 50;
/**
 * A transaction costs much the same for one entry as for a hundred, so that a pause gathers entries for it. Where few
 * came, somebody may be looking at them. Entries of the pause are in Redis and its append-only file alone.
 */
const FEW_ENTRIES = 8;
const GATHER_FEW_MS = 100;
const GATHER_MS = 400;

export interface StreamDrainOptions {
  /** Names the stream in the log. */
  name: string;
  /** Resolves once committed. @throws when Postgres booked nothing of it */
  book: (entries: readonly StreamEntry[]) => Promise<void>;
  onBatch: (seconds: number) => void;
  onLag: (entries: number) => void;
}

/**
 * Moves a stream into Postgres: read → one transaction → commit → acknowledge and trim. Several processes may drain at
 * once, and any of them may die at any point. Another one then reads the entries again; booking them twice changes
 * nothing.
 */
export class StreamDrain {
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;
  private claimedAtMs = 0;
  private unreadOwn = true;

  constructor(
    redis: Redis,
    private readonly stream: EventStream,
    private readonly logger: Logger,
    private readonly options: StreamDrainOptions,
  ) {
    redis.on('error', (error) => logger.warn({ err: error }, `${options.name} connection`));
    // An answer that the connection lost is pending under this consumer's name. Nobody else claims it soon.
    redis.on('ready', () => (this.unreadOwn = true));
  }

  start(): void {
    this.running ??= this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    // It finishes the running batch. Reads wait for a lost Redis without end, and must not hold up the shutdown.
    const patience = new AbortController();
    const signal = AbortSignal.any([patience.signal, AbortSignal.timeout(STOP_PATIENCE_MS)]);
    await Promise.race([this.running, this.wakeUntil(signal)]);
    patience.abort();
    this.stream.close();
  }

  private async run(): Promise<void> {
    const { name, onLag } = this.options;
    let failures = 0;
    while (!this.stopping.signal.aborted) {
      try {
        await this.step();
        failures = 0;
      } catch (error) {
        failures++;
        this.unreadOwn = true;
        // The lag matters most while it grows.
        await this.stream.length().then(onLag, () => undefined);
        this.logger.warn(
          { err: error, failures },
          `accounting could not book the last batch of the ${name}; it tries again`,
        );
        await this.pause(Math.min(50 * 2 ** Math.min(failures, 10), BACKOFF_MAX_MS));
      }
    }
  }

  private async step(): Promise<void> {
    const entries = await this.read();
    if (entries.length > 0) {
      const startedMs = performance.now();
      await this.options.book(entries);
      await this.stream.acknowledge(entries);
      this.options.onBatch((performance.now() - startedMs) / 1_000);
    }
    this.options.onLag(await this.stream.length());
    if (entries.length > 0 && !this.stream.isFull(entries))
      await this.pause(entries.length > FEW_ENTRIES ? GATHER_MS : GATHER_FEW_MS);
  }

  /** Again and again: the last read may begin to wait after the first time. */
  private async wakeUntil(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await Promise.race([this.stream.wake(), sleep(WAKE_EVERY_MS)]);
      await sleep(WAKE_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }

  /** First what this consumer or a dead process read and never acknowledged, then new entries. */
  private async read(): Promise<StreamEntry[]> {
    if (this.unreadOwn) {
      await this.stream.createGroup();
      const own = await this.stream.readOwn();
      if (own.length > 0) return own;
      this.unreadOwn = false;
    }
    if (Date.now() - this.claimedAtMs > CLAIM_EVERY_MS) {
      const claimed = await this.stream.claimAbandoned();
      if (claimed.length > 0) return claimed;
      this.claimedAtMs = Date.now();
    }
    return this.stream.readNew();
  }
}
