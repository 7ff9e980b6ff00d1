import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Content } from '#libs/endpoints/content.js';
import type { ProviderVerdict } from '#libs/endpoints/endpoint.js';
import { GuardUnavailableError, type Guard, type GuardContext, type GuardVerdict } from './guard.js';
import { GuardPipeline } from './pipeline.js';
import { ProviderGuard } from './provider.guard.js';
import { BlocklistGuard, RegexGuard } from './text.guards.js';
import { ThreadGuard } from './thread.guard.js';
import { WebhookGuard } from './webhook.guard.js';
import { ModerationUnavailableError, type Moderator } from '../moderator.js';
import type { ModerationResult } from '../verdict.js';
import { ModerationGuard } from './moderation.guard.js';

const context: GuardContext = {
  requestId: 'req_1',
  keyId: 'key_1',
  campaignId: 'cmp_1',
  model: 'gpt-5.4-mini',
  direction: 'input',
  policy: { input: 'gate', output: 'gate', thresholds: {}, onUnavailable: 'closed' },
  passing: false,
  provider: [],
};
const text = (...texts: string[]): Content[] => texts.map((one) => ({ kind: 'text', text: one }));
const pass: GuardVerdict = { flagged: false, categories: [], scores: {}, redactions: [] };

describe('a blocklist', () => {
  it('looks at a long text in parts, and takes the edge of a part for no end of a word', async () => {
    const hell = new BlocklistGuard('words', ['hell']);
    const isFlagged = async (text: string): Promise<boolean> => (await hell.check([{ kind: 'text', text }])).flagged;
    // Wherever the parts are cut, one of these stands across a cut.
    for (let shift = 0; shift < 8; shift++) {
      const before = 'x'.repeat(shift);
      expect(await isFlagged(`${before} ${'shells '.repeat(12_000)}`)).toBe(false);
      expect(await isFlagged(`${before} ${'shells '.repeat(9_000)} hell ${'shells '.repeat(3_000)}`)).toBe(true);
    }
    expect(await isFlagged(`${'x '.repeat(40_000)}hell`)).toBe(true);
    expect(await isFlagged(`hell${' x'.repeat(40_000)}`)).toBe(true);
  });

  const guard = new BlocklistGuard('words', [
    'Voldemort',
    'he who  must not be named',
    'a.b',
    'naïve',
    'semi-detached',
  ]);
  it.each([
    'say voldemort',
    'VOLDEMORT!',
    '„Voldemort“',
    'Vol\u200bde\u00admort',
    'Ｖｏｌｄｅｍｏｒｔ',
    'He who\nmust not be   named',
    'see a.b there',
    'so naïve',
    'so NAI\u0308VE',
    'a semi-detached house',
  ])('finds %j', async (given) =>
    expect(await guard.check(text('first', given))).toMatchObject({ flagged: true, categories: ['words'] }),
  );
  it.each(['voldemorts', 'a-b', 'aXb', 'he who must be named', ''])('lets %j pass', async (given) =>
    expect(await guard.check(text(given))).toEqual(pass),
  );
  it('looks at texts only', async () =>
    expect(await guard.check([{ kind: 'image', url: 'https://x/voldemort.png' }])).toEqual(pass));
});

describe('a regular expression', () => {
  it('finds what it matches', async () => {
    const guard = new RegexGuard('tickets', ['(?i)\\bticket-\\d{3}\\b', 'x{5}']);
    expect(await guard.check(text('see TICKET-123'))).toMatchObject({ flagged: true, categories: ['tickets'] });
    expect(await guard.check(text('see ticket-1234'))).toEqual(pass);
  });

  it('is tried on the joined parts of a message, too', async () => {
    const guard = new RegexGuard('tickets', ['ticket-\\d{3}']);
    const content: Content[] = [{ kind: 'text', text: 'see ticket-\n123', joined: 'see ticket-123' }];
    expect(await guard.check(content)).toMatchObject({ flagged: true, categories: ['tickets'] });
  });

  it('cannot be made to run for ever', async () => {
    const guard = new RegexGuard('slow', ['(a+)+$']);
    const begun = performance.now();
    expect(await guard.check(text(`${'a'.repeat(20_000)}b`))).toEqual(pass);
    expect(performance.now() - begun).toBeLessThan(2_000);
  });
});

