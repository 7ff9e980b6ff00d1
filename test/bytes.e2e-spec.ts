import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { shareDaypass, type SharedDaypass, type TestKey } from '#libs/testing/daypass.js';

const HOUR_SECONDS = 3_600;
const LIMIT = 10_000;

describe('the bytes that a key may send within an hour', () => {
  let daypass: SharedDaypass;
  beforeAll(async () => {
    daypass = await shareDaypass();
  });
  afterAll(() => daypass?.stop());

  const createKey = () => daypass.createKey({ campaign: { key_defaults: { limits: { bytes_per_hour: LIMIT } } } });
  /** A request of exactly so many bytes. `more`: what else is in it. */
  const written = (bytes: number, more: object = {}): string => {
    const body = { model: 'gpt-5.4-mini', max_tokens: 20, messages: [{ role: 'user', content: 'hi' }], ...more };
    return JSON.stringify(body).padEnd(bytes, ' ');
  };
  const send = async ({ key }: TestKey, body: RequestInit['body'] & (string | ReadableStream)) => {
    const response = await fetch(`${daypass.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body,
      duplex: 'half',
    } as RequestInit);
    const { error } = (await response.json()) as { error?: { code: string; message: string; daypass?: object } };
    const header = (name: string): string | null => response.headers.get(name);
    return {
      ...{ status: response.status, code: error?.code, message: error?.message, limit: error?.daypass },
      ...{ retry: header('x-should-retry'), afterSeconds: Number(header('retry-after')) },
    };
  };

  it('count whatever becomes of a request, and one that is small enough still comes through', async () => {
    const key = await createKey();
    expect((await send(key, written(4_000))).status).toBe(200);
    expect((await send(key, written(4_000, { unheard_of: 1 }))).code).toBe('unknown_parameter');
    for (let round = 0; round < 2; round++) {
      const refused = await send(key, written(4_000));
      expect(refused).toMatchObject({
        status: 429,
        code: 'rate_limit_exceeded',
        retry: 'false',
        limit: { limit: 'bytes' },
      });
      expect(refused.message).toContain(`${LIMIT} bytes an hour`);
      expect(refused.afterSeconds).toBeGreaterThan(HOUR_SECONDS - 300);
      expect(refused.afterSeconds).toBeLessThanOrEqual(HOUR_SECONDS);
    }
    expect((await send(key, written(4_000, { unheard_of: 1 }))).code).toBe('rate_limit_exceeded');
    expect((await send(key, written(1_500))).status).toBe(200);
  });

  it('count of a request that is refused after it was read, too', async () => {
    const key = await createKey();
    const unknown = () => send(key, written(4_000, { model: 'nobody-has-it' }));
    expect([(await unknown()).code, (await unknown()).code]).toEqual(['model_not_found', 'model_not_found']);
    expect((await unknown()).limit).toMatchObject({ limit: 'bytes' });
  });

  it('are counted of a body in chunks, too', async () => {
    const key = await createKey();
    const inChunks = (bytes: number): ReadableStream =>
      new Blob([written(bytes)]).stream() as unknown as ReadableStream;
    expect((await send(key, inChunks(6_000))).status).toBe(200);
    expect((await send(key, inChunks(6_000))).limit).toMatchObject({ limit: 'bytes' });
  });

  it('are too many for one request that is larger than the limit, which no wait mends', async () => {
    const refused = await send(await createKey(), written(LIMIT + 1));
    expect(refused).toMatchObject({ status: 429, retry: 'false', afterSeconds: 0, limit: { limit: 'bytes' } });
    expect(refused.message).toContain('make it smaller');
  });

  it('are shown to the holder of the key, and to the operator', async () => {
    const key = await createKey();
    const response = await fetch(`${daypass.baseUrl}/key`, { headers: { authorization: `Bearer ${key.key}` } });
    expect(await response.json()).toMatchObject({ data: { limits: { rpm: 0, bytes_per_hour: LIMIT } } });
    expect((await daypass.admin(`/admin/v1/keys/${key.id}`)).body.limits).toMatchObject({ bytes_per_hour: LIMIT });
  });
});
