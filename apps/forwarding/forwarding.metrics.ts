import { Inject, Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Metered, Ticket } from '#libs/contracts/jobs.js';
import { endpointLabel } from '#libs/endpoints/registry.js';
import { LaneLine, type LaneView, type UpstreamView } from '#libs/pacing/lane-line.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { REGISTRY } from '#libs/service/platform.tokens.js';

const LANE_FIGURES: Record<string, [help: string, of: (view: LaneView) => number]> = {
  daypass_lane_waiting_calls: ['Calls that wait for their turn', ({ waitingCalls }) => waitingCalls],
  daypass_lane_waiting_tokens: ['Tokens of the calls that wait for their turn', ({ waitingTokens }) => waitingTokens],
  daypass_lane_oldest_seconds: ['How long the oldest waiting call has waited', ({ oldestMs }) => oldestMs / 1_000],
};
const UPSTREAM_FIGURES: Record<string, [help: string, of: (view: UpstreamView) => number]> = {
  daypass_lane_limit_requests: ['Requests a minute that Daypass keeps to; 0: it knows no limit', ({ rpm }) => rpm],
  daypass_lane_limit_tokens: ['Tokens a minute that Daypass keeps to; 0: it knows no limit', ({ tpm }) => tpm],
  daypass_lane_limit_images: ['Images a minute that Daypass keeps to; 0: it knows no limit', ({ ipm }) => ipm],
  daypass_lane_limit_audio_seconds: [
    'Seconds of sound a minute that Daypass keeps to; 0: it knows no limit',
    ({ audioSecondsPerMinute }) => audioSecondsPerMinute,
  ],
  daypass_lane_used_images: ['Images within the last minute, where a limit counts them', ({ images }) => images],
  daypass_lane_used_audio_seconds: [
    'Seconds of sound within the last minute, where a limit counts them',
    ({ audioSeconds }) => audioSeconds,
  ],
  daypass_lane_used_requests: ['Requests within the last minute', ({ requests }) => requests],
  daypass_lane_used_tokens: ['Tokens within the last minute', ({ tokens }) => tokens],
  daypass_lane_frozen_until_seconds: [
    'Until when the upstream asked Daypass to wait, Unix time; 0: it did not ask',
    ({ frozenUntilMs }) => frozenUntilMs / 1_000,
  ],
  daypass_upstream_open_until_seconds: [
    'Until when Daypass leaves the upstream alone, Unix time; 0: it asks it',
    ({ openUntilMs }) => openUntilMs / 1_000,
  ],
};

@Injectable()
export class ForwardingMetrics {
  private readonly calls: Counter<'lane' | 'endpoint' | 'outcome'>;
  private readonly seconds: Histogram<'lane' | 'endpoint'>;
  private readonly dispatchSeconds: Histogram<'lane'>;
  private readonly waits: Counter<'lane'>;
  private readonly absorbed: Counter;
  private readonly trouble: Counter<'upstream'>;
  private readonly sent: Counter<'lane' | 'campaign_id' | 'endpoint'>;
  private readonly usage: Counter<'lane' | 'endpoint' | 'meter'>;
  readonly running: Gauge;

