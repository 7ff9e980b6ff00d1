import { stringify } from 'csv-stringify/sync';

/** Texts of visitors must neither move the cursor nor turn the direction of a line. */
// oxlint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const escaped = (one: string): string => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`;
export const print = (text: string): void => void process.stdout.write(`${text.replaceAll(UNSEEN, escaped)}\n`);
const isRow = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const isTable = (value: unknown): value is Record<string, unknown>[] => Array.isArray(value) && value.some(isRow);

/** JSON for scripts, CSV for spreadsheets; for people lists as tables, and a field on a line of anything else. */
export function show(answer: unknown, given: { json?: boolean; csv?: boolean }, columns?: readonly string[]): void {
  if (given.json) return print(JSON.stringify(answer, null, 2));
  const data = isRow(answer) && 'data' in answer ? answer.data : answer;
  if (!Array.isArray(data)) return isRow(data) ? record(data) : print(cell(data));
  const names = columns ?? Object.keys((data[0] as object | undefined) ?? {});
  // A label must not become a formula in a spreadsheet.
  const form = { header: true, escape_formulas: true, cast: { boolean: String }, columns: [...names] };
  if (given.csv) return print(stringify(data, form).trimEnd());
  table([names, ...data.map((row: Record<string, unknown>) => names.map((name) => cell(row[name])))]);
}

function record(data: Record<string, unknown>): void {
  const fields = Object.entries(data);
  table(fields.flatMap(([name, value]) => (isTable(value) ? [] : [[name, cell(value)]])));
  for (const [name, value] of fields.filter(([, one]) => isTable(one))) {
    print(`\n${name}`);
    show(value, {});
  }
}

function table(lines: readonly (readonly string[])[]): void {
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]!.length))) ?? [];
  for (const line of lines)
    print(
      line
        .map((text, column) => text.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    );
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '–';
  return (typeof value === 'string' ? value : JSON.stringify(value)).replaceAll(/\s+/g, ' ');
}
