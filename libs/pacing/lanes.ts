import type { ConfigFile } from '#libs/config/config-file.js';
import { kindOf } from '#libs/config/config-file.js';
import { ENDPOINTS, knownEndpoint } from '#libs/endpoints/registry.js';
import { FIRST_UPSTREAM } from '#libs/contracts/journal.js';
import type { LaneUpstream } from './lane.upstreams.js';

export const DEFAULT_LANE = 'default';
export const MODERATION_LANE = 'moderation';
/** A name of its own, so that a circuit of the first upstream does not stop moderation, which may still answer. */
const MODERATION_UPSTREAM = `${FIRST_UPSTREAM}/moderation`;
const OPENAI_URL = 'https://api.openai.com/v1';
/** Without known limits: only a 429 stops the lane. */
const UNKNOWN = {
  ...{ rpm: 0, tpm: 0, rpd: 0, tpd: 0, ipm: 0, audioSecondsPerMinute: 0 },
  ...{ burstMs: 10_000, fixed: false, corrects: false },
} as const;

/**
 * Finds the lane of a model, and the upstreams of a lane in the order of preference. DAYPASS_CONFIG names lanes, and
 * all other models share `default`.
 */
export class LaneTable {
  private readonly byModel = new Map<string, string>();
  private readonly upstreamsByLane = new Map<string, LaneUpstream[]>();

  /** `mainUrl`: the address of the main account. */
  constructor(
    { lanes, upstreams, main }: Pick<ConfigFile, 'lanes' | 'upstreams'> & Partial<Pick<ConfigFile, 'main'>>,
    mainUrl?: string,
  ) {
    const first = { ...offersOf(main?.endpoints), ...formerOf({ base_url: mainUrl ?? OPENAI_URL }) };
    this.upstreamsByLane.set(DEFAULT_LANE, [{ name: FIRST_UPSTREAM, slot: DEFAULT_LANE, ...UNKNOWN, ...first }]);
    for (const [lane, settings] of Object.entries(lanes)) {
      this.upstreamsByLane.set(
        lane,
        settings.elsewhere_only
          ? []
          : [{ name: firstOf(lane), slot: lane, ...limitsOf(settings), ...(lane === MODERATION_LANE ? {} : first) }],
      );
      if (lane === MODERATION_LANE) continue;
      for (const model of [lane, ...settings.models]) this.byModel.set(model, lane);
    }
    for (const { name, lanes: served, endpoints, ...settings } of upstreams) {
      for (const lane of this.names()) {
        const limits = served ? served[lane] : {};
        if (limits)
          this.upstreamsByLane.get(lane)!.push({
            name,
            slot: `${lane}@${name}`,
            ...limitsOf(limits),
            ...offersOf(endpoints),
            ...formerOf(settings),
          });
      }
    }
  }

  /** The lanes that carry calls, each with a queue of its own. */
  names(): string[] {
    return [...this.upstreamsByLane.keys()].filter((lane) => lane !== MODERATION_LANE);
  }

  /** All lanes, also that of moderation. */
  all(): string[] {
    return [...new Set([...this.upstreamsByLane.keys(), MODERATION_LANE])];
  }

  laneOf(model: string): string {
    return this.byModel.get(model) ?? DEFAULT_LANE;
  }

  /** The models that DAYPASS_CONFIG names for a lane. */
  modelsOf(lane: string): string[] {
    return [...this.byModel].flatMap(([model, its]) => (its === lane ? [model] : []));
  }

  /** DAYPASS_CONFIG names a lane for the model. */
  isNamed(model: string): boolean {
    return this.byModel.has(model);
  }

  upstreamsOf(lane: string): readonly LaneUpstream[] {
    return this.upstreamsByLane.get(lane) ?? [{ name: firstOf(lane), slot: lane, ...UNKNOWN }];
  }

  /** Those that offer the API of a ticket, which only a later version may know. */
  upstreamsFor(lane: string, { endpoint }: { endpoint?: string | undefined }): readonly LaneUpstream[] {
    const [api] = (endpoint ?? ENDPOINTS[0]!.name).split('.');
    const isFormer = knownEndpoint({ endpoint })?.compatibleOnly === true;
    return this.upstreamsOf(lane).filter(({ offers, offersFormer = false }) =>
      offers === undefined ? !isFormer || offersFormer : offers.includes(api!),
    );
  }

  /** Every call of the lane may go to each of its upstreams, whatever its API. */
  servesAlike(lane: string): boolean {
    const upstreams = this.upstreamsOf(lane);
    const [first] = upstreams;
    return upstreams.every(({ offers, offersFormer }) => offers === undefined && offersFormer === first!.offersFormer);
  }

  upstreamOf(lane: string, name: string): LaneUpstream {
    const upstreams = this.upstreamsOf(lane);
    return upstreams.find((upstream) => upstream.name === name) ?? upstreams[0]!;
  }

  /** The most tokens a minute that an upstream takes for this API; 0: one of them has no known limit. */
  largestTpm(lane: string, ticket: { endpoint?: string | undefined }): number {
    const limits = this.upstreamsFor(lane, ticket).map(({ tpm }) => tpm);
    return limits.includes(0) ? 0 : Math.max(...limits);
  }
}

function firstOf(lane: string): string {
  return lane === MODERATION_LANE ? MODERATION_UPSTREAM : FIRST_UPSTREAM;
}

/** What only compatible upstreams offer where nobody says more. */
const formerOf = (settings: Parameters<typeof kindOf>[0]): Pick<LaneUpstream, 'offersFormer'> =>
  kindOf(settings) === 'compatible' ? { offersFormer: true } : {};

/** Absent: all. */
const offersOf = (endpoints: readonly string[] | undefined): Pick<LaneUpstream, 'offers'> =>
  endpoints ? { offers: endpoints } : {};

type Settings = Partial<ConfigFile['lanes'][string]>;

function limitsOf({
  rpm = 0,
  tpm = 0,
  rpd = 0,
  tpd = 0,
  ipm = 0,
  audio_seconds_per_minute: audioSecondsPerMinute = 0,
  burst_seconds: burst,
  fixed = false,
  counts,
}: Settings): Omit<LaneUpstream, 'name' | 'slot'> {
  return {
    rpm,
    tpm,
    rpd,
    tpd,
    ipm,
    audioSecondsPerMinute,
    burstMs: burst === undefined ? UNKNOWN.burstMs : burst * 1_000,
    fixed,
    corrects: counts === 'used',
  };
}
