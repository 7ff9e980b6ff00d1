import { expect, it } from '@jest/globals';
import { launchChromium } from '../chromium.js';
import { claimAnswer, FakeVisitors, linkView } from '../pages/fake.visitors.js';
import { look } from '../pages/looking.js';

const TOKEN = 'k7f3Claim001';
const KEY_MAX_MS = 10_000;

it('a key comes within 10 s over slow 3G on a slow telephone', async () => {
  const [browser, fake] = await Promise.all([launchChromium(), FakeVisitors.start()]);
  try {
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
    process.stderr.write(`    a key over slow 3G: ${(tookMs / 1_000).toFixed(1)} s\n`);
    expect(tookMs).toBeLessThan(KEY_MAX_MS);
    await looked.close();
  } finally {
    await browser.close();
    fake.stop();
  }
}, 60_000);
