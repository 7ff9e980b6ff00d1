import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import type { LinkView } from '#libs/contracts/claims.js';
import type { HeldKey, Refusal } from '#libs/contracts/held-key.js';
import { createVirtualKey } from '#libs/secrets/virtual-key.js';
import { launchChromium } from '../chromium.js';
import {
  claimAnswer,
  FakeVisitors,
  heldCalls,
  heldKey,
  later,
  linkView,
  refuse,
  type FakeKey,
  type FakeLink,
} from './fake.visitors.js';
import { look, lookAround, type Looked } from './looking.js';

let browser: Browser;
let fake: FakeVisitors;
beforeAll(async () => {
  [browser, fake] = await Promise.all([launchChromium(), FakeVisitors.start()]);
});
afterAll(async () => {
  await browser?.close();
  fake?.stop();
});

let count = 0;
/** A link of its own, opened. */
async function openLink(link: Omit<FakeLink, 'view'> & { view?: Partial<LinkView> | null }): Promise<Looked> {
  const token = `k7f3Link${String(++count).padStart(4, '0')}`;
  fake.links.set(token, { ...link, view: link.view === null ? null : linkView(token, link.view) });
  const looked = await look(browser);
  await looked.page.goto(fake.url(`/c/${token}`));
  return looked;
}

async function openKey(key: FakeKey): Promise<Looked & { secret: string }> {
  const secret = createVirtualKey();
  fake.keys.set(secret, key);
  const looked = await look(browser);
  await looked.page.goto(fake.url('/key'));
  await looked.page.getByLabel('Paste your key').fill(` ${secret} `);
  await looked.page.getByRole('button', { name: 'Show my key' }).click();
  return { ...looked, secret };
}

async function expectWell(looked: Looked, name: string, words: RegExp): Promise<void> {
  await looked.page.getByText(words).first().waitFor();
  const found = await lookAround(looked, name);
  expect([...found, ...looked.faults]).toEqual([]);
  await looked.close();
}

const press = ({ page }: Looked): Promise<void> =>
  page.getByRole('button', { name: /^(Get|Getting) (my|your) key/ }).click();
const WEEK_MS = 7 * 24 * 3_600_000;

const GITHUB: Partial<LinkView> = { gates: ['github'], challenge: null };
const EMAIL: Partial<LinkView> = { gates: ['email'], challenge: null, email: { domains: ['acme.example'] } };

