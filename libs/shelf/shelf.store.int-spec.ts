import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ref } from '#libs/endpoints/shelved.js';
import { redisNowMs } from '#libs/redis/clock.js';
import { until } from '#libs/testing/until.js';
import { inConversation, item, message, previous, READ, ShelfRoom, shelved, textsOf } from './shelf.fixture.js';
import type { ShelfStore } from './shelf.store.js';
import { CHAIN_MAX, ENTRIES_MAX, ITEMS_MAX, SHELF_LIFE_MS } from './shelf.types.js';

let room: ShelfRoom;
let shelf: ShelfStore;
beforeAll(async () => {
  room = await ShelfRoom.start();
});
afterAll(() => room.stop());
beforeEach(async () => {
  await room.reset();
  shelf = room.shelf();
});

const find = (refs: readonly Ref[], keyId = 'k', bounds = READ) => shelf.find(keyId, refs, bounds);
const faultOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'none',
    ({ code, param, message: text }: { code: string; param: string; message: string }) => ({ code, param, text }),
  );
const notFound = (id: string) => ({
  code: 'previous_response_not_found',
  param: 'previous_response_id',
  text: `Previous response with id 'resp_${id}' not found.`,
});
/** Has about so many bytes when it is compressed. */
const noise = (bytes: number): string => randomBytes(bytes).toString('base64');
const large = (id: string, bytes: number, changes = {}) =>
  shelved(id, { input: [message(`msg_${id}_in`, noise(bytes))], ...changes });
const chain = async (count: number): Promise<void> => {
  for (let at = 0; at < count; at++)
    await shelf.put(room.owner, shelved(`r${at}`, { parent: at === 0 ? null : `resp_r${at - 1}` }));
};

