import { describe, expect, it } from '@jest/globals';
import { KeyTurns } from './key.turns.js';

/** Readings that end when the test says so. */
class Reads {
  readonly turns = new KeyTurns({
    most: 8,
    mostOfKey: 2,
    waiting: 300,
    waitingOfKey: 256,
    tooMany: () => Object.assign(new Error(), { code: 'too_many' }),
  });
  readonly running: { keyId: string; end: () => void }[] = [];

  begin(keyId: string): Promise<string> {
    return this.turns
      .run(
        keyId,
        () =>
          new Promise<string>((resolve) => {
            const one = { keyId, end: () => (this.running.splice(this.running.indexOf(one), 1), resolve('read')) };
            this.running.push(one);
          }),
      )
      .catch(({ code }: { code: string }) => code);
  }

  async endOne(): Promise<void> {
    this.running[0]!.end();
    await new Promise(setImmediate);
  }

  get keys(): string[] {
    return this.running.map(({ keyId }) => keyId);
  }
}

describe('the turns of keys', () => {
  it('are two of one key at once, and eight of all', () => {
    const reads = new Reads();
    for (let at = 0; at < 3; at++) void reads.begin('a');
    expect(reads.keys).toEqual(['a', 'a']);
    for (const key of ['b', 'c', 'd', 'e', 'f', 'g', 'h']) void reads.begin(key);
    expect(reads.keys).toEqual(['a', 'a', 'b', 'c', 'd', 'e', 'f', 'g']);
  });

  it('of keys that have fewer come between those of a key that has many', async () => {
    const reads = new Reads();
    for (let at = 0; at < 50; at++) void reads.begin('a');
    for (const key of ['b', 'c', 'd', 'e', 'f', 'g', 'late']) void reads.begin(key);
    await reads.endOne();
    expect(reads.keys).not.toContain('late');
    await reads.endOne();
    expect(reads.keys).toContain('late');
    while (reads.running.length > 0) await reads.endOne();
  });

  it('wait in a line of 256 for each key; a full line says so, and holds up nobody else', async () => {
    const reads = new Reads();
    const all = Array.from({ length: 2 + 256 }, () => reads.begin('a'));
    expect(await reads.begin('a')).toBe('too_many');
    void reads.begin('b');
    expect(reads.keys).toContain('b');
    while (reads.running.length > 0) await reads.endOne();
    expect(new Set(await Promise.all(all))).toEqual(new Set(['read']));
    void reads.begin('a');
    expect(reads.keys).toEqual(['a']);
  });

  it('wait in a bounded line in all, too', async () => {
    const reads = new Reads();
    const all = Array.from({ length: 8 + 300 }, (_, at) => reads.begin(`key_${at}`));
    expect(await reads.begin('one more')).toBe('too_many');
    while (reads.running.length > 0) await reads.endOne();
    expect(new Set(await Promise.all(all))).toEqual(new Set(['read']));
  });

  it('give their turn on also when they fail', async () => {
    const { turns } = new Reads();
    const fails = () => turns.run('a', () => Promise.reject(new Error('broken'))).catch(() => 'failed');
    expect(await Promise.all(Array.from({ length: 20 }, fails))).toEqual(Array(20).fill('failed'));
    expect(await turns.run('a', () => Promise.resolve('read'))).toBe('read');
  });
});
