import {
  ledgerProofAnswer,
  reconciliationAnswer,
  recordProofAnswer,
  replayAnswer,
  type Replay,
} from '#libs/contracts/admin/audit.js';
import { lanesAnswer, type LaneShown, type LaneUpstreamView } from '#libs/contracts/admin/lanes.js';
import { actAnswer, type ActView } from '#libs/contracts/admin/safety.js';
import { pageOfAnswers } from '#libs/contracts/admin/answers.js';

const at = (minutes: number): string => new Date(Date.now() + minutes * 60_000).toISOString();

const anUpstream = (given: Partial<LaneUpstreamView> = {}): LaneUpstreamView => ({
  upstream: 'openai',
  requests: { limit: 500, used: 212 },
  tokens: { limit: 200_000, used: 156_000 },
  requests_per_day: null,
  tokens_per_day: null,
  images: null,
  audio_seconds: null,
  configured: { rpm: 500, tpm: 200_000, ipm: null, audio_seconds_per_minute: null, fixed: false },
  frozen_until: null,
  left_alone: null,
  failures_in_a_row: 0,
  ...given,
});

const aLane = (given: Partial<LaneShown> = {}): LaneShown => ({
  lane: 'mini',
  models: ['mini', 'gpt-5.4-mini'],
  requests: { limit: 500, used: 212 },
  tokens: { limit: 200_000, used: 156_000 },
  images: null,
  audio_seconds: null,
  frozen_until: null,
  waiting: { calls: 0, tokens: 0, next: null, oldest_seconds: 0 },
  shares: [],
  upstreams: [anUpstream()],
  ...given,
});

const LANES: readonly LaneShown[] = [
  aLane({
    waiting: { calls: 3, tokens: 4_200, next: 'req_next', oldest_seconds: 0.84 },
    shares: [
      { campaign: 'cmp_launch', slug: 'launch', tokens: 104_000, share: 0.667 },
      { campaign: 'cmp_gone', slug: null, tokens: 52_000, share: 0.333 },
    ],
    upstreams: [
      anUpstream(),
      anUpstream({ upstream: 'spare', left_alone: { until: at(2), why: 'account' }, failures_in_a_row: 4 }),
    ],
  }),
  aLane({
    lane: 'pictures',
    models: ['pictures', 'gpt-image-2'],
    tokens: { limit: null, used: 0 },
    images: { limit: 50, used: 49 },
    audio_seconds: { limit: 600, used: 30 },
    frozen_until: at(1),
    upstreams: [
      anUpstream({
        tokens: { limit: null, used: 0 },
        images: { limit: 50, used: 49 },
        audio_seconds: { limit: 600, used: 30 },
        requests_per_day: { limit: 10_000, used: 812 },
        frozen_until: at(1),
      }),
    ],
  }),
  aLane({ lane: 'default', models: [], requests: { limit: null, used: 0 }, tokens: { limit: null, used: 0 } }),
];

const ACTS: readonly ActView[] = [
  {
    id: 'act_1',
    at: at(-5),
    act: 'terms',
    subject: 'cmp_launch',
    note: 'moderation: thresholds {"violence":0.6} → {"violence":0.5}',
    actor: 'Ada <b>Operator</b>',
  },
  { id: 'act_2', at: at(-90), act: 'opened', subject: 'req_1', note: null, actor: null },
];

const REPLAY: Replay = {
  since: at(-30 * 1_440),
  checks: 2_310,
  now_blocked: 9,
  would_block: 14,
  unknown: 0,
  left_out: [
    { guard: 'words', checks: 2_310, why: 'own_rules' },
    { guard: 'moderation', checks: 2, why: 'no_verdict' },
  ],
  examples: ['chk_1', 'chk_2'],
  example_calls: ['req_1', 'req_2'],
};

/** Lanes, proofs, the bill, acts and replays, as the admin API answers them. */
export class FakeOperations {
  /** A proof finds something wrong. */
  isBroken = false;
  hasAdminKey = true;

  reset(): void {
    this.isBroken = false;
    this.hasAdminKey = true;
  }

  /** undefined: it is not about these. */
  answer(request: string, body: Record<string, unknown>): unknown {
    switch (request) {
      case 'GET /lanes':
        return lanesAnswer.parse({ data: LANES });
      case 'GET /acts':
        return pageOfAnswers(actAnswer).parse({ data: ACTS, next_cursor: null });
      case 'GET /ledger/verify':
        return ledgerProofAnswer.parse({
          ok: !this.isBroken,
          checked: { transfers: 12_400, entries: 31_210, rejected_events: 0, keys: 63, campaigns: 2 },
          problems: this.isBroken ? ['the transfer req_1:end does not sum to zero'] : [],
          differences: this.isBroken ? [{ id: 'key_1', field: 'spent_usd', ledger: '0.19', redis: '0.20' }] : [],
        });
      case 'GET /audit/verify':
        return recordProofAnswer.parse({
          ok: !this.isBroken,
          checked: { rows: 18_200, contents: 9_100, checkpoints: 4_100, policies: 3 },
          head: { seq: 18_200, hash: 'a1b2'.repeat(16) },
          public_key: 'MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=',
          problems: this.isBroken
            ? [{ kind: 'altered', from: 17, to: 17, id: 'chk_1', message: 'the row 17 was edited' }]
            : [],
        });
      case 'GET /reconciliation':
        return reconciliationAnswer.parse({
          data: {
            enabled: this.hasAdminKey,
            scope: this.hasAdminKey ? 'proj_daypass' : null,
            last_run: this.hasAdminKey ? { at: at(-12), outcome: 'ok', judged: 2 } : null,
            days: this.hasAdminKey
              ? [
                  { day: '2026-11-26', booked_usd: '12.40', billed_usd: '12.38', drift_usd: '0.02' },
                  { day: '2026-11-25', booked_usd: '9.10', billed_usd: '9.31', drift_usd: '-0.21' },
                ]
              : [],
          },
        });
      case 'POST /moderation/replay': {
        const { violence } = body.thresholds as { violence?: number };
        // A lower limit blocks more; without one nobody can tell.
        const would = violence === undefined ? 5 : Math.round(14 + 1_000 * (0.6 - violence));
        return replayAnswer.parse({
          data: { ...REPLAY, would_block: would, unknown: violence === undefined ? 2_301 : 0 },
        });
      }
      default:
        return undefined;
    }
  }
}
