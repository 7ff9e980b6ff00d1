import type { Redis } from 'ioredis';
import type { Ticket } from '#libs/contracts/jobs.js';
import { readTicket, writtenTicket } from '#libs/endpoints/ticket.js';
import { FIRST_UPSTREAM } from '#libs/contracts/journal.js';
import { eventArgs, type Recorded } from '#libs/redis/event.recorder.js';
import { redisKeys } from '#libs/redis/keys.js';
import { unitArgs, upstreamArgs, upstreamKeys, type LaneUpstream } from './lane.upstreams.js';
import { defineScript, type Script } from '#libs/redis/scripts.js';
import type { LaneTable } from './lanes.js';
import type { Crowd } from './places.js';
import { readLimits, type Count, type ReportedLimits } from './reported-limits.js';

/** Where a call stands in its lane. */
export interface Place {
  /** Calls that come before it. */
  before: number;
  /** The estimated time until its turn. */
  waitMs: number;
}

/** What an upstream of a lane has taken, and its limits now. Limits are for a minute; 0: none. */
export interface UpstreamView {
  configured: LaneUpstream;
  rpm: number;
  tpm: number;
  /** Limits for a day. */
  rpd: number;
  tpd: number;
  /** Images, and seconds of sound, a minute. */
  ipm: number;
  audioSecondsPerMinute: number;
  /** What it took within the last minute. */
  requests: number;
  tokens: number;
  /** What it took within the last 24 hours; 0 where it has no limits for a day. */
  dayRequests: number;
  dayTokens: number;
  /** What it took of them within the last minute; 0 where nothing limits them. */
  images: number;
  audioSeconds: number;
  /** 0: it is not frozen. */
  frozenUntilMs: number;
  /** Until when forwarding leaves it alone; 0: it does not. */
  openUntilMs: number;
  /** Why forwarding leaves it alone: it fails, or it refuses the account. */
  why: '' | 'failing' | 'account';
  /** Its failures in a row. */
  failures: number;
}

/** What waits in a lane, and what its upstreams have taken. */
export interface LaneView {
  lane: string;
  waitingCalls: number;
  waitingTokens: number;
  /** The call whose turn is next. */
  nextId: string | null;
  /** How long the first of them has waited. */
  oldestMs: number;
  /** Tokens that each campaign got within the last whole minute. */
  shares: Map<string, number>;
  upstreams: UpstreamView[];
}

export type Entered = ({ code: 'entered' | 'late' } & Place) | { code: 'gone' | 'too_large' };

const NOTHING: Count = { requests: 0, tokens: 0 };
const NOBODY: Crowd = { campaigns: [], keys: [] };
const NEVER = { ...NOTHING, atMs: 0 };
const NO_LIMITS: ReportedLimits = { rpm: 0, tpm: 0 };
/** Limits that the project's report told are nobody's headers. */
const PROJECT = '';
/** Redis forgets limits that nobody confirms. Each process confirms them so often. */
const CONFIRM_EVERY_MS = 15_000;
/** Longer than a call may wait, which is at most ten minutes. */
const TICKET_LIFE_MS = 1_200_000;

/** The lines of all lanes, shared by all processes: which calls wait, and in which fair order. */
export class LaneLine {
  private readonly enterScript: Script;
  private readonly headsScript: Script;
  private readonly placesScript: Script;
  private readonly learnScript: Script;
  private readonly lookScript: Script;
  /** What this process last wrote of each upstream's limits, so that it writes little. */
  private readonly heard = new Map<string, ReportedLimits & { toldMs: number; missedMs: number }>();

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

  /**
   * Puts a call into the line. A repeat changes nothing, and gets its place now. `events`: for the record, in the same
   * step.
   */
  async enter(ticket: Ticket, events: readonly Recorded[] = []): Promise<Entered> {
    const { lane, requestId, keyId, pacedTokens, pacedUnits, weight } = ticket;
    const upstreams = this.lanes.upstreamsOf(lane);
    const own = [redisKeys.hold(requestId), redisKeys.ticket(requestId), redisKeys.audit, redisKeys.auditBytes];
    const call = [requestId, keyId, pacedTokens, weight, JSON.stringify(writtenTicket(ticket)), TICKET_LIFE_MS];
    const keys = [...lineKeys(lane), ...own, ...upstreamKeys(upstreams)];
    const args = [...call, events.length, ...unitArgs(pacedUnits), ...eventArgs(events), ...upstreamArgs(upstreams)];
    const [code, before, waitMs] = (await this.enterScript(keys, args)) as [Entered['code'], number, number];
    return code === 'entered' || code === 'late' ? { code, before, waitMs } : { code };
  }