  constructor(@Inject(REGISTRY) registry: Registry, lanes: LaneTable, line: LaneLine) {
    const registers = [registry];
    this.calls = new Counter({
      name: 'daypass_upstream_calls_total',
      help: 'Upstream calls by lane and end',
      labelNames: ['lane', 'endpoint', 'outcome'],
      registers,
    });
    this.seconds = new Histogram({
      name: 'daypass_upstream_call_seconds',
      help: "From the dispatch to the last byte of the upstream's answer",
      labelNames: ['lane', 'endpoint'],
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640],
      registers,
    });
    this.dispatchSeconds = new Histogram({
      name: 'daypass_dispatch_wait_seconds',
      help: 'From the hold to the dispatch: the verdict on the input, and the wait for a turn',
      labelNames: ['lane'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120],
      registers,
    });
    this.waits = new Counter({
      name: 'daypass_lane_waits_total',
      help: 'Times that a call went back into the line because its lane was full',
      labelNames: ['lane'],
      registers,
    });
    this.sent = new Counter({
      name: 'daypass_lane_tokens_total',
      help: "Tokens of a lane's limit that calls reserved, by campaign: what each campaign gets of the lane",
      labelNames: ['lane', 'campaign_id', 'endpoint'],
      registers,
    });
    this.usage = new Counter({
      name: 'daypass_upstream_usage_total',
      help: 'What answers used, by meter: tokens, seconds of sound, characters',
      labelNames: ['lane', 'endpoint', 'meter'],
      registers,
    });
    // All gauges of a scrape share one look at the lanes. While Redis is away, the other metrics stay.
    let reading: Promise<LaneView[]> | undefined;
    const viewsOf = (): Promise<LaneView[]> => {
      reading ??= Promise.all(lanes.all().map((lane) => line.look(lane)))
        .catch(() => [])
        .finally(() => (reading = undefined));
      return reading;
    };
    for (const [name, [help, of]] of Object.entries(LANE_FIGURES)) {
      new Gauge({
        name,
        help,
        labelNames: ['lane'],
        registers,
        async collect() {
          const views = await viewsOf();
          this.reset();
          for (const view of views) this.set({ lane: view.lane }, of(view));
        },
      });
    }
    for (const [name, [help, of]] of Object.entries(UPSTREAM_FIGURES)) {
      new Gauge({
        name,
        help,
        labelNames: ['lane', 'upstream'],
        registers,
        async collect() {
          const views = await viewsOf();
          this.reset();
          for (const { lane, upstreams } of views)
            for (const view of upstreams) this.set({ lane, upstream: view.configured.name }, of(view));
        },
      });
    }
    this.absorbed = new Counter({
      name: 'daypass_bound_exceeded_total',
      help: 'Calls that cost more than their bound; must stay 0',
      registers,
    });
    this.trouble = new Counter({
      name: 'daypass_account_trouble_total',
      help: 'Calls that an upstream refused because of the account: its key, its money or its rights',
      labelNames: ['upstream'],
      registers,
    });
    // Each counter starts at 0, so that Prometheus sees the first refusal as an increase.
    for (const { name } of lanes.all().flatMap((lane) => lanes.upstreamsOf(lane)))
      this.trouble.inc({ upstream: name }, 0);
    this.running = new Gauge({
      name: 'daypass_upstream_calls_running',
      help: 'Upstream calls of this process that run now',
      registers,
    });
  }

  ended(ticket: Ticket, outcome: string, seconds: number): void {
    const { lane } = ticket;
    const endpoint = endpointLabel(ticket);
    this.calls.inc({ lane, endpoint, outcome });
    this.seconds.observe({ lane, endpoint }, seconds);
  }
  dispatched(ticket: Ticket, waitedSeconds: number): void {
    const { lane, campaignId, pacedTokens } = ticket;
    this.sent.inc({ lane, campaign_id: campaignId, endpoint: endpointLabel(ticket) }, pacedTokens);
    this.dispatchSeconds.observe({ lane }, waitedSeconds);
  }
  /** Tokens that came from a cache or went into one are among those of the input. */
  settled(ticket: Ticket, usage: Metered): void {
    const labels = { lane: ticket.lane, endpoint: endpointLabel(ticket) };
    for (const [meter, amount] of Object.entries(usage))
      if (amount > 0) this.usage.inc({ ...labels, meter: snake(meter) }, amount);
  }
  waited(lane: string): void {
    this.waits.inc({ lane });
  }
  boundExceeded(): void {
    this.absorbed.inc();
  }
  accountTrouble(upstream: string): void {
    this.trouble.inc({ upstream });
  }
}

const snake = (name: string): string => name.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`);
