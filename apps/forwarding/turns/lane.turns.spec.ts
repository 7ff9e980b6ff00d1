import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import type { Ticket } from '#libs/contracts/jobs.js';
import { Places, type Crowd } from '#libs/pacing/places.js';
import type { StartedCall } from '../attempt/attempt.js';
import { LaneTurns } from './lane.turns.js';
import type { Taken } from './turn.taker.js';

/** The calls of a key begin with its letter. */
const ticket = (requestId: string): Ticket =>
  ({ requestId, keyId: requestId[0], campaignId: `of ${requestId[0]}` }) as Ticket;
const plenty = (): Places => new Places(100);
const started = ({ requestId }: Ticket): Taken => ({
  state: 'started',
  call: { ticket: ticket(requestId) } as StartedCall,
});
const idOf = (turn: StartedCall | null | 'stopped'): string | null =>
  turn === null || turn === 'stopped' ? turn : turn.ticket.requestId;

type Start = (one: Ticket, overtakes?: { behind: string | null }) => Promise<Taken>;

/** Starts calls of a line one by one, or in one step until one has to wait. */
function takerOf(heads: (lane: string, count: number) => Promise<Ticket[]>, start: Start, inOneStep: boolean) {
  const next = async (lane: string, count: number): Promise<{ taken: Promise<Taken>[]; waiting: number }> => {
    const taken: Promise<Taken>[] = [];
    for (const one of await heads(lane, count)) {
      taken.push(start(one));
      if ((await taken.at(-1)!.catch(() => null))?.state === 'wait') break;
    }
    return { taken, waiting: 1 };
  };
  return { start, next, beginsInOneStep: () => inOneStep };
}

/** A line in the test's hands. */
function lineOf(...ids: string[]) {
  const line = [...ids];
  return { line, heads: (_: string, count: number) => Promise.resolve(line.slice(0, count).map(ticket)) };
}

