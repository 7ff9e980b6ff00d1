import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import OpenAI from 'openai';
import { SERVICES } from '#libs/config/config.js';
import { startDaypass, type Daypass } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
const FLAG = 'DAYPASS-REHEARSAL-FLAG';

interface Kept {
  asked: { messages: { content: string }[] };
  policy_version: string;
  policy: { input: string; output: string };
  checks: {
    direction: string;
    guard: string;
    decision: string;
    categories: string[];
    judged: { text: string }[] | null;
    model: string;
    reason: string | null;
  }[];
  transfers: { kind: string; paid_usd: string }[];
}

describe('the record', () => {
  let daypass: Daypass;
  beforeAll(async () => {
    daypass = await startDaypass({ env: { DAYPASS_MODERATION_TIMEOUT_MS: '2500' } });
  });
  afterAll(() => daypass?.stop());
  beforeEach(() => daypass.rehearsal.reset());

  async function clientWith(moderation: object): Promise<OpenAI> {
    const { key } = await daypass.createKey({ campaign: { moderation } });
    return new OpenAI({ apiKey: key, baseURL: daypass.baseUrl, maxRetries: 0 });
  }
  /** A text that nobody asked before. */
  const say = (words: string): OpenAI.ChatCompletionMessageParam[] => [
    { role: 'user', content: `${words} ${randomUUID()}` },
  ];

  async function recordOf(id: string | null | undefined): Promise<Kept> {
    const redis = new Redis(daypass.redisUrl);
    try {
      await until('the record is booked', async () => (await redis.xlen('{dp}:audit')) === 0);
    } finally {
      redis.disconnect();
    }
    const { status, body } = await daypass.admin(`/admin/v1/requests/${id}`);
    expect(status).toBe(200);
    return body as Kept;
  }
  const brief = ({ checks }: Kept) =>
    checks.map(({ direction, decision, categories }) => [direction, decision, ...categories]);

  it('tells of a call what was asked, what moderation said of it and of the answer, and what it cost', async () => {
    const client = await clientWith({ thresholds: { violence: 0.9 } });
    const messages = say('What is a hold?');
    const { data, response } = await client.chat.completions.create({ model, messages }).withResponse();
    const kept = await recordOf(response.headers.get('x-request-id'));
    expect(kept.asked.messages).toEqual(messages);
    expect(kept.policy).toMatchObject({ input: 'gate', output: 'gate', thresholds: { violence: 0.9 } });
    expect(brief(kept)).toEqual([
      ['input', 'pass'],
      ['output', 'pass'],
    ]);
    expect(kept.checks[1]!.judged).toEqual([{ kind: 'text', text: data.choices[0]!.message.content }]);
    expect(kept.checks[0]!.model).toBe('omni-moderation-2024-09-26');
    await booksAtRest(daypass);
    const booked = await recordOf(response.headers.get('x-request-id'));
    expect(booked.transfers.map(({ kind }) => kind)).toEqual(['hold', 'post']);
    expect(booked.transfers[1]!.paid_usd).toBe(response.headers.get('x-daypass-cost-usd'));
  });

  it.each([
    ['a refused input', { output: 'off' }, say(FLAG), [['input', 'blocked', 'violence']]],
    [
      'an input that is only observed',
      { input: 'observe', output: 'off' },
      say(FLAG),
      [['input', 'flagged', 'violence']],
    ],
    ['an input beside its call', { input: 'parallel', output: 'off' }, say(FLAG), [['input', 'blocked', 'violence']]],
    ['nothing, where nothing is judged, but what was asked', { input: 'off', output: 'off' }, say('x'), []],
  ])('tells of %s', async (_, moderation, messages, checks) => {
    const client = await clientWith(moderation);
    const call = client.chat.completions.create({ model, messages });
    const id = await call.withResponse().then(
      ({ response }) => response.headers.get('x-request-id'),
      (error: { requestID?: string }) => error.requestID,
    );
    await booksAtRest(daypass);
    const kept = await recordOf(id);
    expect(kept.asked.messages).toEqual(messages);
    expect(brief(kept)).toEqual(checks);
  });

  it('tells of each piece of a stream, up to the one that ended it', async () => {
    const client = await clientWith({ input: 'off', output: 'window' });
    daypass.rehearsal.onChat = () => ({ content: `A first sentence here. A second one. ${FLAG}. And more.` });
    const { data, response } = await client.chat.completions
      .create({ model, messages: say('go'), stream: true })
      .withResponse();
    let shown = '';
    for await (const chunk of data) shown += chunk.choices[0]?.delta.content ?? '';
    const kept = await recordOf(response.headers.get('x-request-id'));
    const outputs = kept.checks.filter(({ direction }) => direction === 'output');
    expect(outputs.at(-1)).toMatchObject({ decision: 'blocked', categories: ['violence'] });
    expect(outputs.slice(0, -1).every(({ decision }) => decision === 'pass')).toBe(true);
    const passed = outputs.slice(0, -1).map(({ judged }) => judged!.map(({ text }) => text).join(''));
    expect(passed.at(-1)!.endsWith(shown.slice(-10))).toBe(true);
    expect(
      outputs
        .at(-1)!
        .judged!.map(({ text }) => text)
        .join(''),
    ).toContain(FLAG);
  });

  it('says so where moderation was down: `closed` refused, `open` passed', async () => {
    const closed = await clientWith({ on_unavailable: 'closed' });
    const open = await clientWith({ on_unavailable: 'open' });
    daypass.rehearsal.onModeration = () => ({ status: 500, error: { message: 'down' } });
    const error = await errorOf(closed.chat.completions.create({ model, messages: say('hi') }));
    expect(error).toMatchObject({ status: 503, code: 'moderation_unavailable' });
    expect(brief(await recordOf(error.requestID))).toEqual([['input', 'unavailable']]);
    const { response } = await open.chat.completions.create({ model, messages: say('hi') }).withResponse();
    expect(response.headers.get('x-daypass-moderation')).toBe('input=unchecked; output=unchecked');
    const kept = await recordOf(response.headers.get('x-request-id'));
    expect(brief(kept)).toEqual([
      ['input', 'unchecked'],
      ['output', 'unchecked'],
    ]);
    expect(kept.checks[0]!.reason).toContain('500');
    await booksAtRest(daypass);
  });

  it('verifies after all that, is listed, and content is in no log, no metric and in clear nowhere', async () => {
    const client = await clientWith({});
    const secret = `needle-${randomUUID()}`;
    daypass.rehearsal.onChat = () => ({ content: `an answer with ${secret} in it` });
    const { response } = await client.chat.completions.create({ model, messages: say(secret) }).withResponse();
    const id = response.headers.get('x-request-id');
    expect((await recordOf(id)).checks).toHaveLength(2);
    const { body } = await daypass.admin('/admin/v1/audit/verify');
    expect(body).toMatchObject({ ok: true, problems: [] });
    expect(body.checked.rows).toBe(body.head.seq);
    expect((await daypass.admin(`/admin/v1/checks?request=${id}&direction=output`)).body.data).toMatchObject([
      { decision: 'pass', request_id: id },
    ]);
    for (const service of SERVICES) {
      expect(daypass.logs(service)).not.toContain(secret);
      expect(await (await fetch(`${daypass.opsUrls[service]}/metrics`)).text()).not.toContain(secret);
    }
    const metrics = await (await fetch(`${daypass.opsUrls.accounting}/metrics`)).text();
    expect(metrics).toMatch(
      /daypass_audit_checks_total\{campaign="test-[0-9a-f]+",direction="input",guard="moderation",decision="blocked"[^}]*\} 1\n/,
    );
    expect(await (await fetch(`${daypass.opsUrls.moderation}/metrics`)).text()).toMatch(
      /daypass_guard_seconds_count\{[^}]*direction="input",guard="moderation",outcome="judged"/,
    );
  });
});
