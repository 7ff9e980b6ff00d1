import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Rehearsal } from '#libs/rehearsal/rehearsal.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { ProjectLimits } from './project.limits.js';

let folder: string;
let rehearsal: Rehearsal;
let accounting: AccountingFixture;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'daypass-limits-'));
  const config = join(folder, 'config.json');
  const lanes = {
    mini: { rpm: 10, tpm: 10, models: ['gpt-5.4-mini', 'gpt-5.4-nano'] },
    own: { rpm: 5, fixed: true, models: ['gpt-5.4'] },
    moderation: { rpm: 1 },
  };
  writeFileSync(config, JSON.stringify({ lanes }));
  rehearsal = await Rehearsal.start();
  const env = {
    OPENAI_BASE_URL: rehearsal.url,
    OPENAI_ADMIN_KEY: 'sk-admin-test',
    OPENAI_PROJECT_ID: 'proj_a',
    DAYPASS_RECONCILE_EVERY_MS: '86400000',
  };
  accounting = await AccountingFixture.start({ ...env, DAYPASS_CONFIG: config });
});
beforeEach(() => rehearsal.reset());
afterAll(async () => {
  await accounting?.stop();
  await rehearsal?.stop();
  rmSync(folder, { recursive: true });
});

const limits = (model: string, requests: number, tokens: number, more = {}) => ({
  model,
  max_requests_per_1_minute: requests,
  max_tokens_per_1_minute: tokens,
  ...more,
});
const lanes = async () => {
  const { data } = (await accounting.admin('GET', '/admin/v1/lanes')).body as {
    data: { lane: string; upstreams: Record<string, { limit: number } | null>[] }[];
  };
  return Object.fromEntries(
    data.map(({ lane, upstreams: [first] }) => [
      lane,
      [first!.requests?.limit, first!.tokens?.limit, first!.requests_per_day?.limit],
    ]),
  );
};

describe("the provider's limits of the project", () => {
  it('are taken over, page by page: the least of the models that share a lane, and never of a lane that is fixed', async () => {
    rehearsal.reports.projectLimits.set('proj_a', [
      limits('gpt-5.4-mini', 500, 200_000, { max_requests_per_1_day: 10_000 }),
      limits('gpt-5.4-nano', 400, 300_000),
      limits('gpt-5.4', 7, 7),
      limits('whisper-1', 1, 1),
      limits('omni-moderation-2024-09-26', 1_000, 50_000),
    ]);
    expect(await accounting.app.get(ProjectLimits).run()).toEqual(['mini', 'own', 'moderation']);
    expect(await lanes()).toMatchObject({
      mini: [400, 200_000, 10_000],
      own: [5, null, undefined],
      default: [null, null, undefined],
      moderation: [1_000, 50_000, undefined],
    });
  });

  it('leave a lane as it is where they are malformed, absurd or not there', async () => {
    const before = await lanes();
    rehearsal.reports.projectLimits.set('proj_a', [
      limits('gpt-5.4-mini', -5, 1),
      limits('gpt-5.4-nano', 0, 0),
      { model: 7 },
      limits('gpt-5.4-mini', 1e15, 1),
    ]);
    expect(await accounting.app.get(ProjectLimits).run()).toEqual([]);
    expect(await lanes()).toEqual(before);
    rehearsal.reset();
    await expect(accounting.app.get(ProjectLimits).run()).rejects.toThrow(/404/);
    expect(await lanes()).toEqual(before);
  });
});
