import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import {
  claimedSchema,
  DESK_BODY_LIFE_MS,
  DESK_QUEUE,
  deskAnswerSchema,
  heldCallsSchema,
  type Claimed,
  type DeskAnswer,
  type DeskPayload,
} from '#libs/contracts/claims.js';
import { replyPartsSchema } from '#libs/contracts/reply.js';
import { ReplyChannel } from '#libs/holds/reply.channel.js';
import { bullOptions } from '#libs/queues/bull.options.js';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { createVirtualKey, hashVirtualKey, visiblePrefix } from '#libs/secrets/virtual-key.js';
import { AccountingFixture } from '../accounting.fixture.js';
import { ask, claimable, createCodes, createLink } from '../claims/claims.fixture.js';

const INGRESS = 'ingress-of-the-desk';

let accounting: AccountingFixture;
let queue: Queue;
let box: ContentBox;
beforeAll(async () => {
  accounting = await AccountingFixture.start();
  queue = new Queue(DESK_QUEUE, bullOptions(accounting.config.redisUrl));
  queue.on('error', () => undefined);
  box = new ContentBox(accounting.config.secrets.contentKey);
});
afterAll(async () => {
  await queue.close();
  await accounting.stop();
});

const newId = (): string => `req_${Date.now().toString(16).padStart(12, '0')}${randomBytes(10).toString('hex')}`;

async function put(payload: unknown): Promise<string> {
  const id = newId();
  if (payload !== undefined)
    await accounting.redis.set(redisKeys.body(id), box.seal(JSON.stringify(payload), id), 'PX', DESK_BODY_LIFE_MS);
  await queue.add(DESK_QUEUE, { id, replyTo: INGRESS }, { jobId: id, attempts: 1 });
  return id;
}

async function answerTo(id: string): Promise<DeskAnswer | null> {
  const entries = await accounting.redis.xrangeBuffer(redisKeys.reply(INGRESS), '-', '+');
  const parts = entries.flatMap(([, fields]) =>
    replyPartsSchema.parse(JSON.parse(box.open(fields[1] as Buffer, INGRESS))),
  );
  const reply = parts.find((part) => part.id === id)?.reply;
  return reply?.type === 'desk' ? deskAnswerSchema.parse(JSON.parse(reply.body)) : null;
}

/** What ingress does for a visitor. */
async function asked(payload: DeskPayload | undefined): Promise<DeskAnswer> {
  const id = await put(payload);
  await accounting.until(async () => (await answerTo(id)) !== null);
  return (await answerTo(id))!;
}

async function claimed(payload: DeskPayload): Promise<Claimed> {
  const answer = await asked(payload);
  if (!answer.ok) throw new Error(JSON.stringify(answer));
  return claimedSchema.parse(answer.data);
}

const actsOf = async (subject: string): Promise<{ note: string; actor: string }[]> =>
  accounting.source.query('SELECT note, actor FROM audit.acts WHERE subject = $1 ORDER BY seq', [subject]);

describe('the desk', () => {
  it('claims for a visitor, and says why it does not', async () => {
    const { slug } = await claimable(accounting);
    const link = await createLink(accounting, slug, { max_claims: 1 });
    const { request } = ask(accounting, link);
    expect(await claimed(request)).toMatchObject({ campaign: slug, prefix: request.prefix, repeated: false });
    const refused = await asked(ask(accounting, link).request);
    expect(refused).toMatchObject({ ok: false, code: 'claims_exhausted', details: { why: 'claims' } });
  });

  it('answers what it cannot read, and goes on', async () => {
    expect(await asked(undefined)).toMatchObject({ ok: false, code: 'recovering' });
    expect(await asked({ kind: 'unknown' } as never)).toMatchObject({ ok: false, code: 'internal_error' });
    const other = newId();
    await accounting.redis.set(redisKeys.body(other), box.seal('{}', newId()), 'PX', DESK_BODY_LIFE_MS);
    await queue.add(DESK_QUEUE, { id: other, replyTo: INGRESS }, { attempts: 1 });
    await accounting.until(async () => (await answerTo(other)) !== null);
    expect(await answerTo(other)).toMatchObject({ ok: false, code: 'internal_error' });
    await queue.add(DESK_QUEUE, { nonsense: true }, { attempts: 1 });
    expect(await asked({ kind: 'key.revoke', key: 'key_00000000000000000000' })).toMatchObject({
      ok: false,
      code: 'not_found',
    });
  });

  it('leaves nothing of a question behind', async () => {
    const id = await put({ kind: 'key.revoke', key: 'key_00000000000000000000' });
    await accounting.until(async () => (await answerTo(id)) !== null);
    await accounting.until(async () => (await accounting.redis.exists(redisKeys.body(id))) === 0);
    await accounting.until(async () => (await queue.getJob(id)) === undefined);
  });

  it('gives the same key where accounting died between commit and reply (K6)', async () => {
    const { slug } = await claimable(accounting);
    const link = await createLink(accounting, slug);
    const { request } = ask(accounting, link);
    const channel = accounting.app.get(ReplyChannel);
    const send = channel.send.bind(channel);
    let lost = 0;
    channel.send = () => {
      lost += 1;
      return Promise.reject(new Error('the process died'));
    };
    const first = await put(request);
    await accounting.until(() => Promise.resolve(lost > 0));
    channel.send = send;
    expect(await answerTo(first)).toBeNull();
    await accounting.restart();
    const second = await claimed(request);
    expect(second.repeated).toBe(true);
    const keys = (await accounting.admin('GET', `/admin/v1/keys?campaign=${slug}`)).body.data as { id: string }[];
    expect(keys.map(({ id }) => id)).toEqual([second.id]);
    const bookings = (await accounting.admin('GET', `/admin/v1/keys/${second.id}/transfers`)).body.data;
    expect(bookings.map(({ kind, amount_usd }: Record<string, string>) => [kind, amount_usd])).toEqual([
      ['grant', '0.10'],
    ]);
    expect((await accounting.admin('GET', `/admin/v1/links/${link.id}`)).body.claimed).toBe(1);
  });
});

