import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { networkInterfaces } from 'node:os';
import type { Browser, Page } from 'playwright-core';
import type { ClaimRequest, LinkView } from '#libs/contracts/claims.js';
import { launchChromium } from '../chromium.js';
import { claimAnswer, FakeVisitors, later, linkView, refuse, type FakeLink } from './fake.visitors.js';
import { look, scrollsSideways, type Looked } from './looking.js';

let browser: Browser;
let fake: FakeVisitors;
beforeAll(async () => {
  [browser, fake] = await Promise.all([launchChromium(), FakeVisitors.start('0.0.0.0')]);
});
afterAll(async () => {
  await browser?.close();
  fake?.stop();
});

interface Link {
  path: string;
  /** Each claim that reached the link with a right proof or code. */
  claims: { request: ClaimRequest; idempotencyKey: string }[];
}

let count = 0;
function newLink({ view, claim, ...rest }: Omit<FakeLink, 'view'> & { view?: Partial<LinkView> } = {}): Link {
  const token = `k7f3Claim${String(++count).padStart(3, '0')}`;
  const claims: Link['claims'] = [];
  fake.links.set(token, {
    ...rest,
    view: linkView(token, view),
    claim: (request, idempotencyKey) => {
      claims.push({ request, idempotencyKey });
      return claim?.(request, idempotencyKey) ?? claimAnswer();
    },
  });
  return { path: `/c/${token}`, claims };
}

async function open(link: Link, host = '127.0.0.1', fragment = ''): Promise<Looked> {
  const looked = await look(browser);
  await looked.page.goto(fake.url(link.path + fragment, host));
  return looked;
}

const button = (page: Page) => page.getByRole('button', { name: 'Get my key' });
const minted = (page: Page): Promise<void> => page.getByRole('heading', { name: 'Your key' }).waitFor();
const shownKey = (page: Page): Promise<string> => page.locator('code.secret').innerText();
const focused = (page: Page): Promise<string> => page.evaluate(() => document.activeElement?.textContent ?? '');

