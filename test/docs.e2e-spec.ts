import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { z } from 'zod';
import { shareDaypass, type SharedDaypass } from '#libs/testing/daypass.js';
import { launchChromium } from './chromium.js';
import { LOOKS } from './pages/looking.js';

let daypass: SharedDaypass;
let browser: Browser;

beforeAll(async () => {
  daypass = await shareDaypass();
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await daypass?.stop();
});

describe('the admin API’s documentation in a browser', () => {
  it('shows every operation, loads nothing from elsewhere, and can try one out', async () => {
    const page = await browser.newPage({ viewport: { width: 1280, height: 1600 } });
    page.setDefaultTimeout(60_000);
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

describe('the visitors’ documentation in a browser', () => {
  const origin = (): string => new URL(daypass.baseUrl).origin;

  let page: Page;
  const strangers: string[] = [];
  const faults: string[] = [];

  /** It takes seconds to build: one page for all looks, which its styles alone tell apart. */
  beforeAll(async () => {
    page = await browser.newPage({ viewport: { width: 1_280, height: 1_200 }, colorScheme: 'light' });
    page.setDefaultTimeout(60_000);
    page.on('request', (request) => {
      const isOwn = request.url().startsWith(`${origin()}/`) || request.url().startsWith('data:');
      if (!isOwn) strangers.push(request.url());
    });
    page.on('pageerror', (error) => faults.push(error.message));
    // What the content security policy forbids is an error of the console.
    page.on('console', (message) => {
      if (message.type() === 'error') faults.push(message.text());
    });
    await page.goto(`${origin()}/docs`);
    await page.waitForSelector('.opblock');
    // It has the largest schema.
    const block = page.locator('.opblock-post', { has: page.locator('[data-path="/v1/responses"]') });
    await block.locator('.opblock-summary').click();
    await block.locator('.opblock-body .responses-table').waitFor();
    await block.locator('.tab button', { hasText: 'Schema' }).first().click();
    await block.locator('.json-schema-2020-12-expand-deep-button').first().click();
    await page.click('summary');
  });

  it('shows every operation and what belongs to it', async () => {
    const shown = await page.$$eval('.opblock-summary-path', (paths) =>
      paths.map((path) => path.getAttribute('data-path')),
    );
    expect(shown).toEqual(
      expect.arrayContaining([
        '/v1/chat/completions',
        '/v1/responses',
        '/v1/responses/{id}',
        '/v1/embeddings',
        '/v1/conversations/{id}/items/{itemId}',
        '/v1/models',
        '/v1/models/{model}',
        '/v1/key',
      ]),
    );
    const text = await page.innerText('#ui');
    for (const words of ['insufficient_quota', 'x-daypass-moderation', '/v1/vector_stores', '2026-08-26'])
      expect(text).toContain(words);
  });

  it.each(LOOKS)('is readable where it is %s and %i px wide', async (colors, width) => {
    await page.emulateMedia({ colorScheme: colors });
    await page.setViewportSize({ width, height: 1_200 });
    // A colour must not be read while it changes.
    await page.evaluate(async () => {
      const changes = document.getAnimations().filter((one) => one instanceof CSSTransition);
      await Promise.allSettled(changes.map(({ finished }) => finished));
    });
    if (process.env.SCREENSHOTS)
      await page.screenshot({ path: `${process.env.SCREENSHOTS}/docs-${colors}-${width}.png` });
    // What is wider than the page scrolls in a box of its own.
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
    const [paper, ...inks] = await page.evaluate(() => [
      getComputedStyle(document.documentElement).backgroundColor,
      ...['.info .renderedMarkdown p', 'table.headers td', '.json-schema-2020-12-expand-deep-button'].map(
        (words) => getComputedStyle(document.querySelector(words)!).color,
      ),
    ]);
    for (const ink of inks) expect([paper, ink, contrast(paper!, ink) >= 4.5]).toEqual([paper, ink, true]);
  });

  it('has no field for a key, calls nothing, and loads nothing from elsewhere', async () => {
    const operation = (path: string) => page.locator('.opblock', { has: page.locator(`[data-path="${path}"]`) });
    await page.locator('.opblock-post.is-open .opblock-summary').click();
    await operation('/v1/key').locator('.opblock-summary').click();
    await operation('/v1/key').locator('.responses-table').waitFor();
    expect(await page.locator('.authorize, .try-out, button.execute, input, textarea').count()).toBe(0);
    expect({ strangers, faults }).toEqual({ strangers: [], faults: [] });
  });

  it('describes what the key and the models look like', async () => {
    const { key } = await daypass.createKey();
    const { paths } = (await (await fetch(`${origin()}/docs/openapi.json`)).json()) as {
      paths: Record<
        string,
        Record<string, { responses: Record<string, { content: Record<string, { schema: object }> }> }>
      >;
    };
    for (const [path, asked] of [
      ['/v1/key', '/v1/key'],
      ['/v1/models', '/v1/models'],
      ['/v1/models/{model}', '/v1/models/gpt-5.4-mini'],
    ] as const) {
      const schema = paths[path]!.get!.responses['200']!.content['application/json']!.schema;
      const answer = await fetch(`${origin()}${asked}`, { headers: { authorization: `Bearer ${key}` } });
      const read = z
        .fromJSONSchema(closed(schema) as Parameters<typeof z.fromJSONSchema>[0])
        .safeParse(await answer.json());
      expect({ path, issues: read.error?.issues }).toEqual({ path, issues: undefined });
    }
  });
});

/** The same schema, which takes no field that it does not name. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== 'object' || schema === null) return schema;
  const inner = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]));
  return 'properties' in schema && (schema as { type?: string }).type === 'object'
    ? { ...inner, additionalProperties: false }
    : inner;
}

/** WCAG 2: the contrast of two colours as browsers write them. A colour without one of its own is white. */
function contrast(...colors: [string, string]): number {
  const [dark, light] = colors
    .map((color) =>
      color === 'rgba(0, 0, 0, 0)'
        ? [255, 255, 255]
        : [...color.matchAll(/\d+(\.\d+)?/g)].map(([part]) => Number(part)),
    )
    .map((parts) => {
      const [red, green, blue] = parts.slice(0, 3).map((part) => {
        const share = part / 255;
        return share <= 0.040_45 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
    })
    .toSorted((one, other) => one - other);
  return (light! + 0.05) / (dark! + 0.05);
}
