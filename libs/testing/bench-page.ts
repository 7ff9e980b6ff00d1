import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { markdownTable } from '#libs/config/markdown-table.js';
import { PROJECT_ROOT } from '#libs/launch/project-root.js';

const PAGE = join(PROJECT_ROOT, 'bench/README.md');

interface Table {
  head: readonly string[];
  rows: string[][];
}

/** Prints each row of a bench at once. `publish` writes all rows into the bench's own section of bench/README.md. */
export class BenchSection {
  private readonly parts: (string | Table)[] = [];

  constructor(
    private readonly name: string,
    private readonly script = `bench:${name}`,
  ) {}

  text(markdown: string): void {
    this.parts.push(markdown);
  }

  /** Returns what adds a row. */
  table(...head: string[]): (...cells: string[]) => void {
    const table: Table = { head, rows: [] };
    this.parts.push(table);
    return (...cells) => {
      table.rows.push(cells);
      process.stdout.write(`${cells.map((cell) => cell.padEnd(24)).join(' ')}\n`);
    };
  }

  markdown(): string {
    return this.parts
      .map((part) => (typeof part === 'string' ? part : markdownTable(part.head, part.rows)))
      .join('\n\n');
  }

  /** Only for a whole run: a partial or failed one must not replace the figures of a whole one. */
  publish(): void {
    const processors = cpus();
    const head = measuredBy(
      commandOf(this.script, process.env),
      new Date(),
      processors.length,
      processors[0]?.model ?? '',
    );
    writeFileSync(PAGE, replaceSection(readFileSync(PAGE, 'utf8'), this.name, `${head}\n\n${this.markdown()}`));
    process.stdout.write(`bench/README.md has these figures now\n`);
  }
}

/** The command of the bench, with the variables that make it longer or shorter. */
export function commandOf(script: string, env: Readonly<Record<string, string | undefined>>): string {
  const settings = Object.entries(env).flatMap(([name, value]) =>
    name.startsWith('BENCH_') && value ? [`${name}=${value}`] : [],
  );
  return [...settings.toSorted(), 'npm run', script].join(' ');
}

export function measuredBy(command: string, at: Date, cores: number, model: string): string {
  const processor = model.replace(/\s+/g, ' ').trim();
  return `Measured by \`${command}\` on ${at.toISOString().slice(0, 10)}, on ${cores} cores${processor === '' ? '' : ` (${processor})`}.`;
}

/**
 * The page with another text between `<!-- bench:name -->` and `<!-- /bench:name -->`.
 * @throws when the page has not exactly one such section
 */
export function replaceSection(page: string, name: string, body: string): string {
  const [begin, end] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from || page.lastIndexOf(begin) !== from || page.lastIndexOf(end) !== to)
    throw new Error(`bench/README.md needs one section ${begin} … ${end}`);
  return `${page.slice(0, from + begin.length)}\n\n${body.trim()}\n\n${page.slice(to)}`;
}