describe("the provider's own verdicts", () => {
  const guard = new ProviderGuard();
  const judged = (verdict: Partial<ProviderVerdict>, thresholds = {}) => {
    const provider = [{ moderation: [], filters: [], ...verdict }];
    return guard.check([], { ...context, provider, policy: { ...context.policy, thresholds } });
  };
  const inline = (flagged: boolean, score: number) => ({
    type: 'moderation_results',
    model: 'omni',
    results: [
      { type: 'moderation_result', flagged, categories: { violence: flagged }, category_scores: { violence: score } },
    ],
  });
  const fine = { type: 'moderation_results', model: 'omni', results: [] };

  it("count where a call asked OpenAI for them, input and output, by the call's thresholds", async () => {
    expect(await judged({ moderation: [fine, inline(true, 0.9)] })).toMatchObject({
      flagged: true,
      categories: ['violence'],
    });
    expect(await judged({ moderation: [inline(true, 0.9), fine] })).toMatchObject({ flagged: true });
    expect(await judged({ moderation: [fine, inline(true, 0.3)] }, { violence: 0.6 })).toMatchObject({
      flagged: false,
      scores: { violence: 0.3 },
    });
    expect(await judged({ moderation: [fine, inline(false, 0.7)] }, { violence: 0.6 })).toMatchObject({
      flagged: true,
    });
  });

  it('count where a side is one result by itself', async () => {
    const [result] = inline(true, 0.9).results;
    expect(await judged({ moderation: [result] })).toMatchObject({ flagged: true, categories: ['violence'] });
  });

  it('are none where the provider could not judge', async () => {
    await expect(async () => judged({ moderation: [fine, { type: 'error', code: 'x' }] })).rejects.toThrow(
      GuardUnavailableError,
    );
  });

  it('count where Azure filtered the prompt or an output', async () => {
    const filter = (filtered: boolean) => ({
      hate: { filtered: false, severity: 'safe' },
      violence: { filtered, severity: filtered ? 'high' : 'low' },
    });
    expect(await judged({ filters: [filter(true)] })).toMatchObject({ flagged: true, categories: ['violence'] });
    expect(await judged({ filters: [filter(false), filter(true)] })).toMatchObject({ flagged: true });
    expect(await judged({ filters: [filter(false)] })).toEqual(pass);
  });

  it('are none where garbage stands in their place', async () => {
    expect(
      await judged({ moderation: [7, { results: ['x', { flagged: 'yes' }] }], filters: [null, { a: null, b: 1 }] }),
    ).toEqual(pass);
    expect(await guard.check([], context)).toEqual(pass);
  });
});

describe("the moderation endpoint's guard", () => {
  const result = (flag: boolean): ModerationResult => ({
    flagged: flag,
    categories: { violence: flag },
    category_scores: { violence: flag ? 0.9 : 0.1 },
  });
  const guardOf = (results: ModerationResult[], missing?: ModerationUnavailableError): ModerationGuard =>
    new ModerationGuard({ results: () => Promise.resolve({ results, missing }) } as unknown as Moderator, 'omni');
  const away = new ModerationUnavailableError('it is away');
  const refused = new ModerationUnavailableError('400', true);

  it.each([away, refused])('flags the whole for one part, whatever became of the others (%p)', async (missing) => {
    expect(await guardOf([result(false), result(true)], missing).check(text('x'), context)).toMatchObject({
      flagged: true,
      categories: ['violence'],
    });
  });

  it('has no verdict where a part has none and no other is flagged, and says whether it was refused', async () => {
    await expect(guardOf([result(false)], away).check(text('x'), context)).rejects.toMatchObject({ refused: false });
    await expect(guardOf([result(false)], refused).check(text('x'), context)).rejects.toMatchObject({ refused: true });
    expect(await guardOf([result(false)]).check(text('x'), context)).toMatchObject({ flagged: false });
  });
});

