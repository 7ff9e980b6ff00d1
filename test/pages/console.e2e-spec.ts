import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import decodeQR from 'qr/decode.js';
import { until } from '#libs/testing/until.js';
import { launchChromium } from '../chromium.js';
import { FakeAdmin, NO_GATES } from './console.fake.js';
import { button, makeCodes, openRevoke, press, toStep } from './console.steps.js';
import { look, type Looked } from './looking.js';

let fake: FakeAdmin;
let origin: string;
let browser: Browser;

beforeAll(async () => {
  fake = new FakeAdmin();
  origin = await fake.start();
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await fake?.stop();
});
beforeEach(() => fake.reset());

/** Opens a page of the console, and checks at the end that nothing forbidden happened in it. */
async function on<T>(path: string, act: (page: Page, looked: Looked) => Promise<T>): Promise<T> {
  const looked = await look(browser);
  try {
    await looked.page.goto(origin + path);
    const result = await act(looked.page, looked);
    expect(looked.faults).toEqual([]);
    return result;
  } finally {
    await looked.close();
  }
}

const bodiesOf = (method: string, path: string): Record<string, unknown>[] =>
  fake.asked.filter((one) => one.method === method && one.path === path).map(({ body }) => body);

describe('signing in', () => {
  it('says what is wrong with a token, and opens the page that was asked for', async () => {
    fake.isSignedIn = false;
    await on('/console/campaigns', async (page) => {
      await page.getByLabel('Your name').fill('Ada');
      await page.getByLabel('Admin token').fill('wrong');
      await page.keyboard.press('Enter');
      await page.waitForSelector('text=The admin token is wrong.');
      await page.getByLabel('Admin token').fill('right');
      await page.keyboard.press('Enter');
      await page.waitForSelector('text=Workshop in Kraków');
      expect(bodiesOf('POST', '/session').at(-1)).toEqual({ token: 'right', name: 'Ada' });
      expect(await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]))).not.toContain(
        'right',
      );
    });
  });

  it('takes the code of a one-time link out of the address at once, and signs in by one press', async () => {
    fake.isSignedIn = false;
    await on('/console/login#code=once', async (page) => {
      await page.getByLabel('Your name').fill('Ada');
      expect(page.url()).toBe(`${origin}/console/login`);
      expect(bodiesOf('POST', '/session')).toEqual([]);
      await page.keyboard.press('Enter');
      await page.waitForSelector('text=Needs you (3)');
      expect(new URL(page.url()).hash).toBe('');
      expect(bodiesOf('POST', '/session')).toEqual([{ code: 'once', name: 'Ada' }]);
    });
  });

  it('asks again when the session ended, and shows nothing more of it', async () => {
    await on('/console/campaigns', async (page) => {
      await page.waitForSelector('text=Workshop in Kraków');
      fake.isSignedIn = false;
      await page.click('.updated button');
      await page.waitForSelector('text=Admin token');
      expect(await page.content()).not.toContain('Workshop in Kraków');
    });
  });
});

