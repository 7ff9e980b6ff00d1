import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import { TickBatch } from './tick-batch.js';
import { atEndOfTurn } from './turn.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the end of a turn', () => {
  it('comes after the turn, with all of it in the order of the calls', async () => {
    const done: string[] = [];
    atEndOfTurn(() => done.push('first'));
    void Promise.resolve().then(() => atEndOfTurn(() => done.push('third')));
    atEndOfTurn(() => done.push('second'));
    await Promise.resolve();
    expect(done).toEqual([]);
    await turn();
    expect(done).toEqual(['first', 'second', 'third']);
    atEndOfTurn(() => done.push('fourth'));
    await turn();
    expect(done).toHaveLength(4);
  });

  it('has room for what its works add, so that a batch of a batch waits no further turn', async () => {
    const done: number[] = [];
    const inner = new TickBatch<number, number>(5, async (items) => {
      done.push(...items);
      atEndOfTurn(() => done.push(0));
      return items;
    });
    const outer = new TickBatch<number, number>(1, ([item]) => inner.add(item!).then((result) => [result]));
    const results = Promise.all([outer.add(1), outer.add(2)]);
    await turn();
    expect(done).toEqual([1, 2, 0]);
    expect(await results).toEqual([1, 2]);
  });
});

describe('a work that fails', () => {
  it('keeps none of the others from its turn', async () => {
    const script = `
      import { atEndOfTurn } from ${JSON.stringify(new URL('./turn.ts', import.meta.url).href)};
      process.on('uncaughtException', (error) => console.log(error.message));
      atEndOfTurn(() => console.log('before'));
      atEndOfTurn(() => { throw new Error('failed'); });
      atEndOfTurn(() => console.log('after'));
      setTimeout(() => atEndOfTurn(() => console.log('later')), 10);`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (piece: Buffer) => (text += piece.toString()));
    await once(child, 'close');
    expect(text.trim().split('\n')).toEqual(['before', 'failed', 'after', 'later']);
  });
});
