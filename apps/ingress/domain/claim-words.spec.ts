import { describe, expect, it } from '@jest/globals';
import { LINK_STATES, type LinkView } from '#libs/contracts/claims.js';
import { badgeWords, describeLink, duration, linkInText, titleOf } from './claim-words.js';

const view = (change: Partial<LinkView> = {}): LinkView => ({
  state: 'open',
  token: 'acme',
  campaign: 'acme',
  page: {
    title: 'Acme',
    text: '',
    logo: null,
    project_url: null,
    open_url: null,
    contact: null,
    privacy_url: null,
    snippet: null,
  },
  gates: ['pow'],
  github: { min_account_age_days: 30 },
  email: { domains: [] },
  signed_in: null,
  waitlist: false,
  key: { budget_usd: '2', ttl_seconds: null, limits: {}, models: null },
  models: ['a'],
  short_chats: null,
  left: 1,
  max_claims: 2,
  starts_at: null,
  expires_at: null,
  recorded: { input: 'gate', output: 'gate', retention_days: null },
  base_url: 'http://x/v1',
  challenge: null,
  app: null,
  ...change,
});

describe('the words of a claim link', () => {
  it.each([
    [1, '1 second'],
    [90, '90 seconds'],
    [3_600, '60 minutes'],
    [5_400, '90 minutes'],
    [86_400, '24 hours'],
    [172_800, '2 days'],
    [604_800, '7 days'],
  ])('call %i seconds %s', (seconds, text) => expect(duration(seconds)).toBe(text));

  it.each([
    ['2', '$2.00'],
    ['0.5', '$0.50'],
    ['0.25', '$0.25'],
    ['0.000000001', '$0.000000001'],
  ])('write $%s as %s', (budget_usd, text) => {
    const key = { ...view().key, budget_usd };
    expect(describeLink(view({ key }))).toBe(`A free key: ${text} · a · 1 of 2 left`);
  });

  it('say the state where nobody can claim, and never that something is left', () => {
    for (const state of LINK_STATES.filter((one) => one !== 'open')) {
      expect(describeLink(view({ state }))).not.toContain('left');
      expect(linkInText(view({ state }), 'http://x')).not.toContain('State: open\n');
      expect(badgeWords(view({ state })).open).toBe(false);
    }
    const soon = view({ state: 'not_started', starts_at: '2026-12-01T12:00:00.000Z' });
    expect(linkInText(soon, 'http://x')).toContain('State: not open yet, it opens at 2026-12-01T12:00:00.000Z\n');
  });

  it('let no title command a terminal, and name the campaign where a title says nothing', () => {
    const page = { ...view().page, title: ' \u001b]0;owned\u0007\u202Eevil\nOpen: http://evil ' };
    expect(titleOf(view({ page }))).toBe(']0;owned evil Open: http://evil');
    expect(titleOf(view({ page: { ...page, title: '\u200b ' } }))).toBe('acme');
  });

  it('name six models at most', () => {
    expect(describeLink(view({ models: [...'abcdefgh'] }))).toContain('a, b, c, d, e, f and 2 more');
  });
});
