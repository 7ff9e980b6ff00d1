import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { RunId } from '#libs/redis/run-id.js';

/** `settling`: calls may end, and workers may claim calls and renew leases. No call may start. */
export type Phase = 'open' | 'settling';

export interface DoorState {
  phase: Phase;
  /** Accounting raises it at every check of Redis, so that processes notice a check that they missed. */
  number: number;
  /** Accounting has checked this run of Redis. */
  vetted: boolean;
}

/** Lets calls in: accounting opens it once Redis has what the ledger says. Scripts read it in door.include.lua. */
export class Door {
  private readonly run: RunId;

  constructor(private readonly redis: Redis) {
    this.run = RunId.of(redis);
  }

  /** null: Redis has no door, because it is new or lost its data. @throws when Redis does not answer */
  async read(): Promise<DoorState | null> {
    const [run, value] = await Promise.all([this.run.get(), this.redis.get(redisKeys.epoch)]);
    if (value === null) return null;
    const [phase, vetted, number] = value.split(' ');
    return { phase: phase === 'open' ? 'open' : 'settling', number: Number(number ?? 0), vetted: vetted === run };
  }

  async isOpen(): Promise<boolean> {
    const state = await this.read();
    return state !== null && state.vetted && state.phase === 'open';
  }

  async set(phase: Phase, number: number): Promise<void> {
    await this.redis.set(redisKeys.epoch, `${phase} ${await this.run.get()} ${number}`);
  }

  async close(): Promise<void> {
    await this.redis.del(redisKeys.epoch);
  }
}
