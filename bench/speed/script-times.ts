// How long Redis is busy with each script, by its slow log.
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Redis } from 'ioredis';

/** Hardly a command within a script takes so long, and each script does. An entry for each command would take longer than the command. */
const LOGGED_MICROS = 10;
const LOGGED_MAX = 100_000;
const READ_MS = 200;
/** Entries have times by the clock. The slowest of a script are those during which another process had the core. */
const COUNTED_SHARE = 0.95;

export interface ScriptTime {
  name: string;
  /** Steps: several calls may share one. */
  timesACall: number;
  microsACall: number;
}

/** `[id, second, microseconds, arguments, …]` */
type Entry = [number, number, number, string[], ...unknown[]];

/** What each script took while `load` ran, and how many calls that had. */
export async function scriptTimes(redis: Redis, load: () => Promise<number>): Promise<ScriptTime[]> {
  const nameOf = await namer();
  const micros = new Map<string, number[]>();
  const read = async (): Promise<void> => {
    const answers = await redis.multi().call('SLOWLOG', 'GET', String(LOGGED_MAX)).call('SLOWLOG', 'RESET').exec();
    for (const [, , took, args] of answers![0]![1] as Entry[]) {
      const name = nameOf(args);
      if (name === undefined) continue;
      const times = micros.get(name);
      if (times) times.push(took);
      else micros.set(name, [took]);
    }
  };
  await redis.config('SET', 'slowlog-max-len', String(LOGGED_MAX));
  await redis.config('SET', 'slowlog-log-slower-than', String(LOGGED_MICROS));
  await redis.slowlog('RESET');
  let reading = Promise.resolve();
  const timer = setInterval(() => {
    reading = reading.then(read);
  }, READ_MS);
  try {
    const done = await load();
    clearInterval(timer);
    await reading.then(read);
    return [...micros]
      .map(([name, times]) => ({
        name,
        timesACall: times.length / done,
        microsACall: (times.length * meanOfMost(times)) / done,
      }))
      .toSorted((a, b) => b.microsACall - a.microsACall);
  } finally {
    clearInterval(timer);
    await redis.config('SET', 'slowlog-log-slower-than', '-1');
  }
}

/** The mean without the slowest. */
export function meanOfMost(times: readonly number[]): number {
  const counted = times.toSorted((a, b) => a - b).slice(0, Math.ceil(times.length * COUNTED_SHARE));
  return counted.reduce((sum, one) => sum + one, 0) / counted.length;
}

/** Names scripts by their arguments; undefined for what is none. */
async function namer(): Promise<(args: readonly string[]) => string | undefined> {
  const bull = await bullScripts();
  return (args) => scriptName(args, bull);
}

/** `bull`: names of BullMQ's scripts by their SHA. */
export function scriptName(args: readonly string[], bull: ReadonlyMap<string, string>): string | undefined {
  const [command = '', script = ''] = args;
  switch (command.toUpperCase()) {
    case 'FCALL':
      // The library's name, and what is added where several calls share a step.
      return script
        .replace(/^daypass_[0-9a-f]+_/, '')
        .replace(/_many$/, '')
        .replaceAll('_', '-');
    case 'EVALSHA':
    case 'EVAL':
      return `BullMQ ${bull.get(script) ?? script.slice(0, 8)}`;
    default:
      return undefined;
  }
}

async function bullScripts(): Promise<Map<string, string>> {
  const folder = join(dirname(fileURLToPath(import.meta.resolve('bullmq'))), 'scripts');
  const names = new Map<string, string>();
  for (const file of readdirSync(folder).filter((name) => /-\d+\.js$/.test(name))) {
    const scripts = (await import(pathToFileURL(join(folder, file)).href)) as Record<string, unknown>;
    for (const script of Object.values(scripts) as { name?: string; content?: string }[])
      if (script.name !== undefined && script.content !== undefined)
        names.set(createHash('sha1').update(script.content).digest('hex'), script.name);
  }
  return names;
}
