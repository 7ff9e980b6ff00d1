import { expect } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { LONG } from '../at-rest.js';
import type { Arena, Outcome } from './arena.js';
import { tally } from './tally.js';

/** What a visitor may be told while Redis is away or is being mended: to come again, nothing was charged. */
export const LATER = ['503 overloaded', '503 recovering'];
/** What else where Redis lost something: the call was sent, and its answer is gone. */
export const LOST = '502 upstream_outcome_unknown';
const words = (count: number): string => Array.from({ length: count }, (_, index) => `w${index} `).join('');

export interface Story {
  outcomes: Outcome[];
  streams: Outcome[];
  figures: string;
}

/** Calls come while it happens, and five streams run through it. Counts from the end of the fault until calls are answered again. */
export async function under(arena: Arena, fault: () => Promise<void>, { streamSeconds = 8 } = {}): Promise<Story> {
  const key = await arena.key('20.00');
  arena.daypass.rehearsal.onChat = (body) =>
    body.stream ? { content: words(10 * streamSeconds), tokensPerSecond: 10 } : { firstTokenMs: 200 };
  const running = Array.from({ length: 5 }, () => arena.call(key, { stream: true, max_tokens: 20 * streamSeconds }));
  await arena.upstreamRuns(5);
  const load = arena.load(key, 8);
  const answered = (): number => load.outcomes.filter(({ status }) => status === 200).length;
  await arena.until(() => answered() >= 60, 'calls are answered');
  await fault();
  const [goneAt, before] = [performance.now(), answered()];
  try {
    // More than were on their way when it happened.
    await arena.until(() => answered() > before + 8, 'I: calls are answered again', 30_000);
  } catch (error) {
    throw new Error(`${(error as Error).message}; ${tally(await load.stop()).text}`);
  }
  const back = (performance.now() - goneAt) / 1_000;
  await sleep(1_000);
  const outcomes = await load.stop();
  const streams = await Promise.all(running);
  arena.daypass.rehearsal.onChat = undefined;
  const whole = streams.filter(({ done }) => done).length;
  return {
    outcomes,
    streams,
    figures: `${tally(outcomes).text}; ${whole} of 5 streams whole; calls again after ${back.toFixed(1)} s`,
  };
}

export const expectOnly = (outcomes: readonly Outcome[], allowed: readonly string[]): void =>
  expect(tally(outcomes).codes.filter((code) => !allowed.includes(code))).toEqual([]);

/** A stream ends whole, or says that a part of it was lost: never with a hole. */
export function expectNoHoles(streams: readonly Outcome[]): void {
  for (const { status, done, code, text } of streams) {
    if (!done) {
      expect(LOST).toContain(code);
      continue;
    }
    const shown = [...text.matchAll(/"content":"\s?(w\d+)\s?"/g)].map(([, word]) => word).join(' ');
    expect([status, shown]).toEqual([200, words(shown.split(' ').length).trim()]);
  }
}

/** A visitor hangs up: forwarding hears of it, and cancels the call. */
export async function expectLeavingIsHeard(arena: Arena): Promise<void> {
  const visitor = await arena.key();
  arena.daypass.rehearsal.onChat = () => ({ content: LONG, tokensPerSecond: 100 });
  const leave = new AbortController();
  const left = arena.call(visitor, { stream: true, max_tokens: 4_000, signal: leave.signal });
  await arena.upstreamRuns(1);
  leave.abort();
  await left;
  await arena.until(() => arena.upstream.every(({ state }) => state !== 'running'), 'a leaving is heard again');
  arena.daypass.rehearsal.onChat = undefined;
}

/** How often accounting has rebuilt Redis from the ledger. */
export async function rebuilds(arena: Arena): Promise<number> {
  const text = await (await fetch(`${arena.daypass.opsUrls.accounting}/metrics`)).text();
  return Number(/^daypass_rebuilds_total\S* (\d+)$/m.exec(text)?.[1] ?? 0);
}
