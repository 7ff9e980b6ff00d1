import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import type { HeldKey } from '#libs/contracts/held-key.js';
import { createVirtualKey } from '#libs/secrets/virtual-key.js';
import { launchChromium } from '../chromium.js';
import { FakeVisitors, heldCalls, heldKey, later, refuse, type FakeKey } from './fake.visitors.js';
import { look, scrollsSideways, type Looked } from './looking.js';

let browser: Browser;
let fake: FakeVisitors;
beforeAll(async () => {
  [browser, fake] = await Promise.all([launchChromium(), FakeVisitors.start()]);
});
afterAll(async () => {
  await browser?.close();
  fake?.stop();
});

/** `hasClock`: the test says how late it is in the page. */
async function open(key: FakeKey, { hasClock = false } = {}): Promise<Looked & { secret: string }> {
  const secret = createVirtualKey();
  fake.keys.set(secret, key);
  const looked = await look(browser);
  if (hasClock) await looked.page.clock.install();
  await looked.page.goto(fake.url('/key'));
  await looked.page.getByLabel('Paste your key').fill(secret);
  await looked.page.keyboard.press('Enter');
  return { ...looked, secret };
}

const focused = (page: Page): Promise<string> => page.evaluate(() => document.activeElement?.textContent ?? '');
const asks = (path: string): number => fake.asked.filter((one) => one === path).length;

