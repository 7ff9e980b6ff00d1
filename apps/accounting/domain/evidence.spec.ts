import { describe, expect, it } from '@jest/globals';
import { evidenceFor, stretchesOf, type MeasuredCalls, type Reported } from './evidence.js';

const counts = { requests: 1, uncached: 10, cached: 0, cacheWrite: 0, output: 5 };
const reported = (...models: (string | null)[]): Reported[] =>
  models.map((model) => ({ minuteMs: 0, model, ...counts }));
const measured = (model: string, served: string): MeasuredCalls[] =>
  (['start', 'end'] as const).map((edge) => ({ edge, minuteMs: 0, model, served, ...counts }));
const modelsFor = (model: string, rows: Reported[], calls: MeasuredCalls[] = []) => {
  const evidence = evidenceFor(model, rows, calls, 0, 60_000);
  return {
    rows: evidence.reported.map((row) => (row as Reported).model),
    starts: evidence.measuredByStart.length,
    ends: evidence.measuredByEnd.length,
  };
};

describe('the evidence for a call', () => {
  it('has every row that may be about its model: its own name, its dated ones, a strange one, and none', () => {
    const rows = reported('gpt-5.4', 'gpt-5.4-2026-03-05', 'gpt-x', null);
    expect(modelsFor('gpt-5.4', rows).rows).toEqual(['gpt-5.4', 'gpt-5.4-2026-03-05', 'gpt-x', null]);
  });

  it('leaves out what answers to other models called themselves, with the calls behind it', () => {
    const calls = [
      ...measured('gpt-5.4-mini', 'gpt-5.4-mini-2026-03-17'),
      ...measured('gpt-5.4', 'gpt-5.4-2026-03-05'),
    ];
    const rows = reported('gpt-5.4-mini-2026-03-17', 'gpt-5.4-2026-03-05');
    expect(modelsFor('gpt-5.4-mini', rows, calls)).toEqual({ rows: ['gpt-5.4-mini-2026-03-17'], starts: 1, ends: 1 });
  });

  it("keeps what begins like its own name, though another model answers to it, and takes that one's calls into account", () => {
    const calls = measured('gpt-5.4-mini', 'gpt-5.4-mini-2026-03-17');
    expect(modelsFor('gpt-5.4', reported('gpt-5.4-mini-2026-03-17'), calls)).toEqual({
      rows: ['gpt-5.4-mini-2026-03-17'],
      starts: 1,
      ends: 1,
    });
  });

  it('keeps the name that its own answers bore, though others bear it too', () => {
    const calls = [
      ...measured('chat-latest', 'gpt-5.4-2026-03-05'),
      ...measured('gpt-5.4-2026-03-05', 'gpt-5.4-2026-03-05'),
    ];
    expect(modelsFor('chat-latest', reported('gpt-5.4-2026-03-05'), calls)).toEqual({
      rows: ['gpt-5.4-2026-03-05'],
      starts: 2,
      ends: 2,
    });
  });
});

describe('stretches', () => {
  it('put together what was sent within a span of the first', () => {
    const calls = [50, 0, 10, 11, 70].map((sentFromMs) => ({ sentFromMs }));
    expect(stretchesOf(calls, 10).map((stretch) => stretch.map(({ sentFromMs }) => sentFromMs))).toEqual([
      [0, 10],
      [11],
      [50],
      [70],
    ]);
    expect(stretchesOf([], 10)).toEqual([]);
  });
});
