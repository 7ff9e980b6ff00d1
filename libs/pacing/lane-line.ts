import type { Redis } from 'ioredis';
import { ticketSchema, type Ticket } from '#libs/contracts/jobs.js';
import { FIRST_UPSTREAM } from '#libs/contracts/journal.js';
import { eventArgs, type Recorded } from '#libs/redis/event.recorder.js';
import { redisKeys } from '#libs/redis/keys.js';
import { upstreamArgs, upstreamKeys, type LaneUpstream } from './lane.upstreams.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import type { LaneTable } from './lanes.js';
import { newsOf, type Count, type Told } from './told-limits.js';

/** Where a call stands in its lane. */
export interface Place {
  /** Calls that come before it. */
  before: number;
  /** Until its turn, as far as anybody knows. */
  waitMs: number;
}

/** What an upstream of a lane is at. Limits a minute, 0 for none, as they are kept to now. */
export interface UpstreamView {
  configured: LaneUpstream;
  rpm: number;
  tpm: number;
  /** A day. */
  rpd: number;
  tpd: number;
  /** Within the last minute. */
  requests: number;
  tokens: number;
  /** Within the last 24 hours; 0 where nothing limits them. */
  dayRequests: number;
  dayTokens: number;
  /** 0: it is not frozen. */
  frozenUntilMs: number;
  /** 0: it is asked. */
  openUntilMs: number;
  /** Why it is not asked: it was away (`failing`), or refuses the account. */
  why: '' | 'failing' | 'account';
  /** In a row. */
  failures: number;
}

/** What a lane is at. */
export interface LaneView {
  lane: string;
  waitingCalls: number;
  waitingTokens: number;
  /** Whose turn is next. */
  nextId: string | null;
  /** How long the one has waited that came first. */
  oldestMs: number;
  /** Tokens that each campaign got within the last whole minute. */
  shares: Map<string, number>;
  upstreams: UpstreamView[];
}

export type Entered = ({ code: 'entered' | 'late' } & Place) | { code: 'gone' | 'too_large' };

const NOTHING: Count = { requests: 0, tokens: 0 };
/** A ticket is needed no longer than its call may wait; the longest wait is ten minutes. */
const TICKET_LIFE_MS = 1_200_000;

/** Who waits for a lane, in fair order, over all processes. */
export class LaneLine {
  private readonly enterScript: Script;
  private readonly headsScript: Script;
  private readonly placesScript: Script;
  private readonly learnScript: Script;
  private readonly lookScript: Script;
  /** What each upstream last told of each lane, so that the same is not told to Redis again and again. */
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

  /** Repeated, it answers anew and changes nothing. `events`: for the record, in the same step. */
  async enter(ticket: Ticket, events: readonly Recorded[] = []): Promise<Entered> {
    const { lane, requestId, keyId, pacedTokens, weight } = ticket;
    const upstreams = this.lanes.upstreamsOf(lane);
    const own = [redisKeys.hold(requestId), redisKeys.ticket(requestId), redisKeys.audit, redisKeys.auditBytes];
    const call = [requestId, keyId, pacedTokens, weight, JSON.stringify(ticket), TICKET_LIFE_MS];
    const keys = [...lineKeys(lane), ...own, ...upstreamKeys(upstreams)];
    const args = [...call, events.length, ...eventArgs(events), ...upstreamArgs(upstreams)];
    const [code, before, waitMs] = (await this.enterScript(keys, args)) as [Entered['code'], number, number];
    return code === 'entered' || code === 'late' ? { code, before, waitMs } : { code };
  }

  /** The calls whose turns are next, in their order, at most so many. */
  async heads(lane: string, count: number): Promise<Ticket[]> {
    const tickets = await this.headsScript(lineKeys(lane), [redisKeys.holdPrefix, redisKeys.ticketPrefix, count]);
    return (tickets as string[]).map((text) => ticketSchema.parse(JSON.parse(text)));
  }

