import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { BenchSection, commandOf, measuredBy, replaceSection } from './bench-page.js';

const PAGE =
  '# Benches\n\nBefore.\n\n<!-- bench:money -->\n\nold\n\n<!-- /bench:money -->\n\n<!-- bench:audit -->\n\nkept\n\n<!-- /bench:audit -->\n';

describe('a section of the bench page', () => {
  it('is replaced between its markers, and nothing else changes', () => {
    expect(replaceSection(PAGE, 'money', '\nnew\n')).toBe(PAGE.replace('old', 'new'));
    expect(replaceSection(replaceSection(PAGE, 'money', 'new'), 'money', 'old')).toBe(PAGE);
  });

  it('takes its text as it is', () =>
    expect(replaceSection(PAGE, 'audit', "$& $' $1")).toBe(PAGE.replace('kept', () => "$& $' $1")));

  it.each([
    ['is missing', PAGE, 'speed'],
    ['has no end', PAGE.replace('<!-- /bench:money -->', ''), 'money'],
    ['ends before it begins', '<!-- /bench:money -->\n<!-- bench:money -->', 'money'],
    ['is there twice', `${PAGE}${PAGE}`, 'money'],
  ])('is refused where it %s', (_, page, name) =>
    expect(() => replaceSection(page, name, 'new')).toThrow(`bench:${name}`),
  );

  it('says the command, the date and the machine', () => {
    expect(measuredBy('npm run bench', new Date('2026-11-25T23:59:00Z'), 2, 'AMD  EPYC ')).toBe(
      'Measured by `npm run bench` on 2026-11-25, on 2 cores (AMD EPYC).',
    );
    expect(measuredBy('npm run bench', new Date(0), 4, '')).toBe(
      'Measured by `npm run bench` on 1970-01-01, on 4 cores.',
    );
  });

  it('says with which variables the bench was run', () => {
    expect(commandOf('bench:growth', { PATH: '/bin', BENCH_SECONDS: '2', BENCH_MINUTES: '3', BENCH_ROUNDS: '' })).toBe(
      'BENCH_MINUTES=3 BENCH_SECONDS=2 npm run bench:growth',
    );
    expect(commandOf('bench', {})).toBe('npm run bench');
  });

  it('has its texts and tables in their order', () => {
    const section = new BenchSection('money');
    section.text('First.');
    const row = section.table('what', 'measured');
    section.text('Last.');
    row('a hold', '1 ms');
    expect(section.markdown()).toBe(
      'First.\n\n| what   | measured |\n| ------ | -------- |\n| a hold | 1 ms     |\n\nLast.',
    );
  });
});

describe('bench/README.md', () => {
  const page = readFileSync(join(process.cwd(), 'bench/README.md'), 'utf8');

  it('has a section for each bench, with its command', () => {
    const benches = readdirSync(join(process.cwd(), 'bench'))
      .filter((name) => name.endsWith('.ts'))
      // Others print what developers compare, and publish nothing.
      .filter((name) => readFileSync(join(process.cwd(), 'bench', name), 'utf8').includes('npm run bench'))
      .map((name) => name.replace('.ts', ''));
    for (const bench of benches) {
      const [section] = new RegExp(`<!-- bench:${bench} -->[^]*<!-- /bench:${bench} -->`).exec(page) ?? [];
      expect(section).toMatch(/Measured by `(BENCH_\w+=\d+ )*npm run bench(:\w+)?` on \d{4}-\d\d-\d\d, /);
      expect(replaceSection(page, bench, '')).not.toBe(page);
    }
    expect(benches).toHaveLength(11);
  });
});