describe('the holder of a key', () => {
  const holderOf = async (): Promise<{ id: string; request: DeskPayload & { kind: 'claim' } }> => {
    const { slug } = await claimable(accounting);
    const { request } = ask(accounting, await createLink(accounting, slug));
    return { id: (await claimed(request)).id, request };
  };

  it('replaces its secret: the old one is dead, the record says who did it, and a repeat does nothing', async () => {
    const { id, request } = await holderOf();
    const token = createVirtualKey();
    const tokenHash = hashVirtualKey(token, accounting.config.secrets.tokenPepper);
    const rotate = { kind: 'key.rotate', key: id, token_hash: tokenHash, prefix: visiblePrefix(token) } as const;
    for (const _ of [1, 2]) expect(await asked(rotate)).toEqual({ ok: true, data: { id, prefix: rotate.prefix } });
    expect(await accounting.redis.get(redisKeys.token(tokenHash))).toBe(id);
    expect(await accounting.redis.exists(redisKeys.token(request.token_hash))).toBe(0);
    expect(await actsOf(id)).toEqual([{ note: 'rotated: by its holder', actor: 'holder' }]);
  });

  it('replaces its secret once where two requests with one virtual key come at once', async () => {
    const { id, request } = await holderOf();
    const rotations = [createVirtualKey(), createVirtualKey()].map((token) => ({
      kind: 'key.rotate' as const,
      key: id,
      token_hash: hashVirtualKey(token, accounting.config.secrets.tokenPepper),
      prefix: visiblePrefix(token),
      former_hash: request.token_hash,
    }));
    const answers = await Promise.all(rotations.map((rotate) => asked(rotate)));
    const [won, lost] = answers[0]!.ok ? [0, 1] : [1, 0];
    expect(answers[won]).toEqual({ ok: true, data: { id, prefix: rotations[won]!.prefix } });
    expect(answers[lost]).toMatchObject({ ok: false, code: 'invalid_request' });
    expect(await accounting.redis.get(redisKeys.token(rotations[won]!.token_hash))).toBe(id);
    expect(await asked(rotations[won]!)).toEqual(answers[won]);
  });

  it('replaces its secret ten times an hour at most: each stays on record for ever', async () => {
    const { id } = await holderOf();
    const answers: DeskAnswer[] = [];
    for (let n = 0; n < 11; n++)
      answers.push(await asked({ kind: 'key.rotate', key: id, token_hash: `${n}${'x'.repeat(42)}`, prefix: 'dp_x' }));
    expect(answers.map(({ ok }) => ok)).toEqual([...Array<boolean>(10).fill(true), false]);
    expect(answers.at(-1)).toMatchObject({ code: 'rate_limit_exceeded', details: { limit: 'rotations' } });
    expect(await actsOf(id)).toHaveLength(10);
  });

  it('ends its key, which gives its budget back', async () => {
    const { id } = await holderOf();
    expect(await asked({ kind: 'key.revoke', key: id })).toEqual({ ok: true, data: { id, status: 'revoked' } });
    await accounting.until(
      async () => (await accounting.admin('GET', `/admin/v1/keys/${id}`)).body.returned_usd === '0.10',
    );
    expect(await actsOf(id)).toEqual([{ note: 'revoked: by its holder', actor: 'holder' }]);
    const rotated = await asked({ kind: 'key.rotate', key: id, token_hash: 'x'.repeat(43), prefix: 'dp_x' });
    expect(rotated).toMatchObject({ ok: false, code: 'invalid_request' });
  });

  it('erases what the record has of it', async () => {
    const { id } = await holderOf();
    expect(await asked({ kind: 'key.erase', key: id })).toMatchObject({
      ok: true,
      data: { erased_at: expect.any(String), due_at: null },
    });
    expect((await accounting.admin('GET', `/admin/v1/keys/${id}`)).body.status).toBe('revoked');
  });

  it('sees its calls, page by page', async () => {
    const { id } = await holderOf();
    const ids = [newId(), newId()];
    for (const [n, requestId] of ids.entries()) {
      // The first has made an image.
      const usage = { input: 7, cached: 0, cacheWrite: 0, output: 0, imageOutput: 4_160 };
      await accounting.call({ id }, requestId, 5_000_000n, BigInt(n + 1) * 1_000_000n, n === 0 ? { usage } : {});
      await accounting.source.query(
        `INSERT INTO audit.requests (id, period, seq, hash, at, visitor_id, key_id, campaign_id, model, stream, policy_version)
         VALUES ($1, date_trunc('month', now())::date, $2, 'x', now() + make_interval(secs => $3), $4, $4, 'c', 'gpt-5.4-mini', false, 'p')`,
        [requestId, 1_000_000 + n, n, id],
      );
    }
    await accounting.drained();
    const page = async (cursor: string | null) => {
      const answer = await asked({ kind: 'key.calls', key: id, cursor, limit: 1 });
      return heldCallsSchema.parse((answer as { data: unknown }).data);
    };
    const first = await page(null);
    expect(first.data).toEqual([
      {
        id: ids[1],
        at: expect.any(String),
        endpoint: 'chat.completions',
        model: 'gpt-5.4-mini',
        input_tokens: null,
        output_tokens: null,
        cost_usd: '0.002',
        input: [],
        output: [],
        waited_ms: expect.any(Number),
        result: 'posted',
      },
    ]);
    const second = await page(first.next_cursor);
    expect([second.data.map((call) => call.id), second.next_cursor]).toEqual([[ids[0]], null]);
    expect(second.data[0]).toMatchObject({ input_tokens: 7, usage: { input: 7, image_output: 4_160 } });
    expect(await asked({ kind: 'key.calls', key: id, cursor: 'nonsense', limit: 1 })).toMatchObject({
      ok: false,
      code: 'invalid_request',
    });
  });
});