describe('the key page', () => {
  it('looks again by itself, shows what changed, and says what a refusal means', async () => {
    let view: HeldKey = heldKey({ spent_usd: '0', held_usd: '0', available_usd: '0.5' });
    const { page, faults, close } = await open({
      view: () => view,
      calls: () => ({ data: view.spent_usd === '0' ? [] : heldCalls(1), next_cursor: null }),
    });
    await page.getByText('No calls yet').waitFor();
    const [last] = heldCalls(1);
    view = heldKey({
      recent_refusals: [
        { at: last!.at, code: 'insufficient_quota', details: { level: 'campaign' }, request_id: 'req_01jx' },
      ],
    });
    await page.getByText('$0.02 held by running calls').waitFor();
    await page.getByRole('cell', { name: 'gpt-5.4-mini' }).waitFor();
    await page.getByText('What now?').click();
    await page.getByText('Your key has money, and the project had none free').waitFor();
    await page.getByText('req_01jx').waitFor();
    expect(await page.getByRole('img', { name: '62 % of the budget is left' }).count()).toBe(1);
    expect(faults).toEqual([]);
    await close();
  });

  it('asks nothing while nobody sees it', async () => {
    const { page, close } = await open({ view: () => heldKey() });
    await page.getByText('$0.31').waitFor();
    await page.clock.install();
    await page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { get: () => (globalThis as { isHidden?: boolean }).isHidden ?? true });
      document.dispatchEvent(new Event('visibilitychange'));
    });
    const before = asks('GET /v1/key');
    await page.clock.runFor(60_000);
    expect(asks('GET /v1/key')).toBeLessThanOrEqual(before + 1);
    const hidden = asks('GET /v1/key');
    await page.evaluate(() => {
      (globalThis as { isHidden?: boolean }).isHidden = false;
      document.dispatchEvent(new Event('visibilitychange'));
    });
    await page.waitForTimeout(300);
    expect(asks('GET /v1/key')).toBeGreaterThan(hidden);
    await close();
  });

  it('counts down a rest, and goes on by itself after it', async () => {
    const until = later(600_000);
    let rests = true;
    const { page, faults, close } = await open(
      { view: () => (rests ? heldKey({ status: 'suspended', suspended_until: until }) : heldKey()) },
      { hasClock: true },
    );
    const timer = page.getByRole('timer');
    await timer.waitFor();
    const before = await timer.innerText();
    await page.clock.fastForward(60_000);
    await page.waitForFunction((text) => document.querySelector('[role="timer"]')!.textContent !== text, before);
    rests = false;
    await page.clock.fastForward(600_000);
    await page.getByText('Your key rests').waitFor({ state: 'detached' });
    await page.getByText('active').first().waitFor();
    expect(faults).toEqual([]);
    await close();
  });

  it('has older calls, and all of them in one CSV that no spreadsheet runs', async () => {
    const calls = heldCalls(12);
    calls[3] = { ...calls[3]!, model: '=HYPERLINK("http://evil")' };
    const { page, faults, secret, close } = await open({
      view: () => heldKey(),
      calls: (cursor) => {
        const from = Number(cursor ?? 0);
        return { data: calls.slice(from, from + 5), next_cursor: from + 5 < 12 ? String(from + 5) : null };
      },
    });
    const rows = page.locator('tbody tr');
    await page.getByRole('button', { name: 'Older calls' }).click();
    await rows.nth(9).waitFor();
    expect(await rows.count()).toBe(10);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'CSV' }).click(),
    ]);
    expect(download.suggestedFilename()).toBe(`daypass-calls-${secret.slice(0, 9)}.csv`);
    const text = await readFile(await download.path(), 'utf8');
    expect(text.trim().split('\r\n')).toHaveLength(13);
    expect(text).toContain(`"'=HYPERLINK(""http://evil"")"`);
    await rows.nth(11).waitFor();
    expect(await page.getByRole('button', { name: 'Older calls' }).count()).toBe(0);
    expect(faults).toEqual([]);
    await close();
  });

  it('replaces a key: the new one is shown, kept and used', async () => {
    const next = createVirtualKey();
    const { page, faults, secret, close } = await open({
      view: () => heldKey(),
      acts: {
        rotate: () => {
          fake.keys.set(next, { view: () => heldKey({ available_usd: '0.3' }) });
          fake.keys.delete(secret);
          return { id: 'key_01jfake', key: next, prefix: next.slice(0, 9) };
        },
      },
    });
    await page.getByLabel('Remember on this device').check();
    await page.getByRole('button', { name: 'Replace key' }).click();
    await page.getByRole('dialog').waitFor();
    expect(await focused(page)).toBe('Cancel');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByText('This is your new key').waitFor();
    expect(await page.getByRole('dialog').locator('code').innerText()).toBe(next);
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByRole('heading', { name: next.slice(0, 9) }).waitFor();
    await page.getByText('$0.30').waitFor();
    const kept = await page.evaluate(() => `${localStorage.getItem('daypass-keys')}${JSON.stringify(sessionStorage)}`);
    expect(kept).toContain(next);
    expect(kept).not.toContain(secret);
    expect(await page.getByLabel('Remember on this device').isChecked()).toBe(true);
    expect(faults).toEqual([]);
    await close();
  });

  it('shows a new key also where nobody knows whether it is in force, and asks once', async () => {
    const next = createVirtualKey();
    const { page, secret, close } = await open({
      view: () => heldKey(),
      acts: { rotate: () => refuse('recovering', { message: 'Nobody knows yet.', details: { key: next } }) },
    });
    const before = asks('POST /v1/key/rotate');
    await page.getByRole('button', { name: 'Replace key' }).click();
    await page.getByRole('button', { name: 'Replace it' }).click();
    await page.getByText('Nobody knows yet.').waitFor();
    expect(await page.getByRole('dialog').locator('code').innerText()).toBe(next);
    expect(asks('POST /v1/key/rotate')).toBe(before + 1);
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByRole('heading', { name: secret.slice(0, 9) }).waitFor();
    await close();
  });

  it('ends a key only after a question, and gives the focus back', async () => {
    let isEnded = false;
    const { page, faults, close } = await open({
      view: () => (isEnded ? heldKey({ status: 'revoked', ended_at: later(0) }) : heldKey()),
      acts: {
        revoke: () => {
          isEnded = true;
          return {};
        },
      },
    });
    const end = page.getByRole('button', { name: 'End this key' });
    await end.focus();
    await page.keyboard.press('Enter');
    await page.getByText('nobody can start it again').waitFor();
    // The focus stays inside the dialog, and the stray Enter of a hurried visitor ends nothing.
    expect(await focused(page)).toBe('Cancel');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(await focused(page)).toBe('End this key');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(isEnded).toBe(false);
    expect(await focused(page)).toBe('End this key');
    await end.click();
    await page.getByRole('button', { name: 'End it' }).click();
    await page.getByText('Your key has ended.').first().waitFor();
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByText('You or the operator ended it').waitFor();
    expect(await page.getByRole('button', { name: 'End this key' }).count()).toBe(0);
    expect(await page.getByText('OPENAI_API_KEY').count()).toBe(0);
    expect(faults).toEqual([]);
    await close();
  });

  it.each([
    [{ erased_at: later(0), due_at: null }, /Your prompts and answers are deleted/],
    [{ erased_at: null, due_at: later(2_592_000_000) }, /wait for a review: they are deleted after it/],
  ])('deletes what was said, and says when', async (answer, words) => {
    const { page, faults, close } = await open({ view: () => heldKey(), acts: { erase: () => answer } });
    await page.getByRole('button', { name: 'Delete my prompts and answers' }).click();
    await page.getByText('unreadable for ever, also for the operator').waitFor();
    await page.getByRole('button', { name: 'Delete them' }).click();
    await page.getByText(words).waitFor();
    expect(faults).toEqual([]);
    await close();
  });

  it('says what failed in its dialog, and can be tried again', async () => {
    let tries = 0;
    const { page, close } = await open({
      view: () => heldKey(),
      acts: { revoke: () => (++tries === 1 ? refuse('internal_error', { message: 'It broke.' }) : {}) },
    });
    await page.getByRole('button', { name: 'End this key' }).click();
    await page.getByRole('button', { name: 'End it' }).click();
    await page.getByText('It broke. (request req_01jfake)').waitFor();
    await page.getByRole('button', { name: 'End it' }).click();
    await page.getByText('Your key has ended.').waitFor();
    await close();
  });

  it('knows a key for the life of its tab, and on the device where the visitor wants it', async () => {
    const { page, context, secret, close } = await open({ view: () => heldKey() });
    await page.reload();
    await page.getByText('$0.31').waitFor();
    const other = await context.newPage();
    await other.goto(fake.url('/key'));
    await other.getByLabel('Paste your key').waitFor();
    await page.getByLabel('Remember on this device').check();
    await other.reload();
    await other.getByRole('heading', { name: secret.slice(0, 9) }).waitFor();
    await other.getByRole('button', { name: 'Another key' }).click();
    await other.getByRole('button', { name: new RegExp(secret.slice(0, 9)) }).click();
    await other.getByText('$0.31').waitFor();
    await page.getByRole('button', { name: 'Forget it' }).click();
    await page.getByLabel('Paste your key').waitFor();
    expect(await page.evaluate(() => localStorage.length + sessionStorage.length)).toBe(0);
    await close();
  });

  it('fits 320 px, twice the text, and fingers', async () => {
    const { page, close } = await open({
      view: () => heldKey({ recent_refusals: [{ at: later(-60_000), code: 'queue_full' }] }),
      calls: () => ({ data: heldCalls(3), next_cursor: '3' }),
    });
    await page.getByRole('button', { name: 'Older calls' }).waitFor();
    await page.setViewportSize({ width: 320, height: 700 });
    expect(await scrollsSideways(page)).toBe(false);
    const small = await page.evaluate(() =>
      [...document.querySelectorAll('button, label.check, footer a, summary, a.button')]
        .map((element) => [element.textContent, Math.round(element.getBoundingClientRect().height)] as const)
        .filter(([, height]) => height < 44),
    );
    expect(small).toEqual([]);
    await page.setViewportSize({ width: 1_280, height: 700 });
    await page.evaluate(() => (document.documentElement.style.fontSize = '200%'));
    expect(await scrollsSideways(page)).toBe(false);
    await close();
  });
});
