import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import OpenAI from 'openai';
import type { Browser, Page } from 'playwright-core';
import { startDaypass, type Daypass } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { launchChromium } from './chromium.js';
import { GithubDouble, SmtpDouble, type GithubUser, type Mail } from './identity.doubles.js';
import { look } from './pages/looking.js';

const model = 'gpt-5.4-mini';
const slug = 'identity';
const JSON_TYPE = { 'content-type': 'application/json' };

let github: GithubDouble;
let smtp: SmtpDouble;
let daypass: Daypass;
let browser: Browser;
let origin: string;
beforeAll(async () => {
  [github, smtp, browser] = await Promise.all([GithubDouble.start(), SmtpDouble.start(), launchChromium()]);
  daypass = await startDaypass({
    env: {
      DAYPASS_GITHUB_CLIENT_ID: GithubDouble.CLIENT_ID,
      DAYPASS_GITHUB_CLIENT_SECRET: GithubDouble.CLIENT_SECRET,
      DAYPASS_GITHUB_URL: github.url,
      DAYPASS_SMTP_URL: smtp.url,
      DAYPASS_MAIL_FROM: 'Acme <try@acme.example>',
    },
  });
  origin = new URL(daypass.baseUrl).origin;
  const claim = { title: 'Try Acme', contact: 'help@acme.example', waitlist: true };
  const body = { slug, name: slug, budget_usd: '50.00', models: [model], claim };
  expect((await daypass.admin('/admin/v1/campaigns', { body })).status).toBe(201);
});
afterAll(async () => {
  await browser?.close();
  await daypass?.stop();
  github?.stop();
  smtp?.stop();
});
beforeEach(() => {
  github.user = someone();
  github.answers = null;
});

let people = 1_000;
const someone = (ageDays = 400): GithubUser => ({
  id: ++people,
  login: `octo-${people}`,
  created_at: new Date(Date.now() - ageDays * 86_400_000).toISOString().replace(/\.\d+Z$/, 'Z'),
});
const someAddress = (): string => `jane${++people}@acme.example`;
const newName = (): string => randomBytes(16).toString('hex');

interface Answer {
  status: number;
  headers: Headers;
  // The shape differs by route, and a test asserts what it needs of it.
  // oxlint-disable-next-line typescript/no-explicit-any
  body: any;
}
async function ask(path: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(`${origin}${path}`, { redirect: 'manual', ...init });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? null : JSON.parse(text) };
}
const post = (path: string, body: object, headers: Record<string, string> = {}): Promise<Answer> =>
  ask(path, { method: 'POST', body: JSON.stringify(body), headers: { ...JSON_TYPE, ...headers } });
/** Its details are those beside the address of its explanation. */
const fault = ({ status, body }: Answer) => {
  const { help: _help, ...details } = body.error?.daypass ?? {};
  return [status, body.error?.code, Object.keys(details).length === 0 ? undefined : details];
};

interface Link {
  id: string;
  token: string;
}
async function newLink(gate: string, terms: object = {}): Promise<Link> {
  const body = {
    name: gate,
    gates: [gate],
    per_ip_per_day: 0,
    key: { budget_usd: '0.50', ttl_seconds: 3_600 },
    ...terms,
  };
  const answer = await daypass.admin(`/admin/v1/campaigns/${slug}/links`, { body });
  expect([answer.status, answer.body.error]).toEqual([201, undefined]);
  return answer.body;
}
const at = ({ token }: Link, what = ''): string => `/claim/v1/links/${token}${what}`;
const claim = (link: Link, body: object = {}, headers: Record<string, string> = {}): Promise<Answer> =>
  post(at(link, '/claims'), body, { 'idempotency-key': newName(), ...headers });
/** The cookies of an answer, as a browser sends them next. */
const cookiesOf = ({ headers }: Answer): string =>
  headers
    .getSetCookie()
    .map((cookie) => cookie.split(';')[0]!)
    .filter((cookie) => !cookie.endsWith('='))
    .join('; ');

/** Signs in as a browser does, up to what GitHub sends it back with. */
async function started(link: Link): Promise<{ cookie: string; callback: URL }> {
  const start = await ask(`/claim/v1/github/start?link=${link.token}`);
  const authorize = await fetch(start.headers.get('location')!, { redirect: 'manual' });
  return { cookie: cookiesOf(start), callback: new URL(authorize.headers.get('location')!) };
}
const back = (callback: URL, cookie: string): Promise<Answer> =>
  ask(callback.pathname + callback.search, { headers: cookie === '' ? {} : { cookie } });
