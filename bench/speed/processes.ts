import { readdirSync, readFileSync } from 'node:fs';

export type Names = Readonly<Record<string, RegExp>>;

/** Clock ticks a second: what Linux tells times of processes in (USER_HZ). */
const TICKS = 100;

/**
 * CPU seconds so far of a process and of every process below it, by what its command line matches first. What matches
 * nothing does not count. A process below that has ended counts for its parent, as a backend of Postgres does.
 */
export function cpuOf(names: Names, root = process.pid): Record<string, number> {
  return sumsOf(names, root, (pid) => {
    const fields = afterName(read(pid, 'stat'));
    return fields.slice(11, 15).reduce((ticks, field) => ticks + Number(field), 0) / TICKS;
  });
}

/** Their memory in MB (proportional set size: what processes share counts once). Takes some milliseconds for each of them. */
export function memoryOf(names: Names, root = process.pid): Record<string, number> {
  return sumsOf(names, root, (pid) => Number(/^Pss:\s+(\d+)/m.exec(read(pid, 'smaps_rollup'))?.[1] ?? 0) / 1_024);
}

function sumsOf(names: Names, root: number, of: (pid: number) => number): Record<string, number> {
  const sums = Object.fromEntries(Object.keys(names).map((name) => [name, 0]));
  for (const pid of withDescendants(root)) {
    const text = read(pid, 'cmdline').replaceAll('\0', ' ');
    const name = Object.keys(names).find((key) => names[key]!.test(text));
    if (name !== undefined) sums[name]! += of(pid);
  }
  return sums;
}

function withDescendants(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const parent = Number(afterName(read(Number(entry), 'stat'))[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
  }
  const found = [root];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

/** The fields of /proc/<pid>/stat after the name, which may hold spaces and brackets: state first. */
function afterName(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    // It ended meanwhile.
    return '';
  }
}
