import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { getEventListeners } from 'node:events';
import { BudgetLine, type Arrival } from './budget.line.js';

const POLL_MS = 200;

describe('a line of calls that wait for running ones', () => {
  let line: BudgetLine;
  let woken: string[];
  const nobodyLeaves = new AbortController().signal;

  beforeEach(() => {
    jest.useFakeTimers();
    line = new BudgetLine({ callsOfKey: 2_000, bytesOfKey: 1_000, bytes: 1_000 });
    woken = [];
  });
  afterEach(() => {
    // Whatever happened: no timer stays, and nobody is forgotten.
    expect({ timers: jest.getTimerCount(), places: line.size }).toEqual({ timers: 0, places: 0 });
    jest.useRealTimers();
  });

  const stand = (
    name: string,
    account: string,
    arrival: Arrival,
    { ms = 60_000, signal = nobodyLeaves } = {},
  ): Promise<void> => line.wait(account, arrival, performance.now() + ms, signal).then(() => void woken.push(name));
  /** Waits once, and leaves. */
  const arrive = async (name: string, account: string, needNano = 100n, options = {}): Promise<void> => {
    const arrival = line.enter('key', needNano, 0)!;
    await stand(name, account, arrival, options);
    line.leave(arrival, []);
  };
  const settled = (): Promise<void> => jest.advanceTimersByTimeAsync(0);
  const wake = async (...accounts: string[]): Promise<string[]> => {
    woken = [];
    line.wake(accounts);
    await settled();
    return woken;
  };

  it('lets one look at a time, in order of arrival', async () => {
    for (const name of ['first', 'second', 'third']) void arrive(name, 'key');
    expect(await wake('key')).toEqual(['first']);
    expect(await wake('key')).toEqual(['second']);
    expect(await wake('key')).toEqual(['third']);
    expect(await wake('key')).toEqual([]);
  });

  it('gives its old number back to one that looked in vain', async () => {
    const [early, late] = [line.enter('key', 100n, 0)!, line.enter('key', 100n, 0)!];
    void stand('late', 'key', late);
    void stand('early', 'key', early);
    expect(await wake('key')).toEqual(['early']);
    void stand('early', 'key', early);
    expect(await wake('key')).toEqual(['early']);
    expect(await wake('key')).toEqual(['late']);
    for (const arrival of [early, late]) line.leave(arrival, []);
  });

  it('keeps the order over accounts: the number is the call’s, not the line’s', async () => {
    const first = line.enter('key', 100n, 0)!;
    void stand('first', 'key', first);
    void arrive('second', 'campaign');
    expect(await wake('key')).toEqual(['first']);
    void stand('first', 'campaign', first);
    expect(await wake('campaign')).toEqual(['first']);
    line.leave(first, ['campaign']);
    await settled();
    expect(woken).toEqual(['first', 'second']);
  });

  it('wakes nobody of other accounts', async () => {
    void arrive('mine', 'key_a');
    void arrive('other', 'key_b');
    void arrive('shared', 'campaign');
    expect(await wake('key_a', 'campaign')).toEqual(['mine', 'shared']);
    expect(await wake('key_a', 'campaign')).toEqual([]);
    expect(await wake('key_b')).toEqual(['other']);
  });

  it('lets those look with the one in front who need at most half of all before them', async () => {
    for (const [name, needNano] of [
      ['dear', 1_000n],
      ['nearly', 600n],
      ['half', 300n],
      ['cheap', 10n],
      ['cheap too', 10n],
      ['tiny', 5n],
    ] as const)
      void arrive(name, 'campaign', needNano);
    expect(await wake('campaign')).toEqual(['dear', 'half', 'cheap', 'tiny']);
    expect(await wake('campaign')).toEqual(['nearly', 'cheap too']);
  });

  it('costs few looks, however many wait', async () => {
    for (let index = 0; index < 2_000; index++) void arrive(`call ${index}`, 'operator', BigInt(1_000_000 - index));
    expect(await wake('operator')).toEqual(['call 0']);
    while (line.size > 0) await wake('operator');
  });

  it('looks by itself five times a second, for calls of other processes', async () => {
    void arrive('first', 'key_a');
    void arrive('second', 'key_a');
    void arrive('other', 'key_b');
    await jest.advanceTimersByTimeAsync(POLL_MS - 1);
    expect(woken).toEqual([]);
    await jest.advanceTimersByTimeAsync(1);
    expect(woken).toEqual(['first', 'other']);
    await jest.advanceTimersByTimeAsync(POLL_MS);
    expect(woken).toEqual(['first', 'other', 'second']);
  });

  it('lets everybody go at the end of his own time, wherever he stands', async () => {
    void arrive('patient', 'key', 100n, { ms: 150 });
    void arrive('hasty', 'key', 100n, { ms: 50 });
    void arrive('late already', 'key', 100n, { ms: -10 });
    await settled();
    expect(woken).toEqual(['late already']);
    await jest.advanceTimersByTimeAsync(50);
    expect(woken).toEqual(['late already', 'hasty']);
    await jest.advanceTimersByTimeAsync(100);
    expect(woken).toEqual(['late already', 'hasty', 'patient']);
  });

  it('lets one go who hangs up, before or while he waits, and the order of the others stays', async () => {
    const hangUp = new AbortController();
    void arrive('first', 'key');
    void arrive('leaver', 'key', 100n, { signal: hangUp.signal });
    void arrive('third', 'key');
    hangUp.abort();
    void arrive('gone already', 'key', 100n, { signal: hangUp.signal });
    await settled();
    expect(woken).toEqual(['leaver', 'gone already']);
    expect(await wake('key')).toEqual(['first']);
    expect(await wake('key')).toEqual(['third']);
  });

  it('keeps no listener on a signal that outlives the wait', async () => {
    const { signal } = new AbortController();
    for (let round = 0; round < 3; round++) {
      void arrive('again', 'key', 100n, { signal });
      expect(getEventListeners(signal, 'abort')).toHaveLength(1);
      await wake('key');
      expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    }
  });

  it('serves all who wait when each that leaves wakes the next', async () => {
    const names = Array.from({ length: 100 }, (_, index) => `call ${index}`);
    for (const name of names) {
      const arrival = line.enter('key', 100n, 0)!;
      void stand(name, 'key', arrival).then(() => line.leave(arrival, ['key']));
    }
    expect(await wake('key')).toEqual(names);
  });

  it('has a bound for each key, so that one cannot fill it for all', () => {
    line = new BudgetLine({ callsOfKey: 2, bytesOfKey: 1_000, bytes: 1_000 });
    const arrivals = [line.enter('greedy', 1n, 0)!, line.enter('greedy', 1n, 0)!];
    expect(line.enter('greedy', 1n, 0)).toBeUndefined();
    arrivals.push(line.enter('modest', 1n, 0)!);
    line.leave(arrivals.shift()!, []);
    arrivals.push(line.enter('greedy', 1n, 0)!);
    expect(line.enter('greedy', 1n, 0)).toBeUndefined();
    for (const arrival of arrivals) line.leave(arrival, []);
  });

  it('has a bound for the bytes of each key, and of all', () => {
    line = new BudgetLine({ callsOfKey: 100, bytesOfKey: 1_000, bytes: 1_500 });
    const arrivals = [line.enter('greedy', 1n, 1_000)!];
    expect(line.enter('greedy', 1n, 1)).toBeUndefined();
    expect(line.enter('other', 1n, 501)).toBeUndefined();
    arrivals.push(line.enter('modest', 1n, 500)!);
    line.leave(arrivals.shift()!, []);
    arrivals.push(line.enter('greedy', 1n, 600)!, line.enter('greedy', 1n, 400)!);
    expect(line.enter('greedy', 1n, 1)).toBeUndefined();
    for (const arrival of arrivals) line.leave(arrival, []);
    expect(line.enter('large', 1n, 1_001)).toBeUndefined();
  });
});
