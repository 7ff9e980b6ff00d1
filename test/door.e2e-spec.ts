import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { AzureOpenAI } from 'openai';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';
import { createVirtualKey } from '#libs/secrets/virtual-key.js';
import { until } from '#libs/testing/until.js';
import { booksAtRest, errorOf } from './at-rest.js';

const model = 'gpt-5.4-mini';
const messages = [{ role: 'user' as const, content: 'hi' }];
const valid = { model, messages, max_tokens: 5 };
const JSON_TYPE = { 'content-type': 'application/json' };

let daypass: SharedDaypass;
let key: TestKey;
let origin: string;
beforeAll(async () => {
  daypass = await shareDaypass();
  key = await daypass.createKey();
  origin = new URL(daypass.baseUrl).origin;
});
afterAll(async () => {
  await booksAtRest(daypass);
  await daypass?.stop();
});

const bearer = (token = key.key): Record<string, string> => ({ authorization: `Bearer ${token}` });

interface Answer {
  status: number;
  code: string | null;
  headers: Headers;
}

async function ask(
  path: string,
  { method = 'POST', body = valid, headers = bearer() }: { method?: string; body?: unknown; headers?: object } = {},
): Promise<Answer> {
  const response = await fetch(`${origin}${path}`, {
    method,
    headers: { ...JSON_TYPE, ...headers },
    ...(method === 'POST' ? { body: typeof body === 'string' ? body : JSON.stringify(body) } : {}),
  });
  const text = await response.text();
  const { error } = (text === '' ? {} : JSON.parse(text)) as { error?: { code: string } };
  return { status: response.status, code: error?.code ?? null, headers: response.headers };
}

/** A connection of its own, which sends what no client would. */
function wire(): { send(text: string): void; received(): string; isClosed(): boolean; close(): void } {
  const { hostname, port } = new URL(origin);
  const socket = connect(Number(port), hostname);
  let text = '';
  let closed = false;
  socket.on('data', (data) => (text += data.toString()));
  socket.on('error', () => undefined);
  socket.on('close', () => (closed = true));
  return {
    send: (bytes) => void socket.write(bytes),
    received: () => text,
    isClosed: () => closed,
    close: () => void socket.destroy(),
  };
}

const head = (line: string, ...headers: string[]): string =>
  [`${line} HTTP/1.1`, 'host: x', 'content-type: application/json', ...headers, '', ''].join('\r\n');

