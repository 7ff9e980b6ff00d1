import type { LaneSettings } from '#libs/config/config-file.js';

/** Limits a minute; 0 means that none is configured, so that only a 429 stops the lane. */
export interface LaneLimits {
  rpm: number;
  tpm: number;
  /** Providers enforce a minute's limit by the second: so many ms of the even rate may be used at once. */
  burstMs: number;
  /** The numbers are the operator's own: what the upstream tells does not replace them. */
  fixed: boolean;
  /** The upstream corrects what it counted before a call by what the call used. */
  corrects: boolean;
}

export const DEFAULT_LANE = 'default';
export const MODERATION_LANE = 'moderation';
const UNLIMITED: LaneLimits = { rpm: 0, tpm: 0, burstMs: 10_000, fixed: false, corrects: false };

/** Which lane a model's calls wait in, and what each lane carries. Lanes come from configuration; the rest share `default`. */
export class LaneTable {
  private readonly byModel = new Map<string, string>();
  private readonly limitsByLane = new Map<string, LaneLimits>();

  constructor(lanes: Readonly<Record<string, LaneSettings>>) {
    this.limitsByLane.set(DEFAULT_LANE, UNLIMITED);
    for (const [lane, settings] of Object.entries(lanes)) {
      this.limitsByLane.set(lane, {
        rpm: settings.rpm ?? 0,
        tpm: settings.tpm ?? 0,
        burstMs: settings.burst_seconds * 1_000,
        fixed: settings.fixed,
        corrects: settings.counts === 'used',
      });
      if (lane === MODERATION_LANE) continue;
      for (const model of [lane, ...settings.models]) this.byModel.set(model, lane);
    }
  }

  /** The lanes that carry calls, each with a queue of its own. */
  names(): string[] {
    return [...this.limitsByLane.keys()].filter((lane) => lane !== MODERATION_LANE);
  }

  /** Those, and the one of moderation. */
  all(): string[] {
    return [...new Set([...this.limitsByLane.keys(), MODERATION_LANE])];
  }

  laneOf(model: string): string {
    return this.byModel.get(model) ?? DEFAULT_LANE;
  }

  limitsOf(lane: string): LaneLimits {
    return this.limitsByLane.get(lane) ?? UNLIMITED;
  }
}