describe('a webhook', () => {
  let server: Server;
  let url: string;
  let answer: (response: ServerResponse) => void;
  let heard: { headers: IncomingHttpHeaders; body: string };

  beforeAll(async () => {
    server = createServer((request, response) => {
      void (async () => {
        let body = '';
        for await (const piece of request) body += String(piece);
        heard = { headers: request.headers, body };
        answer(response);
      })();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/guard`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  const secret = 'a secret of the guard';
  const asked = (timeoutMs = 2_000) =>
    new WebhookGuard('desk', { url, secret, timeoutMs }).check(text('hello'), context);

  it('is told the content and the context, signed, and its verdict counts', async () => {
    answer = (response) => response.end('{"flagged":true,"categories":["desk/no"],"scores":{"desk/no":0.9}}');
    expect(await asked()).toEqual({
      flagged: true,
      categories: ['desk/no'],
      scores: { 'desk/no': 0.9 },
      redactions: [],
    });
    expect(JSON.parse(heard.body)).toEqual({
      guard: 'desk',
      direction: 'input',
      content: [{ kind: 'text', text: 'hello' }],
      context: { request: 'req_1', key: 'key_1', campaign: 'cmp_1', model: 'gpt-5.4-mini' },
    });
    // As its receiver would: by the time that it was signed at.
    const { 'webhook-id': id, 'webhook-timestamp': signedAt, 'webhook-signature': signature } = heard.headers;
    expect(Math.abs(Date.now() / 1_000 - Number(signedAt))).toBeLessThan(30);
    expect(signature).toBe(
      `v1,${createHmac('sha256', secret)
        .update(`${String(id)}.${String(signedAt)}.${heard.body}`)
        .digest('base64')}`,
    );
    answer = (response) => response.end('{"flagged":true}');
    expect(await asked()).toMatchObject({ flagged: true, categories: ['desk'] });
    answer = (response) => response.end('{"flagged":false,"redactions":[{"find":"hello","replace":"***"}]}');
    expect(await asked()).toMatchObject({ flagged: false, redactions: [{ find: 'hello', replace: '***' }] });
  });

  it('is told no lone surrogate', async () => {
    answer = (response) => response.end('{"flagged":false}');
    const contents: Content[] = [
      { kind: 'text', text: 'half \ud83d', joined: '\ude00' },
      { kind: 'image', url: 'https://example.org/\ud83d' },
    ];
    await new WebhookGuard('desk', { url, secret, timeoutMs: 2_000 }).check(contents, context);
    expect((JSON.parse(heard.body) as { content: Content[] }).content).toEqual([
      { kind: 'text', text: 'half \ufffd', joined: '\ufffd' },
      { kind: 'image', url: 'https://example.org/\ufffd' },
    ]);
  });

  it.each([
    [400, true],
    [413, true],
    [422, true],
    [401, false],
    [404, false],
    [429, false],
    [503, false],
  ])('that answers %i refuses the content: %s', async (status, refused) => {
    answer = (response) => response.writeHead(status).end();
    await expect(asked()).rejects.toMatchObject({ refused });
  });

  it('whose answer is no verdict is not away: content may have broken a bound of it', async () => {
    answer = (response) =>
      response.end(JSON.stringify({ flagged: false, redactions: Array(10_001).fill({ find: 'a', replace: '*' }) }));
    await expect(asked()).rejects.toMatchObject({ refused: true });
    answer = (response) => response.end(JSON.stringify({ flagged: false, categories: ['x'.repeat(1_100_000)] }));
    await expect(asked()).rejects.toMatchObject({ refused: true });
  });

  it.each([
    ['an error', (response: ServerResponse) => response.writeHead(500).end('{"flagged":false}'), 'it answered 500'],
    ['garbage', (response: ServerResponse) => response.end('<html>hello</html>'), 'not JSON'],
    ['another shape', (response: ServerResponse) => response.end('{"ok":true}'), 'no verdict (flagged)'],
    ['nothing', (response: ServerResponse) => response.end(), 'not JSON'],
    [
      'a redirect',
      (response: ServerResponse) => response.writeHead(302, { location: '/elsewhere' }).end(),
      'could not be reached',
    ],
    [
      'a replacement that makes the text longer',
      (response: ServerResponse) =>
        response.end(`{"flagged":false,"redactions":[{"find":"a","replace":"${'b'.repeat(99)}"}]}`),
      'no verdict',
    ],
    ['without an end', (response: ServerResponse) => void response.write('x'.repeat(2_000_000)), 'too long'],
    ['a broken connection', (response: ServerResponse) => response.destroy(), 'could not be reached'],
  ])('that answers %s has no verdict', async (_, does, reason) => {
    answer = does;
    await expect(asked()).rejects.toThrow(reason);
    await expect(asked()).rejects.not.toThrow('hello');
  });

  it('that does not answer in time has no verdict', async () => {
    answer = () => undefined;
    await expect(asked(100)).rejects.toThrow('within 100 ms');
    answer = (response) => void response.write('{');
    await expect(asked(100)).rejects.toThrow('within 100 ms');
  });
});

describe("an operator's own module", () => {
  let folder: string;
  const started: ThreadGuard[] = [];
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'daypass-guard-'));
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((guard) => guard.stop()));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  let files = 0;
  async function guardOf(
    source: string,
    timeoutMs = 1_000,
    options: Record<string, unknown> = {},
  ): Promise<ThreadGuard> {
    const path = join(folder, `${files++}.mjs`);
    writeFileSync(path, source);
    return started0(new ThreadGuard('own', 'module', { moduleUrl: pathToFileURL(path).href, options, timeoutMs }));
  }
  async function started0(guard: ThreadGuard): Promise<ThreadGuard> {
    started.push(guard);
    await guard.start();
    return guard;
  }

  it('sees content and context, and its verdict counts', async () => {
    const guard = await guardOf(
      `export const check = (content, context) => ({ flagged: content[0].text === 'bad', categories: [context.direction, context.options.word] });`,
      1_000,
      {
        word: 'own/word',
      },
    );
    expect(await guard.check(text('bad'), context)).toMatchObject({ flagged: true, categories: ['input', 'own/word'] });
    expect((await guard.check(text('good'), context)).flagged).toBe(false);
    const asDefault = await guardOf(`export default async () => ({ flagged: true })`);
    expect(await asDefault.check(text('x'), context)).toMatchObject({ flagged: true, categories: ['own'] });
  });

  it('sees no lone surrogate', async () => {
    const guard = await guardOf(
      `export const check = (content) => ({ flagged: true, categories: content.map(({ text }) => text) });`,
    );
    expect((await guard.check(text('half \ud83d', '😀'), context)).categories).toEqual(['half \ufffd', '😀']);
  });

  it.each([
    ['is not there', `import './nowhere.mjs'`, 'cannot be loaded'],
    ['is no module', `export const check = (`, 'cannot be loaded'],
    ['exports no check', `export const chek = () => ({})`, 'exports no function'],
    ['throws while it loads', `throw new Error('not today')`, 'not today'],
    ['ends its thread while it loads', `process.exit(1)`, 'thread ended'],
  ])('that %s stops the start', async (_, source, message) => {
    await expect(guardOf(source)).rejects.toThrow(message);
  });

  it.each([
    ['throws', `export const check = () => { throw new TypeError('quoting a secret') }`, 'TypeError', true],
    ['rejects', `export const check = async () => { throw 7 }`, 'it failed', true],
    [
      'says that somebody is away',
      `export const check = async () => { throw Object.assign(new Error('a secret'), { name: 'GuardUnavailable' }) }`,
      'it failed',
      false,
    ],
    ['answers nothing', `export const check = () => undefined`, 'no verdict', true],
    ['answers garbage', `export const check = () => ({ flagged: 'perhaps' })`, /no verdict \(flagged\)/, true],
    [
      'answers what cannot be sent',
      `export const check = () => ({ flagged: false, categories: [() => 1] })`,
      'it failed',
      true,
    ],
    ['never answers', `export const check = () => new Promise(() => undefined)`, 'within 300 ms', false],
    ['hangs in a loop', `export const check = () => { for (;;); }`, 'within 300 ms', true],
    [
      'takes longer than its time',
      `export const check = () => { for (const end = Date.now() + 5_000; Date.now() < end;); return { flagged: false }; }`,
      'within 300 ms',
      true,
    ],
    [
      'takes longer than its time in short steps',
      `export const check = async () => {
        for (const end = Date.now() + 3_000; Date.now() < end; await new Promise(setImmediate))
          for (const step = Date.now() + 20; Date.now() < step;);
        return { flagged: false };
      }`,
      'within 300 ms',
      true,
    ],
    ['ends its thread', `export const check = () => process.exit(3)`, 'thread ended', true],
    [
      'takes all memory',
      `export const check = () => { const all = []; for (;;) all.push(new Array(100000).fill(all.length)); }`,
      /thread ended|within/,
      true,
    ],
  ])(
    'that %s has no verdict, and neither says why in words of the content, nor harms the next',
    async (_, source, reason, refused) => {
      const guard = await guardOf(
        `const good = (${source.replace(/^export const check = /, '')}); export const check = (content) => content[0].text === 'fine' ? { flagged: false } : good(content);`,
        300,
      );
      const failed = await guard.check(text('a secret'), context).catch((error: Error) => error);
      expect(failed).toMatchObject({ message: expect.stringMatching(reason), refused });
      await expect(guard.check(text('a secret'), context)).rejects.not.toThrow('secret');
      const deadline = Date.now() + 15_000;
      let verdict: GuardVerdict | null = null;
      while (!verdict && Date.now() < deadline)
        verdict = await guard.check(text('fine'), { ...context, keyId: 'another' }).catch(() => null);
      expect(verdict).toEqual(pass);
    },
  );

  it('that hangs in the content of one key loses no work of others, and judges that key no more for a while', async () => {
    const guard = await guardOf(
      `export const check = async (content) => { if (content[0].text === 'evil') for (;;); return { flagged: false, categories: [content[0].text] }; }`,
      300,
    );
    const of = (keyId: string, one: string) => guard.check(text(one), { ...context, keyId });
    const evil = of('evil', 'evil').catch((error: Error) => error.message);
    const others = await Promise.all(Array.from({ length: 40 }, (_, n) => of(`key_${n % 3}`, `call ${n}`)));
    expect(others.map(({ categories }) => categories[0])).toEqual(Array.from({ length: 40 }, (_, n) => `call ${n}`));
    expect(await evil).toMatch(/within 300 ms/);
    await expect(of('evil', 'harmless')).rejects.toMatchObject({
      message: expect.stringContaining('made it hang'),
      refused: true,
      retryAfterMs: expect.closeTo(60_000, -4),
    });
    expect((await of('key_0', 'harmless')).flagged).toBe(false);
  });

  it('that crashes loses no work of others, and tries it once more', async () => {
    const guard = await guardOf(
      `export const check = async (content) => {
        if (content[0].text === 'evil') process.exit(1);
        await new Promise((resolve) => setTimeout(resolve, 50));
        return { flagged: false, categories: [content[0].text] };
      }`,
    );
    const good = ['a', 'b'].map((one) => guard.check(text(one), { ...context, keyId: one }));
    const evil = guard.check(text('evil'), { ...context, keyId: 'evil' }).catch((error: Error) => error.message);
    expect((await Promise.all(good)).map(({ categories }) => categories[0])).toEqual(['a', 'b']);
    expect(await evil).toBe('its thread ended');
  });

  it('that hangs in a content after it began another one closes that content, too', async () => {
    const guard = await guardOf(
      `export const check = async (content) => {
        await new Promise((resolve) => setTimeout(resolve, 100));
        if (content[0].text === 'evil') for (;;);
        return { flagged: false };
      }`,
      300,
    );
    const of = (keyId: string) => guard.check(text(keyId), { ...context, keyId }).catch((error: Error) => error);
    const [evil] = await Promise.all([of('evil'), of('good')]);
    expect(evil).toMatchObject({ refused: true });
  });

  it('that a key keeps busy has closed for what waits behind that', async () => {
    const guard = await guardOf(
      // It blocks its thread, as computing would, and leaves the processor to other tests.
      `const never = new Int32Array(new SharedArrayBuffer(4));
      export const check = async (content) => {
        Atomics.wait(never, 0, 0, 100);
        return { flagged: false };
      }`,
      3_000,
    );
    const calls = Array.from({ length: 200 }, (_, n) =>
      guard.check(text('x'), { ...context, keyId: n === 20 ? 'other' : 'many' }).catch((error: Error) => error),
    );
    const ended = await Promise.all(calls);
    expect(ended[20]).toEqual(pass);
    const late = ended.filter((one) => one instanceof Error);
    expect(late.length).toBeGreaterThan(0);
    for (const error of late)
      expect(error).toMatchObject({ message: 'its turns did not come in time', refused: true, retryAfterMs: 5_000 });
  }, 30_000);

  it('serves keys in turns, and has a bound for what waits', async () => {
    const guard = await guardOf(
      `let n = 0; export const check = async () => {
        const at = ++n;
        await new Promise((resolve) => setTimeout(resolve, 20));
        return { flagged: false, categories: [String(at)] };
      }`,
    );
    const many = Array.from({ length: 200 }, () => guard.check(text('x'), { ...context, keyId: 'many' }));
    const one = await guard.check(text('x'), { ...context, keyId: 'one' });
    expect(Number(one.categories[0])).toBeLessThanOrEqual(18);
    await Promise.all(many);
    const tooMany = Array.from({ length: 2_600 }, () =>
      guard.check(text('x'), { ...context, keyId: 'many' }).catch((error: Error) => error),
    );
    expect(await tooMany.at(-1)).toMatchObject({
      message: 'too much of this key is waiting for it',
      refused: true,
      retryAfterMs: 5_000,
    });
    const others = Array.from({ length: 8_000 }, (_, n) =>
      guard.check(text('x'), { ...context, keyId: `key ${n % 8}` }).catch((error: Error) => error),
    );
    expect(await others.at(-1)).toMatchObject({ message: 'too much is waiting for it', refused: false });
    await guard.stop();
  });

  it('is the example of the documentation', async () => {
    const moduleUrl = pathToFileURL(join(import.meta.dirname, '../../../docs/guards/opening-hours.mjs')).href;
    const open = await started0(
      new ThreadGuard('workshop', 'module', {
        moduleUrl,
        options: { from_hour: 0, to_hour: 24, code: '1234-workshop' },
        timeoutMs: 1_000,
      }),
    );
    expect(await open.check(text('the code is 1234-workshop'), context)).toMatchObject({
      flagged: false,
      redactions: [{ find: '1234-workshop', replace: '[code]' }],
    });
    expect(await open.check(text('hello'), context)).toEqual(pass);
    const closed = await started0(
      new ThreadGuard('workshop', 'module', {
        moduleUrl,
        options: { from_hour: 24, to_hour: 24, code: 'x' },
        timeoutMs: 1_000,
      }),
    );
    expect(await closed.check(text('hello'), context)).toMatchObject({
      flagged: true,
      categories: ['workshop/closed'],
    });
    expect((await closed.check(text('hello'), { ...context, direction: 'output' })).flagged).toBe(false);
  });
});

describe('personal data', () => {
  let guards: Record<'redact' | 'block', ThreadGuard>;
  beforeAll(async () => {
    const moduleUrl = new URL('./personal-data.module.ts', import.meta.url).href;
    const kinds = ['email', 'phone', 'credit_card', 'iban', 'ip_address'];
    const of = (action: string) =>
      new ThreadGuard('pii', 'personal_data', {
        moduleUrl,
        options: { kinds, action, country: 'DE' },
        timeoutMs: 5_000,
        takesPieces: true,
      });
    guards = { redact: of('redact'), block: of('block') };
    await Promise.all(Object.values(guards).map((guard) => guard.start()));
  });
  afterAll(() => Promise.all(Object.values(guards).map((guard) => guard.stop())));

  it.each([
    ['Write to john.doe+x@example.co.uk.', 'john.doe+x@example.co.uk', 'email'],
    ['**a@b.co**', 'a@b.co', 'email'],
    ['Call +1 415 555 2671 now', '+1 415 555 2671', 'phone'],
    ['Ruf 030 901820 an', '030 901820', 'phone'],
    ['card 4111 1111 1111 1111, thanks', '4111 1111 1111 1111', 'credit_card'],
    ['5500-0000-0000-0004', '5500-0000-0000-0004', 'credit_card'],
    ['to DE89 3704 0044 0532 0130 00 PLEASE', 'DE89 3704 0044 0532 0130 00', 'iban'],
    ['GB82WEST12345698765432', 'GB82WEST12345698765432', 'iban'],
    ['from 192.168.10.250.', '192.168.10.250', 'ip_address'],
    ['from 2001:db8::ff00:42:8329 today', '2001:db8::ff00:42:8329', 'ip_address'],
  ])('is found in %j', async (given, value, kind) => {
    const { redactions, categories, flagged } = await guards.redact.check(text(given), context);
    expect(redactions).toContainEqual({ find: value, replace: `[${kind}]` });
    expect([flagged, categories.includes(`personal_data/${kind}`)]).toEqual([false, true]);
    expect(await guards.block.check(text(given), context)).toMatchObject({ flagged: true, redactions: [] });
  });

  it.each([
    'Write me 20 lines of Python',
    'order 12345678 of 2026-11-23 12:30:59',
    'at 1.2.3 and 999.1.1.1',
    '4111 1111 1111 1112',
    'a @ b',
    'x@y',
    'DE00 1234 5678 9012',
    'std::vector and 12:30',
  ])('is not seen in %j', async (given) => expect(await guards.redact.check(text(given), context)).toEqual(pass));

  it('is found where two parts of a message share it', async () => {
    const content: Content[] = [{ kind: 'text', text: 'to a@exa\nmple.org', joined: 'to a@example.org' }];
    expect((await guards.redact.check(content, context)).redactions).toContainEqual({
      find: 'a@example.org',
      replace: '[email]',
    });
    expect(await guards.block.check(content, context)).toMatchObject({ flagged: true });
  });

  it.each([
    ['a.very.long.name.of.somebody@' + 'sub.'.repeat(50) + 'example.org', 'email'],
    ['+49 30 901820', 'phone'],
    ['4111 1111 1111 1111', 'credit_card'],
    ['DE89 3704 0044 0532 0130 00', 'iban'],
    ['2001:db8::ff00:42:8329', 'ip_address'],
  ])('is found wherever it stands in a long text: %s', async (value, kind) => {
    for (let at = 480; at < 1_240; at += value.length > 100 ? 31 : 17) {
      const long = `${'so '.repeat(at / 3)}${'x'.repeat(at % 3)} ${value} ${'and on '.repeat(400)}`;
      const { redactions } = await guards.redact.check(text(long), context);
      expect({ at, redactions }).toEqual({ at, redactions: [{ find: value, replace: `[${kind}]` }] });
    }
  });

  it('has a bound: beyond 10,000 findings there is no verdict', async () => {
    const of = (count: number) =>
      guards.redact.check(text(Array.from({ length: count }, (_, n) => `p${n}@x.org `).join('')), context);
    expect((await of(9_999)).redactions).toHaveLength(9_999);
    await expect(of(10_001)).rejects.toMatchObject({
      message: expect.stringContaining('more than 10000 things'),
      refused: true,
    });
  }, 30_000);

  it('is looked for in turns: a text that takes long does not hold up that of another key', async () => {
    const evil = '1.1.1.'.repeat(100_000);
    const order: string[] = [];
    const moduleUrl = new URL('./personal-data.module.ts', import.meta.url).href;
    const options = { kinds: ['phone'], action: 'redact' };
    const guard = new ThreadGuard('pii', 'personal_data', { moduleUrl, options, timeoutMs: 1_500, takesPieces: true });
    await guard.start();
    const check = (name: string, one: string) =>
      guard.check(text(one), { ...context, keyId: name }).then(
        () => order.push(name),
        ({ refused }: GuardUnavailableError) => order.push(`${name} is ${refused ? 'refused' : 'unchecked'}`),
      );
    const evils = [check('evil', evil), check('evil', evil)];
    for (let n = 0; n < 5; n++) await check('good', `Call +49 30 90182${n}, ${n}`);
    expect(order).toEqual(Array(5).fill('good'));
    await Promise.all(evils);
    expect(order.slice(5)).toEqual(Array(2).fill('evil is refused'));
    await guard.stop();
  }, 30_000);

  it('is looked for without end in sight of time', async () => {
    for (const evil of [
      'a'.repeat(40_000) + '@' + '1-'.repeat(30_000),
      '1 2 3-4 '.repeat(5_000),
      '(1'.repeat(5_000),
      'DE12 '.repeat(10_000),
      '1:'.repeat(30_000),
    ])
      expect((await guards.redact.check(text(evil), context)).flagged).toBe(false);
  });
});

describe('the pipeline', () => {
  const fake = (
    name: string,
    does: (content: readonly Content[]) => Partial<GuardVerdict> | Error,
  ): Guard & { seen: string[] } => {
    const seen: string[] = [];
    return {
      name,
      model: 'fake',
      seen,
      check: (content) => {
        seen.push(content.map((one) => (one.kind === 'text' ? one.text : one.url)).join('|'));
        const verdict = does(content);
        return verdict instanceof Error ? Promise.reject(verdict) : Promise.resolve({ ...pass, ...verdict });
      },
    };
  };
  const placed = (guard: Guard, local = false, more: object = {}) => ({
    guard,
    directions: ['input', 'output'] as const,
    always: true,
    local,
    ...more,
  });

  it('asks local guards first, and the others not where one of those flags', async () => {
    const [local, remote] = [fake('local', () => ({ flagged: true })), fake('remote', () => ({}))];
    const findings = await new GuardPipeline([placed(remote), placed(local, true)]).check(text('x'), context);
    expect(findings).toMatchObject([{ guard: 'local', outcome: 'judged' }]);
    expect(remote.seen).toEqual([]);
  });

  it('shows the others nothing of what local guards took out', async () => {
    const local = fake('local', () => ({ redactions: [{ find: 'secret', replace: '[x]' }] }));
    const remote = fake('remote', () => ({}));
    await new GuardPipeline([placed(local, true), placed(remote)]).check(text('a secret, a secret'), context);
    expect(remote.seen).toEqual(['a [x], a [x]']);
  });

  it('asks a guard for its directions only, and, where it does not look at all calls, where a policy names it', async () => {
    const [named, output] = [fake('named', () => ({})), fake('output', () => ({}))];
    const pipeline = new GuardPipeline([
      placed(named, false, { always: false }),
      placed(output, false, { directions: ['output'] }),
    ]);
    expect(await pipeline.check(text('x'), context)).toEqual([]);
    const findings = await pipeline.check(text('x'), { ...context, policy: { ...context.policy, guards: ['named'] } });
    expect(findings.map(({ guard }) => guard)).toEqual(['named']);
  });

  it('has no verdict of a guard that throws, or that a policy names and nobody knows', async () => {
    const pipeline = new GuardPipeline([
      placed(fake('broken', () => new Error('quoting a secret'))),
      placed(fake('away', () => new GuardUnavailableError('it is away', true, 5_000))),
    ]);
    const findings = await pipeline.check(text('x'), { ...context, policy: { ...context.policy, guards: ['gone'] } });
    expect(findings).toMatchObject([
      { guard: 'gone', outcome: 'unavailable', reason: 'DAYPASS_CONFIG has no guard of this name' },
      { guard: 'broken', outcome: 'unavailable', reason: 'it failed', refused: true },
      { guard: 'away', outcome: 'unavailable', reason: 'it is away', refused: true, retryAfterMs: 5_000 },
    ]);
  });

  it('looks at nothing where there is nothing', async () => {
    const guard = fake('one', () => ({}));
    expect(await new GuardPipeline([placed(guard)]).check([], context)).toEqual([]);
  });
});
