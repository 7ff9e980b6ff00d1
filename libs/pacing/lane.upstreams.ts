import type { PacedUnits } from '#libs/contracts/jobs.js';
import { redisKeys } from '#libs/redis/keys.js';

/** One upstream of a lane, with its limits for a minute and for a day; 0: none. */
export interface LaneUpstream {
  name: string;
  /** Names its part of the lane in Redis keys: the lane's name, and for a further upstream also that upstream's. */
  slot: string;
  rpm: number;
  tpm: number;
  rpd: number;
  tpd: number;
  /** Images, and seconds of sound, a minute. */
  ipm: number;
  audioSecondsPerMinute: number;
  /** Providers enforce a minute's limit by the second. Calls may use so many ms of the even rate at once. */
  burstMs: number;
  /** It corrects what it counted before a call by the call's usage. */
  corrects: boolean;
  /** The operator fixed these limits: those that the upstream reports do not replace them. */
  fixed: boolean;
  /** The APIs that it offers; absent: all. */
  offers?: readonly string[];
  /** Where it offers all: also those that OpenAI has no more (`Endpoint.compatibleOnly`). */
  offersFormer?: true;
}

/** The last keys of every script that looks at a lane's upstreams (`lane_upstreams`), */
export function upstreamKeys(upstreams: readonly LaneUpstream[]): string[] {
  return upstreams.flatMap(({ name, slot }) => [
    redisKeys.laneWindow(slot),
    redisKeys.laneState(slot),
    redisKeys.circuit(name),
    redisKeys.laneDay(slot),
    redisKeys.laneUnits(slot),
  ]);
}

/** … and their last arguments. */
export function upstreamArgs(upstreams: readonly LaneUpstream[]): (string | number)[] {
  return upstreams.flatMap(({ rpm, tpm, rpd, tpd, burstMs, corrects, name, ipm, audioSecondsPerMinute }) => [
    rpm,
    tpm,
    rpd,
    tpd,
    burstMs,
    corrects ? 1 : 0,
    name,
    ipm,
    audioSecondsPerMinute,
  ]);
}

/**
 * What a call takes of a lane beside a request and its tokens: images, seconds of sound, and whose images they are where
 * another model makes them, as JSON; '': they are the lane's own.
 */
export function unitArgs({ images = 0, audioSeconds = 0, drawing }: PacedUnits = {}): (string | number)[] {
  return [images, audioSeconds, drawing ? JSON.stringify(drawing) : ''];
}
