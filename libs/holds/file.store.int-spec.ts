import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { redisKeys } from '#libs/redis/keys.js';
import { ContentBox } from '#libs/secrets/content-box.js';
import { FileStore, FilesGone, PIECE_BYTES, refOf } from './file.store.js';
import { Money } from './money.fixture.js';

const MIB = 1_048_576;
const box = new ContentBox(randomBytes(32));
let money: Money;
let files: FileStore;
beforeAll(async () => {
  money = await Money.start();
});
afterAll(() => money.stop());
beforeEach(async () => {
  await money.reset();
  await money.campaign();
  await money.key();
  files = new FileStore(money.redis, box, { most: 8 * MIB, largest: MIB });
});

/** Long enough to keep a file on a busy machine. */
const LAPSES_MS = 3_000;

const owner = (requestId: string, keyId = 'k', lifeMs = 60_000) => ({ requestId, keyId, lifeMs });
/** Keeps a file of so many bytes, and returns it. */
async function kept(requestId: string, bytes: number, keyId = 'k', lifeMs = 60_000): Promise<Buffer> {
  const content = randomBytes(bytes);
  for (let at = 0, piece = 0; at < bytes; at += PIECE_BYTES, piece++)
    expect(await files.keep(owner(requestId, keyId, lifeMs), piece, content.subarray(at, at + PIECE_BYTES))).toBe('ok');
  return content;
}
const sizes = (): Promise<Record<string, string>> => money.redis.hgetall(redisKeys.filesSizes);
const left = async (): Promise<string[]> => (await money.redis.keys('*')).filter((key) => /files|uploads/.test(key));
const one = { ref: refOf(0, 1), bytes: 10 };

describe('files of a call', () => {
  it('come back whole, sealed in pieces that fit no other call and no other place', async () => {
    const content = await kept('a', PIECE_BYTES + 7);
    expect((await files.read('a', { ref: refOf(0, 2) })).equals(content)).toBe(true);
    expect((await files.read('a', { ref: refOf(1, 1) })).equals(content.subarray(PIECE_BYTES))).toBe(true);
    const [first, second] = await money.redis.hmgetBuffer(redisKeys.files('a'), '0', '1');
    expect(first!.includes(content.subarray(0, 64))).toBe(false);
    await money.redis.hset(redisKeys.files('b'), '0', first!);
    await expect(files.read('b', one)).rejects.toThrow();
    await money.redis.hset(redisKeys.files('a'), '0', second!);
    await expect(files.read('a', one)).rejects.toThrow();
  });

  it('are kept once, whoever asks twice, and never with a hole', async () => {
    await kept('a', 10);
    const before = await money.everything();
    expect(await files.keep(owner('a'), 0, Buffer.from('another'))).toBe('ok');
    expect(await money.everything()).toEqual(before);
    expect(await files.keep(owner('a'), 2, Buffer.from('too far'))).toBe('gone');
    expect(await money.everything()).toEqual(before);
  });

  it('are bounded for each key and in all, and what lapsed counts no more', async () => {
    // A quarter of eight.
    await kept('a', 2 * MIB - 4 * 28);
    expect(await files.keep(owner('b'), 0, Buffer.alloc(1))).toBe('key');
    for (const key of ['k2', 'k3', 'k4']) await kept(key, 2 * MIB - 4 * 28, key, key === 'k4' ? LAPSES_MS : 60_000);
    await kept('c', 16, 'k5', 1).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, LAPSES_MS));
    expect(await files.keep(owner('d', 'k6'), 0, Buffer.alloc(1_000))).toBe('ok');
    expect(Object.keys(await sizes()).toSorted()).toEqual(
      ['all', 'key:k', 'key:k2', 'key:k3', 'key:k6', 'of:a', 'of:d', 'of:k2', 'of:k3'].toSorted(),
    );
    expect(Number((await sizes()).all)).toBe(3 * 2 * MIB + 1_028);
    // All others have their room, and one more has none.
    await kept('e', 2 * MIB - 4 * 28 - 2_000, 'k7');
    expect(await files.keep(owner('f', 'k8'), 0, Buffer.alloc(2_000))).toBe('all');
  });

  it('have the life of the body from the hold on, and are gone with the end of the call, whoever ends it', async () => {
    const body = { encrypted: box.seal('{}', 'x'), lifeMs: 600_000 };
    for (const transition of ['void', 'cancel', 'post', 'presume', 'expire'] as const) {
      const id = `${transition}-1`;
      await kept(id, PIECE_BYTES + 1);
      expect(await money.redis.pttl(redisKeys.files(id))).toBeLessThanOrEqual(60_000);
      expect(await money.take(id, { body, filePieces: 2 })).toMatchObject({ code: 'ok' });
      expect(await money.redis.pttl(redisKeys.files(id))).toBeGreaterThan(500_000);
      if (transition !== 'void' && transition !== 'cancel')
        expect(await money.start(id)).toMatchObject({ code: 'started' });
      await money.lapse(id);
      expect(await money.end(id, transition, { costNano: 5n, usedTokens: 5 })).toMatchObject({ outcome: 'applied' });
      expect(await left()).toEqual([]);
    }
  });

  it('stay while the call waits again, after its upstream refused it', async () => {
    await kept('a', 10);
    await money.take('a', { filePieces: 1, body: { encrypted: box.seal('{}', 'a'), lifeMs: 600_000 } });
    const start = await money.start('a');
    expect(start).toMatchObject({ code: 'started' });
    await money.holds.defer({ requestId: 'a', attempt: 1, freezeMs: 0, slot: 'lane', lane: 'lane' });
    await files.assertWhole('a', [one]);
  });

  it('refuse the hold where they lapsed before it, and nothing is taken', async () => {
    await kept('a', 10, 'k', 1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(await money.take('a', { filePieces: 1 })).toEqual({ code: 'files' });
    expect(await money.take('a', { filePieces: 1, question: true })).toEqual({ code: 'files' });
    expect(await money.balances()).toEqual(Array(4).fill({ spent: 0, held: 0 }));
    expect(await money.journal()).toEqual([]);
  });

  it('that are dropped, or lost, are known to be gone', async () => {
    await kept('a', 10);
    await files.assertWhole('a', [one]);
    await files.drop('a');
    expect(await left()).toEqual([]);
    await expect(files.assertWhole('a', [one])).rejects.toThrow(FilesGone);
    await expect(files.read('a', one)).rejects.toThrow(FilesGone);
    await files.drop('a');
    await files.assertWhole('a', []);
  });
});
