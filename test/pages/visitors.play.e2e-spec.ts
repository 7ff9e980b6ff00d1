import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ServerResponse } from 'node:http';
import { networkInterfaces } from 'node:os';
import type { Browser, Page } from 'playwright-core';
import { ERRORS } from '#libs/contracts/errors.js';
import { until } from '#libs/testing/until.js';
import { createVirtualKey } from '#libs/secrets/virtual-key.js';
import { launchChromium } from '../chromium.js';
import type { ChatRequest } from '../../web/visitors/play/chat.js';
import { FakeVisitors, heldCalls, heldKey, refuse, STREAM_HEAD, type FakeKey } from './fake.visitors.js';
import { look, lookAround, scrollsSideways, type Looked } from './looking.js';

let browser: Browser;
let fake: FakeVisitors;
beforeAll(async () => {
  [browser, fake] = await Promise.all([launchChromium(), FakeVisitors.start('0.0.0.0')]);
});
afterAll(async () => {
  await browser?.close();
  fake?.stop();
});

const LAN = Object.values(networkInterfaces())
  .flatMap((some) => some ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

/** The playground with a key that this tab keeps. */
async function open(key: FakeKey, host = '127.0.0.1', title = 'Acme'): Promise<Looked> {
  const secret = createVirtualKey();
  fake.keys.set(secret, key);
  const looked = await look(browser);
  const kept = { key: secret, link: '', title, at: new Date().toISOString(), baseUrl: 'https://try.acme.example/v1' };
  await looked.page.addInitScript((text) => sessionStorage.setItem('daypass-keys', text), JSON.stringify([kept]));
  await looked.page.goto(fake.url('/play', host));
  return looked;
}

const chunk = (delta: object, more: object = {}): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta, ...more }] })}\n\n`;
const END = [
  chunk({}, { finish_reason: 'stop' }),
  `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 24, completion_tokens: 61 } })}\n\n`,
  'data: [DONE]\n\n',
].join('');
const say = async (page: Page, text: string): Promise<void> => {
  await page.getByLabel('Your message').fill(text);
  await page.keyboard.press('Enter');
};
const call = { ...heldCalls(1)[0]!, id: STREAM_HEAD['x-request-id'], cost_usd: '0.000412', waited_ms: 1_340 };
const CODE = 'Sure. This prints it:\n\n```python\nprint("<b>hello</b>")\n```\n\nRun it with <i>Python 3</i>.';

describe('the playground', () => {
  it('asks for a key where this browser has none', async () => {
    const looked = await look(browser);
    await looked.page.goto(fake.url('/play'));
    await looked.page.getByText('This page needs a key.').waitFor();
    expect(await looked.page.getByRole('link', { name: 'Enter my key' }).getAttribute('href')).toBe('/key');
    expect([...(await lookAround(looked, 'play-no-key')), ...looked.faults]).toEqual([]);
    await looked.close();
  });

  it('shows the place in the line, the answer as it comes, and what it cost', async () => {
    let stream: ServerResponse | undefined;
    const requests: ChatRequest[] = [];
    const looked = await open({
      view: () => heldKey(),
      calls: () => ({ data: [call], next_cursor: null }),
      chat: (request, response) => {
        requests.push(request);
        stream = response;
        response.writeHead(200, STREAM_HEAD).write(': queued position=12 eta_ms=900\n\n');
      },
    });
    const { page, faults, close } = looked;
    await page.getByLabel('System text').fill('Be brief.');
    await page.getByLabel('Max tokens').fill('2o50');
    expect(await page.getByLabel('Max tokens').inputValue()).toBe('250');
    await page.getByLabel('Model').selectOption('gpt-5.4-nano');
    await say(page, 'Print hello in Python');
    await page.getByText('12th in line, about 1 s', { exact: true }).waitFor();
    expect(await lookAround(looked, 'play-queued')).toEqual([]);
    stream!.write(chunk({ role: 'assistant', content: CODE.slice(0, 21) }));
    await page.getByText('Sure. This prints it:').waitFor();
    // Words that are not a whole sentence yet are shown, and not read out.
    expect(await page.getByRole('log').innerText()).toBe('12th in line, about 1 s.\n\nSure.');
    stream!.end(chunk({ content: CODE.slice(21) }) + END);
    await page.getByText('$0.000412').waitFor();
    await page.getByText('24 / 61').waitFor();
    expect(await page.getByRole('region', { name: 'Code python' }).innerText()).toBe('print("<b>hello</b>")');
    expect(await page.getByText('Run it with <i>Python 3</i>.', { exact: true }).first().isVisible()).toBe(true);
    const spoken = await page.getByRole('log').innerText();
    expect(spoken).toContain('A block of code.\n\nRun it with <i>Python 3</i>.');
    expect(spoken).not.toContain('print(');
    expect(requests).toEqual([
      {
        model: 'gpt-5.4-nano',
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'Print hello in Python' },
        ],
        stream: true,
        stream_options: { include_usage: true },
        max_completion_tokens: 250,
      },
    ]);
    expect(await lookAround(looked, 'play-answered')).toEqual([]);
    await page.setViewportSize({ width: 320, height: 700 });
    expect(await scrollsSideways(page)).toBe(false);

    await page.getByRole('tab', { name: 'As code' }).click();
    await page.getByRole('tab', { name: 'Python' }).click();
    const python = await page.getByRole('region', { name: 'Python snippet' }).innerText();
    expect(python).toContain('base_url="https://try.acme.example/v1"');
    expect(python).toContain('"content": "Print hello in Python"');
    expect(await lookAround(looked, 'play-code')).toEqual([]);
    expect(faults).toEqual([]);
    await close();
  });

  it('stops an answer, keeps what came, and asks on', async () => {
    let isCut = false;
    const requests: ChatRequest[] = [];
    const { page, faults, close } = await open({
      view: () => heldKey(),
      chat: (request, response) => {
        requests.push(request);
        response.once('close', () => (isCut ||= !response.writableEnded));
        response.writeHead(200, STREAM_HEAD).write(chunk({ content: 'One, two' }));
        if (requests.length > 1) response.end(END);
      },
    });
    await say(page, 'Count');
    await page.getByText('One, two').first().waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('You stopped the answer here.').waitFor();
    await until('the call to be cut off', () => isCut);
    expect(await page.getByLabel('Your message').evaluate((field) => field === document.activeElement)).toBe(true);
    await say(page, 'Go on');
    await page.getByText('24 / 61').waitFor();
    expect(requests[1]!.messages.map(({ content }) => content)).toEqual(['Count', 'One, two', 'Go on']);
    await page.getByRole('button', { name: 'New conversation' }).click();
    expect(await page.getByText('One, two').count()).toBe(0);
    expect(faults).toEqual([]);
    await close();
  });

  it('says in the text where moderation stopped an answer', async () => {
    const looked = await open({
      view: () => heldKey(),
      calls: () => ({ data: [{ ...call, output: ['pass', 'blocked'] }], next_cursor: null }),
      chat: (_, response) => {
        response
          .writeHead(200, STREAM_HEAD)
          .end(
            chunk({ content: 'It begins well,' }) + chunk({}, { finish_reason: 'content_filter' }) + 'data: [DONE]\n\n',
          );
      },
    });
    await say(looked.page, 'Tell me');
    await looked.page.getByText('Content moderation stopped this answer here.').waitFor();
    await looked.page.getByText('answer: refused').waitFor();
    expect([...(await lookAround(looked, 'play-filtered')), ...looked.faults]).toEqual([]);
    await looked.close();
  });

  it('explains a refusal, and sends nothing of it again', async () => {
    const requests: ChatRequest[] = [];
    const looked = await open({
      view: () => heldKey(),
      chat: (request, response) => {
        requests.push(request);
        if (requests.length === 1)
          return refuse('moderation_blocked', {
            message: 'Refused (violence).',
            details: { categories: ['violence'] },
          });
        response.writeHead(200, STREAM_HEAD).end(chunk({ content: 'Fine.' }) + END);
        return undefined;
      },
    });
    const { page, faults, close } = looked;
    await say(page, 'Something bad');
    await page.getByText('Refused (violence).').waitFor();
    const link = page.getByRole('link', { name: 'moderation_blocked' });
    expect(await link.getAttribute('href')).toBe('/help#moderation_blocked');
    expect(await lookAround(looked, 'play-refused')).toEqual([]);
    await page.getByRole('button', { name: 'Change it, and send again' }).click();
    expect(await page.getByLabel('Your message').inputValue()).toBe('Something bad');
    await say(page, 'Something good');
    await page.getByText('Fine.').first().waitFor();
    expect(requests[1]!.messages).toEqual([{ role: 'user', content: 'Something good' }]);
    expect(faults).toEqual([]);
    await close();
  });

  it('tells an error in the stream, a broken stream, and one that never came', async () => {
    let count = 0;
    const { page, faults, close } = await open({
      view: () => heldKey(),
      chat: (_, response) => {
        count++;
        if (count === 3) return refuse(503);
        response.writeHead(200, STREAM_HEAD);
        const error = { message: 'It broke.', type: 'upstream_error', param: null, code: 'upstream_error' };
        if (count === 1) response.end(`data: ${JSON.stringify({ error })}\n\n`);
        else response.write(chunk({ content: 'Half' }), () => response.destroy());
        return undefined;
      },
    });
    await say(page, 'one');
    await page.getByText('The provider of the model failed.').waitFor();
    await say(page, 'two');
    await page.getByText('The connection broke before the answer ended.').waitFor();
    await say(page, 'three');
    await page.getByText('The service is not there at the moment.').waitFor();
    expect(faults).toEqual([]);
    await close();
  });

  it.each([
    ['spent', { spent_usd: '0.5', held_usd: '0', available_usd: '0' }, /budget of your key is spent/],
    ['no-chat', { models: ['text-embedding-3-small'] }, /no model for a chat/],
  ])('says what a key cannot do: %s', async (name, changes, words) => {
    const looked = await open({ view: () => heldKey(changes) });
    await looked.page.getByText(words).waitFor();
    expect([...(await lookAround(looked, `play-${name}`)), ...looked.faults]).toEqual([]);
    await looked.close();
  });

  it('works by LAN address, where a page is no secure context', async () => {
    expect(LAN).toBeDefined();
    const { page, faults, close } = await open(
      {
        view: () => heldKey(),
        chat: (_, response) => void response.writeHead(200, STREAM_HEAD).end(chunk({ content: CODE }) + END),
      },
      LAN,
    );
    expect(await page.evaluate(() => isSecureContext)).toBe(false);
    await say(page, 'Hello');
    await page.getByRole('button', { name: 'Copy' }).click();
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    expect(faults).toEqual([]);
    await close();
  });
});

describe('the page of errors', () => {
  it('shows each code, and leads to the one of its address', async () => {
    const looked = await look(browser);
    const { page, faults, close } = looked;
    await page.goto(fake.url('/help#insufficient_quota'));
    await page.getByRole('heading', { name: 'insufficient_quota' }).waitFor();
    for (const code of Object.keys(ERRORS)) expect(await page.locator(`#${code}`).count()).toBe(1);
    const chosen = page.locator('.chosen');
    expect(await chosen.getAttribute('id')).toBe('insufficient_quota');
    expect(await chosen.getByText('What the call needs at least.').isVisible()).toBe(true);
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('insufficient_quota');
    expect(await lookAround(looked, 'help')).toEqual([]);
    await page.evaluate(() => (location.hash = '#no_taste'));
    await page.locator('#provider.chosen').waitFor();
    await page.getByLabel('Find a code').fill('wait longer');
    await page.getByText(/^1 of \d+ codes$/).waitFor();
    expect(await page.getByRole('heading', { name: 'queue_full' }).count()).toBe(1);
    expect(faults).toEqual([]);
    await close();
  });
});
