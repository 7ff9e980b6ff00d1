import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import type { Browser, Page } from 'playwright-core';
import { heldKeySchema } from '#libs/contracts/held-key.js';
import { shareDaypass, type SharedDaypass } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { launchChromium } from '../chromium.js';
import { look, lookAround } from './looking.js';

const run = promisify(execFile);

let daypass: SharedDaypass;
let browser: Browser;
beforeAll(async () => {
  [daypass, browser] = await Promise.all([shareDaypass(), launchChromium()]);
});
afterAll(async () => {
  await browser?.close();
  await daypass?.stop();
});

const origin = (): string => new URL(daypass.baseUrl).origin;
const path = (url: string): string => new URL(url).pathname + new URL(url).hash;

async function admin(to: string, body?: unknown, method?: string) {
  const answer = await daypass.admin(`/admin/v1${to}`, {
    ...(body === undefined ? {} : { body }),
    ...(method === undefined ? {} : { method }),
  });
  if (answer.status >= 300) throw new Error(`${to}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** A campaign and a link of it, as an operator makes them. */
async function launch(link: object = {}) {
  const slug = `pages-${randomBytes(4).toString('hex')}`;
  await admin('/campaigns', {
    slug,
    name: slug,
    budget_usd: '5.00',
    models: ['gpt-5.4-mini', 'gpt-5.4-nano'],
    claim: {
      title: 'Try Acme Agents',
      text: 'Paste a key, and get your first agent.',
      project_url: 'https://acme.example/agents',
      contact: 'hello@acme.example',
    },
  });
  const made = await admin(`/campaigns/${slug}/links`, {
    name: 'readme',
    gates: ['pow'],
    key: { budget_usd: '0.50', ttl_seconds: 86_400 },
    max_claims: 5,
    per_ip_per_day: 0,
    ...link,
  });
  return { slug, link: (made.data ?? made) as { id: string; token: string; url: string } };
}

const press = (page: Page): Promise<void> => page.getByRole('button', { name: 'Get my key' }).click();
const minted = async (page: Page): Promise<string> => {
  await page.getByRole('heading', { name: 'Your key' }).waitFor();
  return page.locator('code.secret').innerText();
};

describe('the visitors’ pages on a running Daypass', () => {
  it('give a key, show what a call with it cost, replace it, and delete what was said', async () => {
    const { link } = await launch();
    const looked = await look(browser);
    const { page, faults } = looked;
    await page.goto(`${origin()}/c/${link.token}`);
    await page.getByText('5 of 5').waitFor();
    expect(await lookAround(looked, 'real-open')).toEqual([]);
    await page.setViewportSize({ width: 1_280, height: 900 });
    const startMs = performance.now();
    await press(page);
    const key = await minted(page);
    expect(performance.now() - startMs).toBeLessThan(10_000);
    expect(await lookAround(looked, 'real-minted')).toEqual([]);

    // The line as the page gives it, in a shell.
    await page.getByRole('tab', { name: 'curl' }).click();
    const curl = await page.getByRole('region', { name: 'curl snippet' }).innerText();
    const { stdout } = await run('sh', ['-c', curl.replace('curl ', 'curl -s ')]);
    expect(JSON.parse(stdout)).toMatchObject({ object: 'chat.completion' });

    await page.getByRole('link', { name: 'balance and calls' }).click();
    await page.getByRole('heading', { name: key.slice(0, 9) }).waitFor();
    await page.getByRole('cell', { name: 'gpt-5.4-mini' }).waitFor();
    await page.getByText('done').waitFor();
    expect(await lookAround(looked, 'real-key')).toEqual([]);
    const { data } = (await (
      await fetch(`${daypass.baseUrl}/key`, { headers: { authorization: `Bearer ${key}` } })
    ).json()) as { data: unknown };
    const held = heldKeySchema.parse(data);
    expect(held).toMatchObject({ status: 'active', title: 'Try Acme Agents', contact: 'hello@acme.example' });
    expect(held.spent_usd).not.toBe('0');

    // A refused call is told.
    await run('sh', ['-c', curl.replace('curl ', 'curl -s ').replace('Say hello', 'DAYPASS-REHEARSAL-FLAG')]);
    await page.getByText('A guard refused your input').waitFor();

    await page.getByRole('button', { name: 'Replace key' }).click();
    await page.getByRole('button', { name: 'Replace it' }).click();
    await page.getByText('This is your new key').waitFor();
    const next = await page.getByRole('dialog').locator('code').innerText();
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByRole('heading', { name: next.slice(0, 9) }).waitFor();
    await page.getByText('active').first().waitFor();
    await until('the former key to open nothing', async () => {
      const { status } = await fetch(`${daypass.baseUrl}/models`, { headers: { authorization: `Bearer ${key}` } });
      return status === 401;
    });

    await page.getByRole('button', { name: 'Delete my prompts and answers' }).click();
    await page.getByRole('button', { name: 'Delete them' }).click();
    await page.getByRole('dialog', { name: 'Done' }).waitFor();
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByText('Your key has ended.').waitFor();
    expect(faults).toEqual([]);
    await looked.close();
  });

  it('take a printed code once, and say what is wrong with it the second time', async () => {
    const { link } = await launch({ gates: ['code'] });
    const { data } = await admin(`/links/${link.id}/codes`, { count: 1 });
    const [{ url, code }] = data as [{ url: string; code: string }];
    const looked = await look(browser, { viewport: { width: 390, height: 800 } });
    const { page, faults } = looked;
    await page.goto(`${origin()}${path(url)}`);
    await page.waitForFunction(() => location.hash === '');
    await press(page);
    await minted(page);
    await page.getByRole('button', { name: 'Forget' }).click();
    await page.getByRole('button', { name: 'Forget it' }).click();
    await page.getByLabel('Your one-time code').fill(code.toLowerCase());
    await press(page);
    await page.getByText('The code is wrong, used or expired.').waitFor();
    await page.getByText(/You have \d tries left/).waitFor();
    expect(faults).toEqual([]);
    await looked.close();
  });

  it('say so when the last key is taken, the link is paused, and the campaign is closed', async () => {
    const { slug, link } = await launch({ max_claims: 1 });
    const looked = await look(browser);
    const { page, faults } = looked;
    await page.goto(`${origin()}/c/${link.token}`);
    await press(page);
    const key = await minted(page);
    const other = await look(browser);
    await other.page.goto(`${origin()}/c/${link.token}`);
    await other.page.getByText('The one key of this link is taken').waitFor();
    await admin(`/links/${link.id}`, { max_claims: 2, status: 'paused' }, 'PATCH');
    await until('the pause to be known', async () => {
      await other.page.reload();
      return (await other.page.getByText('This link is paused').count()) === 1;
    });
    await page.getByRole('link', { name: 'balance and calls' }).click();
    await page.getByText('active').first().waitFor();
    await admin(`/campaigns/${slug}`, { status: 'closed' }, 'PATCH');
    await page.getByText('The project has ended its free keys').waitFor();
    expect(key).toMatch(/^dp_/);
    expect([...faults, ...other.faults]).toEqual([]);
    await looked.close();
    await other.close();
  });

  it('talk to a model in the playground, say what it cost, and explain what is refused', async () => {
    const { key } = await daypass.createKey();
    const looked = await look(browser);
    const { page, faults } = looked;
    await page.goto(`${origin()}/key`);
    await page.getByLabel('Paste your key').fill(key);
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: 'Playground' }).click();
    await page.getByLabel('Your message').fill('Say hello');
    await page.keyboard.press('Enter');
    await page.getByText('answer: passed').waitFor();
    const cost = page.locator('.of-call div', { hasText: 'Cost' });
    expect(await cost.innerText()).toMatch(/\$0\.\d+/);
    await page.getByLabel('Your message').fill('DAYPASS-REHEARSAL-FLAG');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByRole('link', { name: 'moderation_blocked' }).click();
    await page.locator('#moderation_blocked.chosen').waitFor();
    expect(faults).toEqual([]);
    await looked.close();
  });

  it('know no link that nobody made', async () => {
    const looked = await look(browser);
    await looked.page.goto(`${origin()}/c/k7f3Nowhere99`);
    await looked.page.getByText('There is no such link').waitFor();
    expect(looked.faults).toEqual([]);
    await looked.close();
  });
});
