import { redisKeys } from '#libs/redis/keys.js';

/** One upstream of a lane, and what it may take: a minute and a day; 0 for no limit. */
export interface LaneUpstream {
  name: string;
  /** Its part of the lane's keys: the lane's name, and for a further upstream that upstream's. */
  slot: string;
  rpm: number;
  tpm: number;
  rpd: number;
  tpd: number;
  /** Providers enforce a minute's limit by the second: so many ms of the even rate may be used at once. */
  burstMs: number;
  /** It corrects what it counted before a call by what the call used. */
  corrects: boolean;
  /** The numbers are the operator's own: what the upstream tells does not replace them. */
  fixed: boolean;
}

/** The last keys of every script that looks at a lane's upstreams (`lane_upstreams`), */
export function upstreamKeys(upstreams: readonly LaneUpstream[]): string[] {
  return upstreams.flatMap(({ name, slot }) => [
    redisKeys.laneWindow(slot),
    redisKeys.laneState(slot),
    redisKeys.circuit(name),
    redisKeys.laneDay(slot),
  ]);
}

/** … and their last arguments. */
export function upstreamArgs(upstreams: readonly LaneUpstream[]): (string | number)[] {
  return upstreams.flatMap(({ rpm, tpm, rpd, tpd, burstMs, corrects, name }) => [
    rpm,
    tpm,
    rpd,
    tpd,
    burstMs,
    corrects ? 1 : 0,
    name,
  ]);
}