describe.each([true, false])('the turns of a lane (in one step: %s)', (inOneStep) => {
  it('go to who stands first when they come, more of them at once while the lane has room', async () => {
    const { line, heads } = lineOf('a', 'b', 'c', 'd', 'e', 'f', 'g');
    const groups: number[] = [];
    const counted = async (lane: string, count: number): Promise<Ticket[]> => {
      const tickets = await heads(lane, count);
      groups.push(tickets.length);
      return tickets;
    };
    const turns = new LaneTurns(
      'lane',
      { heads: counted },
      takerOf(
        counted,
        async (one) => {
          await sleep(5);
          line.splice(line.indexOf(one.requestId), 1);
          return started(one);
        },
        inOneStep,
      ),
      plenty(),
    );
    const first = Promise.all(Array.from({ length: 8 }, () => turns.next()));
    line.splice(1, 0, 'urgent');
    expect((await first).map(idOf)).toEqual(['a', 'urgent', 'b', 'c', 'd', 'e', 'f', 'g']);
    expect(groups).toEqual([1, 2, 4, 1]);
    expect(idOf(await turns.next())).toBeNull();
  });

  it('wait for the lane, and pass over who is refused', async () => {
    const { line, heads } = lineOf('refused', 'a');
    let full = 2;
    const turns = new LaneTurns(
      'lane',
      { heads },
      takerOf(
        heads,
        (one) => {
          if (one.requestId === 'refused') {
            line.shift();
            return Promise.resolve({ state: 'over' });
          }
          return Promise.resolve(full-- > 0 ? { state: 'wait', waitMs: 10 } : started(one));
        },
        inOneStep,
      ),
      plenty(),
    );
    const begunMs = performance.now();
    expect(idOf(await turns.next())).toBe('a');
    expect(performance.now() - begunMs).toBeGreaterThanOrEqual(15);
  });

  it('are looked at again within a second, however long the lane needs', async () => {
    const { line, heads } = lineOf('slow');
    const turns = new LaneTurns(
      'lane',
      { heads },
      takerOf(
        heads,
        (one) => Promise.resolve(one.requestId === 'slow' ? { state: 'wait', waitMs: 60_000 } : started(one)),
        inOneStep,
      ),
      plenty(),
    );
    const next = turns.next();
    await sleep(50);
    line.unshift('sooner');
    expect(idOf(await next)).toBe('sooner');
  });

  it('end when the process ends, even in the middle of a wait, and go to another', async () => {
    const { heads } = lineOf('a');
    const places = plenty();
    const turns = new LaneTurns(
      'lane',
      { heads },
      takerOf(heads, () => Promise.resolve({ state: 'wait', waitMs: 60_000 }), inOneStep),
      places,
    );
    const waiting = [turns.next(), turns.next()];
    await sleep(20);
    turns.stop();
    expect(await Promise.all(waiting)).toEqual(['stopped', 'stopped']);
    expect(places.heldBy(ticket('a'))).toBe(0);
  });

  it('survive one that fails', async () => {
    const { heads } = lineOf('a');
    let fails = 1;
    const turns = new LaneTurns(
      'lane',
      { heads },
      takerOf(
        heads,
        (one) => (fails-- > 0 ? Promise.reject(new Error('Redis is away')) : Promise.resolve(started(one))),
        inOneStep,
      ),
      plenty(),
    );
    await expect(turns.next()).rejects.toThrow('Redis is away');
    expect(idOf(await turns.next())).toBe('a');
  });

  it('pass over a key that has its share of the places, and go on to it when one of its calls ends', async () => {
    const line = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'b1', 'b2'];
    const overtaken: unknown[] = [];
    const places = new Places(4);
    const heads = (_: string, count: number, { keys, campaigns }: Crowd = { keys: [], campaigns: [] }) =>
      Promise.resolve(
        line
          .map(ticket)
          .filter(({ keyId, campaignId }) => !keys.includes(keyId) && !campaigns.includes(campaignId))
          .slice(0, count),
      );
    const start: Start = (one, overtakes) => {
      line.splice(line.indexOf(one.requestId), 1);
      overtaken.push(overtakes);
      return Promise.resolve(started(one));
    };
    const turns = new LaneTurns('lane', { heads }, takerOf(heads, start, inOneStep), places);
    const first = await Promise.all(Array.from({ length: 6 }, () => turns.next()));
    expect(first.map(idOf)).toEqual(['a1', 'a2', 'a3', 'a4', 'b1', null]);
    expect(line).toEqual(['a5', 'a6', 'b2']);
    expect(overtaken.at(0)).toBeUndefined();
    expect(overtaken.at(-1)).toEqual({ behind: null });
    expect(await turns.next()).toBeNull();
    places.release(ticket('b1'));
    expect(idOf(await turns.next())).toBe('b2');
    for (const id of ['a1', 'a2', 'a3', 'b2']) places.release(ticket(id));
    expect(idOf(await turns.next())).toBe('a5');
  });

  it('pass over calls that have another model draw, where one of them waits for images', async () => {
    const { line } = lineOf('drawing', 'draws too', 'text');
    const heads = (_: string, count: number, { drawing = false }: Partial<Crowd> = {}): Promise<Ticket[]> =>
      Promise.resolve(
        line
          .filter((id) => !drawing || !id.startsWith('draw'))
          .slice(0, count)
          .map(ticket),
      );
    const begin: Start = (one, overtakes) => {
      if (one.requestId.startsWith('draw')) return Promise.resolve({ state: 'wait', waitMs: 60_000, forImages: true });
      if (!overtakes && line[0] !== one.requestId) return Promise.resolve({ state: 'wait', waitMs: 5 });
      line.splice(line.indexOf(one.requestId), 1);
      return Promise.resolve(started(one));
    };
    // The script of `next` passes over them by itself.
    const turns = new LaneTurns('lane', { heads }, takerOf(heads, begin, false), plenty());
    expect(idOf(await turns.next())).toBe('text');
    expect(idOf(await turns.next())).toBeNull();
    expect(line).toEqual(['drawing', 'draws too']);
  });

  it('know whether calls may wait that nobody brings a turn for', async () => {
    let waiting = 3;
    const taker = {
      start: () => Promise.reject(new Error('one by one')),
      next: () => Promise.resolve({ taken: waiting-- > 0 ? [Promise.resolve(started(ticket('a')))] : [], waiting }),
      beginsInOneStep: () => true,
    };
    const turns = new LaneTurns('lane', lineOf(), taker, plenty());
    const seen: boolean[] = [];
    for (let n = 0; n < 3; n++) {
      await turns.next();
      seen.push(turns.mayHaveMore);
    }
    expect(seen).toEqual([true, true, false]);
  });

  it('of one job begin together, once the lane has shown that it has room', async () => {
    const counts: number[] = [];
    const taker = {
      start: () => Promise.reject(new Error('one by one')),
      next: (_: string, count: number) => {
        counts.push(count);
        return Promise.resolve({
          taken: Array.from({ length: count }, () => Promise.resolve(started(ticket('a')))),
          waiting: 9,
        });
      },
      beginsInOneStep: () => true,
    };
    const turns = new LaneTurns('lane', lineOf(), taker, plenty());
    for (const job of [1, 2, 4]) await Promise.all(Array.from({ length: job }, () => turns.next()));
    expect(counts).toEqual([1, 2, 4]);
  });
});
