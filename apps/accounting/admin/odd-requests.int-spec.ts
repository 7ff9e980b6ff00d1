import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AccountingFixture } from '../accounting.fixture.js';

let accounting: AccountingFixture;
let id: string;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  await accounting.createCampaign('odd', { budget_usd: '1000' });
  ({ id } = await accounting.createKey('odd'));
});
afterAll(() => accounting.stop());

const JSON_TYPE = { 'content-type': 'application/json' };

interface Raw {
  status: number;
  // Answers are read as a client reads them: without types.
  // oxlint-disable-next-line typescript/no-explicit-any
  body: any;
}

/** As bytes, because `fetch` mends addresses and bodies. */
async function send(
  method: string,
  path: string,
  body?: string | Buffer,
  headers: Record<string, string> = JSON_TYPE,
): Promise<Raw> {
  const url = new URL(await accounting.app.getUrl());
  return new Promise((resolve, reject) => {
    const asked = httpRequest(
      {
        host: url.hostname,
        port: url.port,
        method,
        path,
        headers: { authorization: 'Bearer admin-token-for-tests', ...headers },
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          resolve({ status: answer.statusCode!, body: text === '' ? null : (JSON.parse(text) as unknown) });
        });
      },
    );
    asked.on('error', reject);
    asked.end(body);
  });
}

/** It is refused in the API's own words. */
async function expectRefused(answer: Promise<Raw>, statuses: number[] = [400]): Promise<Raw['body']> {
  const { status, body } = await answer;
  expect({ status, body }).toEqual({ status: expect.any(Number), body: { error: expect.any(Object) } });
  expect(statuses).toContain(status);
  expect(body.error).toMatchObject({ message: expect.any(String), code: expect.stringMatching(/^[a-z_]+$/) });
  expect(JSON.stringify(body).length).toBeLessThan(20_000);
  return body.error;
}

const key = (terms: string): string => `{"campaign":"odd",${terms}}`;
const nested = (open: string, close: string, depth: number): string => `${open.repeat(depth)}1${close.repeat(depth)}`;