/** This machine's address in its network: a page of it is no secure context. */
const LAN = Object.values(networkInterfaces())
  .flatMap((some) => some ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

describe('a key from a link', () => {
  it('comes by keyboard alone: to the button, to the key, to a snippet', async () => {
    const link = newLink();
    const { page, context, faults, close } = await open(link);
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await button(page).waitFor();
    await page.keyboard.press('Tab');
    expect(await focused(page)).toBe('Get my key');
    await page.keyboard.press('Enter');
    await minted(page);
    expect(await focused(page)).toContain('Your key');
    const key = await shownKey(page);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(key);
    await page.getByRole('tab', { name: '.env' }).focus();
    await page.keyboard.press('ArrowRight');
    expect(await focused(page)).toBe('curl');
    await page.keyboard.press('Tab');
    expect(await focused(page)).toContain('curl https://try.acme.example/v1/chat/completions');
    expect(link.claims).toHaveLength(1);
    expect(link.claims[0]!.idempotencyKey).toMatch(/^[0-9a-f]{32}$/);
    expect(faults).toEqual([]);
    await close();
  });

  it('comes by LAN address, where the browser has no crypto.subtle and no clipboard', async () => {
    expect(LAN).toBeDefined();
    const link = newLink();
    const { page, faults, close } = await open(link, LAN);
    expect(await page.evaluate(() => [isSecureContext, typeof navigator.clipboard, typeof crypto.subtle])).toEqual([
      false,
      'undefined',
      'undefined',
    ]);
    await button(page).click();
    await minted(page);
    const key = await shownKey(page);
    await page.getByRole('button', { name: 'Copy key' }).click();
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    await page.getByRole('button', { name: 'Forget' }).click();
    await page.getByRole('button', { name: 'Forget it' }).click();
    await button(page).waitFor();
    await page.goto(fake.url('/key', LAN));
    const field = page.getByLabel('Paste your key');
    await field.focus();
    await page.keyboard.press('Control+V');
    expect(await field.inputValue()).toBe(key);
    expect(faults).toEqual([]);
    await close();
  });

  it('comes to another page by LAN address, too, where no worker starts: claim.js solves in slices', async () => {
    const link = newLink();
    const { page, close } = await open(link, LAN);
    const claimed = await page.evaluate(async (token) => {
      const { claimKey } = (await import('/claim.js' as string)) as {
        claimKey: (link: string, options: object) => Promise<{ key: string; baseURL: string }>;
      };
      return { ...(await claimKey(token, { remember: 'device' })), kept: Object.keys(localStorage) };
    }, link.path.slice('/c/'.length));
    expect(claimed).toMatchObject({ key: expect.stringMatching(/^dp_/), baseURL: 'https://try.acme.example/v1' });
    expect(claimed.kept).toEqual([expect.stringMatching(/^daypass http:.*\/c\/k7f3Claim/)]);
    expect(link.claims).toHaveLength(1);
    await close();
  });

  it('goes to the app that sent the visitor, also where a sign-in elsewhere came between', async () => {
    const answer = claimAnswer();
    const handed: string[] = [];
    const app = { name: 'app.example', refusal: null, cancel_url: null };
    const link = newLink({ claim: () => answer, later: () => linkView(link.path.slice('/c/'.length), { app }) });
    fake.keys.set(answer.key, {
      view: () => refuse('internal_error'),
      acts: { 'hand-over': () => (handed.push(answer.key), { url: fake.url('/key#code=of-the-app') }) },
    });
    const { page, faults, close } = await open(link, '127.0.0.1', '?redirect_uri=https%3A%2F%2Fapp.example%2F&state=s');
    await page.goto(fake.url('/key'));
    await page.goto(fake.url(link.path));
    await page.getByText('app.example asks for a key.').waitFor();
    expect(new URL(page.url()).search).toBe('?redirect_uri=https%3A%2F%2Fapp.example%2F&state=s');
    await button(page).click();
    await page.waitForURL('**/key#code=of-the-app');
    expect(handed).toEqual([answer.key]);
    // The app has what it asked for.
    await page.goto(fake.url(link.path));
    await page.getByText('You have a key from this link').waitFor();
    expect(new URL(page.url()).search).toBe('');
    expect(faults).toEqual([]);
    await close();
  });

  it('stays selected where nothing can copy it, and the page says so', async () => {
    const { page, close } = await open(newLink());
    await button(page).click();
    await minted(page);
    await page.evaluate(() => {
      Object.defineProperty(navigator, 'clipboard', { value: undefined });
      document.execCommand = () => false;
    });
    await page.getByRole('button', { name: 'Copy key' }).click();
    await page.getByText('The text is selected: press Ctrl+C').waitFor();
    expect(await page.evaluate(() => getSelection()?.toString())).toBe(await shownKey(page));
    await close();
  });

  it('is claimed once, however often somebody presses, reloads or goes back', async () => {
    const link = newLink();
    const { page, faults, close } = await open(link);
    await button(page).dblclick();
    await minted(page);
    const key = await shownKey(page);
    await page.reload();
    await page.getByText('You have a key from this link').waitFor();
    await page.getByRole('button', { name: 'Show my key' }).click();
    expect(await shownKey(page)).toBe(key);
    await page.getByRole('link', { name: 'balance and calls' }).click();
    await page.waitForURL('**/key');
    await page.goBack();
    await page.getByText('You have a key from this link').waitFor();
    await page.goForward();
    await page.goBack();
    await page.getByText('You have a key from this link').waitFor();
    expect(link.claims).toHaveLength(1);
    expect(faults).toEqual([]);
    await close();
  });

  it('is remembered on the device only where the visitor wants it, and forgotten after a question', async () => {
    const { page, context, close } = await open(newLink());
    await button(page).click();
    await minted(page);
    expect(await page.evaluate(() => localStorage.length)).toBe(0);
    await page.getByLabel('Remember on this device').check();
    const other = await context.newPage();
    await other.goto(page.url());
    await other.getByText('You have a key from this link').waitFor();
    await other.close();
    await page.getByLabel('Remember on this device').uncheck();
    expect(await page.evaluate(() => localStorage.length)).toBe(0);
    await page.getByRole('button', { name: 'Forget' }).click();
    await page.keyboard.press('Escape');
    expect(await focused(page)).toBe('Forget');
    await page.getByRole('button', { name: 'Forget' }).click();
    await page.getByRole('button', { name: 'Forget it' }).click();
    await button(page).waitFor();
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
    await close();
  });
});

describe('a one-time code', () => {
  const view = { gates: ['code' as const], challenge: null };

  it('comes out of the fragment of a printed address, which the address bar does not keep', async () => {
    const link = newLink({ view });
    const { page, faults, close } = await open(link, '127.0.0.1', '#code=7kq2-m9xa-0r4t');
    await page.waitForFunction(() => location.hash === '');
    expect(await page.getByLabel('Your one-time code').inputValue()).toBe('7KQ2-M9XA-0R4T');
    await button(page).click();
    await minted(page);
    expect(link.claims.map(({ request }) => request)).toEqual([{ code: '7KQ2M9XA0R4T' }]);
    expect(faults).toEqual([]);
    await close();
  });

  it('may be typed in any case and form, and corrected in the middle', async () => {
    const link = newLink({ view });
    const { page, close } = await open(link);
    const field = page.getByLabel('Your one-time code');
    expect(await field.getAttribute('autocomplete')).toBe('one-time-code');
    await button(page).click();
    await page.getByText('Enter your code first').waitFor();
    await field.pressSequentially('7kq2m9x');
    expect(await field.inputValue()).toBe('7KQ2-M9X');
    await button(page).click();
    await page.getByText('A code has 12 characters, and this has 7').waitFor();
    await field.fill(' 7kq2 m9xa orat ');
    await field.press('End');
    await field.press('ArrowLeft');
    await field.press('ArrowLeft');
    await field.press('Backspace');
    await field.press('4');
    await button(page).click();
    await minted(page);
    expect(link.claims.map(({ request }) => request)).toEqual([{ code: '7KQ2M9XA04AT' }]);
    await close();
  });

  it('that is wrong brings the focus back, and a right one then works', async () => {
    let tries = 0;
    const link = newLink({
      view,
      claim: () => (++tries === 1 ? refuse('code_invalid', { details: { tries_left: 1 } }) : claimAnswer()),
    });
    const { page, close } = await open(link);
    const field = page.getByLabel('Your one-time code');
    await field.fill('7kq2m9xa0r4t');
    await field.press('Enter');
    await page.getByText('You have one try left').waitFor();
    expect(await field.evaluate((element) => element === document.activeElement)).toBe(true);
    await field.fill('7kq2m9xa0r4v');
    await field.press('Enter');
    await minted(page);
    expect(new Set(link.claims.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(2);
    await close();
  });
});

describe('a claim that meets trouble', () => {
  it('asks again by itself for the same key, and says so', async () => {
    let tries = 0;
    const link = newLink({ claim: () => (++tries < 3 ? refuse(tries === 1 ? 502 : 'recovering') : claimAnswer()) });
    const { page, faults, close } = await open(link);
    await button(page).click();
    await page.getByText('asks again in 1 s (1 of 3)').waitFor();
    await minted(page);
    expect(link.claims).toHaveLength(3);
    expect(new Set(link.claims.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1);
    expect(faults).toEqual([]);
    await close();
  });

  it('names the same claim after four failures, and after a reload', async () => {
    let isUp = false;
    const link = newLink({ claim: () => (isUp ? claimAnswer() : refuse('overloaded')) });
    const { page, close } = await open(link);
    await button(page).click();
    await page.getByText('This page tried four times').waitFor();
    await page.reload();
    isUp = true;
    await button(page).click();
    await minted(page);
    expect(link.claims).toHaveLength(5);
    expect(new Set(link.claims.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(1);
    await page.getByRole('button', { name: 'Forget' }).click();
    await page.getByRole('button', { name: 'Forget it' }).click();
    await button(page).click();
    await minted(page);
    expect(new Set(link.claims.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(2);
    await close();
  });

  it('solves a new proof where the first is too old, with one press', async () => {
    const link = newLink({ refusesFirstProof: true });
    const { page, close } = await open(link);
    await button(page).click();
    await minted(page);
    expect(link.claims).toHaveLength(1);
    await close();
  });

  it('shows how far a long proof is', async () => {
    const link = newLink({ cost: 150_000 });
    const { page, faults, close } = await open(link);
    await button(page).click();
    const bar = page.getByRole('progressbar', { name: 'Puzzle' });
    await bar.waitFor();
    await page.waitForFunction(() => document.querySelector('progress')!.value > 0);
    await page.getByText('small puzzle').waitFor();
    expect(faults).toEqual([]);
    await close();
  });

  it('opens by itself when its time has come', async () => {
    const view = linkView('later', { state: 'not_started', starts_at: later(600_000), challenge: null });
    let looks = 0;
    fake.links.set('later', {
      view,
      // This device's clock is a little ahead of the server's.
      later: () => (++looks === 1 ? view : { ...view, state: 'open', challenge: {} }),
      claim: () => claimAnswer(),
    });
    const { page, faults, close } = await look(browser);
    await page.clock.install();
    await page.goto(fake.url('/c/later'));
    await page.getByRole('timer').waitFor();
    await page
      .getByText(/It begins on .* UTC|[A-Z]{3,4}/)
      .first()
      .waitFor();
    expect(looks).toBe(0);
    await page.clock.fastForward(600_000);
    await button(page).waitFor();
    expect(looks).toBe(2);
    await button(page).click();
    await minted(page);
    expect(faults).toEqual([]);
    await close();
  });

  it('asks nothing while it is open', async () => {
    const link = newLink();
    const { page, close } = await open(link);
    await button(page).waitFor();
    await page.clock.install();
    await page.clock.fastForward(600_000);
    expect(fake.asked.filter((one) => one.includes(link.path.slice(3)))).toEqual([]);
    await close();
  });
});

describe('the page itself', () => {
  it('shows what an operator wrote as text, whatever it is', async () => {
    const evil = '<img src=x onerror=alert(1)><script>alert(2)</script></script>';
    const link = newLink({
      view: {
        page: {
          title: evil,
          text: `${evil}\n</script><!--`,
          logo: 'https://elsewhere.example/pixel.png',
          // Which is the point of it. oxlint-disable-next-line no-script-url
          project_url: 'javascript:alert(3)',
          open_url: null,
          contact: 'javascript:alert(4)',
          privacy_url: 'javascript:alert(5)',
          snippet: { label: evil, text: `${evil} {key}` },
        },
      },
    });
    const { page, faults, close } = await open(link);
    await page.getByRole('heading', { name: '<img src=x' }).waitFor();
    await button(page).click();
    await minted(page);
    await page.getByRole('tab', { name: '<img' }).click();
    expect(await page.locator('pre').innerText()).toContain(`${evil} dp_`);
    const found = await page.evaluate(() => [
      document.querySelectorAll('img').length,
      document.querySelectorAll('a[href^="javascript"]').length,
    ]);
    expect(found).toEqual([0, 0]);
    expect(faults).toEqual([]);
    await close();
  });

  it('fits 320 px, twice the text, and fingers', async () => {
    const { page, close } = await open(newLink());
    await button(page).waitFor();
    await page.setViewportSize({ width: 320, height: 700 });
    expect(await scrollsSideways(page)).toBe(false);
    await button(page).click();
    await minted(page);
    expect(await scrollsSideways(page)).toBe(false);
    const small = await page.evaluate(() =>
      [...document.querySelectorAll('button, label.check, footer a')]
        .map((element) => [element.textContent, Math.round(element.getBoundingClientRect().height)] as const)
        .filter(([, height]) => height < 44),
    );
    expect(small).toEqual([]);
    await page.setViewportSize({ width: 640, height: 700 });
    await page.evaluate(() => (document.documentElement.style.fontSize = '200%'));
    expect(await scrollsSideways(page)).toBe(false);
    await close();
  });

  it('says so where a part of it does not arrive', async () => {
    const { page, close } = await look(browser);
    await page.route('**/assets/claim-*.js', (route) => route.abort());
    await page.goto(fake.url(newLink().path));
    await page.getByText('A part of this page did not arrive').waitFor();
    await close();
  });

  it('keeps the colours that somebody chose on this device', async () => {
    const { page, close } = await open(newLink());
    const theme = (): Promise<string | undefined> => page.evaluate(() => document.documentElement.dataset.theme);
    expect(await theme()).toBe('light');
    await page.getByRole('button', { name: 'Dark colours' }).click();
    expect(await theme()).toBe('dark');
    await page.reload();
    await page.getByRole('button', { name: 'Light colours' }).waitFor();
    expect(await theme()).toBe('dark');
    await close();
  });
});
