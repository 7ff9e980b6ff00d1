import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { devices, type Browser, type Locator } from 'playwright-core';
import decodeQR from 'qr/decode.js';
import { until } from '#libs/testing/until.js';
import { launchChromium } from '../chromium.js';
import { look, type Looked } from '../pages/looking.js';
import { descendants, failedStart, freePorts, npmStart, paste as pasted, type Started } from './started.js';

const run = promisify(execFile);

/**
 * What a stranger does in the first minutes, from `git clone` on. Only the packages are taken over from here: `npm test`
 * installed them from the same lock, as a first start does.
 */
const HERE = process.cwd();
const READY_WITHIN_MS = 120_000;
/** A person has two minutes. This types faster, and may meet a busy machine. */
const LAUNCH_MAX_MS = 60_000;
const KEY_MAX_MS = 10_000;
const SPEND_MAX_MS = 2_000;
const DOOR_MAX_MS = 1_000;
/** As the console shows it. */
const NOTHING = /\$0\.00(?!\d)/;
/** The visitor's page asks each 5 s. */
const PAGE_MAX_MS = 10_000;
const CALL_EVERY_MS = 100;

const folder = mkdtempSync(join(tmpdir(), 'daypass-stranger-'));
const clone = join(folder, 'daypass');
let ports: Record<string, string>;
let started: Started | undefined;
let browser: Browser;
let operator: Looked;
let phone: Looked;
/** The line that the claim page shows, for a shell. */
let curl: string;

beforeAll(async () => {
  execFileSync('git', ['clone', '--quiet', HERE, clone]);
  const lock = 'package-lock.json';
  if (readFileSync(join(clone, lock), 'utf8') !== readFileSync(join(HERE, lock), 'utf8'))
    throw new Error(
      `${lock} differs from the last commit: commit it, so that the clone needs the packages that are here`,
    );
  symlinkSync(join(HERE, 'node_modules'), join(clone, 'node_modules'));
  browser = await launchChromium();
}, 60_000);

afterAll(async () => {
  await browser?.close();
  started?.child.kill('SIGTERM');
  await started?.ended;
  rmSync(folder, { recursive: true, force: true });
});

/** Each step needs the one before: without it none waits for what cannot come. */
let isBroken = false;
function step(name: string, act: () => Promise<void>, timeoutMs = 60_000): void {
  it(
    name,
    async () => {
      expect(isBroken).toBe(false);
      isBroken = true;
      await act();
      isBroken = false;
    },
    timeoutMs,
  );
}

