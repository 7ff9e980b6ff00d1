import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { FLAGGED_PHRASE } from '#libs/rehearsal/rehearsal.moderation.js';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { launchChromium } from '../chromium.js';
import { look, lookAround, type Looked } from './looking.js';

const XSS = '<img src=x onerror=alert(1)><script>alert(2)</script>';
const NAME = 'Ada <b>Operator</b>';
const FORMULA = '=HYPERLINK("http://x")';

let daypass: SharedDaypass;
let browser: Browser;
let session: NonNullable<BrowserContextOptions['storageState']>;
let slug: string;
let calm: string;
/** Two keys of one claimant, a key that nobody claimed, and a key whose calls are all fine. */
let first: TestKey;
let second: TestKey;
let alone: TestKey;
let good: TestKey;

const tag = (): string => randomBytes(4).toString('hex');

async function admin(path: string, body?: unknown) {
  const answer = await daypass.admin(`/admin/v1${path}`, body === undefined ? {} : { body });
  if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

const chat = (key: string, content: string): Promise<Response> =>
  fetch(`${daypass.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-5.4-nano', messages: [{ role: 'user', content }] }),
  });

const statusOf = async ({ id }: TestKey): Promise<string> => (await admin(`/keys/${id}`)).status;
const becomes = (key: TestKey, status: string): Promise<unknown> =>
  until(`${status} of a key`, async () => (await statusOf(key)) === status, 10_000);

/** Refused calls, and waits until the record has them. */
async function misuse(key: TestKey, ...prompts: string[]): Promise<void> {
  for (const prompt of prompts) expect((await chat(key.key, `${prompt} ${FLAGGED_PHRASE}`)).status).toBe(400);
  await until(
    'the refusals are on record',
    async () => (await admin(`/requests?key=${key.id}&reviewed=false`)).data.length >= prompts.length,
    20_000,
  );
}

beforeAll(async () => {
  [daypass, browser] = await Promise.all([shareDaypass(), launchChromium()]);
  slug = `safe-${tag()}`;
  calm = `calm-${tag()}`;
  const claimant = `mallory ${XSS} ${tag()}`;
  const campaign = {
    slug,
    name: XSS,
    moderation: { input: 'gate', output: 'off', thresholds: { violence: 0.6 }, strikes: { suspend_after: 90 } },
  };
  first = await daypass.createKey({ campaign, key: { label: XSS, claimant } });
  second = await daypass.createKey({ campaign: slug, key: { label: 'seat 2', claimant } });
  alone = await daypass.createKey({ campaign: slug, key: { label: 'seat 3' } });
  good = await daypass.createKey({ campaign: { slug: calm }, key: { label: 'good' } });
  expect((await chat(good.key, 'hello')).status).toBe(200);
  await misuse(alone, 'first');
  await misuse(second, 'second');
  await misuse(first, `${XSS} one`, `${XSS} two`);

  const looked = await look(browser);
  await looked.page.goto(`${daypass.adminUrl}/console`);
  await looked.page.getByLabel('Your name').fill(NAME);
  await looked.page.getByLabel('Admin token').fill(daypass.adminToken);
  await looked.page.keyboard.press('Enter');
  await looked.page.getByRole('heading', { name: 'Overview' }).waitFor();
  session = await looked.context.storageState();
  await looked.close();
});
afterAll(async () => {
  await browser?.close();
  await daypass?.stop();
});

/** Opens a page of the console, and checks at the end that nothing forbidden happened in it. */
async function on<T>(path: string, act: (page: Page, looked: Looked) => Promise<T>): Promise<T> {
  const looked = await look(browser, { storageState: session });
  try {
    await looked.page.goto(`${daypass.adminUrl}/console${path}`);
    const result = await act(looked.page, looked);
    expect(looked.faults).toEqual([]);
    expect(await looked.page.locator('main img, main script').count()).toBe(0);
    return result;
  } finally {
    await looked.close();
  }
}

const visitorOf = async ({ id }: TestKey): Promise<string> => (await admin(`/keys/${id}`)).claimant;
const newestCallOf = async ({ id }: TestKey): Promise<string> => (await admin(`/requests?key=${id}`)).data[0].id;
const said = (page: Page, text: string): Promise<void> => page.getByText(text).first().waitFor();

describe('each page of safety', () => {
  const PAGES: readonly [string, () => Promise<string> | string, string, ((page: Page) => Promise<unknown>)?][] = [
    ['keys', () => `/keys?campaign=${slug}`, XSS, (page) => page.getByLabel('Select all on this page').check()],
    ['key', () => `/keys/${first.id}`, 'Where it comes from'],
    ['key-calls', () => `/keys/${first.id}/calls`, 'gpt-5.4-nano'],
    ['key-transfers', () => `/keys/${good.id}/transfers`, 'inflight'],
    ['key-strikes', () => `/keys/${first.id}/strikes`, 'violence'],
    ['key-acts', () => `/keys/${first.id}/acts`, 'Nobody did anything about this key'],
    ['review', () => `/review?campaign=${slug}`, 'seat 2'],
    ['review-empty', () => `/review?campaign=${calm}`, 'Nothing flagged; 2 checks passed'],
    [
      'review-call',
      async () => `/review/${await newestCallOf(first)}?campaign=${slug}`,
      '(limit 0.60)',
      (page) => said(page, 'Refused before'),
    ],
    ['visitors', () => '/visitors?sort=share', '100 %'],
    ['visitor', async () => `/visitors/${await visitorOf(first)}`, 'Live keys'],
    ['visitor-calls', async () => `/visitors/${await visitorOf(first)}/calls`, 'gpt-5.4-nano'],
    ['visitor-claims', async () => `/visitors/${await visitorOf(first)}/claims`, 'claimed nothing by a link'],
    ['calls', () => `/calls?campaign=${slug}&decision=blocked`, 'gpt-5.4-nano'],
    ['call', async () => `/calls/${await newestCallOf(good)}`, 'Bookings'],
    ['acts', () => '/acts', 'Who'],
  ];
  it.each(PAGES.map(([name, path, sign, lead]) => ({ name, path, sign, lead })))(
    '$name is accessible in four looks, obeys its policy and asks nobody else',
    async ({ name, path, sign, lead }) => {
      await on(await path(), async (page, looked) => {
        await said(page, sign);
        await lead?.(page);
        expect(await lookAround(looked, `console-${name}`)).toEqual([]);
      });
    },
  );
});

describe('the review', () => {
  it('leads in three keys from the overview to a decision, and takes it back', async () => {
    await misuse(first, 'again');
    await on('', async (page) => {
      await page.getByRole('heading', { name: 'Overview' }).waitFor();
      await page.keyboard.press('g');
      await page.keyboard.press('r');
      await page.waitForFunction(() => document.activeElement?.className === 'row-link');
      await page.keyboard.press('Enter');
      await said(page, '(limit 0.60)');
      await page.getByRole('button', { name: 'Suspend', exact: true }).and(page.locator(':enabled')).waitFor();
      await page.keyboard.press('s');
      await said(page, 'is suspended.');
      expect(await statusOf(first)).toBe('suspended');
      await page.keyboard.press('u');
      await said(page, 'Taken back.');
      expect(await statusOf(first)).toBe('active');
      await page.keyboard.press('n');
      await page.keyboard.type('spoke with them');
      await page.keyboard.press('Escape');
      await page.keyboard.press('p');
      await said(page, 'its strikes are forgotten.');
      expect((await admin(`/keys/${first.id}`)).strikes).toBe(0);
      const [act] = (await admin(`/acts?subject=${first.id}`)).data;
      expect(act).toMatchObject({ act: 'status', note: 'reinstated: spoke with them', actor: NAME });
    });
  });

  it('shows a text as text, and the record keeps who read it and why', async () => {
    const call = await newestCallOf(alone);
    const hostile = await daypass.createKey({ campaign: slug, key: { label: 'hostile' } });
    await misuse(hostile, XSS);
    const id = await newestCallOf(hostile);
    await on(`/review/${id}?campaign=${slug}`, async (page) => {
      await said(page, 'The record keeps that you read it');
      expect(await page.getByText(FLAGGED_PHRASE).count()).toBe(0);
      await page.getByLabel('Note', { exact: true }).fill(FORMULA);
      await page.getByRole('button', { name: 'Show text' }).click();
      await said(page, `${XSS} ${FLAGGED_PHRASE}`);
      // The next call begins without its text: opening one opens no other.
      await page.getByRole('heading', { name: 'Review' }).focus();
      await page.keyboard.press('j');
      await page.waitForURL((url) => !url.pathname.endsWith(id));
      await said(page, 'The record keeps that you read it');
      expect(await page.getByText(FLAGGED_PHRASE).count()).toBe(0);
      expect(new URL(page.url()).search).toBe(`?campaign=${slug}`);
      await page.keyboard.press('k');
      await page.waitForURL((url) => url.pathname.endsWith(id));
    });
    expect((await admin(`/acts?subject=${call}&act=opened`)).data).toEqual([]);
    expect((await admin(`/acts?subject=${id}`)).data).toMatchObject([{ act: 'opened', actor: NAME, note: FORMULA }]);
    await on(`/acts?subject=${id}`, async (page) => {
      await said(page, NAME);
      await said(page, FORMULA);
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('button', { name: 'CSV' }).click(),
      ]);
      const rows = (await readFile((await download.path())!, 'utf8')).trim().split('\n');
      expect(rows).toHaveLength(2);
      expect(rows[0]).toBe('at,id,act,subject,actor,note');
      expect(rows[1]).toContain("'=HYPERLINK");
    });
  });

  it('does nothing on single keys once somebody switched them off', async () => {
    await on(`/review/${await newestCallOf(alone)}`, async (page) => {
      await said(page, '(limit 0.60)');
      await page.keyboard.press('?');
      await said(page, 'Pardon: reinstate, and forget strikes');
      await page.getByLabel('Single-key shortcuts').uncheck();
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'hidden' });
      await page.keyboard.press('s');
      await page.keyboard.press('e');
      expect(await page.getByRole('dialog').count()).toBe(0);
      await page.getByRole('button', { name: 'Mark as seen' }).click();
      await said(page, 'Marked as seen.');
      expect(await statusOf(alone)).toBe('active');
    });
  });

  it('erases the person who sent it, after the typed word, and says so', async () => {
    const gone = await daypass.createKey({ campaign: slug, key: { label: 'gone' } });
    await misuse(gone, 'erase me');
    await on(`/review/${await newestCallOf(gone)}`, async (page) => {
      await said(page, '(limit 0.60)');
      await page.keyboard.press('e');
      const act = page.getByRole('button', { name: 'Revoke and erase' });
      await act.waitFor();
      expect(await act.isDisabled()).toBe(true);
      await page.getByLabel('Type erase').fill('erase');
      await page.keyboard.press('Enter');
      await said(page, 'The texts are erased with their visitor.');
      expect(await page.getByRole('button', { name: 'Show text' }).count()).toBe(0);
    });
    expect(await statusOf(gone)).toBe('revoked');
    expect((await admin(`/visitors/${gone.id}`)).erased_at).not.toBeNull();
  });
});

describe('a visitor', () => {
  it('is suspended everywhere, reinstated, blocked and unblocked', async () => {
    const id = await visitorOf(first);
    await on(`/visitors/${id}`, async (page) => {
      const confirm = async (open: string, act: string, done: string, isInMenu = false): Promise<void> => {
        if (isInMenu) await page.getByRole('button', { name: 'More' }).click();
        await page.getByRole(isInMenu ? 'menuitem' : 'button', { name: open }).click();
        await page.getByRole('dialog').getByRole('button', { name: act }).click();
        await said(page, done);
      };
      await confirm('Suspend everywhere', 'Suspend all keys', 'All keys of the visitor are suspended.');
      await Promise.all([becomes(first, 'suspended'), becomes(second, 'suspended')]);
      await confirm('Reinstate', 'Reinstate all keys', 'The keys of the visitor work again.');
      await Promise.all([becomes(first, 'active'), becomes(second, 'active')]);
      await confirm('Block', 'Block', 'The visitor may claim no more.', true);
      expect((await admin(`/visitors/${id}`)).blocked_at).not.toBeNull();
      await confirm('Unblock', 'Unblock', 'The visitor may claim again.', true);
      expect((await admin(`/visitors/${id}`)).blocked_at).toBeNull();
    });
  });
});

describe('keys', () => {
  it('are found by the server and changed many at once, after a count', async () => {
    await on(`/keys?campaign=${slug}&q=seat`, async (page) => {
      await said(page, 'seat 3');
      expect(await page.locator('.rows tbody tr').count()).toBe(2);
      await page.getByLabel('Select all on this page').check();
      await said(page, '2 keys selected');
      await page.getByRole('button', { name: 'Top up' }).click();
      await page.getByLabel('Dollars for each key').fill('0.25');
      await said(page, '2 keys found, 2 keys would change.');
      await page.getByRole('button', { name: 'Top up 2 keys' }).click();
      await said(page, '2 keys: done.');
      expect((await admin(`/keys/${alone.id}`)).budget_usd).toBe('1.25');
      await page.getByRole('button', { name: 'Take all keys of this filter' }).click();
      await page.getByRole('button', { name: 'Suspend' }).click();
      await page.getByRole('button', { name: 'Suspend 2 keys' }).click();
      await becomes(alone, 'suspended');
      expect(await statusOf(second)).toBe('suspended');
      expect(await statusOf(first)).toBe('active');
    });
  });

  it('have terms that are edited where they stand, and a new virtual key that is shown once', async () => {
    await on(`/keys/${good.id}`, async (page) => {
      const save = page.getByRole('button', { name: 'Save the terms' });
      await save.waitFor();
      expect(await save.isDisabled()).toBe(true);
      await page.getByRole('textbox', { name: 'Label' }).fill(`${XSS} renamed`);
      await page.getByLabel('Requests a minute').fill('7');
      await save.click();
      await said(page, 'The terms hold from the next call on.');
      expect(await admin(`/keys/${good.id}`)).toMatchObject({
        label: `${XSS} renamed`,
        limits: { rpm: 7 },
        models: null,
      });
      await page.getByRole('button', { name: 'More' }).click();
      await page.getByRole('menuitem', { name: 'Replace the virtual key' }).click();
      await page.getByRole('button', { name: 'Replace', exact: true }).click();
      await said(page, 'It is shown here only');
      const fresh = await page.locator('.fresh code').innerText();
      expect((await chat(good.key, 'hello')).status).toBe(401);
      expect((await chat(fresh, 'hello')).status).toBe(200);
      await page.getByRole('button', { name: 'I have it' }).click();
      expect(await page.getByText(fresh).count()).toBe(0);
    });
  });
});

describe('calls', () => {
  it('keep their filter from one to the next', async () => {
    await on(`/calls?campaign=${slug}&decision=blocked`, async (page) => {
      await page.locator('.row-link').first().click();
      await said(page, 'What was asked');
      expect(await page.getByRole('button', { name: 'Newer' }).isDisabled()).toBe(true);
      const begin = page.url();
      await page.getByRole('link', { name: 'Older' }).click();
      await page.waitForURL((url) => url.href !== begin);
      expect(new URL(page.url()).search).toBe(`?campaign=${slug}&decision=blocked`);
      await page.getByRole('heading', { name: 'Bookings' }).waitFor();
      await page.keyboard.press('k');
      await page.waitForURL(begin);
    });
  });
});

describe('an auditor', () => {
  it('sees what other limits would have blocked, who changed them, a proof of it all, and takes it home', async () => {
    const tried = `tried-${tag()}`;
    const moderation = { input: 'gate', output: 'off', thresholds: { violence: 0.6 } };
    const key = await daypass.createKey({ campaign: { slug: tried, moderation }, key: { label: FORMULA } });
    expect((await chat(key.key, 'hello')).status).toBe(200);
    await misuse(key, 'tried');
    await until(
      'both checks are on record',
      async () => (await admin(`/checks/count?campaign=${tried}`)).data.checks === 2,
      20_000,
    );
    await on(`/campaigns/${tried}/policy`, async (page) => {
      await said(page, 'would have blocked 1');
      await said(page, 'of 2 checks; so many were blocked.');
      await page.getByLabel('Limit of violence').fill('1');
      await said(page, 'would have blocked 0');
      await page.getByRole('button', { name: 'Save the policy' }).click();
      await said(page, 'The policy holds for calls from now on.');
    });
    expect((await admin(`/campaigns/${tried}`)).moderation.thresholds).toEqual({ violence: 1 });
    await on('/audit', async (page) => {
      await said(page, 'thresholds {"violence":0.6} → {"violence":1}');
      await page.getByRole('region', { name: 'The record' }).getByRole('button', { name: 'Run the proof' }).click();
      await said(page, 'Keep this outside of Daypass');
      const file = async (name: string): Promise<string> => {
        const [download] = await Promise.all([
          page.waitForEvent('download'),
          page.getByRole('link', { name, exact: true }).click(),
        ]);
        return readFile((await download.path())!, 'utf8');
      };
      const calls = (await file('Calls as CSV')).split('\n').filter((line) => line.includes(tried));
      expect(calls).toHaveLength(2);
      for (const line of calls) expect(line).toContain(`"'=HYPERLINK`);
      const acts = await file('Acts as CSV');
      expect(acts).toMatch(new RegExp(`,terms,cmp_\\w+,${NAME},`));
    });
    await on('/lanes', (page) => said(page, 'takes calls'));
    await on('/settings', (page) => said(page, 'DAYPASS_PUBLIC_URL is not set'));
  });
});
