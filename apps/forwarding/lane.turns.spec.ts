import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import type { Ticket } from '#libs/contracts/jobs.js';
import type { Begun } from './forwarder.service.js';
import { LaneTurns } from './lane.turns.js';

const ticket = (requestId: string): Ticket => ({ requestId }) as Ticket;
const begun = ({ requestId }: Ticket): Begun => ({ state: 'begun', call: { ticket: ticket(requestId), attempt: 1 } }) as Begun;
const idOf = (turn: Begun | null | 'stopped'): string | null => (turn === null || turn === 'stopped' ? turn : turn.call.ticket.requestId);

/** A line in the test's hands. */
function lineOf(...ids: string[]) {
  const line = [...ids];
  return { line, head: () => Promise.resolve(line[0] === undefined ? null : ticket(line[0])) };
}

describe('the turns of a lane', () => {
  it('go one after another, each to who stands first when it comes', async () => {
    const { line, head } = lineOf('a', 'b', 'c');
    let asking = 0;
    let most = 0;
    const turns = new LaneTurns(
      'lane',
      { head },
      {
        begin: async (one) => {
          most = Math.max(most, ++asking);
          await sleep(5);
          asking--;
          line.splice(line.indexOf(one.requestId), 1);
          return begun(one);
        },
      },
    );
    const first = Promise.all([turns.next(), turns.next(), turns.next(), turns.next()]);
    line.splice(1, 0, 'urgent');
    expect((await first).map(idOf)).toEqual(['a', 'urgent', 'b', 'c']);
    expect(idOf(await turns.next())).toBeNull();
    expect(most).toBe(1);
  });

  it('wait for the lane, and pass over who is refused', async () => {
    const { line, head } = lineOf('refused', 'a');
    let full = 2;
    const turns = new LaneTurns(
      'lane',
      { head },
      {
        begin: (one) => {
          if (one.requestId === 'refused') {
            line.shift();
            return Promise.resolve({ state: 'over' });
          }
          return Promise.resolve(full-- > 0 ? { state: 'wait', waitMs: 10 } : begun(one));
        },
      },
    );
    const begunMs = performance.now();
    expect(idOf(await turns.next())).toBe('a');
    expect(performance.now() - begunMs).toBeGreaterThanOrEqual(15);
  });

  it('are looked at again within a second, however long the lane needs', async () => {
    const { line, head } = lineOf('slow');
    const turns = new LaneTurns(
      'lane',
      { head },
      { begin: (one) => Promise.resolve(one.requestId === 'slow' ? { state: 'wait', waitMs: 60_000 } : begun(one)) },
    );
    const next = turns.next();
    await sleep(50);
    line.unshift('sooner');
    expect(idOf(await next)).toBe('sooner');
  });

  it('end when the process ends, even in the middle of a wait, and go to another', async () => {
    const { head } = lineOf('a');
    const turns = new LaneTurns('lane', { head }, { begin: () => Promise.resolve({ state: 'wait', waitMs: 60_000 }) });
    const waiting = [turns.next(), turns.next()];
    await sleep(20);
    turns.stop();
    expect(await Promise.all(waiting)).toEqual(['stopped', 'stopped']);
  });

  it('survive one that fails', async () => {
    const { head } = lineOf('a');
    let fails = 1;
    const turns = new LaneTurns('lane', { head }, { begin: (one) => (fails-- > 0 ? Promise.reject(new Error('Redis is away')) : Promise.resolve(begun(one))) });
    await expect(turns.next()).rejects.toThrow('Redis is away');
    expect(idOf(await turns.next())).toBe('a');
  });
});
