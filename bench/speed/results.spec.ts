import { describe, expect, it } from '@jest/globals';
import { callTables, processTable, scriptTable, speedTable } from './report.ts';
import { BARE, BESIDE, JUDGED, median, RESPONSES, Results, UNJUDGED, UPSTREAM, type Measured } from './results.ts';
import { meanOfMost, scriptName } from './script-times.ts';
import { MANY, MORE, ONE } from './workloads.ts';

const NO_MEMORY = { ingress: 100, moderation: 100, forwarding: 100, accounting: 100, redis: 7, postgres: 9 };
const measured = (perSecond: number, cpuMs: number, more: Partial<Measured> = {}): Measured => ({
  done: 1_000,
  perSecond,
  p50Ms: 5,
  p99Ms: 9,
  gapP99Ms: 0,
  cpu: { ingress: cpuMs - 0.5, redis: 0.5 },
  memory: NO_MEMORY,
  scripts: 6,
  commands: 100,
  ...more,
});

/** Two rounds: the machine is twice as slow in the second. */
function twoRounds(): Results {
  const results = new Results();
  for (const [round, slow] of [1, 2].entries()) {
    for (const { name } of [ONE, MANY, MORE]) {
      results.add(name, 'a peer', measured(60, 20));
      results.add(name, UNJUDGED, measured(600 / slow, 2 * slow, { p50Ms: 6 + round }));
      results.add(name, BESIDE, measured(1_200 / slow, 1 * slow, { p50Ms: 2 + round }));
      results.add(name, JUDGED, measured(300 / slow, 3 * slow, { p50Ms: 8 + round }));
      results.add(name, BARE, measured(4_000 / slow, 0.6 * slow));
    }
    results.add(MANY.name, RESPONSES, measured(270 / slow, 3.3 * slow));
    results.add(ONE.name, UPSTREAM, measured(9_000, 1, { p50Ms: 1 + round, cpu: {} }));
  }
  return results;
}

describe('the figures of the speed bench', () => {
  it('are medians, also of an even number', () => {
    expect(median([5, 1, 3])).toBe(3);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(() => median([])).toThrow('nothing was measured');
  });

  it('compare candidates within their round, because the machine changes from one to the next', () => {
    const results = new Results();
    for (const [one, other] of [
      [100, 200],
      [10, 40],
      [30, 45],
    ] as const) {
      results.add('w', 'one', measured(one, 1));
      results.add('w', 'other', measured(other, 1));
    }
    expect(results.ratio('w', 'one', 'other', ({ perSecond }) => perSecond)).toBe(0.5);
    expect(results.more('w', 'other', 'one', ({ perSecond }) => perSecond)).toBe(30);
    expect(() => results.of('w', 'nobody', () => 0)).toThrow('nobody was not measured with w');
  });

  it('make the speed table', () => {
    const fresh = { cpuMs: 6, times: 2 };
    const table = speedTable({
      results: twoRounds(),
      idle: { ingress: 4, redis: 6 },
      fresh: { firstOfMany: fresh, firstOfOne: fresh, minuteOfOne: { cpuMs: 4, times: 1.33 } },
      scripts: { many: [], one: [] },
    });
    const cells = Object.fromEntries(
      table.split('\n').map((line) =>
        line
          .split('|')
          .slice(1, 3)
          .map((cell) => cell.trim()),
      ),
    );
    expect(cells).toMatchObject({
      "Daypass, 64 at a time: calls a second beside Portkey's": '0.25 × (225 / 900)',
      "Daypass, unjudged, 256 at a time: calls a second beside Portkey's": '0.50 × (450 / 900)',
      "Daypass, 64 at a time: CPU-ms a call beside Portkey's": '3.00 × (4.50 / 1.50)',
      "Daypass, 1 at a time: p50 added to the upstream's": '7.0 ms (Portkey 1.0 ms)',
      'Daypass: scripts a call, 64 / 1 at a time': '6.0 / 6.0',
      'Daypass: memory of the four services, 64 at a time': '400 MB',
      'CPU a call beside warm, first minute after a start, 1 at a time': '1.33 × (4.00)',
      'CPU-ms a second while nobody calls': '10.0 (ingress 4.0, redis 6.0)',
      'Daypass, responses beside chat, 64 at a time: CPU a call; calls a second': '1.10 ×; 0.90 ×',
    });
  });

  it('leave no candidate out of their tables, and no process of Daypass', () => {
    expect(callTables(twoRounds())).toMatch(
      /\| Daypass +\| Daypass, unjudged +\| Portkey +\| Fastify \+ undici +\| a peer +\|/,
    );
    expect(callTables(twoRounds())).toContain(
      '| 64 at a time  | 225 (0.25 ×); 8.5 / 9.0 | 450 (0.50 ×); 6.5 / 9.0 | 900; 2.5 / 9.0',
    );
    expect(callTables(twoRounds())).not.toContain(UPSTREAM);
    expect(processTable(twoRounds())).toMatch(/\| Daypass, responses, 64 at a time +\| 4\.45 +\| 0\.50 +\| 4\.95/);
  });
});

describe('the time of scripts', () => {
  it('counts all calls of a script under its name, alone or with others in one step', () => {
    const bull = new Map([['abc', 'moveToActive']]);
    const nameOf = (...args: string[]): string | undefined => scriptName(args, bull);
    expect(nameOf('FCALL', 'daypass_0123456789ab_take_hold', '3')).toBe('take-hold');
    expect(nameOf('fcall', 'daypass_0123456789ab_take_hold_many', '9')).toBe('take-hold');
    expect(nameOf('evalsha', 'abc', '2')).toBe('BullMQ moveToActive');
    expect(nameOf('evalsha', '0123456789abcdef', '2')).toBe('BullMQ 01234567');
    expect(nameOf('XREADGROUP', 'GROUP')).toBeUndefined();
  });

  it('leaves the slowest twentieth out', () => {
    expect(meanOfMost([...Array.from({ length: 19 }, () => 10), 5_000])).toBe(10);
    expect(meanOfMost([7])).toBe(7);
  });

  it('shows small scripts as one', () => {
    const many = [
      { name: 'take-hold', timesACall: 0.5, microsACall: 80 },
      { name: 'tiny', timesACall: 0.1, microsACall: 0.4 },
    ];
    const text = scriptTable({ many, one: [{ name: 'tiny', timesACall: 0.1, microsACall: 0.6 }] });
    expect(text).toMatch(/\| others +\| 0\.4 +\| 0\.10 +\| 0\.6 +\| 0\.10/);
    expect(text).toMatch(/\| all +\| 80\.4 +\| 0\.60 +\| 0\.6 +\| 0\.10/);
  });
});