describe('what a request names', () => {
  it('is a chain of responses, the oldest first, with one command', async () => {
    await chain(3);
    const before = Number(/total_commands_processed:(\d+)/.exec(await room.money.redis.info('stats'))![1]);
    const answer = await find([previous('r2')]);
    const after = Number(/total_commands_processed:(\d+)/.exec(await room.money.redis.info('stats'))![1]);
    expect(textsOf(answer)).toEqual(['r0', 'r1', 'r2'].flatMap((id) => [`question of ${id}`, `answer of ${id}`]));
    expect(answer.bytes).toBeGreaterThan(0);
    // The commands that a script calls count, too: a few for each link. So does the INFO itself.
    expect(after - before).toBeLessThan(20);
  });

  it('is an item of any of its responses, whole, with what nobody can read', async () => {
    const reasoning = { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'gAAA' };
    await shelf.put(room.owner, shelved('a', { output: [{ item: reasoning, opaqueTokens: 640 }] }));
    await shelf.put(room.owner, shelved('b'));
    const answer = await find([item('rs_1'), item('msg_b_in'), { ...item('msg_gone'), optional: true }]);
    expect([...answer.found.items]).toEqual([
      ['rs_1', { item: reasoning, opaqueTokens: 640 }],
      ['msg_b_in', { item: message('msg_b_in', 'question of b') }],
    ]);
  });

  it('is not found where the key has it not: in OpenAI’s words', async () => {
    await shelf.put(room.other, shelved('a'));
    expect(await faultOf(find([previous('a')]))).toEqual(notFound('a'));
    expect(await faultOf(find([previous('nobody')]))).toEqual(notFound('nobody'));
    expect(await faultOf(find([{ ...previous('a'), id: 'chatcmpl-1 {dp}:key' }]))).toMatchObject({
      code: 'previous_response_not_found',
    });
    expect(await faultOf(find([item('msg_a_in')]))).toEqual({
      code: 'not_found',
      param: 'input',
      text: "Item with id 'msg_a_in' not found.",
    });
    expect(await faultOf(find([inConversation('conv_1')]))).toEqual({
      code: 'not_found',
      param: 'conversation',
      text: "Conversation with id 'conv_1' not found.",
    });
    expect(textsOf(await find([previous('a')], 'k2'))).toHaveLength(2);
  });

  it('is not found after a loss of Redis, and the next response is stored', async () => {
    await chain(2);
    await room.reset();
    expect(await faultOf(find([previous('r1')]))).toEqual(notFound('r1'));
    expect(await shelf.put(room.owner, shelved('new'))).toBe('stored');
  });

  it(`follows ${CHAIN_MAX} links, and says that there are more`, async () => {
    await chain(CHAIN_MAX + 1);
    expect(textsOf(await find([previous(`r${CHAIN_MAX - 1}`)]))).toHaveLength(2 * CHAIN_MAX);
    expect(await faultOf(find([previous(`r${CHAIN_MAX}`)]))).toMatchObject({
      code: 'previous_response_not_found',
      text: expect.stringContaining('more than 200 responses'),
    });
  });

  it('says which link of a chain is missing', async () => {
    await chain(3);
    await shelf.deleteResponse('k', 'resp_r0');
    expect(await faultOf(find([previous('r2')]))).toMatchObject({
      code: 'previous_response_not_found',
      param: 'previous_response_id',
      text: expect.stringContaining("continues 'resp_r0', which is not found"),
    });
  });

  it('may not be larger than a request, nor than what the key may send in an hour', async () => {
    await chain(3);
    const [mostBytes, keyBytesPerHour] = [500, 1_000];
    expect(await faultOf(find([previous('r2')], 'k', { ...READ, mostBytes }))).toMatchObject({
      code: 'request_too_large',
    });
    const { bytes } = await find([previous('r2')], 'k', { ...READ, keyBytesPerHour });
    expect(bytes).toBeGreaterThan(keyBytesPerHour / 2);
    await expect(find([previous('r2')], 'k', { ...READ, keyBytesPerHour })).rejects.toMatchObject({
      answer: { code: 'bytes', limit: keyBytesPerHour, need: bytes },
    });
    // What is too much is not counted.
    expect(await room.money.window('{dp}:window:bytes:k')).toEqual({ requests: 0, tokens: bytes });
  });

  it('is unpacked only where there is room for it', async () => {
    await chain(2);
    let asked = 0;
    const makeRoom = (bytes: number): void => {
      asked = bytes;
      throw new Error('no room');
    };
    await expect(find([previous('r1')], 'k', { ...READ, makeRoom })).rejects.toThrow('no room');
    expect(asked).toBeGreaterThan(500);
  });

  it('belongs to its key and id also in Redis', async () => {
    await shelf.put(room.owner, shelved('a'));
    await shelf.put(room.owner, shelved('b'));
    const [a, b] = ['{dp}:shelf:of:k:resp_a', '{dp}:shelf:of:k:resp_b'];
    await room.money.redis.hset(a, 'sealed', (await room.money.redis.hgetBuffer(b, 'sealed'))!);
    expect(await faultOf(find([previous('a')]))).toMatchObject({
      code: 'not_found',
      text: expect.stringContaining("'resp_a' can no longer be read"),
    });
    expect(JSON.stringify(await room.money.redis.hgetall(b))).not.toContain('question');
    await shelf.put(room.other, shelved('b'));
    const theirs = (await room.money.redis.hgetBuffer('{dp}:shelf:of:k2:resp_b', 'sealed'))!;
    await room.money.redis.hset(b, 'sealed', theirs);
    expect(await faultOf(find([previous('b')]))).toMatchObject({ code: 'not_found' });
  });
});

