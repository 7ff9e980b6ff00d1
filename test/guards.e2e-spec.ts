import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import OpenAI from 'openai';
import { startDaypass, type Daypass } from '#libs/testing/daypass.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
const MODULE = `
export function check(content, { direction }) {
  const text = content.map((one) => one.text ?? '').join(' ');
  if (text.includes('hang-now')) for (;;);
  if (text.includes('throw-now')) throw new Error(text);
  return { flagged: text.includes('own-word'), categories: ['own/' + direction] };
}`;

describe('guards beside the moderation endpoint', () => {
  let daypass: Daypass;
  let desk: Server;
  let folder: string;
  let deskSays = '{"flagged":false}';

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'daypass-guards-'));
    writeFileSync(join(folder, 'own.mjs'), MODULE);
    desk = createServer((_, response) => response.end(deskSays));
    await new Promise<void>((resolve) => desk.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(desk.address() as AddressInfo).port}/`;
    daypass = await startDaypass({
      config: {
        guards: [
          { name: 'words', type: 'blocklist', words: ['forbidden fruit'] },
          { name: 'tickets', type: 'regex', patterns: ['TICKET-\\d{4}'], directions: ['input'] },
          { name: 'pii', type: 'personal_data', kinds: ['email', 'credit_card'] },
          { name: 'phones', type: 'personal_data', kinds: ['phone'], timeout_ms: 300, always: false },
          { name: 'desk', type: 'webhook', url, secret: 'a secret of the desk', always: false },
          { name: 'own', type: 'module', path: join(folder, 'own.mjs'), timeout_ms: 500 },
        ],
      },
    });
  });
  afterAll(async () => {
    await daypass?.stop();
    desk?.closeAllConnections();
    desk?.close();
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => {
    daypass.rehearsal.reset();
    deskSays = '{"flagged":false}';
  });

  async function clientWith(moderation: object = {}): Promise<OpenAI> {
    const { key } = await daypass.createKey({ campaign: { moderation } });
    return new OpenAI({ apiKey: key, baseURL: daypass.baseUrl, maxRetries: 0 });
  }
  const say = (words: string): OpenAI.ChatCompletionMessageParam[] => [
    { role: 'user', content: `${words} (${randomUUID()})` },
  ];
  const answering = (content: string) => (daypass.rehearsal.onChat = () => ({ content }));
  const asked = (): string => JSON.stringify(daypass.rehearsal.chatCalls().map(({ body }) => body));

  it.each([
    ['a blocklist', 'eat the Forbidden  Fruit', 'words'],
    ['a pattern', 'see TICKET-1234', 'tickets'],
    ["the operator's own module", 'own-word', 'own/input'],
  ])('refuse an input by %s, with a strike, and nothing goes upstream', async (_, words, category) => {
    const error = await errorOf((await clientWith()).chat.completions.create({ model, messages: say(words) }));
    expect(error).toMatchObject({
      status: 400,
      code: 'moderation_blocked',
      error: { daypass: { direction: 'input', categories: [category] } },
    });
    expect(error.headers?.get('x-daypass-strikes')).toBe('1');
    expect(daypass.rehearsal.chatCalls()).toHaveLength(0);
    await booksAtRest(daypass);
  });

  it('judge outputs, whole and streamed, in their directions', async () => {
    const client = await clientWith({ output: 'window' });
    answering('One sentence. Then the forbidden fruit. And the end.');
    const { choices } = await client.chat.completions.create({ model, messages: say('hi') });
    expect(choices[0]).toMatchObject({ finish_reason: 'content_filter', message: { content: null } });
    let shown = '';
    for await (const chunk of await client.chat.completions.create({ model, messages: say('hi'), stream: true }))
      shown += chunk.choices[0]?.delta.content ?? '';
    expect(shown).toContain('One sentence.');
    expect(shown).not.toContain('forbidden');
    answering('a TICKET-1234 is fine here');
    expect(
      (await client.chat.completions.create({ model, messages: say('hi') })).choices[0]!.message.content,
    ).toContain('TICKET-1234');
    await booksAtRest(daypass);
  });

  it('take personal data out of what goes upstream, and out of the answer, streamed in crumbs or not', async () => {
    const mail = 'john.doe@example.com';
    answering(`Dear ${mail}, your card 4111 1111 1111 1111 is fine. Yours, the bank.`);
    const redacted = 'Dear [email], your card [credit_card] is fine. Yours, the bank.';
    for (const moderation of [{}, { input: 'parallel' }, { output: 'window' }] as const) {
      const client = await clientWith(moderation);
      const { data, response } = await client.chat.completions
        .create({ model, messages: say(`I am ${mail}`) })
        .withResponse();
      expect(data.choices[0]!.message.content).toBe(redacted);
      expect(response.headers.get('x-daypass-moderation')).toMatch(/^input=(redacted|pass); output=redacted$/);
      let streamed = '';
      for await (const chunk of await client.chat.completions.create({
        model,
        messages: say(`I am ${mail}`),
        stream: true,
      }))
        streamed += JSON.stringify(chunk.choices[0]?.delta.content ?? '').slice(1, -1);
      expect(streamed).toBe(redacted);
    }
    expect(asked()).not.toContain(mail);
    expect(asked()).toContain('I am [email]');
    expect(JSON.stringify(daypass.rehearsal.moderationCalls().map(({ body }) => body))).not.toContain(mail);
    // What was shown at once cannot be taken back: it is cut.
    const trailing = await clientWith({ output: 'trail' });
    let finish: string | null | undefined;
    for await (const chunk of await trailing.chat.completions.create({ model, messages: say('hi'), stream: true }))
      finish = chunk.choices[0]?.finish_reason ?? finish;
    expect(finish).toBe('content_filter');
    await booksAtRest(daypass);
  });

  it("hear the provider's own verdicts, OpenAI's and Azure's, whole and streamed", async () => {
    const results = (flagged: boolean) => ({
      type: 'moderation_results',
      model: 'omni-moderation-latest',
      results: [
        {
          type: 'moderation_result',
          flagged,
          categories: { violence: flagged },
          category_scores: { violence: flagged ? 0.9 : 0.1 },
        },
      ],
    });
    const besides = [
      { moderation: { input: results(false), output: results(true) } },
      {
        choices: [
          {
            index: 0,
            delta: {},
            message: { role: 'assistant', content: 'fine words' },
            finish_reason: 'stop',
            content_filter_results: { violence: { filtered: true } },
          },
        ],
      },
    ];
    for (const beside of besides) {
      daypass.rehearsal.onChat = () => ({ content: 'fine words', beside });
      for (const output of ['gate', 'window', 'trail'] as const) {
        const client = await clientWith({ output });
        const asking = { model, messages: say('hi'), moderation: { model: 'omni-moderation-latest' } };
        const whole = await client.chat.completions.create(asking);
        expect(whole.choices[0]).toMatchObject({ finish_reason: 'content_filter', message: { content: null } });
        let finish: string | null | undefined;
        for await (const chunk of await client.chat.completions.create({ ...asking, stream: true }))
          finish = chunk.choices[0]?.finish_reason ?? finish;
        expect([output, finish]).toEqual([output, 'content_filter']);
      }
    }
    daypass.rehearsal.onChat = () => ({
      content: 'fine words',
      beside: { moderation: { input: results(false), output: results(false) } },
    });
    const { data, response } = await (
      await clientWith()
    ).chat.completions
      .create({ model, messages: say('hi') })
      .withResponse();
    expect(data.choices[0]!.message.content).toBe('fine words');
    await booksAtRest(daypass);
    const { body } = await daypass.admin(
      `/admin/v1/checks?guard=provider&request=${response.headers.get('x-request-id')}`,
    );
    expect(body.data).toMatchObject([{ direction: 'output', decision: 'pass', scores: { violence: 0.1 } }]);
  });

  it('look where a policy names them, and what they cannot say the policy decides', async () => {
    const named = await clientWith({ guards: ['desk'], output: 'off' });
    const open = await clientWith({ guards: ['desk'], output: 'off', on_unavailable: 'open' });
    const others = await clientWith({ output: 'off' });
    deskSays = '{"flagged":true,"categories":["desk/no"]}';
    expect(await errorOf(named.chat.completions.create({ model, messages: say('hi') }))).toMatchObject({
      error: { daypass: { categories: ['desk/no'] } },
    });
    expect((await others.chat.completions.create({ model, messages: say('hi') })).choices).toHaveLength(1);
    deskSays = '<html>garbage</html>';
    expect(await errorOf(named.chat.completions.create({ model, messages: say('hi') }))).toMatchObject({
      status: 503,
      code: 'moderation_unavailable',
    });
    const { response } = await open.chat.completions.create({ model, messages: say('hi') }).withResponse();
    expect(response.headers.get('x-daypass-moderation')).toBe('input=unchecked; output=off');
    const { body } = await daypass.admin('/admin/v1/campaigns', {
      body: { slug: 'gone', name: 'x', budget_usd: '1', models: [model], moderation: { guards: ['gone'] } },
    });
    expect(body.warnings).toEqual([expect.stringContaining("moderation.guards: DAYPASS_CONFIG has no guard 'gone'")]);
    const gone = await daypass.createKey({ campaign: 'gone' });
    const client = new OpenAI({ apiKey: gone.key, baseURL: daypass.baseUrl, maxRetries: 0 });
    expect(await errorOf(client.chat.completions.create({ model, messages: say('hi') }))).toMatchObject({
      code: 'moderation_unavailable',
    });
    await booksAtRest(daypass);
  });

  it('are not talked into silence: a text that takes a guard all its time is closed under an open policy', async () => {
    const client = await clientWith({ output: 'off', on_unavailable: 'open', guards: ['phones'] });
    const padding = '1.1.1.'.repeat(20_000);
    for (const words of [padding, Array.from({ length: 10_001 }, (_, n) => `p${n}@x.org`).join(' ')]) {
      const error = await errorOf(client.chat.completions.create({ model, messages: say(words) }));
      expect(error).toMatchObject({ status: 400, code: 'invalid_request', param: 'messages' });
    }
    expect(daypass.rehearsal.chatCalls()).toHaveLength(0);
    await booksAtRest(daypass);
  });

  it('may throw or hang: that call is closed under any policy, and the next one is judged again', async () => {
    const client = await clientWith({ output: 'off', on_unavailable: 'open' });
    // The key whose call hung may get no verdicts for a minute.
    const other = await clientWith({ output: 'off' });
    for (const words of ['throw-now', 'hang-now']) {
      const error = await errorOf(client.chat.completions.create({ model, messages: say(words) }));
      expect(error).toMatchObject({ status: 400, code: 'invalid_request', param: 'messages' });
      expect(error.headers?.get('x-should-retry')).toBe('false');
    }
    // The key rests, so that what it sends meanwhile does not pass either.
    const error = await errorOf(client.chat.completions.create({ model, messages: say('own-word') }));
    expect(error).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    expect(Number(error.headers?.get('retry-after'))).toBeGreaterThan(30);
    const again = async () =>
      other.chat.completions.create({ model, messages: say('own-word') }).then(
        () => 'passed',
        ({ code }: { code: string }) => code,
      );
    let code = '';
    for (const end = Date.now() + 10_000; code !== 'moderation_blocked' && Date.now() < end;) code = await again();
    expect(code).toBe('moderation_blocked');
    expect(daypass.rehearsal.chatCalls()).toHaveLength(0);
    expect(daypass.logs('moderation')).not.toContain('throw-now');
    await booksAtRest(daypass);
  });
});