describe('a stranger', () => {
  step(
    'starts Daypass from a clone, and follows the printed link into the console',
    async () => {
      ports = await freePorts();
      const watch = stopwatch();
      started = await startAgain();
      const [built] = /Built Daypass in [\d.]+ s/.exec(started.output())!;
      report('start', watch(), `packages were there; ${built}`);

      operator = await look(browser);
      const { page } = operator;
      await page.goto(printed(/http:\/\/localhost:\d+\/console\/login#code=[\w-]+/));
      await page.getByLabel('Your name').fill('Olga');
      await named(page, 'button', 'Sign in').click();
      await named(page, 'heading', 'Overview').waitFor();
      expect(page.url()).not.toContain('code=');
      await page.getByText('Answers are made up').waitFor();
    },
    180_000,
  );

  step('launches a campaign in four steps (O1)', async () => {
    const { page } = operator;
    const watch = stopwatch();
    await named(page, 'link', 'Launch a campaign').click();
    await named(page, 'textbox', 'Name').pressSequentially('Acme Agents');
    await named(page, 'button', 'Next').click();
    await page.getByLabel('Total budget in dollars').fill('20');
    await named(page, 'button', 'Next').click();
    await page.getByLabel('Number of keys').fill('5');
    await named(page, 'button', 'Next').click();
    await named(page, 'button', 'Launch').click();
    await named(page, 'heading', 'Acme Agents is live').waitFor();
    await page.locator('.qr').waitFor();
    expect(watch()).toBeLessThan(LAUNCH_MAX_MS);
    report('O1', watch(), 'from the button to link, QR code and badge');
    await page.getByText('Nobody set DAYPASS_PUBLIC_URL, so the link works in this network only.').waitFor();
    await named(page, 'button', 'Test this link').click();
    await page.getByText('The link works', { exact: true }).waitFor();
  });

  step('scans the QR code with a telephone, and has a key after one press (V1)', async () => {
    phone = await look(browser, { ...devices['Pixel 7'], reducedMotion: 'reduce' });
    const url = await scanned(operator.page.locator('.qr'));
    expect(await operator.page.locator('.share code').first().innerText()).toBe(url);
    // As a telephone of the same network reaches this machine.
    expect(new URL(url).origin).toBe(new URL(printed(/http:\/\/\S+(?=\/c\/demo from this network)/)).origin);
    const { page } = phone;
    const watch = stopwatch();
    await page.goto(url);
    await named(page, 'button', 'Get my key').tap();
    await named(page, 'heading', 'Your key').waitFor();
    expect(await page.locator('code.secret').innerText()).toMatch(/^dp_\w{38}$/);
    expect(watch()).toBeLessThan(KEY_MAX_MS);
    report('V1', watch(), 'from the link to the key, by LAN address');
    expect(await page.evaluate(() => isSecureContext)).toBe(false);
    await named(page, 'tab', 'curl').tap();
    curl = await page.getByRole('region', { name: 'curl snippet' }).innerText();
    expect(curl).toContain(`${new URL(url).origin}/v1/`);
  });

  step('pastes the curl line, and sees what it cost in the console (O3)', async () => {
    const { page } = operator;
    await named(page, 'link', 'Go to the campaign').click();
    const figure = (name: string): Locator =>
      page.locator('.figures > div', { has: page.getByText(name, { exact: true }) }).locator('dd');
    await figure('Spent').getByText('$0.00').waitFor();
    await page.locator('.today').getByText('$0.00').waitFor();
    const { answer, isOverAt } = await paste(curl);
    expect(answer).toMatchObject({ object: 'chat.completion' });
    const seen = async (where: Locator): Promise<number> => {
      await until('the spend in the console', async () => !NOTHING.test(await where.innerText()), 20_000);
      return performance.now() - isOverAt;
    };
    const [campaign, header] = await Promise.all([seen(figure('Spent')), seen(page.locator('.today'))]);
    report('O3', Math.max(campaign, header), 'from the answer to the spend in the header and on the campaign');
    expect(campaign).toBeLessThan(SPEND_MAX_MS);
    expect(header).toBeLessThan(SPEND_MAX_MS);
  });

  step(
    'finds who sent the flagged phrase and suspends the key by keyboard alone; its holder is told (O4)',
    async () => {
      await phone.page.getByRole('link', { name: 'balance and calls' }).tap();
      await phone.page.getByText('active').first().waitFor();
      const phrase = (
        JSON.parse(/-d '(\{.*\})'/.exec(printed(/A message that moderation refuses:\s+curl .*/))![1]!) as {
          messages: [{ content: string }];
        }
      ).messages[0].content;
      const { answer } = await paste(curl.replace('Say hello', phrase));
      expect(answer).toMatchObject({ error: { code: 'moderation_blocked' } });
      await phone.page.getByText('A guard refused your input').waitFor();

      const { page } = operator;
      await named(page, 'link', 'Overview').click();
      const watch = stopwatch();
      for (const key of ['g', 'r']) await page.keyboard.press(key);
      await named(page, 'heading', 'Review').waitFor();
      const first = page.locator('.row-link:focus');
      await first.waitFor();
      await page.keyboard.press('Enter');
      await page.getByText('violence').first().waitFor();
      await page.keyboard.press('t');
      await page.getByText(phrase).first().waitFor();
      await page.keyboard.press('s');
      await page.getByText('is suspended.').waitFor();
      report('O4', watch(), 'with g, r, Enter, t and s: from the overview to the text read and the key suspended');
      await phone.page.getByText('Your key is suspended.').waitFor({ timeout: PAGE_MAX_MS });
    },
  );

  step('tops up in one dialog (O5)', async () => {
    const { page } = operator;
    const watch = stopwatch();
    await named(page, 'link', 'Campaigns').click();
    await named(page, 'link', 'Acme Agents').click();
    await named(page, 'button', 'Top up').click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Dollars to add').fill('5');
    await dialog.getByText('from $20.00 to $25.00').waitFor();
    await named(dialog, 'button', 'Top up').click();
    await dialog.waitFor({ state: 'detached' });
    await page.getByText('of $25.00').first().waitFor();
    report('O5', watch(), 'to top up, from any page');
  });

  step('shuts the door for all within a second, and opens it (O5)', async () => {
    const { page } = operator;
    const demo = printed(/curl \S+\/chat\/completions .*Say hello to a newcomer.*/);
    expect((await paste(demo)).answer).toMatchObject({ object: 'chat.completion' });
    await named(page, 'button', 'Door open').click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Why').fill('somebody posted the key');
    const watch = stopwatch();
    const isPressed = named(dialog, 'button', 'Shut the door').click();
    const refused: Promise<number | null>[] = [];
    while (watch() < DOOR_MAX_MS) {
      const atMs = watch();
      refused.push(paste(demo).then(({ answer }) => ((answer as Refused).error?.code === 'paused' ? atMs : null)));
      await sleep(CALL_EVERY_MS);
    }
    const sentAt = (await Promise.all(refused)).filter((atMs) => atMs !== null);
    expect(sentAt.length).toBeGreaterThan(0);
    report('O5', sentAt[0]!, 'from the press on Shut the door to the first refused call');
    await isPressed;
    await named(page, 'button', 'Door shut').waitFor();
    expect((await paste(demo)).answer).toMatchObject({ error: { code: 'paused' } });

    await named(page, 'button', 'Door shut').click();
    await dialog.getByText('somebody posted the key').waitFor();
    await dialog.getByLabel('Why').fill('it has another key');
    await named(dialog, 'button', 'Open the door').click();
    await named(page, 'button', 'Door open').waitFor();
    await until('a call', async () => 'choices' in (await paste(demo)).answer);
  });

  step('revokes all keys after a count, and the holder is told (O8)', async () => {
    const { page } = operator;
    const watch = stopwatch();
    await named(page, 'button', 'More').click();
    await named(page, 'menuitem', 'Revoke all keys').click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('1 key ends for ever').waitFor();
    await dialog.getByLabel('Why').fill('the event is over');
    await dialog.getByLabel('Type acme-agents').fill('acme-agents');
    await named(dialog, 'button', 'Revoke 1 key').click();
    await dialog.waitFor({ state: 'detached' });
    report('O8', watch(), 'from the menu to the keys revoked');
    await phone.page.getByText('Your key has ended.').waitFor({ timeout: PAGE_MAX_MS });
    expect((await paste(curl)).answer).toMatchObject({ error: { code: 'invalid_api_key' } });
  });

  step('saw no fault in any page', async () => {
    expect([...operator.faults, ...phone.faults]).toEqual([]);
    await browser.close();
  });
});

describe('its npm start', () => {
  step('refuses to start twice on one data folder, and names the variable of a port in use', async () => {
    const samePorts = await failedStart({ cwd: clone, env: ports });
    expect(samePorts.status).toBe(1);
    expect(samePorts.errors).toMatch(/port \d+ is in use \(DAYPASS_PORT\)/);
    expect(
      samePorts.errors.match(/^DAYPASS_PORT=\d+ DAYPASS_ADMIN_PORT=\d+ DAYPASS_OPS_PORT_BASE=\d+ npm start$/gm),
    ).toHaveLength(1);
    const otherPorts = await failedStart({ cwd: clone, env: await freePorts() });
    expect(otherPorts.status).toBe(1);
    expect(otherPorts.errors).toMatch(/already runs on .* set DAYPASS_DATA_DIR/);
  });

  step('stops on a bad setting, and names it', async () => {
    const env = { ...(await freePorts()), DAYPASS_DATA_DIR: join(folder, 'data'), DAYPASS_LOG_LEVEL: 'loud' };
    const { status, errors } = await failedStart({ cwd: clone, env });
    expect(status).toBe(1);
    expect(errors).toContain('DAYPASS_LOG_LEVEL');
  });

  step(
    'ends on Ctrl-C without leaving a process, and goes on with the same key and balance',
    async () => {
      const { child, curls, ended } = started!;
      const before = pasted(curls[1]!);
      const processes = descendants(child.pid!);
      child.kill('SIGINT');
      expect(await ended).toBe(0);
      expect(processes.filter(isAlive)).toEqual([]);

      started = await startAgain();
      expect(started.curls).toEqual(curls);
      expect(pasted(started.curls[1]!)).toEqual(before);
    },
    180_000,
  );

  step(
    'leaves no process when it is killed with -9, and starts again from what was booked',
    async () => {
      pasted(started!.curls[0]!);
      const before = pasted(started!.curls[1]!);
      const processes = descendants(started!.child.pid!);
      for (const pid of launchers(processes)) process.kill(pid, 'SIGKILL');
      await until('every process has ended', () => !processes.some(isAlive), 40_000).catch(() => undefined);
      expect(processes.filter(isAlive).map(commandOf)).toEqual([]);

      started = await startAgain();
      expect(pasted(started.curls[1]!)).toEqual(before);
    },
    240_000,
  );

  step('ends at once on a second Ctrl-C, though a service hangs', async () => {
    const processes = descendants(started!.child.pid!);
    const [ingress] = processes.filter((pid) => commandOf(pid).includes('apps/ingress'));
    process.kill(ingress!, 'SIGSTOP');
    started!.child.kill('SIGINT');
    await sleep(1_000);
    expect(isAlive(ingress!)).toBe(true);
    started!.child.kill('SIGINT');
    expect(await started!.ended).not.toBe(0);
    await until('every process has ended', () => !processes.some(isAlive), 10_000).catch(() => undefined);
    expect(processes.filter(isAlive)).toEqual([]);
  });
});

/** On the same ports, with the same data. */
const startAgain = (): Promise<Started> => npmStart({ cwd: clone, env: ports, readyWithinMs: READY_WITHIN_MS });

interface Refused {
  error?: { code: string };
}

/** In milliseconds, since it was made. */
function stopwatch(): () => number {
  const startedMs = performance.now();
  return () => performance.now() - startedMs;
}

function report(name: string, ms: number, what: string): void {
  process.stderr.write(`    ${name.padEnd(5)}  ${(ms / 1_000).toFixed(1).padStart(5)} s  ${what}\n`);
}

function printed(pattern: RegExp): string {
  const [found] = pattern.exec(started!.output()) ?? [];
  if (found === undefined) throw new Error(`npm start printed nothing like ${pattern}:\n${started!.output()}`);
  return found;
}

const named = (within: Pick<Locator, 'getByRole'>, role: Parameters<Locator['getByRole']>[0], name: string): Locator =>
  within.getByRole(role, { name, exact: true });

/** Runs a line as a shell does. */
async function paste(line: string): Promise<{ answer: object; isOverAt: number }> {
  const { stdout } = await run('bash', ['-c', line]);
  return { answer: JSON.parse(stdout) as object, isOverAt: performance.now() };
}

/** What a camera reads from the operator's screen. */
async function scanned(qr: Locator): Promise<string> {
  const photo = (await qr.screenshot()).toString('base64');
  const reader = await browser.newPage();
  const { pixels, ...size } = await reader.evaluate(async (data) => {
    const picture = new Image();
    picture.src = `data:image/png;base64,${data}`;
    await picture.decode();
    const canvas = document.createElement('canvas');
    const { width, height } = Object.assign(canvas, { width: picture.width, height: picture.height });
    const context = canvas.getContext('2d')!;
    context.drawImage(picture, 0, 0);
    // As a list of numbers it takes the browser seconds to hand over.
    const pixels = Array.from(context.getImageData(0, 0, width, height).data, (byte) => String.fromCharCode(byte)).join(
      '',
    );
    return { width, height, pixels };
  }, photo);
  await reader.close();
  return decodeQR({ ...size, data: Buffer.from(pixels, 'latin1') });
}

const commandOf = (pid: number): string =>
  execFileSync('ps', ['-p', String(pid), '-o', 'args='], { encoding: 'utf8' }).trim();

/** npm, the script that it runs, and the launcher: everything that could still tidy up. */
const launchers = (pids: number[]): number[] =>
  pids.filter((pid) => /^npm |start\.mjs|launch\/launch\.js/.test(commandOf(pid)));

/** A process that has ended but that nobody has collected is not alive. */
function isAlive(pid: number): boolean {
  try {
    return !execFileSync('ps', ['-p', String(pid), '-o', 'stat='], { encoding: 'utf8' }).startsWith('Z');
  } catch {
    return false;
  }
}