describe('launching a campaign', () => {
  it('is done by keyboard alone, and ends with a link, its QR code and a badge', async () => {
    await on('/console', async (page) => {
      await page.waitForSelector('text=Needs you (3)');
      await page.keyboard.press('g');
      await page.keyboard.press('c');
      await page.waitForSelector('h1:text("Campaigns")');
      await tabTo(page, 'Launch a campaign');
      await page.keyboard.press('Enter');
      await tabTo(page, 'Name');
      await page.keyboard.type('Acme Agents');
      await page.keyboard.press('Enter');
      await tabTo(page, 'Total budget in dollars');
      await page.keyboard.press('Control+A');
      await page.keyboard.type('25');
      await page.waitForSelector('text=50 visitors, about 900 short chats each, never more than $25.00.');
      await page.keyboard.press('Enter');
      await tabTo(page, 'Everybody with the link');
      await tabTo(page, 'Next');
      await page.keyboard.press('Enter');
      await tabTo(page, 'Careful');
      await page.keyboard.press('ArrowDown');
      await tabTo(page, 'Launch');
      await page.keyboard.press('Enter');
      await page.waitForSelector('h1:text("Acme Agents is live")');
      expect(bodiesOf('POST', '/campaigns')).toEqual([
        expect.objectContaining({
          slug: 'acme-agents',
          name: 'Acme Agents',
          budget_usd: '25',
          models: ['gpt-5.4-mini'],
          key_defaults: { budget_usd: '0.50', ttl_seconds: 86_400 },
          moderation: expect.objectContaining({ input: 'gate', output: 'window', strikes: expect.anything() }),
          claim: expect.objectContaining({ title: 'Try Acme Agents' }),
        }),
      ]);
      expect(bodiesOf('POST', '/campaigns/acme-agents/links')).toEqual([
        expect.objectContaining({ gates: ['pow'], max_claims: 50, expires_at: null }),
      ]);
      const link = fake.links.at(-1)!;
      expect(await scan(page, '.share .qr')).toBe(link.url);
      await page.waitForSelector(`text=[![free key](${link.url}/badge.svg)](${link.url})`);
    });
  });

  it('offers the gates that are set up, and says what the others need', async () => {
    await on('/console/campaigns/new', async (page) => {
      await toStep(page, 2);
      await page.waitForSelector(
        'text=Sign-in with GitHub needs DAYPASS_GITHUB_CLIENT_ID. E-mail needs DAYPASS_SMTP_URL.',
      );
      expect(await page.getByRole('radio').count()).toBe(2);
    });
    fake.gates = { ...NO_GATES, github: true, email: true };
    await on('/console/campaigns/new', async (page) => {
      await toStep(page, 2);
      await page.getByLabel('Whoever signs in with GitHub').check();
      await page.waitForSelector('text=Continue with GitHub');
      await press(page, 'Next');
      await press(page, 'Launch');
      await page.waitForSelector('h1:text("Acme Agents is live")');
      expect(bodiesOf('POST', '/campaigns/acme-agents/links')).toEqual([
        expect.objectContaining({ gates: ['github'] }),
      ]);
    });
    await on('/console/campaigns/launch/links', async (page) => {
      await press(page, 'New link');
      await page.getByLabel('Name').fill('Staff');
      await page.getByLabel('Who gets a key').selectOption('email');
      await page.getByLabel('Domains of addresses').fill('acme.example, acme.test');
      await press(page, 'Make the link');
      await page.getByRole('dialog', { name: 'Share Staff' }).waitFor();
      expect(bodiesOf('POST', '/campaigns/launch/links')).toEqual([
        expect.objectContaining({ gates: ['email'], email: { domains: ['acme.example', 'acme.test'] } }),
      ]);
    });
    await on('/console/campaigns/launch/waitlist', async (page) => {
      await page.waitForSelector('text=grace@acme.example');
      await press(page, 'Invite');
      await page.getByLabel('How many').fill('2');
      await press(page, 'Send the mails');
      await page.waitForSelector('text=The mails go out now.');
      expect(bodiesOf('POST', '/waitlist/invite')).toEqual([{ link: 'lnk_workshop', count: 2 }]);
    });
  });

  it('goes on with the link where the campaign was made and its link was not', async () => {
    await on('/console/campaigns/new', async (page) => {
      await toStep(page, 3);
      fake.refuse('POST /campaigns/acme-agents/links', 400, 'invalid_request', 'The link cannot be made.');
      await press(page, 'Launch');
      await page.waitForSelector('text=The link cannot be made.');
      fake.refusals.clear();
      await press(page, 'Launch');
      await page.waitForSelector('text=Acme Agents is live');
      expect(bodiesOf('POST', '/campaigns')).toHaveLength(1);
    });
  });

  it('says beside the field what a step lacks, and asks before it forgets what somebody typed', async () => {
    await on('/console/campaigns/new', async (page) => {
      await press(page, 'Next');
      await page.waitForSelector('text=Give the campaign a name.');
      await toStep(page, 1);
      await page.getByLabel('Total budget').fill('0.20');
      await press(page, 'Next');
      await page.waitForSelector('text=A visitor cannot get more than the total budget.');
      const asked = new Promise<string>((resolve) =>
        page.once('dialog', (dialog) => {
          resolve(dialog.message());
          void dialog.dismiss();
        }),
      );
      await page.click('nav >> text=Overview');
      expect(await asked).toContain('Leave the wizard?');
      expect(page.url()).toContain('/campaigns/new');
    });
  });
});