describe('a response on the shelf', () => {
  it('is as it was shown, until it is deleted', async () => {
    const record = shelved('a');
    await shelf.put(room.owner, record);
    expect(await shelf.response('k', 'resp_a', READ)).toEqual({
      response: record.response,
      input: record.input,
      output: record.output,
      bytes: expect.any(Number),
    });
    expect(await shelf.response('k2', 'resp_a', READ)).toBeNull();
    expect(await shelf.deleteResponse('k2', 'resp_a')).toBe(false);
    expect(await shelf.deleteResponse('k', 'resp_a')).toBe(true);
    expect(await shelf.deleteResponse('k', 'resp_a')).toBe(false);
    expect(await shelf.response('k', 'resp_a', READ)).toBeNull();
    expect(await faultOf(find([item('msg_a_in')]))).toMatchObject({ code: 'not_found' });
    expect(await room.keys()).toEqual([]);
  });

  it('stays as it is when it comes twice', async () => {
    await shelf.put(room.owner, shelved('a'));
    const once = await room.money.everything();
    expect(await shelf.put(room.owner, shelved('a', { parent: 'resp_b' }))).toBe('stored');
    expect(await room.money.everything()).toEqual(once);
  });

  it('keeps an item known that an older one had, too', async () => {
    const same = [message('msg_same', 'said twice')];
    await shelf.put(room.owner, shelved('a', { input: same }));
    await shelf.put(room.owner, shelved('b', { input: same }));
    await shelf.deleteResponse('k', 'resp_a');
    expect([...(await find([item('msg_same')])).found.items.keys()]).toEqual(['msg_same']);
    await shelf.deleteResponse('k', 'resp_b');
    expect(await faultOf(find([item('msg_same')]))).toMatchObject({ code: 'not_found' });
  });
});