  /** One for each call; null for those that do not wait. */
  async places(lane: string, requestIds: readonly string[]): Promise<(Place | null)[]> {
    const upstreams = this.lanes.upstreamsOf(lane);
    const args = [requestIds.length, ...requestIds, ...upstreamArgs(upstreams)];
    const flat = (await this.placesScript([...lineKeys(lane), ...upstreamKeys(upstreams)], args)) as number[];
    return requestIds.map((_, index) =>
      flat[2 * index]! > 0 ? { before: flat[2 * index]! - 1, waitMs: flat[2 * index + 1]! } : null,
    );
  }

  async look(lane: string): Promise<LaneView> {
    const upstreams = this.lanes.upstreamsOf(lane);
    const lastMinute = redisKeys.laneShares(lane, Math.floor(Date.now() / 60_000) - 1);
    const answer = await this.lookScript(
      [...lineKeys(lane), lastMinute, ...upstreamKeys(upstreams)],
      upstreamArgs(upstreams),
    );
    const [calls, tokens, nextId, oldestMs, shares, views] = answer as [
      string,
      string,
      string,
      string,
      string[],
      string[][],
    ];
    return {
      lane,
      waitingCalls: Number(calls),
      waitingTokens: Number(tokens),
      nextId: nextId || null,
      oldestMs: Number(oldestMs),
      shares: new Map(
        shares.flatMap((name, index) => (index % 2 === 0 ? [[name, Number(shares[index + 1])] as const] : [])),
      ),
      upstreams: upstreams.map((configured, index) => viewOf(configured, views[index]!)),
    };
  }

  /** Takes over what an upstream's answer says of its limits. `counted`: what we counted when the call was sent, and when that was. */
  async learn(lane: string, upstream: string, headers: Headers, counted: Count & { atMs: number }): Promise<void> {
    const { slot, fixed } = this.lanes.upstreamOf(lane, upstream);
    const known = this.told.get(slot) ?? { rpm: 0, tpm: 0 };
    const { told, used, isNews } = newsOf(headers, known, counted, fixed);
    if (!isNews) return;
    this.told.set(slot, told);
    await this.tell(slot, fixed ? { rpm: 0, tpm: 0 } : told, used, counted);
  }

  /** Limits that the provider told otherwise. 0: it did not tell that one. */
  async takeOver(lane: string, limits: Told & { rpd: number }): Promise<void> {
    const { slot, fixed } = this.lanes.upstreamOf(lane, FIRST_UPSTREAM);
    if (!fixed) await this.tell(slot, limits, NOTHING, { ...NOTHING, atMs: 0 });
  }

  private async tell(
    slot: string,
    { rpm, tpm, rpd = 0 }: Told & { rpd?: number },
    used: Count,
    counted: Count & { atMs: number },
  ): Promise<void> {
    const args = [rpm, tpm, rpd, used.requests, used.tokens, counted.requests, counted.tokens, counted.atMs];
    await this.learnScript([redisKeys.laneWindow(slot), redisKeys.laneState(slot)], args);
  }
}

function lineKeys(lane: string): string[] {
  return [redisKeys.laneWaiting(lane), redisKeys.laneFair(lane)];
}

function viewOf(configured: LaneUpstream, fields: readonly string[]): UpstreamView {
  const [rpm, tpm, requests, tokens, frozenUntilMs, dayRequests, dayTokens, openUntilMs] = fields
    .slice(0, 8)
    .map(Number) as [...[number, number, number, number, number, number, number, number]];
  const [why, failures, rpd, tpd] = [
    fields[8] as UpstreamView['why'],
    Number(fields[9]),
    Number(fields[10]),
    Number(fields[11]),
  ];
  return {
    configured,
    rpm,
    tpm,
    rpd,
    tpd,
    requests,
    tokens,
    frozenUntilMs,
    dayRequests,
    dayTokens,
    openUntilMs,
    why,
    failures,
  };
}
