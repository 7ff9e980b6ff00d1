import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import type { DaypassError } from '#libs/contracts/errors.js';
import { redisNowMs } from '#libs/redis/clock.js';
import type { ConversationStore, PageAsked } from './conversation.store.js';
import { inConversation, item, message, previous, READ, ShelfRoom, shelved, textsOf } from './shelf.fixture.js';
import type { ShelfStore } from './shelf.store.js';
import { SHELF_LIFE_MS } from './shelf.types.js';

let room: ShelfRoom;
let shelf: ShelfStore;
let conversations: ConversationStore;
beforeAll(async () => {
  room = await ShelfRoom.start();
});
afterAll(() => room.stop());
beforeEach(async () => {
  await room.reset();
  shelf = room.shelf();
  conversations = room.conversations();
});

const faultOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    ({ code, param }: DaypassError) => `${code} ${param ?? ''}`,
  );
const ids = async (id: string, page: Partial<PageAsked> = {}) => {
  const answer = await conversations.page('k', id, { after: '', limit: 100, descending: false, ...page }, READ);
  return { ids: answer.items.map((one) => one.id), hasMore: answer.hasMore };
};
const inTurn = (id: string, conversation: string) => shelf.put(room.owner, shelved(id, { conversation }));
/** With two messages of its own. */
const begun = async (): Promise<{ id: string; own: string[] }> => {
  const { id } = await conversations.create(room.owner, { topic: 'tests' }, [
    message('', 'first'),
    message('', 'second'),
  ]);
  const { ids: own } = (await ids(id)) as { ids: string[] };
  return { id, own };
};