describe('the bounds of the shelf', () => {
  it('evict the oldest of the key, and of no other', async () => {
    shelf = room.shelf({ bytesOfKey: 100_000 });
    await shelf.put(room.other, large('other', 60_000));
    for (const id of ['a', 'b', 'c']) expect(await shelf.put(room.owner, large(id, 40_000))).toBe('stored');
    expect(await faultOf(find([previous('a')]))).toEqual(notFound('a'));
    expect(textsOf(await find([previous('b')]))).toHaveLength(2);
    expect(textsOf(await find([previous('c')]))).toHaveLength(2);
    expect(textsOf(await find([previous('other')], 'k2'))).toHaveLength(2);
    expect(await room.money.redis.hget('{dp}:shelf:sums:k', 'entries')).toBe('2');
  });

  it('refuse what is larger than all that the key may have, and evict nothing for it', async () => {
    shelf = room.shelf({ bytesOfKey: 100_000 });
    await shelf.put(room.owner, large('a', 40_000));
    expect(await shelf.put(room.owner, large('b', 200_000))).toBe('full');
    expect(textsOf(await find([previous('a')]))).toHaveLength(2);
  });

  it('refuse what is beyond all, or beyond the half of one campaign, and evict nothing for it', async () => {
    shelf = room.shelf({ bytes: 100_000, bytesOfCampaign: 50_000 });
    await shelf.put(room.owner, large('a', 40_000));
    expect(await shelf.put(room.other, large('b', 40_000))).toBe('full');
    await room.money.campaign({ id: 'c3', slug: 'third' });
    await room.money.key({ id: 'k3', campaignId: 'c3' });
    expect(await shelf.put({ keyId: 'k3', campaignId: 'c3' }, large('c', 40_000))).toBe('stored');
    await room.money.campaign({ id: 'c4', slug: 'fourth' });
    await room.money.key({ id: 'k4', campaignId: 'c4' });
    expect(await shelf.put({ keyId: 'k4', campaignId: 'c4' }, large('d', 40_000))).toBe('full');
    expect(textsOf(await find([previous('a')]))).toHaveLength(2);
    await shelf.forget('k');
    expect(await shelf.put({ keyId: 'k4', campaignId: 'c4' }, large('d', 40_000))).toBe('stored');
  });

  it('let a key replace its own while its bound is that of all', async () => {
    shelf = room.shelf({ bytesOfKey: 100_000, bytes: 100_000, bytesOfCampaign: 100_000 });
    for (const id of ['a', 'b', 'c']) expect(await shelf.put(room.owner, large(id, 40_000))).toBe('stored');
  });

  it(`keep ${ENTRIES_MAX} entries and ${ITEMS_MAX} items of a key`, async () => {
    for (let at = 0; at < ENTRIES_MAX + 2; at++) await shelf.put(room.owner, shelved(`r${at}`));
    expect(await room.money.redis.hget('{dp}:shelf:sums:k', 'entries')).toBe(String(ENTRIES_MAX));
    expect(await faultOf(find([previous('r1')]))).toEqual(notFound('r1'));
    const many = (id: string) => Array.from({ length: 9_000 }, (_, at) => message(`msg_${id}_${at}`, ''));
    expect(await shelf.put(room.other, shelved('a', { input: many('a') }))).toBe('stored');
    expect(await shelf.put(room.other, shelved('b', { input: many('b') }))).toBe('stored');
    expect(await room.money.redis.hlen('{dp}:shelf:items:k2')).toBe(9_001);
    expect(await shelf.put(room.other, shelved('c', { input: [...many('c'), ...many('d')] }))).toBe('full');
    expect(await room.money.redis.hlen('{dp}:shelf:items:k2')).toBe(9_001);
    const units = Array.from({ length: ENTRIES_MAX }, () => message('', ''));
    expect(await faultOf(room.conversations().create(room.other, {}, units))).toMatchObject({ param: 'items' });
    expect(await room.money.redis.hlen('{dp}:shelf:items:k2')).toBe(9_001);
  });

  it('let no script ask Redis for each of thousands of items', async () => {
    const { redis } = room.money;
    const commandsOf = async (work: () => Promise<unknown>): Promise<number> => {
      const calls = async (): Promise<number> =>
        [...(await redis.info('commandstats')).matchAll(/calls=(\d+)/g)].reduce((sum, [, of]) => sum + Number(of), 0);
      const before = await calls();
      await work();
      return (await calls()) - before;
    };
    const input = Array.from({ length: 4_000 }, (_, at) => message(`msg_${at}`, ''));
    const { id } = await room.conversations().create(room.owner, {}, []);
    expect(await commandsOf(() => shelf.put(room.owner, shelved('a', { input, conversation: id })))).toBeLessThan(100);
    const names = input.map((one) => item(one.id as string));
    expect(await commandsOf(() => find(names))).toBeLessThan(100);
    expect(await commandsOf(() => find([inConversation(id)]))).toBeLessThan(100);
    expect(await commandsOf(() => shelf.remove('k', id))).toBeLessThan(100);
    expect(await shelf.response('k', 'resp_a', READ)).not.toBeNull();
  });

  it('leave Redis’ last memory to running calls', async () => {
    const { redis } = room.money;
    // So that the rest has room for the command: Redis itself refuses one without.
    await redis.set('filler', Buffer.alloc(8_000_000));
    const memory = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))![1]);
    // Redis frees the buffers of what it was sent a little later.
    let used = await memory();
    await until('Redis has freed its buffers', async () => {
      await sleep(300);
      const before = used;
      used = await memory();
      return Math.abs(used - before) < 20_000;
    });
    await redis.config('SET', 'maxmemory', Math.round((used + 250_000) / 0.8));
    expect(await shelf.put(room.owner, large('a', 500_000))).toBe('full');
    // Full: Redis takes no more than what needs no memory.
    await redis.config('SET', 'maxmemory', 1);
    expect(await shelf.put(room.owner, shelved('b'))).toBe('full');
    expect(await faultOf(find([previous('b')]))).toEqual(notFound('b'));
    await redis.config('SET', 'maxmemory', 0);
    expect(await shelf.put(room.owner, large('a', 500_000))).toBe('stored');
  });

  it('hold while many write at once', async () => {
    shelf = room.shelf({ bytesOfKey: 100_000 });
    const puts = Array.from({ length: 40 }, (_, at) => shelf.put(room.owner, large(`p${at}`, 10_000)));
    expect(new Set(await Promise.all(puts))).toEqual(new Set(['stored']));
    const { bytes, entries, items } = await room.money.redis.hgetall('{dp}:shelf:sums:k');
    expect(Number(bytes)).toBeLessThanOrEqual(100_000);
    expect(await room.money.redis.keys('{dp}:shelf:of:k:*')).toHaveLength(Number(entries));
    expect(await room.money.redis.hlen('{dp}:shelf:items:k')).toBe(Number(items));
    expect(await shelf.bytes()).toBe(Number(bytes));
  });

  it('count nothing when all is gone', async () => {
    for (let at = 0; at < 5; at++) await shelf.put(room.owner, shelved(`r${at}`));
    await room.conversations().create(room.owner, {}, [message('', 'hello')]);
    expect(await shelf.bytes()).toBeGreaterThan(0);
    await shelf.forget('k');
    expect(await shelf.bytes()).toBe(0);
    expect(await room.keys()).toEqual([]);
  });
});