describe('handing out', () => {
  it('copies and saves all codes, and prints cards that a camera reads', async () => {
    await on('/console/campaigns/launch/hand-out', async (page, { context }) => {
      await context.grantPermissions(['clipboard-read', 'clipboard-write']);
      await page
        .getByLabel('Labels')
        .fill(['=SUM(A1)', ...Array.from({ length: 11 }, (_, index) => `seat ${index}`)].join('\n'));
      await press(page, 'Make 12 codes');
      await page.click('[aria-label="Copy all codes"]');
      await page.waitForSelector('text=Copied');
      const copied = await page.evaluate(() => navigator.clipboard.readText());
      expect(copied.split('\n')).toHaveLength(12);
      const [download] = await Promise.all([page.waitForEvent('download'), page.click('text=Save as CSV')]);
      const csv = await textOf(await download.createReadStream());
      expect(csv.split('\r\n')[0]).toBe('code,url,expires_at,label');
      expect(csv).toContain("'=SUM(A1)");
      await page.click('text=Cards to print');
      await page.waitForSelector('.sheet');
      const link = fake.links.find(({ gates }) => gates.includes('code'))!;
      expect(await scan(page, '.slip .qr')).toBe(`${link.url}#code=7KQ2M9XA0000`);
      for (const [paper, box] of [
        ['a4', [595, 842]],
        ['letter', [612, 792]],
      ] as const) {
        await page.getByLabel('Paper').selectOption(paper);
        const pdf = (await page.pdf({ preferCSSPageSize: true })).toString('latin1');
        const boxes = [...pdf.matchAll(/\/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]/g)].map(([, width, height]) => [
          Math.round(Number(width)),
          Math.round(Number(height)),
        ]);
        expect(boxes).toEqual([box, box]);
      }
      const asked = new Promise<string>((resolve) =>
        page.once('dialog', (dialog) => {
          resolve(dialog.message());
          void dialog.accept();
        }),
      );
      await page.click('nav >> text=Overview');
      expect(await asked).toContain('The codes are shown here only.');
      await page.waitForSelector('text=Needs you (3)');
      await page.goto(`${origin}/console/campaigns/launch/hand-out/print`);
      await page.waitForSelector('text=No codes are in this page.');
    });
    // Two prints of twelve cards, on a busy machine.
  });

  it('makes a link for codes where the campaign has none, without a limit by network', async () => {
    fake.links = [];
    await on('/console/campaigns/launch/hand-out', async (page) => {
      await makeCodes(page, '30');
      expect(bodiesOf('POST', '/campaigns/launch/links')).toEqual([
        { name: 'Codes', gates: ['code'], max_claims: 30, per_ip_per_day: 0 },
      ]);
    });
  });

  it('prints ready keys with a warning, and voids a lost card', async () => {
    await on('/console/campaigns/launch/hand-out', async (page) => {
      await page.click('[aria-label="Void seat 1"]');
      await press(page, 'Void');
      await page.waitForSelector('text=The code is void.');
      expect(bodiesOf('POST', '/codes/void')).toEqual([{ ids: ['cod_1'] }]);
      await page.check('text=Ready keys');
      await page.getByLabel('How many').fill('2');
      await press(page, 'Make 2 keys');
      await page.waitForSelector('text=2 keys are ready');
      expect(bodiesOf('POST', '/keys/batch')).toEqual([{ campaign: 'launch', count: 2 }]);
      await page.click('text=Cards to print');
      expect(await page.textContent('[role="alert"]')).toContain('is the key');
    });
  });
});

describe('limits of a policy', () => {
  it('say what they would have blocked when the reader rests, by keyboard too, and are saved', async () => {
    await on('/console/campaigns/launch/policy', async (page) => {
      const replays = () => bodiesOf('POST', '/moderation/replay');
      await page.waitForSelector('text=would have blocked 14 of 2,310 checks; 9 were blocked.');
      await page.waitForSelector('text=2,310 checks of words, which goes by its own rules; 2 checks without a verdict');
      expect(replays()).toEqual([{ campaign: 'launch', days: 30, thresholds: { violence: 0.6 } }]);
      // As somebody who drags: one question, when she rests.
      await page.getByLabel('Limit of violence').evaluate((slider: HTMLInputElement) => {
        const value = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value')!;
        for (const score of ['0.5', '0.4', '0.3']) {
          value.set!.call(slider, score);
          slider.dispatchEvent(new Event('input', { bubbles: true }));
        }
      });
      await page.waitForSelector('text=would have blocked 314');
      expect(replays().slice(1)).toEqual([{ campaign: 'launch', days: 30, thresholds: { violence: 0.3 } }]);
      await page.getByLabel('Limit of violence').press('ArrowRight');
      await page.waitForSelector('text=would have blocked 304');
      await page.getByLabel('Tried on').selectOption('7');
      await until('a replay of seven days', () => replays().at(-1)!.days === 7);
      const call = page.getByRole('link', { name: 'call 2' });
      expect(await call.getAttribute('href')).toBe('/console/calls/req_2');
      await press(page, 'Save the policy');
      await page.waitForSelector('text=The policy holds for calls from now on.');
      expect(bodiesOf('PATCH', '/campaigns/launch')).toEqual([
        {
          moderation: expect.objectContaining({ thresholds: expect.objectContaining({ violence: 0.31, hate: null }) }),
        },
      ]);
      await page.getByLabel('violence', { exact: true }).uncheck();
      await page.waitForSelector('text=Nobody can tell for 2,301 further checks');
    });
  });
});

