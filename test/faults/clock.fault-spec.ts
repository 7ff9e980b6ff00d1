import { afterEach, describe, expect } from '@jest/globals';
import { join } from 'node:path';
import { PROJECT_ROOT } from '#libs/launch/project-root.js';
import type { Service } from '#libs/config/config.js';
import { Arena } from './arena.js';
import { scenario } from './scenario.js';

const PRELOAD = join(PROJECT_ROOT, 'test/faults/shifted-clock.mjs');

describe('a clock', () => {
  let arena: Arena | undefined;
  afterEach(async () => {
    await arena?.stop();
    arena = undefined;
  });

  scenario(25, 'a clock one hour off in one service', {}, async () => {
    const figures: string[] = [];
    for (const [service, hours] of [
      ['ingress', 1],
      ['forwarding', -1],
      ['accounting', 1],
    ] as [Service, number][]) {
      arena = await Arena.start({
        serviceEnv: { [service]: { NODE_OPTIONS: `--import=${PRELOAD}`, TEST_CLOCK_HOURS: String(hours) } },
      });
      const key = await arena.key('1.00', {
        key: { ttl_seconds: 1_800 },
        campaign: { moderation: { input: 'gate', output: 'gate' } },
      });
      const load = arena.load(key, 4);
      await arena.until(() => load.outcomes.length >= 40, `calls with ${service} ${hours} h off`, 30_000);
      const outcomes = await load.stop();
      // The end of a key's life is accounting's to set, so its clock may be what is wrong with it; no other answer may change.
      const statuses = new Set(outcomes.map(({ status }) => status));
      expect([...statuses]).toEqual([200]);
      figures.push(`${service} ${hours > 0 ? '+' : ''}${hours} h: ${outcomes.length} calls; ${await arena.holds()}`);
      await arena.stop();
      arena = undefined;
    }
    return figures.join(' · ');
  });
});
