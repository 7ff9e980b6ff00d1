import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type axe from 'axe-core';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';

export type Scheme = 'light' | 'dark';
/** Each page is looked at like this: a desk and a telephone, by day and by night. */
export const LOOKS: readonly (readonly [Scheme, number])[] = [
  ['light', 1_280],
  ['light', 390],
  ['dark', 1_280],
  ['dark', 390],
];
const HEIGHT = 900;
/** Each page compiles it anew. */
const AXE = readFileSync(join(import.meta.dirname, '../../node_modules/axe-core/axe.min.js'), 'utf8');
/** A change of scheme must not be looked at halfway. */
const USUAL: BrowserContextOptions = { viewport: { width: 1_280, height: HEIGHT }, reducedMotion: 'reduce' };

/** A page, with everything that must not happen in it. */
export interface Looked {
  page: Page;
  context: BrowserContext;
  /** Violations of the content security policy, errors of the page, and requests to other hosts. */
  faults: string[];
  close: () => Promise<void>;
}

/** What belongs to a page whose service refuses something: the browser writes each such answer into its console. */
const REFUSED_ANSWER = /Failed to load resource: (the server responded with a status of|net::ERR_)/;

/** A page of a LAN address by http is no secure context. Its browser writes that it obeys no such header there. */
const UNTRUSTWORTHY = /^The Cross-Origin-Opener-Policy header has been ignored/;

interface Kept {
  context: BrowserContext;
  /** Whoever it has asked, and who may have left something in it. */
  origins: Set<string>;
}

/**
 * A context in which nobody looks any more, for each browser and set of options. The next look finds it empty, but for
 * the files of the pages, which a new context would load and compile again.
 */
const idle = new WeakMap<Browser, Map<string, Kept>>();

async function newContext(browser: Browser, options: BrowserContextOptions): Promise<Kept> {
  const context = await browser.newContext({ ...USUAL, ...options });
  // Without a tab its process ends, and the next look starts and warms another one.
  await context.newPage();
  const origins = new Set<string>();
  context.on('request', (request) => {
    if (request.url().startsWith('http')) origins.add(new URL(request.url()).origin);
  });
  return { context, origins };
}

/** Takes out of a context whatever an earlier look left. */
async function clear({ context, origins }: Kept, page: Page, options: BrowserContextOptions): Promise<void> {
  if (origins.size === 0) return;
  const devtools = await context.newCDPSession(page);
  for (const origin of origins) await devtools.send('Storage.clearDataForOrigin', { origin, storageTypes: 'all' });
  await devtools.detach();
  origins.clear();
  await context.clearPermissions();
  await context.clearCookies();
  if (typeof options.storageState === 'object') await context.addCookies(options.storageState.cookies);
}

/** A new tab of a context in which nobody else looks, and which knows what `options` say and nothing more. */
async function newTab(browser: Browser, options: BrowserContextOptions): Promise<Omit<Looked, 'faults'>> {
  const name = JSON.stringify(options);
  const waiting = idle.get(browser) ?? new Map<string, Kept>();
  idle.set(browser, waiting);
  const kept = waiting.get(name) ?? (await newContext(browser, options));
  waiting.delete(name);
  const { context } = kept;
  const page = await context.newPage();
  await clear(kept, page, options);
  let hasClock = false;
  Object.defineProperty(page, 'clock', {
    get: () => {
      hasClock = true;
      return context.clock;
    },
  });
  const close = async (): Promise<void> => {
    // A clock stays with its context for good.
    if (hasClock || waiting.has(name)) return context.close();
    for (const one of context.pages().slice(1)) await one.close();
    waiting.set(name, kept);
  };
  return { page, context, close };
}

/** Opens an empty page that writes down its faults. `hosts`: whom else it may ask, as `host:port`. */
export async function look(
  browser: Browser,
  options: BrowserContextOptions = {},
  hosts: readonly string[] = [],
): Promise<Looked> {
  const { page, context, close } = await newTab(browser, options);
  page.setDefaultTimeout(60_000);
  const faults: string[] = [];
  await page.exposeFunction('tellViolation', (violation: string) => faults.push(`policy: ${violation}`));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sample, sourceFile }) => {
      const tell = (globalThis as unknown as { tellViolation: (violation: string) => void }).tellViolation;
      tell(`${violatedDirective} ${blockedURI} ${sample} ${sourceFile}`);
    });
  });
  let own: string | null = null;
  page.on('framenavigated', (frame) => {
    if (frame === page.mainFrame() && frame.url().startsWith('http')) own = new URL(frame.url()).host;
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol === 'data:' || url.protocol === 'blob:' || request.isNavigationRequest()) return;
    if (url.host !== own && !hosts.includes(url.host)) faults.push(`stranger: ${request.url()}`);
  });
  // Chromium drops what it loads where somebody adds a network to the machine, as Docker does. No page can help that.
  page.on('requestfailed', (request) => {
    const isPart = request.resourceType() === 'script' || request.resourceType() === 'stylesheet';
    if (isPart && request.failure()?.errorText === 'net::ERR_NETWORK_CHANGED')
      void page.reload().catch(() => undefined);
  });
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`));
  page.on('console', (message) => {
    const isFault = ![REFUSED_ANSWER, UNTRUSTWORTHY].some((known) => known.test(message.text()));
    if (message.type() === 'error' && isFault) faults.push(`console: ${message.text()}`);
  });
  return { page, context, faults, close };
}

/** Every fault of accessibility that axe finds, as `rule: element`. `rules`: no others; absent: all. */
export async function axeFaults(page: Page, rules?: string[]): Promise<string[]> {
  // Not a script element: the page's policy holds for those.
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(AXE);
  return page.evaluate(
    async ([only]) => {
      const { run } = (globalThis as unknown as { axe: typeof axe }).axe;
      const options = only === undefined ? {} : { runOnly: { type: 'rule' as const, values: only } };
      const { violations } = await run(document, { resultTypes: ['violations'], ...options });
      return violations.flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target.join(' ')}`));
    },
    [rules],
  );
}

/** Whether something is wider than the window, so that a visitor must scroll sideways. */
export const scrollsSideways = (page: Page): Promise<boolean> =>
  page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);

/**
 * Looks at a page in all four ways without loading it again, because each page follows the system's scheme. Returns what is
 * wrong. With SCREENSHOTS=folder each look is kept there.
 */
export async function lookAround({ page }: Looked, name: string): Promise<string[]> {
  const found: string[] = [];
  for (const [scheme, width] of LOOKS) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: HEIGHT });
    const where = `${name} ${scheme} ${width}`;
    // The scheme changes nothing but colours.
    const rules = scheme === 'dark' ? ['color-contrast'] : undefined;
    for (const fault of await axeFaults(page, rules)) found.push(`${where}: ${fault}`);
    if (await scrollsSideways(page)) found.push(`${where}: scrolls sideways`);
    if (process.env.SCREENSHOTS)
      await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}-${scheme}-${width}.png`, fullPage: true });
  }
  return found;
}
