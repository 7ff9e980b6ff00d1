import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { solveChallenge, type Challenge } from 'altcha-lib';
import { deriveKey } from 'altcha-lib/algorithms/pbkdf2';
import { randomBytes, randomInt } from 'node:crypto';
import { Abuse, expectHarmless } from './abuse.js';

const VISITORS = 200;
const CLAIMS = 10_000;
const AT_ONCE = 8;
/** So many proofs of work a script solves: each takes it some 50 ms. */
const PROOFS = 40;
/** At once. Node has so many threads for it. */
const SOLVERS = 4;
const LIMIT_MS = 120_000;

interface Claimed {
  status: number;
  code: string | undefined;
  key: string | undefined;
}

describe('claims of a link', () => {
  let abuse: Abuse;
  let origin: string;
  beforeAll(async () => {
    abuse = await Abuse.share();
    origin = new URL(abuse.daypass.baseUrl).origin;
  }, 60_000);
  afterAll(() => abuse?.stop());

  /** A campaign with one link. Returns the link's token, and the campaign's slug. */
  async function newLink(
    campaign: Record<string, unknown>,
    link: Record<string, unknown>,
  ): Promise<{ slug: string; token: string; id: string }> {
    const slug = `claims-${randomBytes(5).toString('hex')}`;
    const { daypass } = abuse;
    const made = await daypass.admin('/admin/v1/campaigns', {
      body: { slug, name: slug, models: ['gpt-5.4-mini'], ...campaign },
    });
    expect([made.status, made.body.error]).toEqual([201, undefined]);
    const { status, body } = await daypass.admin(`/admin/v1/campaigns/${slug}/links`, {
      body: { name: slug, ...link },
    });
    expect([status, body.error]).toEqual([201, undefined]);
    return { slug, token: body.token as string, id: body.id as string };
  }

  async function proof(token: string): Promise<object> {
    const response = await fetch(`${origin}/claim/v1/links/${token}`);
    const { data } = (await response.json()) as { data: { challenge: Challenge } };
    return { challenge: data.challenge, solution: await solveChallenge({ challenge: data.challenge, deriveKey }) };
  }
  const proofs = async (token: string, count: number): Promise<object[]> => {
    const all: object[] = [];
    let begun = 0;
    const lane = async (): Promise<void> => {
      while (begun++ < count) all.push(await proof(token));
    };
    await Promise.all(Array.from({ length: SOLVERS }, lane));
    return all;
  };

  async function claim(token: string, body: object, address: string): Promise<Claimed> {
    const response = await fetch(`${origin}/claim/v1/links/${token}/claims`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'idempotency-key': randomBytes(16).toString('hex'),
        'x-forwarded-for': address,
      },
      body: JSON.stringify(body),
    });
    const answer = (await response.json()) as { data?: { key: string }; error?: { code: string } };
    return { status: response.status, code: answer.error?.code, key: answer.data?.key };
  }

  /** Sends them all, some at once. */
  async function script(claims: (() => Promise<Claimed>)[]): Promise<Claimed[]> {
    const answers: Claimed[] = [];
    const waiting = claims.values();
    const lane = async (): Promise<void> => {
      for (const send of waiting) answers.push(await send());
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    return answers;
  }
  const keysOf = async (slug: string): Promise<number> =>
    (await abuse.daypass.admin(`/admin/v1/campaigns/${slug}`)).body.keys.total as number;
  const counted = (answers: readonly Claimed[]): Record<string, number> => {
    const counts: Record<string, number> = {};
    for (const { status, code } of answers) counts[code ?? status] = (counts[code ?? status] ?? 0) + 1;
    return counts;
  };
  const anybody = (): string => Array.from({ length: 4 }, () => randomInt(1, 255)).join('.');

  it(
    'of 200 visitors at once slow nobody down, and each has a key',
    async () => {
      const claimsPerHour = { title: 'A workshop', claims_per_hour: 10_000 };
      const { slug, token } = await newLink(
        { budget_usd: '100.00', claim: claimsPerHour },
        { key: { budget_usd: '0.05' }, max_claims: 1_000, per_ip_per_day: 0 },
      );
      const solved = await proofs(token, VISITORS);
      let answers: Claimed[] = [];
      const report = await abuse.measure('200 visitors who claim at once', {
        attacker: null,
        attack: async () => {
          answers = await Promise.all(solved.map((pow) => claim(token, { pow }, '198.51.100.7')));
        },
        inFullSwing: () => Promise.resolve(),
      });
      expect(counted(answers)).toEqual({ 201: VISITORS });
      expect(new Set(answers.map(({ key }) => key)).size).toBe(VISITORS);
      expect(await keysOf(slug)).toBe(VISITORS);
      expectHarmless(report);
    },
    LIMIT_MS,
  );

  it(
    'by a script with one address make as many keys as the link allows one address, and slow nobody down',
    async () => {
      const { slug, token } = await newLink({ budget_usd: '100.00' }, { key: { budget_usd: '0.05' } });
      const solved = await proofs(token, PROOFS);
      let answers: Claimed[] = [];
      const report = await abuse.measure('10,000 claims from one address', {
        attacker: null,
        attack: async () => {
          // A script that solves nothing sends what it solved before again and again.
          const bodies = Array.from({ length: CLAIMS }, (_, n) => ({ pow: solved[n % PROOFS]! }));
          answers = await script(bodies.map((body) => () => claim(token, body, '203.0.113.9')));
        },
        inFullSwing: () => Promise.resolve(),
      });
      const { 201: claimed, ...refused } = counted(answers);
      process.stderr.write(`      ${JSON.stringify({ claimed, ...refused })}\n`);
      expect(claimed).toBe(3);
      expect(Object.keys(refused).filter((code) => !['claim_rate_limited', 'pow_invalid'].includes(code))).toEqual([]);
      expect(await keysOf(slug)).toBe(3);
      expectHarmless(report);
    },
    LIMIT_MS,
  );

  it(
    'by a script with many addresses promise no more than the budget of the campaign',
    async () => {
      // Twenty keys of it are the whole budget.
      const { slug, token } = await newLink({ budget_usd: '1.00' }, { key: { budget_usd: '0.05' }, max_claims: 1_000 });
      const solved = await proofs(token, PROOFS);
      const bodies = Array.from({ length: CLAIMS }, (_, n) => ({ pow: solved[n % PROOFS]! }));
      const answers = await script(bodies.map((body) => () => claim(token, body, anybody())));
      process.stderr.write(`    10,000 claims from many addresses: ${JSON.stringify(counted(answers))}\n`);
      expect(counted(answers)).toMatchObject({ 201: 20, claims_exhausted: expect.any(Number) });
      const { body } = await abuse.daypass.admin(`/admin/v1/campaigns/${slug}`);
      expect({ keys: body.keys.total, budget: body.budget_usd }).toEqual({ keys: 20, budget: '1.00' });
    },
    LIMIT_MS,
  );

  it(
    'by guessed codes and guessed links find nothing, and stop soon',
    async () => {
      const { slug, token } = await newLink(
        { budget_usd: '1.00' },
        { gates: ['code'], key: { budget_usd: '0.05' }, per_ip_per_day: 0 },
      );
      const guess = (): string => randomBytes(12).toString('hex').slice(0, 12).toUpperCase();
      const codes = await script(
        Array.from({ length: 500 }, () => () => claim(token, { code: guess() }, '203.0.113.10')),
      );
      // Wrong codes count after their answers, so that a workshop behind one address passes. Some are on their way then.
      const { code_invalid: wrong, ...others } = counted(codes);
      expect(wrong).toBeGreaterThanOrEqual(10);
      expect(wrong).toBeLessThan(10 + AT_ONCE);
      expect(Object.keys(others)).toEqual(['claim_rate_limited']);
      const links = await script(
        Array.from({ length: 500 }, () => () => claim(randomBytes(6).toString('hex'), {}, '203.0.113.11')),
      );
      expect(counted(links)).toEqual({ link_unknown: 60, claim_rate_limited: 440 });
      expect(await keysOf(slug)).toBe(0);
    },
    LIMIT_MS,
  );
});