describe('a body', () => {
  it.each([
    ['a zero character in a label', key('"label":"a\\u0000b"')],
    ['half of a surrogate pair in a label', key('"label":"a\\ud800b"')],
    ['the other half', key('"label":"\\udc00"')],
    ['halves in the wrong order', key('"label":"\\udc00\\ud800"')],
    ['half of a pair as the name of a field', key('"\\ud800":1')],
    ['a zero character as the name of a field', key('"\\u0000":1')],
    ['a number beyond all numbers', key('"ttl_seconds":1e400')],
    ['a number beyond whole numbers', key('"ttl_seconds":9007199254740993')],
    ['a number of 100,000 digits', key(`"ttl_seconds":${'9'.repeat(100_000)}`)],
    ['a negative zero', key('"ttl_seconds":-0')],
    ['a fraction', key('"ttl_seconds":1.5')],
    ['arrays, 100,000 deep', key(`"limits":${nested('[', ']', 100_000)}`)],
    ['objects, 100,000 deep', key(`"moderation":${nested('{"a":', '}', 100_000)}`)],
    ['thresholds of a prototype', key('"moderation":{"thresholds":{"__proto__":{"violence":1}}}')],
    ['__proto__', key('"__proto__":{"budget_usd":"1"}')],
    ['constructor', key('"constructor":{"prototype":{"x":1}}')],
    ['100,000 unknown fields', `{${Array.from({ length: 100_000 }, (_, index) => `"f${index}":1`).join(',')}}`],
    ['an unknown field with a long name', key(`"${'x'.repeat(100_000)}":1`)],
    ['a label too long', key(`"label":"${'x'.repeat(1_000_000)}"`)],
    ['a note of blanks only', key(`"label":1,"note":"${' '.repeat(100_000)}"`)],
    ['100,000 models', key(`"models":[${Array(100_000).fill('"m"').join(',')}]`)],
    ['a model that is a number', key('"models":[1]')],
    ['a time in year 0', key('"starts_at":"0000-01-01T00:00:00Z"')],
    ['a time without a zone', key('"starts_at":"2026-01-01T00:00:00"')],
    ['a 30th of February', key('"starts_at":"2026-02-30T00:00:00Z"')],
    ['a trailing comma', '{"campaign":"odd",}'],
    ['a comment', '{"campaign":"odd"/* no */}'],
    ['single quotes', "{'campaign':'odd'}"],
    ['NaN', key('"ttl_seconds":NaN')],
    ['two values', '{"campaign":"odd"}{"campaign":"odd"}'],
    ['nothing but blanks', '   '],
  ])('with %s is refused', async (_, text) => {
    await expectRefused(send('POST', '/admin/v1/keys', text));
  });

  it('that is no UTF-8 is refused or stored as other characters, and breaks nothing', async () => {
    const bytes = Buffer.concat([
      Buffer.from('{"campaign":"odd","label":"'),
      Buffer.from([0xff, 0xc0, 0x80]),
      Buffer.from('"}'),
    ]);
    const { status, body } = await send('POST', '/admin/v1/keys', bytes);
    if (status === 201) expect(body.label).toBe('\ufffd\ufffd\ufffd');
    else expect(status).toBe(400);
  });

  it('of an editor that begins files with a byte order mark is read', async () => {
    expect((await send('POST', '/admin/v1/keys', '\ufeff{"campaign":"odd"}')).status).toBe(201);
  });

  it('with a field twice has the last one, as JSON has it everywhere', async () => {
    const { status, body } = await send('POST', '/admin/v1/keys', key('"label":"first","label":"last"'));
    expect([status, body.label]).toEqual([201, 'last']);
  });

  it('larger than the bound is refused with 413', async () => {
    const text = key(`"label":"${'x'.repeat(accounting.config.limits.bodyBytes)}"`);
    await expectRefused(send('POST', '/admin/v1/keys', text), [413]);
  });

  it.each([
    ['text/plain'],
    ['application/x-www-form-urlencoded'],
    ['multipart/form-data; boundary=x'],
    ['application/xml'],
    ['application/json-patch+json'],
    ['application/jsonx'],
    ['nonsense'],
  ])('of the type %s is refused with 415', async (type) => {
    await expectRefused(send('POST', '/admin/v1/keys', key('"label":"x"'), { 'content-type': type }), [415]);
  });

  it('in an encoding that nobody unpacks is refused', async () => {
    const headers = { ...JSON_TYPE, 'content-encoding': 'gzip' };
    await expectRefused(send('POST', '/admin/v1/keys', Buffer.from('1f8b0800', 'hex'), headers), [400, 415]);
  });
});

