import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { shareDaypass, type SharedDaypass } from '#libs/testing/daypass.js';
import { launchChromium } from './chromium.js';

describe('the admin API’s documentation in a browser', () => {
  let daypass: SharedDaypass;
  let browser: Browser;

  beforeAll(async () => {
    daypass = await shareDaypass();
    browser = await launchChromium();
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await daypass?.stop();
  });

  it('shows every operation, loads nothing from elsewhere, and can try one out', async () => {
    const page = await browser.newPage({ viewport: { width: 1280, height: 1600 } });
    page.setDefaultTimeout(10_000);
    const strangers: string[] = [];
    const faults: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(daypass.adminUrl) && !request.url().startsWith('data:'))
        strangers.push(request.url());
    });
    page.on('pageerror', (error) => faults.push(error.message));
    await page.goto(`${daypass.adminUrl}/admin/docs`);
    await page.waitForSelector('.opblock');
    const shown = await page.$$eval('.opblock-summary-path', (paths) =>
      paths.map((path) => path.getAttribute('data-path')),
    );
    expect(shown).toEqual(
      expect.arrayContaining([
        '/admin/v1/campaigns',
        '/admin/v1/campaigns/{slug}',
        '/admin/v1/campaigns/{slug}/fund',
        '/admin/v1/keys',
        '/admin/v1/keys/batch',
        '/admin/v1/keys/{id}',
        '/admin/v1/keys/{id}/suspend',
        '/admin/v1/keys/{id}/reinstate',
        '/admin/v1/keys/{id}/revoke',
        '/admin/v1/keys/{id}/rotate',
        '/admin/v1/keys/{id}/transfers',
        '/admin/v1/ledger/verify',
      ]),
    );
    await page.click('button.authorize');
    await page.fill('.auth-container input', daypass.adminToken);
    await page.click('.auth-btn-wrapper button.authorize');
    await page.click('.auth-btn-wrapper button.btn-done');
    const verify = page.locator('.opblock', { has: page.locator('[data-path="/admin/v1/ledger/verify"]') });
    await verify.locator('.opblock-summary').click();
    await verify.locator('button.execute').click();
    await expect(
      verify.locator('.live-responses-table tbody .response-col_status').first().textContent(),
    ).resolves.toContain('200');
    if (process.env.SCREENSHOTS)
      await page.screenshot({ path: `${process.env.SCREENSHOTS}/admin-docs.png`, fullPage: true });
    expect({ strangers, faults }).toEqual({ strangers: [], faults: [] });
  });
});
