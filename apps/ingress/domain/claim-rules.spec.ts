import { describe, expect, it } from '@jest/globals';
import type { LinkState } from '#libs/contracts/claims.js';
import { claimsMost, leastStepOf, stepOf } from './claim-brake.js';
import { isLinkToken, linkRefusal, stateOf } from './claim-link.js';
import { mayClaimFrom } from './claim-origin.js';
import { isPageView } from './page-view.js';
import { shortChats } from '#libs/money/short-chats.js';
import { TagCounts } from './tag-counts.js';

const link = {
  status: 'open',
  max_claims: 10,
  claimed: 3,
  starts_ms: 0,
  expires_ms: 0,
  budget_gone: false,
  waitlist: true,
} as LinkState;
const moment = { nowMs: 1_000, campaignIsActive: true, isShut: false, isRecovering: false };

describe('the state of a link', () => {
  it.each([
    ['open', {}, {}],
    ['open', { starts_ms: 1_000, expires_ms: 1_001 }, {}],
    ['not_started', { starts_ms: 1_001 }, {}],
    ['paused', { status: 'paused', starts_ms: 2_000 }, {}],
    ['ended', { expires_ms: 1_000 }, { isShut: true }],
    ['ended', { status: 'closed' }, { isRecovering: true }],
    ['ended', {}, { campaignIsActive: false }],
    ['exhausted', { claimed: 10 }, { isShut: true }],
    ['budget_gone', { budget_gone: true }, {}],
    ['door_shut', {}, { isShut: true, isRecovering: true }],
    ['recovering', {}, { isRecovering: true }],
  ] as const)('%s: %o %o', (state, changes, now) => {
    expect(stateOf({ ...link, ...changes } as LinkState, { ...moment, ...now })).toBe(state);
  });

  it.each([
    ['ended', 410, 'link_ended', undefined],
    ['paused', 403, 'link_paused', undefined],
    ['not_started', 403, 'link_not_started', { starts_at: '1970-01-01T00:00:02.000Z' }],
    ['exhausted', 409, 'claims_exhausted', { why: 'claims', waitlist: true }],
    ['budget_gone', 409, 'claims_exhausted', { why: 'budget', waitlist: true }],
  ] as const)('%s refuses a claim with %i %s', (state, status, code, details) => {
    expect(linkRefusal(state, { ...link, starts_ms: 2_000 })).toMatchObject({ status, code, details });
  });

  it('is asked of Redis only where the token may be one', () => {
    for (const token of ['k7F3aB9xQ2Lm', 'workshop-2026']) expect(isLinkToken(token)).toBe(true);
    for (const token of ['', 'ab', 'a:b', 'a/b', 'x'.repeat(65), '../..', 'ä'.repeat(12)])
      expect([token, isLinkToken(token)]).toEqual([token, false]);
  });
});

describe('where a claim may come from', () => {
  const listed = ['https://project.example'];
  it.each([
    ['a program', {}, true],
    ['the own page over TLS', { 'sec-fetch-site': 'same-origin', origin: 'https://try.example' }, true],
    [
      'the own page behind a proxy that changes the host',
      { 'sec-fetch-site': 'same-origin', origin: 'https://b' },
      true,
    ],
    ['the own page without a secure context', { origin: 'http://192.168.1.5:8080', host: '192.168.1.5:8080' }, true],
    [
      'the own page in a browser from before sec-fetch-site',
      { origin: 'https://try.example', host: 'try.example' },
      true,
    ],
    ['a listed origin', { 'sec-fetch-site': 'cross-site', origin: 'https://project.example' }, true],
    ['another page', { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example', host: 'try.example' }, false],
    [
      'another port of the same host',
      { 'sec-fetch-site': 'same-site', origin: 'http://localhost:8081', host: 'localhost:8080' },
      false,
    ],
    ['another port without a secure context', { origin: 'http://192.168.1.5:8081', host: '192.168.1.5:8080' }, false],
    ['a page without an origin', { origin: 'null', host: 'try.example' }, false],
    ['a page that hides its origin', { 'sec-fetch-site': 'cross-site' }, false],
    ['an origin that is none', { origin: 'http://[', host: 'try.example' }, false],
    ['a listed origin under another scheme', { origin: 'http://project.example', host: 'try.example' }, false],
  ])('%s', (_, headers, may) => {
    expect(mayClaimFrom(headers, listed)).toBe(may);
  });
});

describe('the brake of a campaign', () => {
  it('makes proofs of work 4 times and 16 times dearer, and then takes no more claims', () => {
    expect([0, 99, 100, 149, 150, 199].map((claims) => stepOf(claims, 100))).toEqual([0, 0, 1, 1, 2, 2]);
    expect([0, 1, 2].map((step) => leastStepOf(step as 0 | 1 | 2))).toEqual([0, 0, 1]);
    expect(claimsMost(100)).toBe(200);
  });
});

describe('who opens a page', () => {
  const browser = { accept: 'text/html,*/*', 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) Chrome/156 Safari/537.36' };
  it.each([
    ['a person', 'GET', {}, true],
    ['a program that asks for the head', 'HEAD', {}, false],
    ['a page that fetches', 'GET', { accept: 'application/json' }, false],
    ['a prefetch', 'GET', { 'sec-purpose': 'prefetch;prerender' }, false],
    ['a prefetch of an older browser', 'GET', { purpose: 'prefetch' }, false],
    ['Slack', 'GET', { 'user-agent': 'Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)' }, false],
    ['Discord', 'GET', { 'user-agent': 'Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)' }, false],
    ['WhatsApp', 'GET', { 'user-agent': 'WhatsApp/2.23.20.0' }, false],
    ['curl', 'GET', { accept: '*/*', 'user-agent': 'curl/8.5.0' }, false],
    ['somebody without a name', 'GET', { 'user-agent': undefined }, false],
  ])('%s', (_, method, headers, isPerson) => {
    expect(isPageView(method, { ...browser, ...headers })).toBe(isPerson);
  });
});

describe('about how many short chats a budget buys', () => {
  const price = { input: 1_000, cachedInput: 1_000, cacheWrite: 1_000, output: 4_000 };
  it.each([
    [500_000_000n, 900],
    [100_000_000n, 180],
    [550_000n, 1],
    [1n, 0],
    [9_000_000_000_000_000n, 1_000_000_000],
  ])('%i nano-dollars: %i', (budget, chats) => expect(shortChats(budget, price)).toBe(chats));

  it('is unknown for a model that costs nothing', () => {
    expect(shortChats(1n, { input: 0, cachedInput: 0, cacheWrite: 0, output: 0 })).toBeNull();
  });
});

describe('an address that tries out links', () => {
  it('waits after 60 unknown ones, for the rest of the hour', () => {
    const links = new TagCounts(60);
    for (let n = 0; n < 60; n++) {
      expect(links.waitMs('a', 1_000)).toBe(0);
      links.count('a', 1_000);
    }
    expect(links.waitMs('a', 2_000)).toBe(3_599_000);
    expect(links.waitMs('b', 2_000)).toBe(0);
    expect(links.waitMs('a', 3_601_000)).toBe(0);
    links.count('a', 3_601_000);
    expect(links.waitMs('a', 3_601_000)).toBe(0);
  });

  it('is forgotten where too many do it, the oldest first', () => {
    const links = new TagCounts(60);
    for (let n = 0; n < 60; n++) links.count('first', 0);
    for (let n = 0; n < 9_999; n++) links.count(`other ${n}`, 0);
    expect(links.waitMs('first', 0)).toBeGreaterThan(0);
    links.count('one more', 0);
    expect(links.waitMs('first', 0)).toBe(0);
  });
});