describe('an address', () => {
  it.each([
    ['a zero character as a slug', 'GET', '/admin/v1/campaigns/%00', [400, 404]],
    ['half an escape', 'GET', '/admin/v1/campaigns/%E0%A4', [400, 404]],
    ['a broken escape', 'GET', '/admin/v1/campaigns/%zz', [400, 404]],
    ['a slug of 10,000 characters', 'GET', `/admin/v1/campaigns/${'x'.repeat(10_000)}`, [404]],
    ['dots', 'GET', '/admin/v1/campaigns/..%2f..%2fkeys', [404]],
    ['SQL', 'GET', "/admin/v1/keys/'%20OR%20'1'='1", [404]],
    ['an id of another kind', 'GET', '/admin/v1/requests/key_1', [404]],
    ['an unknown method', 'DELETE', '/admin/v1/keys', [404]],
    ['two slashes', 'GET', '//admin/v1/keys', [404]],
    ['a slash at the end', 'GET', '/admin/v1/keys/', [404]],
    ['an unknown filter', 'GET', '/admin/v1/keys?colour=red', [400]],
    [
      '10,000 filters',
      'GET',
      `/admin/v1/keys?${Array.from({ length: 1_000 }, (_, index) => `f${index}=1`).join('&')}`,
      [400],
    ],
    ['a filter twice', 'GET', '/admin/v1/keys?label=a&label=b', [400]],
    ['a filter as a list', 'GET', '/admin/v1/keys?label[]=a', [400]],
    ['a zero character in a filter', 'GET', '/admin/v1/keys?label=%00', [400]],
    ['a slug that is none', 'GET', '/admin/v1/keys?campaign=a%27b', [400]],
    ['a limit with a sign', 'GET', '/admin/v1/keys?limit=%2B5', [400]],
    ['a limit in hex', 'GET', '/admin/v1/keys?limit=0x5', [400]],
    ['a limit with an exponent', 'GET', '/admin/v1/keys?limit=1e1', [400]],
    ['a limit of nothing', 'GET', '/admin/v1/keys?limit=', [400]],
    ['a time that is none', 'GET', '/admin/v1/requests?since=now', [400]],
    ['a decision that is none', 'GET', '/admin/v1/requests?decision=pass,', [400]],
  ])('with %s is refused', async (_, method, path, statuses) => {
    await expectRefused(send(method, path), statuses);
  });

  it('with a filter of many escapes is read in no time', async () => {
    expect((await send('GET', `/admin/v1/keys?q=${'%25'.repeat(200)}`)).status).toBe(200);
    expect((await send('GET', `/admin/v1/keys?q=${encodeURIComponent(String.raw`\_%'"`)}`)).status).toBe(200);
  });
});

describe('a cursor', () => {
  const cursor = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const forged: [string, unknown][] = [
    ['no list', {}],
    ['null', null],
    ['a number', 7],
    ['a text', 'abc'],
    ['a time beyond all times', [1e300, 'key_1']],
    ['a time before Postgres', [-1e15, 'key_1']],
    ['a time after Postgres', [8.64e15, 'key_1']],
    ['a fraction', [1.5e12 + 0.25, 'a\0']],
    ['a zero character', [1, 'a\0b']],
    ['an id that is none', [1, { id: 'x' }]],
    ['a rank that is none', ['-spent', '1; DROP TABLE', 'key_1']],
    ['a rank beyond numbers', ['-spent', '9'.repeat(40), 'key_1']],
    ['a rank with a zero character', ['-spent', '1', 'a\0']],
    ['a rank of an unknown order', ['-name', '1', 'key_1']],
    ['a list, deep', JSON.parse(nested('[', ']', 50))],
  ];

  it.each(forged)('with %s is refused by every list', async (_, value) => {
    for (const list of ['campaigns', 'keys', 'checks', 'requests', `keys/${id}/transfers`, `keys/${id}/strikes`])
      expect((await expectRefused(send('GET', `/admin/v1/${list}?cursor=${cursor(value)}`))).param).toBe('cursor');
    for (const sort of ['-spent', '-last_call'])
      await expectRefused(send('GET', `/admin/v1/keys?sort=${sort}&cursor=${cursor(value)}`));
  });

  it('with half of a surrogate pair breaks nothing', async () => {
    for (const list of ['campaigns', 'keys', 'requests'])
      expect(
        (await send('GET', `/admin/v1/${list}?cursor=${Buffer.from('[1,"\\ud800"]').toString('base64url')}`)).status,
      ).toBeLessThan(500);
  });
});

describe('an Idempotency-Key', () => {
  it.each([
    ['nothing', ''],
    ['256 characters', 'x'.repeat(256)],
    ['a letter with an accent', 'é'],
    ['a tab', 'a\tb'],
  ])('of %s is refused', async (_, name) => {
    const answer = send('POST', '/admin/v1/keys', key('"label":"x"'), { ...JSON_TYPE, 'idempotency-key': name });
    expect((await expectRefused(answer)).param).toBe('idempotency-key');
  });

  it('of 255 characters, or with quotes, works once', async () => {
    for (const name of ['x'.repeat(255), `"'; --`, '%00']) {
      const headers = { ...JSON_TYPE, 'idempotency-key': name };
      const [first, again] = [
        await send('POST', '/admin/v1/keys', key('"label":"x"'), headers),
        await send('POST', '/admin/v1/keys', key('"label":"x"'), headers),
      ];
      expect([first.status, again.body]).toEqual([201, first.body]);
    }
  });
});

it('leaves the books and the record right after all of it', async () => {
  expect((await accounting.admin('GET', '/admin/v1/ledger/verify')).body.ok).toBe(true);
  expect((await accounting.admin('GET', '/admin/v1/audit/verify')).body.ok).toBe(true);
});
