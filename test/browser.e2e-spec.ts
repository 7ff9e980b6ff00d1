import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';
import type OpenAI from 'openai';
import type { Browser, Page } from 'playwright-core';
import { shareDaypass, type SharedDaypass } from '#libs/testing/daypass.js';
import { launchChromium } from './chromium.js';

const model = 'gpt-5.4-mini';
const MODULES = join(import.meta.dirname, '..', 'node_modules');
const PAGE = `<!doctype html><title>An app</title>
<script type="module">import OpenAI from '/openai/index.mjs'; window.OfficialClient = OpenAI;</script>`;

/** An app of its own origin, which brings OpenAI's official client along. */
async function serveApp(): Promise<Server> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, 'http://app');
    if (!pathname.startsWith('/openai/')) {
      response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
      return;
    }
    readFile(join(MODULES, normalize(pathname))).then(
      (code) => response.writeHead(200, { 'content-type': 'text/javascript' }).end(code),
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
    [daypass, browser, app] = await Promise.all([shareDaypass(), launchChromium(), serveApp()]);
    origin = `http://127.0.0.1:${(app.address() as AddressInfo).port}`;
    page = await browser.newPage();
    page.setDefaultTimeout(20_000);
    page.on('request', (request) => {
      if (request.method() === 'POST') posts.push(request.url());
    });
    await page.goto(origin);
    await page.waitForFunction('window.OfficialClient !== undefined');
  }, 60_000);
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
});
