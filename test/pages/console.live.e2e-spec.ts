import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { shareDaypass, type SharedDaypass } from '#libs/testing/daypass.js';
import { launchChromium } from '../chromium.js';
import { button, press } from './console.steps.js';
import { look, type Looked } from './looking.js';

let daypass: SharedDaypass;
let browser: Browser;
let looked: Looked;

beforeAll(async () => {
  daypass = await shareDaypass();
  browser = await launchChromium();
  looked = await look(browser);
  const { page } = looked;
  await page.goto(`${daypass.adminUrl}/console/login`);
  await page.getByLabel('Your name').fill('Ada');
  await page.getByLabel('Admin token').fill(daypass.adminToken);
  await press(page, 'Sign in');
  await page.waitForSelector('h1:text("Overview")');
});
afterAll(async () => {
  await looked?.close();
  await browser?.close();
  await daypass?.stop();
});

describe('the console of a running Daypass', () => {
  const name = `Acme ${Date.now()}`;
  const slug = name.toLowerCase().replace(' ', '-');

  it('launches a campaign whose link a visitor can open', async () => {
    const { page } = looked;
    await page.goto(`${daypass.adminUrl}/console/campaigns/new`);
    await page.fill('input[data-autofocus]', name);
    await press(page, 'Next');
    await page.getByLabel('Total budget').fill('20');
    await page.getByLabel('gpt-5.4-mini', { exact: true }).check();
    await press(page, 'Next');
    await press(page, 'Next');
    await press(page, 'Launch');
    await page.waitForSelector(`h1:text("${name} is live")`);
    const url = (await page.locator('.share code').first().textContent())!;
    const claim = await fetch(new URL(new URL(url).pathname, daypass.baseUrl), { headers: { accept: 'text/html' } });
    expect(claim.status).toBe(200);
    expect(await claim.text()).toContain(`Try ${name}`);
    await press(page, 'Test this link');
    await page.waitForSelector('.checks li');
    expect(await page.locator('.checks li[data-ok="true"]').count()).toBeGreaterThan(1);
  });

  // How soon: test/start/stranger.e2e-spec.ts, which goes before all others.
  it('shows what a call cost, without a reload', async () => {
    const { page } = looked;
    const key = await daypass.admin('/admin/v1/keys', { body: { campaign: slug, label: 'live' } });
    expect(key.status).toBe(201);
    await page.goto(`${daypass.adminUrl}/console`);
    await page.waitForSelector('.live[data-state="live"]');
    const spent = (): Promise<string | null> => page.locator('.figures dd').first().textContent();
    const before = await spent();
    const answer = await fetch(`${daypass.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key.body.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'gpt-5.4-mini',
        max_completion_tokens: 2_000,
        // More than a cent: above a dollar, which other tests of this Daypass may have spent, the page shows cents.
        messages: [{ role: 'user', content: 'hello '.repeat(20_000) }],
      }),
    });
    expect(answer.status).toBe(200);
    await answer.text();
    await page.waitForFunction((text) => document.querySelector('.figures dd')?.textContent !== text, before);
  });

  it('hands out codes, voids the unused ones, and shuts and opens the door', async () => {
    const { page } = looked;
    await page.goto(`${daypass.adminUrl}/console/campaigns/${slug}/hand-out`);
    await page.getByLabel('How many').fill('3');
    await press(page, 'Make 3 codes');
    await page.waitForSelector('text=3 codes are ready');
    await page.locator('.rows >> text=free').nth(2).waitFor();
    await press(page, 'Void unused');
    await press(page, 'Void');
    await page.locator('.rows >> text=voided').nth(2).waitFor();
    try {
      await press(page, 'Door open');
      await page.getByLabel('Why').fill('a test of the door');
      await press(page, 'Shut the door');
      await button(page, 'Door shut').waitFor();
      await press(page, 'Door shut');
      await page.getByLabel('Why').fill('the test is over');
      await press(page, 'Open the door');
      await button(page, 'Door open').waitFor();
    } finally {
      const opened = await daypass.admin('/admin/v1/door', {
        method: 'PUT',
        body: { state: 'open', note: 'the test is over' },
      });
      expect(opened.status).toBe(200);
    }
  });

  it('saves a policy and the texts, tops up, and revokes all keys after a count', async () => {
    const { page } = looked;
    page.on('dialog', (dialog) => void dialog.accept());
    await page.goto(`${daypass.adminUrl}/console/campaigns/${slug}/policy`);
    await page.getByLabel('hate', { exact: true }).check();
    await press(page, 'Save the policy');
    await page.waitForSelector('text=The policy holds');
    await page.goto(`${daypass.adminUrl}/console/campaigns/${slug}/settings`);
    await page.getByLabel('Contact').fill('help@example.org');
    await press(page, 'Save the settings');
    await page.waitForSelector('text=The settings are saved.');
    await press(page, 'Top up');
    await page.getByLabel('Dollars to add').fill('5');
    await page.keyboard.press('Enter');
    await page.waitForSelector('text=has a larger budget');
    await press(page, 'More');
    await page.click('text=Revoke all keys');
    await button(page, 'Revoke 1 key').waitFor();
    await page.getByLabel('Why').fill('the test is over');
    await page.getByLabel(`Type ${slug}`).fill(slug);
    await press(page, 'Revoke 1 key');
    await page.waitForSelector('text=The keys are revoked.');
    const { body } = await daypass.admin(`/admin/v1/campaigns/${slug}`);
    expect(body).toMatchObject({
      budget_usd: '25.00',
      moderation: { thresholds: { hate: 0.5 } },
      claim: { contact: 'help@example.org' },
      keys: { revoked: 1, active: 0 },
    });
    expect(looked.faults).toEqual([]);
  });
});
