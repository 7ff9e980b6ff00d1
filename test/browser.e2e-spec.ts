import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';
import type OpenAI from 'openai';
import type { Browser, Page } from 'playwright-core';
import { shareDaypass, type SharedDaypass } from '#libs/testing/daypass.js';
import { launchChromium } from './chromium.js';
import { look, lookAround, type Looked } from './pages/looking.js';

const model = 'gpt-5.4-mini';
const MODULES = join(import.meta.dirname, '..', 'node_modules');
const PAGE = `<!doctype html><title>An app</title>
<script type="module">import OpenAI from '/openai/index.mjs'; window.OfficialClient = OpenAI;</script>`;

/** What a project does with a key: it streams an answer to its visitor. */
const PROJECT = `import OpenAI from '/openai/index.mjs';
const out = document.querySelector('output');
document.addEventListener('daypass-key', async ({ detail: { key, baseURL } }) => {
  const client = new OpenAI({ apiKey: key, baseURL, dangerouslyAllowBrowser: true });
  const body = { model: '${model}', messages: [{ role: 'user', content: 'Say hello' }], max_tokens: 20, stream: true };
  let text = '';
  for await (const { choices } of await client.chat.completions.create(body)) text += choices[0]?.delta.content ?? '';
  out.textContent = 'answer: ' + text;
});
document.addEventListener('daypass-error', ({ detail }) => (out.textContent = 'error: ' + detail.code));`;

/** `/project/<token>/<way>/<policy>`: a stranger's page with the button, where `claim.js` comes from `daypassOrigin`. */
function projectPage(pathname: string, daypassOrigin: string): { html: string; policy: string } {
  const [, , token, way, policy] = pathname.split('/');
  const more = policy === 'strict' ? "; require-trusted-types-for 'script'" : '; worker-src blob:';
  return {
    html: `<!doctype html><html lang="en"><title>A project</title><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><meta name="color-scheme" content="light dark"><main><h1>A project</h1>
<daypass-button link="${token}" way="${way}" remember="session">Try it for free</daypass-button><p><output></output></p></main>
<script type="module" src="/project.js"></script><script type="module" src="${daypassOrigin}/claim.js"></script>`,
    policy: `default-src 'none'; img-src data:; script-src 'self' ${daypassOrigin}; connect-src ${daypassOrigin}${more}`,
  };
}

