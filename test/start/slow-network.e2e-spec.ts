import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { launchChromium } from '../chromium.js';
import { claimAnswer, FakeVisitors, linkView } from '../pages/fake.visitors.js';
import { look } from '../pages/looking.js';

const TOKEN = 'k7f3Claim001';
const KEY_MAX_MS = 10_000;
/** Whatever else the machine does only adds to a time. */
const TRIES = 3;

let browser: Browser;
let fake: FakeVisitors;
beforeAll(async () => {
  [browser, fake] = await Promise.all([launchChromium(), FakeVisitors.start()]);
}, 60_000);
afterAll(async () => {
  await browser?.close();
  fake?.stop();
});

async function keyAfterMs(): Promise<number> {
  fake.links.set(TOKEN, { view: linkView(TOKEN), claim: () => claimAnswer() });
  const looked = await look(browser, { viewport: { width: 390, height: 800 } });
  const { page } = looked;
  const devtools = await looked.context.newCDPSession(page);
  // As the developer tools have "Slow 3G".
  await devtools.send('Network.emulateNetworkConditions', {
    offline: false,
    latency: 2_000,
    downloadThroughput: 50_000,
    uploadThroughput: 50_000,
  });
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: 4 });
  const startMs = performance.now();
  await page.goto(fake.url(`/c/${TOKEN}`), { waitUntil: 'commit' });
  await page.getByRole('button', { name: 'Get my key' }).click();
  await page.getByRole('heading', { name: 'Your key' }).waitFor();
  const tookMs = performance.now() - startMs;
  await looked.close();
  return tookMs;
}

it('a key comes within 10 s over slow 3G on a slow telephone', async () => {
  let leastMs = Infinity;
  for (let tried = 0; tried < TRIES && leastMs > KEY_MAX_MS; tried += 1)
    leastMs = Math.min(leastMs, await keyAfterMs());
  process.stderr.write(`    a key over slow 3G: ${(leastMs / 1_000).toFixed(1)} s\n`);
  expect(leastMs).toBeLessThan(KEY_MAX_MS);
}, 120_000);
