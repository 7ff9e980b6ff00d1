import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import type { PrivacyView } from '#libs/contracts/claims.js';
import { shareDaypass, type SharedDaypass } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { launchChromium } from '../chromium.js';
import { look, lookAround, type Looked } from './looking.js';

let daypass: SharedDaypass;
let browser: Browser;
let looked: Looked;
let origin: string;

beforeAll(async () => {
  daypass = await shareDaypass();
  origin = new URL(daypass.baseUrl).origin;
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await daypass?.stop();
});
beforeEach(async () => {
  looked = await look(browser);
});
afterEach(() => looked.close());

const path = (): string => looked.page.url().slice(origin.length);

describe('the first page', () => {
  beforeEach(async () => {
    await looked.page.goto(`${origin}/`);
    await looked.page.waitForSelector('h1');
  });

  it('can be read by everybody, by day and by night, on a desk and on a telephone', async () => {
    expect(await lookAround(looked, 'home')).toEqual([]);
    expect(looked.faults).toEqual([]);
  });

  it.each([
    ['k7f3Qx09abCD', '/c/k7f3Qx09abCD'],
    [' my-link ', '/c/my-link'],
    ['{origin}/c/k7f3Qx09abCD', '/c/k7f3Qx09abCD'],
    ['{host}/c/k7f3Qx09abCD/', '/c/k7f3Qx09abCD'],
  ])('leads from the link %s to its page, by keyboard alone', async (typed, expected) => {
    const { page } = looked;
    await page.keyboard.press('Tab');
    await page.keyboard.type(typed.replace('{origin}', origin).replace('{host}', new URL(origin).host));
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.pathname !== '/');
    expect(path().replace(/#.*/, '')).toBe(expected);
  });

  it.each([
    ['', 'Paste your link first.'],
    ['dp_abc', 'This is a key, not a link'],
    ['javascript:alert(1)', 'This is no claim link.'],
    ['https://elsewhere.example/c/k7f3Qx09abCD', 'This link belongs to elsewhere.example'],
    ['no link at all', 'This is no claim link.'],
  ])('says what is wrong with the link "%s", and stays', async (typed, mistake) => {
    const { page } = looked;
    const field = page.getByLabel('Your link');
    await field.fill(typed);
    await field.press('Enter');
    await page.getByRole('alert').filter({ hasText: mistake }).waitFor();
    expect(await field.getAttribute('aria-invalid')).toBe('true');
    expect(await field.evaluate((element) => element === document.activeElement)).toBe(true);
    expect([path(), looked.faults]).toEqual(['/', []]);
  });

  it('brings a key to its page without an address that has it, and asks nobody about a mistyped one', async () => {
    const { page } = looked;
    const { key } = await daypass.createKey();
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    const field = page.getByLabel('Your key');
    await field.fill(`${key.slice(0, -1)}${key.endsWith('0') ? '1' : '0'}`);
    await field.press('Enter');
    await page.getByRole('alert').filter({ hasText: 'mistyped' }).waitFor();
    expect(asked).toEqual([]);
    await field.fill(` ${key} `);
    await page.getByRole('button', { name: 'Show what is left' }).click();
    await page.waitForURL(`${origin}/key`);
    expect(asked.join(' ')).not.toContain(key);
    expect(await page.evaluate(() => sessionStorage.getItem('daypass-keys'))).toContain(key);
    expect(await page.evaluate(() => localStorage.getItem('daypass-keys'))).toBeNull();
  });
});

describe('the page of what is recorded', () => {
  /** As ingress would serve it with this state. */
  async function open(state: PrivacyView): Promise<string> {
    const { page } = looked;
    await page.route('**/privacy*', async (route) => {
      const response = await route.fetch();
      const body = (await response.text()).replace(
        /(id="state">).*?(<\/script>)/s,
        (_, before: string, after: string) => before + JSON.stringify(state).replaceAll('<', '\\u003c') + after,
      );
      await route.fulfill({ response, body });
    });
    await page.goto(`${origin}/privacy`);
    await page.waitForSelector('h1');
    return page.innerText('main');
  }
  const link: NonNullable<PrivacyView['link']> = {
    token: 'k7f3Qx09abCD',
    campaign: 'acme',
    title: 'Acme <b>Agents</b>',
    recorded: { input: 'gate', output: 'window', retention_days: 30 },
    contact: 'help@acme.example',
    privacy_url: 'https://acme.example/privacy',
  };

  it('shows what holds for all, as ingress serves it', async () => {
    await looked.page.goto(`${origin}/privacy`);
    await looked.page.waitForSelector('h1');
    expect(await looked.page.innerText('main')).toContain('Kept for 90 days, unless the operator sets another time');
    expect(await lookAround(looked, 'privacy')).toEqual([]);
    expect(looked.faults).toEqual([]);
  });

  it('shows the policy of a campaign', async () => {
    const text = await open({ link, error: null });
    for (const words of ['What is recorded: Acme <b>Agents</b>', 'checked before a model sees them', 'for 30 days'])
      expect(text).toContain(words);
    expect(await looked.page.getByText('privacy statement').getAttribute('href')).toBe(link.privacy_url);
    expect(await looked.page.getByText(link.contact!).getAttribute('href')).toBe('mailto:help@acme.example');
    expect(await lookAround(looked, 'privacy-link')).toEqual([]);
    expect(looked.faults).toEqual([]);
  });

  it('makes no link of what is none, and says where no time is set', async () => {
    const recorded = { input: 'off', output: 'off', retention_days: null };
    const text = await open({
      link: { ...link, recorded, contact: 'javascript:alert(1)', privacy_url: 'javascript:alert(2)' },
      error: null,
    });
    expect(text).toContain('not checked');
    expect(text).toContain('until somebody deletes them');
    expect(await looked.page.locator('a[href^="javascript"]').count()).toBe(0);
  });

  it.each([
    ['link_unknown', 'There is no such link.'],
    ['recovering', 'Nobody can read this link now.'],
  ] as const)('says where a link is %s', async (error, words) => {
    expect(await open({ link: null, error })).toContain(words);
  });
});

describe('a claim link', () => {
  it('has a page, a badge, a QR code, lines for curl and a policy, each as the operator left it', async () => {
    const { campaign } = await daypass.createKey({ campaign: { retention_days: 7 } });
    const created = await daypass.admin(`/admin/v1/campaigns/${campaign}/links`, {
      body: { name: 'served', max_claims: 5, key: { budget_usd: '0.50', ttl_seconds: 86_400 } },
    });
    expect(created.status).toBe(201);
    const { id, token } = created.body as { id: string; token: string };
    const ask = async (path: string, accept: string): Promise<string> =>
      (await fetch(`${origin}${path}`, { headers: { accept } })).text();
    await until('ingress knows the link', async () => (await ask(`/c/${token}`, '*/*')).includes('State: open'));
    expect(await ask(`/c/${token}`, '*/*')).toContain(`Left: 5 of 5\nOpen in a browser: ${origin}/c/${token}\n`);
    expect(await ask(`/c/${token}/badge.svg`, 'image/*')).toContain('>5 left</text>');
    expect(await ask(`/c/${token}/qr.svg`, 'image/*')).toMatch(/^<svg /);
    const { page } = looked;
    await page.goto(`${origin}/c/${token}`);
    await page.getByRole('button', { name: 'Get my key' }).waitFor();
    await page.goto(`${origin}/privacy?link=${token}`);
    await page.waitForSelector('h1');
    expect(await page.innerText('main')).toContain('Kept for 7 days.');
    await daypass.admin(`/admin/v1/links/${id}`, { method: 'PATCH', body: { status: 'paused' } });
    await until('the badge says so', async () =>
      (await ask(`/c/${token}/badge.svg`, 'image/*')).includes('>paused</text>'),
    );
    await page.goto(`${origin}/c/${token}`);
    await page.getByText('paused').first().waitFor();
    expect(looked.faults).toEqual([]);
  });
});