describe('before its body comes', () => {
  it.each([
    ['a spelling of the path that the router decodes', 'POST /%76%31/chat/completions', 401, 'invalid_api_key'],
    ['the path itself', 'POST /v1/chat/completions', 401, 'invalid_api_key'],
    ['a path without /v1', 'POST /chat/completions', 401, 'invalid_api_key'],
    ['a GET with a body', 'GET /v1/models', 401, 'invalid_api_key'],
    ['an unknown path', 'POST /nothing', 404, 'unknown_url'],
    ['an unknown path below /v1', 'POST /v1/nothing', 404, 'unknown_url'],
    ['a method that a route has not', 'DELETE /v1/models', 404, 'unknown_url'],
    ['a path that cannot be read', 'POST /%zz', 404, 'unknown_url'],
  ])('a request without a key is answered: %s', async (_, line, status, code) => {
    const connection = wire();
    connection.send(head(line, 'content-length: 2000000'));
    await until('the answer is there', () => connection.received().includes(code));
    expect(connection.received()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(connection.received()).toMatch(/access-control-allow-origin: \*/i);
    connection.close();
  });

  it('a request with a key that nobody knows, or that may not call, is answered', async () => {
    const suspended = await daypass.createKey();
    await daypass.admin(`/admin/v1/keys/${suspended.id}/suspend`, { body: {} });
    const unknown = (await daypass.createKey()).key;
    const { body } = await daypass.admin(`/admin/v1/keys/${daypass.keys.at(-1)!.id}/rotate`, { body: {} });
    expect(body.key).toMatch(/^dp_/);
    for (const [token, code] of [
      [suspended.key, 'key_suspended'],
      [unknown, 'invalid_api_key'],
    ] as const) {
      const connection = wire();
      connection.send(head('POST /v1/chat/completions', `authorization: Bearer ${token}`, 'content-length: 2000000'));
      await until('the answer is there', () => connection.received().includes(code));
      connection.close();
    }
  });

  it('a request with a good key is not answered', async () => {
    const connection = wire();
    connection.send(head('POST /v1/chat/completions', `authorization: Bearer ${key.key}`, 'content-length: 2000000'));
    await sleep(300);
    expect(connection.received()).toBe('');
    connection.close();
  });

  it('nothing of an unknown address is parsed', async () => {
    for (const headers of [{}, bearer()]) {
      const body = '{"broken":';
      expect(await ask('/nothing', { body, headers })).toMatchObject({ status: 404, code: 'unknown_url' });
      expect(await ask('/%76%31/nothing', { body, headers })).toMatchObject({ status: 404, code: 'unknown_url' });
    }
  });
});

describe('a body', () => {
  it('of a refused request does not hold up the next one on its connection', async () => {
    const connection = wire();
    const refused = [
      ['POST /nothing', 'unknown_url'],
      ['POST /v1/chat/completions', 'No API key provided'],
      [`POST /v1/chat/completions?`, 'Incorrect API key provided'],
    ] as const;
    for (const [line, error] of refused) {
      const stranger = line.endsWith('?') ? [`api-key: ${createVirtualKey()}`] : [];
      connection.send(head(line, 'content-length: 2000000', ...stranger) + 'x'.repeat(2_000_000));
      await until(`it says ${error}`, () => connection.received().includes(error), 2_000);
    }
    connection.send(head('GET /v1/key', `api-key: ${key.key}`));
    await until('the last one is answered', () => connection.received().includes(key.id), 2_000);
    connection.close();
  });

  it('without end at an unknown address does not keep its connection', async () => {
    const connection = wire();
    connection.send(head('POST /nothing', 'transfer-encoding: chunked'));
    const chunk = `${(65_536).toString(16)}\r\n${'x'.repeat(65_536)}\r\n`;
    for (let sent = 0; sent < 256 && !connection.isClosed(); sent++) {
      connection.send(chunk);
      if (sent % 16 === 0) await sleep(1);
    }
    await until('the connection is closed', () => connection.isClosed());
    expect(connection.received()).toContain('unknown_url');
    // Not because its time was over.
    expect(connection.received()).not.toContain('request_timeout');
  });

  it('of 8 MiB is taken, and a larger one is not', async () => {
    const rich = await daypass.createKey({ campaign: { budget_usd: '100' }, key: { budget_usd: '100' } });
    const url = `data:image/png;base64,${'iVBORw0K'.repeat(1_000_000)}`;
    const content = [{ type: 'image_url', image_url: { url } }];
    const body = { model, max_tokens: 5, messages: [{ role: 'user', content }] };
    expect(JSON.stringify(body).length).toBeGreaterThan(8_000_000);
    expect((await ask('/v1/chat/completions', { body, headers: bearer(rich.key) })).status).toBe(200);
    const larger = { ...body, user: 'x'.repeat(600_000) };
    expect(await ask('/v1/chat/completions', { body: larger })).toMatchObject({
      status: 413,
      code: 'request_too_large',
    });
  });

  it('that is refused while it comes is refused with its own error', async () => {
    for (const body of [`[${'[],'.repeat(600_000)}[]]`, '['.repeat(2_000_000)])
      expect(await ask('/v1/chat/completions', { body })).toMatchObject({ status: 400, code: 'invalid_request' });
  });

  it('that breaks off is no internal error', async () => {
    const before = await refusals();
    const connection = wire();
    connection.send(head('POST /v1/chat/completions', `authorization: Bearer ${key.key}`, 'content-length: 2000000'));
    connection.send('{"model":');
    await sleep(200);
    connection.close();
    await until('the visitor has left', async () => (await refusals()).left === before.left + 1);
    expect((await refusals()).internal).toBe(before.internal);
    expect(daypass.logs('ingress')).toContain('the visitor left');
    expect(daypass.logs('ingress')).not.toContain('unexpected error');
  });

  async function refusals(): Promise<{ left: number; internal: number }> {
    const text = await (await fetch(`${daypass.opsUrls.ingress}/metrics`)).text();
    const of = (code: string): number =>
      Number(new RegExp(`^daypass_refusals_total\\{.*code="${code}".*\\} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
    return { left: of('visitor_left'), internal: of('internal_error') };
  }
});

describe('a page of another origin', () => {
  it('may ask before it calls, without a key', async () => {
    const asked = 'authorization,content-type,x-stainless-os,x-stainless-retry-count';
    for (const path of ['/v1/chat/completions', '/chat/completions', '/nothing']) {
      const { status, headers } = await ask(path, {
        method: 'OPTIONS',
        headers: {
          origin: 'https://app.example',
          'access-control-request-method': 'POST',
          'access-control-request-headers': asked,
        },
      });
      expect(status).toBe(204);
      expect(Object.fromEntries(headers)).toMatchObject({
        'access-control-allow-origin': '*',
        'access-control-allow-methods': 'GET, POST, DELETE',
        'access-control-allow-headers': asked,
        'access-control-max-age': '7200',
        'x-request-id': expect.stringMatching(/^req_/),
      });
    }
  });

  it('may read every answer, and its headers', async () => {
    const answers = [
      await ask('/v1/chat/completions'),
      await ask('/v1/chat/completions', { body: { ...valid, stream: true } }).catch(() => null),
      await ask('/v1/models', { method: 'GET' }),
      await ask('/v1/key', { method: 'GET' }),
      await ask('/nothing'),
      await ask('/%zz'),
      await ask('/v1/chat/completions', { headers: {} }),
      await ask('/v1/chat/completions', { body: '{' }),
      await ask('/v1/chat/completions', { headers: { ...bearer(), 'x-large': 'h'.repeat(20_000) } }),
    ];
    for (const answer of answers) {
      if (answer === null) continue;
      expect(answer.headers.get('access-control-allow-origin')).toBe('*');
      const exposed = answer.headers.get('access-control-expose-headers')!.split(', ');
      const own = [...answer.headers.keys()].filter((name) => /^(x-|retry-after|idempotent)/.test(name));
      expect(exposed).toEqual(expect.arrayContaining([...own, 'x-should-retry', 'retry-after', 'retry-after-ms']));
    }
    const stream = await fetch(`${daypass.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { ...JSON_TYPE, ...bearer() },
      body: JSON.stringify({ ...valid, stream: true }),
    });
    expect(await stream.text()).toContain('data: [DONE]');
    expect(stream.headers.get('access-control-allow-origin')).toBe('*');
    expect(stream.headers.get('access-control-expose-headers')).toContain('x-daypass-moderation');
  });

  it('calls only where the campaign names its origin, or none', async () => {
    const origins = ['https://app.example'];
    const limited = await daypass.createKey({ campaign: { origins } });
    const from = (page?: string) => ({ ...bearer(limited.key), ...(page === undefined ? {} : { origin: page }) });
    expect(await ask('/v1/chat/completions', { headers: from('https://app.example') })).toMatchObject({ status: 200 });
    for (const page of ['https://other.example', 'http://app.example', 'https://app.example:8443', 'null']) {
      const refused = { status: 403, code: 'origin_not_allowed' };
      expect(await ask('/v1/chat/completions', { headers: from(page) })).toMatchObject(refused);
      const { headers, ...answer } = await ask('/v1/key', { method: 'GET', headers: from(page) });
      expect(answer).toEqual(refused);
      expect(headers.get('x-should-retry')).toBe('false');
    }
    // A program is no page.
    expect(await ask('/v1/chat/completions', { headers: from() })).toMatchObject({ status: 200 });
    expect(await ask('/v1/chat/completions', { headers: { ...bearer(), origin: 'null' } })).toMatchObject({
      status: 200,
    });
    await daypass.admin(`/admin/v1/campaigns/${limited.campaign}`, { method: 'PATCH', body: { origins: null } });
    expect(await ask('/v1/chat/completions', { headers: from('https://other.example') })).toMatchObject({
      status: 200,
    });
  });
});

describe('a key', () => {
  it('may stand in api-key or x-api-key', async () => {
    for (const name of ['api-key', 'x-api-key'])
      expect((await ask('/v1/chat/completions', { headers: { [name]: key.key } })).status).toBe(200);
  });

  it('is the first Daypass key of authorization, api-key and x-api-key', async () => {
    const other = await daypass.createKey();
    const idOf = async (headers: Record<string, string>): Promise<string> => {
      const response = await fetch(`${daypass.baseUrl}/key`, { headers });
      return ((await response.json()) as { data: { id: string } }).data.id;
    };
    expect(await idOf({ ...bearer(), 'api-key': other.key })).toBe(key.id);
    expect(await idOf({ authorization: 'Bearer sk-other', 'api-key': other.key })).toBe(other.id);
    expect(await idOf({ authorization: 'Basic eDp5', 'x-api-key': other.key })).toBe(other.id);
    expect(await idOf({ 'api-key': 'none', 'x-api-key': other.key })).toBe(other.id);
    expect(await ask('/v1/key', { method: 'GET', headers: { 'api-key': 'sk-other' } })).toMatchObject({
      status: 401,
      code: 'invalid_api_key',
    });
  });
});

describe('another address', () => {
  it.each(['/v1/chat/completions/', '//v1//chat/completions', '/chat/completions', '/openai/v1/chat/completions'])(
    '%s leads to the chat',
    async (path) => expect((await ask(path)).status).toBe(200),
  );

  it('of Azure is used by its official client, with the model of its path', async () => {
    const options = { apiKey: key.key, apiVersion: '2026-01-01', endpoint: origin, maxRetries: 0 };
    const deployed = new AzureOpenAI({ ...options, deployment: model });
    const before = daypass.rehearsal.chatCalls().length;
    const answer = await deployed.chat.completions.create({ model: 'whatever', messages, max_tokens: 5 });
    expect(answer.choices).toHaveLength(1);
    expect(daypass.rehearsal.chatCalls().slice(before)[0]!.body.model).toBe(model);
    const azure = new AzureOpenAI(options);
    const stream = await azure.chat.completions.create({ model, messages, max_tokens: 5, stream: true });
    let text = '';
    for await (const { choices } of stream) text += choices[0]?.delta.content ?? '';
    expect(text).not.toBe('');
    // What takes no query takes the version of Azure's clients.
    const made = await azure.responses.create({ model, input: 'hi', max_output_tokens: 16 });
    expect((await azure.responses.retrieve(made.id)).id).toBe(made.id);
    expect((await azure.conversations.create({})).object).toBe('conversation');
    expect((await azure.moderations.create({ input: 'hi' })).results).toHaveLength(1);
    expect((await azure.models.list()).data.map(({ id }) => id)).toContain(model);
    expect(await errorOf(azure.chat.completions.create({ model: 'gpt-99', messages }))).toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
  });
});

it('a visitor’s own headers never go upstream', async () => {
  const mine = {
    'openai-organization': 'org-visitor',
    'openai-project': 'proj_visitor',
    'openai-beta': 'assistants=v2, responses=experimental, realtime=v1, responses_websockets=2026-02-06, other=visitor',
    'x-stainless-helper-method': 'visitor',
    originator: 'visitor',
    'session-id': 'visitor',
    'x-stainless-retry-count': '41999',
    'x-codex-turn': 'visitor',
    'x-codex-turn-metadata': '{"by":"visitor"}',
    'x-client-request-id': 'visitor-called-it',
    'x-any': 'visitor',
  };
  const before = daypass.rehearsal.chatCalls().length;
  expect((await ask('/v1/chat/completions', { headers: { ...bearer(), ...mine } })).status).toBe(200);
  const [call] = daypass.rehearsal.chatCalls().slice(before);
  expect(JSON.stringify(call!.headers)).not.toMatch(/visitor|assistants=v2|realtime=v1|41999/);
  expect(
    Object.keys(call!.headers).filter((name) => /^(openai-|originator|session|x-codex|x-client)/.test(name)),
  ).toEqual([]);
  await until('the log has what the visitor calls it', () => loggedAs('visitor-called-it').length === 1);
  expect(loggedAs('visitor-called-it')[0]).toMatchObject({ msg: 'call', requestId: expect.stringMatching(/^req_/) });
});

it('a refused call is logged with the name that its visitor gave it, if that is short', async () => {
  const called = (id: string) => ({ headers: { ...bearer(), 'x-client-request-id': id }, body: { model } });
  expect((await ask('/v1/chat/completions', called('refused-by-name'))).status).toBe(400);
  expect((await ask('/v1/chat/completions', called('refused-long-'.padEnd(129, 'x')))).status).toBe(400);
  await until('both are in the log', () => loggedAs('refused-by-name').length === 1);
  expect(loggedAs('refused-by-name')[0]).toMatchObject({ msg: 'refused', code: 'invalid_request' });
  expect(daypass.logs('ingress')).not.toContain('refused-long-');
});

function loggedAs(clientRequestId: string): Record<string, unknown>[] {
  const lines = daypass
    .logs('ingress')
    .split('\n')
    .filter((line) => line.includes(clientRequestId));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('a beta with another grammar', () => {
  it.each([
    ['/v1/chat/completions?beta=true', {}, 'beta'],
    ['/v1/models?beta=true', {}, 'beta'],
    ['/v1/chat/completions', { 'openai-beta': 'responses=experimental, responses_multi_agent=v1' }, 'OpenAI-Beta'],
  ])('is refused by name at %s with %j, before its body comes', async (path, headers, param) => {
    const connection = wire();
    const asked = Object.entries({ ...bearer(), ...headers }).map(([name, value]) => `${name}: ${value}`);
    const line = path.startsWith('/v1/models') ? `GET ${path}` : `POST ${path}`;
    connection.send(head(line, 'content-length: 2000000', ...asked));
    await until('it is refused', () => connection.received().includes('invalid_request'));
    expect(connection.received()).toMatch(/^HTTP\/1.1 400 /);
    expect(connection.received()).toContain(`"param":"${param}"`);
    expect(connection.received()).toMatch(/^x-should-retry: false/im);
    connection.close();
  });

  it('tells a stranger first that the key is wrong', async () => {
    expect(await ask('/v1/chat/completions?beta=true', { headers: {} })).toMatchObject({ status: 401 });
  });
});
