import type { Redis } from 'ioredis';
import { ticketSchema, type Ticket } from '#libs/contracts/jobs.js';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import type { LaneTable } from './lanes.js';
import { newsOf, type Told } from './told-limits.js';

/** Where a call stands in its lane. */
export interface Place {
  /** Calls that come before it. */
  before: number;
  /** Until its turn, as far as anybody knows. */
  waitMs: number;
}

export type Entered = ({ code: 'entered' } & Place) | ({ code: 'late' } & Place) | { code: 'gone' };

/** A ticket is needed no longer than its call may wait; the longest wait is ten minutes. */
const TICKET_LIFE_MS = 1_200_000;

/** Who waits for a lane, in fair order, over all processes. */
export class LaneLine {
  private readonly enterScript: Script;
  private readonly headScript: Script;
  private readonly placesScript: Script;
  private readonly learnScript: Script;
  /** What each lane's upstream last told, so that the same is not told to Redis again and again. */
  private readonly told = new Map<string, Told>();

  constructor(
    redis: Redis,
    private readonly lanes: LaneTable,
  ) {
    this.enterScript = defineScript(redis, 'enter-lane');
    this.headScript = defineScript(redis, 'head-of-lane');
    this.placesScript = defineScript(redis, 'lane-places');
    this.learnScript = defineScript(redis, 'learn-lane');
  }

  /** Repeated, it answers anew and changes nothing. */
  async enter(ticket: Ticket): Promise<Entered> {
    const { lane, requestId, keyId, pacedTokens, weight } = ticket;
    const { rpm, tpm, burstMs } = this.lanes.limitsOf(lane);
    const keys = [...laneKeys(lane), redisKeys.hold(requestId), redisKeys.ticket(requestId)];
    const args = [requestId, keyId, pacedTokens, weight, rpm, tpm, burstMs, JSON.stringify(ticket), TICKET_LIFE_MS];
    const [code, before, waitMs] = (await this.enterScript(keys, args)) as ['entered' | 'late' | 'gone', number, number];
    return code === 'gone' ? { code } : { code, before, waitMs };
  }

  /** The call whose turn is next; null where none waits. */
  async head(lane: string): Promise<Ticket | null> {
    const text = (await this.headScript([redisKeys.laneWaiting(lane), redisKeys.laneFair(lane)], [redisKeys.holdPrefix, redisKeys.ticketPrefix])) as string;
    return text === '' ? null : ticketSchema.parse(JSON.parse(text));
  }

  /** One for each call; null for those that do not wait. */
  async places(lane: string, requestIds: readonly string[]): Promise<(Place | null)[]> {
    const { rpm, tpm, burstMs } = this.lanes.limitsOf(lane);
    const flat = (await this.placesScript(laneKeys(lane), [rpm, tpm, burstMs, ...requestIds])) as number[];
    return requestIds.map((_, index) => (flat[2 * index]! > 0 ? { before: flat[2 * index]! - 1, waitMs: flat[2 * index + 1]! } : null));
  }

  /** Takes over what an upstream's answer says of its limits. `counted`: what we counted when the call was sent. */
  async learn(lane: string, headers: Headers, counted: { requests: number; tokens: number }): Promise<void> {
    const known = this.told.get(lane) ?? { rpm: 0, tpm: 0 };
    const { fixed } = this.lanes.limitsOf(lane);
    const { told, beyond, isNews } = newsOf(headers, known, counted, fixed);
    if (!isNews) return;
    this.told.set(lane, told);
    await this.learnScript(
      [redisKeys.laneWindow(lane), redisKeys.laneState(lane)],
      [fixed ? 0 : told.rpm, fixed ? 0 : told.tpm, beyond.requests, beyond.tokens],
    );
  }
}

function laneKeys(lane: string): string[] {
  return [redisKeys.laneWaiting(lane), redisKeys.laneFair(lane), redisKeys.laneWindow(lane), redisKeys.laneState(lane)];
}