describe('the claim page says what is so', () => {
  it.each<[string, Partial<LinkView>, RegExp]>([
    ['open', {}, /Get my key/],
    ['code', { gates: ['code'], challenge: null }, /Your one-time code/],
    ['github', GITHUB, /Continue with GitHub/],
    ['github-known', { ...GITHUB, signed_in: { kind: 'github', label: 'octocat' } }, /Signed in as/],
    ['email', EMAIL, /Your e-mail address/],
    ['waitlist', { ...EMAIL, state: 'exhausted', left: 0, waitlist: true }, /for when there are keys again/],
    ['not-started', { state: 'not_started', starts_at: later(WEEK_MS), challenge: null }, /gives no keys yet/],
    ['paused', { state: 'paused', challenge: null }, /This link is paused/],
    ['ended', { state: 'ended', expires_at: later(-WEEK_MS), challenge: null }, /time of this link is over/],
    ['exhausted', { state: 'exhausted', left: 0, challenge: null }, /All 100 keys of this link are taken/],
    ['budget-gone', { state: 'budget_gone', challenge: null }, /budget for new keys is spent/],
    ['door-shut', { state: 'door_shut', challenge: null }, /has stopped everything/],
    ['recovering', { state: 'recovering', challenge: null }, /is starting again/],
    [
      'app',
      { app: { name: 'app.example', refusal: null, cancel_url: 'https://app.example/' } },
      /app.example asks for/,
    ],
    ['foreign-app', { app: { name: 'evil.example', refusal: 'It may not.', cancel_url: null } }, /gets no key here/],
  ])('%s', async (name, view, words) => {
    await expectWell(await openLink({ view }), `claim-${name}`, words);
  });

  it('unknown', async () => {
    const looked = await look(browser);
    await looked.page.goto(fake.url('/c/k7f3Nowhere1'));
    await expectWell(looked, 'claim-unknown', /There is no such link/);
  });

  it('away', async () => {
    await expectWell(
      await openLink({ view: null, later: () => refuse(503) }),
      'claim-away',
      /cannot reach the service/,
    );
  });

  it('minted, and after a reload already yours', async () => {
    const looked = await openLink({ claim: () => claimAnswer() });
    await press(looked);
    await looked.page.getByRole('heading', { name: 'Your key' }).waitFor();
    expect(await lookAround(looked, 'claim-minted')).toEqual([]);
    await looked.page.reload();
    await expectWell(looked, 'claim-already-yours', /You have a key from this link/);
  });

  it.each([
    ['limited', refuse('claim_rate_limited', { retryAfterSeconds: 1_400 }), /Try again in 24 minutes/],
    ['refused', refuse('claim_refused'), /Keys of yours were suspended/],
    [
      'erasing',
      refuse('claim_refused', { message: 'Your texts wait for a review.', details: { why: 'erasure' } }),
      /Your texts wait for a review/,
    ],
    ['failed', refuse('internal_error', { message: 'Something broke.' }), /Something broke. \(request req_01jfake\)/],
  ])('%s, after the press', async (name, refused, words) => {
    const looked = await openLink({ claim: () => refused });
    await press(looked);
    await expectWell(looked, `claim-${name}`, words);
  });

  it('wrong code, with the tries that are left', async () => {
    const looked = await openLink({
      view: { gates: ['code'], challenge: null },
      claim: () => refuse('code_invalid', { details: { tries_left: 4 } }),
    });
    await looked.page.getByLabel('Your one-time code').fill('7kq2m9xa0r4t');
    await press(looked);
    await expectWell(looked, 'claim-wrong-code', /You have 4 tries left/);
  });

  it.each([
    ['denied', /You did not sign in/],
    ['expired', /The sign-in took too long/],
    ['failed', /GitHub did not take the sign-in/],
    ['busy', /GitHub does not answer/],
    ['off', /Nobody can sign in here now/],
  ])('a sign-in that ended as %s', async (end, words) => {
    const looked = await openLink({ view: GITHUB });
    const url = looked.page.url();
    await looked.page.getByText('Continue with GitHub').waitFor();
    await looked.page.goto(`${url}#github=${end}`);
    await looked.page.getByText(words).waitFor();
    expect([looked.page.url(), looked.faults]).toEqual([url, []]);
    await looked.close();
  });

  it('a key that somebody who signed in has, and lost, and what else may follow', async () => {
    const known: Partial<LinkView> = { ...GITHUB, signed_in: { kind: 'github', label: 'octocat' } };
    const details = { claimed_at: later(-WEEK_MS), prefix: 'dp_tIfr6m', replaceable: true };
    const lost = await openLink({
      view: known,
      claim: () => refuse('already_claimed', { details }),
      acts: { replace: () => claimAnswer() },
    });
    await press(lost);
    await lost.page.getByText('dp_tIfr6m…').waitFor();
    expect(await lookAround(lost, 'claim-replace')).toEqual([]);
    await lost.page.getByRole('button', { name: 'Replace my key' }).click();
    await lost.page.getByRole('heading', { name: 'Your key' }).waitFor();
    expect(lost.faults).toEqual([]);
    await lost.close();

    const why = { why: 'account_age', min_account_age_days: 30 };
    const young = await openLink({
      view: known,
      claim: () => refuse('claim_refused', { message: 'Your account is too young.', details: why }),
    });
    await press(young);
    await expectWell(young, 'claim-too-young', /Your account is too young/);
    const gone = await openLink({ view: known, claim: () => refuse('identity_required', { details: {} }) });
    await press(gone);
    await gone.page.getByText('You are no longer signed in').waitFor();
    await gone.close();
  });

  it('digits of a mail, wrong ones, too many mails, an address of elsewhere', async () => {
    const asked: unknown[] = [];
    const looked = await openLink({
      view: EMAIL,
      claim: () => refuse('code_invalid', { message: 'Not this.', details: { why: 'wrong', tries_left: 1 } }),
      acts: {
        email: (body) => {
          asked.push(body);
          return asked.length === 1
            ? { minutes: 15 }
            : refuse('claim_rate_limited', { details: { limit: 'all_mails' }, retryAfterSeconds: 600 });
        },
      },
    });
    const { page } = looked;
    const address = page.getByLabel('Your e-mail address');
    await address.fill('jane@elsewhere.example');
    await page.keyboard.press('Enter');
    await page.getByText('Only addresses of acme.example').waitFor();
    await address.fill('jane@acme.example');
    await page.keyboard.press('Enter');
    await page.getByText('Look into your mailbox').waitFor();
    expect(asked).toEqual([{ email: 'jane@acme.example' }]);
    expect(await page.evaluate(() => (document.activeElement as HTMLInputElement).name)).toBe('code');
    expect(await lookAround(looked, 'claim-digits')).toEqual([]);
    await page.keyboard.type('12 34');
    await page.keyboard.press('Enter');
    await page.getByText('The code has 6 digits').waitFor();
    await page.keyboard.type('56');
    await page.keyboard.press('Enter');
    await page.getByText('Not this. You have one try left.').waitFor();
    expect(await lookAround(looked, 'claim-digits-wrong')).toEqual([]);
    await page.getByRole('button', { name: 'Send another code' }).click();
    await expectWell(looked, 'claim-mails', /Too many mails go out/);
  });

  it.each([
    ['all taken', refuse('claims_exhausted', { details: { why: 'claims' } }), /All 100 keys of this link are taken/],
    ['the budget spent', refuse('claims_exhausted', { details: { why: 'budget' } }), /budget for new keys is spent/],
    ['paused', refuse('link_paused'), /This link is paused/],
    ['the end', refuse('link_ended'), /time of this link is over/],
    ['the door shut', refuse('paused', { retryAfterSeconds: 30 }), /has stopped everything/],
  ])('%s, where it came to be so before the press', async (_, refused, words) => {
    const looked = await openLink({ claim: () => refused });
    await press(looked);
    await looked.page.getByText(words).first().waitFor();
    expect(await looked.page.getByRole('button', { name: 'Get my key' }).count()).toBe(0);
    expect(looked.faults).toEqual([]);
    await looked.close();
  });
});