it('no virtual key and no code is in Postgres, in Redis, in a job or in the log (K4)', async () => {
  const logged: string[] = [];
  await accounting.restart((line) => logged.push(line));
  const { slug } = await claimable(accounting);
  await queue.pause();
  try {
    const link = await createLink(accounting, slug, { gates: ['code'] });
    const [code] = await createCodes(accounting, link.id, { labels: ['Ada'] });
    const { token, request } = ask(accounting, link, { code: code! });
    const id = await put(request);
    const secrets = [token, token.slice(3), code!, code!.replaceAll('-', '')];
    // A row of a link has the prefix of a key, which people may see.
    const strange = (text: string) => secrets.filter((secret) => text.includes(secret));
    expect(strange(await everythingIn(accounting.redis))).toEqual([]);
    expect(await everythingIn(accounting.redis)).toContain(id);
    await queue.resume();
    await accounting.until(async () => (await answerTo(id)) !== null);
    expect(await answerTo(id)).toMatchObject({ ok: true });
    const books = await everyRow(accounting.config.databaseUrl);
    expect(books).toContain(request.token_hash);
    expect(books).toContain(request.code_hash!);
    expect(strange(books)).toEqual([]);
    expect(strange(await everythingIn(accounting.redis))).toEqual([]);
    const unreadable = await put({ ...request, token_hash: 1, prefix: token, code_hash: code });
    await accounting.until(async () => (await answerTo(unreadable)) !== null);
    expect(logged.join('\n')).toContain('unexpected error at the desk');
    expect(strange(logged.join('\n'))).toEqual([]);
  } finally {
    await queue.resume();
  }
});

/** Every key and value of Redis. */
async function everythingIn(redis: Redis): Promise<string> {
  const texts: string[] = [];
  for (const key of await redis.keys('*')) {
    const type = await redis.type(key);
    const value: unknown =
      type === 'string'
        ? await redis.get(key)
        : type === 'hash'
          ? await redis.hgetall(key)
          : type === 'stream'
            ? await redis.xrange(key, '-', '+')
            : type === 'list'
              ? await redis.lrange(key, 0, -1)
              : type === 'zset'
                ? await redis.zrange(key, 0, -1, 'WITHSCORES')
                : await redis.smembers(key);
    texts.push(key, JSON.stringify(value));
  }
  return texts.join('\n');
}

/** Every row of every table. */
async function everyRow(databaseUrl: string): Promise<string> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(
      `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname IN ('access', 'ledger', 'audit', 'public')`,
    );
    const texts: string[] = [];
    for (const { name } of rows) {
      const table = await client.query<{ row: string }>(`SELECT row_to_json(t)::text AS row FROM ${name} t`);
      texts.push(...table.rows.map(({ row }) => row));
    }
    return texts.join('\n');
  } finally {
    await client.end();
  }
}
