import type { Redis } from 'ioredis';
import { redisKeys } from '#libs/redis/keys.js';
import { RunId } from '#libs/redis/run-id.js';

/** `settling`: calls may end, be claimed and keep their leases; none may begin. */
export type Phase = 'open' | 'settling';

export interface DoorState {
  phase: Phase;
  /** Raised at every vetting, so that processes notice one that they slept through. */
  number: number;
  /** Whether this run of Redis was vetted. */
  vetted: boolean;
}

/** What lets calls in: accounting opens it once Redis holds what the ledger says. The scripts read it, common.include.lua. */
export class Door {
  private readonly run: RunId;

  constructor(private readonly redis: Redis) {
    this.run = RunId.of(redis);
  }

  /** null: Redis knows of no door, so that it is new or lost its data. @throws when Redis does not answer */
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