const refusals: Refusal[] = [
  {
    at: later(-600_000),
    code: 'moderation_blocked',
    details: { categories: ['violence'] },
    request_id: 'req_01jfake0001',
  },
  { at: later(-900_000), code: 'insufficient_quota', details: { level: 'campaign' }, request_id: 'req_01jfake0009' },
];

describe('the key page says what is so', () => {
  it('asks for a key, and finds a mistyped one alone', async () => {
    const looked = await look(browser);
    const { page } = looked;
    await page.goto(fake.url('/key'));
    const before = fake.asked.length;
    const secret = createVirtualKey();
    for (const [typed, words] of [
      ['', /Paste your key first/],
      ['sk-abc', /begins with dp_/],
      [secret.slice(0, -2), /too short/],
      [`${secret.slice(0, 10)}${secret[10] === 'a' ? 'b' : 'a'}${secret.slice(11)}`, /checksum does not fit/],
    ] as const) {
      await page.getByLabel('Paste your key').fill(typed);
      await page.getByRole('button', { name: 'Show my key' }).click();
      await page.getByText(words).waitFor();
    }
    expect(fake.asked).toHaveLength(before);
    await expectWell(looked, 'key-ask', /checksum/);
  });

  it('calls, a balance and refusals', async () => {
    const looked = await openKey({
      view: () => heldKey({ recent_refusals: refusals }),
      calls: (cursor) => ({ data: heldCalls(8, Number(cursor ?? 0)), next_cursor: cursor === null ? '8' : null }),
    });
    await looked.page.getByText('$0.31').waitFor();
    await looked.page.getByText('Older calls').waitFor();
    await expectWell(looked, 'key-active', /A guard refused your input/);
  });

  it.each<[string, Partial<HeldKey>, RegExp]>([
    ['empty', { spent_usd: '0', held_usd: '0', available_usd: '0.5', strikes: 0 }, /No calls yet/],
    ['resting', { status: 'suspended', suspended_until: later(600_000), strikes: 3 }, /Your key rests/],
    ['suspended', { status: 'suspended', strikes: 5 }, /Your key is suspended/],
    ['spent', { spent_usd: '0.5', held_usd: '0', available_usd: '0' }, /budget of your key is spent/],
    ['expired', { status: 'expired', expires_at: later(-3_600_000), ended_at: later(-3_600_000) }, /is over/],
    ['revoked', { status: 'revoked', ended_at: later(-3_600_000) }, /Your key has ended/],
    ['campaign-empty', { campaign_available: false }, /project has no free money/],
    ['not-started', { status: 'not_started', starts_at: later(3_600_000) }, /has not begun/],
  ])('%s', async (name, changes, words) => {
    await expectWell(await openKey({ view: () => heldKey(changes) }), `key-${name}`, words);
  });

  it('unknown', async () => {
    const looked = await look(browser);
    await looked.page.goto(fake.url('/key'));
    await looked.page.getByLabel('Paste your key').fill(createVirtualKey());
    await looked.page.getByRole('button', { name: 'Show my key' }).click();
    await expectWell(looked, 'key-unknown', /Nobody here knows this key/);
  });

  it('recovering, with what it saw last', async () => {
    let isUp = true;
    const looked = await openKey({ view: () => (isUp ? heldKey() : refuse('recovering', { retryAfterSeconds: 2 })) });
    await looked.page.getByText('$0.31').waitFor();
    isUp = false;
    await expectWell(looked, 'key-recovering', /What you see is from/);
  });

  it.each(['Replace key', 'End this key', 'Delete my prompts and answers'])('asks before it does: %s', async (name) => {
    const looked = await openKey({ view: () => heldKey() });
    await looked.page.getByRole('button', { name }).click();
    await expectWell(looked, `key-dialog-${name.split(' ')[0]!.toLowerCase()}`, /Cancel/);
  });
});
