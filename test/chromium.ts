import { execFileSync } from 'node:child_process';
import { chromium, type Browser } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

/** The machine's own Chromium. @throws where it has none */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: findChromium(),
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-extensions',
      // Half of what a page takes is a new process for it, and a graphics card that is none.
      '--disable-site-isolation-trials',
      '--renderer-process-limit=1',
      '--disable-software-rasterizer',
    ],
  });
}

function findChromium(): string {
  for (const name of NAMES) {
    try {
      return execFileSync('/bin/sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    } catch {
      continue;
    }
  }
  throw new Error(`found none of ${NAMES.join(', ')}: install Chromium, it is what the pages are tested in`);
}
