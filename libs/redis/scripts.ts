import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';

const FOLDER = join(import.meta.dirname, 'lua');
const INCLUDE = /^--@include (\w+)$/gm;

/** Reads a script with its includes; each script's header is its contract. */
export function readScript(name: string): string {
  const source = readFileSync(join(FOLDER, `${name}.lua`), 'utf8');
  return source.replace(INCLUDE, (_, include: string) => readFileSync(join(FOLDER, `${include}.include.lua`), 'utf8'));
}

const loaded = new WeakMap<Redis, string[]>();

/** Known before it is called: a call whose script has to be told first comes after what was sent behind it. */
function load(redis: Redis, lua: string): void {
  const tell = (source: string): void => void redis.script('LOAD', source).catch(() => undefined);
  const sources = loaded.get(redis) ?? [];
  if (sources.length === 0) {
    loaded.set(redis, sources);
    redis.on('ready', () => sources.forEach(tell));
  }
  sources.push(lua);
  if (redis.status === 'ready') tell(lua);
}

/** A script bound to a connection; calls go by SHA and load it once where Redis does not know it. */
export type Script = (keys: readonly string[], args: readonly (string | number)[]) => Promise<unknown>;

export function defineScript(redis: Redis, name: string): Script {
  const command = `daypass_${name.replaceAll('-', '_')}`;
  const lua = readScript(name);
  redis.defineCommand(command, { lua });
  load(redis, lua);
  const call = (redis as unknown as Record<string, (...args: (string | number)[]) => Promise<unknown>>)[command]!;
  return (keys, args) => call.call(redis, keys.length, ...keys, ...args);
}