describe('the life of what is on the shelf', () => {
  it('is a day, and then Redis counts it no more', async () => {
    await shelf.put(room.owner, shelved('a'));
    const { redis } = room.money;
    const left = Number(await redis.zscore('{dp}:shelf:all', 'k resp_a')) - (await redisNowMs(redis));
    expect(left).toBeGreaterThan(SHELF_LIFE_MS - 10_000);
    expect(left).toBeLessThanOrEqual(SHELF_LIFE_MS);
    // Redis deletes it by itself soon after, whatever becomes of Daypass.
    expect(await redis.pttl('{dp}:shelf:of:k:resp_a')).toBeLessThanOrEqual(SHELF_LIFE_MS + 3_600_000);
    await redis.zadd('{dp}:shelf:order:k', 1, 'resp_a');
    await redis.zadd('{dp}:shelf:all', 1, 'k resp_a');
    expect(await faultOf(find([previous('a')]))).toEqual(notFound('a'));
    expect(await faultOf(find([item('msg_a_in')]))).toMatchObject({ code: 'not_found' });
    expect(await shelf.deleteResponse('k', 'resp_a')).toBe(false);
    expect(await shelf.bytes()).toBe(0);
    expect(await room.keys()).toEqual([]);
  });

  it('ends a little at a time, whatever ends together: Redis works for all meanwhile', async () => {
    const { redis } = room.money;
    const many = Array.from({ length: 150 }, (_, at) => message('', `words ${at}`));
    const units = [];
    for (let unit = 0; unit < 4; unit++) units.push(await room.conversations().create(room.owner, {}, many));
    for (const { id } of units) {
      await redis.zadd('{dp}:shelf:order:k', 1, id);
      await redis.zadd('{dp}:shelf:all', 1, `k ${id}`);
    }
    const left = async (): Promise<number> => (await redis.keys('{dp}:shelf:of:k:*')).length;
    await shelf.put(room.other, shelved('a'));
    expect(await left()).toBe(2 * 151);
    await shelf.put(room.other, shelved('b'));
    expect(await left()).toBe(0);
  });

  it('ends a hundred at a time at most', async () => {
    const { redis } = room.money;
    for (let at = 0; at < 120; at++) {
      await shelf.put(room.owner, shelved(`r${at}`));
      await redis.zadd('{dp}:shelf:order:k', 1, `resp_r${at}`);
      await redis.zadd('{dp}:shelf:all', Number.MAX_SAFE_INTEGER, `k resp_r${at}`);
    }
    for (let at = 0; at < 120; at++) await redis.zadd('{dp}:shelf:all', 1, `k resp_r${at}`);
    await shelf.put(room.other, shelved('a'));
    expect(await redis.keys('{dp}:shelf:of:k:*')).toHaveLength(20);
  });

  it('ends with the key', async () => {
    const { redis } = room.money;
    const expiresMs = (await redisNowMs(redis)) + 60_000;
    await room.money.key({ expiresMs });
    await shelf.put(room.owner, shelved('a'));
    expect(await redis.zscore('{dp}:shelf:all', 'k resp_a')).toBe(String(expiresMs));
    // The oldest still goes first, though all of the key ends at one time.
    await shelf.put(room.owner, shelved('b'));
    const order = await redis.zrange('{dp}:shelf:order:k', 0, -1, 'WITHSCORES');
    expect(Number(order[3])).toBeGreaterThanOrEqual(Number(order[1]));
    expect(Number(order[1])).toBeGreaterThan(expiresMs);
  });

  it.each([
    ['is revoked', { status: 'revoked' as const }],
    ['has expired', { expiresMs: 1 }],
  ])('does not begin where the key %s', async (_, change) => {
    await room.money.key(change);
    expect(await shelf.put(room.owner, shelved('a'))).toBe('full');
    expect(await room.keys()).toEqual([]);
  });

  it('does not begin where the campaign is closed', async () => {
    await room.money.campaign({ status: 'closed' });
    expect(await shelf.put(room.owner, shelved('a'))).toBe('full');
  });
});