async function signedIn(link: Link): Promise<string> {
  const { cookie, callback } = await started(link);
  const answer = await back(callback, cookie);
  expect([answer.status, answer.headers.get('location')]).toEqual([302, `/c/${link.token}#github=done`]);
  return cookiesOf(answer);
}

const digitsIn = ({ text }: Mail): string => /is (\d{3} \d{3})\./.exec(text)![1]!.replace(' ', '');
async function mailed(link: Link, email: string): Promise<string> {
  const before = smtp.mails.filter(({ to }) => to === email).length;
  const answer = await post(at(link, '/email'), { email });
  expect([answer.status, answer.body]).toEqual([202, { data: { minutes: 15 } }]);
  return digitsIn((await smtp.to(email, before + 1)).at(-1)!);
}

const shownKey = (page: Page): Promise<string> => page.locator('code.secret').innerText();
async function pressed(page: Page, button: string): Promise<string> {
  await page.getByRole('button', { name: button }).click();
  await page.getByRole('heading', { name: 'Your key' }).waitFor();
  return shownKey(page);
}
const statusOf = async (key: string): Promise<number> =>
  (await ask('/v1/key', { headers: { authorization: `Bearer ${key}` } })).status;

describe('a link that asks for GitHub', () => {
  it('gives a key to who signs in, and replaces it when that person lost it', async () => {
    const link = await newLink('github');
    const first = await look(browser);
    await first.page.goto(`${origin}/c/${link.token}`);
    await first.page.getByRole('link', { name: 'Continue with GitHub' }).click();
    await first.page.getByText(`Signed in as ${github.user!.login}`).waitFor();
    // Nothing of the sign-in stays in the address.
    expect(first.page.url()).toBe(`${origin}/c/${link.token}`);
    const key = await pressed(first.page, 'Get my key');
    const client = new OpenAI({ apiKey: key, baseURL: daypass.baseUrl, maxRetries: 0 });
    const answer = await client.chat.completions.create({ model, messages: [{ role: 'user', content: 'hi' }] });
    expect(answer.choices[0]!.message.content).not.toBe('');
    expect(first.faults).toEqual([]);
    await first.close();

    const second = await look(browser);
    await second.page.goto(`${origin}/c/${link.token}`);
    await second.page.getByRole('link', { name: 'Continue with GitHub' }).click();
    await second.page.getByRole('button', { name: 'Get my key' }).click();
    await second.page.getByText(key.slice(0, 9)).waitFor();
    const replaced = await pressed(second.page, 'Replace my key');
    expect([await statusOf(key), await statusOf(replaced)]).toEqual([401, 200]);
    // The page signs out whoever is somebody else.
    await second.page.getByRole('button', { name: 'Forget' }).click();
    await second.page.getByRole('button', { name: 'Forget it' }).click();
    await second.page.getByRole('button', { name: 'Not you?' }).click();
    await second.page.getByRole('link', { name: 'Continue with GitHub' }).waitFor();
    expect(second.faults).toEqual([]);
    await second.close();

    const asked = github.asked.filter(({ path }) => path.endsWith('/authorize')).at(-1)!.query;
    expect(asked.get('scope')).toBeNull();
    const { body } = await daypass.admin(`/admin/v1/claims?link=${link.id}`);
    expect(body.data).toMatchObject([{ kind: 'github', claimant: expect.stringMatching(/^vis_/) }]);
    const visitor = await daypass.admin(`/admin/v1/visitors/${body.data[0].claimant}`);
    expect(visitor.body).toMatchObject({ kind: 'github', label: github.user!.login });
  });

  it('takes a sign-in back once, in the browser that began it, with its own state and verifier', async () => {
    const link = await newLink('github');
    const page = (end: string): string => `/c/${link.token}#github=${end}`;
    const endOf = async (callback: URL, cookie: string) => (await back(callback, cookie)).headers.get('location');

    const [mine, other] = [await started(link), await started(link)];
    const changed = new URL(mine.callback);
    changed.searchParams.set('state', `${mine.callback.searchParams.get('state')!.slice(0, 3)}AAA.${link.token}`);
    expect(await endOf(changed, mine.cookie)).toBe(page('expired'));
    expect(await endOf(mine.callback, '')).toBe(page('expired'));
    expect(await endOf(mine.callback, other.cookie)).toBe(page('expired'));
    expect(await endOf(mine.callback, mine.cookie.replace(/.{8}$/, 'AAAAAAAA'))).toBe(page('expired'));
    // A code that somebody else got: the verifier of this browser does not fit.
    const injected = new URL(other.callback);
    injected.searchParams.set('code', mine.callback.searchParams.get('code')!);
    expect(await endOf(injected, other.cookie)).toBe(page('failed'));

    const fresh = await started(link);
    expect(await endOf(fresh.callback, fresh.cookie)).toBe(page('done'));
    expect(await endOf(fresh.callback, fresh.cookie)).toBe(page('expired'));
    expect(fault(await ask('/claim/v1/github/callback?code=a&state=b'))).toEqual([400, 'invalid_request', undefined]);
    expect(fault(await ask('/claim/v1/github/start'))).toEqual([400, 'invalid_request', undefined]);
    // No address of a stranger becomes a redirect.
    const foreign = await ask(`/claim/v1/github/start?link=${link.token}&redirect_uri=https://evil.example`);
    const after = await fetch(foreign.headers.get('location')!, { redirect: 'manual' });
    const returned = await back(new URL(after.headers.get('location')!), cookiesOf(foreign));
    expect(returned.headers.get('location')).toBe(page('done'));

    github.user = null;
    const denied = await started(link);
    expect(await endOf(denied.callback, denied.cookie)).toBe(page('denied'));
    expect((await daypass.admin(`/admin/v1/claims?link=${link.id}`)).body.data).toEqual([]);
  });

  it('refuses who did not sign in, who made up a cookie, and accounts that are too young', async () => {
    const link = await newLink('github', { github: { min_account_age_days: 30 } });
    expect(fault(await claim(link))).toEqual([403, 'identity_required', { gate: 'github' }]);
    const forged = `daypass_claimant=${randomBytes(200).toString('base64url')}`;
    expect(fault(await claim(link, {}, { cookie: forged }))).toEqual([403, 'identity_required', { gate: 'github' }]);
    // A sign-in that has not come back is no identity.
    const { cookie } = await started(link);
    const moved = cookie.replace('daypass_github', 'daypass_claimant');
    expect(fault(await claim(link, {}, { cookie: moved }))).toEqual([403, 'identity_required', { gate: 'github' }]);
    // A page of another site cannot claim in the name of who signed in.
    const mine = await signedIn(link);
    const foreign = { cookie: mine, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' };
    expect((await claim(link, {}, foreign)).body.error.code).toBe('origin_not_allowed');
    expect((await claim(link, {}, { cookie: mine })).status).toBe(201);

    github.user = someone(29);
    const young = await claim(link, {}, { cookie: await signedIn(link) });
    expect(fault(young)).toEqual([403, 'claim_refused', { why: 'account_age', min_account_age_days: 30 }]);
    github.user = someone(31);
    expect((await claim(link, {}, { cookie: await signedIn(link) })).status).toBe(201);
  });

  it('says so where GitHub fails, sends too much, or something else', async () => {
    const link = await newLink('github');
    const ends: (string | null)[] = [];
    for (const answers of [
      (response: { writeHead(status: number): { end(text?: string): void } }) => response.writeHead(500).end(),
      (response: { writeHead(status: number): { end(text?: string): void } }) =>
        response.writeHead(200).end(`{"access_token":"${'x'.repeat(100_000)}"}`),
      (response: { writeHead(status: number): { end(text?: string): void } }) => response.writeHead(200).end('<html>'),
    ]) {
      github.answers = answers;
      const { cookie, callback } = await started(link);
      ends.push((await back(callback, cookie)).headers.get('location'));
    }
    expect(ends).toEqual(Array(3).fill(`/c/${link.token}#github=busy`));
    for (const service of ['ingress', 'accounting'] as const)
      expect(daypass.logs(service)).not.toContain(GithubDouble.CLIENT_SECRET);
  });
});

describe('a link that asks for an e-mail address', () => {
  it('mails six digits, and gives a key for them; the mail’s link only fills them in', async () => {
    const link = await newLink('email');
    const email = someAddress();
    const typed = await look(browser);
    await typed.page.goto(`${origin}/c/${link.token}`);
    await typed.page.getByLabel('Your e-mail address').fill(email);
    await typed.page.keyboard.press('Enter');
    const [mail] = await smtp.to(email);
    expect(mail!.subject).toMatch(/^\d{6} is your code: Try Acme$/);
    await typed.page.getByLabel(`The code for ${email}`).fill('000 000');
    await typed.page.getByRole('button', { name: 'Get my key' }).click();
    await typed.page.getByText('You have 4 tries left').waitFor();
    await typed.page.getByLabel(`The code for ${email}`).fill(digitsIn(mail!));
    const key = await pressed(typed.page, 'Get my key');
    expect(await statusOf(key)).toBe(200);
    expect(typed.faults).toEqual([]);
    await typed.close();

    const other = someAddress();
    await mailed(link, other);
    const url = /^http\S+#\S+$/m.exec((await smtp.to(other))[0]!.text)![0];
    expect(url.startsWith(`${origin}/c/${link.token}#email=`)).toBe(true);
    const opened = await look(browser);
    await opened.page.goto(url);
    await opened.page.getByLabel(`The code for ${other}`).waitFor();
    expect(opened.page.url()).toBe(`${origin}/c/${link.token}`);
    // Whoever only opens it, as programs of mail servers do, makes no key.
    expect((await daypass.admin(`/admin/v1/claims?link=${link.id}`)).body.data).toHaveLength(1);
    expect(await statusOf(await pressed(opened.page, 'Get my key'))).toBe(200);
    expect(opened.faults).toEqual([]);
    await opened.close();
  });

  it('answers 202 for every address, and mails three times a day, however the address is written', async () => {
    const link = await newLink('email', { email: { domains: ['gmail.com', 'acme.example'] } });
    const mailbox = `jane${++people}`;
    const dotted = `${mailbox[0]}.${mailbox.slice(1)}@gmail.com`;
    for (const email of [`${mailbox}@gmail.com`, dotted, `${mailbox}+a@googlemail.com`, `${mailbox}+b@gmail.com`]) {
      const answer = await post(at(link, '/email'), { email });
      expect([answer.status, answer.body]).toEqual([202, { data: { minutes: 15 } }]);
    }
    const stranger = await post(at(link, '/email'), { email: 'jane@elsewhere.example' });
    expect([stranger.status, stranger.body]).toEqual([202, { data: { minutes: 15 } }]);
    for (const email of [`${mailbox}@gmail.com`, dotted, `${mailbox}+b@gmail.com`]) await smtp.to(email);
    // A later mail has come, so that others would have come, too.
    await mailed(link, someAddress());
    const got = smtp.mails.filter(({ to }) => to.includes(mailbox.slice(1)) || to.includes('elsewhere'));
    // googlemail.com is the same mailbox, and no domain of this link.
    const expected = [`${mailbox}@gmail.com`, dotted, `${mailbox}+b@gmail.com`];
    expect(got.map(({ to }) => to).toSorted()).toEqual(expected.toSorted());
    expect((await post(at(link, '/email'), { email: 'a@b.example, c@d.example' })).status).toBe(400);
  });

  it('takes five wrong codes for a mail, and a right one for one claim', async () => {
    const link = await newLink('email');
    const email = someAddress();
    const code = await mailed(link, email);
    const wrong = String((Number(code) + 1) % 1_000_000).padStart(6, '0');
    const faults: unknown[] = [];
    for (let n = 0; n < 6; n++) faults.push(fault(await claim(link, { email, email_code: n < 5 ? wrong : code })));
    expect(faults).toEqual([
      ...[4, 3, 2, 1, 0].map((tries_left) => [403, 'code_invalid', { why: 'wrong', tries_left }]),
      [403, 'code_invalid', { why: 'spent' }],
    ]);
    const next = await mailed(link, email);
    const name = newName();
    const first = await claim(link, { email, email_code: next }, { 'idempotency-key': name });
    expect(first.status).toBe(201);
    const repeated = await claim(link, { email, email_code: next }, { 'idempotency-key': name });
    expect([repeated.status, repeated.body]).toEqual([201, first.body]);
    expect(fault(await claim(link, { email, email_code: next }))).toEqual([403, 'code_invalid', { why: 'used' }]);
    expect(fault(await claim(link, { email: someAddress(), email_code: next }))).toEqual([
      403,
      'code_invalid',
      { why: 'gone' },
    ]);
  });

  it('gives one key to each person of a campaign, at all of its links, also after its erasure (K2)', async () => {
    const [one, other] = [await newLink('email'), await newLink('email')];
    const email = someAddress();
    const code = await mailed(one, email);
    const first = await claim(one, { email, email_code: code });
    const cookie = cookiesOf(first);
    const many = await Promise.all(Array.from({ length: 6 }, (_, n) => claim(n % 2 ? one : other, {}, { cookie })));
    expect(many.map((answer) => [answer.status, answer.body.error.daypass.replaceable])).toEqual(
      Array(6).fill([409, true]),
    );
    const { claimant } = (await daypass.admin(`/admin/v1/claims?link=${one.id}`)).body.data[0];
    expect((await daypass.admin(`/admin/v1/visitors/${claimant}`)).body).toMatchObject({ kind: 'email', label: email });

    const authorization = `Bearer ${first.body.data.key}`;
    await until('the holder erased it', async () => {
      const erased = await ask('/v1/key/erase', { method: 'POST', headers: { authorization } });
      return erased.body.data?.erased_at !== null && erased.status === 200;
    });
    const visitor = (await daypass.admin(`/admin/v1/visitors/${claimant}`)).body;
    expect([visitor.label, visitor.erased_at]).toEqual([null, expect.any(String)]);
    const again = await claim(one, { email: email.replace('@', '+again@'), email_code: await mailed(one, email) });
    expect(fault(again)).toEqual([409, 'already_claimed', expect.objectContaining({ replaceable: false })]);
    const replaced = await post(at(one, '/replace'), {}, { cookie, 'idempotency-key': newName() });
    expect(fault(replaced)).toEqual([403, 'claim_refused', { why: 'nothing_to_replace' }]);
  });
});

describe('a waitlist', () => {
  it('takes addresses where no key is left, and invites them by mail', async () => {
    const link = await newLink('email', { max_claims: 1 });
    const holder = someAddress();
    await claim(link, { email: holder, email_code: await mailed(link, holder) });
    await until('all are taken', async () => (await ask(at(link))).body.data.state === 'exhausted');
    const email = someAddress();
    const { page, faults, close } = await look(browser);
    await page.goto(`${origin}/c/${link.token}`);
    await page.getByLabel('when there are keys again').fill(email);
    await page.getByRole('button', { name: 'Tell me' }).click();
    await page.getByText('You are on the list').waitFor();
    expect(faults).toEqual([]);
    await close();
    expect((await post(at(link, '/waitlist'), { email: email.toUpperCase() })).status).toBe(202);
    // Whoever has a key waits for none, and nobody learns it.
    expect((await post(at(link, '/waitlist'), { email: holder })).status).toBe(202);

    const { data } = (await daypass.admin(`/admin/v1/waitlist?campaign=${slug}`)).body;
    expect(data).toMatchObject([{ email, link: link.id, invited_at: null, code: null }]);
    const invite = (body: object) => daypass.admin('/admin/v1/waitlist/invite', { body });
    expect((await invite({ link: link.id, count: 5 })).body.error.message).toContain('asks for none');
    const codes = await newLink('code');
    expect((await invite({ link: codes.id, count: 5 })).body.data).toEqual({ invited: 1, left: 0 });
    const [mail] = await smtp.to(email);
    const code = /code is (\S+)\. /.exec(mail!.text)![1]!;
    expect(mail!.text).toContain(`${codes.token}#code=${code.replaceAll('-', '')}`);
    const got = await claim(codes, { code });
    expect([got.status, got.body.error]).toEqual([201, undefined]);
    // The code made a key for the person who waited.
    const person = (await daypass.admin(`/admin/v1/claims?link=${codes.id}`)).body.data[0].claimant;
    expect(person).toBe(data[0].claimant);
    await until('the mail is out', async () => {
      const [row] = (await daypass.admin('/admin/v1/waitlist')).body.data;
      return row.mailed_at !== null && row.code === 'used';
    });
    expect((await invite({ link: codes.id, count: 5 })).body.data).toEqual({ invited: 0, left: 0 });

    // Whoever is erased waits no more.
    const gone = someAddress();
    expect((await post(at(link, '/waitlist'), { email: gone })).status).toBe(202);
    const [row] = (await daypass.admin('/admin/v1/waitlist?waiting=true')).body.data;
    expect(row.email).toBe(gone);
    expect((await daypass.admin(`/admin/v1/visitors/${row.claimant}/erase`, { body: {} })).status).toBe(200);
    expect((await daypass.admin('/admin/v1/waitlist?waiting=true')).body.data).toEqual([]);
    for (const service of ['ingress', 'accounting'] as const) expect(daypass.logs(service)).not.toContain(gone);
  });
});