describe('the pages for an auditor', () => {
  it('open by their keys, prove what is asked and lead to the files of a period', async () => {
    await on('/console', async (page) => {
      await page.waitForSelector('text=Needs you (3)');
      await page.keyboard.press('g');
      await page.keyboard.press('n');
      await page.waitForSelector('text=oldest for 0.8 s');
      await page.keyboard.press('g');
      await page.keyboard.press('u');
      await page.waitForSelector('text=Not run in this tab yet.');
      expect(fake.asked.filter(({ path }) => path.endsWith('/verify'))).toEqual([]);
      await tabTo(page, 'Run the proof');
      await page.keyboard.press('Enter');
      await page.waitForSelector('text=12,400 transfers');
      const href = async (name: string): Promise<URL> =>
        new URL((await page.getByRole('link', { name, exact: true }).getAttribute('href'))!, origin);
      await page.getByLabel('From').fill('2026-11-01T00:00');
      await page.getByLabel('Format').selectOption('jsonl');
      const statement = await href('Statement by key as JSONL');
      expect(statement.pathname).toBe('/admin/v1/statement/export');
      expect(Object.fromEntries(statement.searchParams)).toEqual({
        by: 'key',
        since: new Date('2026-11-01T00:00').toISOString(),
        format: 'jsonl',
      });
      await page.getByLabel('To').fill('2026-10-01T00:00');
      await page.waitForSelector('text=The end must come after the begin');
      const link = page.getByRole('link', { name: 'Checks as JSONL' });
      expect(await link.getAttribute('aria-disabled')).toBe('true');
      await link.press('Enter');
      expect(fake.asked.filter(({ path }) => path.includes('/export'))).toEqual([]);
    });
  });

  it('sign everybody out after a question', async () => {
    await on('/console/settings', async (page) => {
      await press(page, 'Sign everybody out');
      await press(page, 'Sign all out');
      await page.waitForSelector('text=Admin token');
      expect(fake.asked.filter(({ method }) => method === 'DELETE').map(({ path }) => path)).toEqual(['/sessions']);
    });
  });
});

