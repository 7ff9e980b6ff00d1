import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { startDaypass, type Daypass, type TestKey } from '#libs/testing/daypass.js';
import { until } from '#libs/testing/until.js';
import { errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
const KEY = randomBytes(24);
const SECRET = `whsec_${KEY.toString('base64')}`;

describe("the provider's safety notices", () => {
  let daypass: Daypass;
  let hook: Server;
  const heard: { type: string; text: string; data: Record<string, unknown> }[] = [];

  beforeAll(async () => {
    hook = createServer((request, response) => {
      void (async () => {
        let text = '';
        for await (const piece of request) text += String(piece);
        heard.push(JSON.parse(text) as (typeof heard)[number]);
        response.end();
      })();
    });
    await new Promise<void>((resolve) => hook.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`;
    daypass = await startDaypass({
      env: { OPENAI_WEBHOOK_SECRET: SECRET },
      config: { operator: { webhook: { url, secret: 'a secret of the operator' } } },
    });
  });
  afterAll(async () => {
    await daypass?.stop();
    hook?.closeAllConnections();
    hook?.close();
  });

  const clientOf = (key: TestKey): OpenAI => new OpenAI({ apiKey: key.key, baseURL: daypass.baseUrl, maxRetries: 0 });
  const hi = () => ({ model, messages: [{ role: 'user' as const, content: `hi ${randomUUID()}` }] });

  /** As the provider sends it. */
  async function tell(
    event: object | string,
    { secret = KEY, ageSeconds = 0 } = {},
  ): Promise<{ status: number; body: unknown }> {
    const body = typeof event === 'string' ? event : JSON.stringify(event);
    const [id, timestamp] = [`wh_${randomUUID()}`, String(Math.floor(Date.now() / 1_000) - ageSeconds)];
    const signature = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64');
    const response = await fetch(new URL('/webhooks/openai', daypass.baseUrl), {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': timestamp,
        'webhook-signature': `v1,${signature}`,
      },
      body,
    });
    return { status: response.status, body: await response.json() };
  }
  const notice = (caseId: string, type = 'safety.warning_issued') => ({
    id: `evt_${randomUUID()}`,
    object: 'event',
    created_at: Math.floor(Date.now() / 1_000),
    type,
    data: { id: caseId },
  });
  const statusOf = async (key: TestKey) =>
    (await daypass.admin(`/admin/v1/keys/${key.id}`)).body as { status: string; status_note: string | null };
  /** By what the provider knows the visitor. */
  async function identifierOf(key: TestKey): Promise<string> {
    await clientOf(key).chat.completions.create(hi());
    return daypass.rehearsal.chatCalls().at(-1)!.body.safety_identifier as string;
  }

  it('suspend the visitor whom one names, tell the operator, and stand in the record; a person reinstates', async () => {
    const [named, other] = [await daypass.createKey(), await daypass.createKey()];
    const identifier = await identifierOf(named);
    expect(identifier).not.toContain(named.id);
    expect(await identifierOf(other)).not.toBe(identifier);
    daypass.rehearsal.safetyCases.set('C-1', {
      entity_identifier: identifier,
      reason: 'cyber_abuse',
      notice: { type: 'warning' },
    });
    for (let round = 0; round < 3; round++)
      expect(await tell(notice('C-1'))).toEqual({ status: 200, body: { received: true } });
    await until('the visitor is suspended', async () => (await statusOf(named)).status === 'suspended');
    expect((await statusOf(named)).status_note).toBe("the provider's safety case C-1 (cyber_abuse)");
    expect(await errorOf(clientOf(named).chat.completions.create(hi()))).toMatchObject({
      status: 403,
      code: 'key_suspended',
    });
    expect((await clientOf(other).chat.completions.create(hi())).choices).toHaveLength(1);
    await until('the operator is told', () => heard.length > 0);
    await sleep(1_500);
    expect(heard).toEqual([
      {
        type: 'safety.case',
        text: `Daypass: the provider issued a notice (safety.warning_issued) that names the key ${named.id}, for cyber_abuse. The key is suspended until a person reinstates it.`,
        data: {
          case: 'C-1',
          notice: 'safety.warning_issued',
          key: named.id,
          reason: 'cyber_abuse',
          outcome: 'suspended',
        },
      },
    ]);
    await daypass.admin(`/admin/v1/keys/${named.id}/reinstate`, { body: { note: 'talked to them' } });
    expect((await clientOf(named).chat.completions.create(hi())).choices).toHaveLength(1);
    expect((await daypass.admin('/admin/v1/audit/verify')).body).toMatchObject({ ok: true });
  });

  it('suspend all keys of a claimant whom one names, who claims no more', async () => {
    const claimant = `Grace ${randomUUID()}`;
    const first = await daypass.createKey({ key: { claimant } });
    const second = await daypass.createKey({ campaign: first.campaign, key: { claimant } });
    const visitor = (await daypass.admin(`/admin/v1/keys/${first.id}`)).body.claimant as string;
    daypass.rehearsal.safetyCases.set('C-7', {
      entity_identifier: await identifierOf(second),
      reason: 'cyber_abuse',
      notice: { type: 'warning' },
    });
    const before = heard.length;
    await tell(notice('C-7'));
    await until('the operator is told', () => heard.length > before);
    for (const key of [first, second]) expect((await statusOf(key)).status).toBe('suspended');
    expect(heard.at(-1)!.text).toContain(`names the visitor ${visitor}`);
    expect(heard.at(-1)!.data).toMatchObject({ key: null, visitor, outcome: 'suspended' });
    const shown = (await daypass.admin(`/admin/v1/visitors/${visitor}`)).body as { blocked_at: string | null };
    expect(shown.blocked_at).not.toBeNull();
    // What the provider says is no review of a person.
    const acts = await daypass.admin(`/admin/v1/acts?subject=${visitor}`);
    expect((acts.body.data as { act: string }[]).map(({ act }) => act)).toEqual(['safety']);
  });

  it('are looked up again until the provider answers, and one that names nobody is told to the operator', async () => {
    expect(await tell(notice('C-2', 'safety.deactivation_issued'))).toMatchObject({ status: 200 });
    await sleep(1_200);
    daypass.rehearsal.safetyCases.set('C-2', {
      entity_identifier: 'somebody else',
      reason: null,
      notice: { type: 'deactivation' },
    });
    await until('the operator is told', () => heard.some(({ data }) => data.case === 'C-2'));
    expect(heard.at(-1)!.data).toMatchObject({ outcome: 'unknown visitor', key: null });
  });

  it.each([
    ['signed by somebody else', notice('C-9'), { secret: randomBytes(24) }],
    ['old', notice('C-9'), { ageSeconds: 3_600 }],
    ['no JSON', '{', {}],
  ])('are not heard where they are %s', async (_, event, how) => {
    expect(await tell(event, how)).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
  });

  it('of any other kind are heard and nothing more; without a signature nothing is', async () => {
    expect(await tell({ ...notice('C-9'), type: 'batch.completed' })).toEqual({
      status: 200,
      body: { received: true },
    });
    const bare = await fetch(new URL('/webhooks/openai', daypass.baseUrl), { method: 'POST', body: '{}' });
    expect(bare.status).toBe(400);
    expect(daypass.logs('ingress')).not.toContain('C-9"');
  });
});