describe('a conversation', () => {
  it('has its own items and those of its responses, in their order', async () => {
    const { id, own } = await begun();
    await inTurn('a', id);
    const added = await conversations.addItems(room.owner, id, [message('msg_theirs', 'third')]);
    await inTurn('b', id);
    expect(own.every((one) => /^msg_[0-9a-f]{32}$/.test(one))).toBe(true);
    expect(added[0]!.id).not.toBe('msg_theirs');
    const all = [...own, 'msg_a_in', 'msg_a_out', added[0]!.id, 'msg_b_in', 'msg_b_out'];
    expect(await ids(id)).toEqual({ ids: all, hasMore: false });
    expect(textsOf(await shelf.find('k', [inConversation(id)], READ))).toEqual([
      'first',
      'second',
      'question of a',
      'answer of a',
      'third',
      'question of b',
      'answer of b',
    ]);
    expect(await conversations.read('k', id, READ)).toMatchObject({ id, metadata: { topic: 'tests' } });
  });

  it('is read in pages, either way', async () => {
    const { id, own } = await begun();
    await inTurn('a', id);
    expect(await ids(id, { limit: 2 })).toEqual({ ids: own, hasMore: true });
    expect(await ids(id, { limit: 2, after: own[1]! })).toEqual({ ids: ['msg_a_in', 'msg_a_out'], hasMore: false });
    expect(await ids(id, { limit: 3, descending: true })).toEqual({
      ids: ['msg_a_out', 'msg_a_in', own[1]],
      hasMore: true,
    });
    expect(await faultOf(ids(id, { after: 'msg_nobody' }))).toBe('not_found after');
    expect(await conversations.item('k', id, 'msg_a_out', READ)).toMatchObject({ item: { id: 'msg_a_out' } });
    expect(await faultOf(conversations.item('k', id, 'msg_nobody', READ))).toBe('not_found item_id');
  });

  it('goes on from one of its responses as it stood then', async () => {
    const { id } = await begun();
    await inTurn('a', id);
    await inTurn('b', id);
    expect(textsOf(await shelf.find('k', [previous('a')], READ))).toEqual([
      'first',
      'second',
      'question of a',
      'answer of a',
    ]);
    // What continues it outside of the conversation has all of it, too.
    await shelf.put(room.owner, shelved('c', { parent: 'resp_a' }));
    expect(textsOf(await shelf.find('k', [previous('c')], READ)).slice(-3)).toEqual([
      'answer of a',
      'question of c',
      'answer of c',
    ]);
  });

  it('is of its key only', async () => {
    const { id, own } = await begun();
    expect(await faultOf(shelf.find('k2', [inConversation(id)], READ))).toBe('not_found conversation');
    expect(await faultOf(conversations.read('k2', id, READ))).toBe('not_found conversation_id');
    expect(await faultOf(conversations.addItems(room.other, id, [message('', 'mine')]))).toBe(
      'not_found conversation_id',
    );
    expect(await faultOf(conversations.deleteItem('k2', id, own[0]!))).toBe('not_found item_id');
    expect(await faultOf(conversations.delete('k2', id))).toBe('not_found conversation_id');
    expect(await faultOf(conversations.update(room.other, { id, createdAt: 1, metadata: {} }))).toBe(
      'not_found conversation_id',
    );
    expect((await ids(id)) as object).toEqual({ ids: own, hasMore: false });
  });

  it('gets other metadata, and keeps its items', async () => {
    const { id, own } = await begun();
    const bytes = await shelf.bytes();
    await conversations.update(room.owner, { id, createdAt: 5, metadata: { topic: 'other', more: 'x'.repeat(500) } });
    expect(await conversations.read('k', id, READ)).toMatchObject({ createdAt: 5, metadata: { topic: 'other' } });
    expect(await ids(id)).toMatchObject({ ids: own });
    expect(await shelf.bytes()).toBeGreaterThan(bytes);
    await conversations.delete('k', id);
    expect([await shelf.bytes(), await room.keys()]).toEqual([0, []]);
  });

  it('loses an item that is deleted; a response keeps it', async () => {
    const { id, own } = await begun();
    await inTurn('a', id);
    await conversations.deleteItem('k', id, own[0]!);
    await conversations.deleteItem('k', id, 'msg_a_in');
    expect(await faultOf(conversations.deleteItem('k', id, 'msg_a_in'))).toBe('not_found item_id');
    expect(await ids(id)).toMatchObject({ ids: [own[1], 'msg_a_out'] });
    expect(await room.money.redis.exists(`{dp}:shelf:of:k:${own[0]}`)).toBe(0);
    expect((await room.money.redis.smembers(`{dp}:shelf:in:k:${id}`)).sort()).toEqual([own[1], 'resp_a']);
    expect(await faultOf(shelf.find('k', [item(own[0]!)], READ))).toBe('not_found input');
    expect(await shelf.response('k', 'resp_a', READ)).toMatchObject({ input: [{ id: 'msg_a_in' }] });
    await conversations.delete('k', id);
    await shelf.deleteResponse('k', 'resp_a');
    expect([await shelf.bytes(), await room.keys()]).toEqual([0, []]);
  });

  it('keeps the items of a response that is deleted', async () => {
    const { id, own } = await begun();
    await inTurn('a', id);
    expect(await shelf.deleteResponse('k', 'resp_a')).toBe(true);
    expect(await shelf.deleteResponse('k', 'resp_a')).toBe(false);
    expect(await shelf.response('k', 'resp_a', READ)).toBeNull();
    expect(await faultOf(shelf.find('k', [previous('a')], READ))).toContain('previous_response_not_found');
    expect(await ids(id)).toMatchObject({ ids: [...own, 'msg_a_in', 'msg_a_out'] });
    await conversations.delete('k', id);
    expect([await shelf.bytes(), await room.keys()]).toEqual([0, []]);
  });

  it('leaves its responses when it is deleted, but not what they went on from', async () => {
    const { id } = await begun();
    await inTurn('a', id);
    await conversations.delete('k', id);
    expect(await shelf.response('k', 'resp_a', READ)).not.toBeNull();
    expect(await faultOf(shelf.find('k', [previous('a')], READ))).toContain('previous_response_not_found');
    expect(textsOf(await shelf.find('k', [item('msg_a_in')], READ))).toEqual([]);
    // A response that ends only now is kept without it.
    expect(await inTurn('b', id)).toBe('stored');
    expect(await faultOf(shelf.find('k', [previous('b')], READ))).toContain('previous_response_not_found');
    for (const one of ['resp_a', 'resp_b']) await shelf.deleteResponse('k', one);
    expect([await shelf.bytes(), await room.keys()]).toEqual([0, []]);
  });

  it('leaves its responses for no longer than their key lives', async () => {
    const { redis } = room.money;
    const expiresMs = (await redisNowMs(redis)) + 60_000;
    await room.money.key({ expiresMs });
    const { id } = await begun();
    await inTurn('a', id);
    await conversations.delete('k', id);
    expect(await redis.zscore('{dp}:shelf:all', 'k resp_a')).toBe(String(expiresMs));
  });

  it('is gone when its time is over, though Redis has it still', async () => {
    const { id, own } = await begun();
    await room.money.redis.zadd('{dp}:shelf:order:k', 1, id);
    const update = conversations.update(room.owner, { id, createdAt: 5, metadata: {} });
    expect(await faultOf(update)).toBe('not_found conversation_id');
    expect(await faultOf(conversations.deleteItem('k', id, own[0]!))).toBe('not_found item_id');
  });

  it('takes responses along that have no item in it any more, or never had one', async () => {
    const { id } = await begun();
    await inTurn('a', id);
    await shelf.put(room.owner, shelved('b', { conversation: id, input: [], output: [] }));
    for (const one of ['msg_a_in', 'msg_a_out']) await conversations.deleteItem('k', id, one);
    await shelf.forget('k');
    expect(await room.keys()).toEqual([]);
  });

  it('leaves a response that has no item in it any more, too, when it is deleted', async () => {
    const { id } = await begun();
    await inTurn('a', id);
    for (const one of ['msg_a_in', 'msg_a_out']) await conversations.deleteItem('k', id, one);
    await conversations.delete('k', id);
    expect(await shelf.response('k', 'resp_a', READ)).not.toBeNull();
    await shelf.deleteResponse('k', 'resp_a');
    expect(await room.keys()).toEqual([]);
  });

  it('lives on as a whole with each item, and costs Redis little where it was renewed lately', async () => {
    const { redis } = room.money;
    const calls = async (): Promise<number> =>
      [...(await redis.info('commandstats')).matchAll(/calls=(\d+)/g)].reduce((sum, [, of]) => sum + Number(of), 0);
    const many = Array.from({ length: 300 }, (_, at) => message('', `words ${at}`));
    const { id } = await conversations.create(room.owner, {}, many);
    const first = (await redis.zrange(`{dp}:shelf:list:k:${id}`, 0, 0))[0]!;
    const before = await calls();
    await conversations.addItems(room.owner, id, [message('', 'more')]);
    expect((await calls()) - before).toBeLessThan(60);
    const all = [id, first].map((one) => `{dp}:shelf:of:k:${one}`);
    for (const entry of all) await redis.pexpire(entry, 60_000);
    const { renewed } = await redis.hgetall(all[0]!);
    await redis.hset(all[0]!, 'renewed', Number(renewed) - 1_800_000);
    await conversations.addItems(room.owner, id, [message('', 'still more')]);
    for (const entry of all) expect(await redis.pttl(entry)).toBeGreaterThan(SHELF_LIFE_MS);
  });

  it('goes as a whole where it is the oldest, and moves with each of its items', async () => {
    const bounds = { bytesOfKey: 12_000 };
    [shelf, conversations] = [room.shelf(bounds), room.conversations(bounds)];
    const { id } = await begun();
    await shelf.put(room.owner, shelved('old'));
    await conversations.addItems(room.owner, id, [message('', 'third')]);
    let evicted = 0;
    for (; evicted < 20 && (await shelf.response('k', 'resp_old', READ)); evicted++)
      await shelf.put(room.owner, shelved(`r${evicted}`));
    expect(await ids(id)).toMatchObject({ hasMore: false });
    for (; evicted < 40 && (await faultOf(conversations.read('k', id, READ))) === 'none'; evicted++)
      await shelf.put(room.owner, shelved(`r${evicted}`));
    expect(await faultOf(conversations.read('k', id, READ))).toBe('not_found conversation_id');
    const left = await room.money.redis.keys(`{dp}:shelf:*:k:${id}`);
    expect(left).toEqual([]);
    const { entries } = await room.money.redis.hgetall('{dp}:shelf:sums:k');
    expect(await room.money.redis.keys('{dp}:shelf:of:k:*')).toHaveLength(Number(entries));
  });

  it('takes no more than all that a key may have, and says so', async () => {
    const bounds = { bytesOfKey: 12_000 };
    [shelf, conversations] = [room.shelf(bounds), room.conversations(bounds)];
    const { id } = await begun();
    const more = Array.from({ length: 20 }, (_, at) => message('', `more ${at}`));
    expect(await faultOf(conversations.addItems(room.owner, id, more))).toBe('request_too_large items');
    expect(await inTurn('a', id)).toBe('stored');
    conversations = room.conversations({ bytes: 100 });
    expect(await faultOf(conversations.create(room.owner, {}, []))).toBe('overloaded ');
  });

  it('takes no more than that by new metadata, and the oldest of the key goes for it', async () => {
    const words = (more: number): Record<string, string> => ({ words: randomBytes(more).toString('base64') });
    const changed = (id: string, more: number) =>
      faultOf(conversations.update(room.owner, { id, createdAt: 5, metadata: words(more) }));
    [shelf, conversations] = [room.shelf({ bytesOfKey: 12_000 }), room.conversations({ bytesOfKey: 12_000 })];
    await shelf.put(room.owner, shelved('a'));
    const { id } = await begun();
    expect(await changed(id, 12_000)).toBe('request_too_large metadata');
    expect(await shelf.response('k', 'resp_a', READ)).not.toBeNull();
    expect(await changed(id, 7_500)).toBe('none');
    expect(await shelf.response('k', 'resp_a', READ)).toBe(null);
    expect(await ids(id)).toMatchObject({ ids: [expect.any(String), expect.any(String)] });
    expect(await shelf.bytes()).toBeLessThan(12_000);
    for (const bounds of [{ bytes: 9_000 }, { bytesOfCampaign: 9_000 }]) {
      conversations = room.conversations(bounds);
      expect(await changed(id, 9_000)).toBe('overloaded ');
    }
  });

  it('takes none of Redis’ last memory by new metadata', async () => {
    const { redis } = room.money;
    // So that the rest has room for the command: Redis itself refuses one without.
    await redis.setrange('filler', 7_999_999, 'x');
    const { id } = await begun();
    const metadata = { words: randomBytes(300_000).toString('base64') };
    const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))![1]);
    await redis.config('SET', 'maxmemory', Math.round((used + 150_000) / 0.8));
    try {
      expect(await faultOf(conversations.update(room.owner, { id, createdAt: 5, metadata }))).toBe('overloaded ');
    } finally {
      await redis.config('SET', 'maxmemory', 0);
    }
    expect(await faultOf(conversations.update(room.owner, { id, createdAt: 5, metadata }))).toBe('none');
  });

  it('leaves nothing behind, though its responses had no items in it any more', async () => {
    const { id } = await begun();
    await inTurn('a', id);
    for (const one of ['msg_a_in', 'msg_a_out']) await conversations.deleteItem('k', id, one);
    await shelf.put(room.owner, shelved('b', { conversation: id, input: [], output: [] }));
    await shelf.deleteResponse('k', 'resp_b');
    await conversations.delete('k', id);
    expect(await shelf.response('k', 'resp_a', READ)).toMatchObject({ input: [{ id: 'msg_a_in' }] });
    await shelf.deleteResponse('k', 'resp_a');
    expect([await shelf.bytes(), await room.keys()]).toEqual([0, []]);
  });
});
