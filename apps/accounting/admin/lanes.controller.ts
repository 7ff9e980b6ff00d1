import { Controller, Get, UseGuards } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { LaneLine, type LaneView, type UpstreamView } from '#libs/pacing/lane-line.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { AdminGuard } from './admin.guard.js';
import { Documented } from './openapi.js';

/** Requests, tokens, images or seconds of sound within the last minute or the last 24 hours. */
interface Use {
  /** null: no limit is set or learnt, so that only a 429 stops the lane. */
  limit: number | null;
  used: number;
}

interface UpstreamShown {
  upstream: string;
  requests: Use;
  tokens: Use;
  /** null: nothing limits a day. */
  requests_per_day: Use | null;
  tokens_per_day: Use | null;
  /** null: nothing limits them. */
  images: Use | null;
  audio_seconds: Use | null;
  /** The limits in DAYPASS_CONFIG. The upstream may have changed the limits in force since. */
  configured: {
    rpm: number | null;
    tpm: number | null;
    ipm: number | null;
    audio_seconds_per_minute: number | null;
    fixed: boolean;
  };
  frozen_until: string | null;
  /** Forwarding does not ask it until then: it was away (`failing`), or it refuses the account (`account`). */
  left_alone: { until: string; why: string } | null;
  failures_in_a_row: number;
}

interface LaneShown {
  lane: string;
  /** Of all upstreams together. */
  requests: Use;
  tokens: Use;
  /** null where at least one upstream is not frozen. */
  frozen_until: string | null;
  waiting: { calls: number; tokens: number; next: string | null; oldest_seconds: number };
  /** Each campaign's tokens within the last whole minute, and their share of all. */
  shares: { campaign: string; tokens: number; share: number }[];
  upstreams: UpstreamShown[];
}

@ApiTags('lanes')
@UseGuards(AdminGuard)
@Controller('admin/v1/lanes')
export class LanesController {
  constructor(
    private readonly table: LaneTable,
    private readonly line: LaneLine,
  ) {}

  @Get()
  @Documented({
    summary: 'The state of each lane: its limits, their use within the last minute, and the waiting calls',
    answer: 'The lanes',
  })
  async list(): Promise<{ data: LaneShown[] }> {
    return { data: (await Promise.all(this.table.all().map((lane) => this.line.look(lane)))).map(show) };
  }
}

function show({ lane, waitingCalls, waitingTokens, nextId, oldestMs, shares, upstreams }: LaneView): LaneShown {
  const all = [...shares.values()].reduce((sum, tokens) => sum + tokens, 0);
  const together = (of: 'rpm' | 'tpm', used: 'requests' | 'tokens'): Use => ({
    limit: upstreams.some((view) => view[of] === 0) ? null : upstreams.reduce((sum, view) => sum + view[of], 0),
    used: upstreams.reduce((sum, view) => sum + view[used], 0),
  });
  return {
    lane,
    requests: together('rpm', 'requests'),
    tokens: together('tpm', 'tokens'),
    frozen_until: time(Math.min(...upstreams.map(({ frozenUntilMs }) => frozenUntilMs))),
    waiting: { calls: waitingCalls, tokens: waitingTokens, next: nextId, oldest_seconds: oldestMs / 1_000 },
    shares: [...shares].map(([campaign, tokens]) => ({ campaign, tokens, share: tokens / all })),
    upstreams: upstreams.map(showUpstream),
  };
}

function showUpstream(view: UpstreamView): UpstreamShown {
  const { configured, openUntilMs } = view;
  const until = time(openUntilMs);
  return {
    upstream: configured.name,
    requests: { limit: view.rpm || null, used: view.requests },
    tokens: { limit: view.tpm || null, used: view.tokens },
    requests_per_day: view.rpd > 0 ? { limit: view.rpd, used: view.dayRequests } : null,
    tokens_per_day: view.tpd > 0 ? { limit: view.tpd, used: view.dayTokens } : null,
    images: view.ipm > 0 ? { limit: view.ipm, used: view.images } : null,
    audio_seconds:
      view.audioSecondsPerMinute > 0 ? { limit: view.audioSecondsPerMinute, used: view.audioSeconds } : null,
    configured: {
      rpm: configured.rpm || null,
      tpm: configured.tpm || null,
      ipm: configured.ipm || null,
      audio_seconds_per_minute: configured.audioSecondsPerMinute || null,
      fixed: configured.fixed,
    },
    frozen_until: time(view.frozenUntilMs),
    left_alone: until === null ? null : { until, why: view.why },
    failures_in_a_row: view.failures,
  };
}

function time(ms: number): string | null {
  return ms > 0 ? new Date(ms).toISOString() : null;
}
