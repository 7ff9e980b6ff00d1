import { describe, expect, it } from '@jest/globals';
import { Registry } from 'prom-client';
import type { LaneLine, LaneView } from '#libs/pacing/lane-line.js';
import { LaneTable } from '#libs/pacing/lanes.js';
import { configFileSchema } from '#libs/config/config-file.js';
import { ForwardingMetrics } from './forwarding.metrics.js';

const lanes = new LaneTable(configFileSchema.parse({ lanes: { mini: { rpm: 5 } } }));
const view = (lane: string): LaneView => ({
  ...{ lane, waitingCalls: 2, waitingTokens: 30, nextId: 'r', oldestMs: 1_500, shares: new Map() },
  upstreams: lanes.upstreamsOf(lane).map((configured) => ({
    ...{
      configured,
      rpm: configured.rpm,
      tpm: 0,
      rpd: 0,
      tpd: 0,
      ipm: 5,
      audioSecondsPerMinute: 0,
      images: 2,
      audioSeconds: 0,
      requests: 1,
      tokens: 7,
      dayRequests: 0,
      dayTokens: 0,
    },
    ...{ frozenUntilMs: 0, openUntilMs: 2_000, why: 'failing' as const, failures: 6 },
  })),
});

async function scraped(look: (lane: string) => Promise<LaneView>): Promise<{ text: string; looks: number }> {
  const registry = new Registry();
  let looks = 0;
  const metrics = new ForwardingMetrics(registry, lanes, {
    look: (lane: string) => (looks++, look(lane)),
  } as unknown as LaneLine);
  metrics.accountTrouble('openai');
  return { text: await registry.metrics(), looks };
}

describe('the metrics of the lanes', () => {
  it('tell what each lane and each of its upstreams is at, with one look a lane', async () => {
    const { text, looks } = await scraped(async (lane) => view(lane));
    expect(looks).toBe(lanes.all().length);
    for (const line of [
      'daypass_lane_waiting_calls{lane="mini"} 2',
      'daypass_lane_oldest_seconds{lane="mini"} 1.5',
      'daypass_lane_limit_requests{lane="mini",upstream="openai"} 5',
      'daypass_lane_used_tokens{lane="mini",upstream="openai"} 7',
      'daypass_lane_limit_images{lane="mini",upstream="openai"} 5',
      'daypass_lane_used_images{lane="mini",upstream="openai"} 2',
      'daypass_upstream_open_until_seconds{lane="mini",upstream="openai"} 2',
    ]) {
      expect(text).toContain(line);
    }
  });

  it('leave the others standing while Redis is away', async () => {
    const { text } = await scraped(() => Promise.reject(new Error('Redis is away')));
    expect(text).toContain('daypass_account_trouble_total{upstream="openai"} 1');
    expect(text).not.toContain('daypass_lane_waiting_calls{');
  });
});
