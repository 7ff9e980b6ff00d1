import type { Redis } from 'ioredis';
import { ticketSchema, type Ticket } from '#libs/contracts/jobs.js';
import { redisKeys } from '#libs/redis/keys.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import type { LaneLimits, LaneTable } from './lanes.js';
import { newsOf, type Told } from './told-limits.js';

/** Where a call stands in its lane. */
export interface Place {
  /** Calls that come before it. */
  before: number;
  /** Until its turn, as far as anybody knows. */
  waitMs: number;
}

/** What a lane is at. Limits a minute, 0 for none, as they are kept to now. */
export interface LaneView {
  lane: string;
  configured: LaneLimits;
  rpm: number;
  tpm: number;
  /** Within the last minute. */
  requests: number;
  tokens: number;
  /** 0: it is not frozen. */
  frozenUntilMs: number;
  waitingCalls: number;
  waitingTokens: number;
  /** Whose turn is next. */
  nextId: string | null;
}

export type Entered = ({ code: 'entered' } & Place) | ({ code: 'late' } & Place) | { code: 'gone' };

/** A ticket is needed no longer than its call may wait; the longest wait is ten minutes. */
const TICKET_LIFE_MS = 1_200_000;

/** Who waits for a lane, in fair order, over all processes. */
export class LaneLine {
  private readonly enterScript: Script;
  private readonly headsScript: Script;
  private readonly placesScript: Script;
  private readonly learnScript: Script;
  private readonly lookScript: Script;
  /** What each lane's upstream last told, so that the same is not told to Redis again and again. */
  private readonly told = new Map<string, Told>();

  constructor(
    redis: Redis,
    private readonly lanes: LaneTable,
  ) {
    this.enterScript = defineScript(redis, 'enter-lane');
    this.headsScript = defineScript(redis, 'heads-of-lane');
    this.placesScript = defineScript(redis, 'lane-places');
    this.learnScript = defineScript(redis, 'learn-lane');
    this.lookScript = defineScript(redis, 'look-at-lane');
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

  /** The calls whose turns are next, in their order, at most so many. */
  async heads(lane: string, count: number): Promise<Ticket[]> {
    const tickets = await this.headsScript([redisKeys.laneWaiting(lane), redisKeys.laneFair(lane)], [redisKeys.holdPrefix, redisKeys.ticketPrefix, count]);
    return (tickets as string[]).map((text) => ticketSchema.parse(JSON.parse(text)));
  }

  /** One for each call; null for those that do not wait. */
  async places(lane: string, requestIds: readonly string[]): Promise<(Place | null)[]> {
    const { rpm, tpm, burstMs } = this.lanes.limitsOf(lane);
    const flat = (await this.placesScript(laneKeys(lane), [rpm, tpm, burstMs, ...requestIds])) as number[];
    return requestIds.map((_, index) => (flat[2 * index]! > 0 ? { before: flat[2 * index]! - 1, waitMs: flat[2 * index + 1]! } : null));
  }

  async look(lane: string): Promise<LaneView> {
    const limits = this.lanes.limitsOf(lane);
    const answer = (await this.lookScript(laneKeys(lane), [limits.rpm, limits.tpm])) as string[];
    const [rpm, tpm, requests, tokens, frozenUntilMs, waitingCalls, waitingTokens] = answer.slice(0, 7).map(Number) as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    return { lane, configured: limits, rpm, tpm, requests, tokens, frozenUntilMs, waitingCalls, waitingTokens, nextId: answer[7] || null };
  }

  /** Takes over what an upstream's answer says of its limits. `counted`: what we counted when the call was sent. */
  async learn(lane: string, headers: Headers, counted: { requests: number; tokens: number }): Promise<void> {
    const known = this.told.get(lane) ?? { rpm: 0, tpm: 0 };
    const { fixed } = this.lanes.limitsOf(lane);
    const { told, used, isNews } = newsOf(headers, known, counted, fixed);
    if (!isNews) return;
    this.told.set(lane, told);
    await this.learnScript([redisKeys.laneWindow(lane), redisKeys.laneState(lane)], [fixed ? 0 : told.rpm, fixed ? 0 : told.tpm, used.requests, used.tokens]);
  }
}

function laneKeys(lane: string): string[] {
  return [redisKeys.laneWaiting(lane), redisKeys.laneFair(lane), redisKeys.laneWindow(lane), redisKeys.laneState(lane)];
}