describe('acts', () => {
  it('revokes all keys only after a count, a reason and the typed name', async () => {
    await on('/console/campaigns/launch', async (page) => {
      await openRevoke(page);
      const act = button(page, 'Revoke 63 keys');
      await page.waitForSelector('text=$19.20 go back to the campaign');
      await page.getByLabel('Why').fill('the link leaked');
      expect(await act.isDisabled()).toBe(true);
      await page.getByLabel('Type launch').fill('launch');
      await act.click();
      await page.waitForSelector('text=The keys are revoked.');
      expect(bodiesOf('POST', '/campaigns/launch/revoke-keys')).toEqual([
        { dry_run: true, note: 'a count' },
        { dry_run: false, note: 'the link leaked' },
      ]);
    });
  });

  it('shuts the door with a reason, and every tab sees it', async () => {
    await on('/console/campaigns', async (page) => {
      await press(page, 'Door open');
      const act = button(page, 'Shut the door');
      expect(await act.isDisabled()).toBe(true);
      await page.getByLabel('Why').fill('a leak');
      await act.click();
      await button(page, 'Door shut').waitFor();
      expect(bodiesOf('PUT', '/door')).toEqual([{ state: 'shut', note: 'a leak' }]);
    });
  });

  it('tops up, pauses all links and closes', async () => {
    await on('/console/campaigns/launch', async (page) => {
      await press(page, 'Top up');
      await page.getByLabel('Dollars to add').fill('5.5');
      await page.waitForSelector('text=$55.50');
      await page.keyboard.press('Enter');
      await page.waitForSelector('text=has a larger budget');
      expect(bodiesOf('POST', '/campaigns/launch/fund')).toEqual([{ amount_usd: '5.5' }]);
      await press(page, 'More');
      await page.click('text=Pause all links');
      await press(page, 'Pause one link');
      await page.waitForSelector('text=The links give no more keys.');
      expect(bodiesOf('PATCH', '/links/lnk_readme')).toEqual([{ status: 'paused' }]);
      await press(page, 'More');
      await page.click('text=Close the campaign');
      await press(page, 'Close it');
      await page.waitForSelector('text=The campaign is closed.');
      expect(bodiesOf('PATCH', '/campaigns/launch')).toEqual([{ status: 'closed' }]);
    });
  });

  it('sends a write again under the same Idempotency-Key where nobody answered', async () => {
    await on('/console/campaigns/launch', async (page) => {
      await press(page, 'Top up');
      fake.refuse('POST /campaigns/launch/fund', 503, 'store_unavailable');
      await page.keyboard.press('Enter');
      await until('a second write', () => bodiesOf('POST', '/campaigns/launch/fund').length === 2);
      fake.refusals.clear();
      await page.waitForSelector('text=has a larger budget');
      const keys = fake.asked
        .filter(({ path }) => path.endsWith('/fund'))
        .map(({ headers }) => headers['idempotency-key']);
      expect(new Set(keys).size).toBe(1);
      expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
    });
  });

  it('names the pages and apps that may take keys of a link, and shows the lines for such a page', async () => {
    await on('/console/campaigns/launch/links', async (page) => {
      await press(page, 'Change README');
      await page.getByLabel('Origins').fill('https://a.example');
      await page.getByLabel('Addresses of apps').fill('https://a.example/start\nhttp://localhost:*');
      await press(page, 'Save');
      await page.waitForSelector('text=The link is changed.');
      expect(bodiesOf('PATCH', '/links/lnk_readme').at(-1)).toMatchObject({
        origins: ['https://a.example'],
        redirect_uris: ['https://a.example/start', 'http://localhost:*'],
      });
      await press(page, 'Share README');
      await page.waitForSelector('text=/claim.js');
      await page.waitForSelector('text=It works on https://a.example.');
    });
  });

  it('saves a policy as a merge patch, and the texts of the claim page', async () => {
    await on('/console/campaigns/launch/policy', async (page) => {
      await page.getByLabel('hate', { exact: true }).check();
      await page.getByLabel('Limit of hate').fill('0.4');
      await page.getByLabel('violence', { exact: true }).uncheck();
      await press(page, 'Save the policy');
      await page.waitForSelector('text=The policy holds');
      const [{ moderation }] = bodiesOf('PATCH', '/campaigns/launch') as [{ moderation: Record<string, unknown> }];
      expect(moderation).toMatchObject({ input: 'gate', thresholds: { hate: 0.4, violence: null }, strikes: null });
      await page.click('.tabs >> text=Settings');
      await page.getByLabel('Title').fill('Try Acme');
      await page.getByLabel('Origins').fill('https://a.example\nhttps://b.example');
      expect(await page.getByLabel('Searches of one response').isDisabled()).toBe(true);
      await page.getByLabel('Dollars for a web search').fill('0.025');
      await page.getByLabel('Searches of one response').fill('5');
      await page.getByLabel('Images of one call').fill('11');
      await page.waitForSelector('text=A whole number from 1 to 10');
      expect(await page.getByRole('button', { name: 'Save the settings' }).isDisabled()).toBe(true);
      await page.getByLabel('Images of one call').fill('');
      await page.getByLabel('Quality of images').selectOption('low');
      await page.getByLabel('Seconds of sound in one call').fill('60');
      await press(page, 'Save the settings');
      await page.waitForSelector('text=The settings are saved.');
      expect(bodiesOf('PATCH', '/campaigns/launch').at(-1)).toMatchObject({
        tool_prices: {
          web_search: { usd_per_request: '0.025', input_tokens_per_request: null, max_calls: 5 },
          images: { max: null, quality: 'low' },
          audio: { max_seconds: 60 },
        },
        origins: ['https://a.example', 'https://b.example'],
        claim: { title: 'Try Acme', per_claimant: 1, overbook: 1 },
        key_defaults: { budget_usd: '0.50' },
      });
    });
  });
});

