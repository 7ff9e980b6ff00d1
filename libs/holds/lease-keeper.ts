import type { Redis } from 'ioredis';
import type { HoldStore } from './hold.store.js';
import { LEASE_MS, type CallClaim } from './hold.types.js';
import { redisKeys } from '#libs/redis/keys.js';
import { RunId } from '#libs/redis/run-id.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';

/** So many leases in one script, so that it does not occupy Redis for long. */
const RENEW_MAX = 1_000;
/** While the door is closed every call waits, and workers have only seconds to claim what they run. */
const CLOSED_RETRY_MS = 300;

/**
 * Renews the leases of the calls that this process answers for, many in one command. A process that dies stops
 * renewing, and the sweeper ends its holds by their state. The keeper also notices that Redis lost data: its door has
 * another number then. So it repeats what this process ended lately, and claims the calls that it runs.
 */
export class LeaseKeeper {
  /** Waiting calls, renewed only while they are held. Whoever dispatches one answers for it from then on. */
  private readonly waiting = new Set<string>();
  private readonly running = new Map<string, CallClaim>();
  private readonly script: Script;
  private readonly run: RunId;
  private timer: NodeJS.Timeout | undefined;
  private retry: NodeJS.Timeout | undefined;
  /** Run id and number of the door at the last renewal; undefined before the first. */
  private door: string | undefined;
  private openedAs: string | undefined;
  private onReopened: (() => void) | undefined;
  private renewing: Promise<void> | undefined;

  constructor(
    redis: Redis,
    private readonly holds: HoldStore,
    private readonly onError: (error: unknown) => void,
  ) {
    this.run = RunId.of(redis);
    this.script = defineScript(redis, 'renew-leases');
    // After a reconnection Redis may be another run, which waits for this process' claims.
    redis.on('ready', () => this.renewIn(0));
  }

  start(): void {
    this.timer ??= setInterval(() => void this.renew(), LEASE_MS / 3).unref();
    this.renewIn(0);
  }

  stop(): void {
    clearInterval(this.timer);
    clearTimeout(this.retry);
    this.timer = undefined;
  }

  /** Answers for a call until it is dispatched. */
  keepWaiting(requestId: string): void {
    this.waiting.add(requestId);
  }

  /** Answers for a call that this process dispatched. */
  keepRunning(call: CallClaim): void {
    this.running.set(call.requestId, call);
  }

  release(requestId: string): void {
    this.waiting.delete(requestId);
    this.running.delete(requestId);
  }

  /** Calls the listener when the door opens again after a loss of data, and workers have claimed what they run. */
  whenReopened(listener: () => void): void {
    this.onReopened = listener;
  }

  /** One renewal at a time, so that this process claims its calls once. */
  private renew(): Promise<void> {
    this.renewing ??= this.renewAll()
      .catch((error: unknown) => this.onError(error))
      .finally(() => (this.renewing = undefined));
    return this.renewing;
  }

  private async renewAll(): Promise<void> {
    const door = await this.renewSome('held', [...this.waiting]);
    if (door !== '') await this.notice(door);
    if (door === '' || (await this.renewSome('', [...this.running.keys()])) === '') this.renewIn(CLOSED_RETRY_MS);
  }

  /** Renews some leases, and returns the door as it is now; '': closed. */
  private async renewSome(state: string, ids: readonly string[]): Promise<string> {
    let door = '';
    for (let start = 0; start === 0 || start < ids.length; start += RENEW_MAX) {
      const some = ids.slice(start, start + RENEW_MAX);
      door = (await this.script(
        [redisKeys.epoch, redisKeys.leases],
        [await this.run.get(), LEASE_MS, state, redisKeys.holdPrefix, ...some],
      )) as string;
      if (door === '') return '';
    }
    return door;
  }

  private async notice(door: string): Promise<void> {
    const [phase, ...runAndNumber] = door.split(' ');
    const current = runAndNumber.join(' ');
    const changed = this.door !== undefined && this.door !== current;
    if (changed) {
      const claims = await Promise.all([
        this.holds.replayEnds(),
        ...[...this.running.values()].map((call) => this.holds.claim(call)),
      ]);
      // The door closed again meanwhile: the next renewal does all of it again.
      if (claims.includes('recovering')) return;
    }
    this.door = current;
    if (phase !== 'open' || this.openedAs === current) return;
    if (this.openedAs !== undefined) this.onReopened?.();
    this.openedAs = current;
  }

  private renewIn(ms: number): void {
    if (!this.timer) return;
    clearTimeout(this.retry);
    this.retry = setTimeout(() => void this.renew(), ms).unref();
  }
}