  /** The calls whose turns are next, in their order, at most `count`. It passes over those of the crowd. */
  async heads(lane: string, count: number, { campaigns, keys, drawing = false }: Crowd = NOBODY): Promise<Ticket[]> {
    const crowd = [drawing ? 1 : 0, campaigns.length, ...campaigns, ...keys];
    const args = [redisKeys.holdPrefix, redisKeys.ticketPrefix, count, ...crowd];
    const tickets = await this.headsScript(lineKeys(lane), args);
    return (tickets as string[]).map((text) => readTicket(JSON.parse(text)));
  }

  /** The place of each call; null: it does not wait. */
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

  /**
   * Takes over the limits that an upstream reports. `counted`: what Daypass had counted when it sent the call, and
   * when. `answered`: by an answer, so that what is missing there is no longer told.
   */
  async learn(
    lane: string,
    upstream: string,
    headers: Headers,
    counted: Count & { atMs: number },
    { account, answered }: { account: string; answered: boolean },
  ): Promise<void> {
    const { slot, fixed } = this.lanes.upstreamOf(lane, upstream);
    const { limits, used } = readLimits(headers, counted);
    const told = fixed ? NO_LIMITS : limits;
    const isWorthIt = this.noted(slot, told, answered && !fixed);
    if (isWorthIt || used.requests > 0 || used.tokens > 0)
      await this.write(slot, { ...told, rpd: 0 }, used, counted, account, answered);
  }

  /** Forgets limits of one upstream: those that another account's headers told, and those that are fixed since. */
  async adopt(lane: string, upstream: string, account: string): Promise<void> {
    const { slot, fixed } = this.lanes.upstreamOf(lane, upstream);
    const none = { ...NO_LIMITS, rpd: 0 };
    await this.write(slot, none, NOTHING, NEVER, fixed ? 'fixed' : account, false);
    if (fixed) await this.write(slot, none, NOTHING, NEVER, PROJECT, false);
  }

  /** Takes over limits that the provider reported elsewhere. 0: it reported none. */
  async takeOver(lane: string, limits: ReportedLimits & { rpd: number }): Promise<void> {
    const { slot, fixed } = this.lanes.upstreamOf(lane, FIRST_UPSTREAM);
    if (!fixed) await this.write(slot, limits, NOTHING, NEVER, PROJECT, false);
  }

  /** Whether Redis should hear of these limits: they are new here, or it last heard of them a while ago. */
  private noted(slot: string, { rpm, tpm, ipm = 0 }: ReportedLimits, answered: boolean): boolean {
    const nowMs = Date.now();
    const heard = this.heard.get(slot) ?? { ...NO_LIMITS, toldMs: 0, missedMs: 0 };
    const isNew = (rpm > 0 && rpm !== heard.rpm) || (tpm > 0 && tpm !== heard.tpm) || (ipm > 0 && ipm !== heard.ipm);
    const tells = rpm > 0 || tpm > 0 || ipm > 0;
    const confirms = tells && nowMs - heard.toldMs >= CONFIRM_EVERY_MS;
    const misses = answered && (rpm === 0 || tpm === 0) && nowMs - heard.missedMs >= CONFIRM_EVERY_MS;
    if (!isNew && !confirms && !misses) return false;
    this.heard.set(slot, {
      rpm: rpm || heard.rpm,
      tpm: tpm || heard.tpm,
      ipm: ipm || heard.ipm,
      toldMs: tells ? nowMs : heard.toldMs,
      missedMs: misses ? nowMs : heard.missedMs,
    });
    return true;
  }

  private async write(
    slot: string,
    { rpm, tpm, rpd, ipm = 0 }: ReportedLimits & { rpd: number },
    used: Count,
    counted: Count & { atMs: number },
    account: string,
    answered: boolean,
  ): Promise<void> {
    const counts = [used.requests, used.tokens, counted.requests, counted.tokens, counted.atMs];
    const args = [rpm, tpm, rpd, ...counts, account, answered ? 1 : 0, ipm];
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
  const [ipm, audioSecondsPerMinute, images, audioSeconds] = fields.slice(12).map(Number) as [
    number,
    number,
    number,
    number,
  ];
  return {
    configured,
    rpm,
    tpm,
    rpd,
    tpd,
    ipm,
    audioSecondsPerMinute,
    images,
    audioSeconds,
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