/** An app of its own origin, which brings OpenAI's official client along. */
async function serveApp(daypassOrigin: () => string): Promise<Server> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, 'http://app');
    if (pathname === '/project.js') {
      response.writeHead(200, { 'content-type': 'text/javascript' }).end(PROJECT);
      return;
    }
    if (pathname.startsWith('/project/')) {
      const { html, policy } = projectPage(pathname, daypassOrigin());
      response.writeHead(200, { 'content-type': 'text/html', 'content-security-policy': policy }).end(html);
      return;
    }
    if (!pathname.startsWith('/openai/')) {
      response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
      return;
    }
    readFile(join(MODULES, normalize(pathname))).then(
      // Some 240 files, for each page anew.
      (code) =>
        response.writeHead(200, { 'content-type': 'text/javascript', 'cache-control': 'max-age=3600' }).end(code),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** What the page sees of one call. */
interface Seen {
  text?: string;
  id?: string | null;
  error?: {
    name: string;
    status: number | undefined;
    code: string | null | undefined;
    message: string;
    retry: string | null | undefined;
  };
}

declare global {
  // The page's own, in the browser.
  var OfficialClient: typeof OpenAI;
}

describe('a page of another origin, with the official client in Chromium', () => {
  let daypass: SharedDaypass;
  let browser: Browser;
  let app: Server;
  let origin: string;
  let page: Page;
  /** Every request for a chat that the page sent, without the preflights. */
  const posts: string[] = [];

  beforeAll(async () => {
    [daypass, browser, app] = await Promise.all([
      shareDaypass(),
      launchChromium(),
      serveApp(() => new URL(daypass.baseUrl).origin),
    ]);
    origin = `http://127.0.0.1:${(app.address() as AddressInfo).port}`;
    page = await browser.newPage();
    page.setDefaultTimeout(60_000);
    page.on('request', (request) => {
      if (request.method() === 'POST') posts.push(request.url());
    });
    await page.goto(origin);
    await page.waitForFunction('window.OfficialClient !== undefined');
  });
  afterAll(async () => {
    await browser?.close();
    app?.close();
    await daypass?.stop();
  });

  /** Calls from the page; the client may try twice more. */
  async function call(key: string, wish: Partial<OpenAI.ChatCompletionCreateParamsStreaming>): Promise<Seen> {
    posts.length = 0;
    return page.evaluate(
      async ({ apiKey, baseURL, body }): Promise<Seen> => {
        const client = new OfficialClient({ apiKey, baseURL, dangerouslyAllowBrowser: true });
        try {
          const { data, response } = await client.chat.completions.create(body).withResponse();
          let text = '';
          for await (const { choices } of data) text += choices[0]?.delta.content ?? '';
          return { text, id: response.headers.get('x-request-id') };
        } catch (error) {
          const { name, status, code, message, headers } = error as InstanceType<typeof OpenAI.APIError>;
          return { error: { name, status, code, message, retry: headers?.get('x-should-retry') } };
        }
      },
      {
        apiKey: key,
        baseURL: daypass.baseUrl,
        body: {
          model,
          messages: [{ role: 'user' as const, content: 'Say hello' }],
          max_tokens: 20,
          ...wish,
          stream: true as const,
        },
      },
    );
  }

  it('reads a stream, and the headers of its answer', async () => {
    const { key } = await daypass.createKey();
    const { text, id, error } = await call(key, {});
    expect({ error, text: text!.length > 0 }).toEqual({ error: undefined, text: true });
    expect(id).toMatch(/^req_/);
    expect(posts).toHaveLength(1);
  });

  it('asks once for a spent budget, because it can read x-should-retry', async () => {
    const { key } = await daypass.createKey({ key: { budget_usd: '0.000001' } });
    const { error } = await call(key, {});
    expect(error).toMatchObject({ status: 429, code: 'insufficient_quota', retry: 'false' });
    expect(posts).toHaveLength(1);
  });

  it('reads what is wrong with its request, and with its key', async () => {
    const { key } = await daypass.createKey();
    const { error } = await call(key, { best_of: 3 } as object);
    expect(error).toMatchObject({
      status: 400,
      code: 'unpriceable_request',
      message: expect.stringContaining('best_of'),
    });
    const wrong = await call('dp_wrong', {});
    expect(wrong.error).toMatchObject({ status: 401, code: 'invalid_api_key' });
  });

  it('has responses with state, embeddings and conversations', async () => {
    const { key } = await daypass.createKey({ campaign: { models: [model, 'text-embedding-3-small'] } });
    const seen = await page.evaluate(
      async ({ apiKey, baseURL, model: asked }) => {
        const client = new OfficialClient({ apiKey, baseURL, dangerouslyAllowBrowser: true, maxRetries: 0 });
        const first = await client.responses.stream({ model: asked, input: 'Say hello' }).finalResponse();
        const second = await client.responses.create({ model: asked, input: 'Go on', previous_response_id: first.id });
        const { data } = await client.responses.inputItems.list(second.id);
        await client.responses.delete(first.id);
        const gone = await client.responses
          .create({ model: asked, input: 'Go on', previous_response_id: first.id })
          .catch((error: unknown) => error as InstanceType<typeof OpenAI.APIError>);
        const conversation = await client.conversations.create({ items: [{ role: 'user', content: 'Hi' }] });
        const vectors = await client.embeddings.create({ model: 'text-embedding-3-small', input: 'one' });
        return {
          statuses: [first.status, second.status],
          inputs: data.length,
          gone: 'headers' in gone ? [gone.status, gone.code, gone.headers?.get('x-should-retry')] : gone.id,
          items: (await client.conversations.items.list(conversation.id)).data.length,
          dimensions: vectors.data[0]!.embedding.length,
        };
      },
      { apiKey: key, baseURL: daypass.baseUrl, model },
    );
    expect(seen).toEqual({
      statuses: ['completed', 'completed'],
      inputs: 1,
      gone: [400, 'previous_response_not_found', 'false'],
      items: 1,
      dimensions: 1_536,
    });
  });

  it('is refused where the campaign names other origins, and served where it names this one', async () => {
    const elsewhere = await daypass.createKey({ campaign: { origins: ['https://app.example'] } });
    const { error } = await call(elsewhere.key, {});
    expect(error).toMatchObject({ status: 403, code: 'origin_not_allowed', message: expect.stringContaining(origin) });
    expect(posts).toHaveLength(1);
    const here = await daypass.createKey({ campaign: { origins: ['https://app.example', origin] } });
    expect(await call(here.key, {})).toEqual({ text: expect.stringMatching(/./), id: expect.stringMatching(/^req_/) });
  });

  describe('that takes keys of a claim link', () => {
    const slug = `embed-${randomBytes(5).toString('hex')}`;
    beforeAll(async () => {
      const claim = { title: 'Try it', claims_per_hour: 1_000 };
      const body = { slug, name: slug, budget_usd: '10.00', models: [model], claim };
      expect((await daypass.admin('/admin/v1/campaigns', { body })).status).toBe(201);
    });

    async function newLink(gate: 'pow' | 'code', wish: object = {}): Promise<{ token: string; code: string }> {
      const token = `embed-${randomBytes(5).toString('hex')}`;
      const body = {
        ...{ name: 'Page', token, gates: [gate], per_ip_per_day: 0, key: { budget_usd: '0.10', ttl_seconds: 3_600 } },
        ...{
          origins: [origin],
          redirect_uris: [`${origin}/project/${token}/popup/usual`, 'http://127.0.0.1:*'],
          ...wish,
        },
      };
      const made = await daypass.admin(`/admin/v1/campaigns/${slug}/links`, { body });
      expect([made.status, made.body.error]).toEqual([201, undefined]);
      if (gate !== 'code') return { token, code: '' };
      const codes = await daypass.admin(`/admin/v1/links/${made.body.id}/codes`, { body: { count: 1 } });
      return { token, code: codes.body.data[0].code as string };
    }
    async function open(path: string): Promise<Looked> {
      const looked = await look(browser, {}, [new URL(daypass.baseUrl).host]);
      await looked.page.goto(`${origin}${path}`);
      return looked;
    }
    const press = (of: Page) => of.getByRole('button', { name: 'Try it for free' });
    const said = async (of: Page, what: 'answer' | 'error'): Promise<string> => {
      await of.locator('output', { hasText: new RegExp(`^${what}: .`) }).waitFor();
      return of.locator('output').innerText();
    };
    /** The keys that the page keeps. */
    const kept = (of: Page): Promise<string[]> => of.evaluate(() => Object.values(sessionStorage) as string[]);
    const claimed = async (token: string): Promise<number> => {
      const { data } = (await daypass.admin(`/admin/v1/campaigns/${slug}/links`)).body;
      return (data as { token: string; claimed: number }[]).find((one) => one.token === token)!.claimed;
    };

    it('mints one by fetch, by keyboard, in a worker, and keeps it as it was asked to', async () => {
      const { token } = await newLink('pow');
      const { page: project, close, ...looked } = await open(`/project/${token}/popup/usual`);
      const workers: string[] = [];
      project.on('worker', (worker) => workers.push(worker.url()));
      expect(await claimed(token)).toBe(0);
      await project.keyboard.press('Tab');
      await project.keyboard.press('Enter');
      await said(project, 'answer');
      await project
        .getByRole('status')
        .getByText(/^Your key is ready until/)
        .waitFor();
      expect(workers).toEqual([expect.stringMatching(/^blob:/)]);
      expect(await kept(project)).toEqual([expect.stringContaining('"key":"dp_')]);
      expect(await lookAround({ page: project, close, ...looked }, 'embed-button')).toEqual([]);
      // Neither a reload nor a look at the link makes another key.
      await project.reload();
      await said(project, 'answer');
      for (const method of ['HEAD', 'GET'])
        await fetch(`${new URL(daypass.baseUrl).origin}/c/${token}`, { method, headers: { accept: 'text/html' } });
      expect(await claimed(token)).toBe(1);
      expect(looked.faults).toEqual([]);
      await close();
    });

    it('mints one under a policy that lets in no worker', async () => {
      const { token } = await newLink('pow');
      const { page: project, faults, close } = await open(`/project/${token}/popup/strict`);
      await press(project).click();
      await said(project, 'answer');
      expect(project.workers()).toEqual([]);
      expect(faults.filter((fault) => !/TrustedScriptURL|trusted-types/i.test(fault))).toEqual([]);
      await close();
    });

    it('gets none where the link does not name its origin, and says what to do', async () => {
      const { token } = await newLink('pow', { origins: ['https://app.example'] });
      const { page: project, close } = await open(`/project/${token}/popup/usual`);
      await press(project).click();
      expect(await said(project, 'error')).toBe('error: origin_not_allowed');
      await project
        .getByRole('status')
        .getByText(/Ask the operator to add the origin/)
        .waitFor();
      expect(await claimed(token)).toBe(0);
      await close();
    });

    it('gets one from a link that asks for more, by a window that closes by itself', async () => {
      const { token, code } = await newLink('code');
      const { page: project, context, faults, close } = await open(`/project/${token}/popup/usual`);
      const [popup] = await Promise.all([context.waitForEvent('page'), press(project).click()]);
      await popup.getByText(/asks for a key/).waitFor();
      expect(await popup.evaluate(() => window.opener as unknown)).toBeNull();
      await popup.getByLabel('Your one-time code').fill(code);
      const closed = popup.waitForEvent('close');
      await popup.getByRole('button', { name: 'Get my key' }).click();
      await said(project, 'answer');
      await closed;
      expect(await claimed(token)).toBe(1);
      expect(faults).toEqual([]);
      await close();
    });

    it('gets one by leaving and coming back, and from the visitor who goes back gets none', async () => {
      const { token, code } = await newLink('code');
      const { page: project, close } = await open(`/project/${token}/redirect/usual`);
      await press(project).click();
      await project.getByRole('link', { name: 'Go back without a key' }).click();
      expect(await said(project, 'error')).toBe('error: cancelled');
      await press(project).click();
      await project.getByLabel('Your one-time code').fill(code);
      await project.getByRole('button', { name: 'Get my key' }).click();
      await said(project, 'answer');
      expect(project.url()).toBe(`${origin}/project/${token}/redirect/usual`);
      expect(await claimed(token)).toBe(1);
      await close();
    });

    it('sends nobody to a foreign app, and the visitor may still take a key', async () => {
      const { token } = await newLink('pow');
      const { page: project, close } = await open('/');
      const app = new URLSearchParams({
        ...{ redirect_uri: 'https://evil.example/', code_challenge: 'x'.repeat(43), code_challenge_method: 'S256' },
      });
      await project.goto(`${new URL(daypass.baseUrl).origin}/c/${token}?${app.toString()}`);
      await project.getByText('The app that sent you gets no key here.').waitFor();
      await project.getByRole('button', { name: 'Get my key' }).click();
      await project.getByRole('heading', { name: 'Your key' }).waitFor();
      await close();
    });

    it('is opened from the claim page with a code in its address, and not with the key', async () => {
      const { token } = await newLink('pow');
      const openUrl = `${origin}/project/${token}/popup/usual#daypass={code}`;
      const changed = await daypass.admin(`/admin/v1/campaigns/${slug}`, {
        method: 'PATCH',
        body: { claim: { open_url: openUrl } },
      });
      expect([changed.status, changed.body.error]).toEqual([200, undefined]);
      const { page: project, context, close } = await open('/');
      const asked: string[] = [];
      context.on('request', (request) => asked.push(request.url()));
      await project.goto(`${new URL(daypass.baseUrl).origin}/c/${token}`);
      await project.getByRole('button', { name: 'Get my key' }).click();
      const key = await project.locator('code.secret').innerText();
      const [opened] = await Promise.all([
        context.waitForEvent('page'),
        project.getByRole('button', { name: 'Open the project with this key' }).click(),
      ]);
      await said(opened, 'answer');
      expect((await kept(opened)).join()).toContain(key);
      expect(opened.url()).toBe(`${origin}/project/${token}/popup/usual`);
      expect(asked.filter((url) => url.includes(key.slice(9)))).toEqual([]);
      await close();
    });
  });
});