describe('lists and live figures', () => {
  it('keep their filters in the address and let the server filter', async () => {
    await on('/console/campaigns/launch/keys?status=suspended', async (page) => {
      await page.waitForSelector('.rows');
      await page.getByLabel('Search').fill('guest');
      await until('a search', () => fake.asked.some(({ path }) => path.includes('q=guest')));
      expect(fake.asked.at(-1)!.path).toBe('/keys?campaign=launch&q=guest&status=suspended');
      await until('the address', () => new URL(page.url()).search === '?status=suspended&q=guest');
      fake.tell('key', {});
      fake.tell('key', {});
      await button(page, '2 new').waitFor();
      const before = fake.asked.length;
      await press(page, '2 new');
      await until('a fetch', () => fake.asked.length > before);
    });
  });

  it('show a fault with its request id, and recover on Retry', async () => {
    fake.refuse('GET /campaigns', 500, 'internal_error', 'Something went wrong inside Daypass.');
    await on('/console/campaigns', async (page) => {
      await page.waitForSelector('text=req_fake_1');
      fake.refusals.clear();
      await press(page, 'Retry');
      await page.waitForSelector('text=Workshop in Kraków');
    });
  });

  it('follow what the books tell of a campaign, and ask once a second where they tell much', async () => {
    await on('/console/campaigns/launch', async (page) => {
      await page.waitForSelector('.live[data-state="live"]');
      fake.campaigns[0]!.spent_usd = '7.77';
      const fetched = (): number => fake.asked.filter(({ path }) => path === '/campaigns/launch').length;
      const before = fetched();
      for (let told = 0; told < 50; told += 1) fake.tell('campaign', { id: 'campaign_1' });
      await page.getByText('$7.77').waitFor();
      await until('the figures after the last event', () => fetched() === before + 2);
    });
  });

  it('fetch anew after a cut, say when they are off, and rest in a hidden tab', async () => {
    await on('/console', async (page) => {
      await page.waitForSelector('.live[data-state="live"]');
      const fetched = (): number => fake.asked.filter(({ path }) => path.startsWith('/overview')).length;
      const before = fetched();
      fake.cutStreams();
      await until('a fetch after the cut', () => fetched() > before);
      await page.clock.install();
      await hide(page, true);
      await page.clock.fastForward(59_000);
      expect(fake.openStreams).toBe(1);
      await page.clock.fastForward(2_000);
      await until('the stream is closed', () => fake.openStreams === 0);
      await hide(page, false);
      await until('the stream is open again', () => fake.openStreams === 1);
    });
  });

  it('do not act on single keys once somebody switched them off', async () => {
    await on('/console', async (page) => {
      await page.waitForSelector('text=Needs you (3)');
      await page.keyboard.press('?');
      await page.getByLabel('Single-key shortcuts').uncheck();
      await page.keyboard.press('Escape');
      await page.keyboard.press('g');
      await page.keyboard.press('c');
      await page.keyboard.press('?');
      expect(page.url()).toBe(`${origin}/console`);
      await page.reload();
      await page.waitForSelector('text=Needs you (3)');
      await page.keyboard.press('?');
      expect(await page.locator('[role="dialog"]').count()).toBe(0);
    });
  });
});

const hide = (page: Page, isHidden: boolean): Promise<void> =>
  page.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, isHidden);

/** Presses Tab until the element of this name has the focus. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let presses = 0; presses < 60; presses += 1) {
    const isThere = await page.evaluate((wanted) => {
      const element = document.activeElement as HTMLInputElement | null;
      const label = element?.labels?.[0]?.textContent ?? element?.textContent ?? '';
      return label.replace(/ \*$/, '').trim() === wanted;
    }, name);
    if (isThere) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`Tab never reaches "${name}"`);
}

/** What a camera reads of the first QR code. */
async function scan(page: Page, selector: string): Promise<string> {
  const image = await page
    .locator(selector)
    .first()
    .evaluate(async (svg) => {
      const size = 400;
      const copy = svg.cloneNode(true) as SVGElement;
      copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
      copy.setAttribute('width', String(size));
      copy.setAttribute('height', String(size));
      const picture = new Image();
      picture.src = `data:image/svg+xml,${encodeURIComponent(copy.outerHTML)}`;
      await picture.decode();
      const canvas = document.createElement('canvas');
      canvas.width = size;
      canvas.height = size;
      const context = canvas.getContext('2d')!;
      context.drawImage(picture, 0, 0, size, size);
      return { width: size, height: size, data: [...context.getImageData(0, 0, size, size).data] };
    });
  return decodeQR({ ...image, data: Uint8Array.from(image.data) });
}

async function textOf(stream: AsyncIterable<unknown>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}
