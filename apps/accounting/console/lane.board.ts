import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import type { LaneShown, LaneUpstreamView } from '#libs/contracts/admin/lanes.js';
import { LaneLine, type LaneView, type UpstreamView } from '#libs/pacing/lane-line.js';
import { LaneTable } from '#libs/pacing/lanes.js';

type Use = LaneShown['requests'];

/** All lanes as the admin API shows them: their limits, what they have taken, and who waits. */
@Injectable()
export class LaneBoard {
  constructor(
    private readonly table: LaneTable,
    private readonly line: LaneLine,
    @InjectDataSource() private readonly source: DataSource,
  ) {}

  async read(): Promise<LaneShown[]> {
    const views = await Promise.all(this.table.all().map((lane) => this.line.look(lane)));
    const slugs = await this.slugsOf([...new Set(views.flatMap(({ shares }) => [...shares.keys()]))]);
    return views.map((view) => show(view, this.table.modelsOf(view.lane), slugs));
  }

  private async slugsOf(campaignIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    if (campaignIds.length === 0) return new Map();
    const rows = await this.source.query<{ id: string; slug: string }[]>(
      'SELECT id, slug FROM access.campaigns WHERE id = ANY ($1)',
      [campaignIds],
    );
    return new Map(rows.map(({ id, slug }) => [id, slug]));
  }
}

function show(
  { lane, waitingCalls, waitingTokens, nextId, oldestMs, shares, upstreams }: LaneView,
  models: string[],
  slugs: ReadonlyMap<string, string>,
): LaneShown {
  const all = [...shares.values()].reduce((sum, tokens) => sum + tokens, 0);
  const sum = (of: (view: UpstreamView) => number): number => upstreams.reduce((total, view) => total + of(view), 0);
  const together = (of: 'rpm' | 'tpm', used: 'requests' | 'tokens'): Use => ({
    limit: upstreams.some((view) => view[of] === 0) ? null : sum((view) => view[of]),
    used: sum((view) => view[used]),
  });
  // An upstream without such a limit takes as many as there are. Then nothing limits the lane.
  const units = (of: 'ipm' | 'audioSecondsPerMinute', used: 'images' | 'audioSeconds'): Use | null =>
    upstreams.length > 0 && upstreams.every((view) => view[of] > 0)
      ? { limit: sum((view) => view[of]), used: sum((view) => view[used]) }
      : null;
  return {
    lane,
    models,
    requests: together('rpm', 'requests'),
    tokens: together('tpm', 'tokens'),
    images: units('ipm', 'images'),
    audio_seconds: units('audioSecondsPerMinute', 'audioSeconds'),
    frozen_until: time(Math.min(...upstreams.map(({ frozenUntilMs }) => frozenUntilMs))),
    waiting: { calls: waitingCalls, tokens: waitingTokens, next: nextId, oldest_seconds: oldestMs / 1_000 },
    shares: [...shares]
      .toSorted(([, a], [, b]) => b - a)
      .map(([campaign, tokens]) => ({
        campaign,
        slug: slugs.get(campaign) ?? null,
        tokens,
        share: all === 0 ? 0 : tokens / all,
      })),
    upstreams: upstreams.map(showUpstream),
  };
}

function showUpstream(view: UpstreamView): LaneUpstreamView {
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

/** Infinity: there is no upstream at all. */
function time(ms: number): string | null {
  return ms > 0 && Number.isFinite(ms) ? new Date(ms).toISOString() : null;
}
